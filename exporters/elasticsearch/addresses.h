/* SPDX-License-Identifier: Apache-2.0 */
/* Where the servers are: endpoint, endpoints, cloudid or the environment variable ELASTICSEARCH_URL, and their URLs. */
#ifndef GW_EXPORTERS_ELASTICSEARCH_ADDRESSES_H
#define GW_EXPORTERS_ELASTICSEARCH_ADDRESSES_H

#include "core/status.h"
#include "exporters/elasticsearch/settings.h"

/** A server's base URL: without user, query and a slash at the end. */
struct gw_es_address {
    char *base;
    char *query;       /* behind the question mark, or "" */
    char *credentials; /* "user:password" of the URL, decoded, or NULL */
};

struct gw_es_addresses {
    struct gw_es_address *list;
    unsigned n;
};

/** Errors: -EINVAL with the Collector's sentence, -ENOMEM. Owner: gives the list, gw_es_addresses_clear. */
int gw_es_addresses_of(const struct gw_es_conf *c, struct gw_es_addresses *ret, struct gw_err *err);
void gw_es_addresses_clear(struct gw_es_addresses *a);

/** "name:base64(host$id$…)" as https://id.host; NULL with err. Owner: gives the text. */
char *gw_es_cloud_url(const char *cloudid, struct gw_err *err);

/**
 * base/_bulk?… with what every request asks for: the first address' own query, filter_path, include_source_on_error.
 * The filter always lets statuses and errors pass: without them nothing would be known of a document.
 */
char *gw_es_bulk_url(const struct gw_es_address *a, const char *query, const struct gw_es_conf *c);

#endif
