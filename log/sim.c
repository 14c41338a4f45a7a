/* SPDX-License-Identifier: Apache-2.0 */
#include "log/sim.h"

#include <pthread.h>
#include <stdlib.h>

#include "log/sim_state.h"

enum { SYNC_INTERVAL_NS = 100000000 }; /* commits without `sync` wait for it at most so long, as in files */

/** A commit that is written and whose caller does not know it yet. */
struct answer {
    struct answer *next;
    struct gw_log_commit *commit;
    int rc;
    uint64_t due_ns;
    uint64_t n_changes; /* with its own */
};

/*
 *   submit ─► inbox ─► now ── unsynced ──► base            now: what is seen; base: what a power cut leaves
 *                       │      (changes, oldest first)
 *                       └► answers ─► done
 */
struct sim {
    struct gw_log l;
    struct gw_log_sim_conf conf;
    struct gw_log_sim_faults faults;
    struct gw_inbox inbox;
    pthread_mutex_t lock; /* of all below */
    struct gw_sim_state now, base;
    struct gw_sim_change *unsynced, **unsynced_last;
    uint64_t n_changes, n_kept;       /* ever */
    uint64_t sync_due_ns, visible_ns; /* visible: of the newest frame */
    struct answer *answers, **answers_last;
    uint64_t commits, syncs, failed_writes;
    bool degraded, closing;
};

struct reader {
    struct gw_log_reader r;
    struct sim *s;
    struct gw_log_reader_conf conf;
    uint64_t at; /* no frame below is looked at */
    uint64_t next[GW_LOG_PARTITIONS];
    struct gw_sim_frame *frame; /* the one that was given last */
    struct gw_log_open_rows *open;
    size_t n_open, cap_open;
};

static struct sim *sim_of(struct gw_log *l)
{
    return (struct sim *)(void *)l;
}

static bool chance(struct sim *s, unsigned permille)
{
    return permille && gw_random_u64(s->conf.env) % 1000 < permille;
}

static uint64_t up_to(struct sim *s, uint64_t n)
{
    return n ? gw_random_u64(s->conf.env) % (n + 1) : 0;
}

/* ---- changes ------------------------------------------------------------------------------------------------ */

static void change(struct sim *s, struct gw_sim_change *c)
{
    gw_sim_apply(&s->now, c);
    if (!s->unsynced)
        s->sync_due_ns = gw_mono_ns(s->conf.env) + SYNC_INTERVAL_NS;
    *s->unsynced_last = c;
    s->unsynced_last = &c->next;
    s->n_changes++;
}

/* The oldest `n` changes become part of what survives. */
static void keep(struct sim *s, uint64_t n)
{
    struct gw_sim_change *c;

    for (; n > 0 && (c = s->unsynced) != NULL; n--) {
        gw_sim_apply(&s->base, c);
        s->unsynced = c->next;
        s->n_kept++;
        gw_sim_change_free(c);
    }
    if (!s->unsynced)
        s->unsynced_last = &s->unsynced;
}

/* The first n_changes changes survive a power cut; what came behind them need not. */
static void sync_through(struct sim *s, uint64_t n_changes)
{
    if (n_changes <= s->n_kept)
        return;
    keep(s, n_changes - s->n_kept);
    s->syncs++;
}

