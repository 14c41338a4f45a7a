/* SPDX-License-Identifier: Apache-2.0 */
/* What all workers have counted, and how it leaves. */
#include "connectors/span_metrics/span_metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/host.h"

#define WARN_EVERY_NS UINT64_C(60000000000)
enum { CUT_BYTES = 1 << 20, MAX_BODY_BYTES = 1 << 30, POINT_BYTES = 512, EVICTED_FACTOR = 4 };

/* A UUID of version 4. */
static void make_instance_id(struct gw_env *env, char ret[40])
{
    uint64_t high = gw_random_u64(env), low = gw_random_u64(env);

    (void)snprintf(ret, 40, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff),
                   (unsigned)(high & 0xfff), (unsigned)((low >> 48 & 0x3fff) | 0x8000),
                   (unsigned long long)(low & 0xffffffffffff));
}

int gw_span_metrics_totals_new(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct totals *all = calloc(1, sizeof(*all));
    struct gw_bounds bounds;

    if (!all || gw_span_metrics_bounds(conf, &bounds) < 0) {
        free(all);
        return gw_fail(err, -ENOMEM, "out of memory");
    }
    all->ctx = ctx;
    all->conf = conf;
    (void)pthread_mutex_init(&all->lock, NULL);
    gw_span_metrics_tables_init(&all->t, conf, &bounds, ctx->host->memory);
    gw_series_init(&all->stamps, &(struct gw_series_conf){.value_bytes = sizeof(uint64_t),
                                                          .max_series = UINT32_MAX,
                                                          .credit = ctx->host->memory});
    gw_series_group_init(&all->all_stamps);
    all->due_ns = gw_mono_ns(ctx->env) + all->conf->metrics_flush_interval_ns;
    make_instance_id(ctx->env, all->instance_id);
    *ret = all;
    return 0;
}

void gw_span_metrics_totals_free(void *totals)
{
    struct totals *all = totals;

    gw_span_metrics_tables_clear(&all->t);
    gw_series_clear(&all->stamps);
    free((double *)(uintptr_t)all->t.bounds.at);
    (void)pthread_mutex_destroy(&all->lock);
    free(all);
}

void gw_span_metrics_uncharge(struct totals *all)
{
    for (unsigned i = 0; i < N_TABLES; i++)
        gw_series_uncharge(&all->t.series[i]);
    gw_series_uncharge(&all->t.resources);
    gw_series_uncharge(&all->stamps);
}

/* ---- resources: those that were seen last stay ------------------------------------------------------------------- */

static void unlink_resource(struct resource_list *l, struct resource *r)
{
    *(r->newer ? &r->newer->older : &l->newest) = r->older;
    *(r->older ? &r->older->newer : &l->oldest) = r->newer;
    l->n--;
}

static void link_newest(struct resource_list *l, struct resource *r)
{
    r->newer = NULL;
    r->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = r;
    l->newest = r;
    l->n++;
}

static void forget(struct totals *all, struct resource_list *l, struct resource *r)
{
    unlink_resource(l, r);
    for (unsigned i = 0; i < N_TABLES; i++)
        gw_series_drop(&all->t.series[i], &r->groups[i]);
    gw_series_remove(&all->t.resources, r->series);
}

/* Its series go out once more, with the next flush; if there is no room for one, they cannot wait for ever. */
static void evict(struct totals *all, struct resource *r)
{
    unlink_resource(&all->used, r);
    r->is_evicted = true;
    link_newest(&all->evicted, r);
    if (all->evicted.n > EVICTED_FACTOR * all->conf->resource_metrics_cache_size)
        forget(all, &all->evicted, all->evicted.oldest);
}

bool gw_span_metrics_is_crowded(const struct totals *all)
{
    return all->evicted.n >= all->conf->resource_metrics_cache_size;
}

static void use(struct totals *all, struct resource *r, bool is_new)
{
    if (!is_new)
        unlink_resource(r->is_evicted ? &all->evicted : &all->used, r);
    r->is_evicted = false;
    link_newest(&all->used, r);
    if (all->used.n > all->conf->resource_metrics_cache_size)
        evict(all, all->used.oldest);
}

/* ---- merging
 * --------------------------------------------------------------------------------------------------------- */

static void merge_exemplars(const struct totals *all, struct value *to, struct value *from)
{
    uint64_t most = all->conf->exemplars.max_per_data_point;

    if (from->n_exemplars && !to->exemplars)
        to->exemplars = calloc(most, sizeof(*to->exemplars));
    for (uint32_t i = 0; to->exemplars && i < from->n_exemplars && to->n_exemplars < most; i++)
        to->exemplars[to->n_exemplars++] = from->exemplars[i];
}

