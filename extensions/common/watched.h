/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small file of secrets that may change while we run: read once at start, looked at every second, swapped as a whole.
 * A file that cannot be read any more leaves the text as it was.
 */
#ifndef GW_EXTENSIONS_WATCHED_H
#define GW_EXTENSIONS_WATCHED_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/env.h"
#include "core/logger.h"
#include "net/loop.h"

struct gw_watched_text {
    _Atomic uint32_t refs;
    uint64_t generation; /* another one with every reading */
    size_t n;
    char text[]; /* with a terminating zero */
};

struct gw_watched {
    struct gw_env *env;
    const struct gw_logger *logger;
    const char *path;
    struct gw_loop *loop;
    struct gw_timer timer;
    uint64_t changed_ns, generation;
    pthread_mutex_t lock; /* held for a pointer's copy only */
    struct gw_watched_text *now;
};

/** Borrows logger and path ("" = no file; then there is never a text). */
void gw_watched_init(struct gw_watched *w, struct gw_env *env, const struct gw_logger *logger, const char *path);
/** Errors: what reading brings; err names the path. */
int gw_watched_read(struct gw_watched *w, struct gw_err *err);
/** A file that is not there may come later. */
void gw_watched_arm(struct gw_watched *w, struct gw_loop *loop);
void gw_watched_disarm(struct gw_watched *w);
void gw_watched_clear(struct gw_watched *w);

/** The text as it is now, or NULL. Threads: any. Give it back. */
struct gw_watched_text *gw_watched_get(struct gw_watched *w);
void gw_watched_put(struct gw_watched_text *t);

#endif
