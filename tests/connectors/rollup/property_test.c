/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stream of results comes to is what a computation over all points says: for every kind of window and every way
 * to tell them, whatever the order in which points come, within the bound. For each seed, in two orders of its points:
 *
 *   batch = stream   final: every result; eager: the last ones; delta: their sums; retract: what was not taken back
 *   revisions        count from 0 without a gap; nothing is told of a window behind its final result; what is taken
 *                    back is what stands; no two results have one id
 *   any speed        late points or not, finals do not depend on when it is looked whether windows have ended
 *   watermark        never goes back; it is the slowest worker's
 *   no result early  a final one not before the watermark has passed the end and the lateness; in the modes final and
 *                    retract none before the end
 *   behind a journal the same, in steps of its time; here nothing is killed (tests/sim/rollup_crash_sim_test.c)
 *
 * GW_SIM_SEEDS=n runs n seeds (default 15), GW_SIM_SEED=s only that one.
 */
#include "tests/connectors/rollup/windows.h"

#include "pipeline/keep.h"
#include "pipeline/parting.h"
#include "tests/harness_engine.h"

enum { N_POINTS = 160, N_SERIES = 3, MAX_WINDOWS = 4096, N_SLOTS = 1 << 15 };
enum { GAP_MS = 1500, MAX_MS = 9000, DELAY_MS = 3000, LATENESS_MS = 4000, SKEW_MS = 25000 };
enum { TUMBLING, HOPPING, SLIDING, SESSION, N_KINDS };
enum { FINAL, EAGER, DELTA, RETRACT };
static const char *const modes[] = {"final", "eager", "delta", "retract"};
static struct {
    uint64_t size_ms, slide_ms;
} shapes[] = {{7000, 7000}, {7000, 3000}, {8000, 2000}};

struct planned {
    uint64_t at_ms, came_ms; /* behind the minute */
    unsigned series, worker;
    int value;
    /* of a counter: what it says, and since when; value is by how much it went up, if that is known */
    unsigned stream;
    int total;
    uint64_t start_ms;
    bool is_known;
};
static struct planned points[N_POINTS], sorted[N_POINTS];

/* One window of one series: what it should be, or what was told. */
struct window {
    unsigned kind, series;
    uint64_t start_ms, end_ms; /* since 1970 */
    uint64_t count;
    double sum, max;
    unsigned revision;
    bool stands, is_final;
};
static struct window expected[MAX_WINDOWS], found[MAX_WINDOWS];
static unsigned n_expected, n_found, n_results;
static uint64_t ids[N_SLOTS], seed_, minute_ms;
static int mode;
static bool has_sliding, is_skewed, is_counting;

static uint64_t any(uint64_t n)
{
    return gw_test_random(&seed_) % n;
}

/* ---- the plan --------------------------------------------------------------------------------------------------- */

static int by_coming(const void *a, const void *b)
{
    const struct planned *x = a, *y = b;

    return (x->came_ms > y->came_ms) - (x->came_ms < y->came_ms);
}

