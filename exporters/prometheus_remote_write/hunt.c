/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for what a server does not want of a request, so that the rest arrives.
 *
 *   stack of ranges of series, the last one under way      refused 0..8: 4..8, 0..4 ─► 4..8, 2..4, 0..2 ─► …
 *
 * k culprits among n series take 2 k log2 n requests. There is a limit for each request, and one for all in a time:
 * when it is reached, a range that is refused is refused as a whole, so that a request of which nothing is wanted does
 * not hold up its shard.
 *
 * What is refused in the end are series; which rows they came from is found by translating the rows one by one. A
 * series of no row, target_info, is left out of what is sent and counted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/logger.h"
#include "exporters/prometheus_remote_write/answers.h"
#include "exporters/prometheus_remote_write/rw.h"

enum {
    MAX_RANGES = 64,
    CULPRITS = 16,          /* that may stand alone in the end */
    MOST_HALVINGS = 1000,   /* of all requests: a server that refuses all it gets is not flooded with pieces */
    HALVINGS_A_SECOND = 50, /* are given back */
    FINDER_CACHE_BYTES = 1 << 20,
};

struct gw_rw_hunt {
    struct gw_buf bytes; /* the whole body, unpacked */
    struct gw_rw_body body;
    struct gw_range ranges[MAX_RANGES];
    unsigned n_ranges, requests_left;
    uint32_t n_refused; /* series that are not buried yet */
    struct gw_rw_verdict why;
    char reason[24], message[320];
};

static uint32_t living(const struct gw_rw_hunt *h, struct gw_range r)
{
    uint32_t n = 0;

    for (uint32_t i = r.begin; i < r.end; i++)
        n += !h->body.series[i].out;
    return n;
}

static uint64_t points(const struct gw_rw_hunt *h, struct gw_range r)
{
    uint64_t n = 0;

    for (uint32_t i = r.begin; i < r.end; i++)
        if (!h->body.series[i].out)
            n += h->body.series[i].n_samples + h->body.series[i].n_histograms;
    return n;
}

uint64_t gw_rw_hunt_points(const struct gw_rw_send *rq)
{
    return points(rq->hunt, rq->hunt->ranges[rq->hunt->n_ranges - 1]);
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

/** Pack series of a body. Errors: -ENOMEM, -E2BIG. */
static int pack(struct gw_rw_send *rq, const struct gw_rw_body *b, struct gw_range r)
{
    struct gw_buf plain;
    int rc;

    gw_buf_init(&plain, GW_RW_MAX_BODY_BYTES);
    rq->version = rq->job->s->speaks;
    if (rq->version == GW_RW_1)
        gw_rw_body_write_1(b, r, &plain);
    else
        gw_rw_body_write(b, r, &plain);
    gw_buf_reset(&rq->packed);
    rc = plain.failed ? -ENOMEM : gw_compress(GW_SNAPPY, 0, gw_buf_slice(&plain), &rq->packed, NULL);
    gw_buf_clear(&plain);
    return rc;
}

static bool next_piece(struct gw_rw_send *rq)
{
    struct gw_rw_hunt *h = rq->hunt;

    while (h->n_ranges && living(h, h->ranges[h->n_ranges - 1]) == 0)
        h->n_ranges--;
    if (!h->n_ranges)
        return false;
    if (pack(rq, &h->body, h->ranges[h->n_ranges - 1]) == 0)
        return true;
    gw_rw_hunt_leave(rq, "out_of_memory", "out of memory");
    return false;
}

int gw_rw_fall_back(struct gw_rw_send *rq)
{
    struct gw_rw_body body;
    struct gw_buf bytes;
    int r;

    if (rq->hunt)
        return pack(rq, &rq->hunt->body, rq->hunt->ranges[rq->hunt->n_ranges - 1]);
    gw_buf_init(&bytes, GW_RW_MAX_BODY_BYTES);
    r = gw_decompress(GW_SNAPPY, gw_buf_slice(&rq->packed), &bytes, NULL);
    if (r == 0) {
        r = gw_rw_body_read(&body, rq->version, gw_buf_slice(&bytes));
        if (r == 0)
            r = pack(rq, &body, (struct gw_range){0, body.n_series});
        gw_rw_body_clear(&body);
    }
    gw_buf_clear(&bytes);
    return r;
}

/* ---- from series to rows ------------------------------------------------------------------------------------------
 */

struct wanted {
    uint64_t hash;
    const struct gw_rw_body_series *series;
    bool found;
};

struct finder {
    struct gw_rw_send *rq;
    struct wanted *wanted; /* by hash */
    uint32_t n_wanted;
    bool hit; /* the row that is being translated has a wanted series */
};

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct wanted *)a)->hash, y = ((const struct wanted *)b)->hash;

    return x < y ? -1 : x > y;
}

