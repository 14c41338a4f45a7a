/* SPDX-License-Identifier: Apache-2.0 */
/* Streams as records (stream_state.h). */
#include <errno.h>
#include <stdlib.h>

#include "processors/common/stream_state_priv.h"

/* ---- writing ---------------------------------------------------------------------------------------------- */

/* A length, and what is put behind it. */
static size_t open_bytes(struct gw_buf *out)
{
    gw_spool_put_u32(out, 0);
    return out->n;
}

static void close_bytes(struct gw_buf *out, size_t at)
{
    uint32_t n = (uint32_t)(out->n - at);

    if (!out->failed)
        memcpy(out->p + at - sizeof(n), &n, sizeof(n));
}

/* What the entries that follow stand under. */
struct under {
    const struct gw_streams *st;
    const struct gw_series *scope, *metric;
};

static void put_above(const struct gw_streams *st, uint8_t kind, struct gw_slice key, struct gw_series *s,
                      struct gw_buf *out)
{
    size_t at;

    gw_buf_put_u8(out, kind);
    gw_spool_put_bytes(out, key);
    at = open_bytes(out);
    if (st->conf.note_bytes)
        st->conf.put_note(gw_streams_note(s), out);
    close_bytes(out, at);
}

static void put_new(struct gw_stream_state *s, struct under *u, struct gw_streams *st, uint8_t table,
                    struct gw_series *x, struct gw_buf *out)
{
    struct gw_series *metric = gw_streams_above(x), *scope = gw_streams_above(metric);
    struct gw_stream_mark *m = gw_streams_mark(st, x);
    struct gw_stream_keys k;

    gw_streams_keys(st, x, &k);
    if (u->st != st || u->scope != scope)
        put_above(st, 'O', k.scope, scope, out);
    if (u->st != st || u->metric != metric)
        put_above(st, 'M', k.metric, metric, out);
    *u = (struct under){st, scope, metric};
    m->number = s->next_number++;
    gw_buf_put_u8(out, 'N');
    gw_spool_put_u32(out, m->number);
    gw_buf_put_u8(out, table);
    gw_buf_put_u8(out, m->partition);
    gw_spool_put_bytes(out, k.stream);
}

static void put_stream(struct gw_stream_state *s, struct under *u, uint8_t table, struct gw_series *x,
                       struct gw_buf *out)
{
    struct gw_streams *st = s->tables[table];
    struct gw_stream_mark *m = gw_streams_mark(st, x);
    size_t begin = out->n, at;

    if (m->number) {
        gw_buf_put_u8(out, 'V');
        gw_spool_put_u32(out, m->number);
    } else {
        put_new(s, u, st, table, x, out);
    }
    gw_spool_put_u64(out, x->seen_ns);
    at = open_bytes(out);
    s->ops->put(s->arg, table, x, out);
    close_bytes(out, at);
    m->changed_at = 0;
    gw_ss_charge(s, m, x->key_bytes + (out->n - begin));
}

static void each(struct gw_stream_state *s, struct under *u, struct gw_buf *out,
                 void (*f)(struct gw_stream_state *s, struct under *u, uint8_t table, struct gw_series *x,
                           struct gw_buf *out))
{
    for (uint8_t t = 0; t < s->n_tables; t++)
        for (struct gw_series *scope = s->tables[t]->all.first; scope; scope = scope->next)
            for (struct gw_series *metric = gw_streams_first(scope); metric; metric = metric->next)
                for (struct gw_series *x = gw_streams_first(metric); x; x = x->next)
                    f(s, u, t, x, out);
}

static void forget_number(struct gw_stream_state *s, struct under *u, uint8_t table, struct gw_series *x,
                          struct gw_buf *out)
{
    (void)u;
    (void)out;
    gw_streams_mark(s->tables[table], x)->number = 0;
}

static void put_times(const struct gw_stream_state *s, struct gw_buf *out)
{
    uint64_t rest = s->partitions;

    while (rest) {
        uint64_t same = 0, at = s->done_ns[__builtin_ctzll(rest)];

        for (unsigned i = 0; i < GW_PARTITIONS; i++)
            if ((rest >> i & 1) && s->done_ns[i] == at)
                same |= UINT64_C(1) << i;
        rest &= ~same;
        if (at == 0)
            continue;
        gw_buf_put_u8(out, 'T');
        gw_spool_put_u64(out, same);
        gw_spool_put_u64(out, at);
    }
}

static void put_head(const struct gw_stream_state *s, bool whole, struct gw_buf *out)
{
    gw_buf_put_u8(out, 'F');
    gw_spool_put_u64(out, s->settings);
    if (whole) {
        gw_buf_put_u8(out, 'W');
        gw_spool_put_u64(out, s->partitions);
        gw_buf_put_u8(out, 'B');
        gw_spool_put_u64(out, s->begin_ns);
    }
    if (whole || s->has_done)
        put_times(s, out);
}

