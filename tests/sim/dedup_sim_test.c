/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that repeat requests, at random and when they were refused or not answered, before a journal with dedup and a
 * rollup behind it, killed again and again: also while commits are under way, with logs that fail and are full, with
 * the power cut, with a clock that steps back, and with another number of workers.
 *
 *   once      no point is stored twice; what was acknowledged is stored
 *   results   each window leaves once, and is what a computation over the points says, each of them taken once
 *
 * Nothing comes late: where the wall clock has been set back, the journal's time goes on by the monotonic clock, which
 * an engine of a test sets forward when it has started.
 *
 * GW_SIM_SEEDS=n runs n seeds (default 20), GW_SIM_SEED=s only that one.
 */
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opentelemetry/proto/collector/metrics/v1/metrics_service.pb-c.h"
#include "series/metrics_writer.h"
#include "tests/harness_logs.h"

enum { N_SERVICES = 3, MAX_REQUESTS = 1200, MAX_POINTS = 8 * MAX_REQUESTS, MAX_CELLS = 4000, MAX_LIVES = 20 };
#define MS 1000000ull
#define S  1000000000ull

typedef Opentelemetry__Proto__Collector__Metrics__V1__ExportMetricsServiceRequest Request;
typedef Opentelemetry__Proto__Metrics__V1__NumberDataPoint Point;

struct shape {
    bool fsync, steps_back, other_workers, tenants;
    unsigned n_workers, fail, full, delay_ms, window_ms;
};

struct sent {
    struct gw_buf body;
    uint64_t made_ns;
    unsigned first, n; /* points */
    bool acknowledged, tenant;
};

struct cell {
    unsigned service;
    uint64_t end_ns, count;
    int64_t sum;
    unsigned n_counts, n_sums; /* results that were found */
};

struct world {
    struct gw_test_engine t;
    uint64_t seed, back_ns;
    struct shape is;
    unsigned n_workers, n_sent, n_points, n_cells, bad;
    struct sent sent[MAX_REQUESTS];
    unsigned stored[MAX_POINTS];
    struct cell cells[MAX_CELLS];
};

static unsigned long long n_crashes, n_repeats, n_results, n_points;