/** Of a name, by a call that returns: it survives from then on. */
static int change_name(struct sim *s, enum gw_sim_change_kind kind, const char *name, enum gw_log_start start)
{
    struct gw_sim_change *c;
    size_t n = strlen(name);

    if (n == 0 || n > GW_LOG_MAX_NAME_BYTES)
        return -EINVAL;
    c = gw_sim_change_new(kind);
    memcpy(c->name, name, n);
    c->start = start;
    change(s, c);
    sync_through(s, s->n_changes);
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void submit(struct gw_log *l, struct gw_log_commit *c)
{
    struct sim *s = sim_of(l);

    if (gw_inbox_push(&s->inbox, &c->item) && s->conf.wake)
        s->conf.wake(s->conf.arg);
}

static uint64_t max_bytes(const struct sim *s)
{
    const struct gw_log_retention *r = &s->conf.retention;
    uint64_t most = s->conf.max_bytes;

    return r->keep != GW_LOG_KEEP_NONE && r->max_bytes && (!most || r->max_bytes < most) ? r->max_bytes : most;
}

static int refusal(struct sim *s, const struct gw_log_commit *c)
{
    uint64_t bytes = 0;
    int rc = gw_sim_check(&s->now, c);

    if (s->closing)
        return -ESHUTDOWN;
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < c->n_frames; i++)
        bytes += gw_sim_frame_bytes(&c->frames[i]);
    if (max_bytes(s) && c->n_frames && s->now.bytes + bytes > max_bytes(s))
        return -EDQUOT;
    if (c->n_frames && (s->faults.no_room || chance(s, s->faults.full_permille)))
        return -ENOSPC;
    return chance(s, s->faults.fail_permille) ? -EIO : 0;
}

static void write_commit(struct sim *s, struct gw_log_commit *c)
{
    struct gw_sim_change *change_ = gw_sim_change_of_commit(c);
    uint64_t visible_ns = gw_mono_ns(s->conf.env) + up_to(s, s->faults.max_late_ns);

    if (visible_ns > s->visible_ns)
        s->visible_ns = visible_ns; /* never before what is older */
    for (unsigned i = 0; i < c->n_frames; i++)
        change_->frames[i]->visible_ns = s->visible_ns;
    if (c->n_frames && chance(s, s->faults.damage_permille))
        change_->frames[up_to(s, c->n_frames - 1)]->damaged = true;
    change(s, change_);
    for (unsigned i = 0; i < c->n_frames; i++) {
        c->frames[i].seq = change_->frames[i]->f.seq;
        c->frames[i].row = change_->frames[i]->f.row;
    }
    s->commits++;
}

static void take(struct sim *s, struct gw_log_commit *c)
{
    struct answer *a = gw_sim_alloc(NULL, sizeof(*a));
    uint64_t now_ns = gw_mono_ns(s->conf.env), delay_ns = up_to(s, s->faults.max_delay_ns);

    *a = (struct answer){.commit = c, .rc = refusal(s, c), .due_ns = now_ns + delay_ns};
    if (a->rc == 0)
        write_commit(s, c);
    a->n_changes = s->n_changes;
    if (a->rc == 0 || a->rc == -EIO || a->rc == -ENOSPC)
        s->degraded = a->rc < 0;
    s->failed_writes += a->rc == -EIO || a->rc == -ENOSPC;
    *s->answers_last = a;
    s->answers_last = &a->next;
}

/* The oldest answer if it is due, taken out of the list. */
static struct answer *next_answer(struct sim *s)
{
    struct answer *a = s->answers;

    if (!a || (a->due_ns > gw_mono_ns(s->conf.env) && !s->closing))
        return NULL;
    s->answers = a->next;
    if (!s->answers)
        s->answers_last = &s->answers;
    if (a->rc == 0 && a->commit->sync)
        sync_through(s, a->n_changes);
    return a;
}

static void retain(struct sim *s)
{
    uint64_t wall_ns = gw_wall_ns(s->conf.env);
    struct gw_sim_change *c;

    if (!gw_sim_may_go(&s->now, &s->conf.retention, wall_ns))
        return;
    if (s->conf.retention.keep == GW_LOG_KEEP_NONE) {
        c = gw_sim_change_new(GW_SIM_RETAIN);
        c->retention = s->conf.retention;
        c->wall_ns = wall_ns;
    } else { /* who is open is not known to what a power cut leaves: a trim, as in files */
        c = gw_sim_change_new(GW_SIM_TRUNCATE);
        c->seq = gw_sim_keeps_from(&s->now, &s->conf.retention, wall_ns);
    }
    change(s, c);
}

