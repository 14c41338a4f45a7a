/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of one call to a sink says about that sink: for the breaker, the limit and the search for poison. */
#ifndef GW_CORE_SIGN_H
#define GW_CORE_SIGN_H

#include <stdbool.h>

enum gw_sign {
    GW_SIGN_USUAL,  /* by the verdict: tried again = away, all else = well */
    GW_SIGN_WELL,   /* it works: a success, or a refusal that is about the body or the right to send it */
    GW_SIGN_BUSY,   /* it wants less: 429, or when to come again */
    GW_SIGN_AWAY,   /* it does not work, whatever is sent: no connection, 503 */
    GW_SIGN_UNSURE, /* it, or this body: a broken connection, 500, 502, 504, INTERNAL */
    GW_SIGN_LATE,   /* it, or this body: no answer in time */
    GW_SIGN_NONE,   /* nothing: it was not asked, or the call was cancelled */
};

/** It does not work, as far as this call can tell. */
static inline bool gw_sign_is_failure(enum gw_sign s)
{
    return s == GW_SIGN_AWAY || s == GW_SIGN_UNSURE || s == GW_SIGN_LATE;
}
/** It may be the body. */
static inline bool gw_sign_is_unsure(enum gw_sign s)
{
    return s == GW_SIGN_UNSURE || s == GW_SIGN_LATE;
}

#endif
