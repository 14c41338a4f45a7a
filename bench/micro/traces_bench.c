/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to let traces wait: spans of 615 bytes, ten a trace, put into the store, then forgotten, one trace in
 * ten written. In two shapes: all spans of a trace together in one request, and spans of 10,000 traces by turns. One
 * JSON line a case: ns of CPU a span (the least of the steps; the first, which meets memory for the first time, by
 * itself) with 20,000 to 30,000 traces waiting, bytes a span with TRACES (100,000) waiting: by the store's own count,
 * and by what the process has grown; and the same packed, with what packing and writing costs.
 *
 * traces_bench [PAYLOADS]: with spans of gen_payloads.py, which pack as real ones do; those made here are random.
 */
#include <unistd.h>

#include "bench/micro/spans.h"
#include "processors/common/traces.h"

#define SECOND UINT64_C(1000000000)
enum { WAITING_STEPS = 2, STEPS = 12 };

static uint64_t now_ns = 1;

static void put_rows(struct gw_traces *t, const struct gw_batch *b, const uint32_t *rows, uint32_t n)
{
    struct gw_trace *trace = gw_traces_find(t, b->trace_id[rows[0]]);

    if (!trace)
        trace = gw_traces_add(t, b->trace_id[rows[0]], now_ns, now_ns + 1000);
    micro_check(trace && gw_traces_keep(t, trace, rows, n) == 0, "keep");
}

/* As a processor does it: neighbours of one trace go in one call. */
static void put(struct gw_traces *t, const struct gw_batch *b)
{
    uint32_t rows[N_SPANS];

    gw_traces_begin(t, b);
    for (uint32_t row = 0, n; row < N_SPANS; row += n) {
        for (n = 0; row + n < N_SPANS && b->scope[row] == b->scope[row + n] &&
                    memcmp(b->trace_id[row], b->trace_id[row + n], 16) == 0;
             n++) {
            rows[n] = row + n;
            gw_traces_ahead(t, row + n);
        }
        put_rows(t, b, rows, n);
    }
    gw_traces_end(t);
}

static double put_request(struct gw_traces *t, uint64_t i, bool by_turns)
{
    struct gw_batch *b = spans_request(i, by_turns);
    double begin = micro_cpu_ns();

    put(t, b);
    return micro_cpu_ns() - begin;
}

static double forget(struct gw_traces *t, uint64_t traces, unsigned one_in, struct gw_buf *out)
{
    double begin = micro_cpu_ns();
    struct gw_trace *trace;

    for (uint64_t i = 0; i < traces && (trace = gw_traces_next_due(t, 2000)) != NULL; i++) {
        if (one_in && i % one_in == 0) {
            gw_buf_reset(out);
            micro_check(gw_traces_write(t, trace, out) == 0, "write");
        }
        gw_traces_drop(t, trace);
    }
    return micro_cpu_ns() - begin;
}

