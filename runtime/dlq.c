/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/dlq.h"

#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/limits.h"
#include "queue/dead_letter.h"

/* So many frames a call, so that a loop which looks for one letter among a million still turns. */
enum { FRAMES_A_CALL = 64, ARENA_CHUNK = 4096, ARENA_MAX = 64 << 20 };

struct gw_dlq_cursor {
    struct gw_log_reader *reader;
    const struct gw_dlq_filter *filter;
    uint64_t end_seq, found, lost;
    struct gw_batch *b;
    struct gw_arena arena;
    struct gw_view view;
    bool has_view;
};

#define F struct gw_dlq_filter
const struct gw_field gw_dlq_filter_fields[] = {
    GW_STRING_FIELD(F, class_, "class", "", "Class."),
    GW_STRING_FIELD(F, component, "component", "", "Component that gave up."),
    GW_STRING_FIELD(F, pipeline, "pipeline", "", "Pipeline in which it did."),
    GW_STRING_FIELD(F, tenant, "tenant", "", "Tenant."),
    GW_STRING_FIELD(F, signal, "signal", "", "traces, metrics or logs."),
    GW_STRING_FIELD(F, id, "id", "", "Id, or its beginning."),
    GW_U64_FIELD(F, since_ns, "since_ns", "0", 0, 0, "From this time on."),
    GW_U64_FIELD(F, until_ns, "until_ns", "0", 0, 0, "Before this time; 0 = no bound."),
    GW_U64_FIELD(F, limit, "limit", "0", 0, 0, "So many; 0 = all."),
    GW_BOOL_FIELD(F, all, "all", "false", "Also what was replayed or purged."),
    {0},
};
#undef F

/* ---- the consumer ----------------------------------------------------------------------------------------- */

static void look_at(void *arg, const struct gw_log_consumer *c)
{
    if (strcmp(c->name, GW_DLQ_CONSUMER) == 0)
        *(uint32_t *)arg = c->id;
}

uint32_t gw_dlq_consumer(struct gw_log *log)
{
    uint32_t id = 0;

    return gw_log_consumers(log, look_at, &id) < 0 ? 0 : id;
}

unsigned gw_dlq_chain_length(struct gw_slice chain)
{
    unsigned n = chain.n > 0;

    for (size_t i = 0; i < chain.n; i++)
        n += chain.p[i] == ',';
    return n;
}

/* ---- a letter --------------------------------------------------------------------------------------------- */

static struct gw_slice text_of(const struct gw_view *v, const char *key)
{
    struct gw_value x;

    if (!gw_view_attr_get(v, GW_OWN_ROW, 0, gw_slice_cstr(key), &x) || (x.type != GW_V_STRING && x.type != GW_V_BYTES))
        return (struct gw_slice){NULL, 0};
    return x.s;
}

static uint64_t number_of(const struct gw_view *v, const char *key)
{
    struct gw_value x;

    return gw_view_attr_get(v, GW_OWN_ROW, 0, gw_slice_cstr(key), &x) && x.type == GW_V_INT ? (uint64_t)x.i : 0;
}

static enum gw_signal signal_of(struct gw_slice name)
{
    for (unsigned s = GW_TRACES; s <= GW_LOGS; s <<= 1)
        if (gw_slice_is(name, gw_signal_name((enum gw_signal)s)))
            return (enum gw_signal)s;
    return 0;
}

static void fill(struct gw_dlq_letter *l, const struct gw_view *v)
{
    const struct gw_batch *b = v->batch;
    bool has_body = b->body_type[0] == GW_V_BYTES || b->body_type[0] == GW_V_STRING;

    l->view = v;
    l->id = text_of(v, "dlq.id");
    l->class_ = text_of(v, "dlq.class");
    l->code = text_of(v, "dlq.code");
    l->reason = text_of(v, "dlq.reason");
    l->message = text_of(v, "dlq.message");
    l->component = text_of(v, "dlq.component");
    l->pipeline = text_of(v, "dlq.pipeline");
    l->receiver = text_of(v, "dlq.receiver");
    l->source = text_of(v, "dlq.src");
    l->tenant = text_of(v, "dlq.tenant");
    l->encoding = text_of(v, "dlq.enc");
    l->chain = text_of(v, "dlq.chain");
    l->signal = signal_of(text_of(v, "dlq.signal"));
    l->time_ns = b->time_ns[0];
    l->first_ns = number_of(v, "dlq.first");
    l->rows = number_of(v, "dlq.rows");
    l->attempts = number_of(v, "dlq.attempt");
    l->whole_bytes = number_of(v, "dlq.bytes");
    l->body = has_body ? gw_batch_slice(b, b->body[0].ref) : (struct gw_slice){NULL, 0};
}

