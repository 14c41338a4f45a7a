/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `staunch dlq replay` in the running gateway: letters become requests again, put into the pipeline they came from
 * (runtime/inject.h). A letter is settled as replayed when its rows were taken, at the level of that pipeline; until
 * then it stays, so that a crash in between replays it twice rather than never.
 *
 *   read up to SLOTS letters ─► put them in ─► each has its verdict ─► settle those that were taken ─► read on …
 *
 * What was replayed and fails again is a new letter whose chain names the old one: a letter with a full chain stays
 * where it is ("parked").
 */
#include <stdlib.h>

#include "batch/meta.h"
#include "queue/dead_letter.h"
#include "runtime/cli.h"
#include "runtime/control_commands.h"
#include "runtime/control_dlq.h"
#include "runtime/inject.h"

enum { SLOTS = 64, MAX_PIPELINES = 16, MAX_BYTES = 8 << 20, CHAIN_BYTES = 256 };
static const uint64_t SOON_NS = 10000000, PAUSE_MIN_NS = 100000000, PAUSE_MAX_NS = 5000000000, PROGRESS_NS = 2000000000;

struct replay_conf {
    const char *to;
    uint64_t rate, max_attempts;
};
static const struct gw_field fields[] = {
    GW_STRING_FIELD(struct replay_conf, to, "to", "", "Pipeline; empty = where each came from."),
    GW_U64_FIELD(struct replay_conf, rate, "rate", "0", 0, 1e9, "Letters a second; 0 = as fast as it goes."),
    GW_U64_FIELD(struct replay_conf, max_attempts, "max_attempts", "5", 1, GW_DEAD_LETTER_CHAIN_MAX, "Longest chain."),
    {0},
};

enum slot_state { FREE, WAITING, IN_FLIGHT, TAKEN, GIVEN_UP };

struct slot {
    struct gw_injection in; /* first */
    struct replay *replay;
    enum slot_state state;
    struct gw_inject *to;
    struct gw_meta *meta;
    uint8_t *body;
    uint64_t seq, rows, due_ns;
};

struct replay {
    struct gw_dlq_op op; /* first */
    struct replay_conf conf;
    struct gw_engine *engine;
    struct {
        char name[200];
        struct gw_inject *in; /* NULL: there is no such pipeline */
    } pipelines[MAX_PIPELINES];
    unsigned n_pipelines;
    struct slot slots[SLOTS];
    unsigned n_used, n_in_flight;
    bool at_end, stopped;
    uint64_t next_ns, told_ns; /* monotonic */
    uint64_t replayed, rows, rejected, failed, parked, unusable, homeless, partial;
};

/* ---- what a letter becomes -------------------------------------------------------------------------------- */

static void complain(struct replay *r, const struct gw_dlq_letter *l, const char *why)
{
    struct gw_buf text;

    if (!r->op.call || r->failed + r->homeless + r->unusable > 10) /* the first ones tell what is wrong */
        return;
    gw_buf_init(&text, 4096);
    gw_dlq_put_escaped(&text, l->id);
    gw_control_say(r->op.call, 2, "%.*s: %s", (int)text.n, (const char *)text.p, why);
    gw_buf_clear(&text);
}

/* The way into a pipeline; opened at its first letter. *ret NULL: there is none of that name. */
static struct gw_inject *pipeline(struct replay *r, struct gw_slice name, const char **ret_why)
{
    struct gw_inject_conf conf = {.loop = r->op.loop};
    unsigned i = 0;

    *ret_why = "no such pipeline; --to names another";
    while (i < r->n_pipelines && !gw_slice_is(name, r->pipelines[i].name))
        i++;
    if (i < r->n_pipelines)
        return r->pipelines[i].in;
    if (name.n == 0 || name.n >= sizeof(r->pipelines[0].name)) {
        *ret_why = "it is not known which pipeline it came from; --to names one";
        return NULL;
    }
    if (i == MAX_PIPELINES) {
        *ret_why = "too many pipelines at once; --pipeline takes one";
        return NULL;
    }
    memcpy(r->pipelines[i].name, name.p, name.n);
    conf.pipeline = r->pipelines[i].name;
    (void)gw_inject_open(r->engine, &conf, &r->pipelines[i].in, NULL);
    r->n_pipelines++;
    return r->pipelines[i].in;
}

/* The letter's tenant, and the ids of the letters that its rows were. */
static struct gw_meta *meta_of(const struct gw_dlq_letter *l)
{
    char text[CHAIN_BYTES] = "";
    size_t n = l->chain.n + (l->chain.n > 0) + l->id.n;
    struct gw_meta_pair pair = {GW_DEAD_LETTER_CHAIN, gw_slice_of(text, n)};
    const struct gw_meta from = {.tenant = l->tenant, .pairs = &pair, .n_pairs = 1};

    if (n > sizeof(text) || l->id.n == 0)
        return NULL;
    if (l->chain.n) {
        memcpy(text, l->chain.p, l->chain.n);
        text[l->chain.n] = ',';
    }
    memcpy(text + n - l->id.n, l->id.p, l->id.n);
    return gw_meta_new(&from);
}

