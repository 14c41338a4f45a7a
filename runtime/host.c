/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/graph.h"

static struct gw_engine *engine_of(struct gw_host *h)
{
    return (struct gw_engine *)((char *)h - offsetof(struct gw_engine, host));
}

static struct gw_service_component *extension(const struct gw_service *s, const char *id)
{
    for (size_t i = 0; i < s->n_extensions; i++)
        if (strcmp(s->extensions[i]->id, id) == 0)
            return s->extensions[i];
    return NULL;
}

static int no_such(const struct gw_service *s, const char *what, const char *id, struct gw_err *err)
{
    struct gw_buf known;
    int rc;

    gw_buf_init(&known, 200);
    for (size_t i = 0; i < s->n_extensions; i++)
        gw_buf_printf(&known, "%s%s", i ? ", " : "", s->extensions[i]->id);
    rc = gw_fail(err, -ENOENT, "%s \"%s\" is not among service::extensions (%.*s)", what, id,
                 known.n ? (int)known.n : 4, known.n ? (const char *)known.p : "none");
    gw_buf_clear(&known);
    return rc;
}

static int auth(struct gw_host *h, const char *id, struct gw_auth *ret, struct gw_err *err)
{
    const struct gw_service *s = engine_of(h)->graph->service;
    const struct gw_service_component *c = extension(s, id);

    if (!c)
        return no_such(s, "authenticator", id, err);
    if (!c->type->auth)
        return gw_fail(err, -ENOENT, "extension \"%s\" is no authenticator", id);
    *ret = (struct gw_auth){c->type->auth, engine_of(h)->graph->instances[c->index]->self};
    return 0;
}

static const struct gw_service_component *find_storage(const struct gw_service *s, const char *id)
{
    for (size_t i = 0; i < s->n_extensions && !*id; i++)
        if (s->extensions[i]->type->storage)
            return s->extensions[i];
    return extension(s, id);
}

static int storage(struct gw_host *h, const char *id, struct gw_storage *ret, struct gw_err *err)
{
    const struct gw_service *s = engine_of(h)->graph->service;
    const struct gw_service_component *c = find_storage(s, id);

    if (!c && !*id)
        return gw_fail(err, -ENOENT, "there is no storage in service::extensions: file_storage is one");
    if (!c)
        return no_such(s, "storage", id, err);
    if (!c->type->storage)
        return gw_fail(err, -ENOENT, "extension \"%s\" is no storage", id);
    c->type->storage->get(engine_of(h)->graph->instances[c->index]->self, ret);
    return 0;
}

static int open_log(struct gw_host *h, const struct gw_host_log *what, struct gw_log **ret, struct gw_err *err)
{
    struct gw_host_log named = *what;
    struct gw_storage st;
    int rc = storage(h, what->storage, &st, err);

    if (rc < 0)
        return rc;
    named.storage = find_storage(engine_of(h)->graph->service, what->storage)->id; /* one log has one name */
    return gw_logs_open(engine_of(h), &named, &st, ret, err);
}

static struct gw_tasks *log_reads(struct gw_host *h, const struct gw_log *log)
{
    return gw_logs_reads(engine_of(h), log);
}

static struct gw_flight *flight(struct gw_host *h, const struct gw_log *l, uint64_t *ret_log)
{
    return gw_logs_flight(engine_of(h), l, ret_log);
}

static bool is_ready(struct gw_host *h)
{
    return atomic_load_explicit(&engine_of(h)->phase, memory_order_relaxed) == RUNNING;
}

static uint64_t started_ns(struct gw_host *h)
{
    return engine_of(h)->started_ns;
}

const struct gw_host_ops gw_host_ops = {.auth = auth,
                                        .is_ready = is_ready,
                                        .started_ns = started_ns,
                                        .log = open_log,
                                        .log_reads = log_reads,
                                        .flight = flight,
                                        .storage = storage};
