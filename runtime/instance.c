/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receivers, exporters and extensions: what there is once in a process, for as long as some configuration names it; and
 * the rest that outlives a graph.
 */
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/limits.h"
#include "runtime/graph.h"

enum { MAX_IDENTITY_BYTES = 64 << 20, MAX_REMOVES = 8 };

/* ---- configurations --------------------------------------------------------------------------------------- */

struct source *gw_source_new(const struct gw_engine_source *given)
{
    struct source *s = calloc(1, sizeof(*s));

    if (s)
        *s = (struct source){*given, 1};
    return s;
}

struct source *gw_source_ref(struct source *s)
{
    s->refs++;
    return s;
}

void gw_source_unref(struct source *s)
{
    if (!s || --s->refs)
        return;
    if (s->given.release)
        s->given.release(s->given.arg);
    free(s);
}

/* ---- identity --------------------------------------------------------------------------------------------- */

/* With its length, so that no text can look like two. */
static void put(struct gw_buf *b, const char *text)
{
    gw_buf_printf(b, "%zu:%s,", strlen(text), text);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct gw_node *const *)a)->key, (*(const struct gw_node *const *)b)->key);
}

static void put_component(const struct gw_service *s, const struct gw_service_component *c, unsigned removes,
                          struct gw_buf *b);

static void put_tree(const struct gw_service *s, const struct gw_node *n, unsigned removes, struct gw_buf *b)
{
    const struct gw_node **sorted = n->n_children ? calloc(n->n_children, sizeof(*sorted)) : NULL;
    size_t k = 0;

    gw_buf_printf(b, "%d", (int)n->type);
    if (n->n_children && !sorted)
        b->failed = true;
    for (const struct gw_node *c = sorted ? n->first : NULL; c && k < n->n_children; c = c->next)
        sorted[k++] = c;
    if (n->type == GW_NODE_MAP && k > 1) /* in a map the order says nothing */
        qsort(sorted, k, sizeof(struct gw_node *), by_key);
    for (size_t i = 0; i < k; i++) {
        put(b, sorted[i]->key ? sorted[i]->key : "");
        put_tree(s, sorted[i], removes, b);
    }
    free(sorted);
    if (n->type == GW_NODE_MAP || n->type == GW_NODE_LIST) {
        gw_buf_put_str(b, ";");
        return;
    }
    put(b, n->text ? n->text : "");
    for (size_t i = 0; n->text && i < s->n_extensions; i++) /* it may be the name of one: then that one is meant, too */
        if (strcmp(s->extensions[i]->id, n->text) == 0)
            put_component(s, s->extensions[i], removes + 1, b);
}

static bool is_durable(const struct gw_service_component *c)
{
    const struct gw_queue_settings *q = c->kind == GW_EXPORTER ? c->extra : NULL;

    return q && q->queue.enabled && q->queue.storage && *q->queue.storage;
}

/* A queue on disk is a place in the log of each pipeline, and batches as that one says. */
static void put_pipelines(const struct gw_service *s, const struct gw_service_component *c, unsigned removes,
                          struct gw_buf *b)
{
    for (size_t i = 0; i < s->n_pipelines; i++) {
        const struct gw_service_pipeline *p = &s->pipelines[i];

        for (size_t k = 0; k < p->n_exporters; k++) {
            if (p->exporters[k] != c)
                continue;
            put(b, p->id);
            for (size_t n = 0; n < p->n_processors; n++)
                if (p->processors[n]->type->batching)
                    put_component(s, p->processors[n], removes + 1, b);
        }
    }
}

static void put_component(const struct gw_service *s, const struct gw_service_component *c, unsigned removes,
                          struct gw_buf *b)
{
    if (removes > MAX_REMOVES) /* in a circle, which is a mistake that somebody else finds */
        return;
    put(b, gw_kind_name(c->kind));
    put(b, c->type->name);
    put(b, c->id);
    if (c->node)
        put_tree(s, c->node, removes, b);
    for (size_t p = 0; p < c->n_ports && c->kind != GW_CONNECTOR; p++) /* those of a connector are its nodes' */
        for (size_t t = 0; t < c->ports[p].n_targets; t++) {
            put(b, c->ports[p].name);
            put_component(s, c->ports[p].targets[t], removes + 1, b);
        }
    for (size_t p = 0; p < s->n_pipelines && c->kind == GW_CONNECTOR; p++) /* it has a door to each */
        if (gw_graph_feeds(&s->pipelines[p], c))
            put(b, s->pipelines[p].id);
    if (is_durable(c))
        put_pipelines(s, c, removes, b);
}

