/* SPDX-License-Identifier: Apache-2.0 */
/* Batches made by hand, for tests that want columns and no decoder. */
#ifndef GW_TESTS_BATCH_HAND_H
#define GW_TESTS_BATCH_HAND_H

#include "batch/view.h"
#include "tests/harness.h"

/* A ticket that counts its posts and releases. */
struct hand_ticket {
    struct gw_ticket t;
    unsigned posts, releases;
};
static inline void hand_post(struct gw_ticket *t)
{
    ((struct hand_ticket *)t)->posts++;
}
static inline void hand_release(struct gw_ticket *t)
{
    ((struct hand_ticket *)t)->releases++;
}
static inline void hand_ticket_init(struct hand_ticket *h, uint32_t rows)
{
    *h = (struct hand_ticket){.t = {.rows = rows, .open = rows, .refs = 1, .post = hand_post, .release = hand_release}};
}

static inline struct gw_ref hand_text(struct gw_batch *b, const char *s)
{
    struct gw_ref r;

    assert_int_equal(gw_batch_append(b, gw_slice_cstr(s), &r), 0);
    return r;
}

/* The KeyValue { key, string } on the wire, and its row in attrs[]. Texts of at most 100 bytes. */
static inline void hand_attr(struct gw_batch *b, const char *key, const char *value)
{
    size_t k = strlen(key), n = strlen(value);
    uint8_t kv[256] = {0x4a, (uint8_t)(k + n + 6), 0x0a, (uint8_t)k};
    struct gw_ref r;

    memcpy(kv + 4, key, k);
    memcpy(kv + 4 + k, (uint8_t[]){0x12, (uint8_t)(n + 2), 0x0a, (uint8_t)n}, 4);
    memcpy(kv + 8 + k, value, n);
    assert_int_equal(gw_batch_append(b, gw_slice_of(kv, k + n + 8), &r), 0);
    assert_int_equal(gw_batch_reserve_attrs(b, 1), 0);
    b->attrs[b->n_attrs++] = (struct gw_attr){
        .kv_off = r.off,
        .klen = (uint16_t)k,
        .kdelta = 4,
        .type = GW_V_STRING,
        .val.ref = {r.off + 8 + (uint32_t)k, (uint32_t)n},
    };
}

/* One segment with one resource (service.name = shop), one scope and `rows` rows of {a=1, b=2, c=3}. */
static inline void hand_segment(struct gw_batch *b, uint32_t rows, struct gw_ticket *ticket)
{
    struct gw_segment seg = {.ticket = ticket ? gw_ticket_ref(ticket) : NULL,
                             .rows = {b->n_rows, b->n_rows + rows},
                             .resources = {b->n_resources, b->n_resources + 1},
                             .scopes = {b->n_scopes, b->n_scopes + 1}};
    uint32_t attrs = b->n_attrs;

    assert_int_equal(gw_batch_reserve_rows(b, rows), 0);
    assert_int_equal(
        gw_batch_reserve_table(b, (void **)&b->segments, b->n_segments, &b->cap_segments, sizeof(*b->segments), 1), 0);
    assert_int_equal(
        gw_batch_reserve_table(b, (void **)&b->resources, b->n_resources, &b->cap_resources, sizeof(*b->resources), 1),
        0);
    assert_int_equal(gw_batch_reserve_table(b, (void **)&b->scopes, b->n_scopes, &b->cap_scopes, sizeof(*b->scopes), 1),
                     0);
    hand_attr(b, "service.name", "shop");
    b->resources[b->n_resources++] = (struct gw_resource){.attrs = {attrs, b->n_attrs}};
    b->scopes[b->n_scopes++] = (struct gw_scope){.resource = b->n_resources - 1, .rows = seg.rows};
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = b->n_rows++;

        attrs = b->n_attrs;
        hand_attr(b, "a", "1");
        hand_attr(b, "b", "2");
        hand_attr(b, "c", "3");
        b->attr[row] = (struct gw_range){attrs, b->n_attrs};
        b->scope[row] = b->n_scopes - 1;
        b->time_ns[row] = row;
    }
    b->segments[b->n_segments++] = seg;
}

#endif
