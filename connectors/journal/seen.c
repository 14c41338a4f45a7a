/* SPDX-License-Identifier: Apache-2.0 */
#include "connectors/journal/seen.h"

#include <pthread.h>
#include <stdlib.h>

enum { UNAVAILABLE = 14, LEAST = 256 };
#define UNDER_WAY UINT64_MAX
#define GONE      0

struct seen_request {
    struct request_id id;
    uint64_t time_ns; /* when it was stored; or UNDER_WAY, or GONE */
};

struct repeat {
    struct repeat *next;
    struct gw_ticket *ticket; /* one reference */
    uint32_t rows;
};

struct seen {
    pthread_mutex_t lock;
    struct gw_credit *memory;
    _Atomic bool is_on;
    uint64_t window_ns, max_bytes;
    struct seen_request *ring; /* counted through; index = count % cap */
    uint64_t first, end, cap;  /* cap: a power of two */
    uint32_t *slots;           /* twice as many: index in the ring + 1, or 0 */
    uint64_t n_known, n_forgotten;
    struct claim *claims;
};

static uint64_t bytes_of(uint64_t cap)
{
    return cap * (sizeof(struct seen_request) + 2 * sizeof(uint32_t));
}

/* ---- the table -------------------------------------------------------------------------------------------- */

static struct seen_request *at_slot(struct seen *s, uint64_t slot)
{
    return &s->ring[s->slots[slot] - 1];
}

/* Where it is, or the free slot where it would be. */
static uint64_t slot_of(struct seen *s, struct request_id id)
{
    uint64_t mask = 2 * s->cap - 1, slot = id.lo & mask;

    while (s->slots[slot] && (at_slot(s, slot)->id.lo != id.lo || at_slot(s, slot)->id.hi != id.hi))
        slot = (slot + 1) & mask;
    return slot;
}

static struct seen_request *find(struct seen *s, struct request_id id)
{
    uint64_t slot = s->cap ? slot_of(s, id) : 0;

    return s->cap && s->slots[slot] ? at_slot(s, slot) : NULL;
}

/* Whoever stands behind the hole and could stand in it moves there. */
static void forget(struct seen *s, struct seen_request *r)
{
    uint64_t mask = 2 * s->cap - 1, hole = slot_of(s, r->id);

    for (uint64_t k = (hole + 1) & mask; s->slots[k]; k = (k + 1) & mask) {
        uint64_t wants = at_slot(s, k)->id.lo & mask;

        if (((k - wants) & mask) >= ((k - hole) & mask)) {
            s->slots[hole] = s->slots[k];
            hole = k;
        }
    }
    s->slots[hole] = 0;
    r->time_ns = GONE;
    s->n_known--;
}

static void leave_first(struct seen *s)
{
    struct seen_request *r = &s->ring[s->first % s->cap];

    if (r->time_ns != GONE)
        forget(s, r);
    s->first++;
}

static bool has_passed(const struct seen *s, const struct seen_request *r, uint64_t now_ns)
{
    return r->time_ns != UNDER_WAY && now_ns > r->time_ns && now_ns - r->time_ns >= s->window_ns;
}

static void let_go(struct seen *s, uint64_t now_ns)
{
    while (s->first < s->end && has_passed(s, &s->ring[s->first % s->cap], now_ns))
        leave_first(s);
}

static void forget_first(struct seen *s)
{
    s->n_forgotten += s->ring[s->first % s->cap].time_ns != GONE;
    leave_first(s);
}

static void append(struct seen *s, const struct seen_request *r)
{
    uint64_t at = s->end++ % s->cap;

    s->ring[at] = *r;
    s->slots[slot_of(s, r->id)] = (uint32_t)at + 1;
    s->n_known++;
}

static void drop_table(struct seen *s)
{
    gw_credit_give(s->memory, bytes_of(s->cap));
    free(s->ring);
    free(s->slots);
    s->ring = NULL;
    s->slots = NULL;
    s->first = s->end = s->cap = s->n_known = 0;
}

/* As it is when there is no memory. What does not fit into a smaller one has been forgotten before. */
static bool resize(struct seen *s, uint64_t cap)
{
    struct seen old = *s;

    if (!gw_credit_admit(s->memory, bytes_of(cap)))
        return false;
    s->ring = malloc(cap * sizeof(*s->ring));
    s->slots = calloc(2 * cap, sizeof(*s->slots));
    if (!s->ring || !s->slots) {
        free(s->ring);
        free(s->slots);
        s->ring = old.ring;
        s->slots = old.slots;
        gw_credit_give(s->memory, bytes_of(cap));
        return false;
    }
    s->first = s->end = s->n_known = 0;
    s->cap = cap;
    for (uint64_t i = old.first; i < old.end; i++)
        if (old.ring[i % old.cap].time_ns != GONE)
            append(s, &old.ring[i % old.cap]);
    gw_credit_give(s->memory, bytes_of(old.cap));
    free(old.ring);
    free(old.slots);
    return true;
}

/* False: there is no room at all. */
static bool make_room(struct seen *s)
{
    uint64_t more = s->cap ? 2 * s->cap : LEAST;

    if (s->end - s->first < s->cap)
        return true;
    if (bytes_of(more) <= s->max_bytes && resize(s, more))
        return true;
    if (s->cap == 0)
        return false;
    forget_first(s);
    return true;
}

static bool put(struct seen *s, struct request_id id, uint64_t time_ns)
{
    const struct seen_request r = {id, time_ns};

    if (!make_room(s)) {
        s->n_forgotten++;
        return false;
    }
    append(s, &r);
    return true;
}

