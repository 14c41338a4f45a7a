/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/wal_impl.h"

#include <pthread.h>
#include <stdlib.h>

#include "otlp-proto/encode.h"
#include "queue/meta_bytes.h"

enum { MAX_META_BYTES = 256 << 10 };

struct gw_wal {
    struct gw_wal_conf conf;
    _Atomic bool sync, early; /* as conf has them, or as a later configuration wants it */
    _Atomic uint64_t pending, pending_rows;
    pthread_mutex_t lock; /* of all below: edges come and go when the configuration changes */
    struct gw_feed *feeds[GW_WAL_EDGES];
    unsigned n_feeds;
    struct gw_account *accounts;
    struct entry *first, **last; /* whose commit is not done, in order of their numbers */
    uint64_t n_submitted;
    uint64_t end_seq, end_row; /* of the log, as far as commits are done */
};

int gw_wal_new(const struct gw_wal_conf *conf, struct gw_wal **ret)
{
    struct gw_wal *w = calloc(1, sizeof(*w));
    struct gw_log_stats st;

    if (!w)
        return -ENOMEM;
    w->conf = *conf;
    w->last = &w->first;
    gw_log_stats(conf->log, &st);
    w->end_seq = st.end_seq;
    w->end_row = st.end_row;
    gw_wal_update(w, conf->sync, conf->early);
    (void)pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

void gw_wal_free(struct gw_wal *w)
{
    for (struct gw_account *a = w->accounts, *next; a; a = next) {
        next = a->next;
        free(a);
    }
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

/* The one that knows how far the consumer is. */
static struct gw_feed *owner_of(const struct gw_wal *w, const struct gw_account *a)
{
    for (unsigned i = 0; i < w->n_feeds; i++)
        if (w->feeds[i]->account == a && atomic_load(&w->feeds[i]->owns))
            return w->feeds[i];
    return NULL;
}

/* Some edge is there that will get what is put now. */
static bool is_open(const struct gw_wal *w, const struct gw_account *a)
{
    for (unsigned i = 0; i < w->n_feeds; i++)
        if (w->feeds[i]->account == a && !w->feeds[i]->leaves)
            return true;
    return false;
}

static struct gw_account *new_account(struct gw_wal *w, const struct gw_feed *s)
{
    const struct gw_book key = {.kind = GW_BOOK_EXPORTER,
                                .signal = w->conf.signal,
                                .pipeline = w->conf.pipeline,
                                .component = gw_edge_id(s->edge),
                                .from = w};
    struct gw_log_consumer c = gw_feed_consumer(s);
    struct gw_book *book = s->edge->conf.book ? s->edge->conf.book(s->edge->conf.arg, &key) : NULL;
    struct gw_account *a = w->accounts;

    if (s->edge->conf.book && !book)
        return NULL;
    while (a && (a->consumer || a->book != book))
        a = a->next;
    if (!a) {
        a = calloc(1, sizeof(*a));
        if (!a)
            return NULL;
        *a = (struct gw_account){.next = w->accounts, .book = book};
        w->accounts = a;
    }
    gw_account_open(a, &c, w->end_row);
    return a;
}

static struct gw_account *account_for(struct gw_wal *w, const struct gw_feed *s)
{
    struct gw_account *a = w->accounts;

    while (a && a->consumer != s->consumer)
        a = a->next;
    if (!a)
        return new_account(w, s);
    gw_account_reach(a, w->end_row);
    return a;
}

/* expected: what the one before it did not get done. More is open when that could not note all of what it did. */
static void activate(struct gw_wal *w, struct gw_feed *s, uint64_t expected, bool unnoted)
{
    uint64_t open = gw_feed_activate(s, w->end_seq, w->end_row);

    if (unnoted && open > expected)
        gw_account_add(s->account, 0, GW_E_CREATED, open - expected);
    s->account->left = 0;
}

static int add_feed(struct gw_wal *w, struct gw_edge *e, struct gw_err *err)
{
    struct gw_feed *s;
    int rc;

    if (w->n_feeds == GW_WAL_EDGES)
        return gw_fail(err, -E2BIG, "more than %d exporters share one queue on disk", GW_WAL_EDGES);
    rc = gw_feed_new(e, &w->conf, &s, err);
    if (rc < 0)
        return rc;
    s->wal = w;
    s->account = account_for(w, s);
    if (!s->account) { /* the edge frees the feed */
        gw_feed_forget(s);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    w->feeds[w->n_feeds++] = s;
    if (!owner_of(w, s->account))
        activate(w, s, 0, /* unnoted= */ false);
    return 0;
}

int gw_wal_add_edge(struct gw_wal *w, struct gw_edge *e, struct gw_err *err)
{
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    if (!feed_of(w, e))
        rc = add_feed(w, e, err);
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
        s->until = w->n_submitted;
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
        *ret_more = w->first && w->first->number < s->until;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return s != NULL;
}

/* Rows that are still on their way were promised to those that were there before. */
static void never_taken(struct gw_wal *w, struct gw_account *a)
{
    gw_account_add(a, 0, GW_E_REFUSED, a->left);
    a->left = 0;
    for (struct entry *n = w->first; n; n = n->next)
        for (unsigned i = 0; i < n->n_booked; i++)
            if (n->booked[i] == a) {
                gw_account_add(a, n->cut, GW_E_REFUSED, n->frame.rows);
                n->booked[i--] = n->booked[--n->n_booked];
            }
}

/* What an edge that has gone did not get done is its heir's; without one nobody's. */
static void pass_on(struct gw_wal *w, const struct gw_feed *gone)
{
    struct gw_account *a = gone->account;
    struct gw_feed *heir = (struct gw_feed *)(uintptr_t)heir_of(w, gone);

    a->left = a->end_row - gw_feed_taken(gone);
    if (heir) {
        activate(w, heir, a->left, atomic_load(&gone->unnoted));
    } else if (gone->leaves ? gw_feed_is_in_step(gone) && gone->left_rows == 0 : gone->is_new) {
        never_taken(w, a);
        (void)gw_log_consumer_release(w->conf.log, gw_edge_id(gone->edge));
        a->consumer = 0;
    }
}

void gw_wal_remove_edge(struct gw_wal *w, const struct gw_edge *e)
{
    struct gw_feed *gone;

    (void)pthread_mutex_lock(&w->lock);
    gone = feed_of(w, e);
    for (unsigned i = 0, n = 0; gone && i < w->n_feeds; i++)
        if (w->feeds[i] != gone)
            w->feeds[n++] = w->feeds[i];
    w->n_feeds -= gone != NULL;
    if (gone && atomic_load(&gone->owns))
        pass_on(w, gone);
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
    for (unsigned i = 0; i < n->n_units; i++) {
        if (!feed_of(n->wal, n->units[i].edge))
            continue;
        gw_edge_count_refused(n->units[i].edge, n->wal->conf.signal, n->frame.rows);
        gw_edge_unreserve(n->units[i].edge, n->wal->conf.signal, n->units[i].n);
    }
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

static bool is_booked(const struct entry *n, const struct gw_account *a)
{
    for (unsigned i = 0; i < n->n_booked; i++)
        if (n->booked[i] == a)
            return true;
    return false;
}

/* The consumer is given it: it was there when it was put, or has come since and the log thinks so, too. */
static bool gets(const struct entry *n, const struct gw_account *a, bool stored)
{
    return is_booked(n, a) || (is_open(n->wal, a) && (!stored || n->frame.row >= a->first_row));
}

static struct gw_committed committed(const struct entry *n, const struct gw_edge *e)
{
    return (struct gw_committed){
        .frame = &n->frame, .payload = n->payload, .meta = n->meta, .units = units_of(n, e), .cut = n->cut};
}

static void push(const struct entry *n)
{
    struct gw_wal *w = n->wal;

    for (unsigned i = 0; i < w->n_feeds; i++) {
        struct gw_feed *s = w->feeds[i];
        struct gw_committed m = committed(n, s->edge);

        if (atomic_load(&s->active) && !(s->leaves && n->number >= s->until) && gets(n, s->account, true))
            gw_feed_push(s, &m);
    }
}

/* To all that get rows now. */
static void hand_on(struct entry *n)
{
    struct gw_wal *w = n->wal;

    for (struct gw_account *a = w->accounts; a; a = a->next) {
        if (!gets(n, a, true))
            continue;
        if (!is_booked(n, a))
            gw_account_add(a, n->cut, GW_E_IN, n->frame.rows);
        gw_account_commit(a, n->cut, &n->frame);
        if (!owner_of(w, a))
            a->left += n->frame.rows;
    }
    push(n);
    w->end_seq = n->frame.seq + 1;
    w->end_row = n->frame.row + n->frame.rows;
}

/* Whoever draws for the consumer, or is going to. */
static struct gw_feed *taker_of(const struct gw_wal *w, const struct gw_account *a)
{
    struct gw_feed *some = NULL;

    for (unsigned i = 0; i < w->n_feeds; i++) {
        if (w->feeds[i]->account != a)
            continue;
        if (atomic_load(&w->feeds[i]->active))
            return w->feeds[i];
        some = w->feeds[i];
    }
    return some;
}

/* It could not be stored, and was promised before (early) or nobody waits: through memory. */
static void hand_on_unstored(struct entry *n)
{
    for (struct gw_account *a = n->wal->accounts; a; a = a->next) {
        struct gw_feed *s = taker_of(n->wal, a);
        struct gw_committed m = committed(n, s ? s->edge : NULL);

        if (!gets(n, a, false))
            continue;
        if (!is_booked(n, a))
            gw_account_add(a, n->cut, GW_E_IN, n->frame.rows);
        if (!s || !gw_feed_push_unstored(s, &m))
            gw_account_add(a, n->cut, GW_E_DROPPED, n->frame.rows);
    }
}

/* Nobody gets it: its senders still have it. */
static void take_back(struct entry *n, int rc)
{
    count_failed(n->wal, n->frame.rows, rc);
    unreserve(n);
    for (unsigned i = 0; i < n->n_booked; i++)
        gw_account_add(n->booked[i], n->cut, GW_E_REFUSED, n->frame.rows);
}

static void unlink_entry(struct entry *n)
{
    *n->prev = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else
        n->wal->last = n->prev;
}

void gw_wal_entry_done(struct entry *n, int rc)
{
    struct gw_wal *w = n->wal;
    uint32_t rows = n->frame.rows;

    (void)pthread_mutex_lock(&w->lock); /* out of one place, into the next: no picture is between them */
    unlink_entry(n);
    if (rc == 0)
        hand_on(n);
    else if (n->n_receipts)
        take_back(n, rc);
    else
        hand_on_unstored(n);
    (void)pthread_mutex_unlock(&w->lock);
    settle(n, rc < 0 ? GW_REFUSED : GW_STORED, rc < 0 ? why_not(rc) : NULL);
    free_entry(n);
    atomic_fetch_sub(&w->pending_rows, rows);
    atomic_fetch_sub(&w->pending, 1);
}

void gw_wal_entry_forget(struct entry *n)
{
    struct gw_wal *w = n->wal;
    uint32_t rows = n->frame.rows;

    (void)pthread_mutex_lock(&w->lock);
    unlink_entry(n);
    unreserve(n);
    for (unsigned i = 0; i < n->n_booked; i++)
        gw_account_add(n->booked[i], n->cut, GW_E_REFUSED, rows);
    (void)pthread_mutex_unlock(&w->lock);
    free_entry(n);
    atomic_fetch_sub(&w->pending_rows, rows);
    atomic_fetch_sub(&w->pending, 1);
}

void gw_wal_complain(const struct gw_wal *w, int rc)
{
    gw_log(&w->conf.logger, GW_LOG_ERROR, "%s (%s)", why_not(rc), strerror(-rc));
}

static void on_done(struct gw_log_commit *c, int rc)
{
    struct entry *n = (struct entry *)c;

    if (rc < 0)
        gw_wal_complain(n->wal, rc);
    gw_wal_entry_done(n, rc);
}

bool gw_wal_syncs(const struct gw_wal *w)
{
    return atomic_load(&w->sync);
}

/* ---- the ledger ------------------------------------------------------------------------------------------- */

/* Rows on their way, but for those that were put behind the picture. */
static uint64_t pending_of(const struct gw_wal *w, const struct gw_account *a, const struct gw_cut *cut)
{
    uint64_t rows = 0;

    for (const struct entry *n = w->first; n; n = n->next)
        rows += n->cut < cut->number && is_booked(n, a) ? n->frame.rows : 0;
    return rows;
}

static void cut_feed(const struct gw_feed *s, struct gw_cut *cut, const struct gw_inbox_item *rest)
{
    if (atomic_load(&s->owns))
        gw_account_copy(s->account, cut, pending_of(s->wal, s->account, cut), s->cut_rows);
    gw_held_unstored(s, cut, rest);
}

void gw_wal_cut_feed(struct gw_feed *s, struct gw_cut *cut, const struct gw_inbox_item *rest)
{
    (void)pthread_mutex_lock(&s->wal->lock);
    cut_feed(s, cut, rest);
    (void)pthread_mutex_unlock(&s->wal->lock);
}

void gw_wal_cut_rest(struct gw_wal *w, struct gw_cut *cut)
{
    (void)pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; i < w->n_feeds; i++)
        if (!gw_cut_has(cut, w->feeds[i]->edge))
            cut_feed(w->feeds[i], cut, NULL);
    for (const struct gw_account *a = w->accounts; a; a = a->next)
        if (!owner_of(w, a))
            gw_account_copy_orphan(a, cut, pending_of(w, a, cut));
    (void)pthread_mutex_unlock(&w->lock);
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

/* Staged rows have left where they were kept: they are not refused any more. */
static bool take_memory(struct gw_wal *w, uint64_t bytes, bool staged)
{
    if (staged)
        gw_credit_owe(w->conf.memory, bytes);
    return staged || gw_credit_take(w->conf.memory, bytes);
}

static struct entry *new_entry(struct gw_wal *w, struct gw_payload *pl, uint32_t rows, const struct gw_meta *meta,
                               uint64_t requests, uint32_t max_receipts, uint64_t time_ns, bool staged)
{
    struct gw_buf bytes;
    struct entry *n = NULL;
    size_t head = sizeof(*n) + max_receipts * sizeof(struct gw_receipt);

    gw_buf_init(&bytes, MAX_META_BYTES);
    gw_meta_to_bytes(meta, (uint32_t)requests, &bytes);
    if (!bytes.failed && take_memory(w, pl->n, staged)) {
        n = malloc(head + bytes.n);
        if (!n)
            gw_credit_give(w->conf.memory, pl->n);
    }
    if (n) {
        uint8_t *at = (uint8_t *)n + head;

        memcpy(at, bytes.p, bytes.n);
        *n = (struct entry){.wal = w, .payload = gw_payload_ref(pl), .charged_bytes = pl->n, .requests = requests};
        n->meta = gw_meta_ref(meta);
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

static void link_entry(struct entry *n)
{
    struct gw_wal *w = n->wal;

    (void)pthread_mutex_lock(&w->lock);
    n->number = w->n_submitted++;
    n->prev = w->last;
    *w->last = n;
    w->last = &n->next;
    for (struct gw_account *a = w->accounts; a; a = a->next)
        if (is_open(w, a)) { /* at most one a feed */
            gw_account_add(a, n->cut, GW_E_IN, n->frame.rows);
            n->booked[n->n_booked++] = a;
        }
    (void)pthread_mutex_unlock(&w->lock);
}

static void begin(struct entry *n)
{
    atomic_fetch_add(&n->wal->pending, 1);
    atomic_fetch_add(&n->wal->pending_rows, n->frame.rows);
    link_entry(n);
}

/* Nobody hears of it before the commit: who reads the log that they came from will read them again. */
static void stage(struct entry *n, struct gw_wal_stage *s)
{
    begin(n);
    settle(n, GW_STORED, NULL);
    gw_wal_stage_add(s, n);
}

static void submit(struct entry *n)
{
    struct gw_wal *w = n->wal;

    begin(n);
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
        n = new_entry(w, pl, v->n_rows, v->meta, gw_view_requests(v), v->batch->n_segments, v->batch->received_ns,
                      how->stage != NULL);
    (void)gw_payload_unref(pl);
    if (n) {
        n->cut = how->cut;
        take_units(n, how);
        n->n_receipts = gw_view_receipts(v, n->receipts);
        gw_view_clear(v);
        if (how->stage)
            stage(n, how->stage);
        else
            submit(n);
        return;
    }
    if (v->n_rows && how->stage)
        gw_wal_stage_break(how->stage);
    if (v->n_rows)
        refuse(w, v, how->ledger);
    gw_view_clear(v);
}

bool gw_wal_put_bytes(struct gw_wal *w, const struct gw_edge *e, struct gw_slice body, uint32_t rows,
                      const struct gw_put_from *from)
{
    const struct gw_wal_way way = {e, 0};
    struct gw_payload *pl = gw_payload_new(body.n);
    struct entry *n = NULL;

    if (pl) {
        memcpy(pl->p, body.p, body.n);
        pl->n = (uint32_t)body.n;
        n = new_entry(w, pl, rows, NULL, 1, from->receipt != NULL, gw_wall_ns(w->conf.env),
                      /* staged= */ false);
    }
    (void)gw_payload_unref(pl);
    if (!n)
        return false;
    n->cut = from->cut;
    if (from->receipt)
        n->receipts[n->n_receipts++] = (struct gw_receipt){from->receipt, rows};
    take_units(n, &(struct gw_wal_put){.ways = &way, .n_ways = 1});
    submit(n);
    return true;
}
