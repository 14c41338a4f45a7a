/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind a journal: what is looked at when a step has ended (step.h), in this order:
 *
 *   followed   rows of remembered traces came: they were asked for last now, by ids
 *   links      of the rows that came
 *   enough     traces that are settled, too long, too large
 *   house      while there are too many traces, or bytes: the oldest; of one step by ids
 *   due        by time, then by ids
 */
#include <stdlib.h>

#include "processors/tail_sampling/passes.h"
#include "processors/tail_sampling/step.h"
#include "processors/tail_sampling/take.h"

/* Decided in one call: what is left waits for the next turn. */
enum { STEP_SPANS = 16384, STEP_TRACES = 8192, MORE_LINKS = 1024 };

/* ---- while it goes on ------------------------------------------------------------------------------------- */

/* It stops here, as without memory for the record. */
static void fail(struct gw_tail *s)
{
    s->log->kept->record.failed = true;
}

static void put_now(struct gw_tail *s, const uint8_t id[16], uint64_t value)
{
    struct gw_tail_log *l = s->log;

    if (!gw_kept_put_more(s->ctx.env, &l->now, &l->max_now, id, value))
        fail(s);
}

static bool is_kept(const struct gw_tail *s, uint64_t value)
{
    return gw_reasons_get(s->reasons, (uint32_t)(value & (GW_TAIL_CACHED - 1)))->kept;
}

static void remember(struct gw_tail *s, const uint8_t id[16], uint64_t value)
{
    gw_ids_put(is_kept(s, value) ? s->kept : s->gone, id, value & ~GW_TAIL_CACHED);
}

static void is_over(struct gw_tail *s, const uint8_t id[16])
{
    if (s->log->linked)
        gw_ids_put(s->log->linked, id, 0);
}

/* At the barrier of a step in which rows have come again: are some of them this trace's? */
static bool has_come_again(struct gw_tail *s, const uint8_t id[16])
{
    const struct gw_kept *k = s->log->kept;
    struct gw_trace *t;

    if (!k->at_barrier || !k->came_again)
        return false;
    if (s->passes)
        return gw_tail_passes_has_come(s, id);
    t = s->store ? gw_traces_find(s->store, id) : NULL;
    return t && gw_tail_facts(t)->last_ns == k->now_ns;
}

void gw_tail_log_note(struct gw_tail *s, const uint8_t id[16], uint64_t value)
{
    struct gw_kept *k = s->log->kept;
    bool has_rows = !k->at_barrier || has_come_again(s, id);

    if (k->at_barrier) {
        remember(s, id, value);
        if (s->passes)
            gw_tail_log_note_passes(s, id, value & ~GW_TAIL_CACHED, k->now_ns + has_rows,
                                    GW_TAIL_REMEMBERED | (value & GW_TAIL_CACHED ? GW_TAIL_FOLLOWED : 0));
        else
            gw_kept_note_upto(k, id, value & ~GW_TAIL_CACHED, k->now_ns + has_rows);
        is_over(s, id);
    }
    if (has_rows)
        put_now(s, id, value);
}

void gw_tail_log_note_lost(struct gw_tail *s, const uint8_t id[16])
{
    struct gw_kept *k = s->log->kept;

    gw_kept_note_upto(k, id, GW_KEPT_NOTHING, k->now_ns + has_come_again(s, id));
    is_over(s, id);
}

bool gw_tail_log_recall(struct gw_tail *s, const uint8_t id[16], uint64_t *ret)
{
    struct gw_tail_log *l = s->log;

    if (l->now && gw_ids_peek(l->now, id, ret))
        return true;
    if (!gw_ids_peek(s->kept, id, ret) && !gw_ids_peek(s->gone, id, ret))
        return false;
    *ret |= GW_TAIL_CACHED;
    put_now(s, id, *ret); /* these rows went, too */
    return true;
}

bool gw_tail_log_is_amid(const struct gw_tail *s)
{
    return s->log && !s->log->kept->at_barrier;
}

bool gw_tail_log_was_linked(struct gw_tail *s, const uint8_t id[16])
{
    uint64_t is = 0;

    return s->log->linked && gw_ids_peek(s->log->linked, id, &is) && is;
}

