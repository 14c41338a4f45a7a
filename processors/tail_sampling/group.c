/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/group.h"

#include <errno.h>

#include "core/hash.h"
#include "otlp-proto/wire.h"

enum { PARENT_ID = 4 }; /* field of a span */

struct grouping {
    const struct gw_batch *b;
    struct gw_trace_groups *ret;
    uint32_t *slots, mask; /* group + 1 */
    uint32_t *group_of;    /* by row; UINT32_MAX: none */
};

static bool is_zero(const uint8_t id[16])
{
    return (gw_load64(id) | gw_load64(id + 8)) == 0;
}

static bool is_same(const uint8_t a[16], const uint8_t b[16])
{
    return gw_load64(a) == gw_load64(b) && gw_load64(a + 8) == gw_load64(b + 8);
}

/* As gw_view_next, behind its first call, without one when no row was removed. */
static inline uint32_t next_row(const struct gw_view *v, uint32_t row)
{
    return v->kept ? gw_view_next(v, row) : row;
}

static uint32_t group_of(struct grouping *g, const uint8_t *id)
{
    struct gw_trace_groups *r = g->ret;
    uint32_t at = (uint32_t)gw_hash_table(gw_slice_of(id, 16)) & g->mask;

    for (; g->slots[at]; at = (at + 1) & g->mask)
        if (is_same(r->list[g->slots[at] - 1].id, id))
            return g->slots[at] - 1;
    r->list[r->n] = (struct gw_trace_group){.id = id};
    g->slots[at] = ++r->n;
    return r->n - 1;
}

static void assign(struct grouping *g, const struct gw_view *v)
{
    uint32_t n = v->batch->n_rows, last = UINT32_MAX;
    const uint8_t *last_id = NULL;

    for (uint32_t row = gw_view_next(v, 0); row < n; row = next_row(v, row + 1)) {
        const uint8_t *id = v->batch->trace_id[row];

        if (is_zero(id)) {
            g->group_of[row] = UINT32_MAX;
            g->ret->without_id[g->ret->n_without_id++] = row;
            continue;
        }
        if (!last_id || !is_same(last_id, id))
            last = group_of(g, last_id = id);
        g->group_of[row] = last;
        g->ret->list[last].n++;
    }
}

static void fill(const struct grouping *g, const struct gw_view *v, uint32_t *rows)
{
    struct gw_trace_group *list = g->ret->list;
    uint32_t n = v->batch->n_rows, at = 0;

    for (uint32_t i = 0; i < g->ret->n; i++) {
        list[i].rows = rows + at;
        at += list[i].n;
        list[i].n = 0;
    }
    for (uint32_t row = gw_view_next(v, 0); row < n; row = next_row(v, row + 1))
        if (g->group_of[row] != UINT32_MAX) {
            struct gw_trace_group *t = &list[g->group_of[row]];

            rows[t->rows - rows + t->n++] = row;
        }
}

int gw_trace_groups_of(const struct gw_view *v, struct gw_trace_groups *ret)
{
    struct grouping g = {.b = v->batch, .ret = ret, .mask = 15};
    uint32_t *rows = gw_arena_alloc(v->arena, (v->n_rows + 1) * sizeof(*rows));

    while (g.mask < v->n_rows * 2)
        g.mask = g.mask * 2 + 1;
    *ret = (struct gw_trace_groups){0};
    ret->list = gw_arena_alloc(v->arena, (v->n_rows + 1) * sizeof(*ret->list));
    ret->without_id = gw_arena_alloc(v->arena, (v->n_rows + 1) * sizeof(*ret->without_id));
    g.slots = gw_arena_zalloc(v->arena, (g.mask + 1ull) * sizeof(*g.slots));
    g.group_of = gw_arena_alloc(v->arena, (v->batch->n_rows + 1) * sizeof(*g.group_of));
    if (!rows || !ret->list || !ret->without_id || !g.slots || !g.group_of)
        return -ENOMEM;
    assign(&g, v);
    fill(&g, v, rows);
    return 0;
}

/* ---- sizes ------------------------------------------------------------------------------------------------ */

static uint64_t framed(uint64_t n)
{
    return 1 + gw_varint_size(n) + n;
}

/* A span without a parent may say so, or not; what pdata writes is an empty field. */
static uint64_t parent_excess(struct gw_slice span)
{
    struct gw_wire_walk w = gw_wire_walk(span);
    struct gw_wire_field f;

    while (gw_wire_next(&w, &f) > 0)
        if (f.number == PARENT_ID)
            return framed(f.val.n);
    return 0;
}

/* A span of the SDKs that leave an empty status out is two bytes longer when pdata has written it. */
static bool has_status(const struct gw_batch *b, uint32_t row)
{
    struct gw_slice s = gw_batch_slice(b, b->raw[row]);

    if (b->status[row] || b->status_message[row].len)
        return true;
    return (s.n >= 2 && s.p[s.n - 2] == 0x7a && s.p[s.n - 1] == 0) ||
           (s.n >= 8 && s.p[s.n - 8] == 0x7a && s.p[s.n - 7] == 0 && s.p[s.n - 6] == 0x85 && s.p[s.n - 5] == 0x01);
}

static uint64_t span_bytes(const struct gw_batch *b, uint32_t row)
{
    uint64_t n = b->raw[row].len;

    if (memcmp(b->parent_id[row], (const uint8_t[8]){0}, 8) == 0)
        n = n + 2 - parent_excess(gw_batch_slice(b, b->raw[row]));
    return framed(n + (has_status(b, row) ? 0 : 2));
}

static uint64_t scope_bytes(const struct gw_batch *b, const uint32_t *rows, uint32_t n)
{
    uint64_t all = framed(b->scopes[b->scope[rows[0]]].raw.len);

    for (uint32_t i = 0; i < n; i++)
        all += span_bytes(b, rows[i]);
    return all;
}

struct gw_trace_bytes gw_trace_bytes_of(const struct gw_batch *b, const uint32_t *rows, uint32_t n)
{
    struct gw_trace_bytes ret = {0, 0};
    uint32_t at = 0, end;

    while (at < n) {
        uint32_t resource = gw_batch_resource_of(b, rows[at]);
        uint64_t bytes = framed(b->resources[resource].raw.len);

        for (; at < n && gw_batch_resource_of(b, rows[at]) == resource; at = end) {
            for (end = at + 1; end < n && b->scope[rows[end]] == b->scope[rows[at]];)
                end++;
            bytes += framed(scope_bytes(b, rows + at, end - at));
        }
        ret.bare += bytes;
        ret.framed += framed(bytes);
    }
    return ret;
}
