/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: pipelines that stand on a log. The one in front ends when its rows are stored; those behind read them at
 * their own pace, from where they stopped, also after a crash.
 *
 *     connectors:
 *       journal/orders: { storage: file_storage, partition_by: trace_id }
 *     service:
 *       pipelines:
 *         traces/in:    { receivers: [otlp], exporters: [journal/orders] }
 *         traces/out:   { receivers: [journal/orders], exporters: [kafka] }
 *         traces/count: { receivers: [journal/orders], exporters: [file] }
 *
 * docs/journal.md says what holds.
 */
#include "connectors/journal/journal.h"
#include "pipeline/parting.h"

#include <stdlib.h>

enum { MAX_BITMAP_BYTES = 1 << 28, LOOK_NS = 1000000000 };

/* ---- settings --------------------------------------------------------------------------------------------- */

static const char *const keys[] = {"none", "trace_id", "service", "tenant", "attributes", NULL};
static const char *const starts[] = {"earliest", "latest", NULL}; /* as enum gw_log_start */

static const struct gw_field retention_fields[] = {
    GW_DURATION_FIELD(struct journal_retention, max_age_ns, "max_age", "24h", 0, 3.2e18,
                      "Older rows go, whether they were read or not. 0: none goes for its age."),
    GW_U64_FIELD(struct journal_retention, max_bytes, "max_bytes", "0", 0, 0,
                 "When there is more, the oldest rows go, whether they were read or not. 0: no limit; then a full "
                 "storage refuses new ones."),
    GW_BOOL_FIELD(struct journal_retention, keep_unread, "keep_unread", "false",
                  "Neither takes what a pipeline has not read: at max_bytes new rows are refused instead."),
    {0},
};

static const struct gw_field dedup_fields[] = {
    GW_DURATION_FIELD(
        struct journal_dedup, window_ns, "window", "0s", 0, 3.2e18,
        "A request whose bytes were stored so shortly before is answered as stored, and not stored again: "
        "senders repeat what nobody answered. 0: off, all are stored."),
    GW_U64_FIELD(struct journal_dedup, max_bytes, "max_bytes", "16777216", 65536, 1e10,
                 "For what is known of requests, 32 bytes each. When there are more, the oldest are forgotten."),
    {0},
};