void gw_tail_log_enough(struct gw_tail *s, const uint8_t id[16])
{
    struct gw_tail_log *l = s->log;

    if (!gw_kept_put_more(s->ctx.env, &l->enough, &l->max_enough, id, 0))
        fail(s);
}

/* ---- links ------------------------------------------------------------------------------------------------ */

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct gw_tail_link));
}

/* In order, each once; the last ones, when there are more than are remembered. */
static void sort_links(struct gw_tail *s)
{
    struct gw_tail_log *l = s->log;
    uint32_t n = 0, most = gw_tail_links_max(s->links);

    if (l->n_links)
        qsort(l->links, l->n_links, sizeof(*l->links), by_bytes);
    for (uint32_t i = 0; i < l->n_links; i++)
        if (n == 0 || by_bytes(&l->links[n - 1], &l->links[i]) != 0)
            l->links[n++] = l->links[i];
    if (n > most)
        memmove(l->links, l->links + (n - most), most * sizeof(*l->links));
    l->n_links = n < most ? n : most;
}

static bool make_room(struct gw_tail *s)
{
    struct gw_tail_log *l = s->log;
    uint32_t most = 2 * gw_tail_links_max(s->links) + MORE_LINKS, cap = l->cap_links ? 2 * l->cap_links : MORE_LINKS;
    struct gw_tail_link *more;

    if (l->n_links < l->cap_links)
        return true;
    if (l->cap_links == most) {
        sort_links(s);
        return true;
    }
    cap = cap < most ? cap : most;
    more = realloc(l->links, cap * sizeof(*more));
    if (!more)
        return false;
    l->links = more;
    l->cap_links = cap;
    return true;
}

void gw_tail_log_link(struct gw_tail *s, const uint8_t from[16], const uint8_t to[16])
{
    struct gw_tail_log *l = s->log;

    if (l->kept->rebuilds) /* it was written down */
        return;
    if (!make_room(s)) {
        fail(s);
        return;
    }
    memcpy(l->links[l->n_links].from, from, 16);
    memcpy(l->links[l->n_links++].to, to, 16);
}

static void take_links(struct gw_tail *s)
{
    struct gw_tail_log *l = s->log;

    if (s->links)
        sort_links(s);
    else
        l->n_links = 0; /* a reload follows none any more */
    for (uint32_t i = 0; i < l->n_links; i++) {
        const struct gw_tail_link *x = &l->links[i];

        if (gw_tail_links_put(s->links, x->from, x->to))
            gw_tail_log_put_link(&l->linked_record, x->from, x->to);
        gw_tail_links_look(s, x->from, x->to);
    }
    l->n_links = 0;
}

/* ---- its end ---------------------------------------------------------------------------------------------- */

struct told {
    uint8_t id[16];
    uint64_t value;
};

static void add_told(void *arg, const uint8_t id[16], uint64_t value)
{
    struct told **at = arg;

    memcpy((*at)->id, id, 16);
    (*at)++->value = value;
}

/* Both begin with the id. */
static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void tell(struct gw_tail *s, const struct told *t)
{
    gw_tail_log_note(s, t->id, t->value);
    if (s->links && !(t->value & GW_TAIL_CACHED) && is_kept(s, t->value))
        gw_tail_links_kept(s, t->id);
}

void gw_tail_step_close(struct gw_tail *s)
{
    struct gw_tail_log *l = s->log;
    uint32_t n = l->now ? gw_ids_n(l->now) : 0;
    struct told *list = n ? malloc(n * sizeof(*list)) : NULL, *end = list;

    if (n && !list)
        fail(s);
    if (list) {
        gw_ids_each(l->now, add_told, &end);
        qsort(list, n, sizeof(*list), by_id);
    }
    for (uint32_t i = 0; list && i < n; i++)
        tell(s, &list[i]);
    free(list);
    gw_ids_free(l->now);
    l->now = NULL;
}

static void add_id(void *arg, const uint8_t id[16], uint64_t value)
{
    struct gw_tail_log *l = arg;

    (void)value;
    memcpy(l->due[l->n_due++], id, 16);
}

