/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/places.h"

#include <stdlib.h>

#include "queue/feed.h"

struct gw_tab *gw_tab_new(uint32_t cap)
{
    struct gw_tab *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->refs = 1;
    t->places = cap > 1 ? malloc(cap * sizeof(*t->places)) : &t->one;
    if (!t->places) {
        free(t);
        return NULL;
    }
    return t;
}

static void free_places(struct gw_tab *t)
{
    if (t->places != &t->one)
        free(t->places);
}

void gw_tab_add(struct gw_tab *t, const struct gw_log_place *p)
{
    struct gw_log_place *last = t->n ? &t->places[t->n - 1] : NULL;

    if (last && last->feed == p->feed && last->seq == p->seq && last->first + last->rows == p->first)
        last->rows += p->rows;
    else
        t->places[t->n++] = *p;
    t->n_rows += p->rows;
}

const struct gw_log_place *gw_tab_at(struct gw_tab *t, uint32_t row, uint32_t *ret_frame_row)
{
    if (!t || row >= t->n_rows)
        return NULL;
    if (row < t->near_row || t->near >= t->n)
        t->near = t->near_row = 0;
    while (row - t->near_row >= t->places[t->near].rows)
        t->near_row += t->places[t->near++].rows;
    *ret_frame_row = t->places[t->near].first + row - t->near_row;
    return t->places[t->near].feed ? &t->places[t->near] : NULL;
}

struct gw_tab *gw_tab_ref(struct gw_tab *t)
{
    if (t)
        t->refs++;
    return t;
}

void gw_tab_count(struct gw_tab *t, enum gw_log_outcome outcome, uint32_t rows)
{
    if (t)
        t->tally[outcome] += rows;
}

void gw_tab_leave(struct gw_tab *t)
{
    if (t)
        t->left = true;
}

void gw_tab_disown(struct gw_tab *t)
{
    if (t)
        t->n = t->n_rows = 0;
}

uint32_t gw_tab_n_taken(const struct gw_tab *t)
{
    return t ? t->taken : 0;
}

void gw_tab_again(struct gw_tab *t)
{
    if (t)
        t->left = t->again = true;
}

/* ---- runs of rows ----------------------------------------------------------------------------------------- */

static bool is_set(const uint64_t *bits, uint32_t row)
{
    return bits[row / 64] >> (row % 64) & 1;
}

/** Rows of one place that stand one behind the other in the tab too. */
struct run {
    struct gw_log_place place;
    uint32_t row; /* of the tab, the first */
};

struct walk {
    const struct gw_tab *t;
    uint32_t i, at, row; /* place, row in it, row of the tab */
};

static bool wanted(const struct gw_tab *t, uint32_t row, const uint64_t *bits, bool value)
{
    return !(t->cut && is_set(t->cut, row)) && (!bits || is_set(bits, row) == value);
}

/* The next run of rows that were not cut out and, with bits, have that value. */
static bool next_run(struct walk *w, const uint64_t *bits, bool value, struct run *ret)
{
    for (; w->i < w->t->n; w->i++, w->at = 0) {
        const struct gw_log_place *p = &w->t->places[w->i];
        uint32_t n = 0;

        while (w->at < p->rows && !wanted(w->t, w->row, bits, value))
            w->at++, w->row++;
        while (w->at + n < p->rows && wanted(w->t, w->row + n, bits, value))
            n++;
        if (n == 0)
            continue;
        *ret = (struct run){*p, w->row};
        ret->place.first += w->at;
        ret->place.rows = n;
        w->at += n;
        w->row += n;
        return true;
    }
    return false;
}

static uint32_t count_runs(const struct gw_tab *t, const uint64_t *bits, bool value)
{
    struct walk w = {.t = t};
    struct run r;
    uint32_t n = 0;

    while (next_run(&w, bits, value, &r))
        n++;
    return n;
}