static uint64_t any(struct world *w, uint64_t n)
{
    return gw_test_random(&w->seed) % n;
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

static int keep_body(void *arg, struct gw_slice body, uint32_t points)
{
    (void)points;
    gw_buf_put_slice(arg, body);
    return 0;
}

/* A point's number stands where its start would be. */
static void make_request(struct world *w, struct sent *s)
{
    uint64_t now = gw_wall_ns(&w->t.te.env);
    struct gw_buf room, resource;
    struct gw_mw to;
    char name[16];

    *s = (struct sent){.made_ns = now, .first = w->n_points, .n = 1 + (unsigned)any(w, 7), .tenant = any(w, 2)};
    gw_buf_init(&s->body, 1 << 20);
    gw_buf_init(&room, 1 << 20);
    gw_buf_init(&resource, 256);
    gw_mw_init(&to, &room, 1 << 20, keep_body, &s->body);
    (void)snprintf(name, sizeof(name), "s%u", (unsigned)any(w, N_SERVICES));
    gw_mw_attr_put_str(&resource, GW_SLICE("service.name"), gw_slice_cstr(name));
    gw_mw_resource(&to, gw_buf_slice(&resource), GW_SLICE(""));
    gw_mw_scope(&to, GW_SLICE(""), GW_SLICE(""));
    gw_mw_metric(&to, &(struct gw_mw_metric){.name = GW_SLICE("v"), .type = GW_M_GAUGE});
    for (unsigned i = 0; i < s->n; i++) {
        struct gw_mw_point p = {.start_ns = ++w->n_points, .time_ns = now - any(w, 2 * S)};

        gw_mw_int(&to, &p, (int64_t)any(w, 1000));
    }
    assert_int_equal(gw_mw_end(&to), 0);
    gw_buf_clear(&room);
    gw_buf_clear(&resource);
}

static void send(struct world *w, unsigned i)
{
    const struct gw_meta from = {.tenant = w->sent[i].tenant ? GW_SLICE("acme") : GW_SLICE(""), .transport = "grpc"};
    struct gw_meta *meta = w->is.tenants ? gw_meta_new(&from) : NULL;
    struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", (unsigned)any(w, w->n_workers));
    struct gw_verdict v = {0};

    (void)gw_test_send(d, GW_METRICS, gw_buf_slice(&w->sent[i].body), meta, i, &v);
    (void)gw_meta_unref(meta);
}

/* A new one, or one of the last, as long as it would not come late. */
static void send_one(struct world *w)
{
    uint64_t now = gw_wall_ns(&w->t.te.env);
    unsigned back = w->n_sent ? 1 + (unsigned)any(w, w->n_sent < 20 ? w->n_sent : 20) : 0;

    if (back && any(w, 2) && now < w->sent[w->n_sent - back].made_ns + 8 * S) {
        n_repeats++;
        send(w, w->n_sent - back);
        return;
    }
    if (w->n_sent == MAX_REQUESTS)
        return;
    make_request(w, &w->sent[w->n_sent]);
    send(w, w->n_sent++);
}

static void hear_verdicts(struct world *w)
{
    for (unsigned k = 0; k < w->n_workers; k++) {
        struct gw_test_door *d = gw_test_engine_door(&w->t, "scripted", k);

        for (unsigned i = 0; i < d->n_verdicts; i++)
            if (d->verdicts[i].v.grpc_status == 0)
                w->sent[d->verdicts[i].ack.stream].acknowledged = true;
        d->n_verdicts = 0;
    }
}

/* ---- lives ------------------------------------------------------------------------------------------------- */

static const char *yaml(const struct world *w)
{
    static char text[3000];

    (void)snprintf(text, sizeof(text),
                   "receivers: { scripted: }\n"
                   "exporters: { scripted: { sending_queue: { storage: file_storage, queue_size: 100000,\n"
                   "  num_consumers: 1 }, timeout: 1h } }\n"
                   "connectors:\n"
                   "  journal/j: { storage: file_storage, partition_by: service%s }\n"
                   "  rollup: { keys: { resource: [service.name] }, windows: [ { size: 1s } ],\n"
                   "    time: { bounded_delay: 2s }, allowed_lateness: 30m, checkpoint_interval: 700ms,\n"
                   "    aggregates: [count, sum] }\n"
                   "service:\n  extensions: [file_storage]\n  pipelines:\n"
                   "    metrics/in: { receivers: [scripted], exporters: [journal/j] }\n"
                   "    metrics/a: { receivers: [journal/j], exporters: [rollup] }\n"
                   "    metrics/b: { receivers: [rollup], exporters: [scripted] }\n",
                   w->is.window_ms ? ", dedup: { window: 2h }" : "");
    return text;
}

static void set_faults(struct world *w, bool none)
{
    static const char *const logs[] = {"journal/j", "queue/metrics%2Fb", "decisions/metrics%2Fa"};

    for (unsigned i = 0; i < 3; i++)
        *gw_test_log_faults(logs[i]) = none ? (struct gw_log_sim_faults){0}
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
    gw_test_engine_seed = gw_test_random(&w->seed);
    gw_test_logs_engine_synced(&w->t, yaml(w), w->n_workers, w->is.fsync);
    offset = w->t.te.wall_offset_ns;
    w->t.te.wall_offset_ns = offset - w->back_ns;
    w->t.looks_away = any(w, 8) != 0;
    set_faults(w, false);
}

static void live(struct world *w)
{
    for (uint64_t i = 1 + any(w, 12); i > 0; i--) {
        for (uint64_t k = any(w, 5); k > 0; k--)
            send_one(w);
        if (w->is.steps_back && any(w, 10) == 0) {
            uint64_t ns = any(w, 400 * MS);

            w->back_ns += ns;
            w->t.te.wall_offset_ns -= ns;
        }
        gw_test_logs_turn(&w->t, 1 + (unsigned)any(w, 3), any(w, 10) == 0 ? any(w, 2 * S) : any(w, 150 * MS));
        hear_verdicts(w);
    }
}

/* A power cut may take what was acknowledged only where it was not promised to survive one. */
static void die(struct world *w)
{
    n_crashes++;
    set_faults(w, true);
    gw_test_logs_crash(&w->t, w->is.fsync && any(w, 2));
}

static void end(struct world *w)
{
    begin_life(w);
    set_faults(w, true);
    for (unsigned i = 0; i < 20; i++) {
        send_one(w);
        gw_test_logs_turn(&w->t, 3, 200 * MS);
        hear_verdicts(w);
    }
    for (unsigned i = 0; i < 300; i++) {
        gw_test_logs_turn(&w->t, 3, 10 * S);
        hear_verdicts(w);
    }
    gw_test_logs_turn(&w->t, 20, 0);
}

/* ---- what must be ------------------------------------------------------------------------------------------ */

static struct cell *cell_of(struct world *w, unsigned service, uint64_t end_ns)
{
    struct cell *c = w->cells;

    while (c < w->cells + w->n_cells && (c->service != service || c->end_ns != end_ns))
        c++;
    if (c == w->cells + w->n_cells) {
        assert_true(w->n_cells++ < MAX_CELLS);
        *c = (struct cell){.service = service, .end_ns = end_ns};
    }
    return c;
}

static void each_point(struct world *w, const char *log,
                       void (*take)(struct world *w, unsigned service, const char *metric, const Point *p))
{
    struct gw_log_reader_conf conf = {0};
    struct gw_log_reader *r;
    struct gw_log_entry e;

    assert_int_equal(gw_log_reader_new(gw_test_log(log), &conf, &r), 0);
    while (memset(&e, 0, sizeof(e)), gw_log_next(r, &e) == 1) {
        Request *q = opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__unpack(
            NULL, e.frame.body.n, e.frame.body.p);

        assert_non_null(q);
        for (size_t k = 0; k < q->n_resource_metrics; k++)
            for (size_t m = 0; m < q->resource_metrics[k]->scope_metrics[0]->n_metrics; m++) {
                const Opentelemetry__Proto__Metrics__V1__Metric *x =
                    q->resource_metrics[k]->scope_metrics[0]->metrics[m];
                bool is_sum = x->data_case == OPENTELEMETRY__PROTO__METRICS__V1__METRIC__DATA_SUM;
                size_t n = is_sum ? x->sum->n_data_points : x->gauge->n_data_points;

                for (size_t i = 0; i < n; i++)
                    take(w, (unsigned)(q->resource_metrics[k]->resource->attributes[0]->value->string_value[1] - '0'),
                         x->name, is_sum ? x->sum->data_points[i] : x->gauge->data_points[i]);
            }
        opentelemetry__proto__collector__metrics__v1__export_metrics_service_request__free_unpacked(q, NULL);
    }
    gw_log_reader_free(r);
}

static void take_stored(struct world *w, unsigned service, const char *metric, const Point *p)
{
    struct cell *c = cell_of(w, service, p->time_unix_nano / S * S + S);

    (void)metric;
    if (w->stored[p->start_time_unix_nano - 1]++ > 0) /* counts once */
        return;
    c->count++;
    c->sum += p->as_int;
}

static void take_result(struct world *w, unsigned service, const char *metric, const Point *p)
{
    struct cell *c = cell_of(w, service, p->time_unix_nano);
    bool is_count = strcmp(metric, "v.count") == 0;
    int64_t must = is_count ? (int64_t)c->count : c->sum;

    n_results++;
    *(is_count ? &c->n_counts : &c->n_sums) += 1;
    if (p->as_int != must && w->is.window_ms)
        fprintf(stderr, "%s of service %u, window until %llu: %lld, must be %lld\n", metric, service,
                (unsigned long long)c->end_ns, (long long)p->as_int, (long long)must);
    w->bad += p->as_int != must;
}

static unsigned compare(struct world *w, bool says)
{
    each_point(w, "journal/j", take_stored);
    for (unsigned i = 0; i < w->n_sent; i++)
        for (unsigned k = w->sent[i].first; k < w->sent[i].first + w->sent[i].n; k++) {
            bool ok = w->stored[k] <= 1 && (w->stored[k] == 1 || !w->sent[i].acknowledged);

            if (!ok && says)
                fprintf(stderr, "request %u, point %u: stored %u times, acknowledged %d\n", i, k, w->stored[k],
                        w->sent[i].acknowledged);
            w->bad += !ok;
        }
    each_point(w, "queue/metrics%2Fb", take_result);
    for (unsigned i = 0; i < w->n_cells; i++) {
        const struct cell *c = &w->cells[i];
        bool ok = c->n_counts == 1 && c->n_sums == 1;

        if (!ok && says)
            fprintf(stderr, "service %u, window until %llu: %u counts, %u sums\n", c->service,
                    (unsigned long long)c->end_ns, c->n_counts, c->n_sums);
        w->bad += !ok;
    }
    return w->bad;
}

/* ---- a seed ------------------------------------------------------------------------------------------------ */

static unsigned run(uint64_t seed, bool dedup)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned bad;

    assert_non_null(w);
    w->seed = seed;
    w->is = (struct shape){.fsync = any(w, 2),
                           .tenants = any(w, 2),
                           .n_workers = 1 + (unsigned)any(w, 3),
                           .fail = any(w, 2) ? 0 : 60,
                           .full = any(w, 2) ? 0 : 40,
                           .delay_ms = (unsigned)any(w, 2) * 80,
                           .window_ms = dedup};
    w->is.other_workers = any(w, 3) == 0;
    w->is.steps_back = any(w, 3) == 0 && !w->is.other_workers;
    w->n_workers = w->is.n_workers;
    gw_test_logs_begin(seed);
    for (unsigned n = MAX_LIVES / 2 + (unsigned)any(w, MAX_LIVES / 2); n > 0; n--) {
        begin_life(w);
        live(w);
        die(w);
    }
    end(w);
    bad = compare(w, dedup);
    n_points += w->n_points;
    if (bad && dedup)
        fprintf(stderr, "fsync %d back %d others %d tenants %d workers %u fail %u full %u delay %u\n", w->is.fsync,
                w->is.steps_back, w->is.other_workers, w->is.tenants, w->is.n_workers, w->is.fail, w->is.full,
                w->is.delay_ms);
    (void)gw_test_engine_close(&w->t);
    gw_test_logs_end();
    for (unsigned i = 0; i < w->n_sent; i++)
        gw_buf_clear(&w->sent[i].body);
    free(w);
    return bad;
}

static void run_seed(uint64_t seed)
{
    unsigned bad = run(seed, true);

    if (bad)
        fail_msg("seed %llu: %u points or results are missing, other ones, or there too often",
                 (unsigned long long)seed, bad);
}

/*
 * Scenario    see above, many seeds
 * Guarantees  the points are stored once, whoever repeats them, and the results are theirs
 */
static void repeated_requests_change_nothing(void **state)
{
    (void)state;
    gw_test_seeds(20, run_seed);
    print_message("%llu crashes, %llu points, %llu repeated requests, %llu results\n", n_crashes, n_points, n_repeats,
                  n_results);
    assert_true(n_results > 0 && n_repeats > 0);
}

/*
 * Scenario    the same without dedup
 * Guarantees  the same comparison sees it
 */
static void without_dedup_the_comparison_fails(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_true(run(seed, false) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(repeated_requests_change_nothing),
                                       cmocka_unit_test(without_dedup_the_comparison_fails)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
