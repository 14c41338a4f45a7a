/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "exporters/elasticsearch/writer.h"

enum {
    ARENA_CHUNK = 16 << 10,
    ARENA_MAX = 64 << 20, /* texts of one document: more is refused */
    FIRST_ITEMS = 64,
    KEPT_BYTES = 1 << 20, /* of scratch, from call to call */
};

/* ---- life ------------------------------------------------------------------------------------------------------ */

static void target_init(struct gw_es_target *t)
{
    gw_buf_init(&t->text, 4096);
    gw_buf_init(&t->name, 1 << 20);
    gw_buf_init(&t->name_json, 8 << 20);
    gw_buf_init(&t->stream_json, 8 << 10);
}

static void target_clear(struct gw_es_target *t)
{
    gw_buf_clear(&t->text);
    gw_buf_clear(&t->name);
    gw_buf_clear(&t->name_json);
    gw_buf_clear(&t->stream_json);
}

int gw_es_writer_new(const struct gw_es_options *o, struct gw_es_writer **ret)
{
    struct gw_es_writer *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->o = o;
    w->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    w->turn = 1;
    gw_arena_init(&w->arena, ARENA_CHUNK, ARENA_MAX);
    gw_arena_init(&w->doc_arena, ARENA_CHUNK, ARENA_MAX);
    gw_arena_init(&w->scope_arena, ARENA_CHUNK, ARENA_MAX);
    w->field_arena = &w->doc_arena;
    gw_buf_init(&w->text, ARENA_MAX);
    gw_buf_init(&w->templates, ARENA_MAX);
    gw_buf_init(&w->identities, SIZE_MAX / 2);
    gw_buf_init(&w->scope.resource_json, SIZE_MAX / 2);
    gw_buf_init(&w->scope.tail, SIZE_MAX / 2);
    for (int k = 0; k < GW_ES_N_KINDS; k++) {
        target_init(&w->scope.targets[k]);
        target_init(&w->row_targets[k]);
    }
    *ret = w;
    return 0;
}

void gw_es_writer_free(struct gw_es_writer *w)
{
    if (!w)
        return;
    if (w->utf8)
        freelocale(w->utf8);
    gw_arena_clear(&w->arena);
    gw_arena_clear(&w->doc_arena);
    gw_arena_clear(&w->scope_arena);
    gw_buf_clear(&w->text);
    gw_buf_clear(&w->templates);
    gw_buf_clear(&w->identities);
    gw_buf_clear(&w->scope.resource_json);
    gw_buf_clear(&w->scope.tail);
    for (int k = 0; k < GW_ES_N_KINDS; k++) {
        target_clear(&w->scope.targets[k]);
        target_clear(&w->row_targets[k]);
    }
    free(w->keys);
    free(w->fields);
    free(w->order);
    free(w->order_tmp);
    free(w->base_order);
    gw_go_json_clear(&w->go);
    free(w->groups);
    free(w->slots);
    free(w->row_group);
    free(w->by_group);
    free(w->counts);
    free(w->values);
    free(w);
}

void gw_es_docs_clear(struct gw_es_docs *d)
{
    free(d->docs);
    free(d->rows);
    *d = (struct gw_es_docs){0};
}

bool gw_es_grow(struct gw_es_writer *w, void **table, uint32_t n, uint32_t *cap, size_t item_bytes)
{
    uint32_t want = *cap ? 2 * *cap : FIRST_ITEMS;
    void *p;

    if (n < *cap)
        return true;
    p = want > *cap && want <= SIZE_MAX / item_bytes ? realloc(*table, want * item_bytes) : NULL;
    if (!p) {
        w->rc = -ENOMEM;
        return false;
    }
    *table = p;
    *cap = want;
    return true;
}

/* ---- actions --------------------------------------------------------------------------------------------------- */

void gw_es_refuse(struct gw_es_writer *w, uint32_t row, const char *reason, const char *message)
{
    w->refuse(w->refuse_arg, row, reason, message);
}

static void put_own_id(struct gw_es_writer *w, struct gw_es_action *a)
{
    struct gw_slice own = a->id ? gw_es_as_string(w, a->id) : (struct gw_slice){0};

    a->long_id = own.n > GW_ES_MAX_ID;
    if (own.n == 0 && a->record_id[0])
        own = gw_slice_cstr(a->record_id);
    if (own.n) {
        GW_ES_PUT(w->out, "\"_id\":");
        gw_json_put_string(w->out, own);
        GW_ES_PUT(w->out, ",");
        a->id_at = 0;
    } else if (w->o->id == GW_ES_ID_CONTENT) {
        GW_ES_PUT(w->out, "\"_id\":\"");
        a->id_at = w->out->n;
        GW_ES_PUT(w->out, "......................\","); /* GW_ES_ID_BYTES, filled in at the end */
    }
}

