/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/replay.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/loop.h"
#include "runtime/cli.h"
#include "runtime/inject.h"
#include "runtime/replay_policy.h"

enum { SLOTS = GW_LOG_PARTITIONS, TURN_BYTES = 4 << 20, UNAVAILABLE = 14, MAX_BODY_BYTES = 1 << 30 };
static const uint64_t SOON_NS = 10000000, PAUSE_MIN_NS = 100000000, PAUSE_MAX_NS = 5000000000, PROGRESS_NS = 2000000000,
                      MIXED_NS = 60000000000; /* how far times are out of order at most */

enum slot_state { FREE, FILLING, REFUSED, IN_FLIGHT };

/* A partition's next request. */
struct slot {
    struct gw_injection in; /* first */
    struct gw_replay *replay;
    enum slot_state state;
    struct gw_buf body, meta_bytes;
    struct gw_meta *meta;
    uint64_t due_ns;
};

struct gw_replay {
    struct gw_replay_conf conf;
    struct gw_log *log;
    struct gw_log_reader *reader;
    struct gw_inject *inject;
    struct gw_replay_policy *policy; /* or NULL */
    struct gw_buf picked;            /* of the entry: its wanted spans */
    bool is_looking;                 /* the first pass */
    struct gw_timer timer;
    struct slot slots[SLOTS];
    struct gw_log_entry entry; /* read and not yet taken */
    bool has_entry, at_end, cancelled;
    const char *broken;          /* why it cannot go on */
    uint64_t end_seq;            /* what came behind it is not replayed: it may be what we put in */
    uint64_t first_row, end_row; /* of the range, for the progress */
    uint64_t at_row, first_time_ns, begin_ns, told_ns;
    uint64_t frames, bytes, rows, rejected, failed, lost_rows;
};

/* ---- reading ---------------------------------------------------------------------------------------------- */

static bool is_before(const struct gw_replay_point *p, const struct gw_log_frame *f)
{
    return p->kind == GW_REPLAY_TIME ? f->time_ns < p->at : p->kind == GW_REPLAY_POSITION && f->seq < p->at;
}

static bool is_behind(const struct gw_replay_point *p, const struct gw_log_frame *f)
{
    return p->kind == GW_REPLAY_TIME ? f->time_ns >= p->at : p->kind == GW_REPLAY_POSITION && f->seq >= p->at;
}

/* Times are those of the door, and frames lie in the order in which they were stored: nearly the same. */
static bool is_far_behind(const struct gw_replay_point *p, const struct gw_log_frame *f)
{
    return is_behind(p, f) && (p->kind != GW_REPLAY_TIME || f->time_ns - p->at > MIXED_NS);
}

static int seek(struct gw_log_reader *r, const struct gw_replay_point *p)
{
    if (p->kind == GW_REPLAY_POSITION)
        return gw_log_seek(r, GW_LOG_PARTITIONS, p->at);
    return p->kind == GW_REPLAY_TIME ? gw_log_seek_time(r, p->at > MIXED_NS ? p->at - MIXED_NS : 0) : 0;
}

/* Rows of the log before that point. */
static uint64_t row_at(struct gw_log *log, const struct gw_replay_point *p, uint64_t otherwise)
{
    struct gw_log_reader_conf conf = {0};
    struct gw_log_entry e = {0};
    struct gw_log_reader *r;
    uint64_t row = otherwise;

    if (p->kind == GW_REPLAY_EDGE || gw_log_reader_new(log, &conf, &r) < 0)
        return otherwise;
    if (seek(r, p) == 0 && gw_log_next(r, &e) == 1)
        row = e.frame.row;
    gw_log_reader_free(r);
    return row;
}

/* 1: the next frame of the range is in r->entry. 0: there is none. */
static int next(struct gw_replay *r)
{
    while (!r->has_entry) {
        int rc;

        r->entry = (struct gw_log_entry){0};
        rc = gw_log_next(r->reader, &r->entry);
        r->lost_rows += r->entry.lost_rows;
        if (rc <= 0)
            return rc;
        if (r->entry.frame.seq >= r->end_seq || is_far_behind(&r->conf.range.to, &r->entry.frame))
            return 0;
        r->has_entry =
            !is_before(&r->conf.range.from, &r->entry.frame) && !is_behind(&r->conf.range.to, &r->entry.frame);
    }
    return 1;
}

