/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch queue release` in the gateway that has the log open: only what none of its pipelines uses. */
#include <string.h>

#include "runtime/cli.h"
#include "runtime/control_commands.h"
#include "runtime/engine.h"
#include "runtime/queues.h"

/* What waits is counted on the main thread. */
enum { MAX_COUNTED_BYTES = 64 << 20 };

struct request {
    const char *queue, *consumer;
    bool dry_run;
};
static const struct gw_field fields[] = {
    GW_STRING_FIELD(struct request, queue, "queue", "", "Its name, with its kind before it."),
    GW_STRING_FIELD(struct request, consumer, "consumer", "", "Id of the exporter, or of the pipeline."),
    GW_BOOL_FIELD(struct request, dry_run, "dry_run", "false", "Only say what it would be."),
    {0},
};

static int refuse(struct gw_control_call *call, const struct request *rq, int rc)
{
    const char *who = strncmp(rq->queue, "journal/", 8) == 0 ? "a pipeline" : "an exporter";

    if (rc == -EBUSY)
        gw_control_say(call, 2, "error: %s is %s of this gateway that uses it: take it out of the configuration first",
                       rq->consumer, who);
    else
        gw_control_say(call, 2, "error: %s: %s", rq->consumer,
                       rc == -ENOENT ? "nothing waits there for it" : strerror(-rc));
    return rc == -EBUSY ? GW_EXIT_BUSY : rc == -ENOENT ? GW_EXIT_UNAVAILABLE : GW_EXIT_IO;
}

static int release(struct gw_control_call *call, const struct request *rq)
{
    struct gw_queue_name q = gw_queue_name_of(rq->queue);
    struct gw_log *log = q.kind ? gw_engine_log(gw_control_conf(call)->engine, q.kind, q.name) : NULL;
    const struct gw_queue_release what = {q.kind, rq->consumer, rq->dry_run, MAX_COUNTED_BYTES};
    struct gw_queue_wait w;
    struct gw_buf text;
    int rc;

    if (!log) {
        gw_control_say(call, 2, "error: this gateway has no queue \"%s\"", rq->queue);
        return GW_EXIT_UNAVAILABLE;
    }
    rc = gw_queue_release(log, &what, &w);
    if (rc < 0)
        return refuse(call, rq, rc);
    gw_buf_init(&text, 256);
    gw_queue_put_wait(&text, &w);
    gw_control_say(call, 1, "%s %s: %.*s", rq->dry_run ? "would release" : "released", rq->consumer, (int)text.n,
                   (const char *)text.p);
    gw_buf_clear(&text);
    return GW_EXIT_OK;
}

static void start(struct gw_control_call *call, const struct gw_node *args)
{
    static const struct gw_node none = {.type = GW_NODE_MAP};
    struct gw_arena arena;
    struct gw_diag diag;
    struct request rq;
    int rc;

    gw_arena_init(&arena, 4096, 1 << 20);
    gw_diag_init(&diag);
    rc = gw_schema_fill(fields, sizeof(rq), args ? args : &none, &rq, &arena, &diag);
    gw_diag_clear(&diag);
    if (rc < 0) {
        gw_control_say(call, 2, "error: the request is malformed");
        rc = GW_EXIT_USAGE;
    } else {
        rc = release(call, &rq);
    }
    gw_arena_clear(&arena);
    gw_control_end(call, rc);
}

const struct gw_control_command gw_control_queue_release = {.name = "queue-release", .start = start};
