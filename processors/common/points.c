/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/points.h"

#include "otlp-proto/wire.h"

enum { HEAD = 2 * GW_VARINT_MAX }; /* tag and length */

bool gw_point_buckets(const struct gw_view *v, struct gw_ref packed, int32_t offset, uint32_t n,
                      struct gw_exp_buckets *ret)
{
    uint32_t pos = packed.off, i = 0;
    uint64_t count;

    *ret = (struct gw_exp_buckets){.offset = offset, .counts = gw_arena_alloc(v->arena, (n + 1) * sizeof(uint64_t))};
    if (!ret->counts)
        return false;
    while (i < n && gw_packed_varint_next(v->batch, packed, &pos, &count))
        ret->counts[i++] = count;
    ret->n = i;
    return true;
}

/* Indices only get smaller, so that it is done in place. */
void gw_exp_coarsen(struct gw_exp_buckets *b, uint32_t bits)
{
    int64_t first = b->offset >> (bits > 31 ? 31 : bits);
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->n; i++) {
        int64_t at = (((int64_t)b->offset + i) >> (bits > 63 ? 63 : bits)) - first;

        if (at < (int64_t)n)
            b->counts[at] += b->counts[i];
        else
            b->counts[n++] = b->counts[i];
    }
    b->n = n;
    b->offset = (int32_t)first;
}

uint64_t gw_exp_trim(struct gw_exp_buckets *b, int32_t bucket)
{
    int64_t index = (int64_t)bucket - b->offset;
    uint32_t trimmed;
    uint64_t zeros = 0;

    if (index < 0)
        return 0;
    trimmed = index + 1 < (int64_t)b->n ? (uint32_t)index + 1 : b->n;
    for (uint32_t i = 0; i < trimmed; i++)
        zeros += b->counts[i];
    b->counts += trimmed;
    b->n -= trimmed;
    b->offset = (int32_t)((uint32_t)b->offset + trimmed);
    return zeros;
}

static void set(struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t field, const uint8_t *p,
                const uint8_t *end)
{
    gw_view_field_set(v, o, index, field, gw_slice_of(p, (size_t)(end - p)));
}

static uint8_t *room(struct gw_view *v, size_t n)
{
    uint8_t *p = gw_arena_alloc(v->arena, HEAD + n);

    if (!p)
        v->failed = true;
    return p;
}

static void set_8_bytes(struct gw_view *v, uint32_t row, uint32_t field, const void *value)
{
    uint8_t *p = room(v, 8), *end;

    if (!p)
        return;
    end = gw_varint_put(p, GW_TAG(field, GW_I64));
    memcpy(end, value, 8);
    set(v, GW_OWN_ROW, row, field, p, end + 8);
}

void gw_point_set_u64(struct gw_view *v, uint32_t row, uint32_t field, uint64_t value)
{
    if (value)
        set_8_bytes(v, row, field, &value);
    else
        gw_point_remove(v, row, field);
}

void gw_point_set_i64(struct gw_view *v, uint32_t row, uint32_t field, int64_t value)
{
    set_8_bytes(v, row, field, &value);
}

void gw_point_set_double(struct gw_view *v, uint32_t row, uint32_t field, double value)
{
    set_8_bytes(v, row, field, &value);
}

static uint64_t zigzag(int32_t value)
{
    return (uint32_t)value << 1 ^ (value < 0 ? UINT32_MAX : 0);
}

void gw_point_set_sint(struct gw_view *v, uint32_t row, uint32_t field, int32_t value)
{
    uint8_t *p = room(v, 0);

    if (p)
        set(v, GW_OWN_ROW, row, field, p, gw_varint_put(gw_varint_put(p, GW_TAG(field, GW_VARINT)), zigzag(value)));
}

void gw_point_remove(struct gw_view *v, uint32_t row, uint32_t field)
{
    gw_view_field_set(v, GW_OWN_ROW, row, field, (struct gw_slice){0});
}

void gw_point_set_packed(struct gw_view *v, uint32_t row, uint32_t field, const void *values, uint32_t n)
{
    size_t bytes = (size_t)n * 8;
    uint8_t *p, *end;

    if (n == 0) {
        gw_point_remove(v, row, field);
        return;
    }
    p = room(v, bytes);
    if (!p)
        return;
    end = gw_varint_put(gw_varint_put(p, GW_TAG(field, GW_LEN)), bytes);
    memcpy(end, values, bytes);
    set(v, GW_OWN_ROW, row, field, p, end + bytes);
}

void gw_point_set_buckets(struct gw_view *v, uint32_t row, uint32_t field, const struct gw_exp_buckets *b)
{
    size_t counts = 0, body = 0;
    uint8_t *p, *end;

    for (uint32_t i = 0; i < b->n; i++)
        counts += gw_varint_size(b->counts[i]);
    body = b->offset ? 1 + gw_varint_size(zigzag(b->offset)) : 0;
    body += b->n ? 1 + gw_varint_size(counts) + counts : 0;
    p = room(v, body);
    if (!p)
        return;
    end = gw_varint_put(gw_varint_put(p, GW_TAG(field, GW_LEN)), body);
    if (b->offset)
        end = gw_varint_put(gw_varint_put(end, GW_TAG(1, GW_VARINT)), zigzag(b->offset));
    if (b->n)
        end = gw_varint_put(gw_varint_put(end, GW_TAG(2, GW_LEN)), counts);
    for (uint32_t i = 0; i < b->n; i++)
        end = gw_varint_put(end, b->counts[i]);
    set(v, GW_OWN_ROW, row, field, p, end);
}

void gw_metric_set_temporality(struct gw_view *v, uint32_t metric, enum gw_temporality t)
{
    uint8_t *p = room(v, 0);

    if (p)
        set(v, GW_OWN_DATA, metric, GW_DATA_TEMPORALITY, p,
            gw_varint_put(gw_varint_put(p, GW_TAG(GW_DATA_TEMPORALITY, GW_VARINT)), t));
}
