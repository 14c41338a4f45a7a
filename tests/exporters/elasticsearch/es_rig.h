/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies, and servers that answer: what the tests of the elasticsearch exporter share. Included once per program. */
#ifndef GW_TESTS_ES_RIG_H
#define GW_TESTS_ES_RIG_H

#include "tests/harness_exporter.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/compress.h"
#include "otlp-proto/decode.h"

static struct gw_rig r;
static struct gw_buf body;

/* ---- bodies: enough protobuf to write one ------------------------------------------------------------------- */

static inline void put_field(struct gw_buf *b, unsigned number, struct gw_slice s)
{
    uint8_t head[6];
    size_t n = 0, len = s.n;

    head[n++] = (uint8_t)(number << 3 | 2);
    for (; len >= 128; len >>= 7)
        head[n++] = (uint8_t)(len | 0x80);
    head[n++] = (uint8_t)len;
    gw_buf_put(b, head, n);
    gw_buf_put_slice(b, s);
}

static inline void wrap(struct gw_buf *out, unsigned number, struct gw_buf *inner)
{
    put_field(out, number, gw_buf_slice(inner));
    gw_buf_clear(inner);
}

static inline struct gw_buf new_buf(void)
{
    struct gw_buf b;

    gw_buf_init(&b, 256 << 20);
    return b;
}

/** A record with that text for a body, and an attribute u = 7. */
static inline void put_record(struct gw_buf *scope, const char *text)
{
    struct gw_buf row = new_buf(), value = new_buf(), kv = new_buf(), seven = new_buf();

    put_field(&value, 1, gw_slice_cstr(text));
    wrap(&row, 5, &value);
    put_field(&kv, 1, GW_SLICE("u"));
    gw_buf_put(&seven, "\x18\x07", 2); /* int_value: 7 */
    wrap(&kv, 2, &seven);
    wrap(&row, 6, &kv);
    wrap(scope, 2, &row);
}

/** A span of that name with n events. */
static inline void put_span(struct gw_buf *scope, const char *name, unsigned n_events)
{
    struct gw_buf row = new_buf();

    put_field(&row, 1, GW_SLICE("0123456789abcdef"));
    put_field(&row, 2, GW_SLICE("01234567"));
    put_field(&row, 5, gw_slice_cstr(name));
    for (unsigned i = 0; i < n_events; i++) {
        struct gw_buf event = new_buf();

        put_field(&event, 2, GW_SLICE("an event"));
        wrap(&row, 11, &event);
    }
    wrap(scope, 2, &row);
}

static inline void begin_body(struct gw_buf *scope)
{
    gw_buf_clear(&body);
    body = new_buf();
    *scope = new_buf();
}

static inline void end_body(struct gw_buf *scope)
{
    struct gw_buf outer = new_buf();

    wrap(&outer, 2, scope);
    wrap(&body, 1, &outer);
}

/** n records with the bodies m0, m1, … in `body`. */
static inline void make_records(unsigned n)
{
    struct gw_buf scope;
    char text[32];

    begin_body(&scope);
    for (unsigned i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "m%u.", i);
        put_record(&scope, text);
    }
    end_body(&scope);
}

static inline void send_records(unsigned n)
{
    make_records(n);
    gw_rig_send(&r, GW_LOGS, gw_buf_slice(&body), n);
}

static inline void send_records_of(const char *const *texts, unsigned n)
{
    struct gw_buf scope;

    begin_body(&scope);
    for (unsigned i = 0; i < n; i++)
        put_record(&scope, texts[i]);
    end_body(&scope);
    gw_rig_send(&r, GW_LOGS, gw_buf_slice(&body), n);
}

/* ---- what was sent ------------------------------------------------------------------------------------------ */

/** How often a text stands in another. */
static inline unsigned count_of(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
        n++;
    return n;
}

/** The last thing that was sent, which must be the i-th. */
static inline struct gw_rig_sent *last(unsigned i)
{
    assert_int_equal(r.n_sent, i + 1);
    return gw_rig_sent(&r, i);
}

static inline unsigned docs_in(const struct gw_rig_sent *s)
{
    const char *encoding = gw_rig_header(s, "Content-Encoding");
    struct gw_buf text = new_buf();
    unsigned lines = 0;

    assert_int_equal(gw_decompress(encoding ? GW_GZIP : GW_IDENTITY, gw_slice_of(s->body, s->n_body), &text, NULL), 0);
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    gw_buf_clear(&text);
    assert_int_equal(lines % 2, 0);
    return lines / 2;
}

