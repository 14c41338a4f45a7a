/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random points of a few series against a model that keeps every point and adds all of them up anew for each total:
 * numbers, histograms whose bounds change, exponential histograms of any scale; late, repeated and older points among
 * them, in any order within a request.
 */
#include "tests/harness_processor.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "tests/harness_engine.h"

enum { N_SERIES = 3, MAX_POINTS = 200, N_REQUESTS = 25, N_BUCKETS = 5 };
enum kind { INTS, HISTOGRAMS, EXPONENTIALS };

struct point {
    uint64_t time_ns, start_ns;
    unsigned series, bounds;
    int64_t value;
    int scale, offset[2];
    unsigned counts[2][N_BUCKETS];
};

static struct gw_proc_rig r;
static struct gw_buf text;
static uint64_t seed;
static unsigned n_scales; /* of this seed: with few, many buckets are far apart, and too many */

/* Points that count, of each series since it (or its bounds) began. */
static struct model {
    struct point points[MAX_POINTS];
    unsigned n;
} models[N_SERIES];

static unsigned below(unsigned n)
{
    return (unsigned)(gw_test_random(&seed) % n);
}

static struct point random_point(uint64_t now)
{
    struct point p = {.series = below(N_SERIES),
                      .bounds = below(12) == 0,
                      .value = (int64_t)below(1000) - 100,
                      .scale = (int)below(n_scales) - 2};

    p.time_ns = now + below(5);
    p.start_ns = 100 - (below(15) == 0) * below(3);
    for (unsigned side = 0; side < 2; side++) {
        p.offset[side] = (int)below(500) - 250;
        for (unsigned i = 0; i < N_BUCKETS; i++)
            p.counts[side][i] = below(3) * below(4);
    }
    return p;
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static void put_counts(const unsigned *counts)
{
    gw_buf_put_str(&text, "\"bucketCounts\":[");
    for (unsigned i = 0; i < N_BUCKETS; i++)
        gw_buf_printf(&text, "%s\"%u\"", i ? "," : "", counts[i]);
    gw_buf_put_str(&text, "]");
}

static void put_point(enum kind kind, const struct point *p)
{
    static const char *const bounds[] = {"1,2,3,4", "1,2,3,5"};

    gw_buf_printf(&text,
                  "{\"startTimeUnixNano\":\"%u\",\"timeUnixNano\":\"%u\",\"attributes\":[{\"key\":\"i\",\"value\":{"
                  "\"intValue\":\"%u\"}}],",
                  (unsigned)p->start_ns, (unsigned)p->time_ns, p->series);
    if (kind == INTS) {
        gw_buf_printf(&text, "\"asInt\":\"%d\"", (int)p->value);
    } else if (kind == HISTOGRAMS) {
        gw_buf_printf(&text, "\"sum\":%d,\"count\":\"7\",\"explicitBounds\":[%s],", (int)p->value, bounds[p->bounds]);
        put_counts(p->counts[0]);
    } else {
        gw_buf_printf(&text, "\"scale\":%d,\"count\":\"7\",\"positive\":{\"offset\":%d,", p->scale, p->offset[0]);
        put_counts(p->counts[0]);
        gw_buf_printf(&text, "},\"negative\":{\"offset\":%d,", p->offset[1]);
        put_counts(p->counts[1]);
        gw_buf_put_str(&text, "}");
    }
    gw_buf_put_str(&text, "}");
}

static void send_points(enum kind kind, const struct point *p, unsigned n)
{
    static const char *const names[] = {"sum", "histogram", "exponentialHistogram"};

    gw_buf_reset(&text);
    gw_buf_printf(&text,
                  "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"m\",\"%s\":{"
                  "\"aggregationTemporality\":1,\"dataPoints\":[",
                  names[kind]);
    for (unsigned i = 0; i < n; i++) {
        gw_buf_put_str(&text, i ? "," : "");
        put_point(kind, &p[i]);
    }
    gw_buf_put_str(&text, "]}}]}]}]}");
    gw_buf_put_u8(&text, 0);
    gw_proc_send(&r, (const char *)text.p);
}

/* What left, decoded. */
static struct gw_batch *output(void)
{
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_err err = {""};
    struct gw_buf wire;
    struct gw_ref at;

    if (!*r.out)
        return b;
    gw_buf_init(&wire, 1 << 20);
    assert_true(gw_json_to_proto(GW_METRICS, gw_slice_cstr(r.out), &limits, &wire, &err) >= 0);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    assert_true(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) >= 0);
    gw_buf_clear(&wire);
    return b;
}

/* ---- the model -------------------------------------------------------------------------------------------- */

/* Is the point part of its series from now on? */
static bool take(enum kind kind, const struct point *p)
{
    struct model *m = &models[p->series];

    if (m->n && (p->start_ns < m->points[0].start_ns || p->time_ns <= m->points[m->n - 1].time_ns))
        return false;
    if (m->n && kind == HISTOGRAMS && p->bounds != m->points[0].bounds)
        m->n = 0;
    m->points[m->n++] = *p;
    return true;
}

