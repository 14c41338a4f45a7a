/* SPDX-License-Identifier: Apache-2.0 */
/* From a view's rows to keys, times and values. What neighbours share of a key is made once and copied. */
#include <math.h>
#include <stdio.h>

#include "core/hash.h"
#include "otlp-proto/wire.h"
#include "processors/rollup/kept.h"
#include "values/value.h"

/* KeyValue { key: "otel.metric.overflow", value: { bool_value: true } } */
static const uint8_t overflow[] = "\x0a\x1a\x0a\x14"
                                  "otel.metric.overflow"
                                  "\x12\x02\x10\x01";

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static struct gw_slice take_part(struct gw_slice *rest)
{
    struct gw_slice part = {rest->p + 4, 0};
    uint32_t n;

    memcpy(&n, rest->p, 4);
    part.n = n;
    *rest = (struct gw_slice){rest->p + 4 + n, rest->n - 4 - n};
    return part;
}

struct gw_ru_key_parts gw_ru_key_split(struct gw_slice key)
{
    struct gw_ru_key_parts p;

    p.resource = take_part(&key);
    p.scope = take_part(&key);
    p.metric = take_part(&key);
    p.attrs = key;
    return p;
}

static size_t begin_part(struct gw_buf *b)
{
    gw_buf_put(b, "\0\0\0", 4);
    return b->n;
}

static void end_part(struct gw_buf *b, size_t begun)
{
    uint32_t n = (uint32_t)(b->n - begun);

    if (!b->failed)
        memcpy(b->p + begun - 4, &n, 4);
}

/* An attribute of the batch as it stands on the wire, under the tag of a run; that of its parent is one byte, too. */
static void put_wire(struct gw_buf *b, const struct gw_batch *batch, const struct gw_attr *a)
{
    const uint8_t *p = batch->base + a->kv_off + 1, *body;
    uint64_t n = 0;

    body = gw_varint_get(p, p + GW_VARINT_MAX, GW_VARINT_MAX, &n); /* it was read before; payloads are padded */
    gw_buf_put_u8(b, GW_TAG(1, GW_LEN));
    gw_buf_put(b, p, (size_t)(body - p) + n);
}

static void put_named(const struct gw_ru_input *in, const struct gw_list *names, enum gw_owner o, uint32_t index)
{
    const struct gw_batch *b = in->v->batch;
    struct gw_range all = gw_view_attr_range(in->v, o, index);
    bool clean = !gw_view_is_patched(in->v, o, index);

    for (size_t i = 0; i < names->n; i++) {
        struct gw_slice name = gw_slice_cstr(((const char *const *)names->items)[i]);
        struct gw_value value;

        if (!clean) {
            if (gw_view_attr_get(in->v, o, index, name, &value))
                gw_mw_attr_put(in->keys, name, &value);
            continue;
        }
        for (uint32_t a = all.begin; a < all.end; a++)
            if (gw_slice_eq(gw_attr_key(b, &b->attrs[a]), name)) {
                put_wire(in->keys, b, &b->attrs[a]);
                break;
            }
    }
}

struct pair {
    struct gw_slice key;
    struct gw_value value;
};

static bool is_before(struct gw_slice a, struct gw_slice b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return c < 0 || (c == 0 && a.n < b.n);
}

/* All of them, in the order of their names: who wrote them in which order does not matter. */
static void put_all(const struct gw_ru_input *in, enum gw_owner o, uint32_t index)
{
    struct gw_attr_iter it;
    struct pair p, *all;
    uint32_t n = 0;

    gw_view_attr_begin(in->v, o, index, &it);
    while (gw_view_attr_next(&it, &p.key, &p.value))
        n++;
    if (n == 0)
        return;
    all = gw_arena_alloc(in->v->arena, n * sizeof(*all));
    if (!all) {
        in->keys->failed = true;
        return;
    }
    n = 0;
    gw_view_attr_begin(in->v, o, index, &it);
    while (gw_view_attr_next(&it, &p.key, &p.value)) {
        uint32_t at = n++;

        for (; at && is_before(p.key, all[at - 1].key); at--)
            all[at] = all[at - 1];
        all[at] = p;
    }
    for (uint32_t i = 0; i < n; i++)
        gw_mw_attr_put(in->keys, all[i].key, &all[i].value);
}