static const struct gw_field fields[] = {
    {GW_FIELD_(struct journal_settings, storage, "storage", GW_F_ID, NULL, 0, 0,
               "The file_storage that the journal lies in."),
     .kind_mask = 1u << GW_EXTENSION, .flags = GW_FF_REQUIRED},
    GW_ENUM_FIELD(struct journal_settings, partition_by, "partition_by", "service", keys,
                  "What must stay in order: rows of one trace (without a trace id: of one service), of one service, of "
                  "one tenant, or of equal attributes. It cannot be changed while there is data."),
    GW_STRINGS_FIELD(struct journal_settings, attributes, "attributes",
                     "With partition_by: attributes. Each is looked for in the row, else in its scope, else in its "
                     "resource."),
    GW_U64_FIELD(
        struct journal_settings, partitions, "partitions", "0", 0, JOURNAL_PARTITIONS,
        "How many partitions its rows lie in: a power of two, so many workers can read at the same time. It can "
        "become more with any start, and fewer when all pipelines have read everything. 0: what it has, or more "
        "when there are more workers; a new one gets 1 for one worker, else four for each, at most 16."),
    GW_ENUM_FIELD(struct journal_settings, start, "start", "earliest", starts,
                  "Where a pipeline begins that has not read this journal before."),
    GW_BLOCK_FIELD(struct journal_settings, retention, "retention", retention_fields, "How long rows stay."),
    GW_BLOCK_FIELD(struct journal_settings, dedup, "dedup", dedup_fields, "Requests that come again."),
    GW_U64_FIELD(struct journal_settings, in_flight_bytes, "in_flight_bytes", "8388608", 65536, 1e9,
                 "Of rows that a pipeline has been given and has not done, in each worker."),
    GW_U64_FIELD(struct journal_settings, head_bytes, "head_bytes", "16777216", 0, 1e9,
                 "Of the newest rows that stay in memory for pipelines that are nearly at the end, in each worker."),
    GW_U64_FIELD(
        struct journal_settings, live_bytes, "live_bytes", "8388608", 0, 1e9,
        "Of the newest rows that stay as they were decoded, for pipelines that are at the end, in each worker: "
        "columns and payloads. 0: their bytes are decoded again."),
    GW_BOOL_FIELD(
        struct journal_settings, in_order, "in_order", "false",
        "Rows of a partition reach the sinks in order behind queues in memory, too: the next ones go when the "
        "sinks have those before. Requests of different connections go together, then without their "
        "addresses."),
    {0},
};

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct journal_settings *s = conf;
    const struct gw_node *n = gw_node_get(node, s->partition_by == BY_ATTRIBUTES ? "partition_by" : "attributes");
    const struct gw_node *many = gw_node_get(node, "partitions");

    if (s->partitions & (s->partitions - 1))
        gw_diag_add(diag, GW_DIAG_ERROR, many ? &many->place : NULL,
                    "partitions must be a power of two: 1, 2, 4, 8, 16, 32 or 64");

    if (s->partition_by == BY_ATTRIBUTES && s->attributes.n == 0)
        gw_diag_add(diag, GW_DIAG_ERROR, n ? &n->place : NULL,
                    "partition_by: attributes needs attributes: a list of names");
    if (s->partition_by != BY_ATTRIBUTES && s->attributes.n)
        gw_diag_add(diag, GW_DIAG_ERROR, n ? &n->place : NULL, "attributes count only with partition_by: attributes");
    n = gw_node_get(node, "dedup");
    if (s->retention.max_age_ns && s->dedup.window_ns > s->retention.max_age_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, n ? &n->place : NULL,
                    "dedup::window is longer than retention::max_age: after a restart the journal would not know what "
                    "is gone");
}

/* ---- the one instance ------------------------------------------------------------------------------------- */

const char *gw_journal_name(const struct journal *j)
{
    const char *slash = strchr(j->ctx.id, '/');

    return slash ? slash + 1 : "default";
}

static int open_log(struct journal *j, struct gw_err *err)
{
    struct gw_host *h = j->ctx.host;
    const char *slash = strchr(j->ctx.id, '/');
    bool is_taken = slash && strcmp(slash + 1, "default") == 0;
    struct gw_host_log what = {
        .storage = j->conf.storage,
        .kind = "journal",
        .name = gw_journal_name(j),
        .retention = gw_journal_retention(&j->conf, GW_LOG_KEEP_ALL), /* until it is known who reads */
    };
    struct gw_log_stats stats = {.last_time_ns = 0};
    struct gw_storage st;
    int rc = is_taken ? gw_fail(err, -EINVAL, "that name belongs to the journal that has none")
                      : h->ops->storage(h, j->conf.storage, &st, err);

    if (rc == 0)
        rc = h->ops->log(h, &what, &j->log, err);
    j->sync = rc == 0 && st.sync;
    if (rc == 0)
        gw_log_stats(j->log, &stats);
    j->last_ns = stats.last_time_ns; /* it may be ahead of the clock: then it goes on from there */
    j->last_mono_ns = gw_mono_ns(j->ctx.env);
    j->reader = rc == 0 ? h->ops->log_reads(h, j->log) : NULL;
    return rc;
}

