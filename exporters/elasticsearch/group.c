/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which points share a document. A group is known by its identity, bytes that are equal for equal points:
 *
 *   otel   index, resource's and scope's number, time, start, unit, attributes sorted by key
 *   ecs    index, time, attributes of resource and point, the point's before the resource's
 *
 * Resources and scopes are numbered by identities of their own (attributes; name and attributes) in the same table.
 * Attributes that say where a document goes are in none.
 */
#include <stdlib.h>

#include "core/hash.h"
#include "exporters/elasticsearch/writer.h"

enum { FIRST_SLOTS = 256 };

static bool reserve_rows(struct gw_es_writer *w)
{
    uint32_t n = w->b->n_rows, *a, *b;

    if (n <= w->cap_row_group)
        return true;
    a = realloc(w->row_group, n * sizeof(*a));
    w->row_group = a ? a : w->row_group;
    b = realloc(w->by_group, n * sizeof(*b));
    w->by_group = b ? b : w->by_group;
    if (!a || !b) {
        w->rc = -ENOMEM;
        return false;
    }
    w->cap_row_group = n;
    return true;
}

void gw_es_groups_reset(struct gw_es_writer *w)
{
    w->n_groups = 0;
    gw_buf_reset(&w->identities);
    if (w->slots)
        memset(w->slots, 0, w->cap_slots * sizeof(*w->slots));
    if (w->b->n_rows && reserve_rows(w))
        memset(w->row_group, 0xff, w->b->n_rows * sizeof(*w->row_group)); /* of no group */
}

/* ---- identities ------------------------------------------------------------------------------------------------ */

static void put_u32(struct gw_buf *to, uint32_t v)
{
    gw_es_put_bytes(to, &v, sizeof(v));
}

static void put_slice(struct gw_buf *to, struct gw_slice s)
{
    put_u32(to, (uint32_t)s.n);
    gw_es_put_bytes(to, s.p, s.n);
}

static void put_attr(const struct gw_batch *b, struct gw_buf *to, const struct gw_attr *a)
{
    put_slice(to, gw_attr_key(b, a));
    gw_es_put_bytes(to, &a->type, 1);
    if (a->type == GW_V_BOOL || a->type == GW_V_INT || a->type == GW_V_DOUBLE)
        gw_es_put_bytes(to, &a->val, sizeof(a->val));
    else if (a->type != GW_V_EMPTY)
        put_slice(to, gw_batch_slice(b, a->val.ref));
}

static bool is_no_dimension(struct gw_slice key)
{
    return gw_slice_eq(key, GW_SLICE("data_stream.type")) || gw_slice_eq(key, GW_SLICE("data_stream.dataset")) ||
           gw_slice_eq(key, GW_SLICE("data_stream.namespace")) ||
           gw_slice_eq(key, GW_SLICE("elasticsearch.mapping.hints"));
}

static int compare_attrs(const void *arg, uint32_t x, uint32_t y)
{
    const struct gw_batch *b = arg;
    struct gw_slice k = gw_attr_key(b, &b->attrs[x]), l = gw_attr_key(b, &b->attrs[y]);
    size_t n = k.n < l.n ? k.n : l.n;
    int c = n ? memcmp(k.p, l.p, n) : 0;

    return c ? c : k.n < l.n ? -1 : k.n > l.n;
}

/** Attributes of `first`, and those of `second` whose keys `first` does not have, sorted. False: too many. */
static bool put_dimensions(struct gw_es_writer *w, struct gw_range first, struct gw_range second)
{
    const struct gw_batch *b = w->b;
    size_t most = (size_t)(first.end - first.begin) + (second.end - second.begin);
    uint32_t *order, n = 0;
    bool two = second.end > second.begin;

    gw_arena_reset(&w->doc_arena, 1 << 20);
    order = gw_arena_alloc(&w->doc_arena, (2 * most + 1) * sizeof(*order));
    if (!order)
        return false;
    if (two)
        gw_es_forget_keys(w);
    for (uint32_t i = first.begin; i < first.end; i++) {
        struct gw_slice key = gw_attr_key(b, &b->attrs[i]);

        if (two)
            (void)gw_es_is_new_key(w, w, key);
        if (!is_no_dimension(key))
            order[n++] = i;
    }
    for (uint32_t i = second.begin; i < second.end; i++) {
        struct gw_slice key = gw_attr_key(b, &b->attrs[i]);

        if (gw_es_is_new_key(w, w, key) && !is_no_dimension(key))
            order[n++] = i;
    }
    gw_es_sort(order, order + most, n, compare_attrs, b);
    for (uint32_t i = 0; i < n; i++)
        put_attr(b, &w->identities, &b->attrs[order[i]]);
    return true;
}

/* ---- table ----------------------------------------------------------------------------------------------------- */