static void put_attrs(const struct gw_ru_input *in, const struct gw_list *names, enum gw_owner o, uint32_t index)
{
    if (in->all->conf->has_keys)
        put_named(in, names, o, index);
    else
        put_all(in, o, index);
}

static void put_scope(const struct gw_ru_input *in, uint32_t scope)
{
    const struct gw_batch *b = in->v->batch;
    size_t at = begin_part(in->keys);

    if (!in->all->conf->has_keys || in->all->conf->keys.scope.n) {
        gw_buf_put_slice(in->keys, gw_batch_slice(b, b->scopes[scope].name));
        gw_buf_put_u8(in->keys, 0);
        gw_buf_put_slice(in->keys, gw_batch_slice(b, b->scopes[scope].version));
        gw_buf_put_u8(in->keys, 0);
        put_attrs(in, &in->all->conf->keys.scope, GW_OWN_SCOPE, scope);
    }
    end_part(in->keys, at);
}

/* Type: 1 when the sum of its values only grows. */
static void put_metric(const struct gw_ru_input *in, uint32_t row)
{
    const struct gw_batch *b = in->v->batch;
    const struct gw_metric_desc *m = b->signal == GW_METRICS ? &b->metrics[b->metric[row]] : NULL;
    const struct gw_ru_conf *c = in->all->conf;
    size_t at = begin_part(in->keys);
    bool seconds = c->value.from == GW_RU_DURATION || (c->value.from == GW_RU_AUTO && b->signal == GW_TRACES);
    const char *name = *c->name ? c->name : b->signal == GW_TRACES ? "span" : "log.record";

    gw_buf_put_u8(in->keys, m ? m->type == GW_M_SUM && m->monotonic : seconds);
    if (*c->unit || !m)
        gw_buf_put_str(in->keys, *c->unit ? c->unit : seconds ? "s" : "");
    else
        gw_buf_put_slice(in->keys, gw_batch_slice(b, m->unit));
    gw_buf_put_u8(in->keys, 0);
    if (m && !*c->name)
        gw_buf_put_slice(in->keys, gw_batch_slice(b, m->name));
    else
        gw_buf_put_str(in->keys, name);
    end_part(in->keys, at);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool number_of(const struct gw_value *v, struct gw_agg_number *ret)
{
    ret->is_int = v->type == GW_V_INT || v->type == GW_V_BOOL;
    if (v->type == GW_V_INT)
        ret->i = v->i;
    else if (v->type == GW_V_DOUBLE)
        ret->d = v->f;
    else if (v->type == GW_V_BOOL)
        ret->i = v->b;
    else
        return v->type == GW_V_STRING && gw_parse_double(v->s, &ret->d);
    return true;
}

/* NULL, or why it has none. A point of a counter that goes on from its start says nothing by itself. Sessions do not
 * wait for such points to be in their order. */
static const char *point_value(struct gw_ru_input *in, uint32_t row, struct gw_ru_row *to)
{
    const struct gw_view *v = in->v;
    const struct gw_batch *b = v->batch;
    const struct gw_metric_desc *m = &b->metrics[b->metric[row]];
    struct gw_agg_number *ret = &to->value;

    if (b->number_type[row] == GW_N_HISTOGRAM || b->number_type[row] == GW_N_EXP_HISTOGRAM)
        return gw_ru_histogram_read(v, row, &to->histogram);
    if (b->number_type[row] != GW_N_INT && b->number_type[row] != GW_N_DOUBLE)
        return "not_a_number";
    ret->is_int = b->number_type[row] == GW_N_INT;
    ret->i = b->number[row].i64; /* or the double's bits */
    if (m->type == GW_M_SUM && m->monotonic && m->temporality == GW_T_CUMULATIVE)
        return in->all->has_sessions ? "cumulative" : gw_ru_count_read(in, row, to);
    return NULL;
}

static bool body_value(const struct gw_view *v, uint32_t row, const char *field, struct gw_agg_number *ret)
{
    struct gw_value body = gw_value_of(v->batch, v->batch->body_type[row], v->batch->body[row]), value;
    struct gw_slice rest = body.s, key;

    if (!*field)
        return number_of(&body, ret);
    if (body.type != GW_V_KVLIST)
        return false;
    while (gw_value_map_next(&rest, &key, &value))
        if (gw_slice_eq(key, gw_slice_cstr(field)))
            return number_of(&value, ret);
    return false;
}

static double seconds_of(const struct gw_batch *b, uint32_t row)
{
    return b->end_ns[row] > b->time_ns[row] ? (double)(b->end_ns[row] - b->time_ns[row]) / 1e9 : 0;
}

/* As text, so that a number and its text are one item. False: no memory. */
static bool read_item(const struct gw_ru_input *in, uint32_t row, struct gw_ru_row *to)
{
    struct gw_value v;

    to->item = (struct gw_slice){0};
    return !in->all->has_items || !gw_view_attr_get(in->v, GW_OWN_ROW, row, gw_slice_cstr(in->all->conf->item), &v) ||
           gw_value_text(&v, in->v->arena, &to->item);
}

static const char *value_of(struct gw_ru_input *in, uint32_t row, struct gw_ru_row *to)
{
    struct gw_agg_number *ret = &to->value;
    const struct gw_ru_value *c = &in->all->conf->value;
    const struct gw_batch *b = in->v->batch;
    struct gw_value value;
    int from = c->from;

    if (from == GW_RU_AUTO)
        from = b->signal == GW_METRICS ? GW_RU_METRIC : b->signal == GW_TRACES ? GW_RU_DURATION : GW_RU_COUNT;
    to->histogram = NULL;
    to->counter = NULL;
    *ret = (struct gw_agg_number){.is_int = true, .i = 1};
    if (from == GW_RU_METRIC)
        return point_value(in, row, to);
    if (from == GW_RU_DURATION)
        *ret = (struct gw_agg_number){.d = seconds_of(b, row)};
    else if (from == GW_RU_BODY)
        return body_value(in->v, row, c->name, ret) ? NULL : "no_value";
    else if (from == GW_RU_ATTRIBUTE)
        return gw_view_attr_get(in->v, GW_OWN_ROW, row, gw_slice_cstr(c->name), &value) && number_of(&value, ret)
                   ? NULL
                   : "no_value";
    return NULL;
}

/* A span belongs to the time of its end, when it could be told at the earliest. */
static uint64_t time_of(const struct gw_ru_input *in, uint32_t row)
{
    const struct gw_batch *b = in->v->batch;
    uint64_t at = b->signal == GW_TRACES ? b->end_ns[row] : b->time_ns[row];

    if (at == 0 && b->signal == GW_LOGS)
        at = b->observed_ns[row];
    return at ? at : in->now_ns;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static bool is_selected(struct gw_ru_input *in, uint32_t row)
{
    struct gw_err ignored;
    bool yes = true;

    if (in->where && gw_ottl_test(in->where, in->v, row, row, &yes, &ignored) < 0) {
        in->n_where_failed++;
        return false;
    }
    return yes;
}

static void refuse_future(struct gw_view *v, uint32_t row, uint64_t ahead_ns, struct gw_ports *out)
{
    char text[160];

    (void)snprintf(text, sizeof(text), "its time is %llu ms ahead of the clock here",
                   (unsigned long long)(ahead_ns / 1000000));
    gw_reject_row(out, v, row,
                  &(struct gw_reject){.rule = "timestamp_future", .field = "time_unix_nano", .message = text});
}

/* What is the same as of the row before is copied from there. */
static void put_key(struct gw_ru_input *in, uint32_t row, const struct gw_ru_row *before, uint32_t prefix)
{
    const struct gw_batch *b = in->v->batch;
    uint32_t scope = b->scope[row];
    bool same = before && b->scope[before->row] == scope &&
                (b->signal != GW_METRICS || b->metric[before->row] == b->metric[row]);
    size_t part;

    if (same && gw_buf_reserve(in->keys, prefix) == 0) {
        gw_buf_put(in->keys, in->keys->p + before->key_at, prefix);
        return;
    }
    part = begin_part(in->keys);
    put_attrs(in, &in->all->conf->keys.resource, GW_OWN_RESOURCE, b->scopes[scope].resource);
    end_part(in->keys, part);
    put_scope(in, scope);
    put_metric(in, row);
}

static void enlist(struct gw_ru_input *in, struct gw_ru_row *r)
{
    struct gw_slice key = {in->keys->p + r->key_at, r->key_bytes};
    unsigned shard = gw_ru_shard_of(gw_hash_stable(key));

    r->hash = gw_hash_table(key);
    r->next = in->heads[shard];
    in->heads[shard] = (uint32_t)(r - in->rows) + 1;
}

/* Rows go into a shard in the order in which they came. */
static void turn_round(struct gw_ru_input *in)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++) {
        uint32_t last = 0, at = in->heads[i];

        while (at) {
            uint32_t next = in->rows[at - 1].next;

            in->rows[at - 1].next = last;
            last = at;
            at = next;
        }
        in->heads[i] = last;
    }
}

