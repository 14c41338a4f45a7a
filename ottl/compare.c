/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of different types are unequal, and neither is less; nil is equal to nil alone (and to empty bytes); an int
 * meets a double as a double. Maps and lists know == and != only.
 */
#include "ottl/ast.h"
#include "ottl/pairs.h"

enum { MAX_DEPTH = 64, FEW = 16 };

#define BY_OP(op, a, b)                                                                                                \
    ((op) == GW_OP_EQ   ? (a) == (b)                                                                                   \
     : (op) == GW_OP_NE ? (a) != (b)                                                                                   \
     : (op) == GW_OP_LT ? (a) < (b)                                                                                    \
     : (op) == GW_OP_LE ? (a) <= (b)                                                                                   \
     : (op) == GW_OP_GT ? (a) > (b)                                                                                    \
                        : (a) >= (b))

static bool same(struct gw_ottl_run *r, const struct gw_ottl_value *a, const struct gw_ottl_value *b, bool raw,
                 unsigned depth);

/* Bytewise, shorter before longer. */
static int order(struct gw_slice a, struct gw_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* ---- maps and lists --------------------------------------------------------------------------------------- */

static bool sorted(struct gw_ottl_run *r, const struct gw_ottl_value *map, struct gw_ottl_pairs *ret)
{
    struct gw_ottl_value value;
    struct gw_ottl_iter it;
    struct gw_slice key;

    gw_ottl_begin(r, map, &it);
    while (gw_ottl_next_pair(&it, &key, &value))
        if (!gw_ottl_pairs_add(r, ret, key, &value))
            return false;
    gw_ottl_pairs_sort(ret);
    return true;
}

/* As many pairs in both: sorted, so that it does not take their square. */
static bool same_many(struct gw_ottl_run *r, const struct gw_ottl_value *a, const struct gw_ottl_value *b,
                      unsigned depth)
{
    struct gw_ottl_pairs x = {0}, y = {0};

    if (!sorted(r, a, &x) || !sorted(r, b, &y))
        return false;
    for (uint32_t i = 0; i < x.n; i++)
        if (!gw_slice_eq(x.items[i].key, y.items[i].key) ||
            !same(r, &x.items[i].value, &y.items[i].value, true, depth + 1))
            return false;
    return true;
}

static bool same_map(struct gw_ottl_run *r, const struct gw_ottl_value *a, const struct gw_ottl_value *b,
                     unsigned depth)
{
    struct gw_ottl_value x, y;
    struct gw_ottl_iter it;
    struct gw_slice key;
    uint32_t n = gw_ottl_count(r, a);

    if (n != gw_ottl_count(r, b))
        return false;
    if (n > FEW)
        return same_many(r, a, b, depth);
    gw_ottl_begin(r, a, &it);
    while (gw_ottl_next_pair(&it, &key, &x))
        if (!gw_ottl_map_get(r, b, key, &y) || !same(r, &x, &y, true, depth + 1))
            return false;
    return true;
}

/*
 * []any meets a pcommon.Slice as what AsRaw makes of it, in which a map is no pcommon.Map any more: a map or list of an
 * attribute inside [ ] is equal to none in an attribute. `raw`: both sides come from attributes.
 */
static bool same_list(struct gw_ottl_run *r, const struct gw_ottl_value *a, const struct gw_ottl_value *b, bool raw,
                      unsigned depth)
{
    bool both = raw || a->form == b->form;
    struct gw_ottl_iter i, k;
    struct gw_ottl_value x, y;

    if (a->form > GW_OF_ITEMS || b->form > GW_OF_ITEMS)
        return false;
    gw_ottl_begin(r, a, &i);
    gw_ottl_begin(r, b, &k);
    while (gw_ottl_next_item(&i, &x)) {
        const struct gw_ottl_value *written = a->form == GW_OF_ITEMS ? &x : &y;

        if (!gw_ottl_next_item(&k, &y))
            return false;
        if (!both && (written->type == GW_OT_MAP || (written->type == GW_OT_LIST && written->form != GW_OF_ITEMS)))
            return false;
        if (!same(r, &x, &y, both, depth + 1))
            return false;
    }
    return !gw_ottl_next_item(&k, &y);
}

/* Same type and same content: no int is a double here. */
static bool same(struct gw_ottl_run *r, const struct gw_ottl_value *a, const struct gw_ottl_value *b, bool raw,
                 unsigned depth)
{
    if (a->type != b->type || depth > MAX_DEPTH)
        return false;
    switch ((enum gw_ottl_type)a->type) {
    case GW_OT_NIL:
        return true;
    case GW_OT_BOOL:
        return a->b == b->b;
    case GW_OT_INT:
    case GW_OT_DURATION:
        return a->i == b->i;
    case GW_OT_DOUBLE:
        return a->f == b->f;
    case GW_OT_STRING:
    case GW_OT_BYTES:
        return gw_slice_eq(a->s, b->s);
    case GW_OT_TIME:
        return a->time.seconds == b->time.seconds && a->time.ns == b->time.ns;
    case GW_OT_TRACE_ID:
        return memcmp(a->id, b->id, 16) == 0;
    case GW_OT_SPAN_ID:
        return memcmp(a->id, b->id, 8) == 0;
    case GW_OT_MAP:
        return same_map(r, a, b, depth);
    case GW_OT_LIST:
        return same_list(r, a, b, raw, depth);
    case GW_OT_OTHER:
        return a->other.what == b->other.what && a->other.index == b->other.index;
    case GW_OT_ANY:
        break;
    }
    return false;
}

/* ---- by operator ------------------------------------------------------------------------------------------ */

static bool is_nil(const struct gw_ottl_value *v)
{
    return v->type == GW_OT_NIL || (v->type == GW_OT_BYTES && v->s.n == 0);
}

static bool compare_times(const struct gw_ottl_value *a, unsigned op, const struct gw_ottl_value *b)
{
    if (a->time.seconds != b->time.seconds)
        return BY_OP(op, a->time.seconds, b->time.seconds);
    return BY_OP(op, a->time.ns, b->time.ns);
}

static bool compare_same_type(struct gw_ottl_run *r, const struct gw_ottl_value *a, unsigned op,
                              const struct gw_ottl_value *b)
{
    switch ((enum gw_ottl_type)a->type) {
    case GW_OT_STRING:
    case GW_OT_BYTES:
        if (op <= GW_OP_NE)
            return gw_slice_eq(a->s, b->s) == (op == GW_OP_EQ);
        return BY_OP(op, order(a->s, b->s), 0);
    case GW_OT_INT:
    case GW_OT_DURATION:
        return BY_OP(op, a->i, b->i);
    case GW_OT_DOUBLE:
        return BY_OP(op, a->f, b->f);
    case GW_OT_BOOL:
        return BY_OP(op, a->b, b->b);
    case GW_OT_TIME:
        return compare_times(a, op, b);
    case GW_OT_NIL:
        return op == GW_OP_EQ || op == GW_OP_LE || op == GW_OP_GE;
    case GW_OT_MAP:
    case GW_OT_LIST:
    case GW_OT_TRACE_ID:
    case GW_OT_SPAN_ID:
    case GW_OT_OTHER:
    case GW_OT_ANY:
        break;
    }
    return op <= GW_OP_NE && same(r, a, b, false, 0) == (op == GW_OP_EQ);
}

bool gw_ottl_compare(struct gw_ottl_run *r, const struct gw_ottl_value *a, unsigned op, const struct gw_ottl_value *b,
                     bool *ret)
{
    if (a->type == b->type && a->type != GW_OT_BYTES)
        *ret = compare_same_type(r, a, op, b);
    else if (is_nil(a) || is_nil(b))
        *ret = is_nil(a) && is_nil(b) ? op == GW_OP_EQ || op == GW_OP_LE || op == GW_OP_GE : op == GW_OP_NE;
    else if (a->type == b->type)
        *ret = compare_same_type(r, a, op, b);
    else if (a->type == GW_OT_INT && b->type == GW_OT_DOUBLE)
        *ret = BY_OP(op, (double)a->i, b->f);
    else if (a->type == GW_OT_DOUBLE && b->type == GW_OT_INT)
        *ret = BY_OP(op, a->f, (double)b->i);
    else
        *ret = op == GW_OP_NE;
    return r->error == 0;
}

bool gw_ottl_item_equal(struct gw_ottl_run *r, const struct gw_ottl_value *item, const struct gw_ottl_value *b)
{
    bool equal;

    /* AsRaw makes map[string]any and []any of an element: equal to a map or list of an attribute by its content. */
    if (item->type == b->type && (item->type == GW_OT_MAP || (item->type == GW_OT_LIST && b->form <= GW_OF_ITEMS)))
        return same(r, item, b, b->form != GW_OF_ITEMS, 0);
    return gw_ottl_compare(r, item, GW_OP_EQ, b, &equal) && equal;
}
