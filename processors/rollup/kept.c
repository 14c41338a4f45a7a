/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/rollup/kept.h"

#include <errno.h>
#include <stdlib.h>

#include "pipeline/host.h"
#include "values/value.h"

enum { MAX_BODIES_BYTES = 1 << 30, MAX_LENGTHS_BYTES = 1 << 20, MAX_TEXT_BYTES = 1 << 16 };

static struct gw_ru_shared *state_of(const void *self)
{
    return gw_ru_state_of((void *)(uintptr_t)self);
}

/* ---- whether -------------------------------------------------------------------------------------------------- */

static bool has(const struct gw_list *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(((const char *const *)names->items)[i], name) == 0)
            return true;
    return false;
}

/* Does a series' key say in which partition its rows are? */
static bool tells_partition(const struct gw_ru_conf *c, unsigned signal, const struct gw_parting *by)
{
    const struct gw_ru_keys *k = &c->keys;

    if (by->by == GW_PART_SERVICE || (by->by == GW_PART_TRACE && signal == GW_METRICS)) /* points have no trace */
        return !c->has_keys || has(&k->resource, "service.name");
    if (by->by != GW_PART_ATTRIBUTES || by->attributes.n > GW_RU_MAX_PARTING)
        return false;
    for (size_t i = 0; c->has_keys && i < by->attributes.n; i++) {
        const char *name = ((const char *const *)by->attributes.items)[i];

        if (!has(&k->resource, name) && !has(&k->scope, name) && !has(&k->attributes, name))
            return false;
    }
    return true;
}

static const char *unfit(const void *conf, unsigned signal, const struct gw_parting *by, unsigned n_workers)
{
    const struct gw_ru_conf *c = conf;

    if (n_workers > 1 && !tells_partition(c, signal, by))
        return "the journal is not partitioned by what tells its series apart, and there are several workers";
    if (c->max_bytes / n_workers > GW_LOG_MAX_BODY_BYTES)
        return "a worker's part of max_bytes is more than 256 MiB, and would not fit a record of the log";
    return NULL;
}

/* ---- begin ---------------------------------------------------------------------------------------------------- */

/* What is written down is of windows, aggregates and keys. */
static uint64_t settings_of(const struct gw_ru_shared *all)
{
    const struct gw_ru_kept *k = all->kept;
    const struct gw_list *keys[] = {&all->conf->keys.resource, &all->conf->keys.scope, &all->conf->keys.attributes};
    struct gw_buf b;
    uint64_t hash;

    gw_buf_init(&b, MAX_TEXT_BYTES);
    for (unsigned i = 0; i < all->n_windows; i++)
        gw_buf_printf(&b, "window %d %llu %llu %llu;", all->windows[i].type,
                      (unsigned long long)all->windows[i].size_ns, (unsigned long long)all->windows[i].slide_ns,
                      (unsigned long long)all->windows[i].gap_ns);
    for (unsigned i = 0; i < all->n_windows && all->has_cascade; i++)
        gw_buf_printf(&b, "feeds %u;", all->windows[i].feeds);
    gw_buf_printf(&b, "told %d;", all->conf->emit.mode);
    for (unsigned i = 0; i < all->n_specs; i++)
        gw_buf_printf(&b, "%s %u;", all->names[i], all->specs[i].size);
    gw_buf_printf(&b, "of %s;", all->conf->item);
    gw_buf_printf(&b, "%u %u; by %d %d", all->plan.parts, all->plan.state_bytes, k->by.by, k->is_whole);
    for (size_t i = 0; i < k->by.attributes.n; i++)
        gw_buf_printf(&b, " %s", k->names[i]);
    for (unsigned l = 0; all->conf->has_keys && l < 3; l++) {
        gw_buf_put_str(&b, "; keys");
        for (size_t i = 0; i < keys[l]->n; i++)
            gw_buf_printf(&b, " %s", ((const char *const *)keys[l]->items)[i]);
    }
    hash = gw_hash_stable(gw_buf_slice(&b));
    gw_buf_clear(&b);
    return hash;
}

