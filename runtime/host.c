/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/graph.h"

static struct gw_engine *engine_of(struct gw_host *h)
{
    return (struct gw_engine *)((char *)h - offsetof(struct gw_engine, host));
}

static int auth(struct gw_host *h, const char *id, struct gw_auth *ret, struct gw_err *err)
{
    const struct gw_service *s = engine_of(h)->conf.service;
    struct gw_buf known;
    int rc;

    for (size_t i = 0; i < s->n_extensions; i++) {
        const struct gw_service_component *c = s->extensions[i];

        if (strcmp(c->id, id) != 0)
            continue;
        if (!c->type->auth)
            return gw_fail(err, -ENOENT, "extension \"%s\" is no authenticator", id);
        *ret = (struct gw_auth){c->type->auth, engine_of(h)->instances[c->index].self};
        return 0;
    }
    gw_buf_init(&known, 200);
    for (size_t i = 0; i < s->n_extensions; i++)
        gw_buf_printf(&known, "%s%s", i ? ", " : "", s->extensions[i]->id);
    rc = gw_fail(err, -ENOENT, "authenticator \"%s\" is not among service::extensions (%.*s)", id,
                 known.n ? (int)known.n : 4, known.n ? (const char *)known.p : "none");
    gw_buf_clear(&known);
    return rc;
}

static bool is_ready(struct gw_host *h)
{
    return atomic_load_explicit(&engine_of(h)->phase, memory_order_relaxed) == RUNNING;
}

static uint64_t started_ns(struct gw_host *h)
{
    return engine_of(h)->started_ns;
}

const struct gw_host_ops gw_host_ops = {.auth = auth, .is_ready = is_ready, .started_ns = started_ns};
