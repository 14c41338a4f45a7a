/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rollup behind a journal, as a processor and as a connector, killed again and again: also while it restores, while
 * commits are under way, with logs that fail and are full, with the power cut, with a clock that steps back, with
 * another number of workers, and reloaded; with sessions, and all ways to tell results. At the end the journal says
 * which points came in, in which step. In the queue's log must be, to the last bit:
 *
 *   a computation over all points   every window of fixed length, each once; in parts, or told and taken back: they add
 *                                   up to it
 *   a run that nobody kills         a rollup apart, which is given the same points in the same steps, and looks at
 * every step of the clock: every result with its revision, and no other one
 *
 * In a third of the seeds the points are those of counters, two a series, which begin anew every few seconds.
 *
 * GW_SIM_SEEDS=n runs n seeds (default 10), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "pipeline/keep.h"
#include "pipeline/parting.h"
#include "processors/rollup/rollup.h"
#include "series/counter.h"
#include "tests/harness_connector.h"
#include "tests/harness_logs.h"

enum {
    N_SERVICES = 4,
    N_ITEMS = 3,
    N_SERIES = N_SERVICES * N_ITEMS,
    MAX_LIVES = 24,
    MAX_CELLS = 60000,
    MAX_COUNTED = 20000
};
enum { N_WINDOWS = 3, N_SPECS = 6 };
#define MS      1000000ull
#define S       1000000000ull
#define STEP_NS GW_KEEP_STEP_NS

typedef Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest Request;
typedef Opentelemetry__Proto__Metrics__V1__Metric Metric;
typedef Opentelemetry__Proto__Metrics__V1__NumberDataPoint Point;

/* What a seed is like. */
struct shape {
    bool connector, fsync, steps_back, reloads, other_workers, by_event, all_attributes, counts;
    unsigned n_workers, fail, full, delay_ms, bounded_ms, lateness_ms, idle_ms, checkpoint_ms, staleness_ms;
    struct gw_ru_window windows[N_WINDOWS];
    int mode;
    bool sessions, sliding;
    unsigned gap_ms, longest_ms, interval_ms, partitions, max_series; /* of a worker; 0: enough for all */
};

/* A result, and all that is said of it. */
struct result {
    char text[224];
};
struct results {
    struct result *list;
    size_t n, cap;
};

/* A series' window: what is in it, and which results of it were found. */
struct cell {
    uint32_t series, window;
    uint64_t end_ns;
    uint8_t found[N_SPECS];
    int64_t count; /* what was told, and not taken back, adds up to */
    uint64_t state[64];
};

/* A point of a counter that the journal has. */
struct counted {
    uint32_t series, stream;
    struct gw_counter_point point;
    uint64_t mark_ns, begin_ns; /* when it came; when its partition's first one did */
};

struct world {
    struct gw_test_engine t;
    uint64_t seed, back_ns;
    struct shape is;
    unsigned n_workers, n_crashes, n_points;
    struct gw_agg_plan plan;
    struct gw_heap heap;
    struct cell *cells;
    unsigned n_cells, n_late;
    struct counted *counted;
    unsigned n_counted;
    struct results told, must;
    unsigned bad;
    bool says;
};

static unsigned long long n_crashes, n_results, n_late, n_overflows;
static const struct gw_agg_spec specs[N_SPECS] = {{.fn = GW_AGG_COUNT}, {.fn = GW_AGG_SUM},
                                                  {.fn = GW_AGG_MIN},   {.fn = GW_AGG_MAX},
                                                  {.fn = GW_AGG_LAST},  {.fn = GW_AGG_QUANTILE, .q = 0.5}};
static const char *const modes[] = {"final", "eager", "delta", "retract"};
static const char *const names[N_SPECS] = {"v.count", "v.sum", "v.min", "v.max", "v.last", "v.p50"};

/* Of which the plan is made: samples have no result of their own. */
static const struct gw_agg_spec planned[N_SPECS + 1] = {{.fn = GW_AGG_COUNT},
                                                        {.fn = GW_AGG_SUM},
                                                        {.fn = GW_AGG_MIN},
                                                        {.fn = GW_AGG_MAX},
                                                        {.fn = GW_AGG_LAST},
                                                        {.fn = GW_AGG_QUANTILE, .q = 0.5},
                                                        {.fn = GW_AGG_SAMPLES, .size = 2}};

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

/* ---- points ----------------------------------------------------------------------------------------------- */

static int keep_body(void *arg, struct gw_slice body, uint32_t points)
{
    (void)points;
    gw_buf_put_slice(arg, body);
    return 0;
}

/* What a counter says follows from its time: a life of three seconds, of which it knows the begin, or does not. */
static void put_count(struct world *w, struct gw_mw *to, struct gw_mw_point *p, uint64_t stream)
{
    uint64_t age_ns = p->time_ns % (3 * S + stream * 100 * MS);

    p->start_ns = stream ? p->time_ns - age_ns : 0;
    if (any(w, 40) == 0)
        gw_mw_double(to, p, -1); /* that is none */
    else if (stream)
        gw_mw_int(to, p, (int64_t)(age_ns / MS));
    else
        gw_mw_double(to, p, (double)age_ns / 7e6);
}

