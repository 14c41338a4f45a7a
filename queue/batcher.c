/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks wait here until they are a batch: min_size reached, flush_timeout passed, or the edge is draining. One open
 * batch per way of batching, pipeline and combination of metadata values.
 */
#include <stdlib.h>

#include "queue/dead_letter.h"
#include "queue/edge_impl.h"

static bool same_values(const struct gw_meta *a, const struct gw_meta *b, struct gw_slice key)
{
    for (unsigned i = 0;; i++) {
        struct gw_slice x, y;
        bool has_a = a && gw_meta_find(a, key, i, &x), has_b = b && gw_meta_find(b, key, i, &y);

        if (has_a != has_b || (has_a && !gw_slice_eq(x, y)))
            return false;
        if (!has_a)
            return true;
    }
}

static bool belongs(const struct gw_open_batch *o, const struct gw_batching *how, const struct gw_chunk *c)
{
    const struct gw_meta *meta = c->meta;

    if (o->how != how || o->book != c->book)
        return false;
    for (unsigned i = 0; i < how->n_metadata_keys; i++)
        if (!same_values(o->meta, meta, gw_slice_cstr(how->metadata_keys[i])))
            return false;
    return true;
}

/* NULL: the batch is no batch processor's, or its metrics are above the level. */
static const char *counted_for(const struct gw_lane *l, const struct gw_batching *how, enum gw_metrics_level from)
{
    return l->edge->conf.level >= from ? how->processor : NULL;
}

static void count_trigger(struct gw_open_batch *o, const char *name, const char *help)
{
    const struct gw_label l = {"processor", counted_for(o->lane, o->how, GW_LEVEL_NORMAL)};

    if (l.value)
        gw_metric_add(gw_meter_get(o->lane->edge->conf.meter, GW_COUNTER, name, help, &l, 1), 1);
}

static void observe_size(struct gw_open_batch *o)
{
    const struct gw_label l = {"processor", counted_for(o->lane, o->how, GW_LEVEL_NORMAL)};
    struct gw_meter *m = o->lane->edge->conf.meter;

    if (!l.value)
        return;
    gw_metric_observe(gw_meter_get_histogram(m, "otelcol_processor_batch_batch_send_size",
                                             "Number of units in the batch", &l, 1, gw_row_bounds, GW_N_ROW_BOUNDS),
                      (double)o->rows);
    if (counted_for(o->lane, o->how, GW_LEVEL_DETAILED))
        gw_metric_observe(gw_meter_get_histogram(m, "otelcol_processor_batch_batch_send_size_bytes",
                                                 "Number of bytes in batch that was sent", &l, 1, gw_byte_bounds,
                                                 GW_N_BYTE_BOUNDS),
                          (double)o->bytes);
}

static void push_all(struct gw_lane *l, struct gw_chunk *c)
{
    for (struct gw_chunk *next; c; c = next) {
        next = c->next;
        c->next = NULL;
        gw_sender_push(l, c);
    }
}

static void count_open(struct gw_lane *l, int change, const struct gw_batching *how)
{
    const struct gw_label label = {"processor", counted_for(l, how, GW_LEVEL_NORMAL)};

    l->n_open += (unsigned)change;
    if (label.value && how->n_metadata_keys)
        gw_metric_add(gw_meter_get(l->edge->conf.meter, GW_GAUGE, "otelcol_processor_batch_metadata_cardinality",
                                   "Number of distinct metadata value combinations being processed", &label, 1),
                      (uint64_t)(int64_t)change); /* of all exporters behind the processor */
}

/* The batch leaves, whole or in pieces. Without memory for that its chunks leave as they are. */
static void flush(struct gw_open_batch *o)
{
    struct gw_lane *l = o->lane;
    const struct gw_batching *how = o->how;
    struct gw_chunk *all = gw_chunk_merge(l->edge, o->first, l->edge->ops->takes_parts), *pieces = NULL;
    struct gw_working w;
    uint32_t before;

    gw_timer_disarm(&o->timer);
    for (struct gw_open_batch **p = &l->open; *p; p = &(*p)->next)
        if (*p == o) {
            *p = o->next;
            break;
        }
    observe_size(o);
    count_open(l, -1, how);
    gw_working_begin(&w, l->edge, all ? all->tab : NULL, /* waited_for= */ true, /* crashes= */ 0);
    before = gw_flight_enter(w.scope);
    if (all && how->max_size && l->edge->ops->merge == GW_MERGE_OTLP &&
        (how->by_bytes ? all->body.n : all->rows) > how->max_size)
        (void)gw_chunk_split(l->edge, all, how->by_bytes ? 0 : (uint32_t)how->max_size,
                             how->by_bytes ? how->max_size : 0, &pieces);
    (void)gw_flight_enter(before);
    gw_working_end(&w);
    push_all(l, pieces ? pieces : all ? all : o->first);
    free(o);
}

static void on_timeout(struct gw_timer *t)
{
    struct gw_open_batch *o = (struct gw_open_batch *)((char *)t - offsetof(struct gw_open_batch, timer));
    struct gw_lane *l = o->lane;

    count_trigger(o, "otelcol_processor_batch_timeout_trigger_send",
                  "Number of times the batch was sent due to a timeout trigger");
    flush(o);
    gw_sender_pump(l);
}

static struct gw_open_batch *find_open(struct gw_lane *l, const struct gw_batching *how, const struct gw_chunk *c)
{
    struct gw_open_batch *o;

    for (o = l->open; o; o = o->next)
        if (belongs(o, how, c))
            return o;
    /* Over the limit of combinations the oldest batch has to go early: nothing is refused, nothing mixed. */
    if (how->cardinality_limit && l->n_open >= how->cardinality_limit)
        for (o = l->open; o; o = o->next)
            if (!o->next) {
                flush(o);
                break;
            }
    o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    o->lane = l;
    o->how = how;
    o->meta = c->meta;
    o->book = c->book;
    o->last = &o->first;
    o->timer.fire = on_timeout;
    o->next = l->open;
    l->open = o;
    count_open(l, 1, how);
    return o;
}

/* What was a dead letter goes alone, so that its chain is that of all its rows. */
void gw_batcher_add(struct gw_lane *l, struct gw_chunk *c)
{
    const struct gw_batching *how = l->edge->own_batching.enabled ? &l->edge->own_batching : c->batching;
    struct gw_open_batch *o = NULL;

    if (how && how->enabled && l->edge->ops->merge != GW_MERGE_NONE && gw_dead_letter_chain(c->meta).n == 0)
        o = find_open(l, how, c);
    if (!o) {
        gw_sender_push(l, c);
        return;
    }
    c->next = NULL;
    *o->last = c;
    o->last = &c->next;
    o->rows += c->rows;
    o->bytes += c->body.n;
    if (how->flush_timeout_ns == 0 || (how->by_bytes ? o->bytes : o->rows) >= how->min_size) {
        count_trigger(o, "otelcol_processor_batch_batch_size_trigger_send",
                      "Number of times the batch was sent due to a size trigger");
        flush(o);
    } else if (!gw_timer_is_armed(&o->timer)) {
        struct gw_loop *loop = atomic_load(&l->edge->loop);

        gw_timer_arm(loop, &o->timer, gw_loop_now_ns(loop) + how->flush_timeout_ns);
    }
}

void gw_batcher_flush_all(struct gw_lane *l)
{
    while (l->open)
        flush(l->open);
}