/* ---- from outside ----------------------------------------------------------------------------------------- */

struct seen *gw_journal_seen_new(struct gw_credit *memory)
{
    struct seen *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    (void)pthread_mutex_init(&s->lock, NULL);
    s->memory = memory;
    return s;
}

void gw_journal_seen_free(struct seen *s)
{
    if (!s)
        return;
    drop_table(s);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

void gw_journal_seen_limit(struct seen *s, uint64_t window_ns, uint64_t max_bytes)
{
    uint64_t cap;

    (void)pthread_mutex_lock(&s->lock);
    s->window_ns = window_ns;
    s->max_bytes = max_bytes;
    atomic_store_explicit(&s->is_on, window_ns > 0, memory_order_relaxed);
    for (cap = s->cap; cap > LEAST && bytes_of(cap) > max_bytes;)
        cap /= 2;
    while (s->end - s->first > cap)
        forget_first(s);
    if (window_ns == 0 || (cap < s->cap && !resize(s, cap)))
        drop_table(s);
    (void)pthread_mutex_unlock(&s->lock);
}

bool gw_journal_seen_is_on(const struct seen *s)
{
    return atomic_load_explicit(&s->is_on, memory_order_relaxed);
}

void gw_journal_seen_put(struct seen *s, struct request_id id, uint64_t time_ns)
{
    struct seen_request *r;

    (void)pthread_mutex_lock(&s->lock);
    r = find(s, id);
    if (r)
        forget(s, r);
    if (time_ns > GONE && time_ns < UNDER_WAY)
        (void)put(s, id, time_ns);
    (void)pthread_mutex_unlock(&s->lock);
}

uint64_t gw_journal_seen_known(struct seen *s)
{
    uint64_t n;

    (void)pthread_mutex_lock(&s->lock);
    n = s->n_known;
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- claims ----------------------------------------------------------------------------------------------- */

struct claim *gw_journal_claim_new(struct seen *s, uint32_t n)
{
    struct claim *c = malloc(sizeof(*c) + n * sizeof(c->ids[0]));

    if (c)
        *c = (struct claim){.seen = s};
    return c;
}

/* Seldom: a sender that waited too long for its first answer. */
static struct claim *owner_of(const struct seen *s, struct request_id id)
{
    for (struct claim *c = s->claims; c; c = c->next)
        for (uint32_t i = 0; i < c->n; i++)
            if (c->ids[i].lo == id.lo && c->ids[i].hi == id.hi)
                return c;
    return NULL;
}

static bool wait_for(const struct seen *s, const struct asked *a)
{
    struct claim *c = owner_of(s, a->id);
    struct repeat *w = c ? malloc(sizeof(*w)) : NULL;

    if (!w)
        return false;
    *w = (struct repeat){c->repeats, gw_ticket_ref(a->ticket), a->rows};
    c->repeats = w;
    return true;
}

static enum seen_as ask(struct seen *s, struct claim *c, const struct asked *a, uint64_t now_ns)
{
    struct seen_request *r = find(s, a->id);

    if (r && r->time_ns == UNDER_WAY)
        return wait_for(s, a) ? SEEN_UNDER_WAY : SEEN_NEVER;
    if (r && !has_passed(s, r, now_ns))
        return SEEN_STORED;
    if (r)
        forget(s, r);
    (void)put(s, a->id, UNDER_WAY);
    c->ids[c->n++] = a->id;
    return SEEN_NEVER;
}

uint64_t gw_journal_claim(struct claim *c, uint64_t now_ns, struct asked *asked, uint32_t n)
{
    struct seen *s = c->seen;
    uint64_t n_forgotten;

    (void)pthread_mutex_lock(&s->lock);
    c->next = s->claims;
    s->claims = c;
    let_go(s, now_ns);
    for (uint32_t i = 0; i < n; i++)
        asked[i].is = ask(s, c, &asked[i], now_ns);
    n_forgotten = s->n_forgotten;
    s->n_forgotten = 0;
    (void)pthread_mutex_unlock(&s->lock);
    return n_forgotten;
}

static void note(struct seen *s, struct request_id id, uint64_t time_ns, bool stored)
{
    struct seen_request *r = find(s, id);

    if (!r || r->time_ns != UNDER_WAY) /* forgotten meanwhile */
        return;
    if (stored)
        r->time_ns = time_ns;
    else
        forget(s, r);
}

static void tell(struct repeat *w, const char *why_not)
{
    for (struct repeat *next; w; w = next) {
        next = w->next;
        if (why_not)
            gw_ticket_fail_with(w->ticket, UNAVAILABLE, 0);
        gw_ticket_settle(w->ticket, w->rows, why_not ? GW_REFUSED : GW_DROPPED, why_not);
        (void)gw_ticket_unref(w->ticket);
        free(w);
    }
}

void gw_journal_claim_done(struct claim *c, uint64_t time_ns, const char *why_not)
{
    struct seen *s = c ? c->seen : NULL;
    struct claim **at;

    if (!c)
        return;
    (void)pthread_mutex_lock(&s->lock);
    for (at = &s->claims; *at && *at != c;)
        at = &(*at)->next;
    if (*at)
        *at = c->next;
    for (uint32_t i = 0; i < c->n; i++)
        note(s, c->ids[i], time_ns, !why_not);
    (void)pthread_mutex_unlock(&s->lock);
    tell(c->repeats, why_not);
    free(c);
}
