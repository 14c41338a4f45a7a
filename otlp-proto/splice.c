/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message with some attributes and fields changed: what did not change is copied from the wire.
 *
 *   ….[kv][kv][kv]….      copied up to a patched KeyValue, that one replaced or left out, and so on;
 *            ^appended    new attributes stand behind the last one, so that attributes stay together
 */
#include "otlp-proto/encode_priv.h"

#include <errno.h>
#include <stdlib.h>

#define NO_ATTR UINT32_MAX

void gw_enc_begin(struct gw_enc *e, const struct gw_view *v, struct gw_buf *out, size_t expected)
{
    size_t left = out->max_bytes - out->n;

    *e = (struct gw_enc){.v = v, .b = v ? v->batch : NULL, .out = out, .only = UINT32_MAX};
    if (expected < 64)
        expected = 64;
    e->rc = gw_buf_reserve(out, expected < left ? expected : left);
    if (e->rc == 0 && !out->p)
        e->rc = -E2BIG; /* a buffer of maximum 0 */
    if (e->rc == 0) {
        e->p = out->p + out->n;
        e->end = out->p + out->cap;
    }
}

bool gw_enc_grow(struct gw_enc *e, size_t n)
{
    size_t used;

    if (e->rc < 0)
        return false;
    used = (size_t)(e->p - e->out->p) - e->out->n;
    e->rc = n > SIZE_MAX - used ? -E2BIG : gw_buf_reserve(e->out, used + n);
    if (e->rc < 0) {
        e->end = e->p;
        return false;
    }
    e->p = e->out->p + e->out->n + used;
    e->end = e->out->p + e->out->cap;
    return true;
}

int gw_enc_finish(struct gw_enc *e)
{
    if (e->rc == 0)
        e->out->n = (size_t)(e->p - e->out->p);
    return e->rc;
}

void gw_enc_close(struct gw_enc *e, size_t at, size_t guess)
{
    unsigned had = gw_varint_size(guess), need;
    uint8_t *body;
    size_t len;

    if (e->rc < 0)
        return;
    body = e->out->p + at + had;
    len = (size_t)(e->p - body);
    need = gw_varint_size(len);
    if (need != had) {
        if (need > had && !gw_enc_room(e, need - had))
            return;
        body = e->out->p + at + had;
        memmove(e->out->p + at + need, body, len);
        e->p = e->out->p + at + need + len;
    }
    (void)gw_varint_put(e->out->p + at, len);
}

/* ---- new attributes ----------------------------------------------------------------------------------------- */

static size_t any_size(const struct gw_value *v)
{
    switch (v->type) {
    case GW_V_BOOL:
        return 2;
    case GW_V_INT:
        return 1 + gw_varint_size((uint64_t)v->i);
    case GW_V_DOUBLE:
        return 9;
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        return 1 + gw_varint_size(v->s.n) + v->s.n;
    case GW_V_EMPTY:
        break;
    }
    return 0;
}

/* Keys and values are mostly short: two moves that overlap instead of a call. */
static inline uint8_t *put_short(uint8_t *p, struct gw_slice s)
{
    if (s.n >= 8 && s.n <= 16) {
        uint64_t a = gw_load64(s.p), b = gw_load64(s.p + s.n - 8);

        memcpy(p, &a, 8);
        memcpy(p + s.n - 8, &b, 8);
    } else if (s.n >= 4 && s.n < 8) {
        uint32_t a = gw_load32(s.p), b = gw_load32(s.p + s.n - 4);

        memcpy(p, &a, 4);
        memcpy(p + s.n - 4, &b, 4);
    } else if (s.n) {
        memcpy(p, s.p, s.n);
    }
    return p + s.n;
}

static uint8_t *put_text(uint8_t *p, uint32_t tag, struct gw_slice s)
{
    *p++ = (uint8_t)tag;
    return put_short(gw_varint_put(p, s.n), s);
}

static uint8_t *put_any(uint8_t *p, const struct gw_value *v)
{
    switch (v->type) {
    case GW_V_BOOL:
        *p++ = GW_TAG(2, GW_VARINT);
        *p++ = v->b;
        break;
    case GW_V_INT:
        *p++ = GW_TAG(3, GW_VARINT);
        return gw_varint_put(p, (uint64_t)v->i);
    case GW_V_DOUBLE:
        *p++ = GW_TAG(4, GW_I64);
        memcpy(p, &v->f, 8);
        return p + 8;
    case GW_V_STRING:
        return put_text(p, GW_TAG(1, GW_LEN), v->s);
    case GW_V_ARRAY:
        return put_text(p, GW_TAG(5, GW_LEN), v->s);
    case GW_V_KVLIST:
        return put_text(p, GW_TAG(6, GW_LEN), v->s);
    case GW_V_BYTES:
        return put_text(p, GW_TAG(7, GW_LEN), v->s);
    case GW_V_EMPTY:
        break;
    }
    return p;
}

