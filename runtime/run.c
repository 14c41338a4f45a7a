/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main thread: signals, extensions, self-metrics; and the way out.
 *
 *   SIGTERM ─► quiesce ─► every request answered ─► queues empty ─► stop ─► exit 0
 *                 └──────────── drain_timeout, or a second signal ───┘
 *   SIGHUP ─► another configuration (renew.c)
 */
#include "runtime/run.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log/flight.h"
#include "net/loop.h"
#include "runtime/admin.h"
#include "runtime/control.h"
#include "runtime/crash.h"
#include "runtime/demo.h"
#include "runtime/engine.h"
#include "runtime/renew.h"

enum leaving { STAYING, ANSWERING, EMPTYING, LEFT };
#define POLL_NS 5000000u
/* Shells and timeout(1) signal the process and its group: two that come together are one. */
#define SAME_NS 500000000u

struct run {
    struct gw_env *env;
    struct gw_service *service;
    struct gw_loop *loop;
    struct gw_meter *meter;
    struct gw_engine *engine;
    struct gw_admin *admin;
    struct gw_control *control;
    struct gw_renew *renew;
    struct gw_replay *replay; /* until it has ended */
    struct gw_run_replay *replays;
    struct gw_log_sink sink;
    struct gw_logger logger;
    struct gw_fd signals;
    struct gw_hook hook;
    struct gw_timer timer;
    enum leaving leaving;
    uint64_t leaving_ns, deadline_ns;
    bool at_once;
};

/* ---- leaving ---------------------------------------------------------------------------------------------- */

static void leave(struct run *r, const char *why)
{
    if (r->leaving != STAYING) {
        if (gw_loop_now_ns(r->loop) - r->leaving_ns < SAME_NS)
            return;
        gw_log(&r->logger, GW_LOG_WARN, "%s again: stopping at once", why);
        r->at_once = true;
        return;
    }
    gw_log(&r->logger, GW_LOG_INFO, "%s: draining, at most %.0f s", why,
           (double)gw_engine_service(r->engine)->runtime.drain_timeout_ns / 1e9);
    r->leaving = ANSWERING;
    r->leaving_ns = gw_loop_now_ns(r->loop);
    r->deadline_ns = gw_loop_now_ns(r->loop) + gw_engine_service(r->engine)->runtime.drain_timeout_ns;
    gw_engine_quiesce(r->engine);
    gw_engine_drain(r->engine);
}

static void follow(struct run *r)
{
    bool late = r->at_once || gw_loop_now_ns(r->loop) >= r->deadline_ns;

    if (r->leaving == ANSWERING && gw_engine_is_quiet(r->engine)) {
        r->leaving = EMPTYING;
        gw_engine_drain(r->engine);
    }
    if (late || (r->leaving == EMPTYING && gw_engine_is_drained(r->engine))) {
        r->leaving = LEFT;
        gw_loop_stop(r->loop);
        return;
    }
    if (!gw_timer_is_armed(&r->timer))
        gw_timer_arm(r->loop, &r->timer, gw_loop_now_ns(r->loop) + POLL_NS);
}

static void on_turn(struct gw_hook *h)
{
    struct run *r = (struct run *)((char *)h - offsetof(struct run, hook));

    if (r->leaving == ANSWERING || r->leaving == EMPTYING)
        follow(r);
}

static void on_timer(struct gw_timer *t)
{
    (void)t; /* the turn's hook looks */
}

