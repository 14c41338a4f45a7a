/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control channel of a running gateway: a Unix socket (0600) that the command line talks to. A client sends one
 * line of JSON, gets lines back as they come, and an exit code. Everything here runs on the main thread's loop.
 *
 *   client   {"command": "ping", "args": {"count": 2}}\n
 *   gateway  1 text\n     a line for standard output
 *            2 text\n     a line for standard error
 *            = 0\n        the end: an exit code, 0 to 255
 *
 * A command may go on for long, with timers of its own on the loop. It writes while there is room, and goes on when
 * room() says so. A client that hangs up, or closes its writing side, cancels it; what was written is sent still.
 *
 * Limits    GW_CONTROL_MAX_CALLS at once; a request of GW_CONTROL_MAX_REQUEST bytes within 10 s; what a command writes
 *           waits in at most GW_CONTROL_FULL bytes and one write
 */
#ifndef GW_RUNTIME_CONTROL_H
#define GW_RUNTIME_CONTROL_H

#include "net/loop.h"
#include "pipeline/service.h"

struct gw_engine;
struct gw_control;
struct gw_control_call;

enum {
    GW_CONTROL_MAX_CALLS = 16,
    GW_CONTROL_MAX_REQUEST = 64 << 10,
    GW_CONTROL_MAX_WRITE = 32 << 20,
    GW_CONTROL_FULL = 256 << 10,
    GW_CONTROL_PATH_BYTES = 4096,
};

/** One thing that can be asked for. Its calls end by gw_control_end, in start() or later. */
struct gw_control_command {
    const char *name;
    /** args: the request's, a map, or NULL. It and all its texts live as long as the call (gw_schema_fill reads it). */
    void (*start)(struct gw_control_call *call, const struct gw_node *args);
    /** There is room again after a write that was not taken. NULL: it never waits. */
    void (*room)(struct gw_control_call *call);
    /** The client has left, or the gateway stops, before the end: let go of everything, forget the call. NULL: start()
     * always ends it. */
    void (*cancel)(struct gw_control_call *call);
};

/** What the gateway can be asked for; ended by NULL. Each command is a file and a line in control_commands.c. */
extern const struct gw_control_command *const gw_control_commands[];

struct gw_control_conf { /* borrowed */
    const char *path;    /* of the socket */
    struct gw_loop *loop;
    struct gw_engine *engine;
    struct gw_meter *meter;
    const struct gw_service *service;
    const struct gw_logger *logger;
    const struct gw_control_command *const *commands; /* NULL-ended */
};

/**
 * Where the socket of a gateway with this configuration is: service::runtime::control_socket, or control.sock in the
 * directory of the first storage among service::extensions. False: there is no place for one.
 */
bool gw_control_path(const struct gw_service *s, char path[GW_CONTROL_PATH_BYTES]);

/**
 * Listen. A socket that a dead gateway left behind is taken over.
 *
 * Errors    -EADDRINUSE when another gateway answers there; -ENAMETOOLONG; other negative errno; err names the path
 */
int gw_control_new(const struct gw_control_conf *conf, struct gw_control **ret, struct gw_err *err);
/** Cancels all calls, removes the socket. Accepts NULL. */
void gw_control_free(struct gw_control *c);

/* ---- in a call -------------------------------------------------------------------------------------------- */

const struct gw_control_conf *gw_control_conf(const struct gw_control_call *call);
/** The command's own state of the call; NULL at first. */
void gw_control_set(struct gw_control_call *call, void *state);
void *gw_control_state(const struct gw_control_call *call);
/**
 * Lines for standard output (fd 1) or standard error (fd 2). The last one needs no newline.
 *
 * Shape     false: not taken, because so much waits already: come again in room(). What is written when nothing waits
 *           is always taken
 */
bool gw_control_write(struct gw_control_call *call, int fd, struct gw_slice text);
/** A short line that is always taken: an error, one line of progress. */
void gw_control_say(struct gw_control_call *call, int fd, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** The last word, once. The call must not be used afterwards. */
void gw_control_end(struct gw_control_call *call, int exit_code);

#endif
