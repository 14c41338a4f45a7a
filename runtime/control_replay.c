/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch replay` in the running gateway. */
#include "runtime/cli.h"
#include "runtime/control.h"
#include "runtime/control_commands.h"
#include "runtime/replay.h"

struct request {
    const char *journal, *into, *from, *to, *speed, *policy;
    uint64_t max_traces;
};
static const struct gw_field fields[] = {
    GW_STRING_FIELD(struct request, journal, "journal", "", "Id of the connector."),
    GW_STRING_FIELD(struct request, into, "into", "", "Id of the pipeline."),
    GW_STRING_FIELD(struct request, from, "from", "", "Time or position."),
    GW_STRING_FIELD(struct request, to, "to", "", "Time or position, not included."),
    GW_STRING_FIELD(struct request, speed, "speed", "max", "A factor, or max."),
    GW_STRING_FIELD(struct request, policy, "policy", "", "A condition on spans."),
    GW_U64_FIELD(struct request, max_traces, "max_traces", "0", 0, 0, "That it may want."),
    {0},
};

static void say(void *arg, int fd, const char *line)
{
    gw_control_say(arg, fd, "%s", line);
}

static void ended(void *arg, int exit_code)
{
    gw_control_end(arg, exit_code);
}

static int refuse(struct gw_control_call *call, int exit_code, const char *why)
{
    gw_control_say(call, 2, "error: %s", why);
    gw_control_end(call, exit_code);
    return exit_code;
}

static int parse(struct gw_control_call *call, const struct request *rq, struct gw_replay_conf *conf)
{
    uint64_t now = gw_wall_ns(conf->env);

    conf->journal = rq->journal;
    conf->into = rq->into;
    conf->policy = rq->policy;
    conf->max_traces = rq->max_traces;
    if (gw_replay_parse_point(rq->from, now, &conf->range.from) < 0 ||
        gw_replay_parse_point(rq->to, now, &conf->range.to) < 0 || gw_replay_parse_speed(rq->speed, &conf->speed) < 0)
        return refuse(call, GW_EXIT_USAGE, "the request is malformed");
    return 0;
}

static void begin(struct gw_control_call *call, const struct gw_node *args, struct gw_arena *arena)
{
    const struct gw_control_conf *cc = gw_control_conf(call);
    struct gw_replay_conf conf = {
        .engine = cc->engine, .env = gw_loop_env(cc->loop), .loop = cc->loop, .say = say, .ended = ended, .arg = call};
    struct gw_err err = {""};
    struct gw_replay *r;
    struct request rq;
    struct gw_diag diag;
    int rc;

    gw_diag_init(&diag);
    rc = gw_schema_fill(fields, sizeof(rq), args, &rq, arena, &diag);
    gw_diag_clear(&diag);
    if (rc < 0) {
        (void)refuse(call, GW_EXIT_USAGE, "the request is malformed");
        return;
    }
    if (parse(call, &rq, &conf) != 0)
        return;
    rc = gw_replay_start(&conf, &r, &err);
    if (rc < 0)
        (void)refuse(call, rc == -ENOENT || rc == -EINVAL || rc == -ENOTSUP ? GW_EXIT_USAGE : GW_EXIT_INTERNAL,
                     err.text);
    else
        gw_control_set(call, r);
}

static void replay_start(struct gw_control_call *call, const struct gw_node *args)
{
    static const struct gw_node none = {.type = GW_NODE_MAP};
    struct gw_arena arena;

    gw_arena_init(&arena, 4096, 1 << 20);
    begin(call, args ? args : &none, &arena);
    gw_arena_clear(&arena);
}

static void replay_cancel(struct gw_control_call *call)
{
    gw_replay_cancel(gw_control_state(call));
}

const struct gw_control_command gw_control_replay = {.name = "replay", .start = replay_start, .cancel = replay_cancel};