static void put_point(struct world *w, struct gw_mw *to, uint64_t now_ns)
{
    uint64_t stream = any(w, 2);
    struct gw_value which = {.type = GW_V_INT, .i = (int64_t)stream};
    struct gw_buf attrs;
    struct gw_value item = {.type = GW_V_INT, .i = (int64_t)any(w, N_ITEMS)};
    uint64_t late_ns = any(w, 10) ? any(w, (w->is.bounded_ms + w->is.lateness_ms) * MS + 1) : any(w, 8 * S);
    struct gw_mw_point p = {.time_ns = any(w, 60) ? now_ns - late_ns : now_ns + 3 * S};

    p.time_ns -= any(w, 3) ? 0 : p.time_ns % (100 * MS); /* some come at the same time */
    gw_buf_init(&attrs, 256);
    gw_mw_attr_put(&attrs, GW_SLICE("i"), &item);
    if (w->is.counts)
        gw_mw_attr_put(&attrs, GW_SLICE("stream"), &which);
    p.attrs = gw_buf_slice(&attrs);
    if (w->is.counts)
        put_count(w, to, &p, stream);
    else if (any(w, 2))
        gw_mw_int(to, &p, (int64_t)any(w, 2000) - 1000);
    else
        gw_mw_double(to, &p, ((double)any(w, 2000) - 500) / 7 * (any(w, 5) ? 1 : 1e12));
    gw_buf_clear(&attrs);
    w->n_points++;
}

static void request(struct world *w, struct gw_buf *body)
{
    uint64_t now = gw_wall_ns(&w->t.te.env);
    struct gw_buf room, resource;
    struct gw_mw to;
    char name[16];

    gw_buf_init(&room, 1 << 20);
    gw_buf_init(&resource, 256);
    gw_mw_init(&to, &room, 1 << 20, keep_body, body);
    (void)snprintf(name, sizeof(name), "s%u", (unsigned)any(w, N_SERVICES));
    gw_mw_attr_put_str(&resource, GW_SLICE("service.name"), gw_slice_cstr(name));
    gw_mw_resource(&to, gw_buf_slice(&resource), GW_SLICE(""));
    gw_mw_scope(&to, GW_SLICE(""), GW_SLICE(""));
    gw_mw_metric(&to, &(struct gw_mw_metric){.name = GW_SLICE("v"),
                                             .type = w->is.counts ? GW_M_SUM : GW_M_GAUGE,
                                             .temporality = w->is.counts ? GW_T_CUMULATIVE : GW_T_UNSPECIFIED,
                                             .monotonic = w->is.counts});
    for (uint64_t n = 1 + any(w, 8); n > 0; n--)
        put_point(w, &to, now);
    assert_int_equal(gw_mw_end(&to), 0);
    gw_buf_clear(&room);
    gw_buf_clear(&resource);
}

static void send_one(struct world *w)
{
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, w->n_workers));
    struct gw_verdict v = {0};
    struct gw_buf b;

    gw_buf_init(&b, 1 << 20);
    request(w, &b);
    (void)gw_test_send(d, GW_METRICS, gw_buf_slice(&b), NULL, w->n_points, &v);
    gw_buf_clear(&b);
}

/* ---- lives ------------------------------------------------------------------------------------------------ */

/* n_workers: that divide what there is room for. */
static const char *rollup_yaml(const struct world *w, unsigned n_workers)
{
    static char text[1400];
    const struct gw_ru_window *h = &w->is.windows[1];
    char sessions[100] = "", interval[60] = "";

    if (w->is.sessions)
        (void)snprintf(sessions, sizeof(sessions), ", { type: session, gap: %ums, max_size: %ums }", w->is.gap_ms,
                       w->is.longest_ms);
    if (w->is.mode != GW_RU_FINAL)
        (void)snprintf(interval, sizeof(interval), ", interval: %ums", w->is.interval_ms);
    (void)snprintf(text, sizeof(text),
                   "{ %s windows: [ { size: %ums }, { type: hopping, size: %ums, slide: %ums }, { size: %ums }%s%s ],\n"
                   "    time: { watermark: %s, bounded_delay: %ums, idle_timeout: %ums }, allowed_lateness: %ums,\n"
                   "    checkpoint_interval: %ums, cumulative: { max_staleness: %ums },\n"
                   "    aggregates: [count, sum, min, max, last%s],\n"
                   "    emit: { mode: %s%s, id: row }, max_series: %u }\n",
                   w->is.all_attributes ? "" : "keys: { resource: [service.name], attributes: [i] },",
                   (unsigned)(w->is.windows[0].size_ns / MS), (unsigned)(h->size_ns / MS), (unsigned)(h->slide_ns / MS),
                   (unsigned)(w->is.windows[2].size_ns / MS),
                   w->is.sliding ? ", { type: sliding, size: 1900ms, slide: 700ms }" : "", sessions,
                   w->is.by_event ? "event" : "ingest", w->is.bounded_ms, w->is.idle_ms, w->is.lateness_ms,
                   w->is.checkpoint_ms, w->is.staleness_ms, w->is.mode == GW_RU_DELTA ? "" : ", p50, samples2",
                   modes[w->is.mode], interval, w->is.max_series ? w->is.max_series * n_workers : 1000);
    return text;
}

