/* SPDX-License-Identifier: Apache-2.0 */
/* Repairs: fields encoded anew in the view's arena, texts cut and cleaned. */
#include "processors/validate/validate.h"

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, VARINT_MAX = 10 };

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

/* Room for tag, length and n bytes, or NULL: the view has failed. */
static uint8_t *room(struct gw_validation *t, size_t n)
{
    uint8_t *p = gw_arena_alloc(t->v->arena, n + 2 * VARINT_MAX);

    t->v->failed |= !p;
    return p;
}

static void set(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t field, const uint8_t *p,
                const uint8_t *end)
{
    gw_view_field_set(t->v, o, index, field, gw_slice_of(p, (size_t)(end - p)));
}

void gw_repair_fixed64(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t field, uint64_t value)
{
    uint8_t *p = room(t, sizeof(value)), *at;

    if (!p)
        return;
    at = put_varint(p, field << 3 | FIXED64);
    memcpy(at, &value, sizeof(value));
    set(t, o, index, field, p, at + sizeof(value));
}

void gw_repair_varint(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t field, uint64_t value)
{
    uint8_t *p = room(t, 0);

    if (p)
        set(t, o, index, field, p, put_varint(put_varint(p, field << 3 | VARINT), value));
}

void gw_repair_text(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t field, struct gw_slice text)
{
    uint8_t *p = room(t, text.n), *at = p;

    if (!p)
        return;
    if (text.n) { /* an empty text is a field that is not there */
        at = put_varint(put_varint(p, field << 3 | LENGTH), text.n);
        memcpy(at, text.p, text.n);
        at += text.n;
    }
    set(t, o, index, field, p, at);
}

struct gw_slice gw_utf8_cut(struct gw_slice s, size_t max)
{
    if (s.n <= max)
        return s;
    while (max && (s.p[max] & 0xc0) == 0x80)
        max--;
    return (struct gw_slice){s.p, max};
}

static bool is_control(uint8_t c)
{
    return c < 0x20 && c != '\t' && c != '\n' && c != '\r';
}

bool gw_has_control(struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (is_control(s.p[i]))
            return true;
    return false;
}

struct gw_slice gw_without_control(struct gw_validation *t, struct gw_slice s)
{
    uint8_t *p = gw_arena_alloc(t->v->arena, 3 * s.n + 1), *at = p;

    if (!p) {
        t->v->failed = true;
        return s;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!is_control(s.p[i])) {
            *at++ = s.p[i];
            continue;
        }
        memcpy(at, "\xef\xbf\xbd", 3);
        at += 3;
    }
    return gw_slice_of(p, (size_t)(at - p));
}
