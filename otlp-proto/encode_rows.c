/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of one parent that follow each other without a gap. What is to be left out or replaced is collected as cuts,
 * over the bounds of rows; then what lies between two cuts is one copy:
 *
 *   [row][row … kv … ][dropped][row][row … kv … ]
 *    ───copy─── cut ──          ────copy──── cut ──
 *
 * A changed row's length is known from its cuts, and is put over the old one in the copy. Looking and writing are two
 * loops, each with few enough variables for the registers; looking at a row costs less than a call of memcpy.
 */
#include "otlp-proto/encode_priv.h"

/* [from, to) is left out, and kv stands in its place. */
struct cut {
    struct cut *next;
    const uint8_t *from, *to;
    const struct gw_enc_kv *kv; /* or NULL */
    const uint8_t *length;      /* of the row, when this is its first cut, to be replaced by len; or NULL */
    uint32_t len;
};

/* Linked in the order of the wire: they are not moved, for a copy would wait for what was just stored. */
enum { MAX_CUTS = 64, SLACK = 2 * GW_COPY_STEP };
struct cuts {
    struct gw_enc *e;
    struct gw_enc_kv *kvs;
    struct cut *first, **end;
    struct cut *free; /* of items */
    size_t in;        /* bytes of all kv */
    uint32_t turn;    /* that kv are marked with as long as cuts need them */
    uint8_t attr_tag;
    struct cut items[MAX_CUTS];
};