/* Those of which enough has come, in order. */
static void list_enough(struct gw_tail *s)
{
    struct gw_tail_log *l = s->log;

    if (!l->enough)
        return;
    free(l->due);
    l->n_due = l->at_due = 0;
    l->due = malloc(gw_ids_n(l->enough) * sizeof(*l->due));
    if (!l->due) {
        fail(s);
        return;
    }
    gw_ids_each(l->enough, add_id, l);
    qsort(l->due, l->n_due, sizeof(*l->due), by_id);
    gw_ids_free(l->enough);
    l->enough = NULL;
}

const uint8_t *gw_tail_step_enough(struct gw_tail *s)
{
    struct gw_tail_log *l = s->log;

    list_enough(s);
    return l->at_due < l->n_due ? l->due[l->at_due++] : NULL;
}

struct share {
    uint64_t spans;
    unsigned traces;
};

static bool is_used_up(struct share *k, const struct gw_trace *t)
{
    if (k->spans >= STEP_SPANS || k->traces++ >= STEP_TRACES)
        return true;
    k->spans += gw_tail_is_long(t) ? 0 : t->n_spans;
    return false;
}

/* True: there are more. */
static bool decide_enough(struct gw_tail *s, struct share *share, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_tail_log *l = s->log;
    enum gw_tail_cause cause;
    struct gw_trace *t;

    for (list_enough(s); l->at_due < l->n_due; l->at_due++) {
        t = gw_traces_find(s->store, l->due[l->at_due]);
        if (!t || gw_tail_facts(t)->is_decided)
            continue;
        if (is_used_up(share, t))
            return true;
        gw_tail_ask_again(s, t, out->arena);
        cause = gw_tail_is_enough(s, t->id, gw_tail_facts(t));
        if (cause != GW_TAIL_DUE)
            (void)gw_tail_decide(s, t, cause, now_ns, out);
    }
    return false;
}

/* What is about to leave is no part of it: then it is looked again later. */
static bool is_overfull(const struct gw_tail *s, enum gw_tail_cause *ret)
{
    if (!s->store || s->leaving || gw_traces_n(s->store) == 0)
        return false;
    *ret = gw_traces_n(s->store) > s->max_traces ? GW_TAIL_NUM_TRACES : GW_TAIL_BYTES;
    return *ret == GW_TAIL_NUM_TRACES || (s->max_bytes && gw_traces_used_bytes(s->store) > s->max_bytes);
}

/* True: there is more. */
static bool clear_house(struct gw_tail *s, struct share *share, uint64_t now_ns, struct gw_ports *out)
{
    uint64_t ordered_ns = UINT64_MAX;
    enum gw_tail_cause cause;
    struct gw_trace *t;

    while (is_overfull(s, &cause)) {
        t = gw_traces_oldest(s->store);
        if (t->first_ns != ordered_ns)
            gw_traces_order_oldest(s->store);
        t = gw_traces_oldest(s->store);
        ordered_ns = t->first_ns;
        if (is_used_up(share, t))
            return true;
        gw_tail_give_up(s, t, cause, now_ns, out);
    }
    return s->leaving != NULL;
}

bool gw_tail_step_has_work(const struct gw_tail *s)
{
    enum gw_tail_cause cause;

    return s->log->enough || s->log->at_due < s->log->n_due || is_overfull(s, &cause);
}

int gw_tail_end_step(struct gw_tail *s, uint64_t now_ns, struct gw_ports *out)
{
    struct share share = {0, 0};
    int rc = GW_DONE;

    take_links(s);
    if (s->passes)
        return gw_tail_passes_end_step(s);
    if (s->store) {
        (void)gw_tail_leave(s, STEP_SPANS, /* as_room= */ false, now_ns, out);
        if (s->leaving || decide_enough(s, &share, now_ns, out) || clear_house(s, &share, now_ns, out))
            rc = GW_MORE;
        else
            rc = gw_tail_decide_due(s, now_ns, out);
        (void)gw_tail_leave(s, STEP_SPANS, /* as_room= */ false, now_ns, out);
    }
    return gw_tail_flush(s, out) && !s->leaving ? rc : GW_MORE;
}
