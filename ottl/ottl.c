/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/ottl.h"

#include <stdlib.h>

#include "ottl/expr.h"

enum {
    CHUNK_BYTES = 4 << 10,
    TREE_BYTES = 64 << 20, /* of 64 KiB of text: a node of a hundred bytes a token, at most */
    PROGRAM_BYTES = 64 << 20,
    SCRATCH_FIRST = 256,
    SCRATCH_BYTES = 4 << 20,
};

static int compile(struct gw_ottl *o, struct gw_slice text, struct gw_ottl_fault *fault)
{
    struct gw_ottl_ast *tree;
    struct gw_arena arena;
    int r;

    gw_arena_init(&arena, CHUNK_BYTES, TREE_BYTES);
    r = gw_ottl_parse_condition(text, &arena, fault, &tree);
    if (r == 0)
        r = gw_ottl_compile(o, text, tree, fault);
    gw_arena_clear(&arena);
    return r;
}

int gw_ottl_condition_new(struct gw_slice text, enum gw_ottl_context context, struct gw_env *env, struct gw_ottl **ret,
                          struct gw_ottl_fault *fault)
{
    struct gw_ottl *o = calloc(1, sizeof(*o));
    int r;

    if (!o)
        return -ENOMEM;
    o->env = env;
    o->context = context;
    gw_arena_init(&o->arena, CHUNK_BYTES, PROGRAM_BYTES);
    gw_buf_init(&o->buf, SCRATCH_BYTES);
    r = gw_buf_reserve(&o->buf, SCRATCH_FIRST);
    if (r == 0)
        r = compile(o, text, fault);
    if (r < 0)
        gw_ottl_free(o);
    else
        *ret = o;
    return r;
}

void gw_ottl_free(struct gw_ottl *o)
{
    if (!o)
        return;
    for (struct gw_ottl_pattern *p = o->patterns; p; p = p->next) { /* they themselves lie in the arena */
        gw_pattern_free(p->pattern);
        free(p->text);
    }
    gw_buf_clear(&o->buf);
    gw_arena_clear(&o->arena);
    free(o);
}

/* Which resource, scope and metric the item is of. */
static void locate(struct gw_ottl_run *r, enum gw_ottl_context context, uint32_t index)
{
    const struct gw_batch *b = r->v->batch;

    switch (context) {
    case GW_OTTL_RESOURCE:
        r->resource = index;
        return;
    case GW_OTTL_SCOPE:
        r->scope = index;
        break;
    case GW_OTTL_METRIC:
        r->metric = index;
        r->scope = b->metrics[index].scope;
        break;
    case GW_OTTL_SPANEVENT:
        r->event = index;
        r->scope = b->scope[r->row];
        break;
    case GW_OTTL_DATAPOINT:
        r->row = index;
        r->metric = b->metric[index];
        r->scope = b->scope[index];
        break;
    case GW_OTTL_SPAN:
    case GW_OTTL_LOG:
    case GW_OTTL_N_CONTEXTS:
        r->row = index;
        r->scope = b->scope[index];
        break;
    }
    r->resource = b->scopes[r->scope].resource;
}

int gw_ottl_test(struct gw_ottl *o, const struct gw_view *v, uint32_t row, uint32_t index, bool *ret,
                 struct gw_err *err)
{
    struct gw_ottl_run r = {.v = v, .row = row, .arena = v->arena, .buf = &o->buf, .env = o->env, .err = err};
    struct gw_ottl_value is;

    locate(&r, o->context, index);
    gw_buf_reset(&o->buf);
    if (!gw_ottl_eval(&r, o->root, &is))
        return r.error ? r.error : -EINVAL;
    *ret = is.b;
    return 0;
}

unsigned gw_ottl_reads(const struct gw_ottl *o)
{
    return o->reads;
}

uint64_t gw_ottl_n_given_up(const struct gw_ottl *o)
{
    uint64_t n = 0;

    for (const struct gw_ottl_pattern *p = o->patterns; p; p = p->next)
        n += p->n_given_up + (p->pattern ? gw_pattern_n_given_up(p->pattern) : 0);
    return n;
}