static void set_retention(struct gw_log *l, const struct gw_log_retention *r)
{
    struct sim *s = sim_of(l);

    (void)pthread_mutex_lock(&s->lock);
    s->conf.retention = *r;
    (void)pthread_mutex_unlock(&s->lock);
    if (s->conf.wake)
        s->conf.wake(s->conf.arg);
}

static uint64_t next_work(struct sim *s)
{
    uint64_t at = s->answers ? s->answers->due_ns : 0;

    if (!gw_inbox_is_empty(&s->inbox))
        return gw_mono_ns(s->conf.env);
    return s->unsynced && (!at || s->sync_due_ns < at) ? s->sync_due_ns : at;
}

static uint64_t work(struct gw_log *l)
{
    struct sim *s = sim_of(l);
    struct gw_inbox_item *item = gw_inbox_take(&s->inbox), *next;
    struct answer *a;
    uint64_t at;

    (void)pthread_mutex_lock(&s->lock);
    retain(s); /* first, for the room that it makes */
    for (; item; item = next) {
        next = item->next;
        take(s, (struct gw_log_commit *)(void *)item);
    }
    retain(s);
    if (s->unsynced && gw_mono_ns(s->conf.env) >= s->sync_due_ns)
        sync_through(s, s->n_changes);
    while ((a = next_answer(s)) != NULL) {
        (void)pthread_mutex_unlock(&s->lock);
        a->commit->done(a->commit, a->rc);
        free(a);
        (void)pthread_mutex_lock(&s->lock);
    }
    at = next_work(s);
    (void)pthread_mutex_unlock(&s->lock);
    return at;
}