/* False: no memory for the buckets. */
static bool merge_value(struct totals *all, unsigned table, struct value *to, const struct value *from)
{
    const struct histogram_conf *h = &all->conf->histogram;

    if (table != EVENTS && !h->disable && !h->has_exponential)
        gw_explicit_merge(gw_span_metrics_explicit(to), &all->t.bounds, (const struct gw_explicit *)(from + 1));
    if (from->exponential.max_size) {
        if (to->exponential.max_size == 0)
            gw_exponential_init(&to->exponential, from->exponential.max_size);
        if (!gw_exponential_merge(&to->exponential, &from->exponential))
            return false;
    }
    to->start_ns = to->start_ns ? to->start_ns : from->start_ns;
    to->count += from->count;
    return true;
}

static void reset_value(const struct tables *t, unsigned table, struct value *v)
{
    const struct histogram_conf *h = &t->conf->histogram;

    if (table != EVENTS && !h->disable && !h->has_exponential)
        memset(gw_span_metrics_explicit(v), 0, gw_explicit_bytes(&t->bounds));
    if (v->exponential.max_size)
        gw_exponential_reset(&v->exponential);
    v->start_ns = v->count = 0;
    v->n_exemplars = 0;
}

static uint64_t merge_series(struct totals *all, struct deltas *d, unsigned table, struct gw_series *s)
{
    struct value *from = gw_series_value(s), *to;
    const struct resource *delta =
        (const struct resource *)((const char *)(s->group - table) - offsetof(struct resource, groups));
    struct gw_series *rs = gw_series_find(&all->t.resources, &all->t.all, gw_series_key(&d->t.resources, delta->series),
                                          delta->series->hash);
    struct resource *r = rs ? gw_series_value(rs) : all->t.all.overflow ? gw_series_value(all->t.all.overflow) : NULL;
    struct gw_series *total = r ? gw_series_get_hashed(&all->t.series[table], &r->groups[table],
                                                       gw_series_key(&d->t.series[table], s), s->hash, s->seen_ns)
                                : NULL;
    uint64_t lost = 0;

    to = total ? gw_series_value(total) : NULL;
    if (!to || !merge_value(all, table, to, from))
        lost = from->count;
    else if (!total->is_overflow)
        merge_exemplars(all, to, from);
    reset_value(&d->t, table, from);
    return lost;
}

static void merge_resource(struct totals *all, struct deltas *d, struct resource *from)
{
    uint32_t before = all->t.resources.n;
    struct resource *r =
        gw_span_metrics_get_resource(&all->t, gw_series_key(&d->t.resources, from->series), from->series->hash,
                                     gw_buf_slice(&from->attrs), from->series->seen_ns);

    from->is_touched = false;
    if (!r)
        return;
    r->seen_ns = from->series->seen_ns;
    use(all, r, all->t.resources.n != before);
}

static bool is_large(const struct deltas *d)
{
    bool large = d->t.resources.n > MAX_DELTA_RESOURCES / 2;

    for (unsigned t = 0; t < N_TABLES; t++)
        large |= d->t.series[t].n > MAX_DELTAS / 2 || d->t.series[t].bytes > MAX_DELTA_BYTES / 2;
    return large;
}

uint64_t gw_span_metrics_merge(struct totals *all, struct deltas *d)
{
    uint64_t lost = 0;

    for (uint32_t i = 0; i < d->n_resources; i++)
        merge_resource(all, d, d->resources[i]);
    for (unsigned t = 0; t < N_TABLES; t++) {
        for (uint32_t i = 0; i < d->n_touched[t]; i++)
            lost += merge_series(all, d, t, d->touched[t][i]);
        all->is_dirty |= d->n_touched[t] > 0;
        d->n_touched[t] = 0;
    }
    d->n_resources = 0;
    if (is_large(d)) /* else they are wanted again, soon */
        gw_span_metrics_tables_clear(&d->t);
    return lost;
}

/* ---- out
 * ------------------------------------------------------------------------------------------------------------- */

struct flush {
    struct totals *all;
    struct gw_ports *out;
    struct gw_mw w;
    struct gw_buf stamp_key;
    uint64_t wall_ns;
    size_t bytes;
};

static int cut(void *arg, struct gw_slice body, uint32_t points)
{
    struct flush *f = arg;

    (void)points;
    f->bytes += body.n;
    return gw_mw_emit(f->out, NULL, body, "span_metrics", f->wall_ns);
}