void gw_es_begin(struct gw_es_writer *w, struct gw_es_action *a)
{
    struct gw_slice pipeline = a->pipeline ? gw_es_as_string(w, a->pipeline) : (struct gw_slice){0};
    bool stream_mode = w->scope.mode == GW_ES_OTEL || w->scope.mode == GW_ES_ECS;
    struct gw_buf *o = w->out;

    gw_es_forget_keys(w);
    gw_arena_reset(&w->doc_arena, KEPT_BYTES);
    w->n_fields = 0;
    w->too_large = w->scope.too_large;
    a->at = o->n;
    a->id_at = SIZE_MAX;
    a->long_id = false;
    GW_ES_PUT(o, "{\"create\":{");
    if (a->id || a->record_id[0] || w->o->id == GW_ES_ID_CONTENT)
        put_own_id(w, a);
    gw_es_put_buf(o, &a->target->name_json);
    if (pipeline.n == 0)
        pipeline = gw_slice_cstr(w->o->pipeline);
    if (pipeline.n) {
        GW_ES_PUT(o, ",\"pipeline\":");
        gw_json_put_string(o, pipeline);
    }
    if (a->templates && a->templates->n && !w->o->no_dynamic_templates) {
        GW_ES_PUT(o, ",\"dynamic_templates\":{");
        gw_es_put_buf(o, a->templates);
        GW_ES_PUT(o, "}");
    }
    if (stream_mode && w->o->require_data_stream)
        GW_ES_PUT(o, ",\"require_data_stream\":true}}\n");
    else
        GW_ES_PUT(o, "}}\n");
    a->source = o->n;
}

static bool add_rows(struct gw_es_writer *w, const uint32_t *rows, uint32_t n)
{
    struct gw_es_docs *d = w->docs;

    for (uint32_t i = 0; i < n; i++) {
        if (!gw_es_grow(w, (void **)&d->rows, d->n_rows, &d->cap_rows, sizeof(*d->rows)))
            return false;
        d->rows[d->n_rows++] = rows[i];
    }
    return true;
}

static const char *problem_of(const struct gw_es_writer *w, const struct gw_es_action *a, const char **ret_message)
{
    if (a->long_id) {
        *ret_message = "elasticsearch.document_id is longer than 512 bytes";
        return "document_id";
    }
    *ret_message = "the document's names or lists are longer than 64 MiB";
    return w->too_large ? "too_large" : NULL;
}

