/* SPDX-License-Identifier: Apache-2.0 */
/* Cross-origin requests: https://fetch.spec.whatwg.org/#http-cors-protocol, answered as the Collector answers them. */
#include <stdio.h>
#include <strings.h>

#include "receivers/otlp/otlp.h"

static bool is_nocase(struct gw_slice a, struct gw_slice b)
{
    return a.n == b.n && strncasecmp((const char *)a.p, (const char *)b.p, a.n) == 0;
}

/* A pattern with at most one *. */
static bool matches(const char *pattern, struct gw_slice origin)
{
    const char *star = strchr(pattern, '*');
    size_t head, tail;

    if (!star)
        return is_nocase(gw_slice_cstr(pattern), origin);
    head = (size_t)(star - pattern);
    tail = strlen(star + 1);
    return origin.n >= head + tail && strncasecmp(pattern, (const char *)origin.p, head) == 0 &&
           strncasecmp(star + 1, (const char *)origin.p + origin.n - tail, tail) == 0;
}

static bool is_on(const struct gw_otlp_http *h)
{
    return h->has_cors && h->cors.allowed_origins.n > 0;
}

static bool origin_allowed(const struct gw_otlp_http *h, struct gw_slice origin, bool *ret_all)
{
    const char *const *list = h->cors.allowed_origins.items;
    bool allowed = false;

    *ret_all = false;
    for (size_t i = 0; i < h->cors.allowed_origins.n; i++) {
        *ret_all |= strcmp(list[i], "*") == 0;
        allowed |= matches(list[i], origin);
    }
    return allowed;
}

static bool header_allowed(const struct gw_otlp_http *h, struct gw_slice name)
{
    static const char *const always[] = {"accept", "content-type", "x-requested-with", "origin"};
    const char *const *list = h->cors.allowed_headers.items;

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (is_nocase(name, gw_slice_cstr(always[i])))
            return true;
    for (size_t i = 0; i < h->cors.allowed_headers.n; i++)
        if (strcmp(list[i], "*") == 0 || is_nocase(name, gw_slice_cstr(list[i])))
            return true;
    return false;
}

static bool headers_allowed(const struct gw_otlp_http *h, struct gw_slice s)
{
    while (s.n > 0) {
        const uint8_t *comma = memchr(s.p, ',', s.n);
        size_t n = comma ? (size_t)(comma - s.p) : s.n;
        struct gw_slice one = gw_slice_of(s.p, n);

        while (one.n && (*one.p == ' ' || *one.p == '\t'))
            one = gw_slice_of(one.p + 1, one.n - 1);
        while (one.n && (one.p[one.n - 1] == ' ' || one.p[one.n - 1] == '\t'))
            one.n--;
        if (one.n && !header_allowed(h, one))
            return false;
        s = comma ? gw_slice_of(comma + 1, s.n - n - 1) : gw_slice_of(NULL, 0);
    }
    return true;
}

bool gw_otlp_is_preflight(const struct gw_otlp_http *h, const struct gw_hs_head *d)
{
    struct gw_slice method;

    return is_on(h) && gw_slice_is(d->method, "OPTIONS") &&
           gw_otlp_find_header(d, "access-control-request-method", &method);
}

static unsigned put_origin(struct gw_header *ret, struct gw_slice origin, bool all)
{
    ret[0] = (struct gw_header){GW_SLICE("access-control-allow-origin"), all ? GW_SLICE("*") : origin};
    ret[1] = (struct gw_header){GW_SLICE("access-control-allow-credentials"), GW_SLICE("true")};
    return 2;
}

unsigned gw_otlp_cors_preflight(const struct gw_otlp_http *h, const struct gw_hs_head *d, struct gw_buf *text,
                                struct gw_header *ret)
{
    struct gw_slice origin, method, headers = {NULL, 0};
    bool all;
    unsigned n = 0;

    ret[n++] = (struct gw_header){GW_SLICE("vary"), GW_SLICE("Origin, Access-Control-Request-Method, "
                                                             "Access-Control-Request-Headers")};
    (void)gw_otlp_find_header(d, "access-control-request-method", &method);
    (void)gw_otlp_find_header(d, "access-control-request-headers", &headers);
    if (!gw_otlp_find_header(d, "origin", &origin) || !origin_allowed(h, origin, &all) ||
        !(gw_slice_is(method, "POST") || gw_slice_is(method, "GET") || gw_slice_is(method, "HEAD")) ||
        !headers_allowed(h, headers))
        return n;
    n += put_origin(ret + n, origin, all);
    ret[n++] = (struct gw_header){GW_SLICE("access-control-allow-methods"), method};
    if (headers.n)
        ret[n++] = (struct gw_header){GW_SLICE("access-control-allow-headers"), headers};
    if (h->cors.max_age != 0) {
        size_t at = text->n;

        gw_buf_printf(text, "%lld", h->cors.max_age < 0 ? 0LL : (long long)h->cors.max_age);
        ret[n++] = (struct gw_header){GW_SLICE("access-control-max-age"), gw_slice_of(text->p + at, text->n - at)};
    }
    return n;
}

unsigned gw_otlp_cors_actual(const struct gw_otlp_http *h, const struct gw_hs_head *d, struct gw_buf *text,
                             struct gw_header *ret)
{
    const char *const *exposed = h->cors.exposed_headers.items;
    struct gw_slice origin;
    size_t at = text->n;
    unsigned n = 0;
    bool all;

    if (!is_on(h))
        return 0;
    ret[n++] = (struct gw_header){GW_SLICE("vary"), GW_SLICE("Origin")};
    if (!gw_otlp_find_header(d, "origin", &origin) || !origin_allowed(h, origin, &all))
        return n;
    n += put_origin(ret + n, origin, all);
    for (size_t i = 0; i < h->cors.exposed_headers.n; i++)
        gw_buf_printf(text, "%s%s", i ? ", " : "", exposed[i]);
    if (text->n > at)
        ret[n++] =
            (struct gw_header){GW_SLICE("access-control-expose-headers"), gw_slice_of(text->p + at, text->n - at)};
    return n;
}
