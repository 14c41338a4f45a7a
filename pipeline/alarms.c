/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/alarms.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

struct gw_watch {
    struct gw_watch *next; /* of the board's */
    struct gw_alarm_board *board;
    unsigned refs;
    char **attributes;
    size_t n_attributes;
    uint64_t hold_ns, key; /* key: of the names */
    uint32_t max_alarms, n, cap;
    struct gw_alarm *alarms;
    atomic_uint_fast64_t version;
};

struct gw_alarm_board {
    struct gw_alarm_board *next;
    struct gw_alarms *all;
    char *detector;
    struct gw_watch *watches;
    atomic_uint n_watches;
};

struct gw_alarms {
    pthread_mutex_t lock; /* of everything below but atomics */
    struct gw_alarm_board *boards;
};

/* ---- keys ------------------------------------------------------------------------------------------------- */

uint64_t gw_alarm_key_add(uint64_t key, struct gw_slice value)
{
    const uint64_t both[2] = {key, gw_hash_stable(value)};

    return gw_hash_stable(gw_slice_of(both, sizeof(both)));
}

uint64_t gw_alarm_key(const char *const *attributes, size_t n)
{
    uint64_t key = n;

    for (size_t i = 0; i < n; i++)
        key = gw_alarm_key_add(key, gw_slice_cstr(attributes[i]));
    return key;
}

bool gw_alarm_text(const struct gw_value *v, char scratch[GW_ALARM_TEXT], struct gw_slice *ret)
{
    if (v->type == GW_V_STRING)
        *ret = v->s;
    else if (v->type == GW_V_BOOL)
        *ret = gw_slice_cstr(v->b ? "true" : "false");
    else if (v->type == GW_V_INT)
        *ret = gw_slice_of(scratch, (size_t)snprintf(scratch, GW_ALARM_TEXT, "%lld", (long long)v->i));
    else
        return false;
    return ret->n > 0;
}

/* ---- boards ----------------------------------------------------------------------------------------------- */

struct gw_alarms *gw_alarms_new(void)
{
    struct gw_alarms *a = calloc(1, sizeof(*a));

    if (a)
        (void)pthread_mutex_init(&a->lock, NULL);
    return a;
}

void gw_alarms_free(struct gw_alarms *a)
{
    if (!a)
        return;
    for (struct gw_alarm_board *b = a->boards, *next; b; b = next) {
        next = b->next;
        free(b->detector);
        free(b);
    }
    (void)pthread_mutex_destroy(&a->lock);
    free(a);
}

/* Under the lock. */
static struct gw_alarm_board *board_of(struct gw_alarms *a, const char *detector)
{
    struct gw_alarm_board *b = a->boards;

    while (b && strcmp(b->detector, detector) != 0)
        b = b->next;
    if (b || !(b = calloc(1, sizeof(*b))))
        return b;
    b->detector = strdup(detector);
    if (!b->detector) {
        free(b);
        return NULL;
    }
    b->all = a;
    b->next = a->boards;
    a->boards = b;
    return b;
}

struct gw_alarm_board *gw_alarms_board(struct gw_alarms *a, const char *detector)
{
    struct gw_alarm_board *b;

    (void)pthread_mutex_lock(&a->lock);
    b = board_of(a, detector);
    (void)pthread_mutex_unlock(&a->lock);
    return b;
}

/* ---- watches ---------------------------------------------------------------------------------------------- */

static void free_watch(struct gw_watch *w)
{
    for (size_t i = 0; w->attributes && i < w->n_attributes; i++)
        free(w->attributes[i]);
    free(w->attributes);
    free(w->alarms);
    free(w);
}

static bool has_same_attributes(const struct gw_watch *w, const struct gw_watch_conf *c)
{
    bool same = w->n_attributes == c->n_attributes;

    for (size_t i = 0; same && i < c->n_attributes; i++)
        same = strcmp(w->attributes[i], c->attributes[i]) == 0;
    return same;
}

