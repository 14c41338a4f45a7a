/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of an Apache htpasswd file: "user:hash". */
#ifndef GW_EXTENSIONS_HTPASSWD_H
#define GW_EXTENSIONS_HTPASSWD_H

#include "core/slice.h"

/** The hash of a user: the last line that names him. False when there is none. */
bool gw_htpasswd_find(struct gw_slice text, struct gw_slice user, struct gw_slice *ret_hash);
/** Takes a quarter of a millisecond ($apr1$) to hundreds of them (bcrypt): worth remembering. */
bool gw_htpasswd_is_slow(struct gw_slice hash);
/**
 * bcrypt ($2a$, $2b$, $2y$), $apr1$, $1$, $5$, $6$, {SHA}, {SSHA}, else plain text. Compared in constant time.
 * Threads: any.
 */
bool gw_htpasswd_match(struct gw_slice hash, struct gw_slice password);

#endif
