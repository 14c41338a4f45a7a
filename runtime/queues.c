/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/queues.h"

#include <stdlib.h>
#include <string.h>

#include "pipeline/service.h"

const char *const gw_queues_kinds[] = {"queue", "journal", "ports", NULL};

struct waits {
    struct gw_log *log;
    struct gw_log_stats st;
    bool is_journal;
    uint64_t max_bytes;
    const char *only; /* or NULL */
    bool too_many;
    unsigned n;
    struct one {
        struct gw_queue_wait w;
        uint64_t at[GW_LOG_PARTITIONS];
        unsigned signals; /* enum gw_signal; those of other pipelines pass by */
    } of[GW_QUEUES_MAX_CONSUMERS];
};

struct gw_queue_name gw_queue_name_of(const char *text)
{
    for (unsigned i = 0; gw_queues_kinds[i]; i++) {
        size_t n = strlen(gw_queues_kinds[i]);

        if (strncmp(text, gw_queues_kinds[i], n) == 0 && text[n] == '/')
            return (struct gw_queue_name){gw_queues_kinds[i], text + n + 1};
    }
    return (struct gw_queue_name){NULL, text};
}

/* ---- what waits ------------------------------------------------------------------------------------------- */

static void collect(void *arg, const struct gw_log_consumer *c)
{
    struct waits *s = arg;

    if (c->name[0] == '#' || (s->only && strcmp(c->name, s->only) != 0))
        return;
    s->too_many = s->n == GW_QUEUES_MAX_CONSUMERS;
    if (!s->too_many)
        s->of[s->n++].w.consumer = *c;
}

/* A queue's consumer: all behind what it has settled. The bytes and the age are those of the log. */
static void count_settled(const struct waits *s, struct gw_queue_wait *w)
{
    w->rows = s->st.end_row - w->consumer.low_row - w->consumer.ahead_rows;
    w->bytes = s->st.bytes;
    w->oldest_ns = w->rows ? s->st.first_time_ns : 0;
}

/* Of which signal a pipeline is says its id: "traces/out". A name that says nothing: of any. */
static unsigned signals_of(const char *pipeline)
{
    for (unsigned s = GW_TRACES; s & GW_ALL_SIGNALS; s <<= 1) {
        const char *name = gw_signal_name((enum gw_signal)s);
        size_t n = strlen(name);

        if (strncmp(pipeline, name, n) == 0 && (pipeline[n] == '/' || pipeline[n] == 0))
            return s;
    }
    return GW_ALL_SIGNALS;
}

/* Where it goes on in each partition; returns the least of them. */
static uint64_t find_positions(const struct waits *s, struct one *o)
{
    uint64_t least = UINT64_MAX, low = o->w.consumer.low;

    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++) {
        if (gw_log_position(s->log, o->w.consumer.id, p, &o->at[p], NULL, NULL) < 0 || o->at[p] < low)
            o->at[p] = low;
        least = o->at[p] < least ? o->at[p] : least;
    }
    o->signals = signals_of(o->w.consumer.name);
    return least;
}

static void count_frame(struct waits *s, const struct gw_log_frame *f)
{
    for (unsigned i = 0; i < s->n; i++) {
        struct one *o = &s->of[i];

        if (f->seq < o->at[f->partition] || (f->signal && !(f->signal & o->signals)))
            continue;
        o->w.rows += f->rows;
        o->w.frames++;
        o->w.bytes += f->meta.n + f->body.n;
        if (!o->w.oldest_ns || f->time_ns < o->w.oldest_ns)
            o->w.oldest_ns = f->time_ns;
    }
}

static int count_from(struct waits *s, uint64_t seq)
{
    const struct gw_log_reader_conf conf = {.consumer = 0};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    uint64_t bytes = 0;
    int rc = gw_log_reader_new(s->log, &conf, &r);

    if (rc < 0)
        return rc;
    rc = gw_log_seek(r, GW_LOG_PARTITIONS, seq);
    while (rc >= 0 && (rc = gw_log_next(r, &e)) == 1 && e.frame.seq < s->st.end_seq) {
        if (s->max_bytes && bytes > s->max_bytes) {
            for (unsigned i = 0; i < s->n; i++)
                s->of[i].w.is_more = true;
            break;
        }
        count_frame(s, &e.frame);
        bytes += e.frame.body.n;
    }
    gw_log_reader_free(r);
    return rc < 0 ? rc : 0;
}

static int count(struct waits *s)
{
    uint64_t from = UINT64_MAX;

    for (unsigned i = 0; i < s->n; i++) {
        uint64_t at = UINT64_MAX;

        if (s->is_journal)
            at = find_positions(s, &s->of[i]);
        else
            count_settled(s, &s->of[i].w);
        from = at < from ? at : from;
    }
    return from < s->st.end_seq ? count_from(s, from) : 0;
}

/* Free it. NULL: no memory. */
static struct waits *look(struct gw_log *log, const char *kind, const char *only, uint64_t max_bytes, int *ret_rc)
{
    struct waits *s = calloc(1, sizeof(*s));

    *ret_rc = -ENOMEM;
    if (!s)
        return NULL;
    s->log = log;
    s->max_bytes = max_bytes;
    s->only = only;
    s->is_journal = strcmp(kind, "journal") == 0;
    gw_log_stats(log, &s->st);
    (void)gw_log_consumers(log, collect, s);
    *ret_rc = count(s);
    if (*ret_rc == 0 && s->too_many)
        *ret_rc = -E2BIG;
    return s;
}

int gw_queue_waits(struct gw_log *log, const char *kind, void (*each)(void *arg, const struct gw_queue_wait *w),
                   void *arg)
{
    int rc;
    struct waits *s = look(log, kind, NULL, 0, &rc);

    for (unsigned i = 0; s && i < s->n; i++)
        each(arg, &s->of[i].w);
    free(s);
    return rc;
}

/* ---- letting go ------------------------------------------------------------------------------------------- */

int gw_queue_release(struct gw_log *log, const struct gw_queue_release *what, struct gw_queue_wait *ret)
{
    int rc;
    struct waits *s = look(log, what->kind, what->consumer, what->max_bytes, &rc);

    if (!s)
        return rc;
    if (s->n)
        *ret = s->of[0].w; /* also when it could not be counted: damage must not keep it */
    rc = s->n == 0 ? -ENOENT : s->of[0].w.consumer.is_open ? -EBUSY : 0;
    free(s);
    return rc < 0 || what->dry_run ? rc : gw_log_consumer_release(log, what->consumer);
}

void gw_queue_put_wait(struct gw_buf *out, const struct gw_queue_wait *w)
{
    gw_buf_printf(out, "%s%llu rows", w->is_more ? "more than " : "", (unsigned long long)w->rows);
    if (w->frames)
        gw_buf_printf(out, " in %llu frames, %llu bytes", (unsigned long long)w->frames, (unsigned long long)w->bytes);
}
