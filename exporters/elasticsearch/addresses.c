/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/addresses.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "otlp-proto/json_text.h"

/* ---- the Cloud ID ------------------------------------------------------------------------------------------- */

char *gw_es_cloud_url(const char *cloudid, struct gw_err *err)
{
    const char *colon = strchr(cloudid, ':');
    char *text = colon ? strdup(colon + 1) : NULL, *id, *end, *url = NULL;
    size_t n = text ? strlen(text) : 0;

    if (!colon || !n || gw_json_from_base64((uint8_t *)text, &n) < 0) {
        (void)gw_fail(err, -EINVAL, "invalid CloudID \"%s\"", cloudid);
    } else {
        text[n] = '\0'; /* base64 is longer than what it stands for */
        id = strchr(text, '$');
        end = id ? strchr(id + 1, '$') : NULL;
        if (end) /* Kibana's id */
            *end = '\0';
        if (!id || id == text || !id[1]) {
            (void)gw_fail(err, -EINVAL, "invalid decoded CloudID \"%s\"", text);
        } else {
            *id = '\0';
            if (asprintf(&url, "https://%s.%s", id + 1, text) < 0)
                url = NULL;
        }
    }
    free(text);
    return url;
}

/* ---- one address -------------------------------------------------------------------------------------------- */

static void unescape(char *s)
{
    char *out = s;

    for (; *s; s++) {
        if (*s == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
            char hex[3] = {s[1], s[2], '\0'};

            *out++ = (char)strtoul(hex, NULL, 16);
            s += 2;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
}

/* A server's user and password do not belong into labels and lines of a log. */
static int take_credentials(struct gw_es_address *a)
{
    char *host = strstr(a->base, "://") + 3, *at = host + strcspn(host, "/");

    while (at > host && *at != '@')
        at--;
    if (*at != '@')
        return 0;
    a->credentials = strndup(host, (size_t)(at - host));
    if (!a->credentials)
        return -ENOMEM;
    unescape(a->credentials);
    memmove(host, at + 1, strlen(at + 1) + 1);
    return 0;
}

static int address_of(const char *url, struct gw_es_address *ret, struct gw_err *err)
{
    const char *scheme = strstr(url, "://");
    size_t n = strcspn(url, "?#"), n_scheme = scheme ? (size_t)(scheme - url) : 0;

    if (!*url)
        return gw_fail(err, -EINVAL, "invalid endpoint \"\": endpoint must not be empty");
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return gw_fail(err, -EINVAL, "invalid endpoint \"%s\": invalid scheme \"%.*s\", expected \"http\" or \"https\"",
                       url, (int)n_scheme, url);
    if (!url[n_scheme + 3] || url[n_scheme + 3] == '/')
        return gw_fail(err, -EINVAL, "invalid endpoint \"%s\": there is no host in it", url);
    ret->query = strdup(url[n] == '?' ? url + n + 1 : "");
    while (n > 0 && url[n - 1] == '/')
        n--;
    ret->base = strndup(url, n);
    if (!ret->base || !ret->query || take_credentials(ret) < 0)
        return gw_fail(err, -ENOMEM, "out of memory");
    ret->query[strcspn(ret->query, "#")] = '\0';
    return 0;
}

static int add(struct gw_es_addresses *as, const char *url, struct gw_err *err)
{
    struct gw_es_address *more = realloc(as->list, (as->n + 1) * sizeof(*more));

    if (!more)
        return gw_fail(err, -ENOMEM, "out of memory");
    as->list = more;
    more[as->n] = (struct gw_es_address){0};
    return address_of(url, &more[as->n++], err);
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

static int add_list(struct gw_es_addresses *as, const char *text, struct gw_err *err)
{
    char *copy = strdup(text), *save = NULL;
    int r = copy ? 0 : gw_fail(err, -ENOMEM, "out of memory");

    for (char *u = copy ? strtok_r(copy, ", ", &save) : NULL; u && r == 0; u = strtok_r(NULL, ", ", &save))
        r = add(as, u, err);
    free(copy);
    return r;
}

int gw_es_addresses_of(const struct gw_es_conf *c, struct gw_es_addresses *ret, struct gw_err *err)
{
    unsigned given = (unsigned)(*c->http.endpoint != '\0') + (c->endpoints.n > 0) + (*c->cloudid != '\0');
    const char *variable = given ? NULL : getenv("ELASTICSEARCH_URL");
    const char *const *urls = c->endpoints.items;
    int r = 0;

    *ret = (struct gw_es_addresses){0};
    if (given + (variable && *variable) != 1)
        return gw_fail(err, -EINVAL, "exactly one of [endpoint, endpoints, cloudid] must be specified");
    if (*c->http.endpoint)
        r = add(ret, c->http.endpoint, err);
    for (size_t i = 0; i < c->endpoints.n && r == 0; i++)
        r = add(ret, urls[i], err);
    if (*c->cloudid) {
        char *url = gw_es_cloud_url(c->cloudid, err);

        r = url ? add(ret, url, err) : -EINVAL;
        free(url);
    }
    if (variable)
        r = add_list(ret, variable, err);
    if (r < 0)
        gw_es_addresses_clear(ret);
    return r;
}

void gw_es_addresses_clear(struct gw_es_addresses *a)
{
    for (unsigned i = 0; i < a->n; i++) {
        free(a->list[i].base);
        free(a->list[i].query);
        free(a->list[i].credentials);
    }
    free(a->list);
    *a = (struct gw_es_addresses){0};
}

/* ---- the URL of a request ----------------------------------------------------------------------------------- */

enum { MAX_URL_BYTES = 64 << 10 };

static void put_escaped(struct gw_buf *b, const char *s)
{
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~*,:", *s))
            gw_buf_put_u8(b, (uint8_t)*s);
        else
            gw_buf_printf(b, "%%%02X", (unsigned char)*s);
    }
}

/* Is the path, or one that holds it, among those of a comma separated filter? */
static bool lets_pass(const char *filter, const char *path)
{
    for (const char *p = filter; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
        size_t n = strcspn(p, ",");

        if (strncmp(p, path, n) == 0 && n <= strlen(path) && (path[n] == '\0' || path[n] == '.'))
            return true;
    }
    return false;
}

static void put_filter(struct gw_buf *b, const char *filter)
{
    /* Not the names of the indices, which the answer repeats for each document and which we know. */
    static const char *const needed[] = {"items.*.status", "items.*.error.type", "items.*.error.reason",
                                         "items.*.failure_store"};

    gw_buf_put_str(b, "filter_path=");
    put_escaped(b, filter);
    for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (lets_pass(filter, needed[i]))
            continue;
        if (b->p && !b->failed && b->p[b->n - 1] != '=')
            gw_buf_put_u8(b, ',');
        gw_buf_put_str(b, needed[i]);
    }
}

char *gw_es_bulk_url(const struct gw_es_address *a, const char *query, const struct gw_es_conf *c)
{
    struct gw_buf b;
    size_t n;

    gw_buf_init(&b, MAX_URL_BYTES);
    gw_buf_printf(&b, "%s/_bulk?%s%s", a->base, query, *query ? "&" : "");
    put_filter(&b, c->filter_path);
    if (c->include_source_on_error != GW_ES_SOURCE_UNSET)
        gw_buf_printf(&b, "&include_source_on_error=%s",
                      c->include_source_on_error == GW_ES_SOURCE_YES ? "true" : "false");
    gw_buf_put_u8(&b, '\0');
    if (b.failed) {
        gw_buf_clear(&b);
        return NULL;
    }
    return (char *)gw_buf_take(&b, &n);
}
