/* SPDX-License-Identifier: Apache-2.0 */
/* Behind a journal: processors/common/kept.h with what survive.h names. */
#include <errno.h>
#include <stdlib.h>

#include "processors/dynamic_sampling/survive.h"

enum { MAX_CALLS_BYTES = 1 << 30 };

struct gw_ds_log {
    struct gw_kept *kept;
    struct gw_buf calls;     /* since the last save */
    uint32_t n_told;         /* names of the record, or of one before */
    bool tells_all;          /* samplers are others than those whose calls were told */
    struct gw_ids *followed; /* in this step, with their decisions; NULL: none */
    uint32_t max_followed;
    struct gw_ds_source *sources[GW_KEPT_SOURCES];
};

static void forget_sources(struct gw_ds *s)
{
    for (unsigned i = 0; i < GW_KEPT_SOURCES; i++) {
        gw_ds_source_free(s, s->log->sources[i]);
        s->log->sources[i] = NULL;
    }
}

void gw_ds_log_free(struct gw_ds *s)
{
    if (!s->log)
        return;
    forget_sources(s);
    gw_kept_free(s->log->kept);
    gw_ids_free(s->log->followed);
    gw_buf_clear(&s->log->calls);
    free(s->log);
    s->log = NULL;
}

struct gw_kept *gw_ds_log_kept(const struct gw_ds *s)
{
    return s->log ? s->log->kept : NULL;
}

void gw_ds_log_note(struct gw_ds *s, const uint8_t id[16], uint64_t decision, bool is_due)
{
    (is_due ? gw_kept_note_due : gw_kept_note)(s->log->kept, id, decision);
}

void gw_ds_log_follow(struct gw_ds *s, const uint8_t id[16], uint64_t decision)
{
    if (!gw_kept_put_more(s->ctx.env, &s->log->followed, &s->log->max_followed, id, decision))
        s->log->kept->record.failed = true; /* it stops here, as without memory for the record */
}

/* Samplers that know nothing yet begin with the log's time. */
static void bind_samplers(struct gw_ds *s)
{
    s->rules.calls = &s->log->calls;
    for (uint32_t i = 0; i < s->rules.n; i++)
        if (s->rules.list[i].sampler)
            gw_sampler_begin_late(s->rules.list[i].sampler);
}

void gw_ds_log_changed(struct gw_ds *s)
{
    bind_samplers(s);
    gw_buf_reset(&s->log->calls);
    s->log->tells_all = true;
}

static int begin(void *self)
{
    struct gw_ds *s = self;

    if (s->log)
        return 0;
    s->log = calloc(1, sizeof(*s->log));
    if (s->log)
        s->log->kept = gw_kept_new(&s->ctx);
    if (!s->log || !s->log->kept)
        return -ENOMEM;
    gw_buf_init(&s->log->calls, MAX_CALLS_BYTES);
    bind_samplers(s);
    return 0;
}

/* NULL: no memory. */
static struct gw_ds_source *source_of(struct gw_ds *s)
{
    struct gw_ds_source **x = &s->log->sources[s->log->kept->source];

    if (!*x)
        *x = gw_ds_source_new(s);
    return *x;
}

static bool read_entry(void *self, uint8_t type, struct gw_spool_in *in)
{
    struct gw_ds *s = self;
    struct gw_ds_source *x = source_of(s);

    if (!x)
        return false;
    if (type == GW_DS_NOTE_NAME)
        return gw_ds_names_read(&s->names, in, x->names);
    if (type == GW_DS_NOTE_SAMPLER)
        return gw_ds_source_read_sampler(s, x, in, 0);
    return type == GW_DS_NOTE_CALL && gw_ds_source_read_call(s, x, in);
}

static bool read_decision(void *self, const uint8_t id[16], uint64_t decision)
{
    struct gw_ds_source *x = source_of(self);

    if (x)
        gw_ds_source_remember(self, x, id, decision);
    return x != NULL;
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    const struct gw_kept_reader r = {.self = self, .entry = read_entry, .decided = read_decision};

    return gw_kept_restore(((struct gw_ds *)self)->log->kept, record, owner, &r);
}

void gw_ds_log_end_restore(struct gw_ds *s)
{
    struct gw_kept *k = s->log->kept;

    if (k->n_sources == 0)
        return;
    gw_ds_take_samplers(s, s->log->sources, k->n_sources);
    forget_sources(s);
    k->n_sources = 0;
}

/* ---- a step ----------------------------------------------------------------------------------------------- */

struct follower {
    uint8_t id[16];
    uint64_t decision;
};

static void collect(void *arg, const uint8_t id[16], uint64_t decision)
{
    struct follower **to = arg;

    memcpy((*to)->id, id, 16);
    (*to)++->decision = decision;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct follower *)a)->id, ((const struct follower *)b)->id, 16);
}

