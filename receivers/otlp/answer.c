/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few small messages that go back, by hand: Export…ServiceResponse and google.rpc.Status with RetryInfo (14) or
 * BadRequest (3), as protobuf and as JSON.
 */
#include "receivers/otlp/otlp.h"

#define RETRY_INFO  "type.googleapis.com/google.rpc.RetryInfo"
#define BAD_REQUEST "type.googleapis.com/google.rpc.BadRequest"

static const uint64_t SECOND_NS = 1000000000u;

enum gw_otlp_outcome gw_otlp_outcome_of(const struct gw_verdict *v)
{
    if (v->grpc_status == 0)
        return GW_OTLP_SUCCESS;
    return v->grpc_status == GW_UNAVAILABLE ? GW_OTLP_REFUSED : GW_OTLP_FAILURE;
}

uint64_t gw_otlp_delay_ns(const struct gw_verdict *v)
{
    if (v->grpc_status != GW_UNAVAILABLE)
        return 0;
    return v->retry_after_ns ? v->retry_after_ns : SECOND_NS;
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), or 0. */
static size_t utf8_len(const uint8_t *p)
{
    static const struct {
        uint8_t lo, hi, n, second_lo, second_hi;
    } t[] = {{0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
             {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
             {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f}};

    if (*p < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (*p < t[i].lo || *p > t[i].hi)
            continue;
        if (p[1] < t[i].second_lo || p[1] > t[i].second_hi)
            return 0;
        for (size_t k = 2; k < t[i].n; k++)
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        return t[i].n;
    }
    return 0;
}

/* A message may quote the client's bytes: what is no UTF-8 (or was cut in half) becomes '?'. */
static size_t clean(const char *message, char *out, size_t size)
{
    const uint8_t *p = (const uint8_t *)message;
    size_t n = 0, k;

    for (; p && *p && n + 4 < size; p += k ? k : 1) {
        k = utf8_len(p);
        if (k == 0)
            out[n++] = '?';
        for (size_t i = 0; i < k; i++)
            out[n++] = (char)p[i];
    }
    return n;
}

/* ---- protobuf --------------------------------------------------------------------------------------------- */

static void put_varint(struct gw_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 128));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void put_number(struct gw_buf *b, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    put_varint(b, field << 3);
    put_varint(b, v);
}

static void put_bytes(struct gw_buf *b, unsigned field, struct gw_slice s)
{
    if (s.n == 0)
        return;
    put_varint(b, field << 3 | 2);
    put_varint(b, s.n);
    gw_buf_put_slice(b, s);
}

/* Room of its own for a nested message: all of them are short. */
enum { NESTED_BYTES = 1024 };

static struct gw_buf nested(uint8_t *room)
{
    return (struct gw_buf){.p = room, .cap = NESTED_BYTES, .max_bytes = NESTED_BYTES};
}

static void put_any(struct gw_buf *b, const char *type, struct gw_slice value)
{
    uint8_t room[NESTED_BYTES];
    struct gw_buf any = nested(room);

    put_bytes(&any, 1, gw_slice_cstr(type));
    put_bytes(&any, 2, value);
    put_bytes(b, 3, gw_buf_slice(&any));
}

static void put_status_proto(struct gw_buf *b, const struct gw_verdict *v, struct gw_slice message)
{
    uint8_t room[NESTED_BYTES], room2[NESTED_BYTES];
    struct gw_buf inner = nested(room), detail = nested(room2);
    uint64_t delay = gw_otlp_delay_ns(v);

    put_number(b, 1, (uint64_t)v->grpc_status);
    put_bytes(b, 2, message);
    if (delay) {
        put_number(&inner, 1, delay / SECOND_NS);
        put_number(&inner, 2, delay % SECOND_NS);
        put_bytes(&detail, 1, gw_buf_slice(&inner));
        put_any(b, RETRY_INFO, gw_buf_slice(&detail));
    } else if (v->grpc_status == GW_INVALID_ARGUMENT) {
        put_bytes(&inner, 1, GW_SLICE("body"));
        put_bytes(&inner, 2, message);
        put_bytes(&detail, 1, gw_buf_slice(&inner));
        put_any(b, BAD_REQUEST, gw_buf_slice(&detail));
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------------- */

static void put_string(struct gw_buf *b, struct gw_slice s)
{
    gw_buf_put_u8(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') {
            gw_buf_put_u8(b, '\\');
            gw_buf_put_u8(b, s.p[i]);
        } else if (s.p[i] < 0x20) {
            gw_buf_printf(b, "\\u%04x", s.p[i]);
        } else {
            gw_buf_put_u8(b, s.p[i]);
        }
    }
    gw_buf_put_u8(b, '"');
}

static void put_status_json(struct gw_buf *b, const struct gw_verdict *v, struct gw_slice message)
{
    uint64_t delay = gw_otlp_delay_ns(v);

    gw_buf_printf(b, "{\"code\":%d,\"message\":", v->grpc_status);
    put_string(b, message);
    if (delay) {
        gw_buf_put_str(b, ",\"details\":[{\"@type\":\"" RETRY_INFO "\",\"retryDelay\":\"");
        gw_buf_printf(b, "%llu", (unsigned long long)(delay / SECOND_NS));
        if (delay % SECOND_NS)
            gw_buf_printf(b, ".%09llu", (unsigned long long)(delay % SECOND_NS));
        gw_buf_put_str(b, "s\"}]");
    } else if (v->grpc_status == GW_INVALID_ARGUMENT) {
        gw_buf_put_str(b, ",\"details\":[{\"@type\":\"" BAD_REQUEST "\",\"fieldViolations\":[{\"field\":\"body\","
                          "\"description\":");
        put_string(b, message);
        gw_buf_put_str(b, "}]}]");
    }
    gw_buf_put_u8(b, '}');
}

/* ---- out -------------------------------------------------------------------------------------------------- */

void gw_otlp_put_status(struct gw_buf *b, const struct gw_verdict *v, bool json)
{
    char text[256];
    struct gw_slice message = gw_slice_of(text, clean(v->message, text, sizeof(text)));

    if (json)
        put_status_json(b, v, message);
    else
        put_status_proto(b, v, message);
}

static const char *rejected_key(enum gw_signal s)
{
    return s == GW_TRACES ? "rejectedSpans" : s == GW_METRICS ? "rejectedDataPoints" : "rejectedLogRecords";
}

void gw_otlp_put_response(struct gw_buf *b, const struct gw_verdict *v, bool json)
{
    char text[256];
    struct gw_slice message = gw_slice_of(text, clean(v->message, text, sizeof(text)));
    bool partial = v->rejected > 0 || message.n > 0;
    uint8_t room[NESTED_BYTES];
    struct gw_buf inner = nested(room);

    if (!json) {
        put_number(&inner, 1, v->rejected);
        put_bytes(&inner, 2, message);
        put_bytes(b, 1, gw_buf_slice(&inner));
    } else if (!partial) {
        gw_buf_put(b, "{}", 2);
    } else {
        gw_buf_printf(b, "{\"partialSuccess\":{\"%s\":\"%u\",\"errorMessage\":", rejected_key(v->signal), v->rejected);
        put_string(b, message);
        gw_buf_put(b, "}}", 2);
    }
}
