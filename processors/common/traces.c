/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/traces.h"

#include <errno.h>
#include <stdlib.h>

#include "otlp-proto/wire.h"
#include "processors/common/traces_priv.h"

enum { CACHE_LINE = 64, SPANS_FIELD = 2, HEAD_BYTES = 1 + 5 }; /* tag and length of a span */

#define AGE_NS UINT64_C(10000000000)
enum { RELEASE_SLABS = 16 }; /* a call; 1 ms */

/* Rows ahead, so that each step finds what the one before has fetched. */
enum { AHEAD_INDEX = 24, AHEAD_TRACE = 16, AHEAD_CHAIN = 8 };
enum { DUE_TRACE = 6, DUE_LINKS = 3, DUE_BUCKET = 1 }; /* traces */

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Two rounds with a seed of this store: nobody outside can aim at a bucket. */
static uint64_t hash_id(const struct gw_traces *t, const uint8_t id[16])
{
    uint64_t h = mix(gw_load64(id) ^ t->seed[0], gw_load64(id + 8) ^ t->seed[1]);

    return mix(h ^ t->seed[1], UINT64_C(0x9fb21c651e98df25));
}

static uint64_t hash_trace(const void *arg, const void *item)
{
    return hash_id(arg, ((const struct gw_trace *)item)->id);
}

struct gw_traces *gw_traces_new(const struct gw_traces_conf *conf)
{
    struct gw_traces *t = calloc(1, sizeof(*t));
    uint32_t item = (uint32_t)(offsetof(struct gw_trace, facts) + conf->facts_bytes + 7) / 8 * 8;

    if (!t)
        return NULL;
    t->conf = *conf;
    t->budget = (struct gw_budget){.max_bytes = conf->budget_bytes, .process = conf->memory};
    if (!gw_budget_take(&t->budget, sizeof(*t))) {
        free(t);
        return NULL;
    }
    t->seed[0] = gw_random_u64(conf->env);
    t->seed[1] = gw_random_u64(conf->env);
    gw_slabs_init(&t->traces, &t->budget, item);
    gw_slabs_init(&t->runs, &t->budget, sizeof(struct gw_run));
    gw_index_init(&t->index, &t->traces, hash_trace, t);
    gw_blocks_init(&t->blocks, &t->budget);
    gw_envelopes_init(&t->envelopes, &t->blocks);
    gw_due_init(&t->due, &t->traces, conf->tick_ns);
    t->due.is_ordered = conf->ordered;
    return t;
}

void gw_traces_free(struct gw_traces *t)
{
    if (!t)
        return;
    gw_envelopes_clear(&t->envelopes);
    gw_index_clear(&t->index);
    gw_slabs_clear(&t->traces);
    gw_slabs_clear(&t->runs);
    gw_cold_free(t->cold);
    gw_blocks_clear(&t->blocks);
    assert(t->budget.held_bytes == sizeof(*t));
    gw_budget_give(&t->budget, sizeof(*t));
    free(t);
}

void gw_traces_set_limits(struct gw_traces *t, uint64_t budget_bytes, uint64_t max_traces)
{
    t->conf.budget_bytes = t->budget.max_bytes = budget_bytes;
    t->conf.max_traces = max_traces;
}

void gw_traces_begin(struct gw_traces *t, const struct gw_batch *b)
{
    gw_envelopes_begin(&t->envelopes, b);
}

void gw_traces_end(struct gw_traces *t)
{
    gw_envelopes_end(&t->envelopes);
}

static bool is_id(const struct gw_trace *trace, const uint8_t id[16])
{
    return gw_load64(trace->id) == gw_load64(id) && gw_load64(trace->id + 8) == gw_load64(id + 8);
}

static void prefetch_item(const void *item, uint32_t bytes)
{
    const uint8_t *p = item, *end = p + bytes;

    for (p -= (uintptr_t)p % CACHE_LINE; p < end; p += CACHE_LINE)
        __builtin_prefetch(p, /* rw= */ 1);
}

