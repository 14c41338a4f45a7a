/* SPDX-License-Identifier: Apache-2.0 */
/* What the instances of one component have in common (create_shared): found again by its settings. */
#include <stdlib.h>

#include "runtime/graph.h"

enum { MAX_IDENTITY_BYTES = 64 << 20 };

/* Settings, signal and pipeline: each of these has one of its own. */
static char *identify(const struct graph *g, const struct gw_service_component *c, const struct gw_ctx *ctx)
{
    char *settings = gw_settings_identity(g->service, c);
    struct gw_buf b;
    size_t n;

    if (!settings)
        return NULL;
    gw_buf_init(&b, MAX_IDENTITY_BYTES);
    gw_buf_printf(&b, "%s:%d:%d:%s", gw_kind_name(c->kind), (int)ctx->detailed, (int)ctx->signal,
                  ctx->pipeline ? ctx->pipeline : "");
    gw_buf_put(&b, settings, strlen(settings) + 1);
    free(settings);
    if (b.failed) {
        gw_buf_clear(&b);
        return NULL;
    }
    return (char *)gw_buf_take(&b, &n);
}

static int make(struct shared *s, const struct gw_service_component *c, const struct gw_ctx *ctx, struct gw_err *err)
{
    struct gw_err why = {"cannot be created"};
    int rc;

    s->type = c->type;
    s->ctx = *ctx;
    rc = c->type->create_shared(&s->p, &s->ctx, c->conf, &why);
    return rc == 0 ? 0
                   : gw_fail(err, rc, "%s %s: %s", gw_kind_name(c->kind), c->id,
                             rc == -ENOMEM ? "out of memory" : why.text);
}

static void let_go(struct shared *s)
{
    gw_source_unref(s->source);
    free(s->identity);
    free(s);
}

int gw_shared_get(struct graph *g, const struct gw_service_component *c, const struct gw_ctx *ctx, struct shared **ret,
                  struct gw_err *err)
{
    struct gw_engine *e = g->engine;
    char *identity = identify(g, c, ctx);
    struct shared *s;
    int rc;

    if (!identity)
        return gw_graph_no_memory(err);
    for (s = e->shared; s; s = s->next)
        if (strcmp(s->identity, identity) == 0) {
            free(identity);
            s->refs++;
            *ret = s;
            return 0;
        }
    s = calloc(1, sizeof(*s));
    if (!s) {
        free(identity);
        return gw_graph_no_memory(err);
    }
    *s = (struct shared){.engine = e, .identity = identity, .refs = 1, .source = gw_source_ref(g->source)};
    rc = make(s, c, ctx, err);
    if (rc < 0) {
        let_go(s);
        return rc;
    }
    s->next = e->shared;
    e->shared = s;
    *ret = s;
    return 0;
}

void gw_shared_unref(struct shared *s)
{
    struct shared **p;

    if (!s || --s->refs)
        return;
    for (p = &s->engine->shared; *p != s; p = &(*p)->next)
        ;
    *p = s->next;
    if (s->type->destroy_shared)
        s->type->destroy_shared(s->p);
    let_go(s);
}