static int producer(struct gw_log *l, const char *name, struct gw_log_producer *ret)
{
    struct sim *s = sim_of(l);
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    rc = change_name(s, GW_SIM_PRODUCER, name, GW_LOG_FROM_FIRST);
    for (uint32_t i = 0; rc == 0 && i < s->now.n_producers; i++)
        if (strcmp(s->now.producers[i].name, name) == 0)
            *ret = (struct gw_log_producer){i + 1, s->now.producers[i].epoch};
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

static int truncate_below(struct gw_log *l, uint64_t seq)
{
    struct sim *s = sim_of(l);
    struct gw_sim_change *c = gw_sim_change_new(GW_SIM_TRUNCATE);

    c->seq = seq;
    (void)pthread_mutex_lock(&s->lock);
    change(s, c);
    sync_through(s, s->n_changes);
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

/* ---- consumers ---------------------------------------------------------------------------------------------- */

static int consumer_open(struct gw_log *l, const char *name, enum gw_log_start start, uint32_t *ret_id)
{
    struct sim *s = sim_of(l);
    int rc;

    (void)pthread_mutex_lock(&s->lock);
    rc = change_name(s, GW_SIM_CONSUMER, name, start);
    if (rc == 0) {
        struct gw_sim_consumer *c = gw_sim_consumer_by_name(&s->now, name);

        c->c.is_open = true;
        *ret_id = c->c.id;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

static void consumer_close(struct gw_log *l, uint32_t id)
{
    struct sim *s = sim_of(l);
    struct gw_sim_consumer *c;

    (void)pthread_mutex_lock(&s->lock);
    c = gw_sim_consumer_by_id(&s->now, id);
    if (c)
        c->c.is_open = false;
    (void)pthread_mutex_unlock(&s->lock);
}

static int consumer_release(struct gw_log *l, const char *name)
{
    struct sim *s = sim_of(l);
    int rc = -ENOENT;

    (void)pthread_mutex_lock(&s->lock);
    if (gw_sim_consumer_by_name(&s->now, name))
        rc = change_name(s, GW_SIM_RELEASE, name, GW_LOG_FROM_FIRST);
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

static int consumers(struct gw_log *l, void (*each)(void *arg, const struct gw_log_consumer *c), void *arg)
{
    struct sim *s = sim_of(l);
    struct gw_log_consumer *all;
    size_t n;

    (void)pthread_mutex_lock(&s->lock);
    n = s->now.n_consumers;
    all = gw_sim_alloc(NULL, n * sizeof(*all));
    for (size_t i = 0; i < n; i++)
        all[i] = gw_sim_consumer_view(&s->now, &s->now.consumers[i]);
    (void)pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++)
        each(arg, &all[i]);
    free(all);
    return 0;
}

static int position(struct gw_log *l, uint32_t consumer, uint16_t partition, uint64_t *ret_next_seq, void *note,
                    size_t *n_note)
{
    struct sim *s = sim_of(l);
    const struct gw_sim_consumer *c;
    const struct gw_sim_position *p;
    int rc = 0;

    if (partition >= GW_LOG_PARTITIONS)
        return -EINVAL;
    (void)pthread_mutex_lock(&s->lock);
    c = gw_sim_consumer_by_id(&s->now, consumer);
    p = c ? &c->positions[partition] : NULL;
    if (!p) {
        rc = -ENOENT;
    } else if (note && *n_note < p->n_note) {
        rc = -ENOBUFS;
    } else {
        uint64_t low = gw_sim_consumer_view(&s->now, c).low;

        *ret_next_seq = p->is_set ? p->next_seq : low > s->now.first_seq ? low : s->now.first_seq;
        if (note && p->n_note)
            memcpy(note, p->note, p->n_note);
        if (n_note)
            *n_note = p->n_note;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static struct reader *reader_of(struct gw_log_reader *r)
{
    return (struct reader *)(void *)r;
}

static void seek_all(struct reader *r, uint64_t seq)
{
    r->at = seq;
    for (unsigned p = 0; p < GW_LOG_PARTITIONS; p++)
        r->next[p] = seq;
}

static int reader_new(struct gw_log *l, const struct gw_log_reader_conf *conf, struct gw_log_reader **ret)
{
    struct sim *s = sim_of(l);
    struct reader *r = gw_sim_alloc(NULL, sizeof(*r));
    const struct gw_sim_consumer *c;

    memset(r, 0, sizeof(*r));
    r->r.ops = l->ops;
    r->s = s;
    r->conf = *conf;
    (void)pthread_mutex_lock(&s->lock);
    c = gw_sim_consumer_by_id(&s->now, conf->consumer);
    if (conf->consumer && !c) {
        (void)pthread_mutex_unlock(&s->lock);
        free(r);
        return -ENOENT;
    }
    seek_all(r, c ? gw_sim_consumer_view(&s->now, c).low : s->now.first_seq);
    for (unsigned p = 0; c && p < GW_LOG_PARTITIONS; p++) {
        if (!c->positions[p].is_set)
            continue;
        r->next[p] = c->positions[p].next_seq;
        r->at = r->next[p] < r->at ? r->next[p] : r->at;
    }
    (void)pthread_mutex_unlock(&s->lock);
    *ret = &r->r;
    return 0;
}

static void forget_frame(struct reader *r)
{
    gw_sim_frame_unref(r->frame);
    r->frame = NULL;
}

static void reader_free(struct gw_log_reader *reader)
{
    struct reader *r = reader_of(reader);
    struct sim *s = r->s;

    (void)pthread_mutex_lock(&s->lock);
    forget_frame(r);
    (void)pthread_mutex_unlock(&s->lock);
    free(r->open);
    free(r);
}

static int seek(struct gw_log_reader *reader, uint16_t partition, uint64_t seq)
{
    struct reader *r = reader_of(reader);

    if (partition > GW_LOG_PARTITIONS)
        return -EINVAL;
    if (partition == GW_LOG_PARTITIONS) {
        seek_all(r, seq);
        return 0;
    }
    /* The others stay where they are: next[] keeps them from what they gave already. */
    for (unsigned p = 0; p < GW_LOG_PARTITIONS; p++)
        if (r->next[p] < r->at)
            r->next[p] = r->at;
    r->next[partition] = seq;
    r->at = seq < r->at ? seq : r->at;
    return 0;
}

static bool is_wanted(const struct reader *r, const struct gw_log_frame *f)
{
    if (r->conf.partitions && !(r->conf.partitions >> f->partition & 1))
        return false;
    if (r->conf.topics && (f->topic >= 64 || !(r->conf.topics >> f->topic & 1)))
        return false;
    return f->seq >= r->next[f->partition];
}

static int seek_time(struct gw_log_reader *reader, uint64_t time_ns)
{
    struct reader *r = reader_of(reader);
    struct sim *s = r->s;
    size_t i;

    (void)pthread_mutex_lock(&s->lock);
    seek_all(r, s->now.first_seq);
    for (i = 0; i < s->now.n_frames; i++) /* of those that it reads */
        if (is_wanted(r, &s->now.frames[i]->f) && s->now.frames[i]->f.time_ns >= time_ns)
            break;
    seek_all(r, s->now.first_seq + i);
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

/* The rows that the reader's consumer has not done; false: none, as in a frame without rows. */
static bool find_open(struct reader *r, const struct gw_log_frame *f)
{
    const struct gw_sim_consumer *c = gw_sim_consumer_by_id(&r->s->now, r->conf.consumer);
    uint64_t from = f->row, to = f->row + f->rows;
    struct gw_sim_range open;

    r->n_open = 0;
    while (from < to && (!c || gw_sim_open_rows(c, from, to, &open))) {
        if (!c) /* released: nothing of it is known, so all is open */
            open = (struct gw_sim_range){f->row, to};
        if (r->n_open == r->cap_open) {
            r->cap_open = 2 * r->cap_open + 4;
            r->open = gw_sim_alloc(r->open, r->cap_open * sizeof(*r->open));
        }
        r->open[r->n_open++] =
            (struct gw_log_open_rows){(uint32_t)(open.from - f->row), (uint32_t)(open.to - open.from)};
        from = open.to;
    }
    return r->n_open > 0;
}

static int next_frame(struct reader *r, struct gw_log_entry *ret)
{
    struct sim *s = r->s;

    if (r->at < s->now.first_seq)
        r->at = s->now.first_seq;
    for (; r->at < gw_sim_end_seq(&s->now); r->at++) {
        struct gw_sim_frame *f = gw_sim_frame_at(&s->now, r->at);

        if (f->visible_ns > gw_mono_ns(s->conf.env))
            break;
        if (f->damaged) {
            if (f->f.seq >= r->next[f->f.partition]) {
                ret->lost_frames++;
                ret->lost_rows += f->f.rows;
            }
            continue;
        }
        if (!is_wanted(r, &f->f) || (r->conf.consumer && !find_open(r, &f->f)))
            continue;
        r->frame = gw_sim_frame_ref(f);
        r->next[f->f.partition] = ++r->at;
        ret->frame = f->f;
        if (r->conf.without_bodies)
            ret->frame.body = (struct gw_slice){0};
        ret->open = r->conf.consumer ? r->open : NULL;
        ret->n_open = r->conf.consumer ? (unsigned)r->n_open : 0;
        return 1;
    }
    return 0;
}

static int next(struct gw_log_reader *reader, struct gw_log_entry *ret)
{
    struct reader *r = reader_of(reader);
    uint64_t from = r->at;
    int rc;

    memset(ret, 0, sizeof(*ret));
    (void)pthread_mutex_lock(&r->s->lock);
    forget_frame(r);
    rc = next_frame(r, ret);
    if (rc == 0 && ret->lost_frames)
        r->at = from; /* what was passed over is told with the frame that follows */
    (void)pthread_mutex_unlock(&r->s->lock);
    return rc;
}

/* ---- the rest ----------------------------------------------------------------------------------------------- */

static void stats(struct gw_log *l, struct gw_log_stats *ret)
{
    struct sim *s = sim_of(l);
    const struct gw_sim_state *now = &s->now;

    (void)pthread_mutex_lock(&s->lock);
    *ret = (struct gw_log_stats){
        .first_seq = now->first_seq,
        .end_seq = gw_sim_end_seq(now),
        .first_row = gw_sim_first_row(now),
        .end_row = now->end_row,
        .synced_seq = gw_sim_end_seq(&s->base),
        .bytes = now->bytes,
        .max_bytes = max_bytes(s),
        .segments = 1,
        .first_time_ns = now->n_frames ? now->frames[0]->f.time_ns : 0,
        .lost_frames = now->lost_frames,
        .lost_rows = now->lost_rows,
        .lost_bytes = now->lost_bytes,
        .commits = s->commits,
        .syncs = s->syncs,
        .failed_writes = s->failed_writes,
        .degraded = s->degraded,
    };
    for (size_t i = 0; i < now->n_frames; i++)
        if (now->frames[i]->f.time_ns > ret->last_time_ns)
            ret->last_time_ns = now->frames[i]->f.time_ns;
    (void)pthread_mutex_unlock(&s->lock);
}

static void close_log(struct gw_log *l)
{
    struct sim *s = sim_of(l);

    (void)work(l);
    s->closing = true;
    while (!gw_inbox_is_empty(&s->inbox) || s->answers)
        (void)work(l);
    keep(s, UINT64_MAX);
    gw_sim_state_clear(&s->now);
    gw_sim_state_clear(&s->base);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

static const struct gw_log_ops ops = {
    .submit = submit,
    .work = work,
    .producer = producer,
    .consumer_open = consumer_open,
    .consumer_close = consumer_close,
    .consumer_release = consumer_release,
    .consumers = consumers,
    .position = position,
    .reader_new = reader_new,
    .seek = seek,
    .seek_time = seek_time,
    .next = next,
    .reader_free = reader_free,
    .truncate = truncate_below,
    .retain = set_retention,
    .stats = stats,
    .close = close_log,
};

int gw_log_sim_open(const struct gw_log_sim_conf *conf, struct gw_log **ret)
{
    struct sim *s = gw_sim_alloc(NULL, sizeof(*s));

    memset(s, 0, sizeof(*s));
    s->l.ops = &ops;
    s->conf = *conf;
    s->faults = conf->faults;
    (void)pthread_mutex_init(&s->lock, NULL);
    gw_sim_state_init(&s->now);
    gw_sim_state_init(&s->base);
    s->unsynced_last = &s->unsynced;
    s->answers_last = &s->answers;
    *ret = &s->l;
    return 0;
}

struct gw_log_sim_faults *gw_log_sim_faults(struct gw_log *l)
{
    return &sim_of(l)->faults;
}

/* Changes that nobody was told about: those behind the newest commit that is done. */
static uint64_t count_untold(const struct sim *s)
{
    const struct answer *a = s->answers;
    uint64_t told = a ? a->n_changes - (a->rc == 0) : s->n_changes;

    return s->n_changes - (told > s->n_kept ? told : s->n_kept);
}

void gw_log_sim_crash(struct gw_log *l, bool lose_unsynced)
{
    struct sim *s = sim_of(l);
    struct gw_inbox_item *item = gw_inbox_take(&s->inbox);
    struct answer *a;
    uint64_t n_all;

    (void)item; /* never submitted, as far as anyone will know */
    (void)pthread_mutex_lock(&s->lock);
    n_all = s->n_changes - s->n_kept;
    keep(s, lose_unsynced ? up_to(s, n_all) : n_all - up_to(s, count_untold(s)));
    s->n_changes = s->n_kept;
    while (s->unsynced) {
        struct gw_sim_change *c = s->unsynced;

        s->unsynced = c->next;
        gw_sim_change_free(c);
    }
    s->unsynced_last = &s->unsynced;
    while ((a = s->answers) != NULL) {
        s->answers = a->next;
        free(a);
    }
    s->answers_last = &s->answers;
    gw_sim_state_clear(&s->now);
    gw_sim_state_copy(&s->now, &s->base);
    for (size_t i = 0; i < s->now.n_frames; i++)
        s->now.frames[i]->visible_ns = 0;
    s->visible_ns = 0;
    s->degraded = false;
    (void)pthread_mutex_unlock(&s->lock);
}