/* What is to be known of a row before it has a key. False: it has none; then it was settled, or is left. */
static bool look_at(struct gw_ru_input *in, struct gw_view *v, uint32_t row, struct gw_ports *out,
                    struct gw_ru_row *ret)
{
    uint64_t at = time_of(in, row);
    const char *why;

    if (!is_selected(in, row))
        return false;
    if (at > in->now_ns && at - in->now_ns > in->all->conf->time.max_future_ns) {
        if (!in->comes_again)
            refuse_future(v, row, at - in->now_ns, out);
        return false;
    }
    why = read_item(in, row, ret) ? value_of(in, row, ret) : "memory_limit";
    if (!why && !ret->value.is_int && isnan(ret->value.d))
        why = "nan";
    if (why && (in->passes_on || in->comes_again))
        return false;
    if (why) {
        gw_view_settle_row(v, out->ledger, row, GW_DROPPED, why, NULL);
        return false;
    }
    ret->time_ns = at;
    ret->row = row;
    if (!gw_ru_samples_read(in, row, ret))
        in->keys->failed = true; /* all or nothing */
    in->top_ns = at > in->top_ns ? at : in->top_ns;
    return true;
}

bool gw_ru_input_read(struct gw_ru_input *in, struct gw_ports *out)
{
    struct gw_view *v = (struct gw_view *)(uintptr_t)in->v;
    const struct gw_batch *b = v->batch;
    const struct gw_ru_row *before = NULL;
    uint32_t prefix = 0;

    for (uint32_t row = gw_view_next(v, 0); row < b->n_rows; row = gw_view_next(v, row + 1)) {
        struct gw_ru_row *r = &in->rows[in->n_rows];

        if (!look_at(in, v, row, out, r))
            continue;
        r->key_at = (uint32_t)in->keys->n;
        put_key(in, row, before, prefix);
        prefix = (uint32_t)in->keys->n - r->key_at;
        put_attrs(in, &in->all->conf->keys.attributes, GW_OWN_ROW, row);
        if (in->keys->failed)
            return false;
        r->key_bytes = (uint32_t)in->keys->n - r->key_at;
        if (in->comes_again &&
            gw_ru_kept_covers(in->all->kept, (struct gw_slice){in->keys->p + r->key_at, r->key_bytes})) {
            before = NULL;
            continue;
        }
        in->n_rows++;
        before = r;
    }
    for (uint32_t i = 0; i < in->n_rows; i++)
        enlist(in, &in->rows[i]);
    turn_round(in);
    return true;
}

