/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   families, sorted by name
 *   ├─ otelcol_exporter_sent_spans ──► series ─► series
 *   └─ …
 */
#include "core/meter.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_SERIES = 10000, MAX_KEY_BYTES = 8192 };

struct reader {
    struct reader *next;
    uint64_t (*read)(void *arg);
    void *arg;
};

struct series {
    struct gw_metric m; /* first: the caller's pointer */
    struct reader *readers;
    struct gw_histogram hist;
    struct gw_meter *meter;
    struct series *next;
    bool gone;    /* its last call-back was taken out */
    char *labels; /* a="b",c="d" as exposed, also the key */
};

struct family {
    struct family *next;
    enum gw_metric_kind kind;
    char *name, *help;
    struct series *first, **last;
};

struct gw_meter {
    pthread_mutex_t lock;
    struct family *families;
    unsigned n_series;
};

struct gw_meter *gw_meter_new(void)
{
    struct gw_meter *m = calloc(1, sizeof(*m));

    if (m)
        (void)pthread_mutex_init(&m->lock, NULL);
    return m;
}

static void free_series(struct series *s)
{
    if (s) {
        for (struct reader *r = s->readers, *next; r; r = next) {
            next = r->next;
            free(r);
        }
        free((void *)(uintptr_t)s->hist.bounds);
        free((void *)s->hist.buckets);
        free(s->labels);
        free(s);
    }
}

void gw_meter_free(struct gw_meter *m)
{
    if (!m)
        return;
    for (struct family *f = m->families, *next; f; f = next) {
        next = f->next;
        for (struct series *s = f->first, *after; s; s = after) {
            after = s->next;
            free_series(s);
        }
        free(f->name);
        free(f->help);
        free(f);
    }
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
}

static void put_label_value(struct gw_buf *b, const char *v)
{
    for (; *v; v++) {
        if (*v == '\n')
            gw_buf_put_str(b, "\\n");
        else if (*v == '"' || *v == '\\')
            gw_buf_printf(b, "\\%c", *v);
        else
            gw_buf_put_u8(b, (uint8_t)*v);
    }
}

static void put_labels(struct gw_buf *b, const struct gw_label *labels, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        gw_buf_printf(b, "%s%s=\"", i ? "," : "", labels[i].key);
        put_label_value(b, labels[i].value);
        gw_buf_put_u8(b, '"');
    }
}

static struct family *find_family(struct gw_meter *m, enum gw_metric_kind kind, const char *name, const char *help)
{
    struct family **link = &m->families, *f;

    while (*link && strcmp((*link)->name, name) < 0)
        link = &(*link)->next;
    if (*link && strcmp((*link)->name, name) == 0)
        return (*link)->kind == kind ? *link : NULL;
    f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    *f = (struct family){.next = *link, .kind = kind, .name = strdup(name), .help = strdup(help), .last = &f->first};
    if (!f->name || !f->help) {
        free(f->name);
        free(f->help);
        free(f);
        return NULL;
    }
    *link = f;
    return f;
}

static bool make_histogram(struct series *s, const double *bounds, unsigned n)
{
    double *copy = calloc(n ? n : 1, sizeof(*copy));

    s->hist.bounds = copy;
    s->hist.n_bounds = n;
    s->hist.buckets = calloc(n + 1, sizeof(*s->hist.buckets));
    if (!copy || !s->hist.buckets)
        return false;
    memcpy(copy, bounds, n * sizeof(*copy));
    s->m.hist = &s->hist;
    return true;
}

/* Under the lock. `labels` is a C string that is taken over. */
static struct series *find_series(struct gw_meter *m, struct family *f, char *labels, const double *bounds, unsigned n)
{
    struct series *s;

    for (s = f->first; s; s = s->next)
        if (strcmp(s->labels, labels) == 0) {
            free(labels);
            return s;
        }
    s = m->n_series < MAX_SERIES ? calloc(1, sizeof(*s)) : NULL;
    if (!s) {
        free(labels);
        return NULL;
    }
    *s = (struct series){.meter = m, .labels = labels, .m.scale = 1};
    if (f->kind == GW_HISTOGRAM && !make_histogram(s, bounds, n)) {
        free_series(s);
        return NULL;
    }
    *f->last = s;
    f->last = &s->next;
    m->n_series++;
    return s;
}

