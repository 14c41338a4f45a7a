/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "batch/pool.h"

enum { FIRST_ROWS = 128, FIRST_ITEMS = 64, COLUMN_ALIGN = 64 };
/* A pooled batch whose columns grew beyond this gives them back: one giant request must not pin memory. */
enum { KEEP_COLUMN_BYTES = 8 << 20 };

#define COLUMN(member, signal_mask)                                                                                    \
    {                                                                                                                  \
        offsetof(struct gw_batch, member), sizeof(*((struct gw_batch *)0)->member), (signal_mask)                      \
    }
/* Every row column: where its pointer is, how wide it is, which signals have it. */
static const struct {
    uint32_t offset, width;
    unsigned signals;
} columns[] = {
    COLUMN(time_ns, GW_ALL_SIGNALS),
    COLUMN(scope, GW_ALL_SIGNALS),
    COLUMN(raw, GW_ALL_SIGNALS),
    COLUMN(attr, GW_ALL_SIGNALS),
    COLUMN(row_flags, GW_ALL_SIGNALS),
    COLUMN(flags, GW_ALL_SIGNALS),
    COLUMN(dropped_attrs, GW_ALL_SIGNALS),
    COLUMN(trace_id, GW_TRACES | GW_LOGS),
    COLUMN(span_id, GW_TRACES | GW_LOGS),
    COLUMN(parent_id, GW_TRACES),
    COLUMN(end_ns, GW_TRACES),
    COLUMN(name, GW_TRACES),
    COLUMN(trace_state, GW_TRACES),
    COLUMN(status_message, GW_TRACES),
    COLUMN(kind, GW_TRACES),
    COLUMN(status, GW_TRACES),
    COLUMN(events_of, GW_TRACES),
    COLUMN(links_of, GW_TRACES),
    COLUMN(dropped_events, GW_TRACES),
    COLUMN(dropped_links, GW_TRACES),
    COLUMN(observed_ns, GW_LOGS),
    COLUMN(severity, GW_LOGS),
    COLUMN(severity_text, GW_LOGS),
    COLUMN(event_name, GW_LOGS),
    COLUMN(body_type, GW_LOGS),
    COLUMN(body, GW_LOGS),
    COLUMN(metric, GW_METRICS),
    COLUMN(start_ns, GW_METRICS),
    COLUMN(number_type, GW_METRICS),
    COLUMN(number, GW_METRICS),
    COLUMN(exemplars_of, GW_METRICS),
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static inline void **column_at(struct gw_batch *b, unsigned i)
{
    return (void **)(void *)((char *)b + columns[i].offset);
}

/* Bytes of all row columns of a signal at a capacity, each column on its own cache lines. */
static size_t rows_bytes(enum gw_signal signal, size_t cap)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < N_COLUMNS; i++)
        if (columns[i].signals & signal)
            bytes += (cap * columns[i].width + COLUMN_ALIGN - 1) & ~(size_t)(COLUMN_ALIGN - 1);
    return bytes;
}

static void free_rows(struct gw_batch *b)
{
    b->column_bytes -= b->row_memory ? rows_bytes(b->signal, b->cap_rows) : 0;
    free(b->row_memory);
    b->row_memory = NULL;
    b->cap_rows = 0;
    for (unsigned i = 0; i < N_COLUMNS; i++)
        *column_at(b, i) = NULL;
}

static void free_tables(struct gw_batch *b)
{
    free(b->segments);
    free(b->resources);
    free(b->scopes);
    free(b->attrs);
    free(b->events);
    free(b->links);
    free(b->metrics);
    free(b->hists);
    free(b->exphists);
    free(b->summaries);
    free(b->quantiles);
    free(b->exemplars);
}

static void destroy(struct gw_batch *b)
{
    free_rows(b);
    free_tables(b);
    free(b);
}