/* What rows of the step that has ended followed was asked for last now, in order of the ids. */
static void close_step(struct gw_ds *s)
{
    struct gw_ds_log *l = s->log;
    uint32_t n = l->followed ? gw_ids_n(l->followed) : 0;
    struct follower *all = n ? malloc(n * sizeof(*all)) : NULL, *to = all;

    if (n && !all)
        l->kept->record.failed = true;
    if (all) {
        gw_ids_each(l->followed, collect, &to);
        qsort(all, n, sizeof(*all), by_id);
    }
    for (uint32_t i = 0; all && i < n; i++) {
        gw_ids_put(all[i].decision ? s->kept : s->gone, all[i].id, all[i].decision);
        gw_kept_note_due(l->kept, all[i].id, all[i].decision);
    }
    free(all);
    gw_ids_free(l->followed);
    l->followed = NULL;
}

static struct gw_trace *excess(const struct gw_ds *s, uint64_t *ordered_ns)
{
    return s->store ? gw_kept_excess(s->store, s->max_traces, gw_ds_max_bytes(s), ordered_ns) : NULL;
}

/* What is too much, and all that is due, is decided. */
static int end_step(struct gw_ds *s, uint64_t now_ns, struct gw_ports *out)
{
    uint64_t ordered_ns = UINT64_MAX;
    struct gw_trace *t;
    bool is_empty;
    int rc;

    while (!s->log->kept->came_again && (t = excess(s, &ordered_ns)) != NULL) {
        if (!gw_ds_decide(s, t, GW_DS_BY_EVICTION, out))
            return GW_MORE;
        gw_metric_add(s->evicted, 1);
    }
    rc = gw_ds_decide_due(s, now_ns, out);
    is_empty = gw_ds_flush(s, out);
    gw_ds_tell(s);
    return is_empty && (!s->store || !gw_traces_next_due(s->store, now_ns)) ? rc : GW_MORE;
}

static int advance(void *self, uint64_t now_ns, bool rebuilds, struct gw_ports *out)
{
    struct gw_ds *s = self;
    struct gw_kept *k = s->log->kept;
    bool is_next = now_ns > k->now_ns;
    int rc = GW_DONE;

    gw_ds_log_end_restore(s);
    gw_kept_advance(k, now_ns, rebuilds);
    k->at_barrier = true;
    if (is_next)
        close_step(s);
    if (!rebuilds)
        rc = end_step(s, now_ns, out);
    k->at_barrier = false;
    return rc;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void put_names(struct gw_ds *s, struct gw_buf *out, uint32_t from)
{
    for (uint32_t i = from; i < s->names.n; i++) {
        gw_buf_put_u8(out, GW_DS_NOTE_NAME);
        gw_ds_names_write(&s->names, i, out);
    }
}

static void put_samplers(struct gw_ds *s, struct gw_buf *out)
{
    for (uint32_t i = 0; i < s->rules.n; i++)
        if (s->rules.list[i].sampler) {
            gw_buf_put_u8(out, GW_DS_NOTE_SAMPLER);
            gw_ds_rule_save(&s->rules.list[i], 0, out);
        }
}

static int save(void *self, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns)
{
    struct gw_ds *s = self;
    const struct gw_trace *t = s->store ? gw_traces_oldest(s->store) : NULL;
    struct gw_ids *ids[] = {s->kept, s->gone};
    struct gw_ds_log *l = s->log;

    if (s->n_spans)
        return GW_MORE;
    *ret_oldest_ns = t ? t->first_ns : UINT64_MAX;
    gw_kept_open_record(l->kept, whole, out);
    put_names(s, out, whole ? 0 : l->n_told);
    if (whole || l->tells_all)
        put_samplers(s, out);
    else
        gw_buf_put_slice(out, gw_buf_slice(&l->calls));
    if (whole) {
        gw_kept_put_known(l->kept, s->gone, out);
        gw_kept_put_known(l->kept, s->kept, out);
        gw_kept_put_past(l->kept, ids, 2, out);
    }
    if (l->calls.failed || gw_kept_close_record(l->kept, out) < 0)
        return -ENOMEM;
    gw_buf_reset(&l->calls);
    l->tells_all = false;
    l->n_told = s->names.n;
    return GW_DONE;
}

static uint64_t due_ns(const void *self)
{
    const struct gw_ds *s = self;
    uint64_t ordered_ns = UINT64_MAX;

    if (s->n_spans || excess(s, &ordered_ns))
        return 0;
    return s->store ? gw_traces_due_when(s->store) : UINT64_MAX;
}

const struct gw_keep_ops gw_ds_keep = {
    .begin = begin, .restore = restore, .advance = advance, .save = save, .due_ns = due_ns};