const char *gw_es_end(struct gw_es_writer *w, struct gw_es_action *a, const uint32_t *rows, uint32_t n_rows,
                      const char **ret_message)
{
    struct gw_es_docs *d = w->docs;
    struct gw_buf *o = w->out;
    uint32_t first = d->n_rows;
    const char *problem = problem_of(w, a, ret_message);

    if (problem) {
        o->n = a->at;
        return problem;
    }
    if (a->id_at != SIZE_MAX && a->id_at && !o->failed)
        gw_es_id_content(gw_buf_slice(&a->target->name), gw_es_from(o, a->source), o->p + a->id_at);
    if (!add_rows(w, rows, n_rows) || !gw_es_grow(w, (void **)&d->docs, d->n_docs, &d->cap_docs, sizeof(*d->docs)))
        return NULL; /* w->rc says it */
    d->docs[d->n_docs++] = (struct gw_es_doc){.at = a->at,
                                              .source = a->source,
                                              .end = o->n,
                                              .rows = first,
                                              .n_rows = n_rows,
                                              .event = a->event,
                                              .own_id = a->id_at != SIZE_MAX};
    return NULL;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static const char *mode_problem(const struct gw_es_writer *w)
{
    enum gw_es_mode m = w->scope.mode;

    if (w->b->signal == GW_METRICS && m != GW_ES_OTEL && m != GW_ES_ECS)
        return "the mapping mode has no documents for metrics";
    return w->b->signal == GW_TRACES && m == GW_ES_BODYMAP ? "mapping mode bodymap has no documents for spans" : NULL;
}

void gw_es_enter_scope(struct gw_es_writer *w, uint32_t index)
{
    const struct gw_scope *s = &w->b->scopes[index];
    struct gw_es_scope *to = &w->scope;

    to->scope = index;
    to->resource = s->resource;
    to->too_large = to->has_fields = false;
    to->n_fields = 0;
    for (int k = 0; k < GW_ES_N_KINDS; k++)
        to->targets[k].resolved = w->row_targets[k].resolved = false;
    gw_es_control_of(w->b, s->attrs, &to->own);
    gw_es_control_of(w->b, w->b->resources[s->resource].attrs, &to->of_resource);
    to->dataset = gw_es_scope_dataset(w->b, s, to->own.format);
    to->bad_mode = w->request_problem != NULL || !gw_es_scope_mode(w, to->own.mode, &to->mode);
    if (!to->bad_mode && mode_problem(w)) {
        (void)snprintf(w->message, sizeof(w->message), "%s", mode_problem(w));
        to->bad_mode = true;
    }
    if (!to->bad_mode && to->mode == GW_ES_OTEL)
        gw_es_otel_scope(w);
    if (!to->bad_mode && w->b->signal == GW_METRICS)
        gw_es_group_scope(w);
}

static void put_log(struct gw_es_writer *w, uint32_t row, const struct gw_es_target *t, const struct gw_es_control *c)
{
    struct gw_value body;

    switch (w->scope.mode) {
    case GW_ES_OTEL:
        gw_es_otel_log(w, row, t, c);
        break;
    case GW_ES_ECS:
        gw_es_ecs_log(w, row, t);
        break;
    case GW_ES_NONE:
    case GW_ES_RAW:
        gw_es_flat_log(w, row, t);
        break;
    case GW_ES_BODYMAP:
        body = gw_value_of(w->b, GW_V_KVLIST, w->b->body[row]);
        gw_es_put_value(w, w->out, &body, /* strings= */ false);
        GW_ES_PUT(w->out, "\n");
        break;
    case GW_ES_N_MODES:
        break;
    }
}

static void write_log(struct gw_es_writer *w, uint32_t row)
{
    const struct gw_batch *b = w->b;
    const struct gw_es_target *t;
    const char *problem, *message;
    struct gw_es_control c;
    struct gw_es_action a;

    gw_es_control_of(b, b->attr[row], &c);
    t = gw_es_route(w, &c, GW_ES_ITEM);
    if (__builtin_expect(c.hints != NULL, 0) && gw_es_hint(b, c.hints, GW_SLICE("_noindex"))) {
        gw_es_refuse(w, row, "noindex", "the hint _noindex asks for no document");
        return;
    }
    if (t->problem) {
        gw_es_refuse(w, row, t->problem, t->message);
        return;
    }
    if (w->scope.mode == GW_ES_BODYMAP && b->body_type[row] != GW_V_KVLIST) {
        gw_es_refuse(w, row, "body_not_a_map", "mapping mode bodymap: the record's body is not a map");
        return;
    }
    a.target = t;
    a.id = w->o->logs_dynamic_id ? c.id : NULL;
    a.pipeline = w->o->logs_dynamic_pipeline ? c.pipeline : NULL;
    a.templates = NULL;
    a.event = false;
    a.record_id[0] = 0;
    if (w->o->id == GW_ES_ID_RECORD)
        gw_es_id_row(w, row, a.record_id);
    gw_es_begin(w, &a);
    put_log(w, row, t, &c);
    problem = gw_es_end(w, &a, &row, 1, &message);
    if (problem)
        gw_es_refuse(w, row, problem, message);
}

/** What keeps a span or an event of it from being written; the sentence is in w->message. */
static void note_problem(struct gw_es_writer *w, const char **ret, const char *reason, const char *message)
{
    *ret = reason;
    (void)snprintf(w->message, sizeof(w->message), "%s", message);
}

static void put_event(struct gw_es_writer *w, uint32_t row, uint32_t event, const char **ret_problem)
{
    const struct gw_batch *b = w->b;
    const struct gw_es_target *t;
    struct gw_es_action a = {.event = true};
    const char *problem, *message;
    struct gw_es_control c;

    gw_es_control_of(b, b->events[event].attrs, &c);
    if (gw_es_hint(b, c.hints, GW_SLICE("_noindex")))
        return;
    t = w->scope.mode == GW_ES_ECS ? gw_es_ecs_event_route(w, event, &c) : gw_es_route(w, &c, GW_ES_EVENT);
    if (t->problem) {
        note_problem(w, ret_problem, t->problem, t->message);
        return;
    }
    a.target = t;
    a.id = w->o->traces_dynamic_id ? c.id : NULL;
    a.pipeline = w->o->traces_dynamic_pipeline ? c.pipeline : NULL;
    if (w->o->id == GW_ES_ID_RECORD)
        gw_es_id_event(w, row, event, a.record_id);
    gw_es_begin(w, &a);
    if (w->scope.mode == GW_ES_ECS)
        gw_es_ecs_event(w, row, event, t);
    else
        gw_es_otel_event(w, row, event, t);
    problem = gw_es_end(w, &a, &row, 1, &message);
    if (problem)
        note_problem(w, ret_problem, problem, message);
}

static void put_span(struct gw_es_writer *w, uint32_t row, const struct gw_es_control *c, const char **ret_problem)
{
    const struct gw_es_target *t = gw_es_route(w, c, GW_ES_ITEM);
    struct gw_es_action a = {.target = t, .id = w->o->traces_dynamic_id ? c->id : NULL};
    const char *problem, *message;

    if (t->problem) {
        note_problem(w, ret_problem, t->problem, t->message);
        return;
    }
    a.pipeline = w->o->traces_dynamic_pipeline ? c->pipeline : NULL;
    if (w->o->id == GW_ES_ID_RECORD)
        gw_es_id_row(w, row, a.record_id);
    gw_es_begin(w, &a);
    if (w->scope.mode == GW_ES_OTEL)
        gw_es_otel_span(w, row, t);
    else if (w->scope.mode == GW_ES_ECS)
        gw_es_ecs_span(w, row, t);
    else
        gw_es_flat_span(w, row, t);
    problem = gw_es_end(w, &a, &row, 1, &message);
    if (problem)
        note_problem(w, ret_problem, problem, message);
}

/**
 * A span and, in modes that have documents of events, its events. What keeps one of them from having a document refuses
 * the row: then nothing of it is written, so that it is either there or in the dead letters.
 */
static void write_span(struct gw_es_writer *w, uint32_t row)
{
    const struct gw_batch *b = w->b;
    struct gw_range events = b->events_of[row];
    bool has_events = w->scope.mode == GW_ES_OTEL || w->scope.mode == GW_ES_ECS;
    uint32_t n_docs = w->docs->n_docs, n_rows = w->docs->n_rows;
    const char *problem = NULL;
    size_t at = w->out->n;
    struct gw_es_control c;

    gw_es_control_of(b, b->attr[row], &c);
    if (!gw_es_hint(b, c.hints, GW_SLICE("_noindex")))
        put_span(w, row, &c, &problem);
    for (uint32_t i = events.begin; has_events && i < events.end && !problem; i++)
        put_event(w, row, i, &problem);
    if (problem) {
        w->out->n = at;
        w->docs->n_docs = n_docs;
        w->docs->n_rows = n_rows;
        gw_es_refuse(w, row, problem, w->message);
    } else if (w->docs->n_docs == n_docs && !w->rc) {
        gw_es_refuse(w, row, "noindex", "the hint _noindex asks for no document");
    }
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

static void begin_call(struct gw_es_writer *w, const struct gw_view *v, struct gw_buf *out, struct gw_es_docs *docs)
{
    w->v = v;
    w->b = v->batch;
    w->out = out;
    w->docs = docs;
    w->rc = 0;
    w->request_problem = NULL;
    w->scope.scope = w->scope.resource = UINT32_MAX;
    docs->n_docs = docs->n_rows = 0;
    gw_arena_reset(&w->arena, KEPT_BYTES);
    gw_buf_reset(&w->text);
    if (!gw_es_request_mode(w, &w->request_mode))
        w->request_problem = w->message;
}

int gw_es_write(struct gw_es_writer *w, const struct gw_view *v, struct gw_buf *out, struct gw_es_docs *docs,
                gw_es_refuse_fn refuse, void *arg)
{
    uint32_t n = v->batch->n_rows;

    begin_call(w, v, out, docs);
    w->refuse = refuse;
    w->refuse_arg = arg;
    if (w->b->signal == GW_METRICS)
        gw_es_groups_reset(w);
    for (uint32_t row = gw_view_next(v, 0); row < n && !out->failed && !w->rc; row = gw_view_next(v, row + 1)) {
        if (w->b->scope[row] != w->scope.scope)
            gw_es_enter_scope(w, w->b->scope[row]);
        if (w->scope.bad_mode)
            gw_es_refuse(w, row, "mapping_mode", w->message);
        else if (w->b->signal == GW_LOGS)
            write_log(w, row);
        else if (w->b->signal == GW_TRACES)
            write_span(w, row);
        else
            gw_es_metrics_row(w, row);
    }
    if (w->b->signal == GW_METRICS && !out->failed && !w->rc)
        gw_es_metrics_end(w);
    if (w->text.failed)
        w->rc = -ENOMEM;
    if (out->failed)
        return out->cap >= out->max_bytes / 2 ? -E2BIG : -ENOMEM;
    return w->rc;
}