/** Does the i-th request hold exactly these records, in this order? "m1. m3." */
static inline void holds(unsigned i, const char *records)
{
    const char *at = (const char *)gw_rig_sent(&r, i)->body;
    char text[32];
    unsigned n = 0;

    for (const char *p = records; *p; n++) {
        size_t len = strcspn(p, " ");

        snprintf(text, sizeof(text), "\"%.*s\"", (int)len, p);
        at = strstr(at, text);
        if (!at)
            fail_msg("%s is not at its place in %s", text, (const char *)r.sent[i].body);
        at += strlen(text);
        p += len + (p[len] == ' ');
    }
    assert_int_equal(docs_in(&r.sent[i]), n);
}

/* ---- servers ------------------------------------------------------------------------------------------------ */

#define OPENSEARCH "{\"version\":{\"distribution\":\"opensearch\",\"number\":\"3.8.0\"}}"

/** Answers with these statuses, one a document: "201 429 400". */
static inline void answer(unsigned i, const char *statuses)
{
    struct gw_buf b = new_buf();

    gw_buf_put_str(&b, "{\"items\":[");
    for (const char *p = statuses; *p; p += strcspn(p, " ") + (p[strcspn(p, " ")] == ' ')) {
        int status = atoi(p);

        gw_buf_printf(&b, "%s{\"create\":{\"status\":%d", p == statuses ? "" : ",", status);
        if (status >= 300)
            gw_buf_printf(&b, ",\"error\":{\"type\":\"error_%d\",\"reason\":\"because of %d\"}", status, status);
        gw_buf_put_str(&b, "}}");
    }
    gw_buf_put_str(&b, "]}");
    gw_rig_http(&r, i, 200, NULL, gw_buf_slice(&b));
    gw_buf_clear(&b);
}

/** 201 for every document of the i-th request. */
static inline void answer_well(unsigned i)
{
    struct gw_buf b = new_buf();
    unsigned n = docs_in(gw_rig_sent(&r, i));

    gw_buf_put_str(&b, "{\"items\":[");
    for (unsigned k = 0; k < n; k++)
        gw_buf_printf(&b, "%s{\"create\":{\"status\":201}}", k ? "," : "");
    gw_buf_put_str(&b, "]}");
    gw_rig_http(&r, i, 200, NULL, gw_buf_slice(&b));
    gw_buf_clear(&b);
}

/** Open with these settings, and one attempt behind us: the server is known. */
static inline void open_es(const char *yaml)
{
    gw_rig_open(&r, "elasticsearch", yaml);
    send_records(1);
    gw_rig_http(&r, 0, 200, NULL, GW_SLICE(OPENSEARCH));
    answer_well(1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
}

static inline void close_es(void);

/** How long one record's lines are: what sizes are reckoned by. */
static inline size_t bytes_of_a_document(void)
{
    size_t n;

    open_es("{compression: none, endpoint: http://es}");
    send_records(1);
    n = r.sent[0].n_body;
    answer_well(0);
    close_es();
    return n;
}

static inline void close_es(void)
{
    gw_rig_close(&r);
    gw_buf_clear(&body);
}

static const uint64_t SECOND = 1000000000, TICK = 2000000; /* a timer may be late by a tick of the loop's wheel */

static inline void pass(uint64_t ns)
{
    r.mono_ns += ns + TICK;
    gw_loop_turn(r.loop, 0);
}

/** The attempt is over, and all of it delivered but what is dead. */
static inline void is_done(unsigned n_dead)
{
    assert_int_equal(r.done, 1);
    assert_int_equal(r.info.sent, GW_SENT_OK);
    assert_int_equal(r.n_dead, n_dead);
}

static inline unsigned rows_in(enum gw_signal signal, const uint8_t *p, size_t n)
{
    uint32_t rows;

    assert_int_equal(gw_count_rows(signal, gw_slice_of(p, n), &rows), 0);
    return rows;
}

/** Is that text in those bytes? */
static inline bool has_text(const uint8_t *p, size_t n, const char *text)
{
    return memmem(p, n, text, strlen(text)) != NULL;
}

#endif