bool gw_traces_fetch(const struct gw_traces *t, const uint8_t id[16], enum gw_traces_step step)
{
    uint32_t *head, slot;

    if (t->index.n == 0)
        return false;
    head = gw_index_head(&t->index, hash_id(t, id));
    if (step == GW_TRACES_INDEX)
        __builtin_prefetch(head, /* rw= */ 1);
    if (step == GW_TRACES_INDEX || (slot = *head) == 0)
        return false;
    if (step == GW_TRACES_TRACE) { /* it may be a stranger's: no more than it takes to see that */
        __builtin_prefetch(gw_slabs_link(&t->traces, slot));
        prefetch_item(gw_slabs_at(&t->traces, slot), offsetof(struct gw_trace, cold));
        return false;
    }
    if (!is_id(gw_trace_at(t, slot), id))
        return false;
    prefetch_item(gw_trace_at(t, slot), t->traces.item_bytes);
    gw_blocks_prefetch_end(&t->blocks, &gw_trace_at(t, slot)->chain);
    return true;
}

void gw_traces_ahead(const struct gw_traces *t, uint32_t row)
{
    static const uint32_t rows[] = {
        [GW_TRACES_INDEX] = AHEAD_INDEX, [GW_TRACES_TRACE] = AHEAD_TRACE, [GW_TRACES_CHAIN] = AHEAD_CHAIN};
    const struct gw_batch *b = t->envelopes.batch;

    for (unsigned step = 0; step <= GW_TRACES_CHAIN; step++)
        if (b->n_rows - row > rows[step])
            (void)gw_traces_fetch(t, b->trace_id[row + rows[step]], step);
}

struct gw_trace *gw_traces_find(struct gw_traces *t, const uint8_t id[16])
{
    uint32_t slot = gw_index_first(&t->index, hash_id(t, id));

    while (slot) {
        struct gw_trace *trace = gw_slabs_at(&t->traces, slot);

        if (is_id(trace, id))
            return trace;
        slot = *gw_slabs_link(&t->traces, slot);
    }
    return NULL;
}

/* Before anything is refused. */
bool gw_traces_trim(struct gw_traces *t)
{
    uint64_t before = t->budget.held_bytes;

    gw_slabs_trim(&t->traces);
    gw_slabs_trim(&t->runs);
    gw_slabs_trim(&t->blocks.slabs);
    gw_slabs_trim(&t->envelopes.items);
    return t->budget.held_bytes < before;
}

bool gw_traces_lend(struct gw_traces *t)
{
    return gw_slabs_lend(&t->blocks.slabs);
}

static int reserve_trace(struct gw_traces *t)
{
    int r = gw_index_reserve(&t->index);

    return r < 0 ? r : gw_slabs_reserve(&t->traces, 1);
}

static void make_newest(struct gw_traces *t, struct gw_trace *trace)
{
    trace->older = t->newest;
    trace->newer = 0;
    if (t->newest)
        gw_trace_at(t, t->newest)->newer = trace->slot;
    else
        t->oldest = trace->slot;
    t->newest = trace->slot;
}

static void take_out(struct gw_traces *t, const struct gw_trace *trace)
{
    struct gw_trace *older = gw_trace_at(t, trace->older), *newer = gw_trace_at(t, trace->newer);

    if (older)
        older->newer = trace->newer;
    else
        t->oldest = trace->newer;
    if (newer)
        newer->older = trace->older;
    else
        t->newest = trace->older;
}

struct gw_trace *gw_traces_add(struct gw_traces *t, const uint8_t id[16], uint64_t now_ns, uint64_t due_ns)
{
    struct gw_trace *trace;
    uint32_t slot;

