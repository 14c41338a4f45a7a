/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits, what is remembered and what samplers know, over the end of the process (processors/common/spooler.h) and
 * over a crash behind a journal (processors/common/kept.h).
 *
 *   'N'  a name of a rule by number (names.c)
 *   'S'  what the sampler of a rule knows (gw_ds_rule_save)
 *   'C'  a call of a sampler (struct gw_ds_call)                       in records alone
 *   'K'  ids and their decisions: id 16, decision u64; 0: not kept     in spools alone; in records these are 'D'
 *
 * Behind a journal samplers are not written down with every commit, but what they were asked: the same calls give the
 * same state. What a whole record begins with is all that they know; so does the first one after a reload.
 *
 * Records and files may be several workers': each has samplers of its own to which its calls go, and these become ours
 * when all is read (gw_sampler_take).
 */
#include <errno.h>
#include <stdlib.h>

#include "pipeline/host.h"
#include "processors/dynamic_sampling/dynamic.h"

enum { NOTE_NAME = 'N', NOTE_SAMPLER = 'S', NOTE_CALL = 'C', NOTE_IDS = 'K' };
enum { MAX_CALLS_BYTES = 1 << 30 };

/* ---- others' samplers ------------------------------------------------------------------------------------- */

/* Of one worker. */
struct source {
    uint8_t names[256];            /* theirs ─► ours */
    struct gw_sampler *samplers[]; /* by rule; NULL: it is of another kind now */
};

static struct source *source_new(const struct gw_ds *s)
{
    struct source *x = calloc(1, sizeof(*x) + s->rules.n * sizeof(x->samplers[0]));

    if (x)
        memset(x->names, GW_DS_FORGOTTEN, sizeof(x->names));
    return x;
}

static void source_free(const struct gw_ds *s, struct source *x)
{
    for (uint32_t i = 0; x && i < s->rules.n; i++)
        gw_sampler_free(x->samplers[i]);
    free(x);
}

/* The rule that has their name; with a sampler. NULL: there is none. */
static struct gw_ds_rule *rule_of(const struct gw_ds *s, const struct source *x, uint8_t name)
{
    for (uint32_t i = 0; i < s->rules.n; i++)
        if (s->rules.list[i].name == x->names[name] && s->rules.list[i].sampler)
            return &s->rules.list[i];
    return NULL;
}

static bool read_sampler(struct gw_ds *s, struct source *x, struct gw_spool_in *in, uint64_t now_ns)
{
    uint8_t name = gw_spool_get_u8(in);
    uint64_t shape = gw_spool_get_u64(in);
    struct gw_slice state = gw_spool_get_bytes(in);
    const struct gw_ds_rule *r = in->bad ? NULL : rule_of(s, x, name);
    struct gw_sampler **to;

    if (!r)
        return !in->bad;
    to = &x->samplers[r - s->rules.list];
    gw_sampler_free(*to);
    *to = shape == gw_ds_rule_shape(r) ? gw_sampler_load(r->sampler, state, now_ns) : NULL;
    return true;
}

static bool read_call(struct gw_ds *s, struct source *x, struct gw_spool_in *in)
{
    const struct gw_ds_rule *r;
    struct gw_ds_call c;

    gw_ds_call_read(in, &c);
    r = in->bad ? NULL : rule_of(s, x, c.name);
    if (r && x->samplers[r - s->rules.list])
        (void)gw_sampler_rate(x->samplers[r - s->rules.list], c.key, c.n, c.now_ns);
    return !in->bad;
}

/* What all of them know becomes ours. */
static void take_samplers(struct gw_ds *s, struct source *const *sources, unsigned n)
{
    struct gw_sampler *from[GW_KEPT_SOURCES];

    for (uint32_t r = 0; r < s->rules.n; r++) {
        unsigned k = 0;

        for (unsigned i = 0; i < n; i++)
            if (sources[i] && sources[i]->samplers[r])
                from[k++] = sources[i]->samplers[r];
        if (k)
            gw_sampler_take(s->rules.list[r].sampler, from, k);
    }
}

