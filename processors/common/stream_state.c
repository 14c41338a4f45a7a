/* SPDX-License-Identifier: Apache-2.0 */
/* What is noted between two records, and time; stream_record.c writes and reads them. */
#include "processors/common/stream_state_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"

enum { SWEEP_STEP = 16384, MAX_RECORD_BYTES = 192 << 20, ENTRY_BYTES = 48 };

/* ---- partitions ------------------------------------------------------------------------------------------- */

static bool tells_partition(const struct gw_parting *by, unsigned signal)
{
    return by->by == GW_PART_SERVICE || (by->by == GW_PART_TRACE && signal == GW_METRICS) ||
           (by->by == GW_PART_ATTRIBUTES && by->attributes.n <= GW_SS_MAX_PARTING);
}

const char *gw_ss_unfit(const void *conf, unsigned signal, const struct gw_parting *by, unsigned n_workers)
{
    (void)conf;
    if (n_workers > 1 && !tells_partition(by, signal))
        return "the journal is not partitioned by what tells series apart, and there are several workers";
    return NULL;
}

static bool find(struct gw_slice attrs, struct gw_slice name, struct gw_value *ret)
{
    struct gw_stream_attrs it;
    struct gw_slice key;

    if (gw_stream_attrs_begin(&it, attrs))
        while (gw_stream_attrs_next(&it, &key, ret))
            if (gw_slice_eq(key, name))
                return true;
    ret->type = GW_V_EMPTY;
    return false;
}

/* The attributes of a scope stand behind those of its resource, name and version. */
static struct gw_slice scope_attrs(struct gw_slice scope)
{
    struct gw_stream_attrs it;
    struct gw_slice key;
    struct gw_value value;

    if (!gw_stream_attrs_begin(&it, scope))
        return (struct gw_slice){0};
    while (gw_stream_attrs_next(&it, &key, &value))
        ;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t n;

        if (it.left.n < sizeof(n))
            return (struct gw_slice){0};
        memcpy(&n, it.left.p, sizeof(n));
        if (n > it.left.n - sizeof(n))
            return (struct gw_slice){0};
        it.left = gw_slice_of(it.left.p + sizeof(n) + n, it.left.n - sizeof(n) - n);
    }
    return it.left;
}

static uint8_t by_attributes(const struct gw_stream_state *s, const struct gw_streams *st,
                             const struct gw_stream_keys *k)
{
    struct gw_slice more = gw_slice_of(k->stream.p + st->conf.more_bytes, k->stream.n - st->conf.more_bytes);
    struct gw_slice scope = st->conf.scope_attrs ? scope_attrs(k->scope) : (struct gw_slice){0};
    struct gw_parting_key to;
    struct gw_value value;

    to.n = 0;
    for (size_t i = 0; i < s->by.attributes.n; i++) {
        struct gw_slice name = gw_slice_cstr(s->names[i]);

        if (!find(more, name, &value) && !find(scope, name, &value))
            (void)find(k->scope, name, &value);
        gw_parting_put(&to, &value);
    }
    return gw_partition_of(gw_slice_of(to.bytes, to.n));
}

static uint8_t partition_of(const struct gw_stream_state *s, const struct gw_streams *st, struct gw_series *series)
{
    struct gw_stream_keys k;
    struct gw_value value;
    uint8_t partition = 0;

    if (s->is_whole)
        return 0;
    gw_streams_keys(st, series, &k);
    if (s->by.by == GW_PART_ATTRIBUTES) {
        partition = by_attributes(s, st, &k);
    } else {
        (void)find(k.scope, GW_SLICE("service.name"), &value);
        partition = gw_partition_of_service(&value);
    }
    if (s->partitions >> partition & 1 || !s->partitions)
        return partition;
    return (uint8_t)__builtin_ctzll(s->partitions);
}

/* ---- what has changed ------------------------------------------------------------------------------------- */

