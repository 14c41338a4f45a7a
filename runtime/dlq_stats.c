/* SPDX-License-Identifier: Apache-2.0 */
/* How many letters there are of what, and since when. */
#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "runtime/dlq.h"

enum { MAX_GROUPS = 1000, N_SLOTS = 4096, MAX_KEY_BYTES = 4096, N_PARTS = 5 };

struct group {
    char *key; /* its parts, each ended by a zero */
    size_t n_key;
    uint64_t letters, rows, bytes, oldest_ns, newest_ns;
};

struct gw_dlq_stats {
    unsigned by, n;
    uint16_t slots[N_SLOTS];             /* index + 1 */
    struct group groups[MAX_GROUPS + 1]; /* the last one: all that found no place */
};

static const struct {
    unsigned by;
    const char *head;
    int width;
} parts[N_PARTS] = {{GW_DLQ_BY_CLASS, "CLASS", 16},
                    {GW_DLQ_BY_COMPONENT, "COMPONENT", 24},
                    {GW_DLQ_BY_PIPELINE, "PIPELINE", 16},
                    {GW_DLQ_BY_REASON, "REASON", 20},
                    {GW_DLQ_BY_TENANT, "TENANT", 16}};

struct gw_dlq_stats *gw_dlq_stats_new(unsigned by)
{
    struct gw_dlq_stats *s = calloc(1, sizeof(*s));

    if (s)
        s->by = by;
    return s;
}

void gw_dlq_stats_free(struct gw_dlq_stats *s)
{
    for (unsigned i = 0; s && i <= MAX_GROUPS; i++)
        free(s->groups[i].key);
    free(s);
}

static struct gw_slice part_of(const struct gw_dlq_letter *l, unsigned by)
{
    switch (by) {
    case GW_DLQ_BY_CLASS:
        return l->class_;
    case GW_DLQ_BY_COMPONENT:
        return l->component;
    case GW_DLQ_BY_PIPELINE:
        return l->pipeline;
    case GW_DLQ_BY_REASON:
        return l->reason;
    default:
        return l->tenant;
    }
}

static void put_key(const struct gw_dlq_stats *s, const struct gw_dlq_letter *l, struct gw_buf *key)
{
    for (unsigned i = 0; i < N_PARTS; i++) {
        struct gw_slice part = part_of(l, parts[i].by);

        if (!(s->by & parts[i].by))
            continue;
        part.n = part.n > 200 ? 200 : part.n;
        gw_buf_put_slice(key, part);
        gw_buf_put_u8(key, 0);
    }
}

static struct group *find_group(struct gw_dlq_stats *s, struct gw_slice key)
{
    size_t slot = gw_hash_stable(key) % N_SLOTS;
    struct group *g;

    for (; s->slots[slot]; slot = (slot + 1) % N_SLOTS) {
        g = &s->groups[s->slots[slot] - 1];
        if (gw_slice_eq(gw_slice_of(g->key, g->n_key), key))
            return g;
    }
    if (s->n == MAX_GROUPS)
        return &s->groups[MAX_GROUPS];
    g = &s->groups[s->n];
    g->key = malloc(key.n + 1);
    if (!g->key)
        return NULL;
    if (key.n)
        memcpy(g->key, key.p, key.n);
    g->n_key = key.n;
    s->slots[slot] = (uint16_t)(++s->n);
    return g;
}

int gw_dlq_stats_add(struct gw_dlq_stats *s, const struct gw_dlq_letter *l)
{
    struct group *g;
    struct gw_buf key;

    gw_buf_init(&key, MAX_KEY_BYTES);
    put_key(s, l, &key);
    g = key.failed ? NULL : find_group(s, gw_buf_slice(&key));
    gw_buf_clear(&key);
    if (!g)
        return -ENOMEM;
    g->letters++;
    g->rows += l->rows;
    g->bytes += l->body.n;
    if (!g->oldest_ns || l->time_ns < g->oldest_ns)
        g->oldest_ns = l->time_ns;
    if (l->time_ns > g->newest_ns)
        g->newest_ns = l->time_ns;
    return 0;
}

/* ---- the table -------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    const struct group *x = *(const struct group *const *)a, *y = *(const struct group *const *)b;

    return x->letters != y->letters ? (x->letters < y->letters ? 1 : -1)
                                    : (x->oldest_ns > y->oldest_ns) - (x->oldest_ns < y->oldest_ns);
}

static void put_part(struct gw_buf *out, const char *text, int width)
{
    struct gw_buf b;

    gw_buf_init(&b, MAX_KEY_BYTES);
    gw_dlq_put_escaped(&b, gw_slice_cstr(*text ? text : "-"));
    gw_buf_printf(out, "%-*.*s ", width - 1, (int)b.n, (const char *)b.p);
    gw_buf_clear(&b);
}

static void put_group(const struct gw_dlq_stats *s, const struct group *g, uint64_t now_ns, struct gw_buf *out)
{
    const char *part = g->key;
    char age[64];

    for (unsigned i = 0; i < N_PARTS; i++)
        if (s->by & parts[i].by) {
            put_part(out, part ? part : "(others)", parts[i].width);
            part += part ? strlen(part) + 1 : 0;
        }
    gw_duration_format(now_ns > g->oldest_ns ? (now_ns - g->oldest_ns) / 1000000000u * 1000000000u : 0, age,
                       sizeof(age));
    gw_buf_printf(out, "%9llu %9llu %12llu %12s ", (unsigned long long)g->letters, (unsigned long long)g->rows,
                  (unsigned long long)g->bytes, age);
    gw_dlq_put_time(out, g->newest_ns);
    gw_buf_put_u8(out, '\n');
}

void gw_dlq_stats_put(const struct gw_dlq_stats *s, uint64_t now_ns, struct gw_buf *out)
{
    const struct group *order[MAX_GROUPS + 1];
    unsigned n = 0;

    for (unsigned i = 0; i < N_PARTS; i++)
        if (s->by & parts[i].by)
            gw_buf_printf(out, "%-*s", parts[i].width, parts[i].head);
    gw_buf_printf(out, "%9s %9s %12s %12s %s\n", "LETTERS", "ROWS", "BYTES", "OLDEST", "NEWEST");
    for (unsigned i = 0; i < s->n; i++)
        order[n++] = &s->groups[i];
    qsort(order, n, sizeof(order[0]), by_number);
    if (s->groups[MAX_GROUPS].letters)
        order[n++] = &s->groups[MAX_GROUPS];
    for (unsigned i = 0; i < n; i++)
        put_group(s, order[i], now_ns, out);
}
