/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/common/otlp_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

enum { MAX_DELAY_S = 1000000000 }; /* 31 years: more is nonsense, and overflows when it grows further */

typedef Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse response;

static void copy_text(char *to, size_t size, const char *s, size_t n)
{
    size_t k = 0;

    for (size_t i = 0; i < n && k + 1 < size; i++)
        to[k++] = (char)((unsigned char)s[i] < 0x20 ? ' ' : s[i]);
    if (n >= size) { /* cut: not in the middle of a character */
        while (k && ((unsigned char)to[k - 1] & 0xc0) == 0x80)
            k--;
        if (k && ((unsigned char)to[k - 1] & 0xc0) == 0xc0)
            k--;
    }
    to[k] = '\0';
}

static uint32_t clamp_rows(int64_t n)
{
    return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* ---- JSON: two or three scalars of a small object, wherever they stand --------------------------------------- */

/** Behind the closing quote of the string that begins at `at`. */
static size_t skip_string(struct gw_slice s, size_t at)
{
    for (at++; at < s.n && s.p[at] != '"'; at++)
        if (s.p[at] == '\\')
            at++;
    return at + 1 < s.n ? at + 1 : s.n;
}

/** The value of the first key of that name, as raw text; a string keeps its escapes and loses its quotes. */
static struct gw_slice json_find(struct gw_slice s, const char *key)
{
    for (size_t at = 0; at < s.n;) {
        size_t end, v;
        bool match;

        if (s.p[at] != '"') {
            at++;
            continue;
        }
        end = skip_string(s, at);
        match = gw_slice_is(gw_slice_of(s.p + at + 1, end > at + 2 ? end - at - 2 : 0), key);
        for (v = end; v < s.n && (s.p[v] == ' ' || s.p[v] == '\n' || s.p[v] == '\t' || s.p[v] == '\r'); v++)
            ;
        if (match && v < s.n && s.p[v] == ':') {
            for (v++; v < s.n && (s.p[v] == ' ' || s.p[v] == '\n' || s.p[v] == '\t' || s.p[v] == '\r'); v++)
                ;
            if (v < s.n && s.p[v] == '"') {
                end = skip_string(s, v);
                return gw_slice_of(s.p + v + 1, end > v + 2 ? end - v - 2 : 0);
            }
            for (end = v; end < s.n && !strchr(",}] \r\n\t", s.p[end]); end++)
                ;
            return gw_slice_of(s.p + v, end - v);
        }
        at = end;
    }
    return gw_slice_of(NULL, 0);
}

static int64_t json_number(struct gw_slice s)
{
    char text[24];

    snprintf(text, sizeof(text), "%.*s", (int)(s.n < 23 ? s.n : 23), s.n ? (const char *)s.p : "");
    return strtoll(text, NULL, 10);
}

/** Simple escapes undone; \u stays as written, which is good enough for a log line. */
static void json_text(char *to, size_t size, struct gw_slice s)
{
    char text[512];
    size_t n = 0;

    for (size_t i = 0; i < s.n && n < sizeof(text); i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] != 'u') {
            i++;
            text[n++] = s.p[i] == 'n' || s.p[i] == 't' || s.p[i] == 'r' ? ' ' : (char)s.p[i];
        } else {
            text[n++] = (char)s.p[i];
        }
    }
    copy_text(to, size, text, n);
}

/* ---- partial success, Status ---------------------------------------------------------------------------------- */

void gw_otlp_partial_read(struct gw_slice body, bool json, struct gw_otlp_partial *ret)
{
    static const char *const keys[] = {"rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"};
    response *r;

    memset(ret, 0, sizeof(*ret));
    if (!body.n)
        return;
    if (json) {
        for (unsigned i = 0; i < 3 && !ret->rejected_rows; i++)
            ret->rejected_rows = clamp_rows(json_number(json_find(body, keys[i])));
        json_text(ret->message, sizeof(ret->message), json_find(body, "errorMessage"));
        return;
    }
    /* The three responses have the same fields under the same numbers. */
    r = opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(NULL, body.n, body.p);
    if (r && r->partial_success) {
        ret->rejected_rows = clamp_rows(r->partial_success->rejected_spans);
        copy_text(ret->message, sizeof(ret->message), r->partial_success->error_message,
                  strlen(r->partial_success->error_message));
    }
    if (r)
        opentelemetry__proto__collector__trace__v1__export_trace_service_response__free_unpacked(r, NULL);
}

