/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead_letter_store: dead letters in a log of a storage, until they are replayed, purged or too old.
 *
 *   exporters:
 *     dead_letter_store: { storage: file_storage, max_size_mib: 1024, max_age: 720h }
 *
 * With a storage in service::extensions it is there by itself, and every dead letter port that leads nowhere leads to
 * it. A frame of the log is one letter: an ExportLogsServiceRequest with one record (queue/dead_letter.h). The consumer
 * "replayed" settles the letters that nobody needs any more; `staunch dlq` reads the others.
 *
 *   send ─► commit ─► the log's writer ─► inbox ─► hook on the exporter's thread ─► done
 *
 * A letter that the log does not take (the disk is full) is tried for ever: the queue before it fills up, and whoever
 * has a letter to write keeps its rows.
 */
#include <stdlib.h>

#include "log/log.h"
#include "net/loop.h"
#include "otlp-proto/wire.h"
#include "pipeline/component.h"
#include "pipeline/exporter.h"
#include "pipeline/host.h"
#include "pipeline/queue_settings.h"

enum { QUEUE_BYTES = 64 << 20, RESOURCE_LOGS = 1 };

struct conf {
    const char *storage;
    uint64_t max_mib, max_age_ns;
};

/* A body that is being written, one allocation with its frames. */
struct write {
    struct gw_log_commit c; /* first */
    struct self *self;
    struct gw_attempt *a;
    int rc;
    struct gw_log_frame frames[];
};

struct self {
    const struct conf *conf;
    struct gw_ctx ctx;
    struct gw_log *log;
    bool sync;
    uint32_t consumer;
    struct gw_loop *loop;
    struct gw_hook hook;
    struct gw_inbox done;
    struct gw_metric *kept, *bytes, *expired;
};

#define C struct conf
static const struct gw_field fields[] = {
    GW_ID_FIELD(C, storage, "storage", 1u << GW_EXTENSION, "Where they are; else the first of service::extensions."),
    GW_U64_FIELD(C, max_mib, "max_size_mib", "1024", 1, 1e12, "The oldest go, and are counted, when there is more."),
    GW_DURATION_FIELD(C, max_age_ns, "max_age", "720h", 0, 1e19, "Older ones go, and are counted; 0 = never."),
    {0},
};
#undef C

/* Small letters in great number, and none may be lost by giving up. */
static void queue_defaults(struct gw_queue_settings *s)
{
    s->queue.sizer = GW_SIZER_BYTES;
    s->queue.queue_size = QUEUE_BYTES;
    s->retry.initial_interval_ns = 100000000;
    s->retry.max_interval_ns = 5000000000;
    s->retry.max_elapsed_time_ns = 0;
}

/* ---- what the self-metrics show --------------------------------------------------------------------------- */

struct look {
    uint32_t id;
    struct gw_log_consumer c;
};

static void look_at(void *arg, const struct gw_log_consumer *c)
{
    struct look *l = arg;

    if (c->id == l->id)
        l->c = *c;
}

static struct gw_log_consumer consumer_of(const struct self *s)
{
    struct look l = {.id = s->consumer};

    (void)gw_log_consumers(s->log, look_at, &l);
    return l.c;
}

static uint64_t read_kept(void *arg)
{
    struct self *s = arg;
    struct gw_log_consumer c = consumer_of(s);
    struct gw_log_stats st;

    gw_log_stats(s->log, &st);
    return st.end_row > c.low_row + c.ahead_rows ? st.end_row - c.low_row - c.ahead_rows : 0;
}

static uint64_t read_bytes(void *arg)
{
    struct gw_log_stats st;

    gw_log_stats(((struct self *)arg)->log, &st);
    return st.bytes;
}

static uint64_t read_expired(void *arg)
{
    return consumer_of(arg).settled[GW_LOG_DROPPED];
}