static bool grow(void **p, uint32_t *cap, size_t item_bytes)
{
    uint32_t n = *cap ? 2 * *cap : 256;
    void *more = realloc(*p, n * item_bytes);

    if (!more)
        return false;
    *p = more;
    *cap = n;
    return true;
}

static uint8_t table_of(const struct gw_stream_state *s, const struct gw_streams *st)
{
    uint8_t i = 0;

    while (s->tables[i] != st)
        i++;
    return i;
}

void gw_ss_charge(struct gw_stream_state *s, struct gw_stream_mark *m, size_t bytes)
{
    s->bytes = s->bytes - m->bytes + bytes;
    m->bytes = (uint32_t)bytes;
    s->watch.is_full = s->bytes > s->max_bytes;
}

static void changed(void *arg, struct gw_streams *st, struct gw_series *series, bool is_new)
{
    struct gw_stream_state *s = arg;
    struct gw_stream_mark *m = gw_streams_mark(st, series);

    if (is_new) {
        m->partition = partition_of(s, st, series);
        gw_ss_charge(s, m, series->key_bytes + st->conf.value_bytes + ENTRY_BYTES);
    }
    if (s->n_changed == s->cap_changed && !grow((void **)&s->changed, &s->cap_changed, sizeof(*s->changed))) {
        s->failed = true;
        return;
    }
    s->changed[s->n_changed++] = (struct gw_ss_changed){series, table_of(s, st)};
    m->changed_at = s->n_changed;
}

