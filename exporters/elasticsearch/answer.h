/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server answers to _bulk: one pass over the text, no tree, no memory.
 *
 *   {"errors":true,"items":[{"create":{"status":201}},
 *                           {"create":{"status":400,"error":{"type":"…","reason":"…"}}}]}
 */
#ifndef GW_EXPORTERS_ELASTICSEARCH_ANSWER_H
#define GW_EXPORTERS_ELASTICSEARCH_ANSWER_H

#include "core/slice.h"

enum gw_es_failure_store { GW_ES_STORE_NONE, GW_ES_STORE_NOT_ENABLED, GW_ES_STORE_USED, GW_ES_STORE_FAILED };

/** An error's type and reason: printable, cut to what fits, always ended. */
struct gw_es_error {
    char type[64], reason[512];
};

struct gw_es_item {
    uint32_t index; /* from 0, in the order of the request */
    int status;
    enum gw_es_failure_store failure_store;
    struct gw_es_error error;
};

typedef void (*gw_es_item_fn)(void *arg, const struct gw_es_item *item);

/**
 * Tell each item in its order; `each` may be NULL.
 *
 * Shape     *ret_n items were whole, also when the text is not: whoever cannot trust half an answer asks twice
 * Errors    -EBADMSG: no JSON, cut short, no items in it, an item without a status
 * Cost      about 20 ns an item without an error
 */
int gw_es_answer_read(struct gw_slice body, gw_es_item_fn each, void *arg, uint32_t *ret_n);

/** {"error":{"type":…,"reason":…}} or {"error":"…"} of a whole request; both empty when there is none. */
void gw_es_error_read(struct gw_slice body, struct gw_es_error *ret);

enum gw_es_product { GW_ES_UNKNOWN, GW_ES_ELASTICSEARCH, GW_ES_OTHER };
/** What a GET of the root says about the server, such as OpenSearch, which is GW_ES_OTHER. */
struct gw_es_server {
    enum gw_es_product product;
    unsigned major, minor;
    bool serverless;
};
/** GW_ES_UNKNOWN when it is no such answer. */
void gw_es_server_read(struct gw_slice body, struct gw_es_server *ret);
/** Elasticsearch 8.12 and newer know require_data_stream in an action; OpenSearch refuses the request. */
bool gw_es_takes_require_data_stream(const struct gw_es_server *s);

#endif