struct gw_batch *gw_batch_new(enum gw_signal signal)
{
    struct gw_batch *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->signal = signal;
    atomic_store_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

struct gw_batch *gw_batch_ref(struct gw_batch *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

struct gw_batch *gw_batch_share(struct gw_batch *b, struct gw_ticket *ticket, struct gw_meta *meta)
{
    const size_t from = offsetof(struct gw_batch, signal); /* others count references meanwhile */
    struct gw_batch *s = malloc(sizeof(*s) + b->n_segments * sizeof(*b->segments));

    if (!s)
        return NULL;
    memcpy((char *)s + from, (const char *)b + from, sizeof(*s) - from);
    atomic_init(&s->refs, 1);
    s->segments = (struct gw_segment *)(s + 1);
    for (uint32_t i = 0; i < b->n_segments; i++) {
        s->segments[i] = b->segments[i];
        s->segments[i].ticket = gw_ticket_ref(ticket);
    }
    s->meta = meta ? gw_meta_ref(meta) : NULL;
    s->pool = NULL;
    s->origin = gw_batch_ref(b);
    return s;
}

static struct gw_batch *end_share(struct gw_batch *s)
{
    struct gw_batch *origin = s->origin;

    for (uint32_t i = 0; i < s->n_segments; i++)
        (void)gw_ticket_unref(s->segments[i].ticket);
    (void)gw_meta_unref(s->meta);
    free(s);
    return gw_batch_unref(origin);
}

void gw_batch_set_payload(struct gw_batch *b, struct gw_payload *pl)
{
    (void)gw_payload_unref(b->payload);
    b->payload = pl;
    b->base = pl ? pl->p : NULL;
}

int gw_batch_append(struct gw_batch *b, struct gw_slice bytes, struct gw_ref *ret)
{
    int r;

    if (!b->payload) {
        struct gw_payload *pl = gw_payload_new(bytes.n);

        if (!pl)
            return bytes.n >= 1u << 31 ? -E2BIG : -ENOMEM;
        gw_batch_set_payload(b, pl);
    }
    r = gw_payload_reserve(b->payload, bytes.n);
    if (r < 0)
        return r;
    b->base = b->payload->p;
    if (bytes.n)
        memcpy(b->payload->p + b->payload->n, bytes.p, bytes.n);
    *ret = (struct gw_ref){b->payload->n, (uint32_t)bytes.n};
    b->payload->n += (uint32_t)bytes.n;
    return 0;
}

static void release_tickets(struct gw_batch *b, uint32_t from)
{
    for (uint32_t i = from; i < b->n_segments; i++)
        b->segments[i].ticket = gw_ticket_unref(b->segments[i].ticket);
}

/* Everything but the columns' memory. */
static void let_go(struct gw_batch *b)
{
    static const struct gw_batch_mark start;

    gw_batch_rollback(b, &start);
    gw_batch_set_payload(b, NULL);
    b->meta = gw_meta_unref(b->meta);
    b->received_ns = 0;
    b->receiver = NULL;
    b->is_outline = false;
}

void gw_batch_reset(struct gw_batch *b, enum gw_signal signal)
{
    let_go(b);
    if (signal != b->signal)
        free_rows(b);
    b->signal = signal;
}

/* ---- marks ------------------------------------------------------------------------------------------------ */

struct gw_batch_mark gw_batch_mark(const struct gw_batch *b)
{
    return (struct gw_batch_mark){
        .payload = b->payload ? b->payload->n : 0,
        .segments = b->n_segments,
        .resources = b->n_resources,
        .scopes = b->n_scopes,
        .rows = b->n_rows,
        .attrs = b->n_attrs,
        .events = b->n_events,
        .links = b->n_links,
        .metrics = b->n_metrics,
        .hists = b->n_hists,
        .exphists = b->n_exphists,
        .summaries = b->n_summaries,
        .quantiles = b->n_quantiles,
        .exemplars = b->n_exemplars,
    };
}

void gw_batch_rollback(struct gw_batch *b, const struct gw_batch_mark *m)
{
    release_tickets(b, m->segments);
    if (b->payload && atomic_load_explicit(&b->payload->refs, memory_order_acquire) == 1)
        b->payload->n = m->payload;
    b->n_segments = m->segments;
    b->n_resources = m->resources;
    b->n_scopes = m->scopes;
    b->n_rows = m->rows;
    b->n_attrs = m->attrs;
    b->n_events = m->events;
    b->n_links = m->links;
    b->n_metrics = m->metrics;
    b->n_hists = m->hists;
    b->n_exphists = m->exphists;
    b->n_summaries = m->summaries;
    b->n_quantiles = m->quantiles;
    b->n_exemplars = m->exemplars;
}

/* ---- room ------------------------------------------------------------------------------------------------- */

/* Doubling, so that appending is linear in all; 0 when 32 bits do not hold it. */
static uint32_t grown(uint32_t cap, uint32_t n, uint32_t more, uint32_t first)
{
    uint64_t want = (uint64_t)n + more, c = cap ? (uint64_t)cap * 2 : first;

    if (c < want)
        c = want;
    return c <= INT32_MAX ? (uint32_t)c : 0;
}

int gw_batch_reserve_rows(struct gw_batch *b, uint32_t more)
{
    uint32_t cap;
    size_t bytes;
    uint8_t *memory, *at;

    if (more <= b->cap_rows - b->n_rows)
        return 0;
    cap = grown(b->cap_rows, b->n_rows, more, FIRST_ROWS);
    if (!cap)
        return -ENOMEM;
    bytes = rows_bytes(b->signal, cap);
    memory = at = aligned_alloc(COLUMN_ALIGN, bytes);
    if (!memory)
        return -ENOMEM;
    for (unsigned i = 0; i < N_COLUMNS; i++) {
        void **column = column_at(b, i);

        if (!(columns[i].signals & b->signal))
            continue;
        if (b->n_rows)
            memcpy(at, *column, (size_t)b->n_rows * columns[i].width);
        *column = at;
        at += ((size_t)cap * columns[i].width + COLUMN_ALIGN - 1) & ~(size_t)(COLUMN_ALIGN - 1);
    }
    b->column_bytes += bytes - (b->row_memory ? rows_bytes(b->signal, b->cap_rows) : 0);
    free(b->row_memory);
    b->row_memory = memory;
    b->cap_rows = cap;
    return 0;
}

int gw_batch_reserve_table(struct gw_batch *b, void **table, uint32_t n, uint32_t *cap, size_t item_bytes,
                           uint32_t more)
{
    uint32_t c;
    void *p;

    if (more <= *cap - n)
        return 0;
    c = grown(*cap, n, more, FIRST_ITEMS);
    if (!c)
        return -ENOMEM;
    p = realloc(*table, c * item_bytes);
    if (!p)
        return -ENOMEM;
    b->column_bytes += (uint64_t)(c - *cap) * item_bytes;
    *table = p;
    *cap = c;
    return 0;
}

int gw_batch_reserve_attrs(struct gw_batch *b, uint32_t more)
{
    void *table = b->attrs;
    int r = gw_batch_reserve_table(b, &table, b->n_attrs, &b->cap_attrs, sizeof(*b->attrs), more);

    b->attrs = table;
    return r;
}

/* ---- pool ------------------------------------------------------------------------------------------------- */

enum { N_SHELVES = 3 };

struct gw_batch_pool {
    struct gw_pool pool;
    unsigned keep;
    unsigned n_free[N_SHELVES]; /* the owner's, one shelf a signal: the columns of each fit */
    struct gw_inbox_item *free[N_SHELVES];
};

static unsigned shelf_of(enum gw_signal signal)
{
    return (unsigned)__builtin_ctz(signal);
}

static inline struct gw_batch *batch_of(struct gw_inbox_item *i)
{
    return (struct gw_batch *)((char *)i - offsetof(struct gw_batch, item));
}

static void collect(struct gw_batch_pool *p)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&p->pool.back), *next; i; i = next) {
        unsigned k = shelf_of(batch_of(i)->signal);

        next = i->next;
        if (p->n_free[k] >= p->keep) {
            destroy(batch_of(i));
            continue;
        }
        i->next = p->free[k];
        p->free[k] = i;
        p->n_free[k]++;
    }
}

