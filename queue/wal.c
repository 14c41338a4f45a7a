/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/wal.h"

#include <pthread.h>
#include <stdlib.h>

#include "otlp-proto/encode.h"
#include "queue/edge_impl.h"
#include "queue/meta_bytes.h"

enum { MAX_META_BYTES = 256 << 10 };

struct gw_wal {
    struct gw_wal_conf conf;
    pthread_mutex_t lock; /* of the feeds: edges come and go when the configuration changes */
    struct gw_feed *feeds[GW_WAL_EDGES];
    unsigned n_feeds;
    _Atomic bool sync, early; /* as conf has them, or as a later configuration wants it */
    _Atomic uint64_t pending, pending_rows;
    _Atomic uint64_t n_submitted; /* commits, and of these those that are done (under the lock) */
    uint64_t n_done;
    struct gw_metric *failed;
};

/** One view on its way to the log. */
struct entry {
    struct gw_log_commit commit; /* first */
    struct gw_log_frame frame;
    struct gw_wal *wal;
    struct gw_payload *payload;
    struct gw_meta *meta;
    uint64_t charged_bytes, requests;
    struct units {
        struct gw_edge *edge;
        uint64_t n;
    } units[GW_WAL_EDGES]; /* taken of the edges that were there when it was put */
    unsigned n_units;
    uint32_t n_receipts;
    struct gw_receipt receipts[];
    /* then the bytes of frame.meta */
};

