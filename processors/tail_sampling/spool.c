/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits and what is remembered, over the end of the process: written when the gateway leaves, taken up before
 * anything comes in.
 *
 *   notes   R reasons by number   K ids and their decisions   L links   B buckets and allowances of policies
 *   parts   a trace with its facts: they stand as long as policies ask the same of spans; else its spans are asked
 * again
 *
 * Clocks do not go on while nobody is there: a trace has waited what it had waited, and a decision is as old as it was.
 */
#include "processors/common/spool.h"

#include <errno.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "pipeline/host.h"
#include "processors/tail_sampling/sampler.h"

#define S    1000000000ull
#define KIND "tail_sampling/1"

enum { NOTE_REASON = 'R', NOTE_IDS = 'K', NOTE_LINKS = 'L', NOTE_BUCKETS = 'B' };
enum { NOTE_BYTES = 1 << 20, MAX_FACTS_BYTES = 4096, MAX_TEXT_BYTES = 1 << 20 };

int gw_tail_new_shared(void **ret, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct gw_tail_conf *c = conf;
    struct gw_spool *spool = NULL;
    int rc = *c->storage ? gw_spool_new(&spool, ctx, c->storage, KIND, err) : 0;

    *ret = spool;
    return rc;
}

void gw_tail_free_shared(void *shared)
{
    gw_spool_free(shared);
}

/* ---- facts ------------------------------------------------------------------------------------------------ */

static void put_facts(const struct gw_tail *s, const struct gw_tail_facts *x, struct gw_buf *out)
{
    const struct gw_trace_facts *f = &x->f;
    bool stands = x->generation == s->generation;

    gw_spool_put_u64(out, f->wire_bytes);
    gw_buf_put_u8(out, x->is_linked);
    gw_buf_put_u8(out, stands);
    gw_spool_put_u64(out, gw_policies_shape(s->policies));
    for (unsigned i = 0; i < GW_FACT_WORDS; i++)
        gw_spool_put_u64(out, f->bits[i]);
    gw_spool_put_u64(out, f->min_start_ns);
    gw_spool_put_u64(out, f->max_end_ns);
    gw_spool_put_u64(out, f->running_start_ns);
    gw_spool_put_u64(out, f->randomness);
    gw_spool_put_u32(out, f->n_spans);
    gw_buf_put_u8(out, f->has_root);
    gw_buf_put_u8(out, f->has_randomness);
    gw_buf_put_u8(out, f->has_sampling_info);
    gw_buf_put_u8(out, f->bad_trace_state);
}