static void look_up(struct finder *f, const struct gw_rw_body *b, const struct gw_rw_body_series *s)
{
    uint64_t hash = gw_rw_labels_hash(b, s);
    uint32_t lo = 0, hi = f->n_wanted;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (f->wanted[mid].hash < hash)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < f->n_wanted && f->wanted[lo].hash == hash; lo++)
        if (gw_rw_labels_eq(&f->rq->hunt->body, f->wanted[lo].series, b, s))
            f->hit = f->wanted[lo].found = true;
}

static int on_row(void *arg, const struct gw_rw_request *r)
{
    struct finder *f = arg;
    struct gw_rw_body b;
    int rc = gw_rw_body_read(&b, f->rq->hunt->body.version, r->body);

    for (uint32_t i = 0; rc == 0 && i < b.n_series; i++)
        look_up(f, &b, &b.series[i]);
    gw_rw_body_clear(&b);
    return rc;
}

static void on_refuse(void *arg, uint32_t row, const char *reason, const char *message)
{
    (void)arg, (void)row, (void)reason, (void)message;
}

/** A translator whose sums nobody sees: the exporter's own must not count a point twice. */
static int translate_rows(struct finder *f, uint32_t *ret_rows, uint32_t *ret_n)
{
    struct gw_rw_job *j = f->rq->job;
    struct gw_rw *s = j->s;
    struct gw_rw_options o = s->options;
    const struct gw_rw_sink sink = {.arg = f, .emit = on_row, .refuse = on_refuse, .rows_only = true};
    struct gw_rw_translator *t = NULL;
    uint64_t *kept = NULL;
    int r = gw_rows_decode(&s->batch, j->a->signal, j->a->body, NULL);

    o.n_shards = 1;
    o.series_cache_bytes = FINDER_CACHE_BYTES;
    if (r == 0)
        r = gw_rw_translator_new(&o, &t);
    if (r == 0) {
        kept = gw_arena_zalloc(&s->arena, (s->batch->n_rows / 64 + 1) * sizeof(*kept));
        r = kept ? 0 : -ENOMEM;
    }
    for (uint32_t i = 0; i < f->rq->n_rows && r == 0; i++) {
        uint32_t row = f->rq->rows[i];
        struct gw_view v;

        gw_view_init(&v, s->batch, &s->arena);
        kept[row / 64] |= 1ull << (row % 64);
        v.kept = kept;
        v.n_rows = 1;
        f->hit = false;
        r = gw_rw_translate(t, &v, f->rq->hunt->body.version, &sink);
        kept[row / 64] = 0;
        gw_view_clear(&v);
        if (f->hit)
            ret_rows[(*ret_n)++] = row;
    }
    gw_rw_translator_free(t);
    gw_arena_reset(&s->arena, FINDER_CACHE_BYTES);
    return r;
}

static bool is_wanted(const struct gw_rw_body_series *s, bool refused)
{
    return refused ? s->refused : !s->out;
}

/**
 * The rows of the series that are refused, or that are still to be sent. Without memory: all rows of the request.
 *
 * Owner: the caller frees the result; NULL: all rows of the request.
 */