static void make_metrics(struct self *s)
{
    const struct gw_label l = {"exporter", s->ctx.id};
    struct gw_meter *m = s->ctx.meter;

    s->kept = gw_meter_get_read(m, "staunch_dead_letters",
                                "Dead letters that are kept and neither replayed nor purged.", &l, 1, read_kept, s);
    s->bytes = gw_meter_get_read(m, "staunch_dead_letter_store_bytes", "Size of the dead letter store on disk.", &l, 1,
                                 read_bytes, s);
    s->expired =
        gw_meter_get_read(m, "staunch_dead_letters_expired",
                          "Dead letters that went because of max_size_mib or max_age.", &l, 1, read_expired, s);
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->ctx = *ctx;
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct self *s = self;
    struct gw_host *h = s->ctx.host;
    const struct gw_host_log what = {
        .storage = s->conf->storage,
        .kind = "dead_letters",
        .name = "",
        .retention = {.until_settled = true, .max_bytes = s->conf->max_mib << 20, .max_age_ns = s->conf->max_age_ns},
    };
    struct gw_storage st;
    int rc = h->ops->storage(h, s->conf->storage, &st, err);

    if (rc == 0)
        rc = h->ops->log(h, &what, &s->log, err);
    if (rc < 0)
        return rc;
    s->sync = st.sync;
    rc = gw_log_consumer_open(s->log, "replayed", GW_LOG_FROM_FIRST, &s->consumer);
    if (rc < 0)
        return gw_fail(err, rc, "the dead letters in %s: %s", st.directory, strerror(-rc));
    make_metrics(s);
    return 0;
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_metric_unread(s->kept, s);
    gw_metric_unread(s->bytes, s);
    gw_metric_unread(s->expired, s);
    free(s);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void answer(struct write *w)
{
    struct gw_attempt *a = w->a;
    struct gw_sent_info info = {.sent = GW_SENT_OK};

    if (w->rc < 0)
        info = (struct gw_sent_info){
            .sent = w->rc == -E2BIG ? GW_SENT_TOO_LARGE : GW_SENT_RETRY,
            .reason = w->rc == -ENOSPC   ? "no_space"
                      : w->rc == -EDQUOT ? "quota"
                                         : "store_failed",
            .message = strerror(-w->rc),
        };
    free(w);
    a->done(a, &info);
}

static void on_turn(struct gw_hook *h)
{
    struct self *s = (struct self *)((char *)h - offsetof(struct self, hook));

    for (struct gw_inbox_item *i = gw_inbox_take(&s->done), *next; i; i = next) {
        next = i->next;
        answer((struct write *)i);
    }
}

/* The commit's own link is free again when it is done. */
static void on_committed(struct gw_log_commit *c, int rc)
{
    struct write *w = (struct write *)c;
    struct self *s = w->self;

    w->rc = rc;
    if (gw_inbox_push(&s->done, &c->item))
        gw_loop_wake(s->loop);
}

static int open_loop(void *self, struct gw_loop *loop, struct gw_err *err)
{
    struct self *s = self;

    (void)err;
    s->loop = loop;
    s->hook.run = on_turn;
    gw_loop_add_hook(loop, &s->hook);
    return 0;
}

static void close_loop(void *self)
{
    struct self *s = self;

    if (s->loop)
        gw_loop_remove_hook(s->loop, &s->hook);
}

/* The resources of a body, of which dead letters have one each. Negative: it is no such body. */
static int count_letters(struct gw_slice body)
{
    struct gw_wire_walk w = gw_wire_walk(body);
    struct gw_wire_field f;
    int n = 0, rc;

    while ((rc = gw_wire_next(&w, &f)) > 0)
        if (f.number == RESOURCE_LOGS && f.wire == GW_LEN && n++ == INT32_MAX)
            return -E2BIG;
    return rc < 0 ? rc : n;
}

static void cut_letters(struct write *w, struct gw_slice body, uint64_t now_ns)
{
    struct gw_wire_walk walk = gw_wire_walk(body);
    struct gw_wire_field f;

    while (gw_wire_next(&walk, &f) > 0)
        if (f.number == RESOURCE_LOGS && f.wire == GW_LEN)
            w->frames[w->c.n_frames++] = (struct gw_log_frame){
                .time_ns = now_ns,
                .rows = 1,
                .signal = GW_LOGS,
                .body = gw_slice_of(f.at, (size_t)(f.val.p + f.val.n - f.at)),
            };
}

static void send(void *self, struct gw_attempt *a)
{
    static const struct gw_sent_info bad = {
        .sent = GW_SENT_PERMANENT, .reason = "malformed", .message = "no request of log records"};
    static const struct gw_sent_info full = {.sent = GW_SENT_RETRY, .reason = "memory", .message = "out of memory"};
    static const struct gw_sent_info empty = {.sent = GW_SENT_OK};
    struct self *s = self;
    int n = count_letters(a->body);
    struct write *w = n > 0 ? calloc(1, sizeof(*w) + (size_t)n * sizeof(w->frames[0])) : NULL;

    if (!w) {
        a->done(a, n < 0 ? &bad : n == 0 ? &empty : &full);
        return;
    }
    w->self = s;
    w->a = a;
    w->c.frames = w->frames;
    w->c.sync = s->sync;
    w->c.done = on_committed;
    cut_letters(w, a->body, gw_wall_ns(s->ctx.env));
    gw_log_submit(s->log, &w->c);
}

static const struct gw_exporter_ops ops = {
    .merge = GW_MERGE_OTLP,
    .queued = true,
    .queue_by_default = true,
    .keeps = true,
    .finishes = true,
    .queue_defaults = queue_defaults,
    .open = open_loop,
    .send = send,
    .close = close_loop,
};

const struct gw_component gw_exporter_dead_letter_store = {
    .kind = GW_EXPORTER,
    .name = "dead_letter_store",
    .summary = "Dead letters in a log of a storage, for `staunch dlq`.",
    .signals = GW_LOGS,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .create = create,
    .start = start,
    .destroy = destroy,
    .exporter = &ops,
};
