/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of fields as JSON. What an array holds cannot be flattened into the document: a map in there is a list of
 * fields of its own, which stands behind the others while it is written.
 */
#include "exporters/elasticsearch/writer.h"

static void put_digits(uint8_t *to, unsigned v, int n)
{
    for (int i = n - 1; i >= 0; i--, v /= 10)
        to[i] = (uint8_t)('0' + v % 10);
}

/** Day of 1970 to year, month and day, by years that begin in March (Hinnant, "chrono-compatible date algorithms"). */
static void put_day(uint8_t *to, int64_t day)
{
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned of_era = (unsigned)(z - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;

    put_digits(to + 8, of_year - (153 * month + 2) / 5 + 1, 2);
    month = month < 10 ? month + 3 : month - 9;
    put_digits(to + 5, month, 2);
    put_digits(to, (unsigned)((int64_t)year + era * 400) + (month <= 2), 4);
}

void gw_es_put_rfc3339(struct gw_buf *to, uint64_t time_ns)
{
    int64_t ns = (int64_t)time_ns; /* as Go reads it: what is over 2^63 lies before 1970 */
    int64_t fraction = ns % 1000000000, s = ns / 1000000000 - (fraction < 0), day = s / 86400, of_day = s % 86400;
    uint8_t text[] = "\"0000-00-00T00:00:00.000000000Z\"";

    if (fraction < 0)
        fraction += 1000000000;
    if (of_day < 0) {
        of_day += 86400;
        day--;
    }
    put_day(text + 1, day);
    put_digits(text + 12, (unsigned)of_day / 3600, 2);
    put_digits(text + 15, (unsigned)of_day / 60 % 60, 2);
    put_digits(text + 18, (unsigned)of_day % 60, 2);
    put_digits(text + 21, (unsigned)fraction, 9);
    gw_es_put_bytes(to, text, sizeof(text) - 1);
}

static void put_object(struct gw_es_writer *w, uint32_t base, bool nested, gw_es_protected_fn is_protected,
                       unsigned depth);

/** A map in an array: fields of its own, behind all others. */
static void put_inner(struct gw_es_writer *w, struct gw_slice list, gw_es_protected_fn is_protected, unsigned depth)
{
    uint32_t base = w->n_fields;

    gw_es_field_map(w, GW_SLICE(""), list, depth);
    if (w->n_fields == base)
        GW_ES_PUT(w->out, "null");
    else
        put_object(w, base, /* nested= */ true, is_protected, depth);
    w->n_fields = base;
}

static void put_value(struct gw_es_writer *w, const struct gw_value *v, gw_es_protected_fn is_protected,
                      unsigned depth);

static void put_array(struct gw_es_writer *w, struct gw_slice list, gw_es_protected_fn is_protected, unsigned depth)
{
    struct gw_slice any;
    bool comma = false;

    GW_ES_PUT(w->out, "[");
    while (gw_go_next(&list, &any)) {
        struct gw_value v = gw_go_any(any);

        if (comma)
            GW_ES_PUT(w->out, ",");
        comma = true;
        put_value(w, &v, is_protected, depth);
    }
    GW_ES_PUT(w->out, "]");
}

/** Bytes have no form in these modes: null in an array, else no field at all. */
static void put_value(struct gw_es_writer *w, const struct gw_value *v, gw_es_protected_fn is_protected, unsigned depth)
{
    if (depth >= GW_ES_MAX_DEPTH || v->type == GW_V_BYTES)
        GW_ES_PUT(w->out, "null");
    else if (v->type == GW_V_ARRAY)
        put_array(w, v->s, is_protected, depth + 1);
    else if (v->type == GW_V_KVLIST)
        put_inner(w, v->s, is_protected, depth + 1);
    else if (v->type == GW_V_STRING)
        gw_es_put_string(w->out, v->s); /* may be no text of the payload */
    else
        gw_es_put_value(w, w->out, v, /* strings= */ false);
}

static void put_links(struct gw_es_writer *w, uint32_t row)
{
    struct gw_range r = w->b->links_of[row];

    GW_ES_PUT(w->out, "[");
    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_link *l = &w->b->links[i];
        bool trace = !gw_es_is_zero(l->trace_id, 16), span = !gw_es_is_zero(l->span_id, 8);

        if (i > r.begin)
            GW_ES_PUT(w->out, ",");
        if (!trace && !span) {
            GW_ES_PUT(w->out, "null");
            continue;
        }
        GW_ES_PUT(w->out, "{");
        if (span) {
            GW_ES_PUT(w->out, "\"span\":{\"id\":");
            gw_es_put_id(w->out, l->span_id, 8);
            GW_ES_PUT(w->out, "}");
        }
        if (trace) {
            if (span)
                GW_ES_PUT(w->out, ",");
            GW_ES_PUT(w->out, "\"trace\":{\"id\":");
            gw_es_put_id(w->out, l->trace_id, 16);
            GW_ES_PUT(w->out, "}");
        }
        GW_ES_PUT(w->out, "}");
    }
    GW_ES_PUT(w->out, "]");
}