void gw_ru_input_only(struct gw_ru_input *in, uint32_t i)
{
    memset(in->heads, 0, sizeof(in->heads));
    enlist(in, &in->rows[i]);
}

bool gw_ru_input_overflow(struct gw_ru_input *in, struct gw_ru_row *r)
{
    struct gw_ru_key_parts p = gw_ru_key_split((struct gw_slice){in->keys->p + r->key_at, r->key_bytes});
    size_t metric_at = (size_t)(p.metric.p - in->keys->p), at = in->keys->n, part;

    if (in->all->kept)
        r->partition = gw_ru_kept_partition(in->all->kept, (struct gw_slice){in->keys->p + r->key_at, r->key_bytes});
    if (gw_buf_reserve(in->keys, p.metric.n + 12 + sizeof(overflow) + GW_RU_PARTITION_BYTES) < 0)
        return false;
    end_part(in->keys, begin_part(in->keys));
    end_part(in->keys, begin_part(in->keys));
    part = begin_part(in->keys);
    gw_buf_put(in->keys, in->keys->p + metric_at, p.metric.n);
    end_part(in->keys, part);
    gw_buf_put(in->keys, overflow, sizeof(overflow) - 1);
    if (in->all->kept)
        gw_ru_kept_name_partition(in->keys, r->partition);
    r->key_at = (uint32_t)at;
    r->key_bytes = (uint32_t)(in->keys->n - at);
    enlist(in, r);
    return true;
}
