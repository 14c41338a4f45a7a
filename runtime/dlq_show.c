/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator sees of dead letters. All of it may come from strangers (tenants, messages of sinks, bodies):
 * nothing that a terminal would obey, or that would break a line, gets through.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/json_writer.h"
#include "otlp-proto/json.h"
#include "otlp-proto/utf8.h"
#include "runtime/dlq.h"

enum { NS_A_SECOND = 1000000000, MAX_BODY_TEXT = 1 << 20, MAX_JSON = 256 << 20 };

/* ---- texts ------------------------------------------------------------------------------------------------ */

/* Length of the UTF-8 sequence that its first byte announces; 0: it cannot begin one. */
static size_t sequence_bytes(uint8_t c)
{
    return c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
}

static bool is_control(const uint8_t *p, size_t n)
{
    return (n == 1 && (*p < 0x20 || *p == 0x7f)) || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

/* Overrides of the direction of writing could show one thing and mean another. */
static bool is_bidi(const uint8_t *p, size_t n)
{
    return n == 3 && p[0] == 0xe2 &&
           ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) || (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

void gw_dlq_put_escaped(struct gw_buf *out, struct gw_slice text)
{
    for (size_t i = 0; i < text.n;) {
        const uint8_t *p = text.p + i;
        size_t n = sequence_bytes(*p);

        if (n == 0 || n > text.n - i || !gw_utf8_valid(p, n))
            n = 0;
        if (n && !is_control(p, n) && !is_bidi(p, n)) {
            gw_buf_put(out, p, n);
            i += n;
            continue;
        }
        for (size_t k = 0; k < (n ? n : 1); k++)
            gw_buf_printf(out, "\\x%02x", p[k]);
        i += n ? n : 1;
    }
}

/* One column: escaped, cut to `width` bytes and filled up; a cut is shown. Width 0: as long as it is. */
static void put_column(struct gw_buf *out, struct gw_slice text, size_t width)
{
    struct gw_buf b;

    gw_buf_init(&b, 1 << 20);
    gw_dlq_put_escaped(&b, text.n > 1024 ? gw_slice_of(text.p, 1024) : text);
    if (width == 0 || b.n <= width) {
        gw_buf_put_slice(out, gw_buf_slice(&b));
        for (size_t i = b.n; i < width; i++)
            gw_buf_put_u8(out, ' ');
    } else {
        size_t n = width - 1;

        while (n && (b.p[n] & 0xc0) == 0x80) /* not through a character */
            n--;
        gw_buf_put(out, b.p, n);
        gw_buf_put_str(out, "~");
        for (size_t i = n + 1; i < width; i++)
            gw_buf_put_u8(out, ' ');
    }
    gw_buf_clear(&b);
}

/* ---- times ------------------------------------------------------------------------------------------------ */

void gw_dlq_put_time(struct gw_buf *out, uint64_t wall_ns)
{
    time_t s = (time_t)(wall_ns / NS_A_SECOND);
    char text[40] = "";
    struct tm tm;

    if (gmtime_r(&s, &tm))
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    gw_buf_printf(out, "%s.%03uZ", text, (unsigned)(wall_ns % NS_A_SECOND / 1000000));
}

static bool parse_date(const char *text, uint64_t *ret_ns)
{
    struct tm tm = {0};
    const char *p = strptime(text, "%Y-%m-%d", &tm);
    uint64_t fraction = 0, unit = NS_A_SECOND;
    time_t s;

    if (p && *p == 'T')
        p = strptime(p, "T%H:%M:%S", &tm);
    if (p && *p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++)
            fraction += (uint64_t)(*p - '0') * (unit /= 10);
    if (!p || (*p && strcmp(p, "Z") != 0))
        return false;
    s = timegm(&tm);
    *ret_ns = (uint64_t)s * NS_A_SECOND + fraction;
    return s >= 0;
}

int gw_dlq_parse_time(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
    uint64_t ago;
    char *end;

    if (strlen(text) >= 10 && text[4] == '-')
        return parse_date(text, ret_ns) ? 0 : -EINVAL;
    if (strlen(text) >= 16 && strspn(text, "0123456789") == strlen(text)) {
        *ret_ns = strtoull(text, &end, 10);
        return 0;
    }
    if (gw_duration_parse(text, &ago) < 0)
        return -EINVAL;
    *ret_ns = ago < now_ns ? now_ns - ago : 0;
    return 0;
}

/* ---- the table -------------------------------------------------------------------------------------------- */

/* Ids are UUIDs of 36 bytes; times of 24. */
enum { ID_WIDTH = 37, TIME_WIDTH = 25, CLASS_WIDTH = 16, COMPONENT_WIDTH = 24, PIPELINE_WIDTH = 16, ROWS_WIDTH = 7 };

void gw_dlq_put_table_head(struct gw_buf *out)
{
    put_column(out, GW_SLICE("ID"), ID_WIDTH);
    put_column(out, GW_SLICE("TIME"), TIME_WIDTH);
    put_column(out, GW_SLICE("CLASS"), CLASS_WIDTH);
    put_column(out, GW_SLICE("COMPONENT"), COMPONENT_WIDTH);
    put_column(out, GW_SLICE("PIPELINE"), PIPELINE_WIDTH);
    put_column(out, GW_SLICE("ROWS"), ROWS_WIDTH);
    gw_buf_put_str(out, "REASON\n");
}

static void put_separated(struct gw_buf *out, struct gw_slice text, size_t width)
{
    put_column(out, text, width - 1);
    gw_buf_put_u8(out, ' ');
}

void gw_dlq_put_table_row(struct gw_buf *out, const struct gw_dlq_letter *l)
{
    struct gw_buf b;

    gw_buf_init(&b, 4096);
    put_separated(out, l->id, ID_WIDTH);
    gw_dlq_put_time(&b, l->time_ns);
    put_separated(out, gw_buf_slice(&b), TIME_WIDTH);
    put_separated(out, l->class_, CLASS_WIDTH);
    put_separated(out, l->component, COMPONENT_WIDTH);
    put_separated(out, l->pipeline.n ? l->pipeline : GW_SLICE("-"), PIPELINE_WIDTH);
    gw_buf_reset(&b);
    gw_buf_printf(&b, l->rows ? "%llu" : "-", (unsigned long long)l->rows);
    put_separated(out, gw_buf_slice(&b), ROWS_WIDTH);
    put_column(out, l->reason, 0);
    if (l->message.n && !gw_slice_eq(l->message, l->reason)) {
        gw_buf_put_str(out, ": ");
        put_column(out, l->message.n > 100 ? gw_slice_of(l->message.p, 100) : l->message, 0);
    }
    gw_buf_put_u8(out, '\n');
    gw_buf_clear(&b);
}

/* ---- JSON ------------------------------------------------------------------------------------------------- */

/* Bytes that are no text have no form in JSON: they are escaped as for a terminal. */
static void put_json_text(struct gw_buf *out, struct gw_slice text)
{
    struct gw_buf b;

    if (gw_utf8_valid(text.p, text.n)) {
        gw_json_put_string(out, text);
        return;
    }
    gw_buf_init(&b, 1 << 20);
    gw_dlq_put_escaped(&b, text);
    gw_json_put_string(out, gw_buf_slice(&b));
    gw_buf_clear(&b);
}

static void put_json_value(struct gw_buf *out, const struct gw_value *v)
{
    switch (v->type) {
    case GW_V_STRING:
    case GW_V_BYTES:
        put_json_text(out, v->s);
        break;
    case GW_V_INT:
        gw_json_put_i64(out, v->i);
        break;
    case GW_V_DOUBLE:
        gw_json_put_double(out, v->f);
        break;
    case GW_V_BOOL:
        gw_buf_put_str(out, v->b ? "true" : "false");
        break;
    case GW_V_EMPTY:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        gw_buf_put_str(out, "null");
        break;
    }
}

void gw_dlq_put_json_row(struct gw_buf *out, const struct gw_dlq_letter *l)
{
    struct gw_attr_iter it;
    struct gw_slice key;
    struct gw_value v;
    bool first = true;

    gw_buf_put_u8(out, '{');
    gw_view_attr_begin(l->view, GW_OWN_ROW, 0, &it);
    while (gw_view_attr_next(&it, &key, &v)) {
        gw_buf_put_str(out, first ? "" : ",");
        put_json_text(out, key);
        gw_buf_put_u8(out, ':');
        put_json_value(out, &v);
        first = false;
    }
    gw_buf_put_str(out, "}\n");
}

/* ---- one letter ------------------------------------------------------------------------------------------- */

static void put_value(struct gw_buf *out, struct gw_slice key, const struct gw_value *v)
{
    bool is_time = gw_slice_is(key, "dlq.first") || gw_slice_is(key, "dlq.time");

    if (v->type == GW_V_STRING || v->type == GW_V_BYTES)
        gw_dlq_put_escaped(out, v->s);
    else
        put_json_value(out, v);
    if (is_time && v->type == GW_V_INT) {
        gw_buf_put_str(out, "  ");
        gw_dlq_put_time(out, (uint64_t)v->i);
    }
    gw_buf_put_u8(out, '\n');
}

static bool put_decoded(struct gw_buf *out, const struct gw_dlq_letter *l)
{
    struct gw_buf json;
    bool ok;

    if (!l->signal || !l->body.n || !gw_slice_is(l->encoding, "application/x-protobuf") || l->whole_bytes)
        return false;
    gw_buf_init(&json, MAX_JSON);
    ok = gw_proto_to_json(l->signal, l->body, &json) == 0;
    if (ok) {
        gw_dlq_put_escaped(out, gw_buf_slice(&json));
        gw_buf_put_u8(out, '\n');
    }
    gw_buf_clear(&json);
    return ok;
}

void gw_dlq_put_whole(struct gw_buf *out, const struct gw_dlq_letter *l)
{
    struct gw_attr_iter it;
    struct gw_slice key, body = l->body;
    struct gw_value v;

    gw_view_attr_begin(l->view, GW_OWN_ROW, 0, &it);
    while (gw_view_attr_next(&it, &key, &v)) {
        put_separated(out, key, 16);
        put_value(out, key, &v);
    }
    gw_buf_printf(out, "\nbody (%zu bytes)\n", body.n);
    if (put_decoded(out, l))
        return;
    if (body.n > MAX_BODY_TEXT)
        body.n = MAX_BODY_TEXT;
    gw_dlq_put_escaped(out, body);
    gw_buf_put_str(out, body.n < l->body.n ? "...\n" : "\n");
}