/* Rows that are in memory only. */
static uint32_t n_homeless(const struct gw_tab *t)
{
    struct walk w = {.t = t};
    uint32_t n = 0;
    struct run r;

    while (next_run(&w, NULL, false, &r))
        n += r.place.feed ? 0 : r.place.rows;
    return n;
}

uint32_t gw_tab_lose(struct gw_tab *t, uint32_t most)
{
    uint32_t n;

    if (!t)
        return 0;
    n = n_homeless(t);
    n -= t->lost < n ? t->lost : n;
    n = n < most ? n : most;
    t->lost += n;
    t->tally[GW_LOG_DROPPED] += n;
    return n;
}

bool gw_tab_undealt(const struct gw_tab *t, struct gw_log_place *ret, uint32_t *ret_end)
{
    struct walk w = {.t = t};
    struct run r;

    while (next_run(&w, NULL, false, &r))
        if (r.row >= t->n_dealt && r.place.feed) {
            *ret = r.place;
            *ret_end = r.row + r.place.rows;
            return true;
        }
    return false;
}

uint32_t gw_tab_rows(const struct gw_tab *t)
{
    struct walk w = {.t = t};
    uint32_t n = 0;
    struct run r;

    while (next_run(&w, NULL, false, &r))
        n += r.place.rows;
    return n;
}

/* ---- settling --------------------------------------------------------------------------------------------- */

static bool settle(const struct gw_log_place *p, uint32_t from, uint32_t rows, enum gw_log_outcome outcome)
{
    return !p->feed ||
           gw_feed_settle(p->feed,
                          &(struct gw_log_place){p->feed, p->seq, p->first + from, rows, p->frame_rows, p->time_ns},
                          outcome);
}

/*
 * Outcomes are dealt to the rows in order: how many of each there are is exact, which row had which is not known.
 * Gives the feed that has no memory for more; NULL: it is done.
 */
static struct gw_feed *deal(struct gw_tab *t)
{
    struct walk w = {.t = t};
    unsigned o = 0;
    struct run r;

    while (next_run(&w, NULL, false, &r))
        for (uint32_t done = t->n_dealt > r.row ? t->n_dealt - r.row : 0, n; done < r.place.rows; done += n) {
            while (o < GW_LOG_N_OUTCOMES && t->tally[o] == 0)
                o++;
            n = r.place.rows - done;
            if (o == GW_LOG_N_OUTCOMES) { /* the fate of the others is not known: they will be sent again */
                if (r.place.feed)
                    gw_feed_leave(r.place.feed, n, 0);
                t->n_dealt = r.row + done + n;
                continue;
            }
            n = n < t->tally[o] ? n : t->tally[o];
            if (!settle(&r.place, done, n, (enum gw_log_outcome)o))
                return r.place.feed;
            t->tally[o] -= n;
            t->n_dealt = r.row + done + n;
        }
    return NULL;
}

void gw_tab_free(struct gw_tab *t)
{
    free_places(t);
    free(t->cut);
    free(t);
}

void gw_tab_settle(struct gw_tab *t)
{
    struct gw_feed *short_of_memory = deal(t);

    if (short_of_memory)
        gw_feed_keep_unsettled(short_of_memory, t);
    else
        gw_tab_free(t);
}

static uint32_t n_told(const struct gw_tab *t)
{
    uint32_t n = 0;

    for (unsigned o = 0; o < GW_LOG_N_OUTCOMES; o++)
        n += t->tally[o];
    return n;
}

/*
 * The rows stay in the log: for the next start, or lent to it for a while. Of those whose end is in the books already
 * as many are in memory only as there are of them, because they come to no other end; the others are told once more.
 */