/* Bytes of the KeyValue's body; *any: of its AnyValue's. */
static size_t kv_size(const struct gw_edit *edit, size_t *any)
{
    *any = any_size(&edit->value);
    return 1 + gw_varint_size(edit->key.n) + edit->key.n + 1 + gw_varint_size(*any) + *any;
}

static uint8_t *put_kv(uint8_t *p, unsigned field, const struct gw_edit *edit, size_t kv, size_t any)
{
    *p++ = (uint8_t)GW_TAG(field, GW_LEN);
    p = put_text(gw_varint_put(p, kv), GW_TAG(1, GW_LEN), edit->key);
    *p++ = GW_TAG(2, GW_LEN);
    return put_any(gw_varint_put(p, any), &edit->value);
}

static void put_attr(struct gw_enc *e, unsigned field, const struct gw_edit *edit)
{
    size_t any, kv = kv_size(edit, &any);

    if (gw_enc_room(e, kv + 2 * GW_VARINT_MAX))
        e->p = put_kv(e->p, field, edit, kv, any);
}

bool gw_enc_make_kv(const struct gw_enc *e, uint32_t edit, struct gw_enc_kv *ret)
{
    const struct gw_edit *x = &e->v->edits[edit];
    size_t any, kv = kv_size(x, &any);

    ret->edit = 0;
    if (kv > GW_KV_BYTES - 2)
        return false;
    ret->n = (uint32_t)(put_kv(ret->p, 1, x, kv, any) - ret->p);
    ret->edit = edit + 1;
    return true;
}

/* ---- splicing ----------------------------------------------------------------------------------------------- */

unsigned gw_enc_attr_field(const struct gw_batch *b, enum gw_owner o, uint32_t index)
{
    switch (o) {
    case GW_OWN_RESOURCE:
        return 1;
    case GW_OWN_SCOPE:
        return 3;
    case GW_OWN_METRIC:
        return 12;
    case GW_OWN_DATA:
        return 0; /* has none */
    case GW_OWN_ROW:
    case GW_N_OWNERS:
        break;
    }
    if (b->signal == GW_TRACES)
        return 9;
    if (b->signal == GW_LOGS)
        return 6;
    switch (b->number_type[index]) {
    case GW_N_HISTOGRAM:
        return 9;
    case GW_N_EXP_HISTOGRAM:
        return 1;
    default:
        return 7;
    }
}

static const struct gw_patch *first_patch(const struct gw_enc *e, enum gw_owner o, uint32_t index)
{
    uint32_t i = e->v->heads[o] ? e->v->heads[o][index] : 0;

    return i ? &e->v->patches[i - 1] : NULL;
}

static const struct gw_patch *next_patch(const struct gw_enc *e, const struct gw_patch *p)
{
    return p->next ? &e->v->patches[p->next - 1] : NULL;
}

static inline const struct gw_edit *edit_of(const struct gw_enc *e, const struct gw_patch *p)
{
    return &e->v->edits[p->edit];
}

/* An owner's living patches in the order of writing. */
enum { PLAN_SHORT = 16 };
struct plan {
    const struct gw_patch **in_place, **appended;
    uint32_t n_in_place, n_appended;
    bool fields;
    const struct gw_patch *room[2 * PLAN_SHORT]; /* for nearly all of them */
};

static int by_attr(const void *a, const void *b)
{
    const struct gw_patch *const *x = a, *const *y = b;

    return (*x)->attr < (*y)->attr ? -1 : (*x)->attr > (*y)->attr;
}

static bool is_in_place(const struct gw_patch *p)
{
    return (p->op == GW_P_ATTR_SET || p->op == GW_P_ATTR_DELETE) && p->attr != NO_ATTR;
}

static bool is_appended(const struct gw_patch *p)
{
    return p->op == GW_P_ATTR_SET && p->attr == NO_ATTR;
}

/* The chain runs from the newest to the oldest, and appended ones are written oldest first. */
static void fill_plan(const struct gw_enc *e, const struct gw_patch *p, struct plan *plan)
{
    uint32_t n = 0, left = plan->n_appended;

    for (; p; p = next_patch(e, p)) {
        if (is_appended(p)) {
            plan->appended[--left] = p;
        } else if (is_in_place(p)) {
            uint32_t i = n++;

            if (plan->n_in_place <= PLAN_SHORT)
                for (; i > 0 && plan->in_place[i - 1]->attr > p->attr; i--)
                    plan->in_place[i] = plan->in_place[i - 1];
            plan->in_place[i] = p;
        }
    }
    if (n > PLAN_SHORT)
        qsort(plan->in_place, n, sizeof(struct gw_patch *), by_attr);
}