/* Delta: where the point before ended, if that is known. */
static uint64_t start_of(struct flush *f, const struct resource *r, unsigned table, struct gw_series *s)
{
    struct totals *all = f->all;
    const struct value *v = gw_series_value(s);
    struct gw_series *stamp;
    uint64_t *last, before;

    if (all->conf->aggregation_temporality == CUMULATIVE)
        return v->start_ns;
    gw_buf_reset(&f->stamp_key);
    gw_buf_put_u8(&f->stamp_key, (uint8_t)table);
    gw_buf_put_slice(&f->stamp_key, gw_series_key(&all->t.resources, r->series));
    gw_buf_put_u8(&f->stamp_key, 0); /* no tag of a run is 0 */
    gw_buf_put_slice(&f->stamp_key, gw_series_key(&all->t.series[table], s));
    stamp = gw_series_get(&all->stamps, &all->all_stamps, gw_buf_slice(&f->stamp_key), f->wall_ns);
    if (!stamp || stamp->is_overflow)
        return v->start_ns;
    last = gw_series_value(stamp);
    before = *last;
    *last = f->wall_ns;
    return before ? before : v->start_ns;
}

static struct gw_mw_point point_of(struct flush *f, unsigned table, struct gw_series *s, uint64_t start_ns)
{
    struct value *v = gw_series_value(s);

    for (uint32_t i = 0; i < v->n_exemplars; i++)
        v->exemplars[i].time_ns = f->wall_ns;
    return (struct gw_mw_point){gw_series_key(&f->all->t.series[table], s), start_ns, f->wall_ns, v->exemplars,
                                v->n_exemplars};
}

static void begin_metric(struct flush *f, const char *name, struct gw_buf *text, struct gw_mw_metric m)
{
    const struct conf *c = f->all->conf;

    gw_buf_reset(text);
    gw_buf_printf(text, "%s%s%s", c->namespace_, *c->namespace_ ? "." : "", name);
    m.name = gw_buf_slice(text);
    m.temporality = c->aggregation_temporality == DELTA ? GW_T_DELTA : GW_T_CUMULATIVE;
    gw_mw_metric(&f->w, &m);
}

static void put_sums(struct flush *f, struct resource *r, unsigned table, const char *name, struct gw_buf *text)
{
    const struct conf *c = f->all->conf;

    begin_metric(f, name, text, (struct gw_mw_metric){.type = GW_M_SUM, .monotonic = true});
    for (struct gw_series *s = r->groups[table].first; s; s = s->next) {
        struct value *v = gw_series_value(s);
        uint64_t start = start_of(f, r, table, s);
        struct gw_mw_point p = point_of(f, table, s, start);
        bool zero = c->aggregation_temporality == CUMULATIVE && c->zero_first_point && !v->is_told;

        v->start_ns = start; /* of a delta: its histogram begins there, too, and then it is gone */
        v->is_told = true;
        gw_mw_int(&f->w, &p, zero ? 0 : (int64_t)v->count);
    }
}

static void put_histograms(struct flush *f, struct resource *r, unsigned table, struct gw_buf *text)
{
    const struct histogram_conf *h = &f->all->conf->histogram;

    begin_metric(f, "duration", text,
                 (struct gw_mw_metric){.unit = h->unit == UNIT_S ? GW_SLICE("s") : GW_SLICE("ms"),
                                       .type = h->has_exponential ? GW_M_EXP_HISTOGRAM : GW_M_HISTOGRAM});
    for (struct gw_series *s = r->groups[table].first; s; s = s->next) {
        struct value *v = gw_series_value(s);
        struct gw_mw_point p = point_of(f, table, s, table == CALLS ? v->start_ns : start_of(f, r, table, s));

        if (h->has_exponential)
            gw_mw_exponential(&f->w, &p, &v->exponential);
        else
            gw_mw_histogram(&f->w, &p, &f->all->t.bounds, gw_span_metrics_explicit(v));
    }
}

/* With the same dimensions calls and durations are of the same series. */
static bool is_same(const struct conf *c)
{
    return !c->calls_dimensions.n && !c->histogram.dimensions.n;
}