/* The least and the greatest index of a half at a scale, or none. */
static bool span_of(const struct model *m, unsigned side, int scale, int *lo, int *hi)
{
    bool any = false;

    for (unsigned i = 0; i < m->n; i++)
        for (unsigned k = 0; k < N_BUCKETS; k++) {
            const struct point *p = &m->points[i];
            int at = (p->offset[side] + (int)k) >> (p->scale - scale);

            if (!p->counts[side][k])
                continue;
            *lo = any && *lo < at ? *lo : at;
            *hi = any && *hi > at ? *hi : at;
            any = true;
        }
    return any;
}

static int scale_of(const struct model *m)
{
    int scale = m->points[0].scale, lo, hi;

    for (unsigned i = 1; i < m->n; i++)
        scale = m->points[i].scale < scale ? m->points[i].scale : scale;
    for (unsigned side = 0; m->n > 1 && side < 2; side++)
        while (span_of(m, side, scale, &lo, &hi) && hi - lo + 1 > 160)
            scale--;
    return scale;
}

static uint64_t expected_bucket(const struct model *m, unsigned side, int scale, int index)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < m->n; i++)
        for (unsigned k = 0; k < N_BUCKETS; k++)
            if ((m->points[i].offset[side] + (int)k) >> (m->points[i].scale - scale) == index)
                n += m->points[i].counts[side][k];
    return n;
}

static void check_half(const struct model *m, const struct gw_batch *b, const struct gw_exphist *h, unsigned side)
{
    struct gw_ref packed = side ? h->negative : h->positive;
    uint32_t pos = packed.off;
    uint64_t count, sum = 0, want = 0;
    int at = side ? h->negative_offset : h->positive_offset;

    for (; gw_packed_varint_next(b, packed, &pos, &count); at++, sum += count)
        assert_int_equal(count, expected_bucket(m, side, h->scale, at));
    for (unsigned i = 0; i < m->n; i++)
        for (unsigned k = 0; k < N_BUCKETS; k++)
            want += m->points[i].counts[side][k];
    assert_int_equal(sum, want);
}

static void check_row(enum kind kind, const struct gw_batch *b, uint32_t row, const struct point *p)
{
    const struct model *m = &models[p->series];
    int64_t sum = 0;

    assert_int_equal(b->attrs[b->attr[row].begin].val.i64, p->series);
    assert_int_equal(b->time_ns[row], p->time_ns);
    assert_int_equal(b->start_ns[row], m->points[0].start_ns);
    for (unsigned i = 0; i < m->n; i++)
        sum += m->points[i].value;
    if (kind == INTS) {
        assert_int_equal(b->number[row].i64, sum);
    } else if (kind == HISTOGRAMS) {
        const struct gw_hist *h = &b->hists[b->number[row].u64];

        assert_int_equal(h->count, 7 * m->n);
        assert_true(h->sum == (double)sum);
        for (unsigned k = 0; k < N_BUCKETS; k++) {
            uint64_t want = 0, got;

            memcpy(&got, b->base + h->counts.off + 8 * (size_t)k, 8);
            for (unsigned i = 0; i < m->n; i++)
                want += m->points[i].counts[0][k];
            assert_int_equal(got, want);
        }
    } else {
        const struct gw_exphist *h = &b->exphists[b->number[row].u64];

        assert_int_equal(h->count, 7 * m->n);
        assert_int_equal(h->scale, scale_of(m));
        check_half(m, b, h, 0);
        check_half(m, b, h, 1);
    }
}

/* ---- running ---------------------------------------------------------------------------------------------- */

/* Points of a request in the order of their times, equal ones as they came; the row that each of the output is. */
static void one_request(enum kind kind, uint64_t now)
{
    struct point p[4];
    unsigned n = 1 + below(4), order[4], n_out = 0;
    struct gw_batch *b;

    for (unsigned i = 0; i < n; i++) {
        unsigned k = i;

        p[i] = random_point(now);
        for (; k && p[order[k - 1]].time_ns > p[i].time_ns; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    send_points(kind, p, n);
    b = output();
    for (unsigned i = 0; i < n; i++) {
        uint32_t row = 0;

        if (!take(kind, &p[order[i]]))
            continue;
        n_out++;
        for (unsigned k = 0; k < b->n_rows; k++)
            if (b->time_ns[k] == p[order[i]].time_ns && b->attrs[b->attr[k].begin].val.u64 == p[order[i]].series)
                row = k;
        assert_true(row < b->n_rows);
        check_row(kind, b, row, &p[order[i]]);
    }
    assert_int_equal(b->n_rows, n_out);
    (void)gw_batch_unref(b);
}

static void one_seed(uint64_t s)
{
    enum kind kind = s % 3;

    seed = s;
    n_scales = 1 + below(2) * 8;
    memset(models, 0, sizeof(models));
    gw_buf_init(&text, 1 << 20);
    gw_proc_open(&r, "deltatocumulative", GW_METRICS, "{}");
    for (unsigned i = 0; i < N_REQUESTS; i++)
        one_request(kind, 200 + 4 * (uint64_t)i);
    gw_proc_close(&r);
    gw_buf_clear(&text);
}

static void totals_are_the_model_s(void **state)
{
    (void)state;
    gw_test_seeds(60, one_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(totals_are_the_model_s)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