static uint32_t *rows_of(struct gw_rw_send *rq, bool refused, uint32_t *ret_n, uint32_t *ret_rowless)
{
    struct gw_rw_hunt *h = rq->hunt;
    struct finder f = {.rq = rq};
    uint32_t *rows;

    *ret_n = *ret_rowless = 0;
    for (uint32_t i = 0; i < h->body.n_series; i++)
        f.n_wanted += is_wanted(&h->body.series[i], refused);
    if (f.n_wanted == h->body.n_series)
        return NULL;
    rows = malloc((rq->n_rows + 1) * sizeof(*rows));
    f.wanted = calloc(f.n_wanted + 1, sizeof(*f.wanted));
    if (!rows || !f.wanted) {
        free(rows);
        free(f.wanted);
        return NULL;
    }
    f.n_wanted = 0;
    for (uint32_t i = 0; i < h->body.n_series; i++)
        if (is_wanted(&h->body.series[i], refused))
            f.wanted[f.n_wanted++] =
                (struct wanted){gw_rw_labels_hash(&h->body, &h->body.series[i]), &h->body.series[i], false};
    qsort(f.wanted, f.n_wanted, sizeof(*f.wanted), by_hash);
    if (translate_rows(&f, rows, ret_n) < 0) {
        free(rows);
        rows = NULL;
    }
    for (uint32_t i = 0; rows && i < f.n_wanted; i++)
        *ret_rowless += !f.wanted[i].found;
    free(f.wanted);
    return rows;
}

static void bury_refused(struct gw_rw_send *rq)
{
    struct gw_rw_hunt *h = rq->hunt;
    struct gw_rw *s = rq->job->s;
    uint32_t n, rowless, *rows;

    if (!h->n_refused)
        return;
    rows = rows_of(rq, /* refused= */ true, &n, &rowless);
    if (!rows)
        n = rq->n_rows;
    gw_metric_add(s->metrics.refused_series, h->n_refused);
    if (n)
        gw_rw_job_bury(rq->job, rows ? rows : rq->rows, n, &h->why);
    if (rowless)
        gw_log(&s->ctx->logger, GW_LOG_WARN,
               "%u series of no point of their own, such as target_info, were refused: %s", rowless, h->message);
    free(rows);
    for (uint32_t i = 0; i < h->body.n_series; i++)
        h->body.series[i].refused = false;
    h->n_refused = 0;
}

/* ---- the hunt ---------------------------------------------------------------------------------------------------- */

static int begin(struct gw_rw_send *rq)
{
    struct gw_rw_hunt *h = calloc(1, sizeof(*h));
    unsigned log2 = 0;
    int r;

    if (!h)
        return -ENOMEM;
    rq->hunt = h;
    gw_buf_init(&h->bytes, GW_RW_MAX_BODY_BYTES);
    r = gw_decompress(GW_SNAPPY, gw_buf_slice(&rq->packed), &h->bytes, NULL);
    if (r == 0)
        r = gw_rw_body_read(&h->body, rq->version, gw_buf_slice(&h->bytes));
    while (log2 < 31 && 1u << log2 < h->body.n_series)
        log2++;
    h->requests_left = CULPRITS * (2 * log2 + 1);
    h->ranges[h->n_ranges++] = (struct gw_range){0, h->body.n_series};
    return r;
}

void gw_rw_hunt_end(struct gw_rw_send *rq)
{
    struct gw_rw_hunt *h = rq->hunt;

    if (!h)
        return;
    bury_refused(rq);
    gw_rw_body_clear(&h->body);
    gw_buf_clear(&h->bytes);
    free(h);
    rq->hunt = NULL;
}

static void refuse_series(struct gw_rw_hunt *h, struct gw_rw_body_series *s)
{
    s->out = s->refused = true;
    h->n_refused++;
}

static void refuse_range(struct gw_rw_hunt *h, struct gw_range r)
{
    for (uint32_t i = r.begin; i < r.end; i++)
        if (!h->body.series[i].out)
            refuse_series(h, &h->body.series[i]);
}