static const char *yaml(const struct world *w, bool with_extension)
{
    static char text[3000];
    char extension[200] = "";

    if (with_extension)
        (void)snprintf(extension, sizeof(extension), "extensions: { file_storage: { directory: %s, fsync: %s } }\n",
                       gw_test_logs_dir(), w->is.fsync ? "true" : "false");
    (void)snprintf(text, sizeof(text),
                   "%sreceivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { storage: file_storage, queue_size: 100000,\n"
                   "  num_consumers: 1 }, timeout: 1h } }\n"
                   "connectors:\n"
                   "  journal/j: { storage: file_storage, partition_by: service, partitions: %u }\n"
                   "%s  rollup: %s"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    metrics/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "%s",
                   extension, w->is.partitions, w->is.connector ? "" : "processors:\n", rollup_yaml(w, w->n_workers),
                   w->is.connector ? "    metrics/a: { receivers: [journal/j], exporters: [rollup] }\n"
                                     "    metrics/b: { receivers: [rollup], exporters: [scripted] }\n"
                                   : "    metrics/b: { receivers: [journal/j], processors: [rollup], exporters: "
                                     "[scripted] }\n");
    return text;
}

/* The journal's, the queue's, and that of what is kept. */
static const char *log_of(const struct world *w, unsigned i)
{
    return i == 0            ? "journal/j"
           : i == 1          ? "queue/metrics%2Fb"
           : w->is.connector ? "decisions/metrics%2Fa"
                             : "decisions/metrics%2Fb";
}

static void set_faults(struct world *w, bool none)
{
    for (unsigned i = 0; i < 3; i++)
        *gw_test_log_faults(log_of(w, i)) = none
                                                ? (struct gw_log_sim_faults){0}
                                                : (struct gw_log_sim_faults){.fail_permille = w->is.fail,
                                                                             .full_permille = w->is.full,
                                                                             .max_late_ns = i ? 0 : w->is.delay_ms * MS,
                                                                             .max_delay_ns = w->is.delay_ms * MS};
}

static void begin_life(struct world *w)
{
    uint64_t offset;

    if (w->is.other_workers && any(w, 3) == 0)
        w->n_workers = 1 + (unsigned)any(w, 3);
    if (w->is.other_workers && w->is.partitions < GW_LOG_PARTITIONS && any(w, 4) == 0)
        w->is.partitions *= 2;
    gw_test_engine_seed = gw_test_random(&w->seed);
    gw_test_logs_engine_synced(&w->t, yaml(w, false), w->n_workers, w->is.fsync);
    offset = w->t.te.wall_offset_ns;
    w->t.te.wall_offset_ns = offset - w->back_ns;
    w->t.looks_away = any(w, 8) != 0;
    set_faults(w, false);
}

static void reload(struct world *w)
{
    struct gw_err err = {""};
    int rc = gw_test_engine_reload(&w->t, yaml(w, true), &err);

    if (rc < 0 && rc != -EBUSY)
        fail_msg("%s", err.text);
}

static void step_back(struct world *w)
{
    uint64_t ns = any(w, 400 * MS);

    w->back_ns += ns;
    w->t.te.wall_offset_ns -= ns;
}

static void forget_verdicts(struct world *w)
{
    for (unsigned k = 0; k < w->n_workers; k++)
        gw_test_engine_door(&w->t, "scripted", k)->n_verdicts = 0;
}

static void live(struct world *w)
{
    uint64_t turns = any(w, 3) ? 1 + any(w, 12) : any(w, 3);

    for (uint64_t i = 0; i < turns; i++) {
        for (uint64_t k = any(w, 3); k > 0; k--)
            send_one(w);
        if (w->is.steps_back && any(w, 10) == 0)
            step_back(w);
        if (w->is.reloads && any(w, 12) == 0)
            reload(w);
        gw_test_logs_turn(&w->t, 1 + (unsigned)any(w, 3), any(w, 10) == 0 ? any(w, 3 * S) : any(w, 150 * MS));
        forget_verdicts(w);
    }
}

static void on_forgotten(struct gw_log_commit *c, int rc)
{
    assert_int_equal(rc, 0);
    c->n_frames = 1;
}

/* As if nobody had written down which windows were told, and what is in the others. */
static void forget_records(struct world *w)
{
    struct gw_log *queue = gw_test_log(log_of(w, 1));
    uint8_t note[72], other[72];
    uint64_t at;

    set_faults(w, true);
    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++)
        for (uint32_t id = 1; id < 8; id++) {
            size_t n = sizeof(note);
            struct gw_log_position to = {.consumer = id, .partition = p, .note = {other, sizeof(other)}};
            struct gw_log_commit c = {.positions = &to, .n_positions = 1, .done = on_forgotten};

            if (gw_log_position(queue, id, p, &at, note, &n) < 0 || n != sizeof(note))
                continue;
            memcpy(other, note, sizeof(other));
            other[48] ^= 1; /* another stream */
            gw_log_submit(queue, &c);
            while (c.n_frames == 0)
                (void)gw_log_work(queue);
        }
}

static void die(struct world *w)
{
    w->n_crashes++;
    n_crashes++;
    set_faults(w, true);
    gw_test_logs_crash(&w->t, w->is.fsync && any(w, 2));
}

/* Nothing fails any more, and nothing comes in: until all windows are told. */
static void end(struct world *w)
{
    begin_life(w);
    set_faults(w, true);
    for (unsigned i = 0; i < 160; i++) {
        gw_test_logs_turn(&w->t, 3, 2 * STEP_NS);
        forget_verdicts(w);
    }
    gw_test_logs_turn(&w->t, 20, 0);
}

/* ---- the model -------------------------------------------------------------------------------------------- */

