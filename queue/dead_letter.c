/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written by hand, because there is nothing to it: four nested messages whose lengths are known from the inside out.
 *
 *   ExportLogsServiceRequest.resource_logs(1) > ResourceLogs.scope_logs(2) > ScopeLogs.log_records(2) > LogRecord
 */
#include "queue/dead_letter.h"

#include "otlp-proto/utf8.h"

enum { MAX_VALUE_BYTES = 256, MAX_RECORD_BYTES = 1u << 30 };

static void put_varint(struct gw_buf *b, uint64_t v)
{
    while (v >= 0x80) {
        gw_buf_put_u8(b, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    gw_buf_put_u8(b, (uint8_t)v);
}

static unsigned varint_bytes(uint64_t v)
{
    unsigned n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/* field number and wire type 2 */
static void put_bytes(struct gw_buf *b, unsigned field, struct gw_slice s)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, s.n);
    gw_buf_put_slice(b, s);
}

static void put_fixed64(struct gw_buf *b, unsigned field, uint64_t v)
{
    put_varint(b, field << 3 | 1);
    gw_buf_put(b, &v, sizeof(v)); /* little endian, as this machine */
}

/* LogRecord.attributes (6): KeyValue{key 1, value 2: AnyValue} whose AnyValue bytes are given. */
static void put_attr(struct gw_buf *b, const char *key, struct gw_slice any)
{
    size_t k = strlen(key), n = 1 + varint_bytes(k) + k + 1 + varint_bytes(any.n) + any.n;

    put_varint(b, 6 << 3 | 2);
    put_varint(b, n);
    put_bytes(b, 1, gw_slice_cstr(key));
    put_bytes(b, 2, any);
}

/* What was put together on the side: without memory for it the letter is none. */
static void put_made_attr(struct gw_buf *b, const struct gw_buf *tmp, const char *key)
{
    b->failed |= tmp->failed;
    put_attr(b, key, gw_buf_slice(tmp));
}

static void put_string_attr(struct gw_buf *b, struct gw_buf *tmp, const char *key, struct gw_slice value, bool is_text)
{
    if (value.n == 0)
        return;
    gw_buf_reset(tmp);
    put_bytes(tmp, is_text ? 1 : 7, value); /* AnyValue: string_value 1, bytes_value 7 */
    put_made_attr(b, tmp, key);
}

/* A sink's own words may be no UTF-8; then they are kept as bytes, because a string would be refused everywhere. */
static void put_text_attr(struct gw_buf *b, struct gw_buf *tmp, const char *key, const char *value)
{
    struct gw_slice s = gw_slice_cstr(value);

    put_string_attr(b, tmp, key, s, gw_utf8_valid(s.p, s.n));
}

static void put_int_attr(struct gw_buf *b, struct gw_buf *tmp, const char *key, uint64_t v)
{
    if (v == 0)
        return;
    gw_buf_reset(tmp);
    put_varint(tmp, 3 << 3); /* int_value */
    put_varint(tmp, v);
    put_made_attr(b, tmp, key);
}

/* uuid7: 48 bits of milliseconds, then random ones, so that dead letters sort by time. */
static void put_id_attr(struct gw_env *env, struct gw_buf *b, struct gw_buf *tmp)
{
    uint64_t ms = gw_wall_ns(env) / 1000000u, a = gw_random_u64(env), c = gw_random_u64(env);
    struct gw_buf text;

    gw_buf_init(&text, 64);
    gw_buf_printf(&text, "%08llx-%04llx-7%03llx-%04llx-%012llx", (unsigned long long)(ms >> 16),
                  (unsigned long long)(ms & 0xffff), (unsigned long long)(a & 0xfff),
                  (unsigned long long)((a >> 12 & 0x3fff) | 0x8000), (unsigned long long)(c & 0xffffffffffff));
    put_string_attr(b, tmp, "dlq.id", gw_buf_slice(&text), /* is_text= */ true);
    b->failed |= text.failed;
    gw_buf_clear(&text);
}

struct gw_slice gw_dead_letter_chain(const struct gw_meta *m)
{
    const size_t most = GW_DEAD_LETTER_CHAIN_MAX * (GW_DEAD_LETTER_ID_BYTES + 1);
    struct gw_slice chain;

    /* A client may send a header of that name: whatever it holds, it is short. */
    if (!m || !m->n_pairs || !gw_meta_find(m, GW_DEAD_LETTER_CHAIN, 0, &chain) || chain.n > most ||
        !gw_utf8_valid(chain.p, chain.n))
        return (struct gw_slice){NULL, 0};
    return chain;
}

/* otlp-grpc://127.0.0.1:5678; what is not known is left out. */
static void put_source_attr(struct gw_buf *b, struct gw_buf *tmp, const struct gw_dead_letter *d)
{
    struct gw_buf text;

    gw_buf_init(&text, MAX_RECORD_BYTES);
    gw_buf_put_str(&text, d->receiver ? d->receiver : "");
    if (d->meta && d->meta->transport)
        gw_buf_printf(&text, "%s%s", text.n ? "-" : "", d->meta->transport);
    if (d->meta && d->meta->peer.n)
        gw_buf_printf(&text, "://%.*s", (int)d->meta->peer.n, (const char *)d->meta->peer.p);
    put_string_attr(b, tmp, "dlq.src", gw_buf_slice(&text), gw_utf8_valid(text.p, text.n));
    b->failed |= text.failed;
    gw_buf_clear(&text);
}

static void put_attrs(struct gw_env *env, const struct gw_dead_letter *d, struct gw_buf *b, struct gw_buf *tmp)
{
    struct gw_slice value = d->value;
    char code[16];

    value.n = value.n > MAX_VALUE_BYTES ? MAX_VALUE_BYTES : value.n;
    put_int_attr(b, tmp, "dlq.v", 1);
    put_id_attr(env, b, tmp);
    put_text_attr(b, tmp, "dlq.class", d->class_);
    if (d->code) {
        struct gw_buf t;

        gw_buf_init(&t, sizeof(code));
        gw_buf_printf(&t, "%d", d->code);
        put_string_attr(b, tmp, "dlq.code", gw_buf_slice(&t), /* is_text= */ true);
        b->failed |= t.failed;
        gw_buf_clear(&t);
    }
    put_text_attr(b, tmp, "dlq.reason", d->reason);
    put_text_attr(b, tmp, "dlq.message", d->message);
    put_text_attr(b, tmp, "dlq.component", d->component);
    put_text_attr(b, tmp, "dlq.pipeline", d->pipeline);
    put_text_attr(b, tmp, "dlq.receiver", d->receiver);
    put_text_attr(b, tmp, "dlq.build", GW_VERSION);
    put_text_attr(b, tmp, "dlq.cfg", d->config);
    put_text_attr(b, tmp, "dlq.enc", d->encoding ? d->encoding : "application/x-protobuf");
    put_source_attr(b, tmp, d);
    put_text_attr(b, tmp, "dlq.rule", d->rule);
    put_text_attr(b, tmp, "dlq.field", d->field);
    put_string_attr(b, tmp, "dlq.value", value, /* is_text= */ false);
    put_text_attr(b, tmp, "dlq.signal", gw_signal_name(d->signal));
    put_int_attr(b, tmp, "dlq.rows", d->rows);
    put_int_attr(b, tmp, "dlq.rejected", d->rejected);
    put_int_attr(b, tmp, "dlq.attempt", d->attempts);
    put_int_attr(b, tmp, "dlq.first", d->first_ns);
    put_int_attr(b, tmp, "dlq.time", d->last_ns);
    put_int_attr(b, tmp, "dlq.bytes", d->whole_bytes);
    put_string_attr(b, tmp, "dlq.chain", gw_dead_letter_chain(d->meta), /* is_text= */ true);
    if (d->meta) {
        put_string_attr(b, tmp, "dlq.tenant", d->meta->tenant, gw_utf8_valid(d->meta->tenant.p, d->meta->tenant.n));
        put_string_attr(b, tmp, "dlq.peer", d->meta->peer, /* is_text= */ true);
        put_text_attr(b, tmp, "dlq.transport", d->meta->transport);
    }
}

static size_t nested(size_t n)
{
    return 1 + varint_bytes(n) + n;
}

void gw_dead_letter_put(struct gw_env *env, const struct gw_dead_letter *d, struct gw_buf *out)
{
    struct gw_rope body = d->rope.n_parts ? d->rope : gw_rope_of(&d->body);
    struct gw_buf record, tmp;
    size_t any = nested(body.n), scope, resource;

    gw_buf_init(&record, MAX_RECORD_BYTES);
    gw_buf_init(&tmp, MAX_RECORD_BYTES);
    put_fixed64(&record, 1, d->last_ns); /* time_unix_nano */
    put_varint(&record, 2 << 3);         /* severity_number: ERROR */
    put_varint(&record, 17);
    put_varint(&record, 5 << 3 | 2); /* body: AnyValue{bytes_value} */
    put_varint(&record, any);
    put_varint(&record, 7 << 3 | 2);
    put_varint(&record, body.n);
    gw_buf_put_rope(&record, body);
    put_attrs(env, d, &record, &tmp);
    put_fixed64(&record, 11, d->last_ns); /* observed_time_unix_nano */
    scope = nested(record.n);
    resource = nested(scope);
    put_varint(out, 1 << 3 | 2);
    put_varint(out, resource);
    put_varint(out, 2 << 3 | 2);
    put_varint(out, scope);
    put_varint(out, 2 << 3 | 2);
    put_varint(out, record.n);
    gw_buf_put_slice(out, gw_buf_slice(&record));
    out->failed |= record.failed;
    gw_buf_clear(&record);
    gw_buf_clear(&tmp);
}