char *gw_settings_identity(const struct gw_service *s, const struct gw_service_component *c)
{
    struct gw_buf b;
    size_t n;

    gw_buf_init(&b, MAX_IDENTITY_BYTES);
    put(&b, c->type->name);
    put(&b, c->id);
    if (c->node)
        put_tree(s, c->node, 0, &b);
    gw_buf_put_u8(&b, 0);
    if (b.failed) {
        gw_buf_clear(&b);
        return NULL;
    }
    return (char *)gw_buf_take(&b, &n);
}

char *gw_identity(const struct gw_service *s, const struct gw_service_component *c)
{
    struct gw_buf b;
    size_t n;

    gw_buf_init(&b, MAX_IDENTITY_BYTES);
    gw_buf_printf(&b, "%d,", (int)s->telemetry.metrics_level); /* which metrics it has */
    put_component(s, c, 0, &b);
    gw_buf_put_u8(&b, 0);
    if (b.failed) {
        gw_buf_clear(&b);
        return NULL;
    }
    return (char *)gw_buf_take(&b, &n);
}

/* ---- what chunks borrow ---------------------------------------------------------------------------------------------
 */

struct batching {
    struct batching *next;
    struct gw_batching b;
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_batching(const struct gw_batching *a, const struct gw_batching *b)
{
    if (a->enabled != b->enabled || a->by_bytes != b->by_bytes || a->flush_timeout_ns != b->flush_timeout_ns ||
        a->min_size != b->min_size || a->max_size != b->max_size || a->n_metadata_keys != b->n_metadata_keys ||
        a->cardinality_limit != b->cardinality_limit || !same_text(a->processor, b->processor))
        return false;
    for (unsigned i = 0; i < a->n_metadata_keys; i++)
        if (strcmp(a->metadata_keys[i], b->metadata_keys[i]) != 0)
            return false;
    return true;
}

struct kept_text {
    struct kept_text *next;
    char text[];
};

const char *gw_text_keep(struct gw_engine *e, const char *text)
{
    struct kept_text *k;

    for (k = e->texts; k; k = k->next)
        if (strcmp(k->text, text) == 0)
            return k->text;
    k = gw_arena_alloc(&e->arena, sizeof(*k) + strlen(text) + 1);
    if (!k)
        return NULL;
    strcpy(k->text, text);
    k->next = e->texts;
    e->texts = k;
    return k->text;
}

const struct gw_batching *gw_batching_keep(struct gw_engine *e, const struct gw_batching *b)
{
    struct batching *k;
    const char **keys;

    for (k = e->batchings; k; k = k->next)
        if (same_batching(&k->b, b))
            return &k->b;
    k = gw_arena_zalloc(&e->arena, sizeof(*k));
    keys = gw_arena_zalloc(&e->arena, (b->n_metadata_keys + 1) * sizeof(*keys));
    if (!k || !keys)
        return NULL;
    k->b = *b;
    k->b.metadata_keys = keys;
    for (unsigned i = 0; i < b->n_metadata_keys; i++)
        if (!(keys[i] = gw_text_keep(e, b->metadata_keys[i])))
            return NULL;
    if (b->processor && !(k->b.processor = gw_text_keep(e, b->processor)))
        return NULL;
    k->next = e->batchings;
    e->batchings = k;
    return &k->b;
}

/* ---- instances -------------------------------------------------------------------------------------------- */

static void room(void *arg)
{
    struct gw_engine *e = arg;

    for (unsigned i = 0; i < e->n_workers; i++)
        if (e->workers[i].loop)
            gw_loop_wake(e->workers[i].loop);
}

static void keep_sample(void *arg, const struct gw_edge_sample *s)
{
    const struct gw_engine *e = arg;

    gw_samples_keep(e->samples, &(struct gw_sample_reason){s->component, s->pipeline, s->reason, s->signal},
                    gw_wall_ns(e->conf.env), s->body);
}

static int make_edge(struct graph *g, struct instance *x, struct gw_err *err)
{
    struct gw_engine *e = g->engine;
    struct gw_edge_conf conf = {
        .env = e->conf.env,
        .component = x->comp->type,
        .self = x->self,
        .id = x->comp->id,
        .signals = x->comp->signals,
        .meter = e->conf.meter,
        .level = g->service->telemetry.metrics_level,
        .logger = x->ctx.logger,
        .config = g->service->hash,
        .memory = &e->memory,
        .room = room,
        .book = gw_books_of,
        .sample = keep_sample,
        .arg = e,
    };

    if (x->comp->extra)
        conf.settings = *(const struct gw_queue_settings *)x->comp->extra;
    x->drains = calloc((size_t)e->n_workers * GW_N_SIGNALS, sizeof(*x->drains));
    return !x->drains || gw_edge_new(&conf, &x->edge) < 0 ? gw_graph_no_memory(err) : 0;
}

int gw_instance_make_intakes(struct instance *x, struct gw_err *err)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_engine *e = x->engine;