static struct gw_watch *new_watch(struct gw_alarm_board *b, const struct gw_watch_conf *c)
{
    struct gw_watch *w = calloc(1, sizeof(*w));
    bool ok = w != NULL;

    if (!ok)
        return NULL;
    *w = (struct gw_watch){.board = b, .hold_ns = c->hold_ns, .max_alarms = c->max_alarms};
    w->key = gw_alarm_key(c->attributes, c->n_attributes);
    w->n_attributes = c->n_attributes;
    w->attributes = calloc(c->n_attributes + 1, sizeof(*w->attributes));
    ok = w->attributes != NULL;
    for (size_t i = 0; ok && i < c->n_attributes; i++)
        ok = (w->attributes[i] = strdup(c->attributes[i])) != NULL;
    if (ok)
        return w;
    free_watch(w);
    return NULL;
}

static void begin_as(struct gw_watch *w, const struct gw_watch *known)
{
    uint32_t n = known->n < w->max_alarms ? known->n : w->max_alarms;

    w->alarms = n ? malloc(n * sizeof(*w->alarms)) : NULL;
    if (!w->alarms)
        return;
    memcpy(w->alarms, known->alarms, n * sizeof(*w->alarms));
    w->n = w->cap = n;
    atomic_store_explicit(&w->version, 1, memory_order_relaxed);
}

/* Under the lock. */
static struct gw_watch *watch_of(struct gw_alarm_board *b, const struct gw_watch_conf *c)
{
    struct gw_watch *w = b->watches, *alike = NULL;

    for (; w && !(has_same_attributes(w, c) && w->hold_ns == c->hold_ns); w = w->next)
        if (has_same_attributes(w, c))
            alike = w;
    if (!w) {
        w = new_watch(b, c);
        if (!w)
            return NULL;
        if (alike)
            begin_as(w, alike);
        w->next = b->watches;
        b->watches = w;
        (void)atomic_fetch_add_explicit(&b->n_watches, 1, memory_order_relaxed);
    }
    if (c->max_alarms > w->max_alarms)
        w->max_alarms = c->max_alarms;
    w->refs++;
    return w;
}

struct gw_watch *gw_watch_new(struct gw_alarms *a, const struct gw_watch_conf *c)
{
    struct gw_alarm_board *b;
    struct gw_watch *w;

    (void)pthread_mutex_lock(&a->lock);
    b = board_of(a, c->detector);
    w = b ? watch_of(b, c) : NULL;
    (void)pthread_mutex_unlock(&a->lock);
    return w;
}