static void on_signal(struct gw_fd *f, unsigned events)
{
    struct run *r = (struct run *)((char *)f - offsetof(struct run, signals));
    struct signalfd_siginfo s;

    (void)events;
    while (read(f->fd, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
        if (s.ssi_signo == SIGHUP)
            (void)gw_renew_now(r->renew, "SIGHUP");
        else
            leave(r, s.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

/* ---- starting --------------------------------------------------------------------------------------------- */

/* Before any thread: all of them inherit the mask, so signals come to the descriptor only. */
static int catch_signals(struct run *r, struct gw_err *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    r->signals =
        (struct gw_fd){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .events = GW_FD_READ, .ready = on_signal};
    if (r->signals.fd < 0)
        return gw_fail(err, -errno, "signalfd: %s", strerror(errno));
    return gw_fd_add(r->loop, &r->signals);
}

/* For the command line; a gateway without a place for it runs without. */
static int open_control(struct run *r, struct gw_err *err)
{
    char path[GW_CONTROL_PATH_BYTES];
    const struct gw_control_conf conf = {
        .path = path,
        .loop = r->loop,
        .engine = r->engine,
        .meter = r->meter,
        .service = r->service,
        .logger = &r->logger,
        .commands = gw_control_commands,
    };

    return gw_control_path(r->service, path) ? gw_control_new(&conf, &r->control, err) : 0;
}

static int follow_configuration(struct run *r, const struct gw_run_options *options, struct gw_err *err)
{
    const struct gw_renew_conf conf = {
        .env = r->env,
        .loop = r->loop,
        .engine = r->engine,
        .meter = r->meter,
        .sink = &r->sink,
        .logger = &r->logger,
        .options = options,
    };

    return gw_renew_new(&conf, &r->renew) < 0 ? gw_fail(err, -ENOMEM, "out of memory") : 0;
}

static void on_replayed(void *arg, int exit_code)
{
    struct run *r = arg;

    r->replay = NULL;
    r->replays->exit_code = exit_code;
    if (r->leaving == STAYING)
        leave(r, "the replay is done");
}

static void say_replay(void *arg, int fd, const char *line)
{
    struct run *r = arg;

    r->replays->say(r->replays->arg, fd, line);
}

static int start_replay(struct run *r, struct gw_run_replay *what, struct gw_err *err)
{
    const struct gw_replay_conf conf = {
        .journal = what->journal,
        .into = what->into,
        .range = what->range,
        .speed = what->speed,
        .policy = what->policy,
        .max_traces = what->max_traces,
        .engine = r->engine,
        .env = r->env,
        .loop = r->loop,
        .say = say_replay,
        .ended = on_replayed,
        .arg = r,
    };

    r->replays = what;
    return gw_replay_start(&conf, &r->replay, err);
}

static int set_up(struct run *r, const struct gw_run_options *options, struct gw_err *err)
{
    const struct gw_runtime_conf *rc = &r->service->runtime;
    struct gw_engine_conf conf = {
        .env = r->env,
        .service = r->service,
        .log = &r->sink,
        .n_workers = (unsigned)rc->workers,
        .memory_bytes = rc->memory_limit_mib << 20,
        .without_receivers = options->replay != NULL,
    };
    struct gw_admin_conf admin = {
        .env = r->env, .telemetry = &r->service->telemetry, .logger = &r->logger, .started_ns = gw_wall_ns(r->env)};
    int code = options->demo ? gw_demo_add(r->service, err) : 0;

    if (code == 0)
        code = gw_loop_new(r->env, &r->loop, err);
    if (code == 0)
        code = catch_signals(r, err);
    if (code < 0)
        return code;
    r->meter = gw_meter_new();
    if (!r->meter)
        return gw_fail(err, -ENOMEM, "out of memory");
    r->hook.run = on_turn;
    r->timer.fire = on_timer;
    gw_loop_add_hook(r->loop, &r->hook);
    conf.loop = admin.loop = r->loop;
    conf.meter = admin.meter = r->meter;
    code = gw_engine_new(&conf, &r->engine, err);
    admin.engine = r->engine;
    if (code == 0)
        code = gw_admin_new(&admin, &r->admin, err);
    if (code == 0)
        code = gw_engine_start(r->engine, err);
    if (code == 0)
        code = follow_configuration(r, options, err);
    if (code == 0)
        code = open_control(r, err); /* in a folder that the storage has made and locked by now */
    if (code == 0 && options->replay)
        code = start_replay(r, options->replay, err);
    if (code < 0 && r->engine)
        gw_engine_start_failed(r->engine);
    return code;
}

/* ---- the first lines -------------------------------------------------------------------------------------- */

static const char *endpoint_in(const struct gw_node *n)
{
    const struct gw_node *e = gw_node_get(n, "endpoint");

    return e ? e->text : NULL;
}

static void say_receiver(const struct gw_service_component *c, struct gw_buf *out)
{
    const struct gw_node *p = gw_node_get(c->node, "protocols"), *grpc = gw_node_get(p, "grpc"),
                         *http = gw_node_get(p, "http");

    if (grpc)
        gw_buf_printf(out, "  %s  OTLP/gRPC  %s\n", c->id, endpoint_in(grpc) ? endpoint_in(grpc) : "localhost:4317");
    if (http)
        gw_buf_printf(out, "  %s  OTLP/HTTP  %s\n", c->id, endpoint_in(http) ? endpoint_in(http) : "localhost:4318");
}

static void say_hints(const struct run *r, const struct gw_run_options *options, struct gw_buf *out)
{
    const struct gw_service *s = r->service;

    for (size_t i = 0; i < s->n_extensions; i++)
        if (strcmp(s->extensions[i]->type->name, "health_check") == 0) {
            const char *e = endpoint_in(s->extensions[i]->node);

            gw_buf_printf(out, "  health        http://%s/\n", e ? e : "localhost:13133");
        }
    if (r->admin)
        gw_buf_printf(out, "  self-metrics  http://%s/metrics\n", gw_admin_endpoint(r->admin));
    if (options->is_builtin && !options->demo)
        gw_buf_put_str(out, "Send something to it from an application with an OpenTelemetry SDK:\n"
                            "  export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n"
                            "or start again with --demo to see a small shop.\n");
}

static void say_hello(struct run *r, const struct gw_run_options *options)
{
    const struct gw_service *s = r->service;
    struct gw_buf out;

    gw_buf_init(&out, 65536);
    gw_buf_printf(&out, "staunch " GW_VERSION " is ready (%s, %u worker%s)\n", options->source,
                  gw_engine_n_workers(r->engine), gw_engine_n_workers(r->engine) == 1 ? "" : "s");
    for (size_t i = 0; i < s->n_components; i++)
        if (s->components[i].kind == GW_RECEIVER && s->components[i].is_used)
            say_receiver(&s->components[i], &out);
    gw_engine_describe(r->engine, &out);
    say_hints(r, options, &out);
    if (r->sink.json)
        gw_log(&r->logger, GW_LOG_INFO, "staunch " GW_VERSION " is ready (%s, %u workers)", options->source,
               gw_engine_n_workers(r->engine));
    else
        r->env->ops->log_write(r->env, (const char *)out.p, out.n);
    gw_buf_clear(&out);
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static void tear_down(struct run *r)
{
    uint64_t left;

    gw_control_free(r->control);
    if (r->replay)
        gw_replay_cancel(r->replay);
    gw_renew_free(r->renew);
    left = r->engine ? gw_engine_stop(r->engine) : 0;
    if (left)
        gw_log(&r->logger, GW_LOG_ERROR, "stopped with %llu items undelivered (dropped as \"shutdown\")",
               (unsigned long long)left);
    gw_admin_free(r->admin);
    gw_engine_free(r->engine);
    if (r->loop) {
        if (r->signals.fd > 0) {
            gw_fd_remove(r->loop, &r->signals);
            (void)close(r->signals.fd);
        }
        gw_timer_disarm(&r->timer);
        gw_loop_free(r->loop);
    }
    gw_meter_free(r->meter);
}

int gw_run(struct gw_env *env, struct gw_service *service, const struct gw_run_options *options, struct gw_err *err)
{
    struct run r = {.env = env, .service = service};
    int rc;

    /* glibc's own limit is eight arenas a core, each with free lists of its own: one a core is enough here. */
    (void)mallopt(M_ARENA_MAX, (int)sysconf(_SC_NPROCESSORS_ONLN) + 2);
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
    r.sink =
        (struct gw_log_sink){.env = env, .level = service->telemetry.log_level, .json = service->telemetry.log_json};
    r.logger = (struct gw_logger){.sink = &r.sink};
    gw_flight_thread((uint32_t)GW_FLIGHT_NOTHING);
    gw_crash_catch();
    rc = set_up(&r, options, err);
    if (rc == 0) {
        if (!options->replay)
            say_hello(&r, options);
        gw_loop_run(r.loop);
        gw_log(&r.logger, GW_LOG_INFO, "stopped");
    }
    tear_down(&r);
    gw_crash_release();
    return rc;
}