static void pool_destroy(struct gw_batch_pool *p)
{
    p->keep = 0;
    collect(p);
    free(p);
}

struct gw_batch *gw_batch_unref(struct gw_batch *b)
{
    struct gw_batch_pool *p;

    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    if (b->origin)
        return end_share(b);
    let_go(b);
    p = b->pool;
    if (!p) {
        destroy(b);
        return NULL;
    }
    if (b->column_bytes > KEEP_COLUMN_BYTES) {
        destroy(b);
    } else {
        (void)gw_inbox_push(&p->pool.back, &b->item); /* nobody waits for it: no wake */
    }
    if (gw_pool_drop(&p->pool))
        pool_destroy(p);
    return NULL;
}

struct gw_batch_pool *gw_batch_pool_new(unsigned keep)
{
    struct gw_batch_pool *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    gw_pool_init(&p->pool);
    p->keep = keep;
    return p;
}

struct gw_batch *gw_batch_pool_get(struct gw_batch_pool *p, enum gw_signal signal)
{
    unsigned k = shelf_of(signal);
    struct gw_batch *b;

    if (!p->free[k] && !gw_inbox_is_empty(&p->pool.back))
        collect(p);
    if (p->free[k]) {
        b = batch_of(p->free[k]);
        p->free[k] = b->item.next;
        p->n_free[k]--;
        atomic_store_explicit(&b->refs, 1, memory_order_relaxed);
    } else {
        b = gw_batch_new(signal);
        if (!b)
            return NULL;
        b->pool = p;
    }
    gw_pool_out(&p->pool);
    return b;
}

