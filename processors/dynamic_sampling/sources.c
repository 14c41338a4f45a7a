/* SPDX-License-Identifier: Apache-2.0 */
/* What other processes, or other workers, have written of rules and samplers (survive.h). */
#include <stdlib.h>

#include "processors/common/spool.h"
#include "processors/dynamic_sampling/survive.h"

struct gw_ds_source *gw_ds_source_new(const struct gw_ds *s)
{
    struct gw_ds_source *x = calloc(1, sizeof(*x) + s->rules.n * sizeof(x->samplers[0]));

    if (x)
        memset(x->names, GW_DS_FORGOTTEN, sizeof(x->names));
    return x;
}

void gw_ds_source_free(const struct gw_ds *s, struct gw_ds_source *x)
{
    for (uint32_t i = 0; x && i < s->rules.n; i++)
        gw_sampler_free(x->samplers[i]);
    free(x);
}

/* The rule that has their name; with a sampler. NULL: there is none. */
static struct gw_ds_rule *rule_of(const struct gw_ds *s, const struct gw_ds_source *x, uint8_t name)
{
    for (uint32_t i = 0; i < s->rules.n; i++)
        if (s->rules.list[i].name == x->names[name] && s->rules.list[i].sampler)
            return &s->rules.list[i];
    return NULL;
}

bool gw_ds_source_read_sampler(struct gw_ds *s, struct gw_ds_source *x, struct gw_spool_in *in, uint64_t now_ns)
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

bool gw_ds_source_read_call(struct gw_ds *s, struct gw_ds_source *x, struct gw_spool_in *in)
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
void gw_ds_take_samplers(struct gw_ds *s, struct gw_ds_source *const *sources, unsigned n)
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
void gw_ds_source_remember(struct gw_ds *s, const struct gw_ds_source *x, const uint8_t id[16], uint64_t decision)
{
    if (decision == 0)
        gw_ids_put(s->gone, id, 0);
    else
        gw_ids_put(s->kept, id, gw_ds_decision(x->names[(uint8_t)((decision >> 56) - 1)], decision << 8 >> 8));
}