static void gone(void *arg, struct gw_streams *st, struct gw_series *series)
{
    struct gw_stream_state *s = arg;
    struct gw_stream_mark *m = gw_streams_mark(st, series);

    if (s->ends)
        return;
    gw_ss_charge(s, m, 0);
    if (s->sources) {
        gw_ss_unread(s, m);
        return;
    }
    if (m->changed_at)
        s->changed[m->changed_at - 1].s = NULL;
    if (!m->number)
        return;
    if (s->n_gone == s->cap_gone && !grow((void **)&s->gone, &s->cap_gone, sizeof(*s->gone)))
        s->failed = true;
    else
        s->gone[s->n_gone++] = m->number;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static bool copy_parting(struct gw_stream_state *s, const struct gw_parting *by)
{
    s->by = *by;
    s->by.attributes = (struct gw_list){.items = s->names};
    for (size_t i = 0; i < by->attributes.n && i < GW_SS_MAX_PARTING; i++) {
        s->names[i] = strdup(((const char *const *)by->attributes.items)[i]);
        if (!s->names[i])
            return false;
        s->by.attributes.n++;
    }
    return true;
}

/* What is written down is of keys, too. */
static uint64_t settings_of(const struct gw_stream_state *s, uint64_t of_values)
{
    struct gw_buf b;
    uint64_t hash;

    gw_buf_init(&b, 1 << 20);
    gw_buf_printf(&b, "%llu; by %d %d;", (unsigned long long)of_values, s->by.by, s->is_whole);
    for (size_t i = 0; i < s->by.attributes.n; i++)
        gw_buf_printf(&b, " %s", s->names[i]);
    hash = gw_hash_stable(gw_buf_slice(&b));
    gw_buf_clear(&b);
    return hash;
}

struct gw_stream_state *gw_ss_new(const struct gw_ss_ops *ops, void *arg, const struct gw_ctx *ctx,
                                  struct gw_streams *const *tables, unsigned n_tables, const struct gw_parting *by,
                                  uint64_t partitions, uint64_t settings)
{
    struct gw_stream_state *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->ops = ops;
    s->arg = arg;
    s->ctx = ctx;
    s->n_tables = n_tables;
    s->partitions = partitions;
    s->next_number = 1;
    s->max_bytes = MAX_RECORD_BYTES;
    s->begin_ns = gw_wall_ns(ctx->env);
    s->is_whole = !tells_partition(by, ctx->signal);
    s->watch = (struct gw_streams_watch){.changed = changed, .gone = gone, .arg = s};
    if (!copy_parting(s, by)) {
        gw_ss_free(s);
        return NULL;
    }
    s->settings = settings_of(s, settings);
    for (unsigned i = 0; i < n_tables; i++) {
        s->tables[i] = tables[i];
        gw_streams_watch(tables[i], &s->watch);
    }
    return s;
}

void gw_ss_end(struct gw_stream_state *s)
{
    if (s)
        s->ends = true;
}

void gw_ss_free(struct gw_stream_state *s)
{
    if (!s)
        return;
    gw_ss_forget_sources(s);
    for (unsigned i = 0; i < GW_SS_MAX_PARTING; i++)
        free((void *)(uintptr_t)s->names[i]);
    free(s->changed);
    free(s->gone);
    free(s);
}

void gw_ss_adopt(struct gw_stream_state **s, struct gw_stream_state **old, const struct gw_ctx *ctx)
{
    struct gw_stream_state *mine = *s;

    *s = *old;
    *old = mine;
    if (*s)
        (*s)->ctx = ctx;
}

/* ---- time ------------------------------------------------------------------------------------------------- */

void gw_ss_advance(struct gw_stream_state *s, uint64_t now_ns, bool rebuilds)
{
    gw_ss_forget_sources(s);
    s->now_ns = now_ns;
    s->rebuilds = rebuilds;
}

/* Partitions of which nothing is known begin now: nothing of them can be due. */
uint64_t gw_ss_due(struct gw_stream_state *s, uint64_t period_ns, uint64_t *ret_partitions)
{
    uint64_t at = s->now_ns / period_ns * period_ns;

    *ret_partitions = 0;
    for (unsigned i = 0; i < GW_PARTITIONS; i++) {
        if (!(s->partitions >> i & 1))
            continue;
        if (s->done_ns[i] == 0)
            s->done_ns[i] = at;
        if (s->done_ns[i] < at)
            *ret_partitions |= UINT64_C(1) << i;
    }
    return *ret_partitions ? at : 0;
}

void gw_ss_done(struct gw_stream_state *s, uint64_t at_ns)
{
    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if ((s->partitions >> i & 1) && s->done_ns[i] < at_ns) {
            s->done_ns[i] = at_ns;
            s->has_done = true;
        }
}

int gw_ss_forget_stale(struct gw_stream_state *s, uint64_t period_ns, uint64_t max_ns)
{
    uint64_t partitions, at = gw_ss_due(s, period_ns, &partitions), before = at > max_ns ? at - max_ns : 0;
    bool more = false;

    if (!at)
        return GW_DONE;
    for (unsigned i = 0; i < s->n_tables; i++) {
        s->tables[i]->sweep_partitions = partitions;
        if (!s->is_sweeping)
            gw_streams_sweep_begin(s->tables[i]);
        more |= gw_streams_sweep(s->tables[i], before, SWEEP_STEP);
    }
    s->is_sweeping = more;
    if (more)
        return GW_MORE;
    gw_ss_done(s, at);
    return GW_DONE;
}

/* ---- as a component's ------------------------------------------------------------------------------------- */

static struct gw_stream_state *state_of(void *self)
{
    return *(struct gw_stream_state **)self;
}

int gw_ss_keep_begin(void *self)
{
    return state_of(self) ? 0 : -ENOTSUP;
}

int gw_ss_keep_restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    return gw_ss_restore(state_of(self), record, owner);
}

int gw_ss_keep_save(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns)
{
    return gw_ss_save(state_of(self), whole, out, ret_oldest_ns);
}

uint64_t gw_ss_keep_due(const void *self)
{
    (void)self;
    return UINT64_MAX;
}

void gw_ss_keep_share(void *self)
{
    (void)self;
}

uint32_t gw_ss_share(const struct gw_ctx *ctx, uint64_t max_streams)
{
    uint64_t n = ctx->n_workers ? ctx->n_workers : 1, share = max_streams / n + (max_streams % n != 0);

    return share < UINT32_MAX ? (uint32_t)share : UINT32_MAX;
}