static struct cell *cell_of(struct world *w, uint32_t series, uint32_t window, uint64_t end_ns, bool make)
{
    struct cell *c;

    for (unsigned i = w->n_cells; i-- > 0;)
        if (window < N_WINDOWS && w->cells[i].series == series && w->cells[i].window == window &&
            w->cells[i].end_ns == end_ns)
            return &w->cells[i];
    if (!make)
        return NULL;
    assert_true(w->n_cells < MAX_CELLS);
    c = &w->cells[w->n_cells++];
    *c = (struct cell){.series = series, .window = window, .end_ns = end_ns};
    return c;
}

static int64_t item_of(const Point *p)
{
    for (size_t i = 0; i < p->n_attributes; i++)
        if (strcmp(p->attributes[i]->key, "i") == 0)
            return p->attributes[i]->value->int_value;
    return -1;
}

static uint32_t stream_of(const Point *p)
{
    for (size_t i = 0; i < p->n_attributes; i++)
        if (strcmp(p->attributes[i]->key, "stream") == 0)
            return (uint32_t)p->attributes[i]->value->int_value;
    return 0;
}

static struct gw_agg_number number_of(const Point *p)
{
    if (p->value_case == OPENTELEMETRY__PROTO__METRICS__V1__NUMBER_DATA_POINT__VALUE_AS_INT)
        return (struct gw_agg_number){.is_int = true, .i = p->as_int};
    return (struct gw_agg_number){.d = p->as_double};
}

/* The point itself, which has no trace. */
static void add_sample(struct world *w, struct cell *c, uint64_t time_ns, struct gw_agg_number n)
{
    struct gw_pick p = {.exemplar = {.time_ns = time_ns, .value = n.is_int ? (double)n.i : n.d}};

    p.rank = gw_ru_sample_rank(&p.exemplar);
    assert_int_equal(gw_agg_add_sample(&w->plan, c->state, &w->heap, &p), 0);
}

/* Into every window that has not been told at that watermark. False: there is none. */
static bool add(struct world *w, uint32_t series, uint64_t time_ns, struct gw_agg_number n, uint64_t mark_ns,
                bool only_look)
{
    struct gw_agg_value v = {.is_int = n.is_int, .n = 1, .time_ns = time_ns};
    bool any_open = false;

    v.i = n.i;
    for (uint32_t k = 0; k < N_WINDOWS; k++) {
        const struct gw_ru_window *win = &w->is.windows[k];

        for (uint64_t at = gw_ru_first_end(win, time_ns); at <= gw_ru_last_end(win, time_ns); at += win->slide_ns) {
            if (at + w->is.lateness_ms * MS <= mark_ns)
                continue;
            any_open = true;
            if (only_look)
                continue;
            assert_int_equal(gw_agg_add(&w->plan, cell_of(w, series, k, at, true)->state, &w->heap, &v), 0);
            if (!w->is.counts)
                add_sample(w, cell_of(w, series, k, at, true), time_ns, n);
        }
    }
    return any_open;
}

/* A point that came when a later one counted already is late. */
static bool is_out_of_order(const struct world *w, const struct counted *c)
{
    for (unsigned i = 0; i < w->n_counted; i++) {
        const struct counted *other = &w->counted[i];

        if (other->series == c->series && other->stream == c->stream && other->point.time_ns >= c->point.time_ns &&
            other->point.time_ns + w->is.lateness_ms * MS < c->mark_ns)
            return true;
    }
    return false;
}

static void take_count(struct world *w, const struct counted *c)
{
    if (c->point.value.is_int ? c->point.value.i < 0 : c->point.value.d < 0)
        return;
    if (!add(w, c->series, c->point.time_ns, c->point.value, c->mark_ns, true) || is_out_of_order(w, c)) {
        w->n_late++;
        return;
    }
    assert_true(w->n_counted < MAX_COUNTED);
    w->counted[w->n_counted++] = *c;
}

static int by_stream(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;

    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return gw_counter_compare(&x->point, &y->point);
}

static bool is_first(const struct world *w, const struct counted *before, const struct counted *c)
{
    return !before || before->series != c->series || before->stream != c->stream ||
           c->point.time_ns - before->point.time_ns > w->is.staleness_ms * MS;
}

/* By how much each went up, when all are there. */
static void add_counts(struct world *w)
{
    const struct counted *before = NULL;

    qsort(w->counted, w->n_counted, sizeof(*w->counted), by_stream);
    for (unsigned i = 0; i < w->n_counted; i++) {
        const struct counted *c = &w->counted[i];
        const struct gw_counter_point *p = &c->point;

        if (before && by_stream(before, c) == 0)
            continue;
        if (!is_first(w, before, c))
            (void)add(w, c->series, p->time_ns, gw_counter_increase(&before->point, p), c->mark_ns, false);
        else if (p->start_ns >= c->begin_ns && p->start_ns < p->time_ns &&
                 p->time_ns - p->start_ns <= w->is.staleness_ms * MS)
            (void)add(w, c->series, p->time_ns, p->value, c->mark_ns, false);
        before = c;
    }
}

static Request *unpack(struct gw_slice body)
{
    Request *q =
        opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__unpack(NULL, body.n, body.p);

    assert_non_null(q);
    return q;
}

static void release(Request *q)
{
    opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__free_unpacked(q, NULL);
}