    if (t->conf.max_traces && t->traces.n_used >= t->conf.max_traces)
        return NULL;
    if (reserve_trace(t) < 0 && (!gw_traces_trim(t) || reserve_trace(t) < 0))
        return NULL;
    slot = gw_slabs_take(&t->traces);
    trace = gw_slabs_at(&t->traces, slot);
    memset(trace, 0, t->traces.item_bytes);
    memcpy(trace->id, id, sizeof(trace->id));
    trace->first_ns = now_ns;
    trace->due_ns = due_ns;
    trace->slot = slot;
    make_newest(t, trace);
    t->now_ns = now_ns;
    gw_index_insert(&t->index, hash_id(t, id), slot);
    gw_due_put(&t->due, trace, now_ns);
    slot = gw_slabs_next(&t->traces);
    if (slot)
        prefetch_item(gw_slabs_at(&t->traces, slot), t->traces.item_bytes);
    return trace;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static uint32_t put_head(uint8_t *p, uint32_t span_bytes)
{
    *p = GW_TAG(SPANS_FIELD, GW_LEN);
    return (uint32_t)(gw_varint_put(p + 1, span_bytes) - p);
}

/* Bytes of tag and length before a span of len bytes in a request, when they are as this store writes them; else 0. */
static uint32_t head_before(const uint8_t *span, uint32_t off, uint32_t len)
{
    const uint8_t tag = GW_TAG(SPANS_FIELD, GW_LEN);
    uint8_t head[HEAD_BYTES];
    uint32_t n;

    if (len < 1u << 7)
        return off >= 2 && span[-2] == tag && span[-1] == len ? 2 : 0;
    if (len < 1u << 14)
        return off >= 3 && span[-3] == tag && span[-2] == (uint8_t)(len | 0x80) && span[-1] == len >> 7 ? 3 : 0;
    n = put_head(head, len);
    return off >= n && memcmp(span - n, head, n) == 0 ? n : 0;
}

/*
 * The rows from here on that stand one behind the other in the payload, each with tag and length as this store writes
 * them: their bytes are one run. Returns how many; 0: not even the first has such a head.
 */
static uint32_t dense(const struct gw_batch *b, const uint32_t *rows, uint32_t n_rows, struct gw_slice *ret)
{
    uint32_t begin = 0, end = 0, i;

    for (i = 0; i < n_rows; i++) {
        struct gw_ref raw = b->raw[rows[i]];
        uint32_t n = head_before(b->base + raw.off, raw.off, raw.len);

        if (n == 0 || (i > 0 && raw.off - n != end))
            break;
        if (i == 0)
            begin = raw.off - n;
        end = raw.off + raw.len;
    }
    *ret = gw_slice_of(b->base + begin, end - begin);
    return i;
}

static uint64_t framed_bytes(const struct gw_batch *b, const uint32_t *rows, uint32_t n_rows)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < n_rows; i++)
        n += 1 + gw_varint_size(b->raw[rows[i]].len) + b->raw[rows[i]].len;
    return n;
}

static void append_rows(struct gw_traces *t, struct gw_chain *c, const uint32_t *rows, uint32_t n_rows)
{
    const struct gw_batch *b = t->envelopes.batch;

    for (uint32_t i = 0; i < n_rows;) {
        struct gw_slice bytes;
        uint32_t n = dense(b, rows + i, n_rows - i, &bytes);

        if (n == 0) {
            uint8_t head[HEAD_BYTES];
            uint32_t n_head = put_head(head, b->raw[rows[i]].len);

            (void)gw_blocks_append(&t->blocks, c, gw_slice_of(head, n_head));
            bytes = gw_batch_slice(b, b->raw[rows[i]]);
            n = 1;
        }
        (void)gw_blocks_append(&t->blocks, c, bytes); /* there is room for all */
        i += n;
    }
}