static void read_detail(const Google__Protobuf__Any *any, struct gw_otlp_status *ret)
{
    Google__Rpc__RetryInfo *info;
    const char *name = strrchr(any->type_url, '/');

    if (strcmp(name ? name + 1 : any->type_url, "google.rpc.RetryInfo") != 0)
        return;
    info = google__rpc__retry_info__unpack(NULL, any->value.len, any->value.data);
    if (!info)
        return;
    ret->has_retry_info = true;
    if (info->retry_delay && info->retry_delay->seconds >= 0 && info->retry_delay->seconds < MAX_DELAY_S)
        ret->retry_delay_ns = (uint64_t)info->retry_delay->seconds * 1000000000 +
                              (uint64_t)(info->retry_delay->nanos > 0 ? info->retry_delay->nanos : 0);
    google__rpc__retry_info__free_unpacked(info, NULL);
}

void gw_otlp_status_read(struct gw_slice body, bool json, struct gw_otlp_status *ret)
{
    Google__Rpc__Status *st;

    memset(ret, 0, sizeof(*ret));
    if (!body.n)
        return;
    if (json) {
        ret->code = (int)json_number(json_find(body, "code"));
        json_text(ret->message, sizeof(ret->message), json_find(body, "message"));
        return;
    }
    st = google__rpc__status__unpack(NULL, body.n, body.p);
    if (!st)
        return;
    ret->code = st->code;
    copy_text(ret->message, sizeof(ret->message), st->message, strlen(st->message));
    for (size_t i = 0; i < st->n_details; i++)
        read_detail(st->details[i], ret);
    google__rpc__status__free_unpacked(st, NULL);
}

/* ---- Retry-After ------------------------------------------------------------------------------------------------ */

bool gw_retry_after_parse(struct gw_slice value, uint64_t wall_ns, uint64_t *ret_ns)
{
    char text[64], *end;
    struct tm tm = {0};
    unsigned long long seconds;
    time_t at;

    if (!value.n || value.n >= sizeof(text))
        return false;
    memcpy(text, value.p, value.n);
    text[value.n] = '\0';
    if (text[0] >= '0' && text[0] <= '9') {
        seconds = strtoull(text, &end, 10);
        if (*end || seconds > MAX_DELAY_S)
            return false;
        *ret_ns = (uint64_t)seconds * 1000000000;
        return true;
    }
    end = strptime(text, "%a, %d %b %Y %H:%M:%S", &tm);
    if (!end || (strcmp(end, " GMT") != 0 && strcmp(end, " UTC") != 0))
        return false;
    at = timegm(&tm);
    if (at < 0 || (uint64_t)at <= wall_ns / 1000000000) {
        *ret_ns = 0;
        return true;
    }
    if ((uint64_t)at - wall_ns / 1000000000 > MAX_DELAY_S)
        return false;
    *ret_ns = (uint64_t)at * 1000000000 - wall_ns;
    return true;
}

int gw_grpc_of_http(int status)
{
    switch (status) {
    case 400:
    case 413:
        return 3; /* INVALID_ARGUMENT */
    case 401:
        return 16; /* UNAUTHENTICATED */
    case 403:
        return 7; /* PERMISSION_DENIED */
    case 404:
        return 12; /* UNIMPLEMENTED */
    case 429:
        return 8; /* RESOURCE_EXHAUSTED */
    case 502:
    case 503:
    case 504:
        return 14; /* UNAVAILABLE */
    default:
        return 2; /* UNKNOWN */
    }
}
