/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line's shape is the Collector's, so that what reads its logs reads ours:
 *
 *   text  2026-01-02T03:04:05.678Z <tab> warn <tab> queue is full <tab> {"otelcol.component.id": "debug", ...}
 *   JSON  {"level":"warn","ts":"2026-01-02T03:04:05.678Z","msg":"queue is full","otelcol.component.id":"debug",...}
 */
#include "core/logger.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum {
    MESSAGE_BYTES = 1024,
    /* An escaped byte takes at most six; the ids and the frame around them have the rest. */
    LINE_BYTES = 6 * MESSAGE_BYTES + 2048,
    TAIL_BYTES = 64,
    SITE_BURST = 10,
};
#define SITE_WINDOW_NS 10000000000u

struct line {
    size_t n;
    char p[LINE_BYTES];
};

static void put(struct line *l, const char *s, size_t n, size_t keep_free)
{
    if (n + keep_free <= sizeof(l->p) - l->n) {
        memcpy(l->p + l->n, s, n);
        l->n += n;
    }
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s), /* keep_free= */ 0);
}

/* Length of the well-formed UTF-8 sequence at s that may be shown as it is, or 0. C1 controls may not. */
static unsigned utf8_len(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf && (s[1] & 0xc0) == 0x80)
        return s[0] == 0xc2 && s[1] < 0xa0 ? 0 : 2;
    if ((s[0] & 0xf0) == 0xe0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80)
        return (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ? 0 : 3;
    if (s[0] >= 0xf0 && s[0] <= 0xf4 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80 && (s[3] & 0xc0) == 0x80)
        return (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ? 0 : 4;
    return 0;
}

/* Control characters never reach a terminal. `quotes`: inside a JSON string. */
static void put_escaped(struct line *l, const char *text, bool quotes)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s) {
        unsigned n = utf8_len(s);
        char e[8];

        if (*s == '\n' || *s == '\t' || *s == '\r') {
            put(l, *s == '\n' ? "\\n" : *s == '\t' ? "\\t" : "\\r", 2, TAIL_BYTES);
        } else if (quotes && (*s == '"' || *s == '\\')) {
            e[0] = '\\';
            e[1] = (char)*s;
            put(l, e, 2, TAIL_BYTES);
        } else if (n == 0 || *s < 0x20 || *s == 0x7f) {
            put(l, e, (size_t)snprintf(e, sizeof(e), "\\u%04x", *s), TAIL_BYTES);
            n = 1;
        } else {
            put(l, (const char *)s, n, TAIL_BYTES);
        }
        s += n ? n : 1;
    }
}

static void put_time(struct line *l, uint64_t wall_ns)
{
    time_t s = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    char t[40];

    (void)gmtime_r(&s, &tm);
    put(l, t, strftime(t, sizeof(t), "%Y-%m-%dT%H:%M:%S", &tm), 0);
    put(l, t, (size_t)snprintf(t, sizeof(t), ".%03uZ", (unsigned)(wall_ns / 1000000u % 1000u)), 0);
}

static void put_field(struct line *l, bool json, bool *first, const char *key, const char *value)
{
    if (!value)
        return;
    if (json || !*first)
        put_str(l, json ? "," : ", ");
    *first = false;
    put_str(l, "\"");
    put_str(l, key);
    put_str(l, json ? "\":\"" : "\": \"");
    put_escaped(l, value, /* quotes= */ true);
    put_str(l, "\"");
}

static void put_fields(struct line *l, const struct gw_logger *lg, unsigned suppressed)
{
    bool json = lg->sink->json, first = true, any = lg->id || lg->kind || lg->signal || suppressed;
    char n[48];

    if (!json && any)
        put_str(l, "\t{");
    put_field(l, json, &first, "otelcol.component.id", lg->id);
    put_field(l, json, &first, "otelcol.component.kind", lg->kind);
    put_field(l, json, &first, "otelcol.signal", lg->signal);
    if (suppressed) {
        const char *comma = json ? "," : first ? "" : ", ";

        (void)snprintf(n, sizeof(n), "%s\"suppressed\":%s%u", comma, json ? "" : " ", suppressed);
        put_str(l, n);
    }
    if (json || any)
        put_str(l, "}");
}

/* False when the site's budget is used up; otherwise *ret_suppressed lines of the last window were left out. */
static bool admit(struct gw_log_site *site, uint64_t now_ns, unsigned *ret_suppressed)
{
    unsigned long long start = atomic_load_explicit(&site->window_ns, memory_order_relaxed);
    unsigned count;

    *ret_suppressed = 0;
    if ((start == 0 || now_ns - start >= SITE_WINDOW_NS) &&
        atomic_compare_exchange_strong_explicit(&site->window_ns, &start, now_ns ? now_ns : 1, memory_order_relaxed,
                                                memory_order_relaxed)) {
        count = atomic_exchange_explicit(&site->count, 1, memory_order_relaxed);
        *ret_suppressed = count > SITE_BURST ? count - SITE_BURST : 0;
        return true;
    }
    return atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed) < SITE_BURST;
}

void gw_log_at(const struct gw_logger *lg, enum gw_log_level level, struct gw_log_site *site, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char message[MESSAGE_BYTES];
    struct gw_env *env;
    unsigned suppressed = 0;
    struct line l;
    va_list ap;

    if (!lg || !lg->sink || level < lg->sink->level)
        return;
    env = lg->sink->env;
    if (site && !admit(site, gw_mono_ns(env), &suppressed))
        return;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    l.n = 0;
    if (lg->sink->json) {
        put_str(&l, "{\"level\":\"");
        put_str(&l, names[level]);
        put_str(&l, "\",\"ts\":\"");
        put_time(&l, gw_wall_ns(env));
        put_str(&l, "\",\"msg\":\"");
        put_escaped(&l, message, /* quotes= */ true);
        put_str(&l, "\"");
    } else {
        put_time(&l, gw_wall_ns(env));
        put_str(&l, "\t");
        put_str(&l, names[level]);
        put_str(&l, "\t");
        put_escaped(&l, message, /* quotes= */ false);
    }
    put_fields(&l, lg, suppressed);
    put_str(&l, "\n");
    env->ops->log_write(env, l.p, l.n);
}