static void put_changes(struct gw_stream_state *s, struct under *u, struct gw_buf *out)
{
    for (uint32_t i = 0; i < s->n_gone; i++) {
        gw_buf_put_u8(out, 'X');
        gw_spool_put_u32(out, s->gone[i]);
    }
    for (uint32_t i = 0; i < s->n_changed; i++)
        if (s->changed[i].s)
            put_stream(s, u, s->changed[i].table, s->changed[i].s, out);
}

int gw_ss_save(struct gw_stream_state *s, bool whole, struct gw_buf *out, uint64_t *ret_oldest_ns)
{
    struct under u = {0};

    gw_ss_forget_sources(s);
    *ret_oldest_ns = UINT64_MAX;
    if (s->failed)
        return -ENOMEM;
    if (!whole && !s->has_done && !s->n_changed && !s->n_gone)
        return GW_DONE;
    put_head(s, whole, out);
    if (whole) {
        s->next_number = 1;
        each(s, &u, out, forget_number);
        each(s, &u, out, put_stream);
    } else {
        put_changes(s, &u, out);
    }
    s->n_changed = s->n_gone = 0;
    s->has_done = false;
    return out->failed ? -ENOMEM : GW_DONE;
}

/* ---- whose numbers ---------------------------------------------------------------------------------------- */

struct numbered {
    struct gw_series *s;
    uint8_t table;
};

struct gw_ss_source {
    uint64_t stream;
    struct numbered *of; /* by number */
    uint32_t cap;
};

static struct numbered *at_number(struct gw_ss_source *f, uint32_t number)
{
    return number < f->cap ? &f->of[number] : NULL;
}

/* While records are read changed_at says which source it is, + 1. */
void gw_ss_unread(struct gw_stream_state *s, struct gw_stream_mark *m)
{
    struct numbered *n = m->changed_at ? at_number(&s->sources[m->changed_at - 1], m->number) : NULL;

    if (n)
        n->s = NULL;
}

static void unmark(struct gw_stream_state *s, struct under *u, uint8_t table, struct gw_series *x, struct gw_buf *out)
{
    struct gw_stream_mark *m = gw_streams_mark(s->tables[table], x);

    (void)u;
    (void)out;
    m->number = m->changed_at = 0;
}

void gw_ss_forget_sources(struct gw_stream_state *s)
{
    if (!s->sources)
        return;
    if (!s->ends)
        each(s, NULL, NULL, unmark);
    for (uint32_t i = 0; i < s->n_sources; i++)
        free(s->sources[i].of);
    free(s->sources);
    s->sources = NULL;
    s->n_sources = 0;
}

/* NULL: no memory. */
static struct gw_ss_source *source_of(struct gw_stream_state *s, uint64_t stream)
{
    struct gw_ss_source *more;

    for (uint32_t i = 0; i < s->n_sources; i++)
        if (s->sources[i].stream == stream)
            return &s->sources[i];
    if (s->n_sources == 0) { /* what was noted before is of a life that has ended */
        each(s, NULL, NULL, unmark);
        s->n_changed = s->n_gone = 0;
    }
    more = realloc(s->sources, (s->n_sources + 1) * sizeof(*more));
    if (!more)
        return NULL;
    s->sources = more;
    more[s->n_sources] = (struct gw_ss_source){.stream = stream};
    return &more[s->n_sources++];
}