int gw_wal_new(const struct gw_wal_conf *conf, struct gw_wal **ret)
{
    struct gw_wal *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->conf = *conf;
    gw_wal_update(w, conf->sync, conf->early);
    (void)pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

void gw_wal_free(struct gw_wal *w)
{
    if (!w)
        return;
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

static struct gw_feed *feed_of(const struct gw_wal *w, const struct gw_edge *e)
{
    for (unsigned i = 0; i < w->n_feeds; i++)
        if (w->feeds[i]->edge == e)
            return w->feeds[i];
    return NULL;
}

/* The one that gets what the consumer has open. */
static struct gw_feed *active_of(const struct gw_wal *w, uint32_t consumer)
{
    for (unsigned i = 0; i < w->n_feeds; i++)
        if (w->feeds[i]->consumer == consumer && atomic_load(&w->feeds[i]->active))
            return w->feeds[i];
    return NULL;
}

int gw_wal_add_edge(struct gw_wal *w, struct gw_edge *e, struct gw_err *err)
{
    struct gw_feed *s;
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    if (!feed_of(w, e)) {
        rc = w->n_feeds == GW_WAL_EDGES
                 ? gw_fail(err, -E2BIG, "more than %d exporters share one queue on disk", GW_WAL_EDGES)
                 : gw_feed_new(e, &w->conf, &s, err);
        if (rc == 0) {
            w->feeds[w->n_feeds++] = s;
            if (!active_of(w, s->consumer))
                gw_feed_activate(s);
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

void gw_wal_update(struct gw_wal *w, bool sync, bool early)
{
    atomic_store(&w->sync, sync);
    atomic_store(&w->early, early);
}

void gw_wal_set_batching(struct gw_wal *w, const struct gw_batching *batching)
{
    (void)pthread_mutex_lock(&w->lock);
    w->conf.batching = batching;
    (void)pthread_mutex_unlock(&w->lock);
}

static const struct gw_feed *heir_of(const struct gw_wal *w, const struct gw_feed *s)
{
    for (unsigned i = 0; i < w->n_feeds; i++)
        if (w->feeds[i] != s && w->feeds[i]->consumer == s->consumer)
            return w->feeds[i];
    return NULL;
}

void gw_wal_retire_edge(struct gw_wal *w, const struct gw_edge *e)
{
    struct gw_feed *s;

    (void)pthread_mutex_lock(&w->lock);
    s = feed_of(w, e);
    if (s) {
        s->leaves = true;
        s->until = atomic_load(&w->n_submitted);
        if (heir_of(w, s)) /* it reads no more, either: what it has in memory is enough */
            atomic_store(&s->active, false);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

bool gw_wal_heritage(struct gw_wal *w, const struct gw_edge *e, enum gw_wal_heritage *ret, bool *ret_more)
{
    const struct gw_feed *s;

    (void)pthread_mutex_lock(&w->lock);
    s = feed_of(w, e);
    if (s) {
        *ret = heir_of(w, s) ? GW_WAL_HEIR : GW_WAL_NO_HEIR;
        *ret_more = w->n_done < s->until;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return s != NULL;
}

void gw_wal_remove_edge(struct gw_wal *w, const struct gw_edge *e)
{
    struct gw_feed *gone;

    (void)pthread_mutex_lock(&w->lock);
    gone = feed_of(w, e);
    if (gone && gone->leaves && !heir_of(w, gone) && gw_feed_is_in_step(gone))
        (void)gw_log_consumer_release(w->conf.log, gw_edge_id(e));
    for (unsigned i = 0, n = 0; gone && i < w->n_feeds; i++)
        if (w->feeds[i] != gone)
            w->feeds[n++] = w->feeds[i];
    w->n_feeds -= gone != NULL;
    for (unsigned i = 0; gone && i < w->n_feeds; i++)
        if (w->feeds[i]->consumer == gone->consumer && !active_of(w, gone->consumer))
            gw_feed_activate(w->feeds[i]);
    (void)pthread_mutex_unlock(&w->lock);
}

struct gw_log *gw_wal_log(const struct gw_wal *w)
{
    return w->conf.log;
}

uint64_t gw_wal_pending(const struct gw_wal *w)
{
    return atomic_load(&w->pending);
}

uint64_t gw_wal_pending_rows(const struct gw_wal *w)
{
    return atomic_load(&w->pending_rows);
}

/* ---- done ------------------------------------------------------------------------------------------------- */

static void count_failed(const struct gw_wal *w, uint64_t rows, int rc)
{
    const char *reason = rc == -ENOSPC || rc == -EDQUOT ? "storage_full" : rc == -ENOMEM ? "memory" : "storage_error";
    const struct gw_label l[] = {{"pipeline", w->conf.pipeline ? w->conf.pipeline : ""},
                                 {"signal", gw_signal_name(w->conf.signal)},
                                 {"reason", reason}};

    gw_metric_add(gw_meter_get(w->conf.meter, GW_COUNTER, "staunch_queue_refused_items",
                               "Items that the queue on disk did not take; their senders were told to come again.", l,
                               3),
                  rows);
}

static const char *why_not(int rc)
{
    switch (-rc) {
    case ENOSPC:
        return "the disk of the queue is full";
    case EDQUOT:
        return "the queue on disk is full";
    case ESHUTDOWN:
        return "the gateway stops";
    case ENOMEM:
        return "data refused due to high memory usage";
    default:
        return "the queue cannot be written to disk";
    }
}

static void settle(struct entry *n, enum gw_outcome outcome, const char *message)
{
    for (uint32_t i = 0; i < n->n_receipts; i++) {
        gw_ticket_settle(n->receipts[i].ticket, n->receipts[i].rows, outcome, message);
        (void)gw_ticket_unref(n->receipts[i].ticket);
    }
    n->n_receipts = 0;
}

/* The units of an edge go back: nothing of it is queued there. An edge that is not behind the wal any more may be gone.
 */
static void unreserve(struct entry *n)
{
    (void)pthread_mutex_lock(&n->wal->lock);
    for (unsigned i = 0; i < n->n_units; i++) {
        if (!feed_of(n->wal, n->units[i].edge))
            continue;
        gw_edge_count_refused(n->units[i].edge, n->wal->conf.signal, n->frame.rows);
        gw_edge_unreserve(n->units[i].edge, n->wal->conf.signal, n->units[i].n);
    }
    (void)pthread_mutex_unlock(&n->wal->lock);
}

/* What was taken of that edge; none for one that came later. */
static uint64_t units_of(const struct entry *n, const struct gw_edge *e)
{
    for (unsigned i = 0; i < n->n_units; i++)
        if (n->units[i].edge == e)
            return n->units[i].n;
    return 0;
}

static void free_entry(struct entry *n)
{
    (void)gw_payload_unref(n->payload);
    (void)gw_meta_unref(n->meta);
    gw_credit_give(n->wal->conf.memory, n->charged_bytes);
    free(n);
}

/* To all that get rows now: stored, or, when it could not be and was promised before (early) or nobody waits, through
 * memory. */
static void hand_on(struct entry *n, void (*push)(struct gw_feed *s, const struct gw_committed *m))
{
    struct gw_wal *w = n->wal;

    (void)pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; i < w->n_feeds; i++)
        if (atomic_load(&w->feeds[i]->active) && !(w->feeds[i]->leaves && w->n_done >= w->feeds[i]->until))
            push(w->feeds[i], &(struct gw_committed){&n->frame, n->payload, n->meta, units_of(n, w->feeds[i]->edge)});
    (void)pthread_mutex_unlock(&w->lock);
}

static void on_done(struct gw_log_commit *c, int rc)
{
    struct entry *n = (struct entry *)c;
    struct gw_wal *w = n->wal;
    uint32_t rows = n->frame.rows;
    bool waited = n->n_receipts > 0;

    if (rc == 0) {
        hand_on(n, gw_feed_push);
        settle(n, GW_STORED, NULL);
    } else {
        gw_log(&w->conf.logger, GW_LOG_ERROR, "%s (%s)", why_not(rc), strerror(-rc));
        if (waited) {
            count_failed(w, rows, rc);
            unreserve(n);
            settle(n, GW_REFUSED, why_not(rc));
        } else {
            hand_on(n, gw_feed_push_unstored);
        }
    }
    free_entry(n);
    (void)pthread_mutex_lock(&w->lock);
    w->n_done++;
    (void)pthread_mutex_unlock(&w->lock);
    atomic_fetch_sub(&w->pending_rows, rows);
    atomic_fetch_sub(&w->pending, 1);
}

/* ---- put -------------------------------------------------------------------------------------------------- */

/* The view as OTLP: the payload as it came when nothing was changed. */
static struct gw_payload *body_of(const struct gw_view *v, struct gw_buf *scratch)
{
    struct gw_payload *pl;

    if (gw_view_is_whole_payload(v))
        return gw_payload_ref(v->batch->payload);
    gw_buf_reset(scratch);
    if (gw_encode(v, scratch) < 0 || scratch->failed || !(pl = gw_payload_new(scratch->n)))
        return NULL;
    memcpy(pl->p, scratch->p, scratch->n);
    pl->n = (uint32_t)scratch->n;
    return pl;
}

static struct entry *new_entry(struct gw_wal *w, struct gw_payload *pl, uint32_t rows, const struct gw_meta *meta,
                               uint64_t requests, uint32_t max_receipts, uint64_t time_ns)
{
    struct gw_buf bytes;
    struct entry *n = NULL;
    size_t head = sizeof(*n) + max_receipts * sizeof(struct gw_receipt);

    gw_buf_init(&bytes, MAX_META_BYTES);
    gw_meta_to_bytes(meta, (uint32_t)requests, &bytes);
    if (!bytes.failed && gw_credit_take(w->conf.memory, pl->n)) {
        n = malloc(head + bytes.n);
        if (!n)
            gw_credit_give(w->conf.memory, pl->n);
    }
    if (n) {
        uint8_t *at = (uint8_t *)n + head;

        memcpy(at, bytes.p, bytes.n);
        *n = (struct entry){.wal = w, .payload = gw_payload_ref(pl), .charged_bytes = pl->n, .requests = requests};
        n->meta = meta ? gw_meta_ref(meta) : NULL;
        n->frame = (struct gw_log_frame){.time_ns = time_ns,
                                         .rows = rows,
                                         .signal = (uint8_t)w->conf.signal,
                                         .meta = {at, bytes.n},
                                         .body = {pl->p, pl->n}};
        n->commit =
            (struct gw_log_commit){.frames = &n->frame, .n_frames = 1, .sync = atomic_load(&w->sync), .done = on_done};
    }
    gw_buf_clear(&bytes);
    return n;
}

/* Units of the door's reservation that this frame uses; what it needs beyond is taken without asking. */
static void take_units(struct entry *n, const struct gw_wal_put *how)
{
    for (unsigned i = 0; i < how->n_ways && i < GW_WAL_EDGES; i++) {
        struct gw_edge *e = (struct gw_edge *)(uintptr_t)how->ways[i].edge;
        uint64_t units = gw_edge_units(e, n->requests, n->frame.rows, n->frame.body.n), ours = 0;
        uint64_t *reserved = how->reserved ? &how->reserved[how->ways[i].index] : NULL;

        if (reserved) {
            ours = *reserved < units ? *reserved : units;
            *reserved -= ours;
        }
        gw_edge_take_units(e, n->wal->conf.signal, units - ours);
        n->units[n->n_units++] = (struct units){e, units};
    }
}

static void submit(struct entry *n)
{
    struct gw_wal *w = n->wal;

    atomic_fetch_add(&w->pending, 1);
    atomic_fetch_add(&w->pending_rows, n->frame.rows);
    atomic_fetch_add(&w->n_submitted, 1);
    if (atomic_load(&w->early))
        settle(n, GW_STORED, NULL);
    gw_log_submit(w->conf.log, &n->commit);
}

static void refuse(struct gw_wal *w, struct gw_view *v, struct gw_ledger *ledger)
{
    count_failed(w, v->n_rows, -ENOMEM);
    gw_view_settle_all(v, ledger, GW_REFUSED, "memory_limit", why_not(-ENOMEM));
}

void gw_wal_put(struct gw_wal *w, struct gw_view *v, const struct gw_wal_put *how)
{
    struct gw_payload *pl = v->n_rows && !v->failed ? body_of(v, how->scratch) : NULL;
    struct entry *n = NULL;

    if (pl)
        n = new_entry(w, pl, v->n_rows, v->meta, gw_view_requests(v), v->batch->n_segments, v->batch->received_ns);
    (void)gw_payload_unref(pl);
    if (n) {
        take_units(n, how);
        n->n_receipts = gw_view_receipts(v, n->receipts);
        gw_view_clear(v);
        submit(n);
        return;
    }
    if (v->n_rows)
        refuse(w, v, how->ledger);
    gw_view_clear(v);
}

bool gw_wal_put_bytes(struct gw_wal *w, const struct gw_edge *e, struct gw_slice body, uint32_t rows,
                      struct gw_ticket *receipt)
{
    const struct gw_wal_way way = {e, 0};
    struct gw_payload *pl = gw_payload_new(body.n);
    struct entry *n = NULL;

    if (pl) {
        memcpy(pl->p, body.p, body.n);
        pl->n = (uint32_t)body.n;
        n = new_entry(w, pl, rows, NULL, 1, receipt != NULL, gw_wall_ns(w->conf.env));
    }
    (void)gw_payload_unref(pl);
    if (!n)
        return false;
    if (receipt)
        n->receipts[n->n_receipts++] = (struct gw_receipt){receipt, rows};
    take_units(n, &(struct gw_wal_put){.ways = &way, .n_ways = 1});
    submit(n);
    return true;
}