static uint64_t times_of(const struct gw_ru_shared *all)
{
    const struct gw_ru_conf *c = all->conf;
    const uint64_t v[] = {(uint64_t)c->time.watermark, c->time.bounded_delay_ns, c->time.idle_timeout_ns,
                          c->allowed_lateness_ns, c->emit.interval_ns};

    return gw_hash_stable(gw_slice_of(v, sizeof(v)));
}

static struct gw_ru_kept *kept_new(const struct gw_parting *by, uint64_t partitions)
{
    struct gw_ru_kept *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    gw_buf_init(&k->bodies, MAX_BODIES_BYTES);
    gw_buf_init(&k->lengths, MAX_LENGTHS_BYTES);
    k->partitions = partitions;
    k->by = *by;
    k->by.attributes = (struct gw_list){.items = k->names};
    for (size_t i = 0; i < by->attributes.n && i < GW_RU_MAX_PARTING; i++) {
        k->names[i] = strdup(((const char *const *)by->attributes.items)[i]);
        if (!k->names[i]) {
            gw_ru_kept_free(k);
            return NULL;
        }
        k->by.attributes.n++;
    }
    return k;
}

void gw_ru_kept_free(struct gw_ru_kept *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < GW_RU_MAX_PARTING; i++)
        free((void *)(uintptr_t)k->names[i]);
    gw_buf_clear(&k->bodies);
    gw_buf_clear(&k->lengths);
    free(k);
}

static int parted(void *self, const struct gw_parting *by, uint64_t partitions)
{
    struct gw_ru_shared *all = state_of(self);
    struct gw_ru_kept *k;
    int rc;

    if (all->kept) {
        all->kept->partitions = partitions;
        return 0;
    }
    k = kept_new(by, partitions);
    if (!k)
        return -ENOMEM;
    k->is_whole = !tells_partition(all->conf, all->ctx->signal, by);
    rc = gw_ru_state_part(self, k);
    if (rc < 0) {
        gw_ru_kept_free(k);
        return rc;
    }
    k->settings = settings_of(state_of(self));
    k->times = times_of(state_of(self));
    return 0;
}

static void share(void *self)
{
    state_of(self)->kept->saves_all = true;
}

static int begin(void *self)
{
    return state_of(self)->kept ? 0 : -ENOTSUP;
}

/* ---- partitions ----------------------------------------------------------------------------------------------- */

static bool find(struct gw_slice run, struct gw_slice name, struct gw_value *ret)
{
    struct gw_slice key;

    while (gw_value_map_next(&run, &key, ret))
        if (gw_slice_eq(key, name))
            return true;
    ret->type = GW_V_EMPTY;
    return false;
}

/* Behind name and version. */
static struct gw_slice scope_attrs(struct gw_slice scope)
{
    for (unsigned i = 0; i < 2 && scope.n; i++) {
        const uint8_t *nul = memchr(scope.p, 0, scope.n);
        size_t used = nul ? (size_t)(nul - scope.p) + 1 : scope.n;

        scope = (struct gw_slice){scope.p + used, scope.n - used};
    }
    return scope;
}

uint8_t gw_ru_kept_partition(const struct gw_ru_kept *k, struct gw_slice key)
{
    struct gw_ru_key_parts p = gw_ru_key_split(key);
    struct gw_slice scope = scope_attrs(p.scope);
    struct gw_parting_key to;
    struct gw_value value;

    if (k->is_whole)
        return 0;
    if (k->by.by != GW_PART_ATTRIBUTES) {
        (void)find(p.resource, GW_SLICE("service.name"), &value);
        return gw_partition_of_service(&value);
    }
    to.n = 0;
    for (size_t i = 0; i < k->by.attributes.n; i++) {
        struct gw_slice name = gw_slice_cstr(k->names[i]);

        if (!find(p.attrs, name, &value) && !find(scope, name, &value))
            (void)find(p.resource, name, &value);
        gw_parting_put(&to, &value);
    }
    return gw_partition_of(gw_slice_of(to.bytes, to.n));
}

bool gw_ru_kept_covers(const struct gw_ru_kept *k, struct gw_slice key)
{
    return k->now_ns < k->covered_ns[gw_ru_kept_partition(k, key)];
}