static double rss(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    micro_check(f && fscanf(f, "%*u %lu", &pages) == 1, "statm");
    (void)fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* A step: TURNS traces come, then as many go, the oldest. */
static void speed(struct gw_env *env, bool by_turns, struct gw_buf *out)
{
    struct gw_traces_conf conf = {.env = env, .facts_bytes = 64, .tick_ns = 1000};
    static const unsigned one_in[] = {10, 0, 1};
    static const double spans = (double)TURNS * A_TRACE;
    struct gw_traces *t = gw_traces_new(&conf);
    double first = 0, insert = 1e9, gone[3] = {1e9, 1e9, 1e9};
    uint64_t at = 0;

    micro_check(t != NULL, "memory");
    for (unsigned step = 0; step < STEPS; step++) {
        double ns = 0, least;

        for (uint64_t i = 0; i < (uint64_t)TURNS * A_TRACE; i += N_SPANS, at += N_SPANS)
            ns += put_request(t, at, by_turns);
        if (step == 0)
            first = ns / spans;
        if (step <= WAITING_STEPS)
            continue;
        insert = ns / spans < insert ? ns / spans : insert;
        least = forget(t, TURNS, one_in[step % 3], out) / spans;
        gone[step % 3] = least < gone[step % 3] ? least : gone[step % 3];
    }
    printf("{\"bench\":\"traces\",\"case\":\"%s\",\"first_insert_ns\":%.1f,\"insert_ns\":%.1f,\"drop_ns\":%.1f,"
           "\"write_tenth_and_drop_ns\":%.1f,\"write_all_and_drop_ns\":%.1f}\n",
           by_turns ? "by turns" : "together", first, insert, gone[1], gone[0], gone[2]);
    gw_traces_free(t);
}

static void memory(struct gw_env *env, bool by_turns, uint64_t traces, struct gw_buf *out)
{
    struct gw_traces_conf conf = {.env = env, .facts_bytes = 64, .tick_ns = 1000};
    struct gw_traces *t = gw_traces_new(&conf);
    double before = rss(), n = (double)(traces * A_TRACE), grown, held;

    micro_check(t != NULL, "memory");
    for (uint64_t i = 0; i < traces * A_TRACE; i += N_SPANS)
        (void)put_request(t, i, by_turns);
    micro_check(gw_traces_n(t) == traces && gw_traces_n_spans(t) == traces * A_TRACE, "spans are missing");
    grown = rss() - before;
    held = (double)gw_traces_held_bytes(t);
    (void)forget(t, traces, 0, out);
    for (uint64_t s = 1; s < 1000; s++)
        (void)gw_traces_next_due(t, s * 1000000000);
    printf("{\"bench\":\"traces\",\"case\":\"%s\",\"traces\":%llu,\"held_bytes_per_span\":%.1f,"
           "\"rss_bytes_per_span\":%.1f,\"held_bytes_after\":%llu,\"rss_after\":%.0f}\n",
           by_turns ? "by turns" : "together", (unsigned long long)traces, held / n, grown / n,
           (unsigned long long)gw_traces_held_bytes(t), rss() - before);
    gw_traces_free(t);
}

/* All are written in the end, as if they were kept. */
static void packed(struct gw_env *env, bool by_turns, uint64_t traces, struct gw_buf *out)
{
    struct gw_traces_conf conf = {.env = env, .facts_bytes = 64, .tick_ns = 1000, .compress = true};
    struct gw_traces *t = gw_traces_new(&conf);
    double before = rss(), n = (double)(traces * A_TRACE), cool = 0, write, begin, held, grown;

    micro_check(t != NULL, "memory");
    for (uint64_t i = 0; i < traces * A_TRACE; i += N_SPANS) {
        (void)put_request(t, i, by_turns);
        if ((i + N_SPANS) % ((uint64_t)TURNS * A_TRACE) != 0)
            continue;
        begin = micro_cpu_ns();
        (void)gw_traces_cool(t, now_ns += 2 * SECOND, UINT64_MAX);
        cool += micro_cpu_ns() - begin;
    }
    for (unsigned i = 0; i < 100; i++) /* what the last ones had goes back */
        (void)gw_traces_next_due(t, now_ns += SECOND);
    held = (double)gw_traces_held_bytes(t);
    grown = rss() - before;
    begin = micro_cpu_ns();
    for (struct gw_trace *x = gw_traces_oldest(t); x; x = gw_traces_newer(t, x)) {
        gw_buf_reset(out);
        micro_check(gw_traces_write(t, x, out) == 0, "write");
    }
    write = micro_cpu_ns() - begin;
    printf("{\"bench\":\"traces\",\"case\":\"%s, packed\",\"traces\":%llu,\"held_bytes_per_span\":%.1f,"
           "\"rss_bytes_per_span\":%.1f,\"cool_ns\":%.1f,\"write_ns\":%.1f}\n",
           by_turns ? "by turns" : "together", (unsigned long long)traces, held / n, grown / n, cool / n, write / n);
    gw_traces_free(t);
    now_ns = 1;
}

static void load(const char *dir)
{
    struct micro_set set;

    micro_load(&set, dir, "traces100", GW_TRACES);
    for (unsigned i = 0; i < N_BATCHES; i++)
        batches[i] = set.batches[i];
}

int main(int argc, char **argv)
{
    uint64_t traces = getenv("TRACES") ? strtoull(getenv("TRACES"), NULL, 10) / TURNS * TURNS : 100000;
    struct gw_env *env = gw_env_real_new();
    struct gw_buf out;

    micro_check(env != NULL, "memory");
    gw_buf_init(&out, 64 << 20);
    if (argc > 1)
        load(argv[1]);
    else
        spans_make();
    for (int by_turns = 0; by_turns < 2; by_turns++) {
        speed(env, by_turns, &out);
        memory(env, by_turns, traces, &out);
        packed(env, by_turns, traces, &out);
    }
    spans_free();
    gw_buf_clear(&out);
    gw_env_real_free(env);
    return 0;
}