static void begin_run(struct gw_traces *t, struct gw_trace *trace, uint32_t envelope)
{
    uint32_t run = gw_slabs_take(&t->runs);

    *gw_run_at(t, run) = (struct gw_run){.envelope = envelope, .begin = gw_trace_bytes(trace)};
    if (trace->last_run)
        *gw_slabs_link(&t->runs, trace->last_run) = run;
    else
        trace->first_run = run;
    trace->last_run = run;
    trace->envelope = envelope;
    gw_envelope_use(&t->envelopes, envelope);
    run = gw_slabs_next(&t->runs);
    if (run) {
        __builtin_prefetch(gw_slabs_link(&t->runs, run), /* rw= */ 1);
        __builtin_prefetch(gw_run_at(t, run), /* rw= */ 1);
    }
}

static int reserve_rows(struct gw_traces *t, const struct gw_trace *trace, uint32_t scope, uint64_t bytes,
                        uint32_t *ret_envelope)
{
    int r = gw_envelopes_of(&t->envelopes, scope, ret_envelope);

    if (r == 0 && *ret_envelope != trace->envelope)
        r = gw_slabs_reserve(&t->runs, 1);
    return r < 0 ? r : gw_blocks_reserve(&t->blocks, &trace->chain, bytes);
}

int gw_traces_keep(struct gw_traces *t, struct gw_trace *trace, const uint32_t *rows, uint32_t n_rows)
{
    const struct gw_batch *b = t->envelopes.batch;
    struct gw_slice all;
    bool is_dense = dense(b, rows, n_rows, &all) == n_rows;
    uint64_t bytes = is_dense ? all.n : framed_bytes(b, rows, n_rows);
    uint32_t scope, envelope;
    int r;

    if (n_rows == 0)
        return 0;
    if (n_rows > UINT32_MAX - trace->n_spans || bytes > UINT32_MAX - gw_trace_bytes(trace))
        return -EOVERFLOW;
    scope = b->scope[rows[0]];
    r = reserve_rows(t, trace, scope, bytes, &envelope);
    if (r == -ENOSPC && gw_traces_trim(t))
        r = reserve_rows(t, trace, scope, bytes, &envelope);
    if (r < 0)
        return r;
    if (envelope != trace->envelope)
        begin_run(t, trace, envelope);
    if (is_dense)
        (void)gw_blocks_append(&t->blocks, &trace->chain, all); /* there is room for it */
    else
        append_rows(t, &trace->chain, rows, n_rows);
    trace->n_spans += n_rows;
    t->n_spans += n_rows;
    if (t->conf.compress)
        gw_trace_touch(t, trace);
    return 0;
}

/* ---- going ------------------------------------------------------------------------------------------------ */

void gw_traces_set_due(struct gw_traces *t, struct gw_trace *trace, uint64_t due_ns)
{
    gw_due_remove(&t->due, trace);
    trace->due_ns = due_ns;
    gw_due_put(&t->due, trace, t->now_ns);
}

void gw_traces_set_aside(struct gw_traces *t, struct gw_trace *trace)
{
    gw_due_remove(&t->due, trace);
    trace->is_aside = true;
    take_out(t, trace);
    make_newest(t, trace);
}

/* Memory that nobody needed for a while, a little at a time: a worker that gives back 6 GiB at once stands still. */
static void give_back(struct gw_traces *t)
{
    struct gw_slabs *const all[] = {&t->blocks.slabs, &t->traces, &t->runs, &t->envelopes.items};
    bool is_time = t->now_ns - t->aged_ns >= AGE_NS;

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (is_time)
            gw_slabs_age(all[i]);
        gw_slabs_release(all[i], RELEASE_SLABS);
    }
    if (is_time)
        t->aged_ns = t->now_ns;
}

static void fetch_links(const struct gw_traces *t, const struct gw_trace *trace)
{
    __builtin_prefetch(gw_index_head(&t->index, hash_id(t, trace->id)), /* rw= */ 1);
    __builtin_prefetch(gw_slabs_link(&t->traces, trace->slot), /* rw= */ 1);
    if (trace->first_run)
        __builtin_prefetch(gw_run_at(t, trace->first_run));
    gw_blocks_prefetch_links(&t->blocks, &trace->chain);
}