static int by_time(const void *a, const void *b)
{
    const struct planned *x = a, *y = b;

    return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

/* As points of counters, two a series, which begin anew now and then. */
static void plan_counters(void)
{
    struct planned *last[N_SERIES][2] = {0};

    for (unsigned i = 0; i < N_POINTS; i++) {
        struct planned *p = &points[i], *before;

        p->stream = (unsigned)any(2);
        before = last[p->series][p->stream];
        p->value = (int)any(1000) + 1; /* equal points were one */
        p->is_known = before;
        p->start_ms = before ? before->start_ms : 1;
        p->total = p->value + (before ? before->total : 0);
        if (before && any(6) == 0 && before->at_ms + 1 < p->at_ms) {
            p->total = p->value;
            p->start_ms = any(2) ? p->at_ms - 1 : p->start_ms; /* or only the value says so */
            p->value = p->start_ms == p->at_ms - 1 || p->total < before->total ? p->total : p->total - before->total;
        }
        last[p->series][p->stream] = p;
    }
}

/* Bursts, with silences between them, so that there are sessions of all lengths. */
static void plan(unsigned n_workers)
{
    uint64_t now = 6000 + SKEW_MS * 2;

    for (unsigned i = 0; i < N_POINTS; i++) {
        now += any(8) ? any(400) : any(3000);
        if (any(80) == 0)
            now += any(15000);
        points[i] = (struct planned){.at_ms = now,
                                     .series = (unsigned)any(N_SERIES),
                                     .worker = (unsigned)any(n_workers),
                                     .value = (int)any(1000) - 300,
                                     .is_known = true};
    }
    if (is_counting)
        plan_counters();
}

/* When they come: up to the bound behind their time. A sliding window waits for the watermark alone. */
static void shuffle(uint64_t bound)
{
    for (unsigned i = 0; i < N_POINTS; i++)
        points[i].came_ms = points[i].at_ms + any(bound + 1) + (is_skewed ? SKEW_MS * points[i].worker : 0);
    qsort(points, N_POINTS, sizeof(points[0]), by_coming);
}

static bool has_sessions(void)
{
    return mode != DELTA && !is_counting;
}

/* ---- what it comes to ------------------------------------------------------------------------------------------- */

static struct window *window_of(struct window *list, unsigned *n, unsigned kind, unsigned series, uint64_t start_ms,
                                uint64_t end_ms)
{
    for (unsigned i = *n; i-- > 0;)
        if (list[i].kind == kind && list[i].series == series && list[i].start_ms == start_ms &&
            (kind == SESSION || list[i].end_ms == end_ms))
            return &list[i];
    assert_true(*n < MAX_WINDOWS);
    list[*n] = (struct window){
        .kind = kind, .series = series, .start_ms = start_ms, .end_ms = end_ms, .max = -1e9, .revision = UINT32_MAX};
    return &list[(*n)++];
}

static void expect(struct window *w, const struct planned *p)
{
    w->count++;
    w->sum += p->value;
    w->max = p->value > w->max ? p->value : w->max;
}

static void expect_fixed(unsigned kind, const struct planned *p)
{
    uint64_t size = shapes[kind].size_ms, slide = shapes[kind].slide_ms, at = minute_ms + p->at_ms;

    for (uint64_t start = at / slide * slide; start + size > at; start -= slide)
        expect(window_of(expected, &n_expected, kind, p->series, start, start + size), p);
}

/* sorted[i..k) of that series, which stand in one chain: whole, or cut at the multiples of the longest size. */
static void expect_chain(unsigned series, unsigned i, unsigned k, uint64_t last_ms)
{
    bool is_long = last_ms - sorted[i].at_ms > MAX_MS;
    struct window *w = NULL;
    uint64_t stretch = 0;

    for (; i < k; i++) {
        uint64_t at = minute_ms + sorted[i].at_ms;

        if (sorted[i].series != series)
            continue;
        if (!w || (is_long && at / MAX_MS != stretch)) {
            if (w)
                w->end_ms = (stretch + 1) * MAX_MS;
            stretch = at / MAX_MS;
            w = window_of(expected, &n_expected, SESSION, series, at, 0);
        }
        expect(w, &sorted[i]);
        w->end_ms = at + GAP_MS;
    }
}

static void expect_sessions(unsigned series)
{
    uint64_t last = 0;
    unsigned begun = N_POINTS;

    for (unsigned i = 0; i < N_POINTS; i++) {
        if (sorted[i].series != series)
            continue;
        if (begun < N_POINTS && sorted[i].at_ms - last > GAP_MS) {
            expect_chain(series, begun, i, last);
            begun = i;
        }
        begun = begun == N_POINTS ? i : begun;
        last = sorted[i].at_ms;
    }
    if (begun < N_POINTS)
        expect_chain(series, begun, N_POINTS, last);
}

static void expect_all(void)
{
    n_expected = 0;
    memcpy(sorted, points, sizeof(points));
    qsort(sorted, N_POINTS, sizeof(sorted[0]), by_time);
    for (unsigned i = 0; i < N_POINTS; i++)
        for (unsigned kind = 0; kind < SESSION && points[i].is_known; kind++)
            if (kind != SLIDING || has_sliding)
                expect_fixed(kind, &points[i]);
    for (unsigned i = 0; i < N_SERIES && has_sessions(); i++)
        expect_sessions(i);
}

/* ---- what was told ---------------------------------------------------------------------------------------------- */

struct event {
    struct window w;
    uint64_t id; /* of one of its aggregates */
    bool is_retract;
};
static struct event events[MAX_WINDOWS];
static unsigned n_events;

static int by_place(const void *a, const void *b)
{
    const struct window *x = a, *y = b;

    if (x->kind != y->kind || x->series != y->series)
        return x->kind != y->kind ? (int)x->kind - (int)y->kind : (int)x->series - (int)y->series;
    return (x->start_ms > y->start_ms) - (x->start_ms < y->start_ms);
}

static void id_is_new(uint64_t id)
{
    unsigned at = (unsigned)(id * UINT64_C(0x9e3779b97f4a7c15) >> 49);

    assert_true(id != 0);
    while (ids[at]) {
        assert_true(ids[at] != id);
        at = (at + 1) % N_SLOTS;
    }
    ids[at] = id;
}

static unsigned kind_of(const char *window)
{
    if (strncmp(window, "session", 7) == 0)
        return SESSION;
    return strncmp(window, "last", 4) == 0 ? SLIDING : strchr(window, '/') ? HOPPING : TUMBLING;
}

static struct event *event_of(const Opentelemetry__Proto__Metrics__V1__NumberDataPoint *p)
{
    struct event e = {.w = {.start_ms = p->start_time_unix_nano / 1000000, .end_ms = p->time_unix_nano / 1000000}};

    e.w.is_final = mode == FINAL;
    for (size_t a = 0; a < p->n_attributes; a++) {
        const char *key = p->attributes[a]->key;
        const Opentelemetry__Proto__Common__V1__AnyValue *v = p->attributes[a]->value;

        if (strcmp(key, "i") == 0)
            e.w.series = (unsigned)v->int_value;
        else if (strcmp(key, "rollup.window") == 0)
            e.w.kind = kind_of(v->string_value);
        else if (strcmp(key, "rollup.revision") == 0)
            e.w.revision = (unsigned)v->int_value;
        else if (strcmp(key, "rollup.is_final") == 0)
            e.w.is_final = v->bool_value;
        else if (strcmp(key, "rollup.retracts") == 0)
            e.is_retract = v->bool_value;
        else if (strcmp(key, "rollup.id") == 0)
            e.id = strtoull(v->string_value + 16, NULL, 16) | 1;
    }
    id_is_new(e.id);
    for (unsigned i = 0; i < n_events; i++)
        if (by_place(&events[i].w, &e.w) == 0 && events[i].w.end_ms == e.w.end_ms &&
            events[i].w.revision == e.w.revision && events[i].is_retract == e.is_retract)
            return &events[i];
    assert_true(n_events < MAX_WINDOWS);
    events[n_events] = e;
    return &events[n_events++];
}

static void look(const Metric *m)
{
    bool gauge = IS(m, GAUGE);
    size_t n = gauge ? m->gauge->n_data_points : m->sum->n_data_points;

    for (size_t i = 0; i < n; i++) {
        const Opentelemetry__Proto__Metrics__V1__NumberDataPoint *p =
            gauge ? m->gauge->data_points[i] : m->sum->data_points[i];
        struct event *e = event_of(p);

        if (gauge)
            e->w.max = p->as_double;
        else if (strcmp(m->name, "temperature.count") == 0)
            e->w.count = (uint64_t)p->as_int;
        else
            e->w.sum = p->as_double;
    }
}

/* mark_ms: where the watermark is; UINT64_MAX: everything ends. */
static void apply(const struct event *e, uint64_t mark_ms)
{
    struct window *w = window_of(found, &n_found, e->w.kind, e->w.series, e->w.start_ms, e->w.end_ms);

    n_results++;
    if (e->w.is_final)
        assert_true(e->w.end_ms + (e->w.kind == SLIDING ? 0 : LATENESS_MS) <= mark_ms);
    if (mode == FINAL || mode == RETRACT)
        assert_true(e->w.end_ms <= mark_ms);
    assert_false(w->is_final);
    if (e->is_retract) {
        assert_true(w->stands && w->revision == e->w.revision && w->count == e->w.count && w->sum == e->w.sum &&
                    w->max == e->w.max && w->end_ms == e->w.end_ms);
        w->stands = false;
        return;
    }
    if (mode != FINAL)
        assert_int_equal(e->w.revision, w->revision + 1);
    if (mode == FINAL || mode == RETRACT)
        assert_false(w->stands);
    w->stands = true;
    w->is_final = e->w.is_final;
    w->revision = e->w.revision;
    w->end_ms = e->w.end_ms;
    w->count = e->w.count + (mode == DELTA ? w->count : 0);
    w->sum = e->w.sum + (mode == DELTA ? w->sum : 0);
    w->max = mode == DELTA && w->max > e->w.max ? w->max : e->w.max;
}

static void gather(uint64_t mark_ms)
{
    n_events = 0;
    read_all(&r);
    for (unsigned q = 0; q < n_requests; q++)
        for (size_t i = 0; i < requests[q]->n_resource_metrics; i++)
            for (size_t k = 0; k < requests[q]->resource_metrics[i]->n_scope_metrics; k++)
                for (size_t m = 0; m < requests[q]->resource_metrics[i]->scope_metrics[k]->n_metrics; m++)
                    look(requests[q]->resource_metrics[i]->scope_metrics[k]->metrics[m]);
    for (unsigned i = 0; i < n_events; i++)
        apply(&events[i], mark_ms);
    gw_joint_forget(&r);
}

static void is_as_expected(void)
{
    qsort(expected, n_expected, sizeof(expected[0]), by_place);
    assert_int_equal(n_found, n_expected);
    for (unsigned i = 0; i < n_found; i++) {
        assert_int_equal(by_place(&found[i], &expected[i]), 0);
        assert_int_equal(found[i].end_ms, expected[i].end_ms);
        assert_int_equal(found[i].count, expected[i].count);
        assert_true(found[i].sum == expected[i].sum && found[i].max == expected[i].max);
    }
}

/* ---- one run ---------------------------------------------------------------------------------------------------- */

static uint64_t watermark_ms(void)
{
    static const char name[] = "staunch_rollup_watermark_timestamp_seconds{component=\"rollup\",signal=\"metrics\"}";
    double at = gw_joint_metric(&r, name);

    return (uint64_t)(at * 1e3 + 0.5);
}

static bool is_kept;

/* Behind a journal time is that of the step. */
static void step_to(double second)
{
    uint64_t at = minute + (uint64_t)(second * 1e3) * 1000000;

    until(second);
    if (!is_kept)
        return;
    at -= at % GW_KEEP_STEP_NS;
    assert_int_equal(r.component->keep->advance(r.self[0], at, false, &r.ports), GW_DONE);
    gw_joint_tick(&r, 0, 0);
}

static void begin_kept(void)
{
    static const struct gw_parting by = {.by = GW_PART_SERVICE};

    assert_int_equal(r.component->keep->parted(r.self[0], &by, UINT64_MAX), 0);
    assert_int_equal(r.component->keep->begin(r.self[0]), 0);
}

static void send(const struct planned *p)
{
    unsigned worker = is_kept ? 0 : p->worker;
    char attrs[128];

    (void)snprintf(attrs, sizeof(attrs), INT("i", "%u") "," INT("stream", "%u"), p->series, p->stream);
    if (is_counting)
        counter(worker, (double)p->at_ms / 1e3 + 1e-4, (double)p->start_ms / 1e3 + 1e-4, p->total, attrs);
    else
        gauge(worker, (double)p->at_ms / 1e3 + 1e-4, p->value, attrs); /* that is cut to milliseconds */
}

static void open_run(unsigned n_workers)
{
    char yaml[1024], interval[32];

    (void)snprintf(interval, sizeof(interval), "interval: %us, ", 1 + (unsigned)any(5));
    (void)snprintf(yaml, sizeof(yaml),
                   "allowed_lateness: 4s\naggregates: [count, sum, max]\nkeys: { attributes: [i] }\n"
                   "time: { bounded_delay: 3s, watermark: %s, idle_timeout: %s }\n"
                   "emit: { mode: %s, %sid: rollup.id }\n"
                   "windows: [ { type: hopping, size: %ums, slide: %ums }, { size: 7s }%s%s ]",
                   is_skewed ? "event" : "ingest", is_skewed ? "1h" : "2s", modes[mode], mode == FINAL ? "" : interval,
                   (unsigned)shapes[HOPPING].size_ms, (unsigned)shapes[HOPPING].slide_ms,
                   has_sliding ? ", { type: sliding, size: 8s, slide: 2s }" : "",
                   !has_sessions() ? "" : ", { type: session, gap: 1500ms, max_size: 9s }");
    open_rollup(GW_METRICS, yaml, n_workers);
    if (is_kept)
        begin_kept();
    minute_ms = minute / 1000000;
    n_found = n_results = 0;
    memset(ids, 0, sizeof(ids));
}

/* The slowest worker first: all of them count from the start, and a later one finds time no further than that. */
static void begin_all(unsigned n_workers)
{
    for (unsigned i = n_workers; i-- > 0;) {
        char attrs[64];

        (void)snprintf(attrs, sizeof(attrs), INT("i", "99"));
        gauge(i, 5, 0, attrs);
    }
}

/* Everybody ends; what stands is put in order. */
static void end_all(unsigned n_workers)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_workers; i++)
        while (gw_joint_drain(&r, i) == GW_MORE)
            ;
    gather(UINT64_MAX);
    for (unsigned i = 0; i < n_found; i++)
        if (found[i].stands && found[i].series < N_SERIES) {
            assert_true(mode == RETRACT || mode == DELTA || found[i].is_final);
            found[i].revision = 0;
            found[i].is_final = true;
            found[n++] = found[i];
        }
    n_found = n;
    qsort(found, n_found, sizeof(found[0]), by_place);
}

