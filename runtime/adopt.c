/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processors keep at a reload. The instances of the new graph take over what their predecessors have, so that
 * nothing is decided early because settings elsewhere have changed. A predecessor stays with its share until that has
 * left; rows that still come to it, from before the reload or from other workers, are its heir's.
 */
#include "runtime/graph.h"

static bool is_same(const struct node *a, const struct node *b)
{
    return a->comp->type == b->comp->type && strcmp(a->comp->id, b->comp->id) == 0 && a->ctx.signal == b->ctx.signal;
}

static void adopt(struct node *heir, struct node *old)
{
    if (old->comp->type->adopt && old->comp->type->adopt(heir->self, old->self) == 0)
        old->heir = heir;
}

static struct chain *chain_of(const struct share *sh, const char *pipeline)
{
    const struct gw_service *s = sh->graph->service;

    for (size_t p = 0; p < s->n_pipelines; p++)
        if (strcmp(s->pipelines[p].id, pipeline) == 0)
            return &sh->chains[p];
    return NULL;
}

static void adopt_chain(const struct chain *to, const struct chain *from)
{
    for (unsigned i = 0; to && i < from->n_nodes; i++)
        for (unsigned k = 0; k < to->n_nodes; k++)
            if (is_same(&to->nodes[k], &from->nodes[i])) {
                adopt(&to->nodes[k], &from->nodes[i]);
                break;
            }
}

static void adopt_joint(const struct share *to, struct node *old)
{
    const struct gw_service_component *c = gw_service_find(to->graph->service, old->comp->kind, old->comp->id);
    struct node *n = c ? to->joints[c->index * GW_N_SIGNALS + gw_signal_index(old->ctx.signal)] : NULL;

    if (n && is_same(n, old) && !gw_keeps_rows(old->comp))
        adopt(n, old);
}

/* An heir's heir: the one between leaves, too, and may be gone earlier. */
static void pass_on(struct share *sh, const struct share *from)
{
    const struct gw_service *s = sh->graph->service;

    for (size_t p = 0; p < s->n_pipelines; p++)
        for (unsigned i = 0; i < sh->chains[p].n_nodes; i++) {
            struct node *n = &sh->chains[p].nodes[i];

            if (n->heir && n->heir->share == from)
                n->heir = n->heir->heir;
        }
    for (size_t i = 0; i < s->n_components * GW_N_SIGNALS; i++)
        if (sh->joints[i] && sh->joints[i]->heir && sh->joints[i]->heir->share == from)
            sh->joints[i]->heir = sh->joints[i]->heir->heir;
}

void gw_nodes_adopt(struct worker *w, struct share *from, struct share *to)
{
    const struct gw_service *s = from->graph->service;

    for (size_t p = 0; p < s->n_pipelines; p++)
        adopt_chain(chain_of(to, s->pipelines[p].id), &from->chains[p]);
    for (size_t i = 0; i < s->n_components * GW_N_SIGNALS; i++)
        if (from->joints[i])
            adopt_joint(to, from->joints[i]);
    for (struct share *sh = w->leaving; sh; sh = sh->next)
        pass_on(sh, from);
}