static int make_locals(struct journal *j)
{
    j->locals = calloc(j->ctx.n_workers, sizeof(*j->locals));
    for (unsigned i = 0; j->locals && i < j->ctx.n_workers; i++) {
        struct local *l = &j->locals[i];

        l->journal = j;
        l->index = i;
        l->last_live = &l->live;
        gw_buf_init(&l->bitmap, MAX_BITMAP_BYTES);
    }
    return j->locals ? 0 : -ENOMEM;
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct journal *j = calloc(1, sizeof(*j));
    int rc;

    *ret_self = j;
    if (!j)
        return gw_fail(err, -ENOMEM, "out of memory");
    j->ctx = *ctx;
    j->conf = *(const struct journal_settings *)conf;
    j->memory = ctx->host->memory;
    j->in_flight_bytes = j->conf.in_flight_bytes;
    j->head_bytes = j->conf.head_bytes;
    j->live_bytes = j->conf.live_bytes;
    j->in_order = j->conf.in_order;
    (void)pthread_mutex_init(&j->lock, NULL);
    (void)pthread_mutex_init(&j->order, NULL);
    j->last_consumer = &j->consumers;
    if (make_locals(j) < 0)
        return gw_fail(err, -ENOMEM, "out of memory");
    rc = open_log(j, err);
    if (rc == 0)
        rc = gw_journal_parting_open(j, err);
    if (rc < 0)
        return rc;
    gw_journal_metrics_make(j);
    return gw_journal_dedup_open(j) < 0 ? gw_fail(err, -ENOMEM, "out of memory") : 0;
}

static void drop_committed(struct local *l)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&l->committed), *next; i; i = next) {
        next = i->next;
        gw_journal_block_unref(((struct block_link *)i)->block);
    }
}

/* The log is closed: no commit comes back any more. */
static void destroy(void *self)
{
    struct journal *j = self;

    if (!j)
        return;
    gw_journal_metrics_clear(j);
    for (unsigned i = 0; j->locals && i < j->ctx.n_workers; i++) {
        struct local *l = &j->locals[i];

        drop_committed(l);
        gw_buf_clear(&l->bitmap);
        free(l->head);
        gw_journal_lanes_free(l);
    }
    free(j->locals);
    gw_journal_dedup_close(j);
    gw_journal_parting_close(j);
    gw_journal_consumers_forget(j);
    (void)pthread_mutex_destroy(&j->lock);
    (void)pthread_mutex_destroy(&j->order);
    free(j);
}

/* ---- a worker's share ------------------------------------------------------------------------------------- */

/* In the order of seq; what the lanes have passed is not kept. */
static void take_committed(struct local *l)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&l->committed), *next; i; i = next) {
        struct block_link *k = (struct block_link *)i;

        next = i->next;
        gw_journal_live_add(l, k);
        gw_journal_head_add(l, k->block);
        for (unsigned m = 0; m < l->n_lanes; m++)
            l->lanes[m]->ended = false;
    }
}

static uint64_t least_next(const struct local *l)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < l->n_lanes; i++)
        least = l->lanes[i]->next < least ? l->lanes[i]->next : least;
    return least;
}

static void arm(struct local *l)
{
    uint64_t due = l->index == 0 && l->n_lanes ? l->look_ns : 0;

    for (unsigned i = 0; i < l->n_lanes; i++) {
        uint64_t at = gw_journal_lane_due(l->lanes[i]);

        due = at && (!due || at < due) ? at : due;
    }
    if (due && (!gw_timer_is_armed(&l->timer) || l->timer.due_ns > due))
        gw_timer_arm(l->loop, &l->timer, due);
}

static void on_turn(struct gw_hook *h)
{
    struct local *l = (struct local *)((char *)h - offsetof(struct local, hook));
    bool more = false;

    gw_journal_fetched(l);
    take_committed(l);
    gw_journal_positions_back(l);
    for (unsigned i = 0; i < l->n_lanes; i++)
        more |= gw_journal_lane_run(l->lanes[i]);
    gw_journal_head_trim(l, least_next(l));
    gw_journal_live_trim(l);
    if (more)
        gw_loop_again(l->loop);
    arm(l);
}

static void on_timer(struct gw_timer *t)
{
    struct local *l = (struct local *)((char *)t - offsetof(struct local, timer));
    uint64_t now = gw_loop_now_ns(l->loop);

    for (unsigned i = 0; i < l->n_lanes; i++)
        gw_journal_lane_look(l->lanes[i]);
    if (now < l->look_ns)
        return;
    if (l->index == 0)
        gw_journal_consumers_look(l->journal);
    l->look_ns = now + LOOK_NS;
}