/* At the begin of the range. */
static int open_reader(struct gw_replay *r)
{
    struct gw_log_reader_conf conf = {.topics = UINT64_C(1) << ((unsigned)gw_inject_signal(r->inject) >> 1)};
    int rc = gw_log_reader_new(r->log, &conf, &r->reader);

    return rc == 0 ? seek(r->reader, &r->conf.range.from) : rc;
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

static void again(struct gw_replay *r, uint64_t after_ns)
{
    uint64_t due = gw_loop_now_ns(r->conf.loop) + after_ns;

    if (!gw_timer_is_armed(&r->timer) || r->timer.due_ns > due)
        gw_timer_arm(r->conf.loop, &r->timer, due);
}

static void empty(struct slot *s)
{
    s->state = FREE;
    gw_buf_reset(&s->body);
    s->meta = gw_meta_unref(s->meta);
}

static void refused(struct slot *s, const struct gw_verdict *v)
{
    struct gw_replay *r = s->replay;
    uint64_t pause = v->retry_after_ns < PAUSE_MIN_NS   ? PAUSE_MIN_NS
                     : v->retry_after_ns > PAUSE_MAX_NS ? PAUSE_MAX_NS
                                                        : v->retry_after_ns;

    s->state = REFUSED;
    s->due_ns = gw_loop_now_ns(r->conf.loop) + pause;
    again(r, pause);
}

static void on_done(struct gw_injection *i, const struct gw_verdict *v)
{
    struct slot *s = (struct slot *)i;
    struct gw_replay *r = s->replay;
    char line[300];

    again(r, 0);
    if (v->grpc_status == UNAVAILABLE && !r->cancelled && !r->broken) {
        refused(s, v);
        return;
    }
    r->rows += v->grpc_status == 0 ? v->rows : 0;
    r->rejected += v->rejected;
    if (v->grpc_status != 0 && r->failed++ < 10 && !r->cancelled) {
        (void)snprintf(line, sizeof(line), "a request was refused for good (%d): %.200s", v->grpc_status, v->message);
        r->conf.say(r->conf.arg, 2, line);
    }
    empty(s);
}

static void put(struct gw_replay *r, struct slot *s)
{
    int rc;

    s->in = (struct gw_injection){
        .body = gw_buf_slice(&s->body), .meta = s->meta, .key = (uint64_t)(s - r->slots), .done = on_done};
    rc = gw_inject_put(r->inject, &s->in);
    if (rc == 0) {
        s->state = IN_FLIGHT;
    } else if (rc == -EAGAIN) {
        s->state = REFUSED;
        s->due_ns = gw_loop_now_ns(r->conf.loop) + SOON_NS;
        again(r, SOON_NS);
    } else {
        r->broken = "the gateway stops";
        empty(s);
    }
}

/* Of a slot that is free. */
static int begin_slot(struct slot *s, const struct gw_log_frame *f)
{
    gw_buf_reset(&s->meta_bytes);
    gw_buf_put_slice(&s->meta_bytes, f->meta);
    if (s->meta_bytes.failed || (f->meta.n && gw_meta_read(f->meta, &s->meta) == -ENOMEM))
        return -ENOMEM;
    s->state = FILLING;
    return 0;
}

/* 0: it is in. -EBUSY: the slot is full, or another client's. -ENOMEM: not now. */
static int fill(struct slot *s, const struct gw_log_frame *f)
{
    if (s->state == FILLING &&
        (s->body.n + f->body.n > GW_REPLAY_REQUEST_BYTES || !gw_slice_eq(gw_buf_slice(&s->meta_bytes), f->meta)))
        return -EBUSY;
    if (gw_buf_reserve(&s->body, f->body.n) < 0 || (s->state == FREE && begin_slot(s, f) < 0)) {
        s->body.failed = false; /* what is in it is whole */
        return -ENOMEM;
    }
    gw_buf_put_slice(&s->body, f->body); /* OTLP messages one behind the other are one */
    return 0;
}

/* When the frame came in, on the clock of this replay. */
static uint64_t due_ns(struct gw_replay *r, const struct gw_log_frame *f)
{
    if (r->conf.speed <= 0)
        return 0;
    if (!r->first_time_ns)
        r->first_time_ns = f->time_ns;
    return f->time_ns <= r->first_time_ns
               ? r->begin_ns
               : r->begin_ns + (uint64_t)((double)(f->time_ns - r->first_time_ns) / r->conf.speed);
}

/* What of the frame goes. 0 bytes: nothing does. */
static int pick(struct gw_replay *r, const struct gw_log_frame *f, struct gw_log_frame *ret)
{
    struct gw_slice ids;
    int rc = 0;

    *ret = *f;
    if (!gw_meta_split(f->meta, &ids, &ret->meta)) /* requests have theirs; copies have none */
        ret->meta = (struct gw_slice){0};
    if (!r->policy)
        return 0;
    gw_buf_reset(&r->picked);
    rc = gw_replay_policy_pick(r->policy, f->body, &r->picked, &ret->rows);
    ret->body = gw_buf_slice(&r->picked);
    return rc;
}

static int restart(struct gw_replay *r)
{
    int rc;

    gw_log_reader_free(r->reader);
    r->reader = NULL;
    rc = open_reader(r);
    r->is_looking = false;
    r->has_entry = false;
    r->lost_rows = 0;
    r->at_row = r->first_row;
    r->begin_ns = gw_loop_now_ns(r->conf.loop);
    return rc;
}

static void tell_wanted(struct gw_replay *r)
{
    struct gw_replay_policy_counts c = gw_replay_policy_counts(r->policy);
    char line[300];

    (void)snprintf(line, sizeof(line), "%llu traces are wanted: the policy is true of %llu of %llu spans",
                   (unsigned long long)c.traces, (unsigned long long)c.matches, (unsigned long long)c.spans);
    r->conf.say(r->conf.arg, 2, line);
    if (c.failed) {
        (void)snprintf(line, sizeof(line), "of %llu spans it could not be asked (a value of another type)",
                       (unsigned long long)c.failed);
        r->conf.say(r->conf.arg, 2, line);
    }
}

/* The first pass: nothing goes anywhere. */
static void look_at_some(struct gw_replay *r)
{
    uint64_t bytes = 0;
    int rc = 1;

    while (bytes < TURN_BYTES && (rc = next(r)) == 1) {
        const struct gw_log_frame *f = &r->entry.frame;

        rc = gw_replay_policy_look(r->policy, f->body);
        if (rc < 0)
            break;
        bytes += f->body.n;
        r->at_row = f->row + f->rows;
        r->has_entry = false;
        rc = 1;
    }
    if (rc == -E2BIG)
        r->broken = "the policy wants more traces than --max-traces";
    else if (rc == -ENOMEM)
        r->broken = "out of memory";
    else if (rc < 0)
        r->broken = "the journal cannot be read";
    if (rc == 0) {
        tell_wanted(r);
        if (restart(r) < 0)
            r->broken = "the journal cannot be read";
    }
    again(r, 0);
}

static void read_some(struct gw_replay *r)
{
    uint64_t now = gw_loop_now_ns(r->conf.loop), bytes = 0;
    int rc = 1;

    while (bytes < TURN_BYTES && (rc = next(r)) == 1) {
        const struct gw_log_frame *f = &r->entry.frame;
        struct slot *s = &r->slots[f->partition];
        struct gw_log_frame some;

        if (due_ns(r, f) > now) {
            again(r, due_ns(r, f) - now);
            return;
        }
        if (s->state == REFUSED || s->state == IN_FLIGHT)
            return; /* its verdict wakes us */
        rc = pick(r, f, &some);
        if (rc == 0 && some.body.n)
            rc = fill(s, &some);
        if (rc == -ENOMEM)
            again(r, SOON_NS);
        if (rc < 0)
            return;
        r->has_entry = false;
        r->frames++;
        r->bytes += f->body.n;
        r->at_row = f->row + f->rows;
        bytes += f->body.n;
    }
    r->at_end = rc == 0;
    if (rc < 0)
        r->broken = "the journal cannot be read";
    if (rc == 1)
        again(r, 0);
}

/* ---- what is told ----------------------------------------------------------------------------------------- */

static void tell_progress(struct gw_replay *r)
{
    uint64_t now = gw_loop_now_ns(r->conf.loop);
    double seconds = (double)(now - r->begin_ns) / 1e9, part;
    char line[300];

    if (now < r->told_ns + PROGRESS_NS)
        return;
    r->told_ns = now;
    part = r->end_row > r->first_row && r->at_row > r->first_row
               ? (double)(r->at_row - r->first_row) / (double)(r->end_row - r->first_row)
               : 0;
    part = part > 1 ? 1 : part;
    if (r->is_looking) {
        (void)snprintf(line, sizeof(line), "looking for wanted traces: %.0f %%", part * 100);
        r->conf.say(r->conf.arg, 2, line);
        return;
    }
    (void)snprintf(line, sizeof(line), "%.0f %%: %llu rows, %.0f rows/s, %.1f MB/s, %s %.0f s", part * 100,
                   (unsigned long long)r->rows, (double)r->rows / seconds, (double)r->bytes / seconds / 1e6,
                   part > 0 ? "to go" : "so far", part > 0 ? seconds / part - seconds : seconds);
    r->conf.say(r->conf.arg, 2, line);
}

static void tell_end(struct gw_replay *r)
{
    double seconds = (double)(gw_loop_now_ns(r->conf.loop) - r->begin_ns) / 1e9;
    char line[400];

    if (r->broken) {
        (void)snprintf(line, sizeof(line), "error: %s; position %llu was next", r->broken,
                       (unsigned long long)r->entry.frame.seq);
        r->conf.say(r->conf.arg, 2, line);
    }
    if (r->lost_rows) {
        (void)snprintf(line, sizeof(line), "%llu rows are damaged and were passed over",
                       (unsigned long long)r->lost_rows);
        r->conf.say(r->conf.arg, 2, line);
    }
    (void)snprintf(line, sizeof(line),
                   "replayed %llu rows of %llu frames into %s in %.1f s (%.0f rows/s); %llu rejected, %llu requests "
                   "refused for good",
                   (unsigned long long)r->rows, (unsigned long long)r->frames, r->conf.into, seconds,
                   seconds > 0 ? (double)r->rows / seconds : 0, (unsigned long long)r->rejected,
                   (unsigned long long)r->failed);
    r->conf.say(r->conf.arg, 1, line);
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

static void discard(struct gw_replay *r)
{
    gw_timer_disarm(&r->timer);
    gw_inject_close(r->inject);
    gw_log_reader_free(r->reader);
    gw_replay_policy_free(r->policy);
    gw_buf_clear(&r->picked);
    for (unsigned i = 0; i < SLOTS; i++) {
        (void)gw_meta_unref(r->slots[i].meta);
        gw_buf_clear(&r->slots[i].body);
        gw_buf_clear(&r->slots[i].meta_bytes);
    }
    free((char *)(uintptr_t)r->conf.into);
    free(r);
}

static void finish(struct gw_replay *r)
{
    struct gw_replay_conf conf = r->conf;
    int code = r->failed || r->broken ? GW_EXIT_UNAVAILABLE : 0;

    if (!r->cancelled)
        tell_end(r);
    discard(r);
    if (conf.ended)
        conf.ended(conf.arg, code);
}

/* What was filled goes, what was refused goes again when its time has come. True: none is left. */
static bool push(struct gw_replay *r)
{
    uint64_t now = gw_loop_now_ns(r->conf.loop);
    bool none = true;

    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &r->slots[i];

        if (s->state != FREE && s->state != IN_FLIGHT && (r->cancelled || r->broken))
            empty(s);
        else if (s->state == FILLING || (s->state == REFUSED && s->due_ns <= now))
            put(r, s);
        else if (s->state == REFUSED)
            again(r, s->due_ns - now);
        none &= s->state == FREE;
    }
    return none;
}

static void step(struct gw_timer *t)
{
    struct gw_replay *r = (struct gw_replay *)((char *)t - offsetof(struct gw_replay, timer));

    if (!r->begin_ns) /* not before the loop has turned: its clock may be old */
        r->begin_ns = r->told_ns = gw_loop_now_ns(r->conf.loop);
    if (!r->cancelled)
        tell_progress(r);
    if (r->is_looking && !r->broken && !r->cancelled)
        look_at_some(r);
    else if (!r->at_end && !r->broken && !r->cancelled)
        read_some(r);
    if (push(r) && (r->at_end || r->broken || r->cancelled))
        finish(r);
    else if (!r->cancelled)
        again(r, PROGRESS_NS);
}

static int open_policy(struct gw_replay *r, struct gw_err *err)
{
    uint64_t max = r->conf.max_traces ? r->conf.max_traces : GW_REPLAY_MAX_TRACES;

    if (!r->conf.policy || !*r->conf.policy)
        return 0;
    if (gw_inject_signal(r->inject) != GW_TRACES)
        return gw_fail(err, -EINVAL, "a policy is about traces, and %s has none", r->conf.into);
    r->is_looking = true;
    return gw_replay_policy_new(r->conf.env, r->conf.policy, max, &r->policy, err);
}

static int open_ends(struct gw_replay *r, struct gw_log *log, struct gw_err *err)
{
    struct gw_inject_conf inject = {.pipeline = r->conf.into, .loop = r->conf.loop};
    struct gw_log_stats stats;
    int rc = gw_inject_open(r->conf.engine, &inject, &r->inject, err);

    if (rc == 0)
        rc = open_policy(r, err);
    if (rc < 0)
        return rc;
    r->log = log;
    gw_log_stats(log, &stats);
    r->end_seq = stats.end_seq;
    r->first_row = r->at_row = row_at(log, &r->conf.range.from, stats.first_row);
    r->end_row = row_at(log, &r->conf.range.to, stats.end_row);
    rc = open_reader(r);
    return rc < 0 ? gw_fail(err, rc, "the journal cannot be read: %s", strerror(-rc)) : 0;
}

int gw_replay_start(const struct gw_replay_conf *conf, struct gw_replay **ret, struct gw_err *err)
{
    const struct gw_service_component *c;
    struct gw_log *log = NULL;
    struct gw_replay *r;
    int rc = gw_replay_journal(gw_engine_service(conf->engine), conf->journal, &c, err);

    if (rc == 0 && !(log = gw_engine_log(conf->engine, "journal", gw_replay_log_name(c))))
        rc = gw_fail(err, -ENOENT, "the journal %s is used by no pipeline", c->id);
    if (rc < 0)
        return rc;
    r = calloc(1, sizeof(*r));
    if (!r)
        return gw_fail(err, -ENOMEM, "out of memory");
    r->conf = *conf;
    r->conf.into = strdup(conf->into);
    for (unsigned i = 0; i < SLOTS; i++) {
        r->slots[i].replay = r;
        gw_buf_init(&r->slots[i].body, MAX_BODY_BYTES);
        gw_buf_init(&r->slots[i].meta_bytes, GW_LOG_MAX_META_BYTES);
    }
    gw_buf_init(&r->picked, MAX_BODY_BYTES);
    r->timer.fire = step;
    rc = r->conf.into ? open_ends(r, log, err) : gw_fail(err, -ENOMEM, "out of memory");
    if (rc < 0) {
        discard(r);
        return rc;
    }
    again(r, 0);
    *ret = r;
    return 0;
}

void gw_replay_cancel(struct gw_replay *r)
{
    bool none = true;

    r->cancelled = true;
    r->conf.ended = NULL;
    gw_inject_close(r->inject); /* what came back and was not told yet is told now */
    r->inject = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (r->slots[i].state != FREE && r->slots[i].state != IN_FLIGHT)
            empty(&r->slots[i]);
        none &= r->slots[i].state == FREE;
    }
    if (none)
        discard(r);
}