/* Decisions of kept traces have a name in them. */
static void remember(struct gw_ds *s, const struct source *x, const uint8_t id[16], uint64_t decision)
{
    if (decision == 0)
        gw_ids_put(s->gone, id, 0);
    else
        gw_ids_put(s->kept, id, gw_ds_decision(x->names[(uint8_t)((decision >> 56) - 1)], decision << 8 >> 8));
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

int gw_ds_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    return gw_spooler_new_shared(ret, ctx, ((const struct gw_ds_conf *)conf)->storage, "dynamic_sampling/1", err);
}

static void put_id(void *notes, const uint8_t id[16], uint64_t decision)
{
    struct gw_buf *out = gw_spool_note(notes, NOTE_IDS);

    gw_buf_put(out, id, 16);
    gw_spool_put_u64(out, decision);
}

static void put_notes(void *self, struct gw_spool_notes *notes, uint64_t now_ns)
{
    struct gw_ds *s = self;

    for (uint32_t i = 0; i < s->names.n; i++)
        gw_ds_names_write(&s->names, i, gw_spool_note(notes, NOTE_NAME));
    gw_ids_each(s->gone, put_id, notes);
    gw_ids_each(s->kept, put_id, notes);
    for (uint32_t i = 0; i < s->rules.n; i++)
        gw_ds_rule_save(&s->rules.list[i], now_ns, gw_spool_note(notes, NOTE_SAMPLER));
}

struct taking_up {
    uint64_t now_ns;
    struct source *sources[GW_KEPT_SOURCES]; /* by file; there is no room for more */
};

static void get_ids(struct gw_ds *s, const struct source *x, struct gw_spool_in *in)
{
    struct gw_slice id = gw_spool_get(in, 16);
    uint64_t decision = gw_spool_get_u64(in);

    if (!in->bad && gw_spool_is_mine(&s->ctx, id.p))
        remember(s, x, id.p, decision);
}

static void take_note(void *self, void *arg, uint8_t type, struct gw_slice body, unsigned i, unsigned of)
{
    struct gw_spool_in in = {.left = body};
    struct taking_up *k = arg;
    struct gw_ds *s = self;
    struct source *x;

    (void)of;
    if (i >= GW_KEPT_SOURCES)
        return;
    if (!k->sources[i])
        k->sources[i] = source_new(s);
    x = k->sources[i];
    while (x && in.left.n && !in.bad) {
        if (type == NOTE_NAME)
            (void)gw_ds_names_read(&s->names, &in, x->names);
        else if (type == NOTE_SAMPLER)
            (void)read_sampler(s, x, &in, k->now_ns);
        else if (type == NOTE_IDS)
            get_ids(s, x, &in);
        else
            return;
    }
}

static struct gw_traces *store(void *self)
{
    return gw_ds_open_store(self);
}

static bool waits(const struct gw_trace *t)
{
    (void)t;
    return true;
}

static void put_facts(void *self, const struct gw_trace *t, struct gw_buf *out)
{
    (void)self;
    gw_buf_put_u8(out, ((const struct gw_ds_facts *)(const void *)t->facts)->has_root);
}

static void take_facts(void *self, struct gw_trace *t, struct gw_slice facts, bool is_new)
{
    struct gw_spool_in in = {.left = facts};

    (void)self;
    (void)is_new;
    gw_ds_facts(t)->has_root |= gw_spool_get_u8(&in) != 0;
}

static bool make_room(void *self, const struct gw_trace *but, uint64_t now_ns, struct gw_ports *out)
{
    struct gw_ds *s = self;
    struct gw_trace *oldest = gw_traces_oldest(s->store);

    (void)now_ns;
    return oldest && oldest != but && gw_ds_evict(s, oldest, out);
}

static void overflow(void *self, struct gw_trace *t, struct gw_view *v, uint64_t now_ns, struct gw_ports *out)
{
    (void)now_ns;
    if (t)
        (void)gw_ds_evict(self, t, out);
    gw_ds_consume(self, v, out);
}