static int open_local(void *self, struct gw_loop *loop, struct gw_intake *list, void **ret_local, struct gw_err *err)
{
    struct journal *j = self;
    struct local *l;
    int rc;

    (void)pthread_mutex_lock(&j->lock);
    l = &j->locals[list ? list->worker : j->n_opened++]; /* who only appends is as good as any other */
    (void)pthread_mutex_unlock(&j->lock);
    l->loop = loop;
    rc = gw_journal_lanes_open(l, list, err);
    l->hook.run = on_turn;
    l->timer.fire = on_timer;
    l->look_ns = gw_loop_now_ns(loop) + LOOK_NS;
    if (rc == 0) {
        gw_loop_add_hook(loop, &l->hook);
        atomic_store(&l->open, true);
        (void)atomic_fetch_add(&j->n_open, 1);
    }
    *ret_local = l;
    return rc;
}

static void quiesce(void *local)
{
    ((struct local *)local)->quiesced = true;
}

static bool is_idle(void *local)
{
    struct local *l = local;

    for (unsigned i = 0; i < l->n_lanes; i++)
        if (!gw_journal_lane_is_idle(l->lanes[i]))
            return false;
    return atomic_load(&l->n_pending) == 0;
}

static void close_local(void *local)
{
    struct local *l = local;

    if (atomic_load(&l->open)) {
        gw_loop_remove_hook(l->loop, &l->hook);
        gw_timer_disarm(&l->timer);
        if (atomic_fetch_sub(&l->journal->n_open, 1) == 1)
            gw_journal_dedup_rest(l->journal);
    }
    atomic_store(&l->open, false);
    gw_journal_lanes_close(l);
    (void)gw_inbox_take(&l->fetched); /* the lanes dropped what it brought */
    drop_committed(l);
    gw_journal_live_clear(l);
    gw_journal_head_clear(l);
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    gw_journal_append(self, v, out);
}

static int drain(void *self, struct gw_ports *out)
{
    (void)out;
    return atomic_load(&((struct local *)self)->n_pending) ? GW_MORE : GW_DONE;
}

static const char *partitioned(const void *conf)
{
    return ((const struct journal_settings *)conf)->partition_by == BY_TRACE_ID ? "trace_id" : NULL;
}

static void parting(const void *conf, struct gw_parting *ret)
{
    static const enum gw_parting_by by[] = {[BY_NONE] = GW_PART_NONE,
                                            [BY_TRACE_ID] = GW_PART_TRACE,
                                            [BY_SERVICE] = GW_PART_SERVICE,
                                            [BY_TENANT] = GW_PART_TENANT,
                                            [BY_ATTRIBUTES] = GW_PART_ATTRIBUTES};
    const struct journal_settings *s = conf;

    *ret = (struct gw_parting){.by = by[s->partition_by], .attributes = s->attributes};
}

static unsigned reads_for(const void *conf)
{
    const struct journal_settings *s = conf;

    return GW_C_ROW | GW_C_RESOURCE | (s->partition_by == BY_ATTRIBUTES ? GW_C_ATTRS : 0);
}

static uint64_t retains_ns(const void *conf)
{
    const struct journal_retention *r = &((const struct journal_settings *)conf)->retention;

    return r->keep_unread || r->max_age_ns == 0 ? UINT64_MAX : r->max_age_ns;
}

const struct gw_component gw_connector_journal = {
    .kind = GW_CONNECTOR,
    .name = "journal",
    .summary = "Pipelines that stand on a log: rows are stored, and read by position, in order of a key.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_ROW | GW_C_ATTRS | GW_C_RESOURCE,
    .reads_for = reads_for,
    .expands = 1,
    .partitioned = partitioned,
    .parting = parting,
    .retains_ns = retains_ns,
    .fields = fields,
    .conf_size = sizeof(struct journal_settings),
    .check = check,
    .create = create,
    .destroy = destroy,
    .renew = gw_journal_renew,
    .consume = consume,
    .drain = drain,
    .open = open_local,
    .quiesce = quiesce,
    .is_idle = is_idle,
    .close = close_local,
    .behind = &gw_journal_behind,
};
