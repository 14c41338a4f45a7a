/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/pairs.h"

enum { FIRST = 8 };

bool gw_ottl_pairs_add(struct gw_ottl_run *r, struct gw_ottl_pairs *p, struct gw_slice key,
                       const struct gw_ottl_value *value)
{
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : FIRST;
        struct gw_ottl_pair *items = gw_arena_alloc(r->arena, cap * sizeof(*items));

        if (!items)
            return gw_ottl_starve(r);
        if (p->n)
            memcpy(items, p->items, p->n * sizeof(*items));
        p->items = items;
        p->cap = cap;
    }
    p->items[p->n] = (struct gw_ottl_pair){key, *value, p->n};
    p->n++;
    return true;
}

static bool before(const struct gw_ottl_pair *a, const struct gw_ottl_pair *b)
{
    size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
    int c = n ? memcmp(a->key.p, b->key.p, n) : 0;

    if (c)
        return c < 0;
    return a->key.n != b->key.n ? a->key.n < b->key.n : a->at < b->at;
}

/* Heap sort: the largest of [0, n) is at 0 when all parents are at least as large as their children. */
static void sink(struct gw_ottl_pair *items, uint32_t i, uint32_t n)
{
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        struct gw_ottl_pair t = items[i];

        if (child + 1 < n && before(&items[child], &items[child + 1]))
            child++;
        if (!before(&t, &items[child]))
            return;
        items[i] = items[child];
        items[child] = t;
    }
}

void gw_ottl_pairs_sort(struct gw_ottl_pairs *p)
{
    for (uint32_t i = p->n / 2; i-- > 0;)
        sink(p->items, i, p->n);
    for (uint32_t n = p->n; n > 1; n--) {
        struct gw_ottl_pair t = p->items[0];

        p->items[0] = p->items[n - 1];
        p->items[n - 1] = t;
        sink(p->items, 0, n - 1);
    }
}

bool gw_ottl_pairs_map(struct gw_ottl_run *r, struct gw_ottl_pairs *p, struct gw_ottl_value *ret)
{
    size_t begin = r->buf->n;
    struct gw_value v;

    gw_ottl_pairs_sort(p);
    for (uint32_t i = 0; i < p->n; i++) {
        if (i + 1 < p->n && gw_slice_eq(p->items[i].key, p->items[i + 1].key))
            continue;
        if (!gw_ottl_to_value(r, &p->items[i].value, &v))
            return false;
        gw_value_put_pair(r->buf, p->items[i].key, &v);
    }
    *ret = (struct gw_ottl_value){.type = GW_OT_MAP, .form = GW_OF_WIRE};
    return gw_ottl_take_buf(r, begin, &ret->s);
}