static uint32_t service_of(const Opentelemetry__Proto__Metrics__V1__ResourceMetrics *r)
{
    return (uint32_t)(r->resource->attributes[0]->value->string_value[1] - '0');
}

/* Step of the first point that was not late, by what the key is modulo 64, however many partitions the journal has. */
static uint64_t begins[GW_PARTITIONS];

/* A point of that step. */
static void take(struct world *w, uint32_t series, const Point *p, uint64_t step_ns, uint64_t mark_ns,
                 uint64_t *begin_ns)
{
    struct counted c = {.series = series,
                        .stream = stream_of(p),
                        .point = {p->start_time_unix_nano, p->time_unix_nano, number_of(p)},
                        .mark_ns = mark_ns};

    if (p->time_unix_nano > step_ns + 10 * S)
        return;
    if (!w->is.counts) {
        w->n_late += !add(w, series, p->time_unix_nano, number_of(p), mark_ns, false);
        return;
    }
    if (*begin_ns == 0 && !(number_of(p).d == -1) && add(w, series, p->time_unix_nano, number_of(p), mark_ns, true))
        *begin_ns = step_ns;
    c.begin_ns = *begin_ns;
    take_count(w, &c);
}

/* Where a lane is: its step, and what its watermark follows. */
struct lane {
    uint64_t step_ns, mark_ns, top_ns;
    struct gw_watermark by_event;
};

static const Opentelemetry__Proto__Common__V1__AnyValue *attribute(const Point *p, const char *name)
{
    for (size_t i = 0; i < p->n_attributes; i++)
        if (strcmp(p->attributes[i]->key, name) == 0)
            return p->attributes[i]->value;
    return NULL;
}

static bool flag(const Point *p, const char *name)
{
    const Opentelemetry__Proto__Common__V1__AnyValue *v = attribute(p, name);

    return v && v->bool_value;
}

/* When all attributes stay, each stream is a series. What found no room is one of its partition. */
static uint32_t series_of(const struct world *w, const Opentelemetry__Proto__Metrics__V1__ResourceMetrics *r,
                          const Point *p)
{
    uint32_t service;

    if (flag(p, "otel.metric.overflow")) {
        n_overflows++;
        return 2 * N_SERIES + (uint32_t)attribute(p, "rollup.partition")->int_value;
    }
    service = service_of(r);
    return (service * N_ITEMS + (uint32_t)item_of(p)) * 2 + (w->is.all_attributes ? stream_of(p) : 0);
}

static void begin_step(const struct world *w, struct lane *l, uint64_t step_ns)
{
    const struct gw_watermark_conf conf = {w->is.bounded_ms * MS, w->is.idle_ms * MS};
    uint64_t mark = step_ns - conf.delay_ns;
    bool ignored;

    if (step_ns <= l->step_ns)
        return;
    if (l->top_ns)
        gw_watermark_observe(&l->by_event, "", l->top_ns, l->step_ns);
    if (w->is.by_event)
        mark = gw_watermark_of(&l->by_event, &conf, step_ns, &ignored);
    l->top_ns = 0;
    l->step_ns = step_ns;
    l->mark_ns = mark > l->mark_ns ? mark : l->mark_ns;
}

static uint64_t *begin_of(const Opentelemetry__Proto__Metrics__V1__ResourceMetrics *r)
{
    return &begins[gw_partition_of(gw_slice_cstr(r->resource->attributes[0]->value->string_value))];
}

static void take_frame(struct world *w, const struct gw_log_frame *f, struct lane *l)
{
    Request *q;

    begin_step(w, l, f->time_ns / STEP_NS * STEP_NS);
    if (f->rows == 0)
        return;
    q = unpack(f->body);
    for (size_t r = 0; r < q->n_resource_metrics; r++) {
        uint64_t *begin_ns = begin_of(q->resource_metrics[r]);

        for (size_t s = 0; s < q->resource_metrics[r]->n_scope_metrics; s++)
            for (size_t m = 0; m < q->resource_metrics[r]->scope_metrics[s]->n_metrics; m++) {
                const Metric *metric = q->resource_metrics[r]->scope_metrics[s]->metrics[m];

                bool is_sum = metric->data_case == OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM;
                size_t n = is_sum ? metric->sum->n_data_points : metric->gauge->n_data_points;

                for (size_t i = 0; i < n; i++) {
                    const Point *p = is_sum ? metric->sum->data_points[i] : metric->gauge->data_points[i];

                    take(w, series_of(w, q->resource_metrics[r], p), p, l->step_ns, l->mark_ns, begin_ns);
                    if (!(w->is.counts && number_of(p).d == -1) && p->time_unix_nano <= l->step_ns + 10 * S &&
                        p->time_unix_nano > l->top_ns)
                        l->top_ns = p->time_unix_nano;
                }
            }
    }
    release(q);
}

