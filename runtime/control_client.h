/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's end of the control channel (runtime/control.h). Blocking. */
#ifndef GW_RUNTIME_CONTROL_CLIENT_H
#define GW_RUNTIME_CONTROL_CLIENT_H

#include "core/slice.h"
#include "core/status.h"

struct gw_control_request {
    const char *path; /* of the socket */
    const char *command;
    struct gw_slice args; /* a JSON object, or empty */
    /** One line, without its newline. */
    void (*line)(void *arg, int fd, struct gw_slice text);
    void *arg;
};

/**
 * Ask and pass on what is answered until the end.
 *
 * Errors    the command's exit code, 0 to 255; -ENOENT or -ECONNREFUSED when no gateway runs there; -EPROTO when what
 *           comes is no answer; -ECONNRESET when it ends before the exit code; other negative errno. err is a sentence
 */
int gw_control_ask(const struct gw_control_request *rq, struct gw_err *err);

#endif