static struct series *get(struct gw_meter *m, enum gw_metric_kind kind, const char *name, const char *help,
                          const struct gw_label *labels, unsigned n_labels, const double *bounds, unsigned n_bounds)
{
    struct series *s = NULL;
    struct family *f;
    struct gw_buf b;
    size_t n;

    if (!m)
        return NULL;
    gw_buf_init(&b, MAX_KEY_BYTES);
    put_labels(&b, labels, n_labels);
    gw_buf_put_u8(&b, 0);
    if (b.failed) {
        gw_buf_clear(&b);
        return NULL;
    }
    (void)pthread_mutex_lock(&m->lock);
    f = find_family(m, kind, name, help);
    if (f)
        s = find_series(m, f, (char *)gw_buf_take(&b, &n), bounds, n_bounds);
    (void)pthread_mutex_unlock(&m->lock);
    gw_buf_clear(&b);
    return s;
}

struct gw_metric *gw_meter_get(struct gw_meter *m, enum gw_metric_kind kind, const char *name, const char *help,
                               const struct gw_label *labels, unsigned n_labels)
{
    struct series *s = get(m, kind, name, help, labels, n_labels, NULL, 0);

    return s ? &s->m : NULL;
}

struct gw_metric *gw_meter_get_histogram(struct gw_meter *m, const char *name, const char *help,
                                         const struct gw_label *labels, unsigned n_labels, const double *bounds,
                                         unsigned n_bounds)
{
    struct series *s = get(m, GW_HISTOGRAM, name, help, labels, n_labels, bounds, n_bounds);

    return s ? &s->m : NULL;
}

struct gw_metric *gw_meter_get_read(struct gw_meter *m, const char *name, const char *help,
                                    const struct gw_label *labels, unsigned n_labels, uint64_t (*read)(void *arg),
                                    void *arg)
{
    struct series *s = get(m, GW_GAUGE, name, help, labels, n_labels, NULL, 0);
    struct reader *r;

    if (!s)
        return NULL;
    r = malloc(sizeof(*r));
    if (!r)
        return NULL;
    (void)pthread_mutex_lock(&m->lock);
    *r = (struct reader){s->readers, read, arg};
    s->readers = r;
    s->gone = false;
    (void)pthread_mutex_unlock(&m->lock);
    return &s->m;
}

void gw_metric_unread(struct gw_metric *metric, void *arg)
{
    struct series *s = (struct series *)metric;
    struct reader **p, *r = NULL;

    if (!s)
        return;
    /* The lock is held through a scrape: afterwards nobody is inside the call-back. */
    (void)pthread_mutex_lock(&s->meter->lock);
    for (p = &s->readers; *p && (*p)->arg != arg; p = &(*p)->next)
        ;
    if (*p) {
        r = *p;
        *p = r->next;
        s->gone = s->readers == NULL;
    }
    (void)pthread_mutex_unlock(&s->meter->lock);
    free(r);
}

/* Under the lock. */
static uint64_t value_of(const struct series *s)
{
    uint64_t v = s->readers ? 0 : atomic_load_explicit(&s->m.value, memory_order_relaxed);

    for (const struct reader *r = s->readers; r; r = r->next)
        v += r->read(r->arg);
    return v;
}

uint64_t gw_metric_value(struct gw_metric *metric)
{
    struct series *s = (struct series *)metric;
    uint64_t v;

    if (!s)
        return 0;
    (void)pthread_mutex_lock(&s->meter->lock);
    v = value_of(s);
    (void)pthread_mutex_unlock(&s->meter->lock);
    return v;
}

void gw_metric_observe(struct gw_metric *s, double v)
{
    unsigned i = 0;

    if (!s || !s->hist)
        return;
    while (i < s->hist->n_bounds && v > s->hist->bounds[i])
        i++;
    atomic_fetch_add_explicit(&s->hist->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->hist->sum, (uint64_t)llround(v / s->scale), memory_order_relaxed);
}

/* ---- exposition ------------------------------------------------------------------------------------------- */

struct line_of {
    struct gw_buf *out;
    const char *name, *suffix, *labels, *scope;
};

