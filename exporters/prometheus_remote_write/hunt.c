/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for what a server does not want of a request, so that the rest arrives.
 *
 *   stack of ranges of points, the last one under way      refused 0..8: 4..8, 0..4 ─► 4..8, 2..4, 0..2 ─► …
 *
 * k culprits among n points take 2 k log2 n requests. There is a limit for each request, and one for all in a time:
 * when it is reached, a range that is refused is refused as a whole, so that a request of which nothing is wanted does
 * not hold up its shard.
 *
 * What is refused in the end are points of series; which rows they came from is found by translating the rows one by
 * one. A point of no row, of target_info, is left out of what is sent and counted.
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
    SMALLEST_LIMIT_BYTES = 16 << 10, /* what a server that takes less is sent nevertheless */
};

struct gw_rw_hunt {
    struct gw_buf bytes; /* the whole body, unpacked */
    struct gw_rw_body body;
    struct gw_range ranges[MAX_RANGES];
    unsigned n_ranges, requests_left;
    uint32_t n_refused; /* points that are not buried yet */
    struct gw_rw_verdict why;
    char reason[24], message[320];
};

static struct gw_range under_way(const struct gw_rw_hunt *h)
{
    return h->ranges[h->n_ranges - 1];
}

uint64_t gw_rw_hunt_points(const struct gw_rw_send *rq)
{
    return gw_rw_body_living(&rq->hunt->body, under_way(rq->hunt));
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

/** Pack points of a body. Errors: -ENOMEM, -E2BIG. */
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

    while (h->n_ranges && gw_rw_body_living(&h->body, under_way(h)) == 0)
        h->n_ranges--;
    if (!h->n_ranges)
        return false;
    if (pack(rq, &h->body, under_way(h)) == 0)
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
        return pack(rq, &rq->hunt->body, under_way(rq->hunt));
    gw_buf_init(&bytes, GW_RW_MAX_BODY_BYTES);
    r = gw_decompress(GW_SNAPPY, gw_buf_slice(&rq->packed), &bytes, NULL);
    if (r == 0) {
        r = gw_rw_body_read(&body, rq->version, gw_buf_slice(&bytes));
        if (r == 0)
            r = pack(rq, &body, (struct gw_range){0, body.n_points});
        gw_rw_body_clear(&body);
    }
    gw_buf_clear(&bytes);
    return r;
}

/* ---- from points to rows ---------------------------------------------------------------------------------------- */

struct wanted {
    uint64_t hash; /* of the series' labels */
    const struct gw_rw_point *point;
    bool found;
};

struct finder {
    struct gw_rw_send *rq;
    struct wanted *wanted; /* by hash */
    uint32_t n_wanted;
    bool hit; /* the row that is being translated has a wanted point */
};

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct wanted *)a)->hash, y = ((const struct wanted *)b)->hash;

    return x < y ? -1 : x > y;
}

/** Of a Sample or a Histogram. */
static uint64_t time_of(const struct gw_rw_point *p)
{
    struct gw_wire_walk w = gw_wire_walk(p->message);
    struct gw_wire_field f;
    uint64_t ms = 0;

    while (gw_wire_next(&w, &f) > 0)
        if (f.wire == GW_VARINT && (f.number == 2 || f.number == 15))
            ms = f.varint;
    return ms;
}

/** A sum that is made anew has another value: then the time alone tells. */
static bool is_same_point(const struct finder *f, const struct gw_rw_point *p, const struct gw_rw_body *b,
                          const struct gw_rw_point *q)
{
    const struct gw_rw_body *own = &f->rq->hunt->body;
    bool same =
        f->rq->job->s->options.delta_to_cumulative ? time_of(p) == time_of(q) : gw_slice_eq(p->message, q->message);

    return same && gw_rw_labels_eq(own, &own->series[p->series], b, &b->series[q->series]);
}

static void look_up(struct finder *f, const struct gw_rw_body *b, const struct gw_rw_point *p)
{
    uint64_t hash = gw_rw_labels_hash(b, &b->series[p->series]);
    uint32_t lo = 0, hi = f->n_wanted;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (f->wanted[mid].hash < hash)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < f->n_wanted && f->wanted[lo].hash == hash; lo++)
        if (is_same_point(f, f->wanted[lo].point, b, p))
            f->hit = f->wanted[lo].found = true;
}