static void forget(struct gw_dlq_cursor *c)
{
    if (c->has_view)
        gw_view_clear(&c->view);
    c->has_view = false;
    gw_arena_reset(&c->arena, ARENA_CHUNK);
}

/* 1, 0 when the frame is no letter, or -ENOMEM. */
static int decode(struct gw_dlq_cursor *c, const struct gw_log_frame *f, struct gw_dlq_letter *ret)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_ref at;
    int rc;

    forget(c);
    gw_batch_reset(c->b, GW_LOGS);
    rc = gw_batch_append(c->b, f->body, &at);
    if (rc == 0)
        rc = gw_decode(c->b, gw_batch_slice(c->b, at), &limits, NULL, NULL);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0 || c->b->n_rows != 1)
        return 0;
    gw_view_init(&c->view, c->b, &c->arena);
    c->has_view = true;
    *ret = (struct gw_dlq_letter){.seq = f->seq, .record = gw_batch_slice(c->b, c->b->segments[0].wire)};
    fill(ret, &c->view);
    return 1;
}

static bool is(struct gw_slice have, const char *want)
{
    return !want || !*want || gw_slice_is(have, want);
}

static bool begins_with(struct gw_slice have, const char *want)
{
    size_t n = want ? strlen(want) : 0;

    return have.n >= n && (n == 0 || memcmp(have.p, want, n) == 0);
}

static bool fits(const struct gw_dlq_filter *f, const struct gw_dlq_letter *l)
{
    struct gw_slice signal = gw_slice_cstr(l->signal ? gw_signal_name(l->signal) : "");

    return is(l->class_, f->class_) && is(l->component, f->component) && is(l->pipeline, f->pipeline) &&
           is(l->tenant, f->tenant) && is(signal, f->signal) && begins_with(l->id, f->id) &&
           l->time_ns >= f->since_ns && (f->until_ns == 0 || l->time_ns < f->until_ns);
}

/* ---- the walk --------------------------------------------------------------------------------------------- */

int gw_dlq_open(struct gw_log *log, const struct gw_dlq_filter *f, struct gw_dlq_cursor **ret)
{
    const struct gw_log_reader_conf conf = {.consumer = f->all ? 0 : gw_dlq_consumer(log)};
    struct gw_dlq_cursor *c = calloc(1, sizeof(*c));
    struct gw_log_stats st;
    int rc;

    if (!c)
        return -ENOMEM;
    gw_log_stats(log, &st);
    c->filter = f;
    c->end_seq = st.end_seq;
    gw_arena_init(&c->arena, ARENA_CHUNK, ARENA_MAX);
    c->b = gw_batch_new(GW_LOGS);
    rc = c->b ? gw_log_reader_new(log, &conf, &c->reader) : -ENOMEM;
    if (rc < 0) {
        gw_dlq_close(c);
        return rc;
    }
    *ret = c;
    return 0;
}

int gw_dlq_next(struct gw_dlq_cursor *c, struct gw_dlq_letter *ret)
{
    struct gw_log_entry e;

    if (c->filter->limit && c->found >= c->filter->limit)
        return 0;
    for (unsigned i = 0; i < FRAMES_A_CALL; i++) {
        int rc = gw_log_next(c->reader, &e);

        if (rc <= 0)
            return rc;
        c->lost += e.lost_frames;
        if (e.frame.seq >= c->end_seq)
            return 0;
        rc = decode(c, &e.frame, ret);
        if (rc < 0)
            return rc;
        c->lost += rc == 0;
        if (rc == 1 && fits(c->filter, ret)) {
            c->found++;
            return 1;
        }
    }
    return 2;
}

uint64_t gw_dlq_lost(const struct gw_dlq_cursor *c)
{
    return c->lost;
}

void gw_dlq_close(struct gw_dlq_cursor *c)
{
    if (!c)
        return;
    forget(c);
    gw_arena_clear(&c->arena);
    gw_log_reader_free(c->reader);
    if (c->b)
        (void)gw_batch_unref(c->b);
    free(c);
}
