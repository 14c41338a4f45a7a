/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/kept.h"

#include <errno.h>
#include <stdlib.h>

#include "processors/common/spool.h"
#include "processors/common/traces.h"

enum { MAX_RECORD_BYTES = 1 << 30, FIRST_IDS = 1024, SOURCE_BYTES = 9 };

struct gw_kept *gw_kept_new(const struct gw_ctx *ctx)
{
    struct gw_kept *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->env = ctx->env;
    k->self = (struct gw_kept_source){ctx->worker, ctx->n_workers};
    gw_buf_init(&k->record, MAX_RECORD_BYTES);
    return k;
}

void gw_kept_free(struct gw_kept *k)
{
    if (!k)
        return;
    gw_buf_clear(&k->record);
    gw_ids_free(k->past);
    gw_ids_free(k->now);
    free(k);
}

/* ---- noting ----------------------------------------------------------------------------------------------- */

bool gw_kept_put_more(struct gw_env *env, struct gw_ids **ids, uint32_t *max, const uint8_t id[16], uint64_t value)
{
    if (!*ids || gw_ids_n(*ids) == *max) {
        uint32_t n = *ids ? 2 * *max : FIRST_IDS;
        struct gw_ids *more = gw_ids_new(env, n);

        if (!more)
            return false;
        if (*ids)
            gw_ids_adopt(more, *ids);
        gw_ids_free(*ids);
        *ids = more;
        *max = n;
    }
    gw_ids_put(*ids, id, value);
    return true;
}

static void put_decision(struct gw_buf *out, const uint8_t id[16], uint64_t value, uint64_t upto_ns)
{
    gw_buf_put_u8(out, 'D');
    gw_buf_put(out, id, 16);
    gw_spool_put_u64(out, value);
    gw_spool_put_u64(out, upto_ns);
}

void gw_kept_note(struct gw_kept *k, const uint8_t id[16], uint64_t value)
{
    bool has_rows = !k->at_barrier;

    if (has_rows && !gw_kept_put_more(k->env, &k->now, &k->max_now, id, value))
        k->record.failed = true; /* it stops here, as without memory for the record */
    put_decision(&k->record, id, value, k->now_ns + has_rows);
}

void gw_kept_note_upto(struct gw_kept *k, const uint8_t id[16], uint64_t value, uint64_t upto_ns)
{
    put_decision(&k->record, id, value, upto_ns);
}

void gw_kept_note_due(struct gw_kept *k, const uint8_t id[16], uint64_t value)
{
    put_decision(&k->record, id, value, k->now_ns);
}

bool gw_kept_follows(const struct gw_kept *k, const uint8_t id[16], uint64_t *ret_value)
{
    return k && k->now && gw_ids_peek(k->now, id, ret_value);
}

bool gw_kept_is_past(const struct gw_kept *k, const uint8_t id[16])
{
    uint64_t upto;

    return k && k->rebuilds && k->past && gw_ids_peek(k->past, id, &upto) && k->now_ns < upto;
}

void gw_kept_advance(struct gw_kept *k, uint64_t now_ns, bool rebuilds)
{
    if (now_ns > k->now_ns) {
        gw_ids_free(k->now);
        k->now = NULL;
        k->came_again = false;
    }
    k->came_again |= rebuilds;
    k->now_ns = now_ns;
    k->rebuilds = rebuilds;
    if (!rebuilds && now_ns >= k->past_ns && k->has_saved) {
        gw_ids_free(k->past);
        k->past = NULL;
    }
}