static void put_numbers(struct gw_buf *to, struct gw_slice list, bool doubles)
{
    GW_ES_PUT(to, "[");
    for (size_t at = 0; at < list.n; at += 8) {
        int64_t i;
        double f;

        if (at)
            GW_ES_PUT(to, ",");
        memcpy(&i, list.p + at, 8);
        memcpy(&f, list.p + at, 8);
        if (doubles)
            gw_es_put_double(to, f);
        else
            gw_es_put_i64(to, i);
    }
    GW_ES_PUT(to, "]");
}

static void put_field(struct gw_es_writer *w, const struct gw_es_field *f, gw_es_protected_fn is_protected,
                      unsigned depth)
{
    switch ((enum gw_es_field_kind)f->kind) {
    case GW_ES_F_VALUE:
        put_value(w, &f->value, is_protected, depth);
        break;
    case GW_ES_F_TIME:
        gw_es_put_rfc3339(w->out, (uint64_t)f->value.i);
        break;
    case GW_ES_F_ID:
        gw_es_put_id(w->out, f->value.s.p, f->value.s.n);
        break;
    case GW_ES_F_UINT:
        gw_es_put_u64(w->out, (uint64_t)f->value.i);
        break;
    case GW_ES_F_LINKS:
        put_links(w, (uint32_t)f->value.i);
        break;
    case GW_ES_F_COUNTS:
    case GW_ES_F_NUMBERS:
        put_numbers(w->out, f->value.s, f->kind == GW_ES_F_NUMBERS);
        break;
    case GW_ES_F_IGNORE:
        break;
    }
}

/** Not written at all: what has no form, and empty arrays. */
static bool is_nothing(const struct gw_es_field *f)
{
    struct gw_slice list = f->value.s, any;

    if (f->kind == GW_ES_F_COUNTS || f->kind == GW_ES_F_NUMBERS)
        return f->value.s.n == 0;
    if (f->kind != GW_ES_F_VALUE)
        return false;
    return f->value.type == GW_V_BYTES || (f->value.type == GW_V_ARRAY && !gw_go_next(&list, &any));
}

/** Close objects until `prefix`, of n bytes, leads to the key; returns how much of it is left. */
static size_t close_objects(struct gw_buf *to, struct gw_slice prefix, struct gw_slice key)
{
    size_t n = prefix.n, common = 0;

    if (key.n >= n && (n == 0 || memcmp(prefix.p, key.p, n) == 0))
        return n;
    while (common < n && common < key.n && prefix.p[common] == key.p[common])
        common++;
    while (common > 0 && prefix.p[common - 1] != '.')
        common--;
    for (size_t i = common; i < n; i++)
        if (prefix.p[i] == '.')
            GW_ES_PUT(to, "}");
    return common;
}

/** The key's name in its object, behind the objects that lead to it. Returns the length of the way there. */
static size_t put_nested_key(struct gw_buf *to, size_t at, struct gw_slice key, bool *comma)
{
    for (size_t i = at; i <= key.n; i++) {
        if (i < key.n && key.p[i] != '.')
            continue;
        if (*comma)
            GW_ES_PUT(to, ",");
        *comma = i == key.n;
        gw_es_put_string(to, gw_slice_of(key.p + at, i - at));
        if (i == key.n) {
            GW_ES_PUT(to, ":");
            break;
        }
        GW_ES_PUT(to, ":{");
        at = i + 1;
    }
    return at;
}

static void put_object(struct gw_es_writer *w, uint32_t base, bool nested, gw_es_protected_fn is_protected,
                       unsigned depth)
{
    uint32_t n = gw_es_settle_fields(w, base, is_protected);
    struct gw_slice prefix = {(const uint8_t *)"", 0};
    bool comma = false;

    GW_ES_PUT(w->out, "{");
    for (uint32_t i = 0; i < n && !w->out->failed; i++) {
        struct gw_es_field f = w->fields[w->order[base + i]]; /* a copy: inner objects may move the tables */

        if (is_nothing(&f))
            continue;
        if (nested) {
            size_t at = close_objects(w->out, prefix, f.key);

            prefix = gw_slice_of(f.key.p, put_nested_key(w->out, at, f.key, &comma));
        } else {
            if (comma)
                GW_ES_PUT(w->out, ",");
            comma = true;
            gw_es_put_string(w->out, f.key);
            GW_ES_PUT(w->out, ":");
        }
        put_field(w, &f, is_protected, depth);
    }
    (void)close_objects(w->out, prefix, (struct gw_slice){0});
    GW_ES_PUT(w->out, "}");
}

void gw_es_put_fields(struct gw_es_writer *w, bool nested, gw_es_protected_fn is_protected)
{
    put_object(w, 0, nested, is_protected, 0);
    GW_ES_PUT(w->out, "\n");
}