void gw_watch_unref(struct gw_watch *w)
{
    struct gw_alarms *a = w ? w->board->all : NULL;
    struct gw_watch **p;
    bool last;

    if (!w)
        return;
    (void)pthread_mutex_lock(&a->lock);
    last = --w->refs == 0;
    for (p = &w->board->watches; last && *p != w; p = &(*p)->next)
        ;
    if (last) {
        *p = w->next;
        (void)atomic_fetch_sub_explicit(&w->board->n_watches, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&a->lock);
    if (last)
        free_watch(w);
}

uint64_t gw_watch_version(const struct gw_watch *w)
{
    return atomic_load_explicit(&w->version, memory_order_acquire);
}

bool gw_watch_copy(struct gw_watch *w, struct gw_alarm **ret, size_t *ret_n, uint64_t *ret_version)
{
    struct gw_alarms *a = w->board->all;
    struct gw_alarm *copy;

    (void)pthread_mutex_lock(&a->lock);
    copy = malloc(w->n * sizeof(*copy) + 1);
    if (copy) {
        if (w->n)
            memcpy(copy, w->alarms, w->n * sizeof(*copy));
        *ret = copy;
        *ret_n = w->n;
        *ret_version = gw_watch_version(w);
    }
    (void)pthread_mutex_unlock(&a->lock);
    return copy != NULL;
}

/* ---- raising ---------------------------------------------------------------------------------------------- */

bool gw_alarm_is_watched(const struct gw_alarm_board *b)
{
    return atomic_load_explicit(&b->n_watches, memory_order_relaxed) > 0;
}

/* As policies do: the resource goes before the row. */
static bool key_of(const struct gw_watch *w, const struct gw_view *v, uint32_t row, uint64_t *ret)
{
    uint32_t resource = gw_batch_resource_of(v->batch, row);
    char scratch[GW_ALARM_TEXT];
    struct gw_value value;
    struct gw_slice text;

    *ret = w->key;
    for (size_t i = 0; i < w->n_attributes; i++) {
        struct gw_slice name = gw_slice_cstr(w->attributes[i]);

        if (!gw_view_attr_get(v, GW_OWN_RESOURCE, resource, name, &value) &&
            !gw_view_attr_get(v, GW_OWN_ROW, row, name, &value))
            return false;
        if (!gw_alarm_text(&value, scratch, &text))
            return false;
        *ret = gw_alarm_key_add(*ret, text);
    }
    return true;
}

/* A place for one more: a new one, or that of the alarm that ended first. NULL: no memory. */
static struct gw_alarm *place(struct gw_watch *w)
{
    struct gw_alarm *first = w->alarms, *more;
    uint32_t cap = w->cap ? 2 * w->cap : 16;

    if (w->n < w->cap)
        return &w->alarms[w->n++];
    cap = cap < w->max_alarms ? cap : w->max_alarms;
    if (cap > w->cap && (more = realloc(w->alarms, cap * sizeof(*more))) != NULL) {
        w->alarms = more;
        w->cap = cap;
        return &w->alarms[w->n++];
    }
    for (uint32_t i = 1; i < w->n; i++)
        if (w->alarms[i].to_ns < first->to_ns)
            first = &w->alarms[i];
    return first;
}

static uint64_t plus(uint64_t ns, uint64_t more)
{
    return ns + more < ns ? UINT64_MAX : ns + more;
}

/* One that goes on grows at both ends; a later one takes its place, an earlier one was. True: it is new. */
static bool raise(struct gw_watch *w, const struct gw_alarm *new)
{
    struct gw_alarm *a = w->alarms, *end = a + w->n;

    while (a < end && a->key != new->key)
        a++;
    if (a == end) {
        a = place(w);
        if (!a)
            return false;
        *a = *new;
        return true;
    }
    if (new->from_ns > plus(a->to_ns, w->hold_ns)) {
        *a = *new;
        return true;
    }
    if (plus(new->to_ns, w->hold_ns) < a->from_ns)
        return false;
    a->from_ns = new->from_ns < a->from_ns ? new->from_ns : a->from_ns;
    a->to_ns = new->to_ns > a->to_ns ? new->to_ns : a->to_ns;
    a->score = new->score > a->score ? new->score : a->score;
    return false;
}

/* A gauge may have begun with its process: what is unusual did not. */
static uint64_t begin_of(const struct gw_watch *w, uint64_t start_ns, uint64_t to_ns)
{
    uint64_t least = to_ns > w->hold_ns ? to_ns - w->hold_ns : 0;

    if (start_ns == 0 || start_ns > to_ns)
        return to_ns;
    return start_ns > least ? start_ns : least;
}

unsigned gw_alarm_raise(struct gw_alarm_board *b, const struct gw_view *v, uint32_t row, double score)
{
    struct gw_alarm new = {.to_ns = v->batch->time_ns[row], .score = score};
    unsigned n_new = 0;

    (void)pthread_mutex_lock(&b->all->lock);
    for (struct gw_watch *w = b->watches; w; w = w->next) {
        if (!key_of(w, v, row, &new.key))
            continue;
        new.from_ns = begin_of(w, v->batch->start_ns[row], new.to_ns);
        n_new += raise(w, &new);
        (void)atomic_fetch_add_explicit(&w->version, 1, memory_order_release);
    }
    (void)pthread_mutex_unlock(&b->all->lock);
    return n_new;
}