/* False: they say nothing to the policies of now. wire_bytes and is_linked are had all the same. */
static bool get_facts(const struct gw_tail *s, struct gw_slice bytes, struct gw_tail_facts *x)
{
    struct gw_spool_in in = {.left = bytes};
    struct gw_trace_facts *f = &x->f;
    bool stands;

    f->wire_bytes = gw_spool_get_u64(&in);
    x->is_linked = gw_spool_get_u8(&in);
    stands = gw_spool_get_u8(&in);
    stands &= gw_spool_get_u64(&in) == gw_policies_shape(s->policies);
    for (unsigned i = 0; i < GW_FACT_WORDS; i++)
        f->bits[i] = gw_spool_get_u64(&in);
    f->min_start_ns = gw_spool_get_u64(&in);
    f->max_end_ns = gw_spool_get_u64(&in);
    f->running_start_ns = gw_spool_get_u64(&in);
    f->randomness = gw_spool_get_u64(&in);
    f->n_spans = gw_spool_get_u32(&in);
    f->has_root = gw_spool_get_u8(&in);
    f->has_randomness = gw_spool_get_u8(&in);
    f->has_sampling_info = gw_spool_get_u8(&in);
    f->bad_trace_state = gw_spool_get_u8(&in);
    return stands && !in.bad;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

struct saving {
    struct gw_tail *s;
    struct gw_spool_writer *w;
    struct gw_buf *note; /* that is open; or NULL */
    size_t begin;
    uint8_t type;
    uint64_t now_s;
};

static struct gw_buf *note(struct saving *k, uint8_t type)
{
    if (k->note && (k->type != type || k->note->n - k->begin > NOTE_BYTES)) {
        gw_spool_close_note(k->w);
        k->note = NULL;
    }
    if (!k->note) {
        k->note = gw_spool_open_note(k->w, type);
        k->begin = k->note->n;
        k->type = type;
    }
    return k->note;
}

static void put_id(void *arg, const uint8_t id[16], uint64_t value)
{
    struct saving *k = arg;
    struct gw_buf *out = note(k, NOTE_IDS);
    uint64_t decided_s = value >> 32;

    gw_buf_put(out, id, 16);
    gw_spool_put_u32(out, (uint32_t)value);
    gw_spool_put_u32(out, (uint32_t)(k->now_s > decided_s ? k->now_s - decided_s : 0));
}

static void put_link(void *arg, const uint8_t from[16], const uint8_t to[16])
{
    struct gw_buf *out = note(arg, NOTE_LINKS);

    gw_buf_put(out, from, 16);
    gw_buf_put(out, to, 16);
}

static void put_reason(struct gw_buf *out, uint32_t number, const struct gw_reason *r)
{
    gw_spool_put_u32(out, number);
    gw_buf_put_u8(out, r->kept);
    gw_buf_put_u8(out, r->has_threshold);
    gw_spool_put_u64(out, r->threshold);
    gw_spool_put_text(out, r->policy);
    gw_spool_put_text(out, r->composite);
    gw_spool_put_text(out, r->word);
    gw_spool_put_text(out, r->dropped);
}

static void put_notes(struct gw_tail *s, struct gw_spool_writer *w, uint64_t now_ns)
{
    struct saving k = {.s = s, .w = w, .now_s = now_ns / S};

    for (uint32_t i = 0; i < gw_reasons_n(s->reasons); i++)
        put_reason(note(&k, NOTE_REASON), i, gw_reasons_get(s->reasons, i));
    gw_ids_each(s->gone, put_id, &k);
    gw_ids_each(s->kept, put_id, &k);
    if (s->links)
        gw_tail_links_each(s->links, put_link, &k);
    gw_policies_save(s->policies, note(&k, NOTE_BUCKETS));
    gw_spool_close_note(w);
}

static int put_traces(struct gw_tail *s, struct gw_spool_writer *w, uint64_t now_ns)
{
    struct gw_buf facts;
    int rc = 0;

    gw_buf_init(&facts, MAX_FACTS_BYTES);
    for (struct gw_trace *t = gw_traces_oldest(s->store); t && rc == 0; t = gw_traces_newer(s->store, t)) {
        gw_buf_reset(&facts);
        put_facts(s, gw_tail_facts(t), &facts);
        if (facts.failed)
            rc = -ENOMEM;
        else if (!gw_tail_facts(t)->is_decided)
            rc = gw_traces_spool(s->store, t, gw_buf_slice(&facts), now_ns, w);
    }
    gw_buf_clear(&facts);
    return rc;
}

static int spool(struct gw_tail *s, uint64_t n_spans, uint64_t now_ns, struct gw_spool_writer *w)
{
    uint64_t n_bytes = s->store ? gw_traces_held_bytes(s->store) : 0;
    int rc = gw_spool_begin(w, s->ctx.shared, &s->ctx, n_spans, n_bytes);

    if (rc < 0)
        return rc;
    put_notes(s, w, now_ns);
    rc = s->store ? put_traces(s, w, now_ns) : 0;
    if (rc < 0 && w->error == 0)
        w->error = rc;
    return gw_spool_seal(w);
}

bool gw_tail_spool(struct gw_tail *s, uint64_t now_ns)
{
    uint64_t n = s->store ? gw_traces_n_spans(s->store) - s->n_leaving - s->n_left : 0;
    struct gw_spool_writer w;
    int rc;

    if (!gw_spool_is_due(s->ctx.shared, &s->ctx) || s->is_spool_given_up)
        return false;
    if (n == 0 && s->is_spooled)
        return true;
    rc = spool(s, n, now_ns, &w);
    if (rc < 0) {
        s->is_spool_given_up = true;
        gw_log_at(&s->ctx.logger, GW_LOG_ERROR, &(struct gw_log_site){0},
                  "%s cannot be written (%s): %llu spans that wait are decided now, and decisions are forgotten",
                  w.path, strerror(-rc), (unsigned long long)n);
        return false;
    }
    s->is_spooled = true;
    s->n_spooled += n;
    if (n)
        gw_log(&s->ctx.logger, GW_LOG_INFO, "%llu spans that wait are in %s.spool, for the next start",
               (unsigned long long)n, w.path);
    return true;
}

bool gw_tail_is_owed(const struct gw_tail *s)
{
    return s->ctx.shared && !s->is_taken_up && gw_spool_is_claimed(s->ctx.shared);
}

void gw_tail_spool_rest(struct gw_tail *s)
{
    if (s->log || !gw_spool_is_due(s->ctx.shared, &s->ctx))
        return;
    if (gw_tail_is_owed(s))
        gw_tail_take_up(s, NULL);
    if (s->store && gw_traces_n(s->store) > 0) /* those that are decided are lost, as what queues in memory hold */
        (void)gw_tail_spool(s, gw_mono_ns(s->ctx.env));
}

/* ---- taking up -------------------------------------------------------------------------------------------- */

enum { MAX_REASONS = 4096, UNKNOWN = INT32_MAX };

struct taking_up {
    struct gw_tail *s;
    struct gw_ports *out;
    uint64_t now_ns;
    struct gw_arena texts, rows;   /* of one reason; of one part */
    unsigned file;                 /* + 1, that the numbers are of */
    uint32_t reasons[MAX_REASONS]; /* numbers of then ─► of now; UNKNOWN */
};

static bool is_mine(const struct taking_up *k, struct gw_slice id)
{
    return id.n == 16 && gw_spool_is_mine(&k->s->ctx, id.p);
}

static void get_reasons(struct taking_up *k, struct gw_slice body)
{
    struct gw_spool_in in = {.left = body};

    while (in.left.n && !in.bad) {
        uint32_t number = gw_spool_get_u32(&in);
        struct gw_reason r = {.kept = gw_spool_get_u8(&in), .has_threshold = false};

        r.has_threshold = gw_spool_get_u8(&in);
        r.threshold = gw_spool_get_u64(&in);
        r.policy = gw_spool_get_text(&in, &k->texts);
        r.composite = gw_spool_get_text(&in, &k->texts);
        r.word = gw_spool_get_text(&in, &k->texts);
        r.dropped = gw_spool_get_text(&in, &k->texts);
        if (!in.bad && number < MAX_REASONS && r.word && (r.kept || r.dropped))
            k->reasons[number] = gw_reasons_put(k->s->reasons, &r);
        gw_arena_reset(&k->texts, MAX_TEXT_BYTES);
    }
}

static void get_ids(struct taking_up *k, struct gw_slice body)
{
    struct gw_spool_in in = {.left = body};
    uint64_t now_s = k->now_ns / S;

    while (in.left.n && !in.bad) {
        struct gw_slice id = gw_spool_get(&in, 16);
        uint32_t reason = gw_spool_get_u32(&in), age_s = gw_spool_get_u32(&in);
        uint64_t decided_s = now_s > age_s ? now_s - age_s : 0;

        if (!in.bad && reason < MAX_REASONS && k->reasons[reason] != UNKNOWN && is_mine(k, id))
            gw_tail_remember(k->s, id.p, k->reasons[reason], decided_s * S);
    }
}

static void get_links(struct taking_up *k, struct gw_slice body)
{
    struct gw_spool_in in = {.left = body};

    while (k->s->links && in.left.n && !in.bad) {
        struct gw_slice from = gw_spool_get(&in, 16), to = gw_spool_get(&in, 16);

        if (!in.bad && is_mine(k, from))
            gw_tail_links_put(k->s->links, from.p, to.p);
    }
}

static void take_note(void *arg, uint8_t type, struct gw_slice body, unsigned i, unsigned of)
{
    struct taking_up *k = arg;

    for (uint32_t r = 0; k->file != i + 1 && r < MAX_REASONS; r++)
        k->reasons[r] = UNKNOWN;
    k->file = i + 1;
    if (type == NOTE_REASON)
        get_reasons(k, body);
    else if (type == NOTE_IDS)
        get_ids(k, body);
    else if (type == NOTE_LINKS)
        get_links(k, body);
    else if (type == NOTE_BUCKETS)
        gw_policies_load(k->s->policies, body, i, of);
}

/* The oldest one goes. False: nothing can. */
static bool make_room(struct taking_up *k, const struct gw_trace *but)
{
    struct gw_tail *s = k->s;
    struct gw_trace *oldest = gw_traces_oldest(s->store);
    uint64_t before = gw_traces_n(s->store);

    if (!oldest || oldest == but || !k->out)
        return false;
    if (gw_tail_facts(oldest)->is_decided)
        return gw_tail_leave_through(s, oldest, k->now_ns, k->out);
    if (s->conf->overflow == GW_TAIL_DROP)
        gw_tail_lose(s, oldest, k->now_ns, k->out);
    else
        (void)gw_tail_decide(s, oldest, before < s->max_traces ? GW_TAIL_BYTES : GW_TAIL_NUM_TRACES, k->now_ns, k->out);
    return gw_traces_n(s->store) < before;
}

/* Another part of it may be there: of the same spool, or of a second one that the end has brought. */
static void merge(struct taking_up *k, struct gw_trace *t, const struct gw_spooled *part)
{
    struct gw_tail_facts more = {0}, *f = gw_tail_facts(t);

    if (part->part > 0)
        return;
    (void)get_facts(k->s, part->facts, &more);
    f->f.wire_bytes += more.f.wire_bytes;
    f->is_linked |= more.is_linked;
    f->generation = (uint8_t)(k->s->generation - 1);
    if (k->now_ns + part->left_ns < t->due_ns)
        gw_traces_set_due(k->s->store, t, k->now_ns + part->left_ns);
}

static struct gw_trace *open_trace(struct taking_up *k, const struct gw_spooled *part)
{
    struct gw_tail *s = k->s;
    struct gw_trace *t = gw_traces_find(s->store, part->id);
    uint64_t first_ns = k->now_ns > part->waited_ns ? k->now_ns - part->waited_ns : 0;
    bool stands;

    if (t && gw_tail_facts(t)->is_decided) /* its first part made room by leaving */
        return NULL;
    if (t) {
        merge(k, t, part);
        return t;
    }
    while (!(t = gw_traces_add(s->store, part->id, k->now_ns, k->now_ns + part->left_ns)))
        if (!make_room(k, NULL))
            return NULL;
    t->first_ns = first_ns;
    stands = get_facts(s, part->facts, gw_tail_facts(t));
    gw_tail_facts(t)->generation = (uint8_t)(s->generation - !stands);
    return t;
}

/* Rows of one scope. */
static bool keep_run(struct taking_up *k, struct gw_trace *t, const uint32_t *rows, uint32_t n)
{
    while (gw_traces_keep(k->s->store, t, rows, n) < 0)
        if (!make_room(k, t))
            return false;
    return true;
}

/* How many rows were kept: those that stand before the first for which there is no room. */
static uint32_t keep(struct taking_up *k, struct gw_trace *t, struct gw_batch *b)
{
    uint32_t *rows = gw_arena_alloc(&k->rows, (b->n_rows + 1) * sizeof(*rows)), at = 0, end;

    for (uint32_t i = 0; rows && i < b->n_rows; i++)
        rows[i] = i;
    gw_traces_begin(k->s->store, b);
    for (; rows && at < b->n_rows; at = end) {
        for (end = at + 1; end < b->n_rows && b->scope[end] == b->scope[at];)
            end++;
        if (!keep_run(k, t, rows + at, end - at))
            break;
    }
    gw_traces_end(k->s->store);
    return at;
}

/* It alone is more than there is room for: it is decided, and the rest comes in as spans that come now. */
static void take_rest(struct taking_up *k, struct gw_trace *t, struct gw_batch *b, uint32_t at)
{
    struct gw_view v;

    if (t)
        (void)gw_tail_decide(k->s, t, GW_TAIL_BYTES, k->now_ns, k->out);
    gw_view_init(&v, b, k->out->arena);
    for (uint32_t row = 0; row < at; row++)
        v.failed |= gw_view_remove(&v, row) < 0;
    gw_tail_consume(k->s, &v, k->out);
}

static bool take_batch(struct taking_up *k, const struct gw_spooled *part, struct gw_batch *b)
{
    struct gw_trace *t = open_trace(k, part);
    uint32_t n = t ? keep(k, t, b) : 0;

    if (k->out)
        gw_found(k->out, b->n_rows);
    if (n < b->n_rows && k->out)
        take_rest(k, t, b, n);
    gw_arena_reset(&k->rows, 1 << 20);
    return n == b->n_rows || k->out;
}

static bool take_part(void *arg, const struct gw_spooled *part)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};
    struct taking_up *k = arg;
    struct gw_batch *b = gw_batch_pool_get(k->s->pool, GW_TRACES);
    struct gw_ref at;
    bool ok;

    ok = b && gw_tail_open_store(k->s) && gw_batch_append(b, part->spans, &at) == 0 &&
         gw_decode(b, gw_batch_slice(b, at), &limits, NULL, NULL) == 0 && take_batch(k, part, b);
    if (b)
        (void)gw_batch_unref(b);
    return ok;
}

void gw_tail_take_up(struct gw_tail *s, struct gw_ports *out)
{
    struct taking_up *k;
    struct gw_spool_visitor v = {.note = take_note, .part = take_part};

    if (s->is_taken_up)
        return;
    s->is_taken_up = true;
    if (!s->ctx.shared || s->ctx.host->for_replay || s->log) /* a journal has it all */
        return;
    k = calloc(1, sizeof(*k));
    if (!k) {
        gw_log(&s->ctx.logger, GW_LOG_ERROR, "out of memory: what waits on disk is not taken up");
        return;
    }
    *k = (struct taking_up){.s = s, .out = out, .now_ns = gw_mono_ns(s->ctx.env)};
    gw_arena_init(&k->texts, 4096, MAX_TEXT_BYTES);
    gw_arena_init(&k->rows, 64 << 10, 256 << 20);
    v.arg = k;
    gw_spool_take_up(s->ctx.shared, &s->ctx, &v);
    if (out)
        (void)gw_tail_flush(s, out);
    gw_arena_clear(&k->texts);
    gw_arena_clear(&k->rows);
    free(k);
}