struct gw_trace *gw_kept_excess(struct gw_traces *t, uint64_t max_traces, uint64_t max_bytes, uint64_t *ordered_ns)
{
    if (gw_traces_n(t) == 0 || (gw_traces_n(t) <= max_traces && gw_traces_used_bytes(t) <= max_bytes))
        return NULL;
    if (gw_traces_oldest(t)->first_ns != *ordered_ns)
        gw_traces_order_oldest(t);
    *ordered_ns = gw_traces_oldest(t)->first_ns;
    return gw_traces_oldest(t);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

void gw_kept_open_record(struct gw_kept *k, bool whole, struct gw_buf *out)
{
    k->begin = whole ? SIZE_MAX : out->n;
    gw_buf_put_u8(out, 'W');
    gw_spool_put_u32(out, k->self.worker);
    gw_spool_put_u32(out, k->self.n_workers);
}

struct whole {
    const struct gw_kept *k;
    struct gw_ids *const *ids;
    unsigned n;
    struct gw_buf *out;
};

static void put_known(void *arg, const uint8_t id[16], uint64_t value)
{
    const struct whole *w = arg;
    uint64_t upto = 0;

    if (!w->k->past || !gw_ids_peek(w->k->past, id, &upto))
        upto = 0; /* it is remembered: that is enough */
    put_decision(w->out, id, value, upto);
}

void gw_kept_put_known(const struct gw_kept *k, const struct gw_ids *ids, struct gw_buf *out)
{
    struct whole w = {.k = k, .out = out};

    gw_ids_each(ids, put_known, &w);
}

static void put_past(void *arg, const uint8_t id[16], uint64_t upto)
{
    const struct whole *w = arg;
    uint64_t value;

    for (unsigned i = 0; i < w->n; i++)
        if (gw_ids_peek(w->ids[i], id, &value))
            return;
    put_decision(w->out, id, GW_KEPT_NOTHING, upto);
}

void gw_kept_put_past(const struct gw_kept *k, struct gw_ids *const *ids, unsigned n, struct gw_buf *out)
{
    struct whole w = {k, ids, n, out};

    if (k->past)
        gw_ids_each(k->past, put_past, &w);
}

int gw_kept_close_record(struct gw_kept *k, struct gw_buf *out)
{
    gw_buf_put_slice(out, gw_buf_slice(&k->record)); /* with the whole it is there twice, in its order: no harm */
    if (out->failed || k->record.failed)
        return -ENOMEM;
    if (k->begin != SIZE_MAX && out->n == k->begin + SOURCE_BYTES)
        out->n = k->begin;
    k->has_saved = true;
    gw_buf_reset(&k->record);
    return 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static int put_in_past(struct gw_kept *k, const uint8_t id[16], uint64_t upto_ns)
{
    if (upto_ns == 0)
        return 0;
    if (upto_ns > k->past_ns)
        k->past_ns = upto_ns;
    return gw_kept_put_more(k->env, &k->past, &k->max_past, id, upto_ns) ? 0 : -ENOMEM;
}

static void read_source(struct gw_kept *k, struct gw_spool_in *in)
{
    struct gw_kept_source s = {gw_spool_get_u32(in), 0};

    s.n_workers = gw_spool_get_u32(in);
    for (k->source = 0; k->source < k->n_sources; k->source++)
        if (k->sources[k->source].worker == s.worker && k->sources[k->source].n_workers == s.n_workers)
            return;
    if (in->bad || s.worker >= s.n_workers || k->n_sources == GW_KEPT_SOURCES)
        in->bad = true;
    else
        k->sources[k->n_sources++] = s;
}

static int read_decision(struct gw_kept *k, struct gw_spool_in *in, const struct gw_keep_owner *owner,
                         const struct gw_kept_reader *r)
{
    struct gw_slice id = gw_spool_get(in, 16);
    uint64_t value = gw_spool_get_u64(in), upto_ns = gw_spool_get_u64(in);

    if (in->bad || !owner->owns(owner->arg, id.p))
        return 0;
    if (value != GW_KEPT_NOTHING && (!r->decided || !r->decided(r->self, id.p, value)))
        in->bad = true;
    if (r->over)
        r->over(r->self, id.p);
    return put_in_past(k, id.p, upto_ns);
}

int gw_kept_restore(struct gw_kept *k, struct gw_slice record, const struct gw_keep_owner *owner,
                    const struct gw_kept_reader *r)
{
    struct gw_spool_in in = {.left = record};
    int rc = 0;

    while (in.left.n && !in.bad && rc == 0) {
        uint8_t type = gw_spool_get_u8(&in);

        if (type == 'W')
            read_source(k, &in);
        else if (k->n_sources == 0)
            in.bad = true;
        else if (type == 'D')
            rc = read_decision(k, &in, owner, r);
        else if (!r->entry || !r->entry(r->self, type, &in))
            in.bad = true;
    }
    return rc < 0 ? rc : in.bad ? -EBADMSG : 0;
}
