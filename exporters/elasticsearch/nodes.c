/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/nodes.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "pipeline/component.h"

static const uint64_t FIRST_REST_NS = 1000000000, LONGEST_REST_NS = 60ull * 1000000000;

static char *basic(const char *user_and_password)
{
    struct gw_buf b;
    size_t n;

    gw_buf_init(&b, 64 << 10);
    gw_buf_put_str(&b, "Basic ");
    gw_put_base64(&b, gw_slice_cstr(user_and_password));
    gw_buf_put_u8(&b, '\0');
    if (b.failed) {
        gw_buf_clear(&b);
        return NULL;
    }
    return (char *)gw_buf_take(&b, &n);
}

/* The settings' credentials are for all servers, those of a URL for its own. */
static int set_authorization(struct gw_es_node *n, const struct gw_es_conf *c)
{
    char *text = NULL;

    if (*c->api_key)
        return asprintf(&n->authorization, "ApiKey %s", c->api_key) < 0 ? (n->authorization = NULL, -ENOMEM) : 0;
    if (*c->user || *c->password) {
        if (asprintf(&text, "%s:%s", c->user, c->password) < 0)
            return -ENOMEM;
        n->authorization = basic(text);
        free(text);
        return n->authorization ? 0 : -ENOMEM;
    }
    if (!n->address->credentials)
        return 0;
    n->authorization = basic(n->address->credentials);
    return n->authorization ? 0 : -ENOMEM;
}

static struct gw_metric *count_of(const struct gw_ctx *ctx, const char *endpoint, const char *outcome)
{
    const struct gw_label labels[] = {{"component", ctx->id}, {"endpoint", endpoint}, {"outcome", outcome}};

    return ctx->meter ? gw_meter_get(ctx->meter, GW_COUNTER, "staunch_endpoint_requests",
                                     "Requests to one endpoint of an exporter: answered, or failed (no answer, 5xx).",
                                     labels, 3)
                      : NULL;
}

static int init_one(struct gw_es_node *n, const struct gw_es_address *a, const char *query, const struct gw_es_conf *c,
                    const struct gw_ctx *ctx)
{
    n->address = a;
    n->bulk_url = gw_es_bulk_url(a, query, c);
    if (asprintf(&n->root_url, "%s/", a->base) < 0)
        n->root_url = NULL;
    n->answered = count_of(ctx, a->base, "answered");
    n->failed = count_of(ctx, a->base, "failed");
    return n->bulk_url && n->root_url ? set_authorization(n, c) : -ENOMEM;
}

int gw_es_nodes_init(struct gw_es_nodes *ns, const struct gw_es_conf *c, const struct gw_ctx *ctx, struct gw_err *err)
{
    int r = gw_es_addresses_of(c, &ns->addresses, err);

    if (r < 0)
        return r;
    ns->list = calloc(ns->addresses.n, sizeof(*ns->list));
    for (; ns->list && r == 0 && ns->n < ns->addresses.n; ns->n++)
        r = init_one(&ns->list[ns->n], &ns->addresses.list[ns->n], ns->addresses.list[0].query, c, ctx);
    return ns->list && r == 0 ? 0 : gw_fail(err, -ENOMEM, "out of memory");
}

void gw_es_nodes_clear(struct gw_es_nodes *ns)
{
    for (unsigned i = 0; i < ns->n; i++) {
        free(ns->list[i].bulk_url);
        free(ns->list[i].root_url);
        free(ns->list[i].authorization);
    }
    free(ns->list);
    gw_es_addresses_clear(&ns->addresses);
    *ns = (struct gw_es_nodes){0};
}

struct gw_es_node *gw_es_nodes_pick(struct gw_es_nodes *ns, uint64_t now_ns, bool *ret_awake)
{
    struct gw_es_node *first = NULL;

    for (unsigned i = 0; i < ns->n; i++) {
        struct gw_es_node *n = &ns->list[(ns->turn + i) % ns->n];

        if (n->rests_until_ns <= now_ns) {
            ns->turn = (unsigned)(n - ns->list) + 1;
            *ret_awake = true;
            return n;
        }
        if (!first || n->rests_until_ns < first->rests_until_ns)
            first = n;
    }
    *ret_awake = false;
    return first;
}

void gw_es_node_answered(struct gw_es_node *n, const struct gw_logger *log)
{
    gw_metric_add(n->answered, 1);
    if (n->failures)
        gw_log(log, GW_LOG_INFO, "%s answers again", n->address->base);
    n->failures = 0;
    n->rests_until_ns = 0;
}

void gw_es_node_failed(struct gw_es_node *n, uint64_t now_ns, const char *why, const struct gw_logger *log)
{
    uint64_t rest = n->failures < 6 ? FIRST_REST_NS << n->failures : LONGEST_REST_NS;

    gw_metric_add(n->failed, 1);
    if (n->failures && now_ns < n->rests_until_ns) /* another request that was under way when it went down */
        return;
    if (!n->failures)
        gw_log(log, GW_LOG_WARN, "%s fails: %s", n->address->base, why);
    n->failures++;
    n->rests_until_ns = now_ns + (rest < LONGEST_REST_NS ? rest : LONGEST_REST_NS);
}