static int set_number(struct gw_ss_source *f, uint32_t number, struct gw_series *x, uint8_t table)
{
    while (number >= f->cap) {
        uint32_t cap = f->cap ? 2 * f->cap : 1024;
        struct numbered *more = number < UINT32_MAX / 4 ? realloc(f->of, cap * sizeof(*more)) : NULL;

        if (!more)
            return -ENOMEM;
        memset(more + f->cap, 0, (cap - f->cap) * sizeof(*more));
        f->of = more;
        f->cap = cap;
    }
    f->of[number] = (struct numbered){x, table};
    return 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

struct reading {
    struct gw_stream_state *s;
    struct gw_ss_source *from;
    struct gw_spool_in in;
    struct gw_stream_keys under;
};

static void forget(struct gw_stream_state *s, struct gw_ss_source *from, uint64_t partitions)
{
    for (unsigned t = 0; t < s->n_tables; t++) {
        s->tables[t]->sweep_partitions = partitions;
        gw_streams_sweep_begin(s->tables[t]);
        while (gw_streams_sweep(s->tables[t], UINT64_MAX, UINT32_MAX))
            ;
    }
    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if (partitions >> i & 1)
            s->done_ns[i] = 0;
    if (from->cap)
        memset(from->of, 0, from->cap * sizeof(*from->of));
}

static int read_value(struct reading *r, struct gw_series *x, uint8_t table)
{
    uint64_t seen_ns = gw_spool_get_u64(&r->in);
    struct gw_spool_in value = {.left = gw_spool_get_bytes(&r->in)};
    struct gw_stream_mark *m;

    if (r->in.bad || !x)
        return 0;
    m = gw_streams_mark(r->s->tables[table], x);
    x->seen_ns = seen_ns;
    gw_ss_charge(r->s, m, x->key_bytes + value.left.n);
    if (r->s->ops->take(r->s->arg, table, x, &value))
        return 0;
    return value.bad ? -EBADMSG : -ENOMEM;
}

static int read_new(struct reading *r)
{
    uint32_t number = gw_spool_get_u32(&r->in);
    uint8_t table = gw_spool_get_u8(&r->in), partition = gw_spool_get_u8(&r->in);
    struct gw_series *x = NULL;
    struct gw_stream_mark *m;

    r->under.stream = gw_spool_get_bytes(&r->in);
    if (r->in.bad || table >= r->s->n_tables || partition >= GW_PARTITIONS ||
        r->under.stream.n < r->s->tables[table]->conf.more_bytes)
        return -EBADMSG;
    if (r->s->partitions >> partition & 1) {
        if (gw_streams_take(r->s->tables[table], &r->under, &x) == GW_STREAM_NO_MEMORY)
            return -ENOMEM;
        if (x) { /* or there are more than there may be now */
            m = gw_streams_mark(r->s->tables[table], x);
            m->number = number;
            m->partition = partition;
            m->changed_at = (uint32_t)(r->from - r->s->sources) + 1;
            if (set_number(r->from, number, x, table) < 0)
                return -ENOMEM;
        }
    }
    return read_value(r, x, table);
}

static int read_known(struct reading *r)
{
    const struct numbered *n = at_number(r->from, gw_spool_get_u32(&r->in));

    return read_value(r, n ? n->s : NULL, n ? n->table : 0);
}

static void read_gone(struct reading *r)
{
    struct numbered *n = at_number(r->from, gw_spool_get_u32(&r->in));

    if (n && n->s)
        gw_streams_forget(r->s->tables[n->table], n->s);
}

static void read_time(struct reading *r)
{
    uint64_t partitions = gw_spool_get_u64(&r->in) & r->s->partitions, at = gw_spool_get_u64(&r->in), passed = 0;

    for (unsigned i = 0; i < GW_PARTITIONS; i++)
        if ((partitions >> i & 1) && at > r->s->done_ns[i]) {
            r->s->done_ns[i] = at;
            passed |= UINT64_C(1) << i;
        }
    if (r->s->ops->passed && passed)
        r->s->ops->passed(r->s->arg, passed);
}

static int read_entry(struct reading *r, uint8_t kind)
{
    uint64_t n;

    switch (kind) {
    case 'W':
        forget(r->s, r->from, gw_spool_get_u64(&r->in) & r->s->partitions);
        return 0;
    case 'B':
        n = gw_spool_get_u64(&r->in);
        r->s->begin_ns = n < r->s->begin_ns ? n : r->s->begin_ns;
        return 0;
    case 'T':
        read_time(r);
        return 0;
    case 'X':
        read_gone(r);
        return 0;
    case 'O':
        r->under.scope = gw_spool_get_bytes(&r->in);
        r->under.scope_note = gw_spool_get_bytes(&r->in);
        return 0;
    case 'M':
        r->under.metric = gw_spool_get_bytes(&r->in);
        r->under.metric_note = gw_spool_get_bytes(&r->in);
        return 0;
    case 'N':
        return read_new(r);
    case 'V':
        return read_known(r);
    default:
        return -EBADMSG;
    }
}

int gw_ss_restore(struct gw_stream_state *s, struct gw_slice record, const struct gw_keep_owner *owner)
{
    struct reading r = {.s = s, .from = source_of(s, owner->stream), .in = {.left = record}};
    int rc = r.from ? 0 : -ENOMEM;

    if (rc == 0 && record.n && (gw_spool_get_u8(&r.in) != 'F'))
        rc = -EBADMSG;
    if (rc == 0 && record.n && gw_spool_get_u64(&r.in) != s->settings) {
        if (s->n_foreign++ == 0)
            gw_log(&s->ctx->logger, GW_LOG_WARN,
                   "what is in the log of earlier points is of other settings: series begin anew");
        return 0;
    }
    while (rc == 0 && r.in.left.n && !r.in.bad)
        rc = read_entry(&r, gw_spool_get_u8(&r.in));
    return rc == 0 && r.in.bad ? -EBADMSG : rc;
}