static int on_row(void *arg, const struct gw_rw_request *r)
{
    struct finder *f = arg;
    struct gw_rw_body b;
    int rc = gw_rw_body_read(&b, f->rq->hunt->body.version, r->body);

    for (uint32_t i = 0; rc == 0 && i < b.n_points; i++)
        look_up(f, &b, &b.points[i]);
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
    int r = gw_rows_decode(&s->batch, j->a->signal, j->a->body, NULL, NULL);

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

static bool is_wanted(const struct gw_rw_point *p, bool refused)
{
    return refused ? p->refused : !p->out;
}

static uint32_t fill_wanted(const struct gw_rw_body *b, bool refused, struct wanted *ret)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->n_points; i++)
        if (is_wanted(&b->points[i], refused)) {
            if (ret)
                ret[n] = (struct wanted){gw_rw_labels_hash(b, &b->series[b->points[i].series]), &b->points[i], false};
            n++;
        }
    return n;
}

/**
 * The rows of the points that are refused, or that are still to be sent; *ret_rowless: points of no row.
 *
 * Owner: the caller frees the result; NULL: all rows of the request, also for want of memory.
 */
static uint32_t *rows_of(struct gw_rw_send *rq, bool refused, uint32_t *ret_n, uint32_t *ret_rowless)
{
    const struct gw_rw_body *b = &rq->hunt->body;
    struct finder f = {.rq = rq, .n_wanted = fill_wanted(b, refused, NULL)};
    uint32_t *rows;

    *ret_n = *ret_rowless = 0;
    if (f.n_wanted == b->n_points)
        return NULL;
    rows = malloc((rq->n_rows + 1) * sizeof(*rows));
    f.wanted = calloc(f.n_wanted + 1, sizeof(*f.wanted));
    if (!rows || !f.wanted) {
        free(rows);
        free(f.wanted);
        return NULL;
    }
    (void)fill_wanted(b, refused, f.wanted);
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
    gw_metric_add(s->metrics.refused, h->n_refused);
    if (n)
        gw_rw_job_bury(rq->job, rows ? rows : rq->rows, n, &h->why);
    if (rowless)
        gw_log(&s->ctx->logger, GW_LOG_WARN,
               "%u samples of no point of their own, such as target_info, were refused: %s", rowless, h->message);
    free(rows);
    for (uint32_t i = 0; i < h->body.n_points; i++)
        h->body.points[i].refused = false;
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
    while (log2 < 31 && 1u << log2 < h->body.n_points)
        log2++;
    h->requests_left = CULPRITS * (2 * log2 + 1);
    h->ranges[h->n_ranges++] = (struct gw_range){0, h->body.n_points};
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

static void refuse_range(struct gw_rw_hunt *h, struct gw_range r)
{
    for (uint32_t i = r.begin; i < r.end; i++)
        if (!h->body.points[i].out) {
            h->body.points[i].out = h->body.points[i].refused = true;
            h->n_refused++;
        }
}

/** Cut a series out of the range under way, and try it by itself. */
static void isolate(struct gw_rw_hunt *h, struct gw_range series)
{
    struct gw_range r = under_way(h);

    h->n_ranges--;
    if (series.end < r.end)
        h->ranges[h->n_ranges++] = (struct gw_range){series.end, r.end};
    h->ranges[h->n_ranges++] = series;
    if (r.begin < series.begin)
        h->ranges[h->n_ranges++] = (struct gw_range){r.begin, series.begin};
}

/** A named series of one point is refused; one of several goes to *ret_several: which of its points is not said. */
static bool refuse_named(struct gw_rw_hunt *h, const struct gw_rw_named *named, struct gw_range *ret_several)
{
    bool refused = false;

    for (uint32_t i = 0; i < h->body.n_series; i++) {
        struct gw_range s = gw_rw_common(h->body.series[i].points, under_way(h));
        uint32_t n = gw_rw_body_living(&h->body, s);

        if (!n || !gw_rw_named_is(named, &h->body, &h->body.series[i]))
            continue;
        if (n > 1) {
            *ret_several = s;
        } else {
            refuse_range(h, s);
            refused = true;
        }
    }
    return refused;
}

enum named { NOTHING, REFUSED, ISOLATED };

/** What the sentence names of the range under way is refused, or will be tried alone. */
static enum named take_named(struct gw_rw_hunt *h, struct gw_slice sentence)
{
    struct gw_range several = {0, 0};
    struct gw_rw_named named;
    bool refused = false;

    gw_rw_named_begin(&named, sentence);
    while (gw_rw_named_next(&named))
        refused |= refuse_named(h, &named, &several);
    gw_rw_named_clear(&named);
    if (several.begin == several.end || h->n_ranges + 2 > MAX_RANGES ||
        gw_rw_body_living(&h->body, several) == gw_rw_body_living(&h->body, under_way(h)))
        return refused ? REFUSED : NOTHING;
    isolate(h, several);
    return ISOLATED;
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
    uint32_t half = gw_rw_body_living(&h->body, *r) / 2, at = r->begin;

    for (uint32_t n = 0; n < half; at++)
        n += !h->body.points[at].out;
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

/** Nothing is named: halves, as long as that makes sense. */
static void narrow(struct gw_rw_send *rq, const struct gw_rw_refused *why)
{
    struct gw_rw_hunt *h = rq->hunt;
    bool alone = gw_rw_body_living(&h->body, under_way(h)) < 2;

    if (why->whole || alone || h->n_ranges == MAX_RANGES || !may_halve(rq->job->s))
        refuse_range(h, under_way(h));
    else
        halve(h);
}

/** What comes later is cut to half of what was too long. */
static void lower_limit(struct gw_rw_send *rq)
{
    const struct gw_rw_hunt *h = rq->hunt;
    struct gw_rw *s = rq->job->s;
    size_t bytes = (size_t)((double)h->bytes.n * (double)gw_rw_hunt_points(rq) / (double)h->body.n_points) / 2;

    if (bytes < SMALLEST_LIMIT_BYTES)
        bytes = SMALLEST_LIMIT_BYTES;
    if (bytes >= s->limit_bytes)
        return;
    s->limit_bytes = bytes;
    gw_rw_translator_limit(s->translator, bytes);
    gw_log(&s->ctx->logger, GW_LOG_INFO, "the server takes no longer requests: they have at most %zu bytes from now on",
           bytes);
}

static void count_request(struct gw_rw_hunt *h)
{
    if (h->requests_left)
        h->requests_left--;
}

bool gw_rw_hunt_refused(struct gw_rw_send *rq, const struct gw_rw_refused *why)
{
    enum named named = NOTHING;
    struct gw_rw_hunt *h;

    if (!rq->hunt && begin(rq) < 0) {
        gw_rw_job_bury(rq->job, rq->rows, rq->n_rows, &why->verdict);
        return false;
    }
    h = rq->hunt;
    keep_verdict(rq, &why->verdict);
    count_request(h);
    if (why->too_large)
        lower_limit(rq);
    if (!why->whole && !why->too_large)
        named = take_named(h, why->sentence);
    if (named == REFUSED && why->written >= gw_rw_body_living(&h->body, under_way(h)))
        gw_rw_body_deliver(&h->body, under_way(h)); /* the others have been taken */
    else if (!h->requests_left)
        refuse_range(h, under_way(h));
    else if (named == NOTHING)
        narrow(rq, why);
    return next_piece(rq);
}

bool gw_rw_hunt_written(struct gw_rw_send *rq)
{
    count_request(rq->hunt);
    gw_rw_body_deliver(&rq->hunt->body, under_way(rq->hunt));
    return next_piece(rq);
}

void gw_rw_hunt_leave(struct gw_rw_send *rq, const char *why, const char *message)
{
    struct gw_rw_body *b = &rq->hunt->body;
    uint32_t n, rowless, *rows;

    bury_refused(rq); /* a row of which a point is refused is dead, and not left */
    rows = rows_of(rq, /* refused= */ false, &n, &rowless);
    if (!rows)
        n = rq->n_rows;
    gw_rw_job_leave(rq->job, rows ? rows : rq->rows, n, why, message);
    free(rows);
    gw_rw_body_deliver(b, (struct gw_range){0, b->n_points});
}