static void put_resource(struct flush *f, struct resource *r)
{
    const struct conf *c = f->all->conf;
    struct gw_buf names[N_TABLES];

    for (unsigned i = 0; i < N_TABLES; i++)
        gw_buf_init(&names[i], 4096);
    gw_mw_resource(&f->w, c->add_resource_attributes ? gw_buf_slice(&r->attrs) : GW_SLICE(""), GW_SLICE(""));
    gw_mw_scope(&f->w, GW_SLICE("spanmetricsconnector"), GW_SLICE(""));
    put_sums(f, r, CALLS, "calls", &names[CALLS]);
    if (!c->histogram.disable)
        put_histograms(f, r, is_same(c) ? CALLS : DURATION, &names[DURATION]);
    if (c->events.enabled)
        put_sums(f, r, EVENTS, "events", &names[EVENTS]);
    for (unsigned i = 0; i < N_TABLES; i++)
        gw_buf_clear(&names[i]);
}

/* ---- after a flush
 * ----------------------------------------------------------------------------------------------------- */

static void trim_stamps(struct totals *all, uint64_t wall_ns)
{
    uint64_t most = all->conf->metric_timestamp_cache_size;

    if (all->all_stamps.n > most)
        (void)gw_series_expire(&all->stamps, &all->all_stamps, wall_ns);
    while (all->all_stamps.n > most)
        gw_series_remove(&all->stamps, all->all_stamps.first);
}

static void clear_exemplars(struct resource *r)
{
    for (unsigned t = 0; t < N_TABLES; t++)
        for (struct gw_series *s = r->groups[t].first; s; s = s->next)
            ((struct value *)gw_series_value(s))->n_exemplars = 0;
}

static void expire(struct totals *all, uint64_t mono_ns)
{
    const struct conf *c = all->conf;
    uint64_t series = c->series_expiration_ns, resources = c->metrics_expiration_ns;

    for (struct resource *r = all->used.oldest, *next; r; r = next) {
        next = r->newer;
        if (c->exemplars.enabled)
            clear_exemplars(r);
        for (unsigned t = 0; t < N_TABLES && series && mono_ns >= series; t++)
            (void)gw_series_expire(&all->t.series[t], &r->groups[t], mono_ns - series + 1);
        if (resources && mono_ns >= r->seen_ns + resources)
            evict(all, r); /* as the Collector does it: with the next flush it is told once more */
    }
}

static void begin_anew(struct totals *all, uint64_t mono_ns, uint64_t wall_ns)
{
    if (all->conf->aggregation_temporality == DELTA) {
        gw_span_metrics_tables_clear(&all->t);
        all->used = all->evicted = (struct resource_list){0};
        trim_stamps(all, wall_ns);
    } else {
        while (all->evicted.oldest)
            forget(all, &all->evicted, all->evicted.oldest);
        expire(all, mono_ns);
    }
    all->is_dirty = false;
}

static uint32_t points(const struct totals *all)
{
    uint32_t n = 0;

    for (unsigned t = 0; t < N_TABLES; t++)
        n += all->t.series[t].n * (t == CALLS && !all->conf->histogram.disable && is_same(all->conf) ? 2 : 1);
    return n;
}

static void tell_no_room(struct totals *all, uint64_t mono_ns)
{
    if (all->warned_ns && mono_ns < all->warned_ns + WARN_EVERY_NS)
        return;
    all->warned_ns = mono_ns;
    gw_log(&all->ctx->logger, GW_LOG_WARN, "the queues behind it are full: metrics are sent when there is room");
}

bool gw_span_metrics_flush(struct totals *all, struct gw_ports *out, uint64_t mono_ns)
{
    struct flush f = {.all = all, .out = out, .wall_ns = gw_wall_ns(all->ctx->env)};
    uint32_t n = points(all);
    struct gw_buf body;
    int rc;

    if (n && !gw_has_room(out, n, all->last_bytes ? all->last_bytes : (size_t)n * POINT_BYTES)) {
        tell_no_room(all, mono_ns);
        return false;
    }
    gw_buf_init(&body, MAX_BODY_BYTES);
    gw_buf_init(&f.stamp_key, 4 << 20);
    gw_mw_init(&f.w, &body, CUT_BYTES, cut, &f);
    for (struct resource *r = all->used.oldest; r; r = r->newer)
        put_resource(&f, r);
    for (struct resource *r = all->evicted.oldest; r; r = r->newer)
        put_resource(&f, r);
    rc = gw_mw_end(&f.w);
    if (rc < 0)
        gw_log(&all->ctx->logger, GW_LOG_ERROR, "metrics could not be written: %s", strerror(-rc));
    all->last_bytes = f.bytes;
    gw_buf_clear(&body);
    gw_buf_clear(&f.stamp_key);
    begin_anew(all, mono_ns, f.wall_ns);
    return true;
}