/** Number of series of the range that the sentence names. */
static uint32_t refuse_named(struct gw_rw_hunt *h, struct gw_range r, struct gw_slice sentence)
{
    struct gw_rw_named named;
    uint32_t n = 0;

    gw_rw_named_begin(&named, sentence);
    while (gw_rw_named_next(&named))
        for (uint32_t i = r.begin; i < r.end; i++)
            if (!h->body.series[i].out && gw_rw_named_is(&named, &h->body, &h->body.series[i])) {
                refuse_series(h, &h->body.series[i]);
                n++;
            }
    gw_rw_named_clear(&named);
    return n;
}

static void deliver(struct gw_rw_hunt *h, struct gw_range r)
{
    for (uint32_t i = r.begin; i < r.end; i++)
        h->body.series[i].out = true;
}

static bool may_halve(struct gw_rw *s)
{
    uint64_t now = gw_loop_now_ns(s->loop);
    double more = (double)(now - s->halvings_ns) * HALVINGS_A_SECOND / 1e9;

    s->halvings = s->halvings_ns && s->halvings + more < MOST_HALVINGS ? s->halvings + more : MOST_HALVINGS;
    s->halvings_ns = now;
    if (s->halvings < 1)
        return false;
    s->halvings -= 1;
    return true;
}

/** The first half of what is still in the range is tried next. */
static void halve(struct gw_rw_hunt *h)
{
    struct gw_range *r = &h->ranges[h->n_ranges - 1];
    uint32_t half = living(h, *r) / 2, at = r->begin;

    for (uint32_t n = 0; n < half; at++)
        n += !h->body.series[at].out;
    h->ranges[h->n_ranges++] = (struct gw_range){r->begin, at};
    r->begin = at;
}

/** Keep the verdict; what was refused for another reason is buried under that. */
static void keep_verdict(struct gw_rw_send *rq, const struct gw_rw_verdict *why)
{
    struct gw_rw_hunt *h = rq->hunt;

    if (h->n_refused && strcmp(h->reason, why->reason) == 0)
        return;
    bury_refused(rq);
    snprintf(h->reason, sizeof(h->reason), "%s", why->reason);
    snprintf(h->message, sizeof(h->message), "%s", why->message ? why->message : why->reason);
    h->why = (struct gw_rw_verdict){why->class_, h->reason, h->message, why->code};
}

bool gw_rw_hunt_refused(struct gw_rw_send *rq, const struct gw_rw_refused *why)
{
    struct gw_rw_hunt *h;
    struct gw_range r;
    bool named;

    if (!rq->hunt && begin(rq) < 0) {
        gw_rw_job_bury(rq->job, rq->rows, rq->n_rows, &why->verdict);
        return false;
    }
    h = rq->hunt;
    r = h->ranges[h->n_ranges - 1];
    keep_verdict(rq, &why->verdict);
    named = !why->whole && !why->too_large && refuse_named(h, r, why->sentence) > 0;
    if (h->requests_left)
        h->requests_left--;
    if (named && why->written >= points(h, r)) /* the others have been taken */
        deliver(h, r);
    else if (!h->requests_left || (!named && (why->whole || living(h, r) < 2 || h->n_ranges == MAX_RANGES)))
        refuse_range(h, r);
    else if (!named && may_halve(rq->job->s))
        halve(h);
    else if (!named)
        refuse_range(h, r);
    return next_piece(rq);
}

bool gw_rw_hunt_written(struct gw_rw_send *rq)
{
    if (rq->hunt->requests_left)
        rq->hunt->requests_left--;
    deliver(rq->hunt, rq->hunt->ranges[rq->hunt->n_ranges - 1]);
    return next_piece(rq);
}

void gw_rw_hunt_leave(struct gw_rw_send *rq, const char *why, const char *message)
{
    uint32_t n, rowless, *rows;

    bury_refused(rq); /* a row of which a series is refused is dead, and not left */
    rows = rows_of(rq, /* refused= */ false, &n, &rowless);
    if (!rows)
        n = rq->n_rows;
    gw_rw_job_leave(rq->job, rows ? rows : rq->rows, n, why, message);
    free(rows);
    deliver(rq->hunt, (struct gw_range){0, rq->hunt->body.n_series});
}
