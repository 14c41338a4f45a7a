/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. A function that can fail for more than one reason returns 0 or a negative errno; one whose failure
 * a person reads about takes a struct gw_err as its last parameter. The fate of data is never an error code:
 * see batch/settle.h.
 */
#ifndef GW_CORE_STATUS_H
#define GW_CORE_STATUS_H

#include <errno.h>

/** One sentence for a person. Lives on the caller's stack; NULL is accepted wherever one is taken. */
struct gw_err {
    char text[256];
};

/**
 * Write the sentence and hand back the code, so that `return gw_fail(err, -EINVAL, "...")` is one line.
 *
 * Errors    returns `code` unchanged; a text over 255 bytes is cut
 */
int gw_fail(struct gw_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