void gw_ru_kept_name_partition(struct gw_buf *key, uint8_t partition)
{
    struct gw_value value = {.type = GW_V_INT, .i = partition};

    gw_mw_attr_put(key, GW_SLICE("rollup.partition"), &value);
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

void gw_ru_kept_watch(struct gw_ru_kept *k, uint64_t top_ns)
{
    static const char source[] = "journal";

    if (!top_ns)
        return;
    gw_watermark_observe(&k->mark, source, top_ns, k->now_ns);
    k->has_watched = true;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* It never goes back. */
static uint64_t mark_at(const struct gw_ru_shared *all, uint64_t step_ns)
{
    uint64_t before = gw_watermarks_now(all->marks), at;
    bool ignored;

    at = all->conf->time.watermark == GW_RU_INGEST
             ? less(step_ns, all->mark_conf.delay_ns)
             : gw_watermark_of(&all->kept->mark, &all->mark_conf, step_ns, &ignored);
    return at > before ? at : before;
}

/* The step in which the watermark will have got there, when nothing comes any more. */
static uint64_t step_of(const struct gw_ru_shared *all, uint64_t mark_ns)
{
    const struct gw_watermark *w = &all->kept->mark;
    uint64_t at = mark_ns + all->mark_conf.delay_ns;

    if (all->conf->time.watermark == GW_RU_EVENT) {
        if (w->n == 0)
            return UINT64_MAX;
        at = w->sources[0].seen_ns + all->mark_conf.idle_ns + less(at, w->sources[0].top_ns);
    }
    return (at + GW_KEEP_STEP_NS - 1) / GW_KEEP_STEP_NS * GW_KEEP_STEP_NS;
}

static uint64_t multiple_behind(uint64_t ns, uint64_t of)
{
    return (ns / of + 1) * of;
}

/* Of ends at multiples of the slide, and the size, wait_ns behind them (windows.c). */
static uint64_t end_behind(const struct gw_ru_window *w, uint64_t ns, uint64_t wait_ns)
{
    uint64_t shift = w->size_ns % w->slide_ns + wait_ns;

    return shift + multiple_behind(less(ns, shift), w->slide_ns);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool has_news(const struct gw_ru_shared *all, unsigned list)
{
    for (unsigned i = 0; i < GW_RU_N_SHARDS; i++)
        if (all->shards[i].lists[list].n)
            return true;
    return false;
}

/* The watermark at which something is told next, if there is something open. */
static uint64_t due_mark(const struct gw_ru_shared *all)
{
    uint64_t due = UINT64_MAX, before = all->fire_ns;

    if (!atomic_load(&all->n_panes) && !atomic_load(&all->n_waiting))
        return due;
    for (unsigned i = 0; i < all->n_windows; i++) {
        const struct gw_ru_window *w = &all->windows[i];

        if (w->type == GW_RU_SESSION) {
            due = sooner(due, multiple_behind(before, w->check_ns));
            continue;
        }
        due = sooner(due, end_behind(w, before, w->lateness_ns));
        if (all->conf->emit.mode == GW_RU_RETRACT)
            due = sooner(due, end_behind(w, before, 0));
    }
    if (has_news(all, GW_RU_NEWS))
        due = sooner(due, multiple_behind(before, all->conf->emit.interval_ns));
    return due;
}

/* The step in which that is. */
static uint64_t due_step(const struct gw_ru_shared *all)
{
    uint64_t next = all->kept->step_ns + GW_KEEP_STEP_NS, mark = due_mark(all), step;

    if (mark == UINT64_MAX)
        return UINT64_MAX;
    if (mark_at(all, next) >= mark)
        return next;
    step = step_of(all, mark);
    return step > next ? step : next;
}

static uint64_t due_ns(const void *self)
{
    const struct gw_ru_shared *all = state_of(self);

    if (all->fire_at < GW_RU_N_SHARDS || all->kept->length_at < all->kept->lengths.n)
        return 0;
    return due_step(all);
}

/* ---- out ------------------------------------------------------------------------------------------------------ */

int gw_ru_kept_put(struct gw_ru_kept *k, struct gw_buf *bodies, struct gw_buf *lengths)
{
    gw_buf_put_slice(&k->bodies, gw_buf_slice(bodies));
    gw_buf_put_slice(&k->lengths, gw_buf_slice(lengths));
    return k->bodies.failed || k->lengths.failed ? -ENOMEM : 0;
}

/* False: what is behind has no room for the next one. */
static bool flush(struct gw_ru_shared *all, struct gw_ports *out)
{
    struct gw_ru_kept *k = all->kept;

    if (k->rebuilds)
        return true; /* what leaves then is thrown away: partitions that are not read again wait for the others */
    for (; k->length_at < k->lengths.n; k->length_at += sizeof(struct gw_ru_body)) {
        struct gw_ru_body b;

        memcpy(&b, k->lengths.p + k->length_at, sizeof(b));
        if (!gw_has_room(out, b.points, b.bytes))
            return false;
        if (gw_mw_emit(out, NULL, gw_slice_of(k->bodies.p + k->body_at, b.bytes), "rollup", gw_wall_ns(all->ctx->env)) <
            0)
            k->failed = true;
        k->body_at += b.bytes;
    }
    gw_buf_reset(&k->bodies);
    gw_buf_reset(&k->lengths);
    k->body_at = k->length_at = 0;
    return true;
}

/* All shards have been fired. */
static void fired(struct gw_ru_shared *all)
{
    struct gw_ru_kept *k = all->kept;

    for (unsigned i = 0; i < GW_PARTITIONS && all->fire_full; i++)
        if ((k->partitions >> i & 1) && k->step_ns > k->covered_ns[i])
            k->fired_ns[i] = all->fire_ns;
}

/* True: something is due, at a step that is not behind this one. */
static bool look(struct gw_ru_shared *all)
{
    struct gw_ru_kept *k = all->kept;
    uint64_t step = due_step(all), before = all->fire_ns;

    if (k->step_ns >= k->now_ns)
        return false;
    if (step > k->now_ns) {
        k->step_ns = k->now_ns;
        all->fire_ns = mark_at(all, k->now_ns);
        return false;
    }
    if (step > k->step_ns + GW_KEEP_STEP_NS) /* at those between there was nothing to tell */
        before = mark_at(all, step - GW_KEEP_STEP_NS);
    k->step_ns = step;
    all->fire_ns = mark_at(all, step);
    all->fire_early = gw_ru_is_early(all, before, all->fire_ns);
    all->fire_full = gw_ru_windows_end(all, before, all->fire_ns);
    all->fire_at = 0;
    return true;
}

/* Of partitions that begin at different places: from the first one on. */
static void begin_time(struct gw_ru_shared *all)
{
    struct gw_ru_kept *k = all->kept;
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if ((k->partitions >> i & 1) && k->covered_ns[i])
            least = sooner(least, k->covered_ns[i]);
    gw_ru_record_settle(all);
    k->step_ns = sooner(least, k->now_ns);
    all->fire_ns = mark_at(all, k->step_ns);
    if (!k->has_saved)
        k->saved_ns = k->now_ns;
    k->has_advanced = true;
}

/* What the others have when the step begins. */
static void count_others(struct gw_ru_shared *all)
{
    uint64_t n = atomic_load(&all->n_series);

    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        all->kept->n_others[i] = n - all->kept->n_series[i];
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct gw_ru_shared *all = state_of(self);
    struct gw_ru_kept *k = all->kept;
    bool is_first = now_ns > k->now_ns || !k->has_advanced;

    k->now_ns = now_ns;
    k->rebuilds = rebuilds;
    if (!k->has_advanced)
        begin_time(all);
    do {
        if (!flush(all, out))
            return GW_MORE;
        while (all->fire_at < GW_RU_N_SHARDS) {
            (void)gw_ru_fire(all, out, all->fire_ns, 0);
            if (all->fire_at == GW_RU_N_SHARDS)
                fired(all);
            if (!flush(all, out))
                return GW_MORE;
        }
    } while (look(all));
    (void)gw_watermarks_set(all->marks, 0, mark_at(all, now_ns), true);
    if (is_first)
        count_others(all);
    return GW_DONE;
}

/* ---- what is written down ------------------------------------------------------------------------------------- */

static void put64(struct gw_buf *b, uint64_t v)
{
    gw_buf_put(b, &v, sizeof(v));
}

/* Partitions of one step and watermark together. */
static void put_places(const struct gw_ru_kept *k, uint8_t kind, const uint64_t *step_ns, const uint64_t *mark_ns,
                       struct gw_buf *out)
{
    uint64_t rest = k->partitions;

    while (rest) {
        unsigned first = (unsigned)__builtin_ctzll(rest);
        uint64_t same = 0;

        for (unsigned i = 0; i < GW_PARTITIONS; i++)
            if ((rest >> i & 1) && step_ns[i] == step_ns[first] && mark_ns[i] == mark_ns[first])
                same |= UINT64_C(1) << i;
        rest &= ~same;
        if (step_ns[first] == 0 && mark_ns[first] == 0)
            continue;
        gw_buf_put_u8(out, kind);
        put64(out, same);
        put64(out, step_ns[first]);
        put64(out, mark_ns[first]);
    }
}

static void put_head(const struct gw_ru_kept *k, struct gw_buf *out)
{
    gw_buf_put_u8(out, 'F');
    put64(out, k->settings);
    put64(out, k->times);
}

static void checkpoint(struct gw_ru_shared *all, bool whole, struct gw_buf *out)
{
    struct gw_ru_kept *k = all->kept;

    if (whole) {
        gw_buf_put_u8(out, 'W');
        put64(out, k->partitions);
    }
    if (all->has_cascade)
        put_places(k, 'P', k->covered_ns, k->fired_ns, out);
    gw_ru_record_panes(all, whole, out);
    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        k->covered_ns[i] = k->now_ns > k->covered_ns[i] ? k->now_ns : k->covered_ns[i];
    put_places(k, 'T', k->covered_ns, k->fired_ns, out);
    put_places(k, 'B', k->begin_ns, k->begin_ns, out);
    if (all->conf->time.watermark == GW_RU_EVENT && k->mark.n) {
        gw_buf_put_u8(out, 'E');
        put64(out, k->mark.sources[0].top_ns);
        put64(out, k->mark.sources[0].seen_ns);
        put64(out, gw_watermarks_now(all->marks));
    }
    k->saved_ns = k->now_ns;
    k->has_saved = true;
    k->has_watched = k->has_begun = false;
}

/* What has left is what the steps until this one came to. */
static void told(struct gw_ru_kept *k)
{
    for (unsigned i = 0; i < GW_PARTITIONS && k->has_told; i++) {
        if (!(k->partitions >> i & 1))
            continue;
        k->told_ns[i] = k->now_ns > k->told_ns[i] ? k->now_ns : k->told_ns[i];
        k->told_mark_ns[i] = k->fired_ns[i] > k->told_mark_ns[i] ? k->fired_ns[i] : k->told_mark_ns[i];
    }
}

static int save(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns)
{
    struct gw_ru_shared *all = state_of(self);
    struct gw_ru_kept *k = all->kept;
    bool news =
        has_news(all, GW_RU_CHANGED) || k->has_begun || (all->conf->time.watermark == GW_RU_EVENT && k->has_watched);
    bool is_time = news && (k->saves_all || k->now_ns - k->saved_ns >= all->conf->checkpoint_ns);

    if (k->failed)
        return -ENOMEM;
    told(k);
    if (whole || is_time || k->has_told)
        put_head(k, out);
    if (whole || is_time)
        checkpoint(all, whole, out);
    else if (!news)
        k->saved_ns = k->now_ns; /* nothing has changed since then */
    if (whole || k->has_told)
        put_places(k, 'C', k->told_ns, k->told_mark_ns, out);
    k->has_told = false;
    *ret_oldest_ns = k->saved_ns;
    return out->failed ? -ENOMEM : GW_DONE;
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    struct gw_ru_shared *all = state_of(self);
    uint64_t before = all->kept->n_foreign;
    int rc = gw_ru_record_read(all, record);

    (void)owner;
    if (before == 0 && all->kept->n_foreign)
        gw_log(&all->ctx->logger, GW_LOG_WARN,
               "open windows in the log are of other settings (windows, aggregates, keys or partitions): they are "
               "never told");
    return rc;
}

const struct gw_keep_ops gw_ru_keep = {.unfit = unfit,
                                       .parted = parted,
                                       .is_fixed = true,
                                       .share = share,
                                       .begin = begin,
                                       .restore = restore,
                                       .advance = advance,
                                       .save = save,
                                       .due_ns = due_ns};