/* ---- what is asked for ------------------------------------------------------------------------------------ */

int gw_replay_parse_speed(const char *text, double *ret)
{
    char *end;
    double v;

    if (strcmp(text, "max") == 0) {
        *ret = 0;
        return 0;
    }
    v = strtod(text, &end);
    if (end == text || *end || !(v >= 0.001 && v <= 1e6))
        return -EINVAL;
    *ret = v;
    return 0;
}

int gw_replay_journal(const struct gw_service *s, const char *id, const struct gw_service_component **ret,
                      struct gw_err *err)
{
    struct gw_buf known;
    int rc;

    gw_buf_init(&known, 400);
    for (size_t i = 0; i < s->n_components; i++) {
        const struct gw_service_component *c = &s->components[i];

        if (c->kind != GW_CONNECTOR || strcmp(c->type->name, "journal") != 0)
            continue;
        if (strcmp(c->id, id) == 0) {
            *ret = c;
            gw_buf_clear(&known);
            return 0;
        }
        gw_buf_printf(&known, "%s%s", known.n ? ", " : "", c->id);
    }
    rc = gw_fail(err, -ENOENT, "there is no journal \"%.100s\"; there are %.*s", id, known.n ? (int)known.n : 4,
                 known.n ? (const char *)known.p : "none");
    gw_buf_clear(&known);
    return rc;
}

const char *gw_replay_log_name(const struct gw_service_component *c)
{
    return *c->name ? c->name : "default";
}