static bool is_usable(const struct gw_dlq_letter *l)
{
    return l->signal && l->body.n && !l->whole_bytes && gw_slice_is(l->encoding, "application/x-protobuf") &&
           !gw_slice_is(l->class_, "decode");
}

static void on_done(struct gw_injection *i, const struct gw_verdict *v);

static bool fill_slot(struct replay *r, struct gw_inject *to, const struct gw_dlq_letter *l)
{
    struct slot *s = &r->slots[r->n_used];

    *s = (struct slot){.replay = r, .to = to, .seq = l->seq, .rows = l->rows};
    s->meta = meta_of(l);
    s->body = malloc(l->body.n);
    if (!s->meta || !s->body) {
        (void)gw_meta_unref(s->meta);
        free(s->body);
        return false;
    }
    memcpy(s->body, l->body.p, l->body.n);
    s->in =
        (struct gw_injection){.body = gw_slice_of(s->body, l->body.n), .meta = s->meta, .key = l->seq, .done = on_done};
    s->state = WAITING;
    r->n_used++;
    return true;
}

/* Most of its rows are in the sink: they would be there twice. Who names it knows that. */
static bool is_better_left(const struct replay *r, const struct gw_dlq_letter *l)
{
    return gw_slice_is(l->class_, "partial") && !*r->op.filter.class_ && !*r->op.filter.id;
}

static void take_letter(struct replay *r, const struct gw_dlq_letter *l)
{
    struct gw_slice name = *r->conf.to ? gw_slice_cstr(r->conf.to) : l->pipeline;
    struct gw_inject *to;
    const char *why;

    if (gw_dlq_chain_length(l->chain) >= r->conf.max_attempts) {
        r->parked++;
        return;
    }
    if (is_better_left(r, l)) {
        r->partial++;
        return;
    }
    if (!is_usable(l)) {
        complain(r, l, "its body is no OTLP request");
        r->unusable++;
        return;
    }
    to = pipeline(r, name, &why);
    if (!to) {
        complain(r, l, why);
        r->homeless++;
    } else if (gw_inject_signal(to) != l->signal) {
        complain(r, l, "the pipeline takes another signal");
        r->homeless++;
    } else if (!fill_slot(r, to, l)) {
        complain(r, l, "out of memory, or it has no id");
        r->failed++;
    }
}

/* ---- verdicts --------------------------------------------------------------------------------------------- */

static void on_done(struct gw_injection *i, const struct gw_verdict *v)
{
    struct slot *s = (struct slot *)i;
    struct replay *r = s->replay;

    r->n_in_flight--;
    if (v->grpc_status == 0) {
        s->state = TAKEN;
        r->replayed++;
        r->rows += v->rows;
        r->rejected += v->rejected;
    } else if (v->grpc_status == 14 && r->op.call && !r->stopped) {
        uint64_t pause = v->retry_after_ns < PAUSE_MIN_NS   ? PAUSE_MIN_NS
                         : v->retry_after_ns > PAUSE_MAX_NS ? PAUSE_MAX_NS
                                                            : v->retry_after_ns;

        s->state = WAITING;
        s->due_ns = gw_loop_now_ns(r->op.loop) + pause;
    } else {
        s->state = GIVEN_UP;
        if (r->op.call && r->failed++ < 10)
            gw_control_say(r->op.call, 2, "refused: %s", v->message);
    }
    gw_dlq_op_again(&r->op, 0);
}

/* True: all slots have their verdict. */
static bool push(struct replay *r)
{
    uint64_t now = gw_loop_now_ns(r->op.loop);
    bool waits = false;

    for (unsigned i = 0; i < r->n_used; i++) {
        struct slot *s = &r->slots[i];
        int rc;

        if (s->state != WAITING)
            continue;
        if (!r->op.call || r->stopped) {
            s->state = GIVEN_UP;
            continue;
        }
        rc = s->due_ns > now ? -EAGAIN : gw_inject_put(s->to, &s->in);
        if (rc == 0) {
            s->state = IN_FLIGHT;
            r->n_in_flight++;
        } else if (rc == -EAGAIN) {
            waits = true;
        } else {
            s->state = GIVEN_UP;
            r->stopped = true;
            r->failed++;
        }
    }
    if (waits)
        gw_dlq_op_again(&r->op, SOON_NS);
    return !waits && r->n_in_flight == 0;
}

/* ---- the walk --------------------------------------------------------------------------------------------- */

static void empty_slots(struct replay *r)
{
    for (unsigned i = 0; i < r->n_used; i++) {
        if (r->slots[i].state == TAKEN)
            gw_dlq_op_add(&r->op, r->slots[i].seq, GW_DLQ_REPLAYED);
        (void)gw_meta_unref(r->slots[i].meta);
        free(r->slots[i].body);
    }
    r->n_used = 0;
}

/* As many as the rate allows in a tenth of a second, and one at least. */
static unsigned batch_size(const struct replay *r)
{
    uint64_t n = r->conf.rate ? r->conf.rate / 10 : SLOTS;

    return n < 1 ? 1 : n > SLOTS ? SLOTS : (unsigned)n;
}