static void expect(struct world *w)
{
    static struct lane lanes[GW_LOG_PARTITIONS];
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;

    memset(lanes, 0, sizeof(lanes));
    memset(begins, 0, sizeof(begins));
    assert_int_equal(gw_log_reader_new(gw_test_log(log_of(w, 0)), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1)
        take_frame(w, &e.frame, &lanes[e.frame.partition % w->n_workers]);
    gw_log_reader_free(r);
    add_counts(w);
}

/* N_WINDOWS: of those that only the other run knows. */
static unsigned window_of(const struct world *w, const Point *p)
{
    unsigned k = 0;

    if (strchr(attribute(p, "rollup.window")->string_value, ' '))
        return N_WINDOWS;
    while (k < N_WINDOWS && w->is.windows[k].size_ns != p->time_unix_nano - p->start_time_unix_nano)
        k++; /* no two are equally long */
    assert_true(k < N_WINDOWS);
    return k;
}

static bool has_samples(const struct world *w, const struct cell *c, const Point *p)
{
    struct gw_mw_exemplar must[2];
    unsigned n = gw_agg_exemplars(&w->plan, c->state, must, 2);
    bool ok = p->n_exemplars == n;

    for (unsigned i = 0; i < n && ok; i++)
        ok = p->exemplars[i]->time_unix_nano == must[i].time_ns && p->exemplars[i]->as_double == must[i].value;
    return ok;
}

/* What found no room is elsewhere, and early results do not wait for late points of counters: the other run knows. */
static bool is_apart(const struct world *w)
{
    return w->is.max_series || (w->is.counts && w->is.mode != GW_RU_FINAL);
}

/* One result: there must be such a window, once, and the number is its. */
static void judge(struct world *w, uint32_t series, const char *name, const Point *p)
{
    struct cell *c = cell_of(w, series, window_of(w, p), p->time_unix_nano, false);
    struct gw_agg_number is = number_of(p), must;
    unsigned k = 0;
    bool ok;

    n_results++;
    if (window_of(w, p) == N_WINDOWS || is_apart(w))
        return;
    while (k < N_SPECS && strcmp(names[k], name) != 0)
        k++;
    assert_true(k < N_SPECS);
    if (c && k == 0)
        c->count += flag(p, "rollup.retracts") ? -is.i : is.i;
    if (w->is.mode == GW_RU_DELTA || w->is.mode == GW_RU_RETRACT ||
        (w->is.mode == GW_RU_EAGER && !flag(p, "rollup.is_final")))
        return;
    ok = c && !c->found[k] && gw_agg_number(&w->plan, c->state, &specs[k], &must) && must.is_int == is.is_int &&
         must.i == is.i && (specs[k].fn != GW_AGG_SUM || has_samples(w, c, p));
    if (c)
        c->found[k] = 1;
    if (!ok && w->says && w->bad < 10)
        fprintf(stderr, "%s of series %u, window %u, end %llu: %s\n", name, series, window_of(w, p),
                (unsigned long long)p->time_unix_nano, !c ? "must not be" : "another number, or twice");
    w->bad += !ok;
}

/* Of no window too much or too little. */
static bool is_whole(const struct world *w, const struct cell *c)
{
    struct gw_agg_number must;

    if (is_apart(w))
        return true;
    if (w->is.mode == GW_RU_DELTA || w->is.mode == GW_RU_RETRACT)
        return gw_agg_number(&w->plan, c->state, &specs[0], &must) && must.i == c->count;
    for (unsigned k = 0; k < N_SPECS; k++)
        if (!c->found[k])
            return false;
    return true;
}

static void note(struct results *to, uint32_t series, const char *name, const Point *p)
{
    const Opentelemetry__Proto__Common__V1__AnyValue *revision = attribute(p, "rollup.revision");
    struct gw_agg_number n = number_of(p);

    if (to->n == to->cap) {
        to->cap = to->cap ? 2 * to->cap : 1024;
        to->list = realloc(to->list, to->cap * sizeof(*to->list));
        assert_non_null(to->list);
    }
    (void)snprintf(to->list[to->n++].text, sizeof(to->list[0].text),
                   "series %u %s, %llu to %llu, revision %2lld%s%s, %s: %s %016llx, %s", series,
                   attribute(p, "rollup.window")->string_value, (unsigned long long)p->start_time_unix_nano,
                   (unsigned long long)p->time_unix_nano, revision ? (long long)revision->int_value : -1,
                   flag(p, "rollup.is_final") ? " final" : "", flag(p, "rollup.retracts") ? " taken back" : "", name,
                   n.is_int ? "int" : "double", (unsigned long long)n.i, attribute(p, "row")->string_value);
}

/* Every number of a request. */
static void each_point(struct world *w, struct gw_slice body,
                       void (*look)(struct world *w, uint32_t series, const char *name, const Point *p))
{
    Request *q = unpack(body);

    for (size_t r = 0; r < q->n_resource_metrics; r++)
        for (size_t s = 0; s < q->resource_metrics[r]->n_scope_metrics; s++)
            for (size_t m = 0; m < q->resource_metrics[r]->scope_metrics[s]->n_metrics; m++) {
                const Metric *metric = q->resource_metrics[r]->scope_metrics[s]->metrics[m];
                bool is_sum = metric->data_case == OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM;
                size_t n = is_sum ? metric->sum->n_data_points : metric->gauge->n_data_points;
                Point **p = is_sum ? metric->sum->data_points : metric->gauge->data_points;

                for (size_t i = 0; i < n; i++)
                    if (strcmp(metric->name, "v") != 0) /* what is no point of a counter passes */
                        look(w, series_of(w, q->resource_metrics[r], p[i]), metric->name, p[i]);
            }
    release(q);
}

static void of_queue(struct world *w, uint32_t series, const char *name, const Point *p)
{
    judge(w, series, name, p);
    note(&w->told, series, name, p);
}

static void of_other_run(struct world *w, uint32_t series, const char *name, const Point *p)
{
    note(&w->must, series, name, p);
}

/* ---- a run that nobody kills ------------------------------------------------------------------------------ */

static struct gw_joint_rig rig;

static void open_rig(struct world *w, uint64_t partitions)
{
    static const struct gw_parting by = {.by = GW_PART_SERVICE};

    gw_joint_kind = w->is.connector ? GW_CONNECTOR : GW_PROCESSOR;
    gw_joint_open(&rig, "rollup", GW_METRICS, rollup_yaml(w, GW_JOINT_WORKERS), 1);
    rig.shared_ctx.pipeline = w->is.connector ? NULL : "metrics/b"; /* it is part of ids */
    assert_int_equal(rig.component->keep->parted(rig.self[0], &by, partitions), 0);
    assert_int_equal(rig.component->keep->begin(rig.self[0]), 0);
}

static void step_rig(struct world *w, uint64_t step_ns)
{
    assert_int_equal(rig.component->keep->advance(rig.self[0], step_ns, false, &rig.ports), GW_DONE);
    for (unsigned i = 0; i < rig.n_bodies; i++)
        each_point(w, gw_buf_slice(&rig.bodies[i]), of_other_run);
    gw_joint_forget(&rig);
}

/* The partitions that one worker reads, or all of them: it must not matter. */
static void run_apart(struct world *w, uint64_t partitions)
{
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t at = 0;

    open_rig(w, partitions);
    assert_int_equal(gw_log_reader_new(gw_test_log(log_of(w, 0)), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1) {
        uint64_t step = e.frame.time_ns / STEP_NS * STEP_NS;

        if (!(partitions >> e.frame.partition & 1))
            continue;
        for (at = at ? at : step - STEP_NS; at < step; step_rig(w, at))
            at += STEP_NS;
        if (e.frame.rows)
            gw_joint_send_wire(&rig, 0, e.frame.body);
    }
    gw_log_reader_free(r);
    for (unsigned i = 0; i < 200; i++)
        step_rig(w, at += STEP_NS);
    gw_joint_close(&rig);
    gw_joint_kind = GW_CONNECTOR;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct result *)a)->text, ((const struct result *)b)->text);
}

