/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_EXPORTERS_KAFKA_JWT_H
#define GW_EXPORTERS_KAFKA_JWT_H

#include "core/slice.h"

/**
 * When a token stops to be valid, if it says so: the claim `exp` of a JSON Web Token (RFC 7519), signed or not. Its
 * signature is the broker's affair.
 *
 * Units     ms since 1970-01-01 UTC
 * Errors    false for any other token, and for one without `exp` or over 64 KiB
 */
bool gw_jwt_expires(struct gw_slice token, uint64_t *ret_ms);

#endif