static void put_name(const struct line_of *l, const char *extra)
{
    const char *parts[] = {l->labels, l->scope, extra};
    bool any = false;

    gw_buf_printf(l->out, "%s%s", l->name, l->suffix);
    for (unsigned i = 0; i < 3; i++)
        if (*parts[i]) {
            gw_buf_printf(l->out, "%s%s", any ? "," : "{", parts[i]);
            any = true;
        }
    gw_buf_put_str(l->out, any ? "} " : " ");
}

static void put_number(struct gw_buf *out, double v)
{
    char text[40];

    /* The shorter form when it means the same number. */
    (void)snprintf(text, sizeof(text), "%.15g", v);
    if (strtod(text, NULL) != v)
        (void)snprintf(text, sizeof(text), "%.17g", v);
    gw_buf_printf(out, "%s\n", text);
}

static void put_value(struct gw_buf *out, const struct gw_metric *m, uint64_t v, bool negative)
{
    if (m->scale != 1)
        put_number(out, (negative ? (double)(int64_t)v : (double)v) * m->scale);
    else if (negative)
        gw_buf_printf(out, "%lld\n", (long long)v);
    else
        gw_buf_printf(out, "%llu\n", (unsigned long long)v);
}

static void write_histogram(struct line_of l, const struct gw_metric *m)
{
    struct gw_histogram *h = m->hist;
    uint64_t count = 0;
    char le[64];

    l.suffix = "_bucket";
    for (unsigned i = 0; i <= h->n_bounds; i++) {
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        if (i < h->n_bounds)
            (void)snprintf(le, sizeof(le), "le=\"%.15g\"", h->bounds[i]);
        else
            (void)snprintf(le, sizeof(le), "le=\"+Inf\"");
        put_name(&l, le);
        gw_buf_printf(l.out, "%llu\n", (unsigned long long)count);
    }
    l.suffix = "_sum";
    put_name(&l, "");
    put_value(l.out, m, atomic_load_explicit(&h->sum, memory_order_relaxed), /* negative= */ false);
    l.suffix = "_count";
    put_name(&l, "");
    gw_buf_printf(l.out, "%llu\n", (unsigned long long)count);
}

static void write_series(struct line_of l, const struct family *f, struct series *s)
{
    uint64_t v;

    if (s->gone)
        return;
    l.labels = s->labels;
    if (f->kind == GW_HISTOGRAM) {
        write_histogram(l, &s->m);
        return;
    }
    v = value_of(s);
    put_name(&l, "");
    put_value(l.out, &s->m, v, f->kind == GW_GAUGE);
}

static void put_help(struct gw_buf *out, const char *help)
{
    for (; *help; help++) {
        if (*help == '\n' || *help == '\\')
            gw_buf_put_str(out, *help == '\n' ? "\\n" : "\\\\");
        else
            gw_buf_put_u8(out, (uint8_t)*help);
    }
}

static void write_family(const struct family *f, const struct gw_exposition *how, struct gw_buf *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct line_of l = {.out = out, .name = f->name, .suffix = "", .labels = ""};

    l.scope = how->scope_info ? "otel_scope_name=\"staunch\",otel_scope_version=\"\"" : "";
    if (f->kind == GW_COUNTER && how->type_suffix)
        l.suffix = "_total";
    gw_buf_printf(out, "# HELP %s%s ", l.name, l.suffix);
    put_help(out, f->help);
    gw_buf_printf(out, "\n# TYPE %s%s %s\n", l.name, l.suffix, types[f->kind]);
    for (struct series *s = f->first; s; s = s->next)
        write_series(l, f, s);
}

static void write_target_info(const struct gw_exposition *how, struct gw_buf *out)
{
    if (how->n_constant == 0)
        return;
    gw_buf_put_str(out, "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{");
    put_labels(out, how->constant, how->n_constant);
    gw_buf_put_str(out, "} 1\n");
}

void gw_meter_write(struct gw_meter *m, const struct gw_exposition *how, struct gw_buf *out)
{
    bool told = false;

    (void)pthread_mutex_lock(&m->lock);
    for (struct family *f = m->families; f; f = f->next) {
        if (!told && strcmp(f->name, "target_info") > 0) {
            write_target_info(how, out);
            told = true;
        }
        write_family(f, how, out);
    }
    if (!told)
        write_target_info(how, out);
    (void)pthread_mutex_unlock(&m->lock);
}