/* False: not now, or never again. */
static bool read_on(struct replay *r)
{
    uint64_t now = gw_loop_now_ns(r->op.loop), bytes = 0;
    struct gw_dlq_letter l;
    int rc = 1;

    if (now < r->next_ns) {
        gw_dlq_op_again(&r->op, r->next_ns - now);
        return false;
    }
    while (r->n_used < batch_size(r) && bytes < MAX_BYTES && (rc = gw_dlq_next(r->op.cursor, &l)) == 1) {
        take_letter(r, &l);
        bytes += l.body.n;
    }
    r->at_end = rc <= 0;
    if (rc < 0) {
        gw_control_say(r->op.call, 2, "error: the store: %s", strerror(-rc));
        r->failed++;
    }
    if (r->conf.rate)
        r->next_ns = now + (uint64_t)r->n_used * 1000000000u / r->conf.rate;
    return true;
}

static void tell(struct replay *r, int fd)
{
    gw_control_say(r->op.call, fd,
                   "replayed %llu letters (%llu rows, %llu of them rejected again); %llu were refused and stay",
                   (unsigned long long)r->replayed, (unsigned long long)r->rows, (unsigned long long)r->rejected,
                   (unsigned long long)r->failed);
    if (fd == 1 && r->parked)
        gw_control_say(r->op.call, fd, "%llu are parked: they were replayed %llu times before",
                       (unsigned long long)r->parked, (unsigned long long)r->conf.max_attempts);
    if (fd == 1 && r->partial)
        gw_control_say(r->op.call, fd,
                       "%llu stay, because the sink has most of their rows: --class partial replays them, too",
                       (unsigned long long)r->partial);
    if (fd == 1 && r->homeless + r->unusable)
        gw_control_say(r->op.call, fd,
                       "%llu cannot be replayed: %llu without a pipeline that takes them, %llu without rows",
                       (unsigned long long)(r->homeless + r->unusable), (unsigned long long)r->homeless,
                       (unsigned long long)r->unusable);
}

static void tell_progress(struct replay *r)
{
    uint64_t now = gw_loop_now_ns(r->op.loop);

    if (!r->told_ns)
        r->told_ns = now;
    if (!r->op.call || now < r->told_ns + PROGRESS_NS)
        return;
    r->told_ns = now;
    tell(r, 2);
}

static void finish(struct replay *r)
{
    if (r->op.call) {
        if (r->stopped)
            gw_control_say(r->op.call, 2, "error: the gateway stops; the others stay");
        if (r->op.rc < 0)
            gw_control_say(r->op.call, 2, "error: what was replayed could not be marked, and may be replayed again: %s",
                           strerror(-r->op.rc));
        tell(r, 1);
    }
    gw_dlq_op_end(&r->op,
                  r->failed + r->homeless + r->unusable || r->stopped || r->op.rc < 0 ? GW_EXIT_UNAVAILABLE : 0);
}

static void step(struct gw_dlq_op *op)
{
    struct replay *r = (struct replay *)op;

    if (op->committing)
        return;
    tell_progress(r);
    if (!push(r))
        return;
    empty_slots(r);
    if (op->commit.n_settles)
        gw_dlq_op_commit(op);
    else if (!op->call || r->at_end || r->stopped || op->rc < 0)
        finish(r);
    else if (read_on(r))
        gw_dlq_op_again(op, 0);
}

static void clear(struct gw_dlq_op *op)
{
    struct replay *r = (struct replay *)op;

    for (unsigned i = 0; i < r->n_pipelines; i++)
        gw_inject_close(r->pipelines[i].in);
    r->n_pipelines = 0;
    empty_slots(r);
}

static void replay_start(struct gw_control_call *call, const struct gw_node *args)
{
    struct replay *r = calloc(1, sizeof(*r));
    const struct gw_settings more = {.fields = fields, .conf_size = sizeof(r->conf), .conf = r ? &r->conf : NULL};

    if (!r) {
        gw_control_say(call, 2, "error: out of memory");
        gw_control_end(call, GW_EXIT_INTERNAL);
        return;
    }
    r->op.step = step;
    r->op.clear = clear;
    r->engine = gw_control_conf(call)->engine;
    (void)gw_dlq_op_begin(&r->op, call, args, &more);
}

/* What is in flight is waited for, so that it is settled; nothing new goes in. */
static void replay_cancel(struct gw_control_call *call)
{
    struct gw_dlq_op *op = gw_control_state(call);
    struct replay *r = (struct replay *)op;

    op->call = NULL;
    gw_dlq_close(op->cursor);
    op->cursor = NULL;
    r->at_end = true;
    for (unsigned i = 0; i < r->n_pipelines; i++) {
        gw_inject_close(r->pipelines[i].in);
        r->pipelines[i].in = NULL;
    }
    if (!op->committing)
        gw_dlq_op_again(op, 0);
}

const struct gw_control_command gw_control_dlq_replay = {
    .name = "dlq-replay", .start = replay_start, .cancel = replay_cancel};