static void differs(struct world *w, const char *how, const struct result *r)
{
    if (w->says && w->bad < 10)
        fprintf(stderr, "%s: %s\n", how, r->text);
    w->bad++;
}

static void compare_runs(struct world *w)
{
    bool by_lane = w->is.by_event || w->is.steps_back || w->is.max_series;
    size_t i = 0, k = 0;

    for (unsigned lane = 0; lane < (by_lane ? w->n_workers : 1); lane++) {
        uint64_t partitions = by_lane ? 0 : UINT64_MAX;

        for (unsigned p = 0; p < GW_LOG_PARTITIONS && by_lane; p++)
            partitions |= (uint64_t)(p % w->is.partitions % w->n_workers == lane) << p;
        run_apart(w, partitions);
    }
    qsort(w->told.list, w->told.n, sizeof(struct result), by_text);
    qsort(w->must.list, w->must.n, sizeof(struct result), by_text);
    while (i < w->told.n || k < w->must.n) {
        int c = i == w->told.n ? 1 : k == w->must.n ? -1 : by_text(&w->told.list[i], &w->must.list[k]);

        if (c < 0)
            differs(w, "too much", &w->told.list[i]);
        else if (c > 0)
            differs(w, "missing", &w->must.list[k]);
        i += c <= 0;
        k += c >= 0;
    }
}

