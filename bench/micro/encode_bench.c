/* SPDX-License-Identifier: Apache-2.0 */
/* encode_bench PAYLOADS: from views back to bytes, and cutting bytes apart. One JSON line a case. */
#include "bench/micro/micro.h"

static struct gw_view views[MICRO_MAX];
static struct gw_arena arena;
static struct gw_buf out;

static uint64_t encode(struct micro_set *set)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < set->n; i++) {
        gw_buf_reset(&out);
        micro_check(gw_encode(&views[i], &out) == 0, "encode");
        bytes += out.n;
    }
    return bytes;
}

static uint64_t encode_rows(struct micro_set *set)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < set->n; i++)
        for (uint32_t r = 0; r < views[i].batch->n_rows; r++) {
            gw_buf_reset(&out);
            micro_check(gw_encode_row(&views[i], r, &out) == 0, "encode a row");
            bytes += out.n;
        }
    return bytes;
}

static int take(void *arg, struct gw_slice piece, uint32_t rows)
{
    (void)rows;
    *(uint64_t *)arg += piece.n;
    return 0;
}

static int take_keyed(void *arg, struct gw_slice key, struct gw_slice piece, const uint32_t *row_of, uint32_t rows)
{
    (void)row_of;
    (void)key;
    return take(arg, piece, rows);
}

static uint64_t split(struct micro_set *set)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < set->n; i++)
        micro_check(gw_split(set->signal, micro_all(set->payloads[i]), 25, 0, take, &bytes) == 0, "split");
    return bytes;
}

static uint64_t split_by_trace(struct micro_set *set)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < set->n; i++)
        micro_check(gw_split_by_trace(set->signal, micro_all(set->payloads[i]), take_keyed, &bytes) == 0, "split");
    return bytes;
}

static void open_views(struct micro_set *set)
{
    gw_arena_reset(&arena, SIZE_MAX);
    for (unsigned i = 0; i < set->n; i++)
        gw_view_init(&views[i], set->batches[i], &arena);
}

static void close_views(struct micro_set *set)
{
    for (unsigned i = 0; i < set->n; i++)
        gw_view_clear(&views[i]);
}

/* Rows that a rule drops: all of ten but one, or one in the middle of each scope. */
static void drop(struct micro_set *set, bool most)
{
    for (unsigned i = 0; i < set->n; i++) {
        const struct gw_batch *b = views[i].batch;

        for (uint32_t r = 0; r < b->n_rows; r++) {
            struct gw_range rows = b->scopes[b->scope[r]].rows;

            if (most ? (r * 7 + i) % 10 != 0 : r == (rows.begin + rows.end) / 2)
                (void)gw_view_remove(&views[i], r);
        }
    }
}

static void change(struct micro_set *set)
{
    static const struct gw_value value = {.type = GW_V_STRING, .s = {(const uint8_t *)"production", 10}};

    for (unsigned i = 0; i < set->n; i++)
        for (uint32_t r = 0; r < views[i].batch->n_rows; r++) {
            (void)gw_view_attr_delete(&views[i], GW_OWN_ROW, r, GW_SLICE("thread.name"));
            gw_view_attr_set(&views[i], GW_OWN_ROW, r, GW_SLICE("env"), &value);
        }
}

static void change_resources(struct micro_set *set)
{
    static const struct gw_value value = {.type = GW_V_STRING, .s = {(const uint8_t *)"production", 10}};

    for (unsigned i = 0; i < set->n; i++)
        for (uint32_t r = 0; r < views[i].batch->n_resources; r++)
            gw_view_attr_set(&views[i], GW_OWN_RESOURCE, r, GW_SLICE("env"), &value);
}

static void run(struct micro_set *set)
{
    open_views(set);
    micro_run("untouched", set, encode);
    micro_run_hot("untouched, 4 batches", set, encode);
    micro_run("each row alone", set, encode_rows);
    change_resources(set);
    micro_run("one attribute added to each resource", set, encode);
    close_views(set);
    open_views(set);
    drop(set, false);
    micro_run("one row of each scope dropped", set, encode);
    micro_run_hot("one row of each scope dropped, 4 batches", set, encode);
    close_views(set);
    open_views(set);
    drop(set, true);
    micro_run("10 % kept, per input row", set, encode);
    close_views(set);
    open_views(set);
    change(set);
    micro_run("each row spliced: one attribute out, one in", set, encode);
    micro_run_hot("each row spliced: one attribute out, one in, 4 batches", set, encode);
    close_views(set);
    micro_run("split into pieces of 25 rows", set, split);
    if (set->signal != GW_METRICS)
        micro_run("split by trace", set, split_by_trace);
}

int main(int argc, char **argv)
{
    struct micro_set set;

    micro_check(argc == 2, "usage: encode_bench PAYLOADS");
    gw_arena_init(&arena, 1 << 20, SIZE_MAX);
    gw_buf_init(&out, 1 << 28);
    micro_load(&set, argv[1], "traces100", GW_TRACES);
    run(&set);
    micro_load(&set, argv[1], "logs500", GW_LOGS);
    run(&set);
    micro_load(&set, argv[1], "metrics1000", GW_METRICS);
    run(&set);
    return 0;
}