static uint32_t *find_slot(struct gw_es_writer *w, uint64_t hash, struct gw_slice identity)
{
    uint32_t mask = w->cap_slots - 1, i = (uint32_t)hash & mask;

    for (; w->slots[i]; i = (i + 1) & mask) {
        const struct gw_es_group *g = &w->groups[w->slots[i] - 1];

        if (g->hash == hash && gw_slice_eq(gw_slice_of(w->identities.p + g->at, g->n), identity))
            break;
    }
    return &w->slots[i];
}

static bool grow_slots(struct gw_es_writer *w)
{
    uint32_t cap = w->cap_slots ? 2 * w->cap_slots : FIRST_SLOTS;
    uint32_t *slots = cap > w->cap_slots ? calloc(cap, sizeof(*slots)) : NULL;

    if (!slots) {
        w->rc = -ENOMEM;
        return false;
    }
    free(w->slots);
    w->slots = slots;
    w->cap_slots = cap;
    for (uint32_t g = 0; g < w->n_groups; g++) {
        uint32_t i = (uint32_t)w->groups[g].hash & (cap - 1);

        while (slots[i])
            i = (i + 1) & (cap - 1);
        slots[i] = g + 1;
    }
    return true;
}

/** The number of the identity that was appended from `at` on; an old one's bytes are taken back. */
static uint32_t number_of(struct gw_es_writer *w, size_t at, uint32_t row)
{
    struct gw_slice identity = gw_es_from(&w->identities, at);
    uint64_t hash = gw_hash_table(identity);
    uint32_t *slot;

    if (w->identities.failed)
        w->rc = -ENOMEM;
    if (w->rc || (w->n_groups >= w->cap_slots / 2 && !grow_slots(w)))
        return 0;
    slot = find_slot(w, hash, identity);
    if (*slot) {
        w->identities.n = at;
        return *slot - 1;
    }
    if (!gw_es_grow(w, (void **)&w->groups, w->n_groups, &w->cap_groups, sizeof(*w->groups)))
        return 0;
    w->groups[w->n_groups++] = (struct gw_es_group){.hash = hash, .at = at, .n = identity.n, .first_row = row};
    *slot = w->n_groups;
    return w->n_groups - 1;
}

void gw_es_group_scope(struct gw_es_writer *w)
{
    static const struct gw_range none = {0, 0};
    const struct gw_scope *s = &w->b->scopes[w->scope.scope];
    size_t at = w->identities.n;

    if (w->scope.mode != GW_ES_OTEL)
        return;
    GW_ES_PUT(&w->identities, "R");
    if (!put_dimensions(w, w->b->resources[s->resource].attrs, none))
        w->rc = -ENOMEM;
    w->scope.resource_id = number_of(w, at, UINT32_MAX);
    at = w->identities.n;
    GW_ES_PUT(&w->identities, "S");
    put_slice(&w->identities, gw_batch_slice(w->b, s->name));
    if (!put_dimensions(w, s->attrs, none))
        w->rc = -ENOMEM;
    w->scope.scope_id = number_of(w, at, UINT32_MAX);
}

bool gw_es_group_row(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t)
{
    static const struct gw_range none = {0, 0};
    const struct gw_batch *b = w->b;
    struct gw_buf *to = &w->identities;
    size_t at = to->n;
    bool otel = w->scope.mode == GW_ES_OTEL;
    uint32_t g;

    if (otel)
        GW_ES_PUT(to, "O");
    else
        GW_ES_PUT(to, "E");
    gw_es_put_bytes(to, &t->is_stream, 1);
    gw_es_put_bytes(to, &b->time_ns[row], sizeof(b->time_ns[row]));
    if (otel) {
        put_u32(to, w->scope.resource_id);
        put_u32(to, w->scope.scope_id);
        gw_es_put_bytes(to, &b->start_ns[row], sizeof(b->start_ns[row]));
        put_slice(to, gw_batch_slice(b, b->metrics[b->metric[row]].unit));
    }
    put_slice(to, gw_buf_slice(&t->name));
    if (!put_dimensions(w, b->attr[row], otel ? none : b->resources[w->scope.resource].attrs)) {
        to->n = at;
        return false;
    }
    g = number_of(w, at, row);
    if (w->rc)
        return true;
    w->row_group[row] = g;
    w->groups[g].n_rows++;
    return true;
}

void gw_es_group_sort(struct gw_es_writer *w)
{
    uint32_t at = 0;

    for (uint32_t g = 0; g < w->n_groups; g++) {
        w->groups[g].begin = at;
        at += w->groups[g].n_rows;
        w->groups[g].n_rows = 0;
    }
    for (uint32_t row = gw_view_next(w->v, 0); row < w->b->n_rows; row = gw_view_next(w->v, row + 1)) {
        struct gw_es_group *g = w->row_group[row] == UINT32_MAX ? NULL : &w->groups[w->row_group[row]];

        if (g)
            w->by_group[g->begin + g->n_rows++] = row;
    }
}