/* What drops of those behind will need: of the farther ones they themselves, of the nearer ones what they lead to. */
static void fetch_due(const struct gw_traces *t, const struct gw_trace *trace)
{
    const struct gw_trace *at = trace;
    uint32_t slot;

    for (unsigned i = 0; i < DUE_TRACE && at; i++) {
        at = gw_trace_at(t, at->wheel_next);
        if (at && i + 1 == DUE_BUCKET && (slot = *gw_index_head(&t->index, hash_id(t, at->id))) != at->slot)
            __builtin_prefetch(gw_slabs_link(&t->traces, slot), /* rw= */ 1);
        if (at && i + 1 == DUE_LINKS)
            fetch_links(t, at);
    }
    if (at)
        prefetch_item(at, t->traces.item_bytes);
}

struct gw_trace *gw_traces_next_due(struct gw_traces *t, uint64_t now_ns)
{
    struct gw_trace *ret;

    t->now_ns = now_ns;
    give_back(t);
    ret = gw_due_next(&t->due, now_ns);
    if (ret)
        fetch_due(t, ret);
    return ret;
}

struct gw_trace *gw_traces_due_behind(const struct gw_traces *t, const struct gw_trace *trace)
{
    return gw_trace_at(t, trace->wheel_next);
}

uint64_t gw_traces_due_when(const struct gw_traces *t)
{
    return gw_due_when(&t->due);
}

struct gw_trace *gw_traces_oldest(struct gw_traces *t)
{
    return gw_trace_at(t, t->oldest);
}

struct gw_trace *gw_traces_newer(struct gw_traces *t, const struct gw_trace *trace)
{
    return gw_trace_at(t, trace->newer);
}

static void drop_runs(struct gw_traces *t, const struct gw_trace *trace)
{
    for (uint32_t run = trace->first_run; run;) {
        uint32_t next = *gw_slabs_link(&t->runs, run);

        gw_envelope_release(&t->envelopes, gw_run_at(t, run)->envelope);
        gw_slabs_give(&t->runs, run);
        run = next;
    }
}

void gw_traces_drop(struct gw_traces *t, struct gw_trace *trace)
{
    take_out(t, trace);
    if (!trace->is_aside)
        gw_due_remove(&t->due, trace);
    gw_index_remove(&t->index, hash_id(t, trace->id), trace->slot);
    drop_runs(t, trace);
    gw_blocks_drop(&t->blocks, &trace->chain);
    gw_trace_drop_cold(t, trace);
    t->n_spans -= trace->n_spans;
    gw_slabs_give(&t->traces, trace->slot);
}

uint64_t gw_traces_n(const struct gw_traces *t)
{
    return t->traces.n_used;
}

uint64_t gw_traces_n_spans(const struct gw_traces *t)
{
    return t->n_spans;
}

uint64_t gw_traces_held_bytes(const struct gw_traces *t)
{
    return t->budget.held_bytes;
}

static uint64_t used_bytes(const struct gw_slabs *s)
{
    return s->n_used * (s->item_bytes + sizeof(uint32_t));
}

uint64_t gw_traces_used_bytes(const struct gw_traces *t)
{
    return used_bytes(&t->traces) + used_bytes(&t->runs) + used_bytes(&t->blocks.slabs) +
           used_bytes(&t->envelopes.items);
}

uint64_t gw_traces_count_bytes(const struct gw_traces *t)
{
    return sizeof(*t) + gw_slabs_held_bytes(&t->traces) + gw_slabs_held_bytes(&t->runs) +
           gw_index_held_bytes(&t->index) + gw_blocks_slab_bytes(&t->blocks) +
           (t->cold ? gw_cold_held_bytes(t->cold) : 0) + gw_envelopes_held_bytes(&t->envelopes);
}