static inline const uint8_t *end_of(const struct gw_batch *b, uint32_t row)
{
    return b->base + b->raw[row].off + b->raw[row].len;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* Nearly all rows have a length of two bytes. */
static inline bool two_bytes(uint32_t len)
{
    return len - 0x80 < 0x4000 - 0x80;
}

static inline void put_length(uint8_t *p, uint32_t len)
{
    if (__builtin_expect(two_bytes(len), 1)) {
        p[0] = (uint8_t)(len | 0x80);
        p[1] = (uint8_t)(len >> 7);
    } else {
        (void)gw_varint_put(p, len);
    }
}

static uint8_t *put_fast(const struct cuts *cs, uint8_t *p, const uint8_t *from)
{
    uint8_t tag = cs->attr_tag;

    for (const struct cut *c = cs->first; c; c = c->next) {
        uint8_t *at = p;

        p = gw_copy_over(p, from, (size_t)(c->from - from));
        if (c->length)
            put_length(at + (c->length - from), c->len);
        from = c->to;
        if (c->kv) {
            memcpy(p, c->kv->p, GW_COPY_STEP);
            if (c->kv->n > GW_COPY_STEP)
                memcpy(p + GW_COPY_STEP, c->kv->p + GW_COPY_STEP, GW_COPY_STEP);
            *p = tag;
            p += c->kv->n;
        }
    }
    return p;
}

/* Without a byte too many, for the end of a buffer. */
static __attribute__((noinline)) void put_exact(const struct cuts *cs, const uint8_t *from)
{
    struct gw_enc *e = cs->e;

    for (const struct cut *c = cs->first; c; c = c->next) {
        gw_enc_put(e, from, (size_t)(c->from - from));
        if (c->length && e->rc == 0)
            (void)gw_varint_put(e->p - (c->from - c->length), c->len);
        from = c->to;
        if (c->kv) {
            gw_enc_put(e, &cs->attr_tag, 1);
            gw_enc_put(e, c->kv->p + 1, c->kv->n - 1);
        }
    }
}

static void forget_cuts(struct cuts *cs)
{
    cs->turn = ++cs->e->turn;
    cs->first = NULL;
    cs->end = &cs->first;
    cs->free = cs->items;
    cs->in = 0;
}

/* Write all cuts and what lies before them, from `from`. Gives where it goes on. */
static const uint8_t *flush(struct cuts *cs, const uint8_t *from)
{
    struct gw_enc *e = cs->e;
    const struct cut *last;

    if (!cs->first)
        return from;
    last = (const struct cut *)((const uint8_t *)cs->end - offsetof(struct cut, next));
    if ((size_t)(e->end - e->p) >= (size_t)(last->from - from) + cs->in + SLACK)
        e->p = put_fast(cs, e->p, from);
    else
        put_exact(cs, from);
    forget_cuts(cs);
    return last->to;
}

/* ---- looking ------------------------------------------------------------------------------------------------ */

/* A KeyValue that is not at hand. False: it is long, or a cut needs what stands in its place. */
static __attribute__((noinline)) bool make_kv(const struct cuts *cs, uint32_t edit, struct gw_enc_kv *kv)
{
    return kv->turn != cs->turn && gw_enc_make_kv(cs->e, edit, kv);
}

/* Where new attributes stand: behind the last one. */
static inline const uint8_t *attrs_end(const struct gw_batch *b, uint32_t row)
{
    struct gw_range attrs = b->attr[row];

    if (__builtin_expect(attrs.begin == attrs.end, 0))
        return end_of(b, row);
    return gw_enc_kv_end(b->base + b->attrs[attrs.end - 1].kv_off);
}

/* Behind those that stand before it, and before those of its place: what is older comes later in a chain. */
static inline struct cut **link_cut(struct cut **link, struct cut *c)
{
    while (*link && (*link)->from < c->from)
        link = &(*link)->next;
    c->next = *link;
    *link = c;
    return &c->next;
}

/*
 * The cuts of a changed row; `head` is its newest patch. False, with nothing done: too many for what room is left, or
 * other ones than of short attributes.
 */
static inline bool add_row(struct cuts *cs, uint32_t row, uint32_t head, const uint8_t *start)
{
    const struct gw_batch *b = cs->e->b;
    const struct gw_patch *patches = cs->e->v->patches, *p;
    struct cut **before = cs->end, **end = before, *c = cs->free;
    uint32_t len = b->raw[row].len, in = 0;
    size_t header;

    for (uint32_t i = head; i; i = p->next) {
        struct cut **link;

        p = &patches[i - 1];
        if (__builtin_expect(p->op > GW_P_ATTR_DELETE || c == cs->items + MAX_CUTS, 0)) {
            if (p->op == GW_P_NOTHING)
                continue;
            goto undo;
        }
        c->kv = NULL;
        c->length = NULL;
        if (p->op == GW_P_ATTR_SET) {
            struct gw_enc_kv *kv = &cs->kvs[p->edit % GW_N_KVS];

            if (__builtin_expect(kv->edit != p->edit + 1, 0) && !make_kv(cs, p->edit, kv))
                goto undo;
            kv->turn = cs->turn;
            in += kv->n;
            c->kv = kv;
        }
        if (p->attr == UINT32_MAX) {
            c->from = c->to = attrs_end(b, row);
        } else {
            c->from = b->base + b->attrs[p->attr].kv_off;
            c->to = gw_enc_kv_end(c->from);
            len -= (uint32_t)(c->to - c->from);
        }
        link = link_cut(before, c++);
        if (!*link)
            end = link;
    }
    len += in;
    header = (size_t)(b->base + b->raw[row].off - start);
    if (!(header == 3 && two_bytes(len)) && header != 1 + gw_varint_size(len))
        goto undo;
    if (*before) {
        (*before)->length = start + 1;
        (*before)->len = len;
        cs->in += in;
        cs->free = c;
        cs->end = end;
    }
    return true;
undo:
    *before = NULL;
    return false;
}

/* Behind the kept rows without changes that begin with `row`. */
static inline uint32_t run_end(const struct gw_view *v, uint32_t row, uint32_t end)
{
    const uint32_t *heads = v->heads[GW_OWN_ROW];

    if (!heads && !v->kept)
        return end;
    do
        row++;
    while (row < end && gw_view_has(v, row) && !(heads && heads[row]));
    return row;
}

/* As gw_view_next, without a call when no row was removed. */
static inline uint32_t next_row(const struct gw_view *v, uint32_t row)
{
    return v->kept ? gw_view_next(v, row) : row;
}

/* [gap, end) are rows that were dropped. */
static const uint8_t *add_gap(struct cuts *cs, const uint8_t *from, const uint8_t *gap, const uint8_t *end)
{
    struct cut *c;

    if (cs->free == cs->items + MAX_CUTS)
        from = flush(cs, from);
    c = cs->free++;
    *c = (struct cut){.from = gap, .to = end};
    *cs->end = c;
    cs->end = &c->next;
    return from;
}

/* A changed row that is no case for cuts, behind what waits. */
static const uint8_t *put_alone(struct cuts *cs, unsigned field, uint32_t row, const uint8_t *from,
                                const uint8_t *start)
{
    gw_enc_put(cs->e, from, (size_t)(start - from));
    gw_enc_message(cs->e, field, GW_OWN_ROW, row, cs->e->b->raw[row]);
    forget_cuts(cs); /* what the row had begun with */
    return end_of(cs->e->b, row);
}

void gw_enc_dense_rows(struct gw_enc *e, unsigned field, struct gw_range rows, const uint8_t *first)
{
    const struct gw_batch *b = e->b;
    const uint32_t *heads = e->v->heads[GW_OWN_ROW];
    const uint8_t *from = first, *to = first; /* waits, but for what the cuts take out of it */
    struct cuts cs;

    cs.e = e;
    cs.kvs = e->kvs;
    forget_cuts(&cs);
    cs.attr_tag = (uint8_t)GW_TAG(gw_enc_attr_field(b, GW_OWN_ROW, rows.begin), GW_LEN);
    for (uint32_t r = gw_view_next(e->v, rows.begin), behind = rows.begin; r < rows.end; r = next_row(e->v, behind)) {
        uint32_t head = heads ? heads[r] : 0;
        const uint8_t *start = to;

        if (r != behind) {
            start = end_of(b, r - 1);
            from = add_gap(&cs, from, to, start);
        }
        behind = head ? r + 1 : run_end(e->v, r, rows.end);
        to = end_of(b, behind - 1);
        while (head && !add_row(&cs, r, head, start)) { /* once with what waits, once without */
            if (!cs.first) {
                from = put_alone(&cs, field, r, from, start);
                break;
            }
            from = flush(&cs, from);
        }
    }
    from = flush(&cs, from);
    gw_enc_put(e, from, (size_t)(to - from));
}