    x->intakes = calloc(e->n_workers, sizeof(*x->intakes));
    if (!x->intakes)
        return gw_graph_no_memory(err);
    for (unsigned i = 0; i < e->n_workers; i++) {
        struct intake *in = &x->intakes[i];

        in->worker = &e->workers[i];
        in->receiver = x;
        in->base = (struct gw_intake){.ops = &gw_intake_ops, .worker = i, .id = x->comp->id, .limits = &limits};
    }
    return 0;
}

static int make_parts(struct graph *g, struct instance *x, struct gw_err *err)
{
    int rc = gw_graph_make(x->comp, &x->ctx, &x->self, err);

    if (rc == 0 && x->comp->kind == GW_EXPORTER)
        rc = make_edge(g, x, err);
    if (rc == 0 && x->comp->kind == GW_RECEIVER)
        rc = gw_instance_make_intakes(x, err);
    if (rc == 0 && x->comp->kind == GW_CONNECTOR && !(x->locals = calloc(g->engine->n_workers, sizeof(*x->locals))))
        rc = gw_graph_no_memory(err);
    return rc;
}

/* Half made it is named all the same: gw_instance_free takes what there is. */
int gw_instance_make(struct graph *g, const struct gw_service_component *c, char *identity, struct gw_err *err)
{
    struct instance *x = calloc(1, sizeof(*x));
    int rc;

    if (!x) {
        free(identity);
        return gw_graph_no_memory(err);
    }
    *x = (struct instance){.engine = g->engine, .source = gw_source_ref(g->source), .identity = identity, .comp = c};
    x->refs = x->feeders = 1;
    *g->engine->instances_last = x;
    g->engine->instances_last = &x->next;
    g->instances[c->index] = x;
    gw_graph_fill_ctx(g, &x->ctx, c, NULL, 0, 0);
    rc = make_parts(g, x, err);
    x->is_kept = rc == 0 && c->type->storage;
    return rc;
}

static void unlink_instance(struct instance *x)
{
    struct instance **p = &x->engine->instances;

    while (*p && *p != x)
        p = &(*p)->next;
    if (!*p)
        return;
    *p = x->next;
    if (x->engine->instances_last == &x->next)
        x->engine->instances_last = p;
}

void gw_instance_free(struct instance *x)
{
    unlink_instance(x);
    gw_engine_close_extension(x);
    if (x->edge)
        gw_wals_forget(x->engine, x->edge);
    gw_edge_free(x->edge);
    if (x->comp->type->destroy)
        x->comp->type->destroy(x->self);
    gw_loop_free(x->loop);
    gw_source_unref(x->source);
    free(x->identity);
    free(x->next_identity);
    free(x->drains);
    free(x->intakes);
    free(x->locals);
    free(x);
}
