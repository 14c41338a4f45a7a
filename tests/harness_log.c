/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_log.h"

#include <stdio.h>

#include "tests/harness.h"

static void done(struct gw_log_commit *c, int rc)
{
    struct gw_test_commit *t = (struct gw_test_commit *)(void *)c;

    t->n_done++;
    t->rc = rc;
}

void gw_test_commit_init(struct gw_test_commit *t)
{
    memset(t, 0, sizeof(*t));
    t->c.frames = t->frames;
    t->c.settles = t->settles;
    t->c.positions = t->positions;
    t->c.done = done;
}

struct gw_log_frame *gw_test_commit_append(struct gw_test_commit *t, const char *body, uint32_t rows)
{
    struct gw_log_frame *f = &t->frames[t->c.n_frames++];

    assert_in_range(t->c.n_frames, 1, GW_TEST_LOG_ITEMS);
    *f = (struct gw_log_frame){.rows = rows, .body = gw_slice_cstr(body)};
    return f;
}

void gw_test_commit_settle(struct gw_test_commit *t, uint32_t consumer, uint64_t seq, uint32_t first, uint32_t rows,
                           uint32_t frame_rows)
{
    assert_in_range(t->c.n_settles, 0, GW_TEST_LOG_ITEMS - 1);
    t->settles[t->c.n_settles++] = (struct gw_log_settle){
        .consumer = consumer, .seq = seq, .last_seq = seq, .first_row = first, .rows = rows, .frame_rows = frame_rows};
}

void gw_test_commit_position(struct gw_test_commit *t, uint32_t consumer, uint16_t partition, uint64_t next_seq,
                             const char *note)
{
    assert_in_range(t->c.n_positions, 0, GW_TEST_LOG_ITEMS - 1);
    t->positions[t->c.n_positions++] = (struct gw_log_position){
        .consumer = consumer, .partition = partition, .next_seq = next_seq, .note = gw_slice_cstr(note)};
}

int gw_test_commit_go(struct gw_test_commit *t, struct gw_log *l)
{
    t->n_done = 0;
    gw_log_submit(l, &t->c);
    for (unsigned i = 0; i < 4 && t->n_done == 0; i++)
        (void)gw_log_work(l);
    assert_int_equal(t->n_done, 1);
    return t->rc;
}

uint64_t gw_test_log_put(struct gw_log *l, const char *body, uint32_t rows)
{
    struct gw_test_commit t;

    gw_test_commit_init(&t);
    (void)gw_test_commit_append(&t, body, rows);
    assert_int_equal(gw_test_commit_go(&t, l), 0);
    return t.frames[0].seq;
}

void gw_test_log_settle(struct gw_log *l, uint32_t consumer, uint64_t seq)
{
    struct gw_test_commit t;

    gw_test_commit_init(&t);
    gw_test_commit_settle(&t, consumer, seq, 0, 0, 0);
    assert_int_equal(gw_test_commit_go(&t, l), 0);
}

struct wanted {
    const char *name;
    struct gw_log_consumer c;
    bool found;
};

static void each_consumer(void *arg, const struct gw_log_consumer *c)
{
    struct wanted *w = arg;

    if (strcmp(c->name, w->name) != 0)
        return;
    assert_false(w->found);
    w->found = true;
    w->c = *c;
}

bool gw_test_log_has_consumer(struct gw_log *l, const char *name)
{
    struct wanted w = {.name = name};

    assert_int_equal(gw_log_consumers(l, each_consumer, &w), 0);
    return w.found;
}

struct gw_log_consumer gw_test_log_consumer(struct gw_log *l, const char *name)
{
    struct wanted w = {.name = name};

    assert_int_equal(gw_log_consumers(l, each_consumer, &w), 0);
    assert_true(w.found);
    return w.c;
}

unsigned gw_test_log_read(struct gw_log_reader *r, char *ret, size_t size)
{
    struct gw_log_entry e;
    unsigned n = 0;
    size_t at = 0;

    ret[0] = 0;
    for (; gw_log_next(r, &e) == 1; n++) {
        assert_true(at + e.frame.body.n + 64 < size);
        at += (size_t)snprintf(ret + at, size - at, "%s%.*s:%u", n ? " " : "", (int)e.frame.body.n,
                               (const char *)e.frame.body.p, e.frame.rows);
        for (unsigned i = 0; i < e.n_open; i++)
            at += (size_t)snprintf(ret + at, size - at, "%s%u+%u%s", i ? "," : "[", e.open[i].first, e.open[i].rows,
                                   i + 1 == e.n_open ? "]" : "");
        if (e.lost_frames)
            at += (size_t)snprintf(ret + at, size - at, "(lost %u/%u)", (unsigned)e.lost_frames, (unsigned)e.lost_rows);
    }
    return n;
}
