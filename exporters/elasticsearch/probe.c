/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which server it is, asked before the first document is written: Elasticsearch from 8.12 on takes require_data_stream;
 * OpenSearch refuses it, and a whole request that names dynamic templates. While no server answers, attempts wait as
 * they would for the answer to a request: documents cannot be written for a server that is not known. A server that
 * answers something else gets documents without either, and is asked again later.
 */
#include "core/logger.h"
#include "exporters/elasticsearch/bulk.h"

static const uint64_t PATIENCE_NS = 5ull * 1000000000, AGAIN_NS = 60ull * 1000000000;

static void settle(struct gw_es *s, const struct gw_http_response *rs)
{
    struct gw_es_server server = {0};

    s->probed = true;
    if (rs->status == 200)
        gw_es_server_read(rs->body, &server);
    /* Elasticsearch says so in every answer from 7.14 on, also where it does not let us ask for its version. */
    if (gw_slice_is(gw_http_response_header(rs, "x-elastic-product"), "Elasticsearch"))
        s->options.no_dynamic_templates = false;
    if (server.product == GW_ES_UNKNOWN) {
        s->probe_again_ns = gw_mono_ns(s->ctx->env) + AGAIN_NS;
        gw_log(&s->ctx->logger, GW_LOG_INFO,
               "the server's version is not known (HTTP %d): documents go out without require_data_stream", rs->status);
        return;
    }
    s->probe_again_ns = 0;
    s->options.require_data_stream = gw_es_takes_require_data_stream(&server);
    s->options.no_dynamic_templates = server.product == GW_ES_OTHER;
    gw_log(&s->ctx->logger, GW_LOG_INFO, "the server is %s %u.%u",
           server.product == GW_ES_ELASTICSEARCH ? "Elasticsearch" : "none of Elastic's, its version", server.major,
           server.minor);
}

static bool ask(struct gw_es *s);

/* True when another server has been asked instead. */
static bool unanswered(struct gw_es *s)
{
    return ++s->probe_tries < s->nodes.n && ask(s);
}

static void on_answer(struct gw_post *p, const struct gw_http_response *rs)
{
    struct gw_es *s = p->arg;
    struct gw_http_outcome o;

    s->probe = NULL;
    gw_breaker_end(&s->probe_node->breaker, s->probe_pass, rs->status ? GW_SIGN_WELL : gw_http_sign(s->ctx, rs),
                   rs->error, gw_mono_ns(s->ctx->env));
    gw_http_outcome_of(s->ctx, rs, (struct gw_slice){0}, &o);
    if (rs->status)
        settle(s, rs);
    else if (rs->failure != GW_HTTP_CANCELLED && unanswered(s)) {
        gw_post_free(p);
        return;
    }
    gw_post_free(p);
    gw_es_jobs_release(s, s->probed ? NULL : &o.info);
}

static bool ask(struct gw_es *s)
{
    struct gw_post *p = gw_post_new(&s->poster);
    struct gw_es_node *n;
    uint64_t wait;

    if (!p)
        return false;
    n = gw_es_nodes_pick(&s->nodes, gw_mono_ns(s->ctx->env), &wait); /* whatever the breaker says: the queue paces it */
    p->rq.method = "GET";
    if (n->authorization)
        gw_post_header(p, "Authorization", gw_slice_cstr(n->authorization));
    if (gw_post_send(p, n->root_url, PATIENCE_NS, on_answer, s, NULL) < 0) {
        gw_post_free(p);
        return false;
    }
    s->probe = p;
    s->probe_node = n;
    s->probe_pass = gw_breaker_begin(&n->breaker, gw_mono_ns(s->ctx->env));
    return true;
}

bool gw_es_probe(struct gw_es *s)
{
    uint64_t now = gw_mono_ns(s->ctx->env);

    if (s->probe || (s->probed && (!s->probe_again_ns || now < s->probe_again_ns)))
        return !s->probed;
    s->probe_tries = 0;
    if (!ask(s)) { /* no token, such as a request would not get either */
        s->probed = true;
        s->probe_again_ns = now + AGAIN_NS;
    }
    return !s->probed;
}

void gw_es_probe_stop(struct gw_es *s)
{
    if (!s->probe)
        return;
    gw_post_cancel(s->probe);
    for (unsigned turn = 0; turn < 8 && s->probe; turn++)
        gw_loop_turn(s->loop, 0);
    if (s->probe)
        gw_post_free(s->probe);
    s->probe = NULL;
}