static void give_back(const struct gw_tab *t, bool lend)
{
    uint32_t told = n_told(t), homeless = n_homeless(t);
    struct walk w = {.t = t};
    struct run r;

    told -= told < homeless ? told : homeless;
    while (next_run(&w, NULL, false, &r)) {
        uint32_t n = told < r.place.rows ? told : r.place.rows;

        if (!r.place.feed)
            continue;
        if (lend)
            gw_feed_lend(r.place.feed, r.place.rows, n);
        else
            gw_feed_leave(r.place.feed, r.place.rows - n, n);
        told -= n;
    }
}

struct gw_tab *gw_tab_unref(struct gw_tab *t)
{
    struct gw_log_place first;
    uint32_t end;

    if (!t || --t->refs > 0)
        return NULL;
    t->tally[GW_LOG_DELIVERED] -= t->taken < t->tally[GW_LOG_DELIVERED] ? t->taken : t->tally[GW_LOG_DELIVERED];
    if (t->again && gw_tab_undealt(t, &first, &end) && !gw_feed_is_closing(first.feed)) {
        give_back(t, /* lend= */ true);
        gw_feed_again(first.feed, t);
    } else if (t->left) {
        give_back(t, /* lend= */ false);
        gw_tab_free(t);
    } else {
        gw_tab_settle(t);
    }
    return NULL;
}

static bool make_cut(struct gw_tab *t)
{
    if (!t->cut)
        t->cut = calloc((t->n_rows + 63) / 64, sizeof(*t->cut));
    return t->cut != NULL;
}

struct gw_tab *gw_tab_cut(struct gw_tab *t, const uint64_t *bits, bool value)
{
    uint32_t n = count_runs(t, bits, value);
    struct gw_tab *piece = n && make_cut(t) ? gw_tab_new(n) : NULL;
    struct walk w = {.t = t};
    struct run r;

    if (!piece)
        return NULL;
    while (next_run(&w, bits, value, &r)) {
        gw_tab_add(piece, &r.place);
        for (uint32_t i = 0; i < r.place.rows; i++)
            t->cut[(r.row + i) / 64] |= UINT64_C(1) << ((r.row + i) % 64);
    }
    return piece;
}

void gw_tab_taken(struct gw_tab *t, const uint64_t *bits)
{
    struct gw_tab *piece = t ? gw_tab_cut(t, bits, true) : NULL;

    if (!piece)
        return;
    t->taken += piece->n_rows;
    gw_tab_count(piece, GW_LOG_DELIVERED, piece->n_rows);
    (void)gw_tab_unref(piece);
}

/* Those whose fate is not told yet are delivered. */
static void deliver_rest(struct gw_tab *t)
{
    uint32_t n = gw_tab_rows(t), told = n_told(t);

    t->taken = 0;
    gw_tab_count(t, GW_LOG_DELIVERED, n > told ? n - told : 0);
}

bool gw_tab_keep(struct gw_tab *t, const uint64_t *bits)
{
    struct gw_tab *kept = t->refs == 1 ? gw_tab_cut(t, bits, true) : NULL, rest;

    if (!kept)
        return false;
    rest = *t; /* they change places: the caller goes on with t */
    *t = *kept;
    *kept = rest;
    if (t->places == &kept->one)
        t->places = &t->one;
    if (kept->places == &t->one)
        kept->places = &kept->one;
    deliver_rest(kept);
    (void)gw_tab_unref(kept);
    return true;
}

struct gw_tab *gw_tab_deal(const struct gw_tab *t, uint32_t *at, uint32_t rows)
{
    struct gw_tab *piece = gw_tab_new(t->n);
    uint32_t skip = *at;

    if (!piece)
        return NULL;
    for (uint32_t i = 0; i < t->n && rows; i++) {
        struct gw_log_place p = t->places[i];

        if (skip >= p.rows) {
            skip -= p.rows;
            continue;
        }
        p.first += skip;
        p.rows = p.rows - skip < rows ? p.rows - skip : rows;
        skip = 0;
        rows -= p.rows;
        *at += p.rows;
        gw_tab_add(piece, &p);
    }
    return piece;
}
