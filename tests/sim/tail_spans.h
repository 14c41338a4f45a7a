/* SPDX-License-Identifier: Apache-2.0 */
/* Spans for simulations of tail sampling: their name is their start and end, so that gw_test_names tells them apart. */
#ifndef GW_TESTS_SIM_TAIL_SPANS_H
#define GW_TESTS_SIM_TAIL_SPANS_H

#include <string.h>

#include "core/buf.h"
#include "tests/harness.h"

enum { TAIL_ERROR = 1, TAIL_MARKED = 2, TAIL_ROOT = 4 };

struct tail_span {
    uint64_t name;
    unsigned trace, flags;
    unsigned link;    /* to this trace, + 1; 0: none */
    unsigned padding; /* bytes of an attribute */
    bool no_id;       /* its trace id is zeros */
};

static inline void tail_trace_id(unsigned trace, uint64_t ret[2])
{
    uint64_t seed = trace + 1;

    ret[0] = gw_test_random(&seed);
    ret[1] = gw_test_random(&seed);
}

/* A field's tag and length; what is in it follows. */
static inline void tail_put_head(struct gw_buf *b, uint8_t field, size_t n)
{
    gw_buf_put_u8(b, (uint8_t)(field << 3 | 2));
    for (; n >= 128; n >>= 7)
        gw_buf_put_u8(b, (uint8_t)(n | 128));
    gw_buf_put_u8(b, (uint8_t)n);
}

/* `inner` is cleared. */
static inline void tail_put_level(struct gw_buf *b, uint8_t field, struct gw_buf *inner)
{
    tail_put_head(b, field, inner->n);
    gw_buf_put_slice(b, gw_buf_slice(inner));
    gw_buf_clear(inner);
}

static inline void tail_put_text(struct gw_buf *b, uint8_t field, const char *text)
{
    tail_put_head(b, field, strlen(text));
    gw_buf_put(b, text, strlen(text));
}

static inline void tail_put_attribute(struct gw_buf *b, const char *key, const char *value)
{
    struct gw_buf text, attribute;

    gw_buf_init(&text, 1 << 20);
    gw_buf_init(&attribute, 1 << 20);
    tail_put_text(&text, 1, value);
    tail_put_text(&attribute, 1, key);
    tail_put_level(&attribute, 2, &text);
    tail_put_level(b, 9, &attribute);
}

static inline void tail_put_padding(struct gw_buf *b, unsigned n)
{
    static char text[1 << 16];

    if (!n)
        return;
    memset(text, 'p', sizeof(text));
    text[n < sizeof(text) ? n : sizeof(text) - 1] = 0;
    tail_put_attribute(b, "padding", text);
}

static inline void tail_put_link(struct gw_buf *b, unsigned trace)
{
    uint64_t id[2];

    tail_trace_id(trace, id);
    tail_put_head(b, 13, 28);
    gw_buf_put(b, "\x0a\x10", 2);
    gw_buf_put(b, id, 16);
    gw_buf_put(b, "\x12\x08linkspan", 10);
}

static inline void tail_put_span(struct gw_buf *b, const struct tail_span *s)
{
    uint64_t id[2] = {0, 0}, span = s->name + 1;

    if (!s->no_id)
        tail_trace_id(s->trace, id);
    gw_buf_put(b, "\x0a\x10", 2); /* trace_id */
    gw_buf_put(b, id, 16);
    gw_buf_put(b, "\x12\x08", 2); /* span_id */
    gw_buf_put(b, &span, 8);
    if (!(s->flags & TAIL_ROOT))
        gw_buf_put(b, "\x22\x08parentid", 10);
    gw_buf_put_u8(b, 7 << 3 | 1); /* start, and end */
    gw_buf_put(b, &s->name, 8);
    gw_buf_put_u8(b, 8 << 3 | 1);
    gw_buf_put(b, &s->name, 8);
    if (s->flags & TAIL_MARKED)
        tail_put_attribute(b, "keep", "yes");
    tail_put_padding(b, s->padding);
    if (s->link)
        tail_put_link(b, s->link - 1);
    if (s->flags & TAIL_ERROR)
        gw_buf_put(b, "\x7a\x02\x18\x02", 4);
}

/* One resource, one scope. */
static inline void tail_put_request(struct gw_buf *b, const struct tail_span *spans, unsigned n)
{
    struct gw_buf row, scope, resource;

    gw_buf_init(&scope, 16 << 20);
    gw_buf_init(&resource, 16 << 20);
    for (unsigned i = 0; i < n; i++) {
        gw_buf_init(&row, 1 << 20);
        tail_put_span(&row, &spans[i]);
        tail_put_level(&scope, 2, &row);
    }
    tail_put_level(&resource, 2, &scope);
    tail_put_level(b, 1, &resource);
}

#endif