/* Sets rc when a long plan finds no memory; the plan is empty then. */
static void make_plan(struct gw_enc *e, const struct gw_patch *first, struct plan *ret)
{
    ret->n_in_place = ret->n_appended = 0;
    ret->fields = false;
    for (const struct gw_patch *p = first; p; p = next_patch(e, p)) {
        ret->fields |= p->op == GW_P_FIELD;
        ret->n_in_place += is_in_place(p);
        ret->n_appended += is_appended(p);
    }
    ret->in_place = ret->room;
    ret->appended = ret->room + PLAN_SHORT;
    if (ret->n_in_place > PLAN_SHORT || ret->n_appended > PLAN_SHORT) {
        ret->in_place =
            gw_arena_alloc(e->v->arena, ((size_t)ret->n_in_place + ret->n_appended) * sizeof(struct gw_patch *));
        if (!ret->in_place) {
            e->rc = -ENOMEM;
            e->end = e->p;
            ret->n_in_place = ret->n_appended = 0;
            return;
        }
        ret->appended = ret->in_place + ret->n_in_place;
    }
    fill_plan(e, first, ret);
}

const uint8_t *gw_enc_kv_end_slow(const uint8_t *p)
{
    uint64_t n = 0;

    while (*p++ >= 0x80)
        ;
    p = gw_varint_get(p, p + 5, 5, &n);
    return p + n;
}

static void splice_attrs(struct gw_enc *e, enum gw_owner o, uint32_t index, struct gw_ref raw, const struct plan *plan)
{
    const struct gw_batch *b = e->b;
    struct gw_range attrs = gw_view_attr_range(e->v, o, index);
    unsigned field = gw_enc_attr_field(b, o, index);
    const uint8_t *at = b->base + raw.off, *end = at + raw.len, *behind;
    uint32_t last = NO_ATTR; /* patched attribute */

    for (uint32_t i = 0; i < plan->n_in_place; i++) {
        const struct gw_patch *p = plan->in_place[i];
        const struct gw_attr *a = &b->attrs[p->attr];

        gw_enc_put(e, at, (size_t)(b->base + a->kv_off - at));
        if (p->op == GW_P_ATTR_SET)
            put_attr(e, field, edit_of(e, p));
        at = gw_enc_kv_end(b->base + a->kv_off);
        last = p->attr;
    }
    behind = end;
    if (attrs.begin != attrs.end && plan->n_appended)
        behind = last == attrs.end - 1 ? at : gw_enc_kv_end(b->base + b->attrs[attrs.end - 1].kv_off);
    gw_enc_put(e, at, (size_t)(behind - at));
    for (uint32_t i = 0; i < plan->n_appended; i++)
        put_attr(e, field, edit_of(e, plan->appended[i]));
    gw_enc_put(e, behind, (size_t)(end - behind));
}

void gw_enc_field(struct gw_enc *e, enum gw_owner o, uint32_t index, const struct gw_wire_field *f, const uint8_t *end)
{
    bool is_attr = f->number == gw_enc_attr_field(e->b, o, index);

    for (const struct gw_patch *p = first_patch(e, o, index); p; p = next_patch(e, p)) {
        if (p->op == GW_P_FIELD && p->field == f->number)
            return; /* comes with what is appended */
        if (is_attr && is_in_place(p) && e->b->base + e->b->attrs[p->attr].kv_off == f->at) {
            if (p->op == GW_P_ATTR_SET)
                put_attr(e, f->number, edit_of(e, p));
            return;
        }
    }
    gw_enc_put(e, f->at, (size_t)(end - f->at));
}

void gw_enc_appended(struct gw_enc *e, enum gw_owner o, uint32_t index)
{
    const struct gw_patch *first = first_patch(e, o, index);
    unsigned field = gw_enc_attr_field(e->b, o, index);
    struct plan plan;

    make_plan(e, first, &plan);
    for (uint32_t i = 0; i < plan.n_appended; i++)
        put_attr(e, field, edit_of(e, plan.appended[i]));
    for (const struct gw_patch *p = first; p; p = next_patch(e, p))
        if (p->op == GW_P_FIELD)
            gw_enc_put(e, edit_of(e, p)->value.s.p, edit_of(e, p)->value.s.n);
}

void gw_enc_splice(struct gw_enc *e, enum gw_owner o, uint32_t index, struct gw_ref raw)
{
    const struct gw_patch *first = first_patch(e, o, index);
    struct gw_wire_walk w = gw_wire_walk(gw_slice_of(e->b->base + raw.off, raw.len));
    struct gw_wire_field f;
    struct plan plan;

    make_plan(e, first, &plan);
    if (!plan.fields) {
        splice_attrs(e, o, index, raw, &plan);
        return;
    }
    while (gw_wire_next(&w, &f) > 0)
        gw_enc_field(e, o, index, &f, w.p);
    gw_enc_appended(e, o, index);
}

void gw_enc_message(struct gw_enc *e, unsigned field, enum gw_owner o, uint32_t index, struct gw_ref raw)
{
    size_t at = gw_enc_open(e, field, raw.len);

    gw_enc_splice(e, o, index, raw);
    gw_enc_close(e, at, raw.len);
}