static void flush(void *self, struct gw_ports *out)
{
    (void)gw_ds_flush(self, out);
}

const struct gw_spooler_ops gw_ds_spooler = {
    .put_notes = put_notes,
    .take_note = take_note,
    .store = store,
    .waits = waits,
    .put_facts = put_facts,
    .take_facts = take_facts,
    .make_room = make_room,
    .overflow = overflow,
    .flush = flush,
};

void gw_ds_take_up(struct gw_ds *s, struct gw_ports *out)
{
    struct taking_up k = {.now_ns = gw_mono_ns(s->ctx.env)};

    if (s->spooler.is_taken_up)
        return;
    s->spooler.is_taken_up = s->log != NULL; /* a journal has it all */
    gw_spooler_take_up(&s->spooler, &k, out);
    take_samplers(s, k.sources, GW_KEPT_SOURCES);
    for (unsigned i = 0; i < GW_KEPT_SOURCES; i++)
        source_free(s, k.sources[i]);
}

bool gw_ds_spool(struct gw_ds *s)
{
    return gw_spooler_leave(&s->spooler, s->store, s->store ? gw_traces_n_spans(s->store) : 0, gw_mono_ns(s->ctx.env));
}

void gw_ds_spool_rest(struct gw_ds *s)
{
    if (s->log || !gw_spool_is_due(s->ctx.shared, &s->ctx))
        return;
    if (gw_spooler_is_owed(&s->spooler))
        gw_ds_take_up(s, NULL);
    if (s->store && gw_traces_n(s->store) > 0)
        (void)gw_ds_spool(s);
}

/* ---- a crash ---------------------------------------------------------------------------------------------- */

struct gw_ds_log {
    struct gw_kept *kept;
    struct gw_buf calls;     /* since the last save */
    uint32_t n_told;         /* names of the record, or of one before */
    bool tells_all;          /* samplers are others than those whose calls were told */
    struct gw_ids *followed; /* in this step, with their decisions; NULL: none */
    uint32_t max_followed;
    struct source *sources[GW_KEPT_SOURCES];
};

static void forget_sources(struct gw_ds *s)
{
    for (unsigned i = 0; i < GW_KEPT_SOURCES; i++) {
        source_free(s, s->log->sources[i]);
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
static struct source *source_of(struct gw_ds *s)
{
    struct source **x = &s->log->sources[s->log->kept->source];

    if (!*x)
        *x = source_new(s);
    return *x;
}

static bool read_entry(void *self, uint8_t type, struct gw_spool_in *in)
{
    struct gw_ds *s = self;
    struct source *x = source_of(s);

    if (!x)
        return false;
    if (type == NOTE_NAME)
        return gw_ds_names_read(&s->names, in, x->names);
    if (type == NOTE_SAMPLER)
        return read_sampler(s, x, in, 0);
    return type == NOTE_CALL && read_call(s, x, in);
}

static bool read_decision(void *self, const uint8_t id[16], uint64_t decision)
{
    struct source *x = source_of(self);

    if (x)
        remember(self, x, id, decision);
    return x != NULL;
}

static int restore(void *self, struct gw_slice record, const struct gw_keep_owner *owner)
{
    const struct gw_kept_reader r = {.self = self, .entry = read_entry, .decided = read_decision};

    return gw_kept_restore(((struct gw_ds *)self)->log->kept, record, owner, &r);
}

static void end_restore(struct gw_ds *s)
{
    struct gw_kept *k = s->log->kept;

    if (k->n_sources == 0)
        return;
    take_samplers(s, s->log->sources, k->n_sources);
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

    end_restore(s);
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
        gw_buf_put_u8(out, NOTE_NAME);
        gw_ds_names_write(&s->names, i, out);
    }
}

static void put_samplers(struct gw_ds *s, struct gw_buf *out)
{
    for (uint32_t i = 0; i < s->rules.n; i++)
        if (s->rules.list[i].sampler) {
            gw_buf_put_u8(out, NOTE_SAMPLER);
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
