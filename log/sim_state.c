/* SPDX-License-Identifier: Apache-2.0 */
#include "log/sim_state.h"

#include <stdio.h>
#include <stdlib.h>

enum { FRAME_BYTES = 64 }; /* that a frame counts for besides its contents */

void *gw_sim_alloc(void *old, size_t n)
{
    void *p = realloc(old, n ? n : 1);

    if (!p)
        abort();
    return p;
}

static void *copy_of(const void *p, size_t n)
{
    void *copy = gw_sim_alloc(NULL, n);

    if (n)
        memcpy(copy, p, n);
    return copy;
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

uint64_t gw_sim_frame_bytes(const struct gw_log_frame *f)
{
    return FRAME_BYTES + f->meta.n + f->body.n;
}

struct gw_sim_frame *gw_sim_frame_ref(struct gw_sim_frame *f)
{
    f->n_refs++;
    return f;
}

void gw_sim_frame_unref(struct gw_sim_frame *f)
{
    if (f && --f->n_refs == 0)
        free(f);
}

static struct gw_sim_frame *frame_new(const struct gw_log_frame *from)
{
    struct gw_sim_frame *f = gw_sim_alloc(NULL, sizeof(*f) + from->meta.n + from->body.n);

    memset(f, 0, sizeof(*f));
    f->n_refs = 1;
    f->f = *from;
    if (from->meta.n)
        memcpy(f->bytes, from->meta.p, from->meta.n);
    if (from->body.n)
        memcpy(f->bytes + from->meta.n, from->body.p, from->body.n);
    f->f.meta.p = f->bytes;
    f->f.body.p = f->bytes + from->meta.n;
    return f;
}

uint64_t gw_sim_end_seq(const struct gw_sim_state *s)
{
    return s->first_seq + s->n_frames;
}

uint64_t gw_sim_first_row(const struct gw_sim_state *s)
{
    return s->n_frames ? s->frames[0]->f.row : s->end_row;
}

struct gw_sim_frame *gw_sim_frame_at(const struct gw_sim_state *s, uint64_t seq)
{
    return seq >= s->first_seq && seq < gw_sim_end_seq(s) ? s->frames[seq - s->first_seq] : NULL;
}

/* ---- changes ------------------------------------------------------------------------------------------------ */

struct gw_sim_change *gw_sim_change_new(enum gw_sim_change_kind kind)
{
    struct gw_sim_change *c = gw_sim_alloc(NULL, sizeof(*c));

    memset(c, 0, sizeof(*c));
    c->kind = kind;
    return c;
}

struct gw_sim_change *gw_sim_change_of_commit(const struct gw_log_commit *from)
{
    struct gw_sim_change *c = gw_sim_change_new(GW_SIM_COMMIT);

    c->n_frames = from->n_frames;
    c->n_settles = from->n_settles;
    c->n_positions = from->n_positions;
    c->frames = gw_sim_alloc(NULL, from->n_frames * sizeof(*c->frames));
    for (unsigned i = 0; i < from->n_frames; i++)
        c->frames[i] = frame_new(&from->frames[i]);
    c->settles = copy_of(from->settles, from->n_settles * sizeof(*c->settles));
    c->positions = copy_of(from->positions, from->n_positions * sizeof(*c->positions));
    for (unsigned i = 0; i < from->n_positions; i++)
        c->positions[i].note.p = copy_of(from->positions[i].note.p, from->positions[i].note.n);
    return c;
}

void gw_sim_change_free(struct gw_sim_change *c)
{
    for (unsigned i = 0; i < c->n_frames; i++)
        gw_sim_frame_unref(c->frames[i]);
    for (unsigned i = 0; i < c->n_positions; i++)
        free((void *)(uintptr_t)c->positions[i].note.p);
    free(c->frames);
    free(c->settles);
    free(c->positions);
    free(c);
}

/* ---- consumers ---------------------------------------------------------------------------------------------- */

struct gw_sim_consumer *gw_sim_consumer_by_name(const struct gw_sim_state *s, const char *name)
{
    for (size_t i = 0; i < s->n_consumers; i++)
        if (strcmp(s->consumers[i].c.name, name) == 0)
            return &s->consumers[i];
    return NULL;
}

struct gw_sim_consumer *gw_sim_consumer_by_id(const struct gw_sim_state *s, uint32_t id)
{
    for (size_t i = 0; i < s->n_consumers; i++)
        if (s->consumers[i].c.id == id)
            return &s->consumers[i];
    return NULL;
}

/* Rows [from, to) are done. Returns how many of them were not before. */
static uint64_t cover(struct gw_sim_consumer *c, uint64_t from, uint64_t to)
{
    uint64_t fresh;
    size_t a, b;

    if (from < c->done_row)
        from = c->done_row;
    if (from >= to)
        return 0;
    fresh = to - from;
    for (a = 0; a < c->n_done && c->done[a].to < from; a++)
        ;
    for (b = a; b < c->n_done && c->done[b].from <= to; b++) { /* what touches it becomes a part of it */
        uint64_t common_from = c->done[b].from > from ? c->done[b].from : from;
        uint64_t common_to = c->done[b].to < to ? c->done[b].to : to;

        fresh -= common_to > common_from ? common_to - common_from : 0;
    }
    if (b > a) {
        from = c->done[a].from < from ? c->done[a].from : from;
        to = c->done[b - 1].to > to ? c->done[b - 1].to : to;
    }
    if (c->n_done + 1 > c->cap_done) {
        c->cap_done = 2 * c->cap_done + 4;
        c->done = gw_sim_alloc(c->done, c->cap_done * sizeof(*c->done));
    }
    memmove(c->done + a + 1, c->done + b, (c->n_done - b) * sizeof(*c->done));
    c->n_done = c->n_done - (b - a) + 1;
    c->done[a] = (struct gw_sim_range){from, to};
    if (c->done[0].from <= c->done_row) {
        c->done_row = c->done[0].to;
        memmove(c->done, c->done + 1, --c->n_done * sizeof(*c->done));
    }
    return fresh;
}

bool gw_sim_open_rows(const struct gw_sim_consumer *c, uint64_t from, uint64_t to, struct gw_sim_range *ret)
{
    if (from < c->done_row)
        from = c->done_row;
    for (size_t i = 0; i < c->n_done; i++) {
        if (c->done[i].to <= from)
            continue;
        if (c->done[i].from <= from) {
            from = c->done[i].to;
            continue;
        }
        to = c->done[i].from < to ? c->done[i].from : to;
        break;
    }
    *ret = (struct gw_sim_range){from, to};
    return from < to;
}

struct gw_log_consumer gw_sim_consumer_view(const struct gw_sim_state *s, const struct gw_sim_consumer *c)
{
    struct gw_log_consumer v = c->c;

    v.low = gw_sim_end_seq(s);
    v.low_row = s->end_row;
    for (size_t i = 0; i < s->n_frames; i++) {
        const struct gw_log_frame *f = &s->frames[i]->f;

        if (f->row + f->rows > c->done_row) {
            v.low = f->seq;
            v.low_row = f->row;
            break;
        }
    }
    v.ahead_rows = c->done_row > v.low_row ? c->done_row - v.low_row : 0;
    for (size_t i = 0; i < c->n_done; i++)
        v.ahead_rows += c->done[i].to - c->done[i].from;
    return v;
}

static void make_consumer(struct gw_sim_state *s, const struct gw_sim_change *change)
{
    struct gw_sim_consumer *c;

    if (gw_sim_consumer_by_name(s, change->name))
        return;
    s->consumers = gw_sim_alloc(s->consumers, (s->n_consumers + 1) * sizeof(*s->consumers));
    c = &s->consumers[s->n_consumers++];
    memset(c, 0, sizeof(*c));
    c->c.id = s->next_consumer++;
    memcpy(c->c.name, change->name, sizeof(c->c.name));
    c->c.first_row = change->start == GW_LOG_FROM_END ? s->end_row : gw_sim_first_row(s);
    c->done_row = c->c.first_row;
    for (size_t i = 0; i < s->n_frames; i++)
        if (s->frames[i]->damaged)
            c->c.lost_rows += cover(c, s->frames[i]->f.row, s->frames[i]->f.row + s->frames[i]->f.rows);
}

static void consumer_clear(struct gw_sim_consumer *c)
{
    for (unsigned p = 0; p < GW_LOG_PARTITIONS; p++)
        free(c->positions[p].note);
    free(c->done);
}

static void release(struct gw_sim_state *s, const char *name)
{
    struct gw_sim_consumer *c = gw_sim_consumer_by_name(s, name);

    if (!c)
        return;
    consumer_clear(c);
    memmove(c, c + 1, (size_t)(s->consumers + s->n_consumers - (c + 1)) * sizeof(*c));
    s->n_consumers--;
}

/* ---- commits ------------------------------------------------------------------------------------------------ */

static int check_settle(const struct gw_sim_state *s, const struct gw_log_settle *t)
{
    const struct gw_sim_frame *f;

    if (t->outcome >= GW_LOG_N_OUTCOMES || t->last_seq < t->seq || t->last_seq >= gw_sim_end_seq(s) ||
        !gw_sim_consumer_by_id(s, t->consumer))
        return -EINVAL;
    if (t->rows == 0)
        return 0;
    f = gw_sim_frame_at(s, t->seq);
    if (t->last_seq != t->seq || t->rows > t->frame_rows || t->first_row > t->frame_rows - t->rows)
        return -EINVAL;
    return f && t->frame_rows != f->f.rows ? -EINVAL : 0;
}

int gw_sim_check(const struct gw_sim_state *s, const struct gw_log_commit *c)
{
    int rc = 0;

    if (c->producer.id &&
        (c->producer.id > s->n_producers || s->producers[c->producer.id - 1].epoch != c->producer.epoch))
        return -ESTALE;
    for (unsigned i = 0; i < c->n_frames; i++) {
        if (c->frames[i].partition >= GW_LOG_PARTITIONS)
            return -EINVAL;
        if (c->frames[i].body.n > GW_LOG_MAX_BODY_BYTES || c->frames[i].meta.n > GW_LOG_MAX_META_BYTES)
            return -E2BIG;
    }
    for (unsigned i = 0; i < c->n_positions; i++) {
        if (c->positions[i].partition >= GW_LOG_PARTITIONS || c->positions[i].note.n > GW_LOG_MAX_NOTE_BYTES ||
            !gw_sim_consumer_by_id(s, c->positions[i].consumer))
            return -EINVAL;
    }
    for (unsigned i = 0; rc == 0 && i < c->n_settles; i++)
        rc = check_settle(s, &c->settles[i]);
    return rc;
}

static void append(struct gw_sim_state *s, struct gw_sim_frame *f)
{
    f->f.seq = gw_sim_end_seq(s);
    f->f.row = s->end_row;
    if (s->n_frames == s->cap_frames) {
        s->cap_frames = 2 * s->cap_frames + 16;
        s->frames = gw_sim_alloc(s->frames, s->cap_frames * sizeof(struct gw_sim_frame *));
    }
    s->frames[s->n_frames++] = gw_sim_frame_ref(f);
    s->end_row += f->f.rows;
    s->bytes += gw_sim_frame_bytes(&f->f);
    if (!f->damaged)
        return;
    s->lost_frames++;
    s->lost_rows += f->f.rows;
    s->lost_bytes += gw_sim_frame_bytes(&f->f);
    for (size_t i = 0; i < s->n_consumers; i++)
        s->consumers[i].c.lost_rows += cover(&s->consumers[i], f->f.row, f->f.row + f->f.rows);
}

/* Of frames that went already nothing is kept, nor of a consumer that went in the same moment. */
static void settle(struct gw_sim_state *s, const struct gw_log_settle *t)
{
    struct gw_sim_consumer *c = gw_sim_consumer_by_id(s, t->consumer);
    const struct gw_sim_frame *last = gw_sim_frame_at(s, t->last_seq);
    const struct gw_sim_frame *first = gw_sim_frame_at(s, t->seq < s->first_seq ? s->first_seq : t->seq);

    if (!c || !last || !first)
        return;
    c->c.settled[t->outcome] += t->rows ? cover(c, first->f.row + t->first_row, first->f.row + t->first_row + t->rows)
                                        : cover(c, first->f.row, last->f.row + last->f.rows);
}

static void move_position(struct gw_sim_state *s, const struct gw_log_position *p)
{
    struct gw_sim_consumer *c = gw_sim_consumer_by_id(s, p->consumer);
    struct gw_sim_position *at;

    if (!c)
        return;
    at = &c->positions[p->partition];
    free(at->note);
    *at = (struct gw_sim_position){true, p->next_seq, p->note.n, copy_of(p->note.p, p->note.n)};
}

static void commit(struct gw_sim_state *s, const struct gw_sim_change *c)
{
    for (unsigned i = 0; i < c->n_settles; i++)
        settle(s, &c->settles[i]);
    for (unsigned i = 0; i < c->n_frames; i++)
        append(s, c->frames[i]);
    for (unsigned i = 0; i < c->n_positions; i++)
        move_position(s, &c->positions[i]);
}

/* ---- what goes ---------------------------------------------------------------------------------------------- */

static bool is_behind(const struct gw_sim_consumer *c, const struct gw_log_frame *f)
{
    return f->seq < c->positions[f->partition].next_seq;
}

/* The first frame goes. Whoever has neither settled its rows nor moved its position behind it loses them. */
static void drop_first(struct gw_sim_state *s)
{
    struct gw_sim_frame *f = s->frames[0];

    for (size_t i = 0; i < s->n_consumers; i++) {
        struct gw_sim_consumer *c = &s->consumers[i];

        c->c.settled[is_behind(c, &f->f) ? GW_LOG_DELIVERED : GW_LOG_DROPPED] +=
            cover(c, f->f.row, f->f.row + f->f.rows);
    }
    s->bytes -= gw_sim_frame_bytes(&f->f);
    s->first_seq++;
    memmove(s->frames, s->frames + 1, --s->n_frames * sizeof(struct gw_sim_frame *));
    gw_sim_frame_unref(f);
}

static bool is_needed(const struct gw_sim_state *s, const struct gw_log_frame *f)
{
    struct gw_sim_range open;

    for (size_t i = 0; i < s->n_consumers; i++)
        if (!is_behind(&s->consumers[i], f) && gw_sim_open_rows(&s->consumers[i], f->row, f->row + f->rows, &open))
            return true;
    return s->n_consumers == 0; /* somebody will come */
}

/* As is_needed, of those for whom the limits wait. */
static bool is_unread(const struct gw_sim_state *s, const struct gw_log_frame *f, enum gw_log_keep keep)
{
    struct gw_sim_range open;

    for (size_t i = 0; i < s->n_consumers; i++) {
        const struct gw_sim_consumer *c = &s->consumers[i];

        if (c->c.name[0] != '#' && (keep == GW_LOG_KEEP_ALL || c->c.is_open) && !is_behind(c, f) &&
            gw_sim_open_rows(c, f->row, f->row + f->rows, &open))
            return true;
    }
    return false;
}

/* Of a log that has so many bytes from this frame on. */
static bool may_go(const struct gw_sim_state *s, const struct gw_log_frame *f, uint64_t bytes,
                   const struct gw_log_retention *r, uint64_t wall_ns)
{
    uint64_t most = r->keep == GW_LOG_KEEP_NONE ? r->max_bytes : r->max_bytes - r->max_bytes / 4;
    bool limit = (r->max_bytes && bytes > most) ||
                 (r->max_age_ns && wall_ns > f->time_ns && wall_ns - f->time_ns > r->max_age_ns);

    if (limit && (r->keep == GW_LOG_KEEP_NONE || !is_unread(s, f, r->keep)))
        return true;
    return r->until_settled && !is_needed(s, f);
}

bool gw_sim_may_go(const struct gw_sim_state *s, const struct gw_log_retention *r, uint64_t wall_ns)
{
    return s->n_frames && may_go(s, &s->frames[0]->f, s->bytes, r, wall_ns);
}

uint64_t gw_sim_keeps_from(const struct gw_sim_state *s, const struct gw_log_retention *r, uint64_t wall_ns)
{
    uint64_t bytes = s->bytes;
    size_t i = 0;

    for (; i < s->n_frames && may_go(s, &s->frames[i]->f, bytes, r, wall_ns); i++)
        bytes -= gw_sim_frame_bytes(&s->frames[i]->f);
    return s->first_seq + i;
}

static void new_epoch(struct gw_sim_state *s, const char *name)
{
    size_t i;

    for (i = 0; i < s->n_producers && strcmp(s->producers[i].name, name) != 0; i++)
        ;
    if (i == s->n_producers) {
        s->producers = gw_sim_alloc(s->producers, (i + 1) * sizeof(*s->producers));
        memset(&s->producers[i], 0, sizeof(s->producers[i]));
        (void)snprintf(s->producers[i].name, sizeof(s->producers[i].name), "%s", name);
        s->n_producers++;
    }
    s->producers[i].epoch++;
}

void gw_sim_apply(struct gw_sim_state *s, const struct gw_sim_change *c)
{
    switch (c->kind) {
    case GW_SIM_COMMIT:
        commit(s, c);
        break;
    case GW_SIM_PRODUCER:
        new_epoch(s, c->name);
        break;
    case GW_SIM_CONSUMER:
        make_consumer(s, c);
        break;
    case GW_SIM_RELEASE:
        release(s, c->name);
        break;
    case GW_SIM_TRUNCATE:
        while (s->n_frames > 0 && s->first_seq < c->seq)
            drop_first(s);
        break;
    case GW_SIM_RETAIN:
        while (gw_sim_may_go(s, &c->retention, c->wall_ns))
            drop_first(s);
        break;
    }
}

/* ---- whole states ------------------------------------------------------------------------------------------- */

void gw_sim_state_init(struct gw_sim_state *s)
{
    memset(s, 0, sizeof(*s));
    s->next_consumer = 1;
}

void gw_sim_state_clear(struct gw_sim_state *s)
{
    for (size_t i = 0; i < s->n_frames; i++)
        gw_sim_frame_unref(s->frames[i]);
    for (size_t i = 0; i < s->n_consumers; i++)
        consumer_clear(&s->consumers[i]);
    free(s->frames);
    free(s->consumers);
    free(s->producers);
    gw_sim_state_init(s);
}

void gw_sim_state_copy(struct gw_sim_state *to, const struct gw_sim_state *from)
{
    *to = *from;
    to->frames = copy_of(from->frames, from->n_frames * sizeof(struct gw_sim_frame *));
    to->cap_frames = from->n_frames;
    for (size_t i = 0; i < to->n_frames; i++)
        (void)gw_sim_frame_ref(to->frames[i]);
    to->producers = copy_of(from->producers, from->n_producers * sizeof(*from->producers));
    to->consumers = copy_of(from->consumers, from->n_consumers * sizeof(*from->consumers));
    for (size_t i = 0; i < to->n_consumers; i++) {
        struct gw_sim_consumer *c = &to->consumers[i];

        c->done = copy_of(c->done, c->n_done * sizeof(*c->done));
        c->cap_done = c->n_done;
        for (unsigned p = 0; p < GW_LOG_PARTITIONS; p++)
            if (c->positions[p].is_set)
                c->positions[p].note = copy_of(c->positions[p].note, c->positions[p].n_note);
    }
}