static unsigned n_orders;

static void one_order(unsigned n_workers)
{
    uint64_t mark = 0;

    n_orders++;
    open_run(n_workers);
    shuffle(DELAY_MS + (has_sliding || (is_counting && mode != FINAL) ? 0 : LATENESS_MS));
    expect_all();
    if (is_skewed)
        begin_all(n_workers);
    for (unsigned i = 0; i < N_POINTS; i++) {
        step_to((double)points[i].came_ms / 1e3);
        assert_true(watermark_ms() >= mark);
        mark = watermark_ms();
        gather(mark);
        send(&points[i]);
    }
    assert_int_equal(r.n_side, 0); /* all were within the bound */
    if (!is_skewed) {
        step_to((double)points[N_POINTS - 1].came_ms / 1e3 + 60);
        gather(watermark_ms());
    }
    end_all(n_workers);
    is_as_expected();
    assert_true(is_kept || r.memory.used_bytes == 0);
    close_rollup();
}

/* The finals of one order, told as soon as they are due or much later, are the same, late points and all. */
static void any_speed(unsigned n_workers)
{
    static struct window first[MAX_WINDOWS];
    unsigned n_first = 0, n_side = 0;

    shuffle(5 * (DELAY_MS + LATENESS_MS));
    for (unsigned speed = 0; speed < 3; speed++) {
        open_run(n_workers);
        begin_all(n_workers);
        for (unsigned i = 0; i < N_POINTS; i++) {
            if (any(speed * 12 + 1) == 0) {
                until((double)points[i].came_ms / 1e3);
                gather(watermark_ms());
            } else {
                gw_test_env_advance(&r.te, (minute_ms + points[i].came_ms) * 1000000 - gw_wall_ns(&r.te.env));
            }
            send(&points[i]);
        }
        end_all(n_workers);
        assert_true(speed == 0 || (r.n_side == n_side && n_found == n_first));
        assert_true(speed == 0 || memcmp(found, first, n_found * sizeof(found[0])) == 0);
        n_first = n_found;
        n_side = r.n_side;
        memcpy(first, found, sizeof(found));
        close_rollup();
    }
}

