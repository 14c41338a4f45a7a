/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/nodes.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "pipeline/component.h"

static const uint64_t LOOK_AGAIN_NS = 50000000; /* while a probe is under way */

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

static int init_one(struct gw_es_nodes *ns, struct gw_es_node *n, const struct gw_es_conf *c, const struct gw_ctx *ctx)
{
    const struct gw_es_address *a = &ns->addresses.list[n - ns->list];

    n->address = a;
    n->bulk_url = gw_es_bulk_url(a, ns->addresses.list[0].query, c);
    gw_breaker_init(&n->breaker, &ns->how, ctx->env, &ctx->logger, ctx->meter,
                    &(struct gw_breaker_labels){ctx->id, a->base});
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
    ns->how = c->breaker;
    if (ns->addresses.n > 1)
        ns->how.consecutive = 1;
    ns->list = calloc(ns->addresses.n, sizeof(*ns->list));
    for (; ns->list && r == 0 && ns->n < ns->addresses.n; ns->n++)
        r = init_one(ns, &ns->list[ns->n], c, ctx);
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

struct gw_es_node *gw_es_nodes_pick(struct gw_es_nodes *ns, uint64_t now_ns, uint64_t *ret_wait_ns)
{
    struct gw_es_node *first = NULL;
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < ns->n; i++) {
        struct gw_es_node *n = &ns->list[(ns->turn + i) % ns->n];
        uint64_t wait = gw_breaker_wait_ns(&n->breaker, now_ns);

        if (gw_breaker_may(&n->breaker, now_ns)) {
            ns->turn = (unsigned)(n - ns->list) + 1;
            *ret_wait_ns = 0;
            return n;
        }
        wait = wait ? wait : LOOK_AGAIN_NS;
        if (wait < least) {
            first = n;
            least = wait;
        }
    }
    *ret_wait_ns = least;
    return first;
}

bool gw_es_nodes_any(const struct gw_es_nodes *ns, uint64_t now_ns)
{
    for (unsigned i = 0; i < ns->n; i++)
        if (gw_breaker_may(&ns->list[i].breaker, now_ns))
            return true;
    return false;
}

void gw_es_nodes_hurry(struct gw_es_nodes *ns, uint64_t now_ns, uint64_t pause_ns)
{
    for (unsigned i = 0; i < ns->n; i++)
        gw_breaker_hurry(&ns->list[i].breaker, now_ns, pause_ns);
}

void gw_es_node_end(struct gw_es_node *n, struct gw_breaker_pass pass, enum gw_sign sign, const char *why,
                    uint64_t now_ns)
{
    gw_breaker_end(&n->breaker, pass, sign, why, now_ns);
    if (sign != GW_SIGN_NONE)
        gw_metric_add(gw_sign_is_failure(sign) ? n->failed : n->answered, 1);
}
