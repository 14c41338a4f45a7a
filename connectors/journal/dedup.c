/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that their senders repeat: an answer was lost, by a broken connection or a crash behind the commit. The id
 * of a request is committed with its rows (in front of the first frame's meta), and read back at start.
 *
 *   id = XXH3-128 of the request's bytes as they were received, its tenant, its signal, the pipeline that brought it,
 * and which of its rows came (a processor in front may have taken some, or sent them apart)
 *
 * Only what a receiver brought has one: what a processor made of rows, what a pipeline read from a journal, and what is
 * replayed is nobody's repetition.
 */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "connectors/journal/journal.h"

enum { SECRET_BYTES = 192, MAX_REQUESTS = 16384 /* of one commit: their ids fit into a meta */ };

struct dedup {
    struct seen *seen;
    uint8_t secret[SECRET_BYTES]; /* of this log: an id says nothing elsewhere, and cannot be made to fit another */
    struct gw_metric *repeated[3], *forgotten, *known;
};

/* ---- ids -------------------------------------------------------------------------------------------------- */

struct parts {
    uint64_t lo, hi, tenant, pipeline, rows, signal;
};

static uint64_t hash64(const struct dedup *d, struct gw_slice s)
{
    return XXH3_64bits_withSecret(s.p, s.n, d->secret, sizeof(d->secret));
}

/* 0: all of them. */
static uint64_t hash_rows(const struct gw_view *v, struct gw_range rows, uint32_t n_kept)
{
    uint64_t h = 0;

    for (uint32_t r = rows.begin; n_kept < rows.end - rows.begin && r < rows.end; r++)
        if (gw_view_has(v, r))
            h = (h ^ (r - rows.begin + 1)) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    return h;
}

static struct request_id id_of(const struct dedup *d, const struct parts *common, const struct gw_view *v,
                               const struct gw_segment *seg, uint32_t n_kept)
{
    struct gw_slice wire = gw_batch_slice(v->batch, seg->wire);
    XXH128_hash_t h = XXH3_128bits_withSecret(wire.p, wire.n, d->secret, sizeof(d->secret));
    struct parts p = *common;

    p.lo = h.low64;
    p.hi = h.high64;
    p.rows = hash_rows(v, seg->rows, n_kept);
    h = XXH3_128bits_withSecret(&p, sizeof(p), d->secret, sizeof(d->secret));
    return (struct request_id){h.low64, h.high64};
}

/* Of a client: intakes of what reads a journal, or is replayed, say for which pipeline. */
static bool is_received(const struct gw_segment *s)
{
    const struct gw_intake *in = s->ticket ? s->ticket->home : NULL;

    return in && !in->pipeline;
}

/* ---- of a view -------------------------------------------------------------------------------------------- */

struct asking {
    struct asked *asked;
    uint32_t *segments;              /* of asked */
    uint64_t *stored, *waits, *kept; /* bits of rows */
    uint32_t n;
};

static bool begin(struct gw_view *v, struct asking *a)
{
    uint32_t words = (v->batch->n_rows + 63) / 64, n = v->batch->n_segments;

    *a = (struct asking){.asked = gw_arena_alloc(v->arena, n * sizeof(*a->asked)),
                         .segments = gw_arena_alloc(v->arena, n * sizeof(*a->segments)),
                         .stored = gw_arena_zalloc(v->arena, 3 * words * sizeof(*a->stored))};
    a->waits = a->stored + words;
    a->kept = a->waits + words;
    return a->asked && a->segments && a->stored;
}

static void collect(const struct dedup *d, const struct gw_view *v, struct gw_ports *out, struct asking *a)
{
    const struct gw_batch *b = v->batch;
    const char *pipeline = out->ops->pipeline ? out->ops->pipeline(out, v) : "";
    const struct parts common = {.tenant = hash64(d, b->meta ? b->meta->tenant : GW_SLICE("")),
                                 .pipeline = hash64(d, gw_slice_cstr(pipeline)),
                                 .signal = (uint64_t)b->signal};

    for (uint32_t i = 0; i < b->n_segments && a->n < MAX_REQUESTS; i++) {
        uint32_t rows = is_received(&b->segments[i]) ? gw_view_count(v, b->segments[i].rows) : 0;

        if (rows == 0)
            continue;
        a->segments[a->n] = i;
        a->asked[a->n++] = (struct asked){
            .id = id_of(d, &common, v, &b->segments[i], rows), .ticket = b->segments[i].ticket, .rows = rows};
    }
}

static void mark(uint64_t *bits, struct gw_range rows)
{
    for (uint32_t r = rows.begin; r < rows.end; r++)
        bits[r / 64] |= UINT64_C(1) << r % 64;
}

/* Rows that wait for another commit are not in the view any more. */
static void take_out(struct gw_view *v, const uint64_t *rows, uint64_t *kept)
{
    uint32_t gone = 0;

    if (!v->kept) {
        mark(kept, (struct gw_range){0, v->batch->n_rows});
        v->kept = kept;
    }
    for (uint32_t w = 0; w < (v->batch->n_rows + 63) / 64; w++) {
        gone += (uint32_t)__builtin_popcountll(v->kept[w] & rows[w]);
        v->kept[w] &= ~rows[w];
    }
    v->n_rows -= gone;
}

static void apply(struct journal *j, struct gw_view *v, struct gw_ports *out, const struct asking *a)
{
    uint64_t repeated = 0, waiting = 0;

    for (uint32_t i = 0; i < a->n; i++) {
        struct gw_range rows = v->batch->segments[a->segments[i]].rows;

        if (a->asked[i].is == SEEN_NEVER)
            continue;
        repeated++;
        waiting += a->asked[i].is == SEEN_UNDER_WAY;
        mark(a->asked[i].is == SEEN_STORED ? a->stored : a->waits, rows);
    }
    if (repeated == 0)
        return;
    gw_metric_add(j->dedup->repeated[(unsigned)v->batch->signal >> 1], repeated);
    if (waiting)
        take_out(v, a->waits, a->kept);
    if (repeated > waiting)
        gw_view_settle_rows(v, out->ledger, a->stored, GW_DROPPED, "repeated_request", NULL);
}

bool gw_journal_dedup(struct journal *j, struct gw_view *v, struct gw_ports *out, struct claim **ret)
{
    struct dedup *d = j->dedup;
    struct asking a;

    *ret = NULL;
    if (!gw_journal_seen_is_on(d->seen) || v->n_rows == 0)
        return true;
    if (!begin(v, &a) || !(*ret = gw_journal_claim_new(d->seen, v->batch->n_segments)))
        return false;
    collect(d, v, out, &a);
    gw_metric_add(d->forgotten, gw_journal_claim(*ret, gw_journal_now_ns(j), a.asked, a.n));
    apply(j, v, out, &a);
    return !v->failed;
}

/* ---- what was before -------------------------------------------------------------------------------------- */

static void put_all(struct seen *s, struct gw_slice ids, uint64_t time_ns)
{
    for (size_t at = 0; at + sizeof(struct request_id) <= ids.n; at += sizeof(struct request_id)) {
        struct request_id id;

        memcpy(&id, ids.p + at, sizeof(id));
        gw_journal_seen_put(s, id, time_ns);
    }
}

static int read_back(struct journal *j, uint64_t from_ns)
{
    const struct gw_log_reader_conf conf = {.without_bodies = true};
    struct gw_log_reader *r;
    struct gw_log_entry e = {0};
    struct gw_slice ids, meta;
    int rc = gw_log_reader_new(j->log, &conf, &r);

    if (rc < 0)
        return rc;
    rc = gw_log_seek_time(r, from_ns);
    while (rc == 0 && (rc = gw_log_next(r, &e)) > 0) {
        if (gw_meta_split(e.frame.meta, &ids, &meta) && ids.n)
            put_all(j->dedup->seen, ids, e.frame.time_ns);
        rc = 0;
    }
    gw_log_reader_free(r);
    return rc;
}

static void recover(struct journal *j)
{
    uint64_t now = gw_journal_now_ns(j), window = j->conf.dedup.window_ns;
    int rc = read_back(j, now > window ? now - window : 0);

    if (rc < 0)
        gw_log(&j->ctx.logger, GW_LOG_WARN,
               "which requests are in the journal cannot be read: %s. Those that are repeated now may be stored twice",
               strerror(-rc));
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static uint64_t read_known(void *seen)
{
    return gw_journal_seen_known(seen);
}

static void make_metrics(struct journal *j)
{
    const struct gw_label journal[] = {{"journal", j->ctx.id}};
    struct dedup *d = j->dedup;

    for (unsigned s = 0; s < 3; s++) {
        const struct gw_label l[] = {{"journal", j->ctx.id}, {"signal", gw_signal_name((enum gw_signal)(1u << s))}};

        d->repeated[s] = gw_meter_get(j->ctx.meter, GW_COUNTER, "staunch_journal_repeated_requests",
                                      "Requests that a journal had already, and did not store again.", l, 2);
    }
    d->forgotten = gw_meter_get(j->ctx.meter, GW_COUNTER, "staunch_journal_forgotten_requests",
                                "Requests that had to be forgotten before dedup::window had passed.", journal, 1);
    d->known = gw_meter_get_read(j->ctx.meter, "staunch_journal_known_requests",
                                 "Requests that would be found to be repeated.", journal, 1, read_known, d->seen);
}

int gw_journal_dedup_open(struct journal *j)
{
    struct dedup *d = j->dedup = calloc(1, sizeof(*d));
    struct gw_log_stats stats;

    if (!d || !(d->seen = gw_journal_seen_new(j->memory)))
        return -ENOMEM;
    gw_log_stats(j->log, &stats);
    (void)XXH3_generateSecret(d->secret, sizeof(d->secret), stats.uuid, sizeof(stats.uuid));
    gw_journal_seen_limit(d->seen, j->conf.dedup.window_ns, j->conf.dedup.max_bytes);
    make_metrics(j);
    if (gw_journal_seen_is_on(d->seen))
        recover(j);
    return 0;
}

void gw_journal_dedup_renew(struct journal *j, const struct journal_dedup *to)
{
    gw_journal_seen_limit(j->dedup->seen, to->window_ns, to->max_bytes);
}

void gw_journal_dedup_rest(struct journal *j)
{
    gw_journal_seen_limit(j->dedup->seen, 0, 0);
}

void gw_journal_dedup_close(struct journal *j)
{
    struct dedup *d = j->dedup;

    if (d && d->known)
        gw_metric_unread(d->known, d->seen);
    if (d)
        gw_journal_seen_free(d->seen);
    free(d);
}
