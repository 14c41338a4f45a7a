/* SPDX-License-Identifier: Apache-2.0 */
/* Over the end of the process: processors/common/spooler.h with what survive.h names. */
#include "pipeline/host.h"
#include "processors/dynamic_sampling/survive.h"

int gw_ds_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    return gw_spooler_new_shared(ret, ctx, ((const struct gw_ds_conf *)conf)->storage, "dynamic_sampling/1", err);
}

static void put_id(void *notes, const uint8_t id[16], uint64_t decision)
{
    struct gw_buf *out = gw_spool_note(notes, GW_DS_NOTE_IDS);

    gw_buf_put(out, id, 16);
    gw_spool_put_u64(out, decision);
}

static void put_notes(void *self, struct gw_spool_notes *notes, uint64_t now_ns)
{
    struct gw_ds *s = self;

    for (uint32_t i = 0; i < s->names.n; i++)
        gw_ds_names_write(&s->names, i, gw_spool_note(notes, GW_DS_NOTE_NAME));
    gw_ids_each(s->gone, put_id, notes);
    gw_ids_each(s->kept, put_id, notes);
    for (uint32_t i = 0; i < s->rules.n; i++)
        gw_ds_rule_save(&s->rules.list[i], now_ns, gw_spool_note(notes, GW_DS_NOTE_SAMPLER));
}

struct taking_up {
    uint64_t now_ns;
    struct gw_ds_source *sources[GW_KEPT_SOURCES]; /* by file; there is no room for more */
};

static void get_ids(struct gw_ds *s, const struct gw_ds_source *x, struct gw_spool_in *in)
{
    struct gw_slice id = gw_spool_get(in, 16);
    uint64_t decision = gw_spool_get_u64(in);

    if (!in->bad && gw_spool_is_mine(&s->ctx, id.p))
        gw_ds_source_remember(s, x, id.p, decision);
}

static void take_note(void *self, void *arg, uint8_t type, struct gw_slice body, unsigned i, unsigned of)
{
    struct gw_spool_in in = {.left = body};
    struct taking_up *k = arg;
    struct gw_ds *s = self;
    struct gw_ds_source *x;

    (void)of;
    if (i >= GW_KEPT_SOURCES)
        return;
    if (!k->sources[i])
        k->sources[i] = gw_ds_source_new(s);
    x = k->sources[i];
    while (x && in.left.n && !in.bad) {
        if (type == GW_DS_NOTE_NAME)
            (void)gw_ds_names_read(&s->names, &in, x->names);
        else if (type == GW_DS_NOTE_SAMPLER)
            (void)gw_ds_source_read_sampler(s, x, &in, k->now_ns);
        else if (type == GW_DS_NOTE_IDS)
            get_ids(s, x, &in);
        else
            return;
    }
}

static struct gw_traces *store(void *self)
{
    return gw_ds_open_store(self);
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
    gw_ds_take_samplers(s, k.sources, GW_KEPT_SOURCES);
    for (unsigned i = 0; i < GW_KEPT_SOURCES; i++)
        gw_ds_source_free(s, k.sources[i]);
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