static void compare(struct world *w)
{
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;

    expect(w);
    assert_int_equal(gw_log_reader_new(gw_test_log(log_of(w, 1)), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1)
        each_point(w, e.frame.body, of_queue);
    gw_log_reader_free(r);
    for (unsigned i = 0; i < w->n_cells; i++) {
        if (is_whole(w, &w->cells[i]))
            continue;
        if (w->says && w->bad < 10)
            fprintf(stderr, "series %u, window %u, end %llu: too little or too much\n", w->cells[i].series,
                    w->cells[i].window, (unsigned long long)w->cells[i].end_ns);
        w->bad++;
    }
    compare_runs(w);
}

/* ---- a seed ----------------------------------------------------------------------------------------------- */

/* Of any sizes, or each a multiple of the one before it: a cascade, which goes on behind the hopping one if that
 * tumbles.
 */
static void draw_windows(struct world *w, struct shape *s)
{
    bool is_cascade = any(w, 2);
    uint64_t size = 100 * MS * (2 + any(w, is_cascade ? 9 : 30));
    uint64_t slide = is_cascade ? size * (1 + any(w, 3)) : 100 * MS * (1 + any(w, 20));
    uint64_t hop = is_cascade ? slide * (1 + any(w, 2)) : slide * (1 + any(w, 4)) + (any(w, 2) ? 100 * MS : 0);

    hop += hop == size ? size : 0;
    s->windows[0] = (struct gw_ru_window){.size_ns = size, .slide_ns = size, .pane_ns = size};
    s->windows[1] = (struct gw_ru_window){.size_ns = hop, .slide_ns = slide, .pane_ns = gw_ru_gcd(hop, slide)};
    size = is_cascade ? slide * (2 + any(w, 2)) : size + 100 * MS * (1 + any(w, 20));
    while (size == hop || size == s->windows[0].size_ns)
        size += is_cascade ? slide : 100 * MS;
    s->windows[2] = (struct gw_ru_window){.size_ns = size, .slide_ns = size, .pane_ns = size};
}

static struct shape draw(struct world *w)
{
    struct shape s = {.connector = any(w, 2),
                      .fsync = any(w, 2),
                      .by_event = any(w, 4) == 0,
                      .all_attributes = any(w, 4) == 0,
                      .reloads = any(w, 3) == 0,
                      .n_workers = 1 + (unsigned)any(w, 3),
                      .fail = any(w, 2) ? 0 : 60,
                      .full = any(w, 2) ? 0 : 40,
                      .delay_ms = (unsigned)any(w, 2) * 80,
                      .bounded_ms = 100 * (unsigned)any(w, 20),
                      .lateness_ms = 100 * (unsigned)any(w, 30),
                      .idle_ms = 500 + 100 * (unsigned)any(w, 20),
                      .checkpoint_ms = any(w, 3) ? 100 * (unsigned)any(w, 20) : 60000,
                      .counts = any(w, 3) == 0,
                      .staleness_ms = 500 * (1 + (unsigned)any(w, 12)),
                      .mode = (int)any(w, 4),
                      .sliding = any(w, 4) == 0,
                      .gap_ms = 100 + (unsigned)any(w, 1500),
                      .interval_ms = 100 + 100 * (unsigned)any(w, 25)};

    s.sessions = s.mode != GW_RU_DELTA && !s.counts && any(w, 3);
    s.sliding &= !s.counts; /* results that do not wait for late points say less of counters */
    s.longest_ms = s.gap_ms + 500 + 100 * (unsigned)any(w, 60);
    s.other_workers = any(w, 3) == 0 && !s.by_event;
    s.max_series = any(w, 4) || s.other_workers ? 0 : 1 + (unsigned)any(w, 4);
    s.steps_back = any(w, 3) == 0 && !s.other_workers;
    s.partitions = 1u << any(w, 7);
    draw_windows(w, &s);
    return s;
}

static void say(const struct shape *s)
{
    fprintf(
        stderr,
        "counts %d staleness %u connector %d fsync %d back %d reloads %d others %d by_event %d all %d workers %u fail "
        "%u full %u delay %u "
        "bounded %u lateness %u idle %u checkpoint %u windows %llu, %llu/%llu, %llu sliding %d mode %s, %u, sessions "
        "%d of "
        "%u to %u, series %u\n",
        s->counts, s->staleness_ms, s->connector, s->fsync, s->steps_back, s->reloads, s->other_workers, s->by_event,
        s->all_attributes, s->n_workers, s->fail, s->full, s->delay_ms, s->bounded_ms, s->lateness_ms, s->idle_ms,
        s->checkpoint_ms, (unsigned long long)(s->windows[0].size_ns / MS),
        (unsigned long long)(s->windows[1].size_ns / MS), (unsigned long long)(s->windows[1].slide_ns / MS),
        (unsigned long long)(s->windows[2].size_ns / MS), s->sliding, modes[s->mode], s->interval_ms, s->sessions,
        s->gap_ms, s->longest_ms, s->max_series);
}

static unsigned run(uint64_t seed, bool forgets)
{
    struct world *w = calloc(1, sizeof(*w));
    struct gw_err err;
    unsigned n, bad;

    assert_non_null(w);
    w->seed = seed;
    w->is = draw(w);
    if (forgets)
        w->is.delay_ms = 0;
    w->n_workers = w->is.n_workers;
    w->cells = calloc(MAX_CELLS, sizeof(*w->cells));
    w->counted = calloc(MAX_COUNTED, sizeof(*w->counted));
    assert_true(w->cells && w->counted);
    assert_int_equal(gw_agg_plan_make(&w->plan, planned, N_SPECS + 1, &err), 0);
    assert_true(w->plan.state_bytes <= sizeof(w->cells[0].state));
    gw_test_logs_begin(seed);
    for (n = MAX_LIVES / 2 + (unsigned)any(w, MAX_LIVES / 2); n > 0; n--) {
        begin_life(w);
        live(w);
        if (forgets)
            forget_records(w);
        die(w);
    }
    end(w);
    w->says = !forgets;
    compare(w);
    bad = w->bad;
    if (bad && !forgets)
        say(&w->is);
    n_late += w->n_late;
    for (unsigned i = 0; i < w->n_cells; i++)
        gw_agg_clear(&w->plan, w->cells[i].state, &w->heap);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
    free(w->cells);
    free(w->counted);
    free(w->told.list);
    free(w->must.list);
    free(w);
    return bad;
}

static void run_seed(uint64_t seed)
{
    unsigned bad = run(seed, false);

    if (bad)
        fail_msg("seed %llu: %u results are missing, other ones, or there too often", (unsigned long long)seed, bad);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  results are those of a computation over all points, each once
 */
static void every_window_is_told_once(void **state)
{
    (void)state;
    gw_test_seeds(10, run_seed);
    print_message("%llu crashes, %llu results (%llu of overflow), %llu late points\n", n_crashes, n_results,
                  n_overflows, n_late);
    assert_true(n_results > 0);
}

/*
 * Scenario    between two lives it is forgotten what is in open windows, and which were told
 * Guarantees  the same comparison sees it
 */
static void without_records_the_comparison_fails(void **state)
{
    unsigned n = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        n += run(seed, true) > 0;
    assert_true(n >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_window_is_told_once),
                                       cmocka_unit_test(without_records_the_comparison_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
