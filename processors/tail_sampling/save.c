/* SPDX-License-Identifier: Apache-2.0 */
/* What limiters hold, over the end of the process. Buckets go by the wall clock: they fill while nobody is there. */
#include "processors/common/spool.h"
#include "processors/tail_sampling/rules.h"

static bool is_bucket(const struct gw_rule *r)
{
    return r->type == GW_RULE_RATE_LIMITING || r->type == GW_RULE_BYTES_LIMITING;
}

/* ---- saving ----------------------------------------------------------------------------------------------- */

static void save_bucket(const struct gw_bucket *b, struct gw_buf *out)
{
    double tokens = b->begun ? b->tokens : b->size;

    gw_buf_put_u8(out, b->begun);
    gw_spool_put_u64(out, b->last_ns);
    gw_buf_put(out, &b->size, sizeof(b->size));
    gw_buf_put(out, &tokens, sizeof(tokens));
}

static void save_rule(const struct gw_rule *r, struct gw_buf *out)
{
    gw_spool_put_u32(out, r->type);
    gw_spool_put_u32(out, r->n_subs);
    if (is_bucket(r))
        save_bucket(&r->bucket, out);
    if (r->type == GW_RULE_COMPOSITE) {
        gw_spool_put_u64(out, r->composite.second);
        for (unsigned i = 0; i < r->n_subs; i++)
            gw_spool_put_u64(out, (uint64_t)r->composite.allowances[i].used);
    }
    for (unsigned i = 0; i < r->n_subs; i++)
        save_rule(&r->subs[i], out);
}

static bool holds(const struct gw_rule *r)
{
    bool any = is_bucket(r) || r->type == GW_RULE_COMPOSITE;

    for (unsigned i = 0; i < r->n_subs && !any; i++)
        any = holds(&r->subs[i]);
    return any;
}

void gw_policies_save(const struct gw_policies *p, struct gw_buf *out)
{
    struct gw_buf rule;

    gw_buf_init(&rule, 64 << 20);
    for (unsigned i = 0; i < p->n; i++) {
        if (!holds(p->list[i].rule))
            continue;
        gw_buf_reset(&rule);
        save_rule(p->list[i].rule, &rule);
        gw_spool_put_bytes(out, gw_slice_cstr(p->list[i].name));
        gw_spool_put_bytes(out, gw_buf_slice(&rule));
    }
    gw_buf_clear(&rule);
}

/* ---- loading ---------------------------------------------------------------------------------------------- */

struct loading {
    struct gw_spool_in in;
    unsigned i, of;
    uint64_t at_ns;       /* buckets as full as they were then; 0: as they were */
    uint64_t *ret_latest; /* nothing is taken: only when the last one was asked; or NULL */
};

static double get_double(struct gw_spool_in *in)
{
    struct gw_slice raw = gw_spool_get(in, sizeof(double));
    double v = 0;

    if (raw.n)
        memcpy(&v, raw.p, sizeof(v));
    return v;
}

/* What `b` would have got meanwhile, if it had that size. */
static double filled(const struct gw_bucket *b, double size, double tokens, uint64_t ns)
{
    if (b->per_second > 0)
        tokens += (double)ns / 1e9 * b->per_second * (size / b->size);
    return tokens < size ? tokens : size;
}

/* As full as it was, or as much in debt, in parts of its size. */
static void load_bucket(struct loading *k, struct gw_bucket *b)
{
    bool begun = gw_spool_get_u8(&k->in);
    uint64_t last_ns = gw_spool_get_u64(&k->in);
    double size = get_double(&k->in), tokens = get_double(&k->in);

    if (k->in.bad)
        return;
    if (k->ret_latest) {
        *k->ret_latest = last_ns > *k->ret_latest ? last_ns : *k->ret_latest;
        return;
    }
    if (begun && k->at_ns > last_ns && size > 0) {
        tokens = filled(b, size, tokens, k->at_ns - last_ns);
        last_ns = k->at_ns;
    }
    if (!(size > 0 && tokens <= size && tokens >= -(double)b->burst)) /* nor a number that is none */
        tokens = 0;
    else if (size < b->size || size > b->size)
        tokens *= b->size / size;
    tokens /= k->of;
    b->tokens = k->i ? b->tokens + tokens : tokens;
    b->begun = (k->i && b->begun) || begun;
    b->last_ns = k->i && b->last_ns > last_ns ? b->last_ns : last_ns;
}

static void load_composite(struct loading *k, struct gw_rule *r)
{
    uint64_t second = gw_spool_get_u64(&k->in);
    bool is_newer = k->i == 0 || second > r->composite.second,
         counts = !k->ret_latest && (is_newer || second == r->composite.second);

    for (unsigned i = 0; i < r->n_subs && counts; i++) {
        int64_t used = (int64_t)gw_spool_get_u64(&k->in) / k->of;
        int64_t *to = &r->composite.allowances[i].used;

        if (!k->in.bad)
            *to = is_newer ? used : *to + used;
    }
    if (!counts)
        (void)gw_spool_get(&k->in, r->n_subs * sizeof(uint64_t));
    if (counts && is_newer && !k->in.bad)
        r->composite.second = second;
}

/* False: it is another rule now. */
static bool load_rule(struct loading *k, struct gw_rule *r)
{
    bool same = gw_spool_get_u32(&k->in) == r->type;

    if (gw_spool_get_u32(&k->in) != r->n_subs || !same || k->in.bad)
        return false;
    if (is_bucket(r))
        load_bucket(k, &r->bucket);
    if (r->type == GW_RULE_COMPOSITE)
        load_composite(k, r);
    for (unsigned i = 0; i < r->n_subs; i++)
        if (!load_rule(k, &r->subs[i]))
            return false;
    return true;
}

static void load(struct gw_policies *p, struct gw_slice saved, const struct loading *how)
{
    struct gw_spool_in all = {.left = saved};

    while (all.left.n) {
        struct gw_slice name = gw_spool_get_bytes(&all);
        struct loading k = *how;

        k.in = (struct gw_spool_in){.left = gw_spool_get_bytes(&all)};
        for (unsigned m = 0; m < p->n; m++)
            if (gw_slice_is(name, p->list[m].name))
                (void)load_rule(&k, p->list[m].rule);
    }
}

void gw_policies_load(struct gw_policies *p, struct gw_slice saved, unsigned i, unsigned of)
{
    load(p, saved, &(struct loading){.i = i, .of = of});
}

void gw_policies_mix(struct gw_policies *p, const struct gw_policies_part *list, unsigned n)
{
    struct loading k = {0};
    uint64_t latest = 0;

    for (unsigned i = 0; i < n; i++) {
        k.of += list[i].weight;
        load(p, list[i].saved, &(struct loading){.ret_latest = &latest});
    }
    k.at_ns = n > 1 ? latest : 0;
    for (unsigned i = 0; i < n; i++)
        for (unsigned times = n > 1 ? list[i].weight : (k.of = 1); times > 0; times--, k.i++)
            load(p, list[i].saved, &k);
}