void gw_batch_pool_free(struct gw_batch_pool *p)
{
    if (!p)
        return;
    for (unsigned k = 0; k < N_SHELVES; k++)
        for (struct gw_inbox_item *i = p->free[k], *next; i; i = next) {
            next = i->next;
            destroy(batch_of(i));
        }
    if (gw_pool_drop(&p->pool))
        pool_destroy(p);
}

/* ---- cloning ---------------------------------------------------------------------------------------------- */

static bool clone_table(struct gw_batch *to, void **table, uint32_t *cap, uint32_t *n, const void *from, uint32_t more,
                        size_t item_bytes)
{
    if (more == 0)
        return true;
    if (gw_batch_reserve_table(to, table, 0, cap, item_bytes, more) < 0)
        return false;
    memcpy(*table, from, more * item_bytes);
    *n = more;
    return true;
}

#define CLONE_TABLE(name)                                                                                              \
    (table = to->name,                                                                                                 \
     ok = clone_table(to, &table, &to->cap_##name, &to->n_##name, b->name, b->n_##name, sizeof(*b->name)),             \
     to->name = table, ok)

static bool clone_tables(const struct gw_batch *b, struct gw_batch *to)
{
    void *table;
    bool ok;

    return CLONE_TABLE(resources) && CLONE_TABLE(scopes) && CLONE_TABLE(attrs) && CLONE_TABLE(events) &&
           CLONE_TABLE(links) && CLONE_TABLE(metrics) && CLONE_TABLE(hists) && CLONE_TABLE(exphists) &&
           CLONE_TABLE(summaries) && CLONE_TABLE(quantiles) && CLONE_TABLE(exemplars) && CLONE_TABLE(segments);
}

static bool clone_rows(const struct gw_batch *b, struct gw_batch *to)
{
    struct gw_ref at;

    if (gw_batch_reserve_rows(to, b->n_rows) < 0)
        return false;
    for (unsigned i = 0; i < N_COLUMNS; i++)
        if ((columns[i].signals & b->signal) && b->n_rows)
            memcpy(*column_at(to, i), *column_at((struct gw_batch *)b, i), (size_t)b->n_rows * columns[i].width);
    to->n_rows = b->n_rows;
    return !b->payload || gw_batch_append(to, gw_slice_of(b->payload->p, b->payload->n), &at) == 0;
}

struct gw_batch *gw_batch_clone(const struct gw_batch *b, struct gw_batch_pool *pool)
{
    struct gw_batch *to = pool ? gw_batch_pool_get(pool, b->signal) : gw_batch_new(b->signal);

    if (!to)
        return NULL;
    if (!clone_rows(b, to) || !clone_tables(b, to)) /* segments come last: there is no ticket to let go */
        return gw_batch_unref(to);
    for (uint32_t i = 0; i < to->n_segments; i++)
        if (to->segments[i].ticket)
            to->segments[i].ticket = gw_ticket_ref(to->segments[i].ticket);
    to->meta = gw_meta_ref(b->meta);
    to->received_ns = b->received_ns;
    to->receiver = b->receiver;
    to->is_outline = b->is_outline;
    return to;
}

/* ---- looking ---------------------------------------------------------------------------------------------- */

uint32_t gw_batch_segment_of(const struct gw_batch *b, uint32_t row)
{
    uint32_t lo = 0, hi = b->n_segments;

    assert(row < b->n_rows);
    while (lo < hi) { /* the first segment that ends behind the row; those without rows never do */
        uint32_t mid = lo + (hi - lo) / 2;

        if (b->segments[mid].rows.end > row)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

bool gw_packed_varint_next(const struct gw_batch *b, struct gw_ref r, uint32_t *pos, uint64_t *ret)
{
    uint32_t at = *pos, end = r.off + r.len;
    uint64_t value = 0;

    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t c = b->base[at++];

        value |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *pos = at;
            *ret = value;
            return true;
        }
    }
    return false;
}

const char *gw_signal_name(enum gw_signal s)
{
    return s == GW_TRACES ? "traces" : s == GW_METRICS ? "metrics" : "logs";
}

const char *gw_signal_item_name(enum gw_signal s)
{
    return s == GW_TRACES ? "spans" : s == GW_METRICS ? "metric_points" : "log_records";
}