static uint64_t n_told;

static void run(uint64_t seed)
{
    unsigned n_workers;

    seed_ = seed;
    mode = (int)any(4);
    n_workers = 1 + (unsigned)any(3);
    is_skewed = any(3) == 0;
    has_sliding = any(2) == 0;
    is_counting = any(3) == 0;
    if (is_counting && any(2)) { /* the longest wait */
        mode = FINAL;
        has_sliding = false;
    }
    /* as it is, or so that the tumbling ones feed it */
    shapes[HOPPING].slide_ms = any(2) ? 3000 : 7000 * (1 + any(2));
    shapes[HOPPING].size_ms = shapes[HOPPING].slide_ms == 3000 ? 7000 : shapes[HOPPING].slide_ms * (2 + any(2));
    plan(n_workers);
    for (unsigned i = 0; i < 2; i++) {
        one_order(n_workers);
        n_told += n_results;
    }
    is_skewed = false;
    is_kept = true;
    one_order(1);
    n_told += n_results;
    is_kept = false;
    is_skewed = true;
    any_speed(n_workers);
}

static void a_stream_comes_to_what_a_computation_says(void **state)
{
    (void)state;
    gw_test_seeds(15, run);
    print_message("%u orders of %u points, %llu results\n", n_orders, N_POINTS, (unsigned long long)n_told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_stream_comes_to_what_a_computation_says)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
