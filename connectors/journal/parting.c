/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many partitions a journal has. When there are to be more, new rows lie in more from now on, and what is there
 * stays where it is:
 *
 *   log        … 0 0 0 0 0 0 │ 3 1 7 0 2 …            frames, with their partitions
 *                      ▲     ▲ below_seq: 8 partitions behind it, 1 before
 *                      low of a pipeline: it reads all of it in 1, frames of 3 as those of 3 mod 1
 *
 * All numbers are powers of two, and rise; so a frame of many partitions can be read as one of few, and a key has one
 * place and one owner for who reads both. A pipeline reads in as many as its oldest row lies in, for as long as it
 * runs, and in more when it begins behind the change. What it has written down of keys goes by their hashes modulo 64,
 * and so does not depend on it.
 *
 * To fewer there is no such way, because positions of partitions that become one differ: all must have been read. What
 * stays in the log of before is read in few, too.
 *
 * It is the note of a consumer that no pipeline can be: "1 until 4711, 8 partitions by trace_id". Each commit has it
 * until one of them is done, so that no frame lies where the note does not say.
 */
#include <stdlib.h>

#include "connectors/journal/journal.h"

static const char note_name[] = "#partition_by";

struct journal_note {
    struct gw_log_position at;
    uint8_t text[GW_LOG_MAX_NOTE_BYTES];
};

enum { A_WORKER = 4, AT_MOST = 16 /* partitions, by itself */ };

/* ---- the text --------------------------------------------------------------------------------------------- */

/* Without a number there are as many as the log can have: so it was before they could be fewer. */
static const char of_them[] = " partitions by ", until[] = " until ", between[] = ", ";

void gw_journal_parting_text(const struct parting *p, struct gw_buf *out)
{
    for (unsigned i = 0; i < p->n_before; i++)
        gw_buf_printf(out, "%u%s%llu%s", p->before[i].n, until, (unsigned long long)p->before[i].below_seq, between);
    if (p->n != JOURNAL_PARTITIONS)
        gw_buf_printf(out, "%u%s", p->n, of_them);
    gw_buf_put_slice(out, p->key);
}

static bool take_number(struct gw_slice *s, uint64_t *ret)
{
    size_t n = 0;

    *ret = 0;
    while (n < s->n && n < 19 && s->p[n] >= '0' && s->p[n] <= '9')
        *ret = 10 * *ret + (uint64_t)(s->p[n++] - '0');
    *s = gw_slice_of(s->p + n, s->n - n);
    return n > 0;
}

static bool take_word(struct gw_slice *s, const char *word)
{
    size_t n = strlen(word);

    if (s->n < n || memcmp(s->p, word, n) != 0)
        return false;
    *s = gw_slice_of(s->p + n, s->n - n);
    return true;
}

static bool take_before(struct gw_slice *s, struct parted_before *ret)
{
    struct gw_slice rest = *s;
    uint64_t n;

    if (!take_number(&rest, &n) || !take_word(&rest, until) || !take_number(&rest, &ret->below_seq) ||
        !take_word(&rest, between))
        return false;
    ret->n = (unsigned)n;
    *s = rest;
    return true;
}

void gw_journal_parting_read(struct gw_slice text, struct parting *ret)
{
    struct gw_slice rest;
    uint64_t n;

    *ret = (struct parting){.n = JOURNAL_PARTITIONS};
    while (ret->n_before < JOURNAL_NUMBERS - 1 && take_before(&text, &ret->before[ret->n_before]))
        ret->n_before++;
    rest = text;
    if (take_number(&rest, &n) && take_word(&rest, of_them)) {
        ret->n = (unsigned)n;
        text = rest;
    }
    ret->key = text;
}

/* ---- who reads what --------------------------------------------------------------------------------------- */

unsigned gw_journal_parting_at(const struct parting *p, uint64_t seq)
{
    for (unsigned i = 0; i < p->n_before; i++)
        if (seq < p->before[i].below_seq)
            return p->before[i].n;
    return p->n;
}

uint64_t gw_journal_parting_owned(const struct journal *j, unsigned n_parts, unsigned worker)
{
    uint64_t owned = 0;

    for (unsigned p = 0; p < JOURNAL_PARTITIONS; p++)
        owned |= (uint64_t)(p % n_parts % j->ctx.n_workers == worker) << p;
    return owned;
}

int gw_journal_parting_positions(struct journal *j, uint32_t consumer, uint64_t low, uint64_t *ret)
{
    int rc = 0;

    for (uint16_t i = 0; i < JOURNAL_PARTITIONS && rc == 0; i++) {
        rc = gw_log_position(j->log, consumer, i, &ret[i], NULL, NULL);
        ret[i] = ret[i] > low ? ret[i] : low;
    }
    return rc;
}

/* ---- has all been read? ----------------------------------------------------------------------------------- */

struct reader {
    uint32_t id;
    uint64_t low, topics;
};

/* A name says of which signal its pipeline is: "traces/out". One that does not, of any: 0. */
static uint64_t topics_of(const char *pipeline)
{
    for (unsigned s = GW_TRACES; s & GW_ALL_SIGNALS; s <<= 1) {
        const char *name = gw_signal_name((enum gw_signal)s);
        size_t n = strlen(name);

        if (strncmp(pipeline, name, n) == 0 && (pipeline[n] == '/' || pipeline[n] == 0))
            return UINT64_C(1) << (s >> 1);
    }
    return 0;
}

static void collect(void *arg, const struct gw_log_consumer *c)
{
    struct reader r = {.id = c->id, .low = c->low, .topics = topics_of(c->name)};

    if (c->name[0] != '#')
        gw_buf_put(arg, &r, sizeof(r));
}

/* Also what has no rows: for who keeps some, time stands in it. Returns 1: nothing lies before it; 0: something does.
 */
static int has_read(struct journal *j, const struct reader *reader)
{
    const struct gw_log_reader_conf conf = {.topics = reader->topics, .without_bodies = true};
    uint64_t at[JOURNAL_PARTITIONS], least = UINT64_MAX;
    struct gw_log_entry e;
    struct gw_log_reader *r = NULL;
    int rc = gw_journal_parting_positions(j, reader->id, reader->low, at), ret = 1;

    for (unsigned i = 0; i < JOURNAL_PARTITIONS; i++)
        least = at[i] < least ? at[i] : least;
    if (rc == 0)
        rc = gw_log_reader_new(j->log, &conf, &r);
    if (rc == 0)
        rc = gw_log_seek(r, GW_LOG_PARTITIONS, least);
    while (rc >= 0 && ret && (rc = gw_log_next(r, &e)) == 1)
        ret = e.frame.seq < at[e.frame.partition];
    gw_log_reader_free(r);
    return rc < 0 ? rc : ret;
}

/* Everybody who ever read it, here or gone. Returns as above. */
static int have_all_read(struct journal *j)
{
    enum { MANY = 1 << 20 };
    struct gw_buf list;
    int rc;

    gw_buf_init(&list, MANY);
    rc = gw_log_consumers(j->log, collect, &list);
    rc = rc < 0 ? rc : list.failed ? -ENOMEM : 1;
    for (size_t at = 0; rc == 1 && at < list.n; at += sizeof(struct reader))
        rc = has_read(j, (const struct reader *)(const void *)(list.p + at));
    gw_buf_clear(&list);
    return rc;
}

/* ---- how many there are ----------------------------------------------------------------------------------- */

/* One worker needs one, which is the cheapest. Where there are more, each gets some, so that there can be more of them
 * one day. */
static unsigned by_itself(unsigned n_workers)
{
    unsigned n = n_workers > 1 ? A_WORKER : 1;

    while (n_workers > 1 && n < A_WORKER * n_workers && n < AT_MOST)
        n *= 2;
    return n;
}

/* What the file says; else what it has, as long as there is one for each worker. */
static unsigned wanted(const struct journal *j, const struct parting *was, bool is_new)
{
    unsigned own = by_itself(j->ctx.n_workers);

    if (j->conf.partitions && !(j->ctx.host->for_replay && !is_new))
        return (unsigned)j->conf.partitions;
    if (is_new)
        return own;
    return was->n < j->ctx.n_workers && own > was->n && !j->ctx.host->for_replay ? own : was->n;
}

static void drop_before(struct parting *p, unsigned i)
{
    memmove(&p->before[i], &p->before[i + 1], (--p->n_before - i) * sizeof(p->before[0]));
}

static void grow(struct parting *p, unsigned to, const struct gw_log_stats *st)
{
    while (p->n_before && p->before[0].below_seq <= st->first_seq) /* nobody can read them */
        drop_before(p, 0);
    if (st->end_seq > st->first_seq)
        p->before[p->n_before++] = (struct parted_before){p->n, st->end_seq};
    p->n = to;
}

static int shrink(struct journal *j, struct parting *p, unsigned to, struct gw_err *err)
{
    int rc = have_all_read(j);

    if (rc < 0)
        return gw_fail(err, rc, "partitions: what has been read is not known: %s", strerror(-rc));
    if (rc == 0)
        return gw_fail(err, -EINVAL,
                       "partitions: its data lies in %u, and the file says %u: that can be when every pipeline that "
                       "ever read it has read all of it. Let it be read with %u (\"staunch queue ls\" says by whom "
                       "it is not, \"staunch queue release\" forgets one), or give the journal another name",
                       p->n, to, p->n);
    while (p->n_before && p->before[p->n_before - 1].n >= to)
        p->n_before--;
    p->n = to;
    return 0;
}

/* Of what is there. */
static int change(struct journal *j, struct parting *p, unsigned to, const struct gw_log_stats *st, struct gw_err *err)
{
    unsigned from = p->n;
    int rc = 0;

    if (to > from)
        grow(p, to, st);
    else
        rc = shrink(j, p, to, err);
    if (rc == 0)
        gw_log(&j->ctx.logger, GW_LOG_INFO, "new rows lie in %u partitions; before there were %u", to, from);
    return rc;
}

static int keep_text(struct journal *j, uint32_t consumer, const struct parting *p, struct gw_err *err)
{
    struct gw_buf text;
    int rc = 0;

    gw_buf_init(&text, GW_LOG_MAX_NOTE_BYTES);
    gw_journal_parting_text(p, &text);
    if (text.failed) {
        rc = gw_fail(err, -E2BIG, "attributes: more than 4096 bytes");
    } else if (!(j->note = calloc(1, sizeof(*j->note)))) {
        rc = gw_fail(err, -ENOMEM, "out of memory");
    } else {
        memcpy(j->note->text, text.p, text.n);
        j->note->at = (struct gw_log_position){.consumer = consumer, .note = {j->note->text, text.n}};
        atomic_store(&j->has_note, true);
    }
    gw_buf_clear(&text);
    return rc;
}

/* `was`: what is written down, or nothing is. */
static int compare(struct journal *j, uint32_t consumer, struct parting *was, struct gw_slice key, struct gw_err *err)
{
    bool is_new = was->key.n == 0, is_changed;
    struct gw_log_stats st;
    unsigned to;
    int rc = 0;

    gw_log_stats(j->log, &st);
    to = wanted(j, was, is_new);
    is_changed = is_new || was->n != to || !gw_slice_eq(key, was->key);
    if (is_new || (is_changed && st.end_row == st.first_row)) {
        *was = (struct parting){.n = to};
    } else if (!gw_slice_eq(key, was->key)) {
        return gw_fail(err, -EINVAL,
                       "partition_by: its data was partitioned by %.*s, and the file says %.*s: rows of one key would "
                       "lie in two partitions. Give the journal another name, or go on as before",
                       (int)was->key.n, (const char *)was->key.p, (int)key.n, (const char *)key.p);
    } else if (is_changed) {
        rc = change(j, was, to, &st, err);
    }
    was->key = key;
    j->parting = *was;
    return rc == 0 && is_changed ? keep_text(j, consumer, was, err) : rc;
}

int gw_journal_parting_open(struct journal *j, struct gw_err *err)
{
    uint8_t text[GW_LOG_MAX_NOTE_BYTES];
    size_t n = sizeof(text);
    struct parting was;
    struct gw_buf key;
    uint32_t consumer;
    uint64_t at;
    int rc = gw_log_consumer_open(j->log, note_name, GW_LOG_FROM_FIRST, &consumer);

    if (rc == 0)
        rc = gw_log_position(j->log, consumer, 0, &at, text, &n);
    if (rc < 0)
        return gw_fail(err, rc, "its partitions' key cannot be read: %s", strerror(-rc));
    gw_journal_parting_read(gw_slice_of(text, n), &was);
    gw_buf_init(&key, GW_LOG_MAX_NOTE_BYTES);
    gw_journal_key_text(&j->conf, &key);
    rc = key.failed ? gw_fail(err, -E2BIG, "attributes: more than 4096 bytes")
                    : compare(j, consumer, &was, gw_buf_slice(&key), err);
    gw_buf_clear(&key);
    j->parting.key = GW_SLICE("");
    return rc;
}

void gw_journal_parting_close(struct journal *j)
{
    free(j->note);
}

/* ---- writing it down -------------------------------------------------------------------------------------- */

void gw_journal_parting_submit(struct journal *j, struct gw_log_commit *c)
{
    if (!atomic_load_explicit(&j->has_note, memory_order_acquire))
        return;
    c->positions = &j->note->at;
    c->n_positions = 1;
}

void gw_journal_parting_done(struct journal *j, const struct gw_log_commit *c, int rc)
{
    if (rc >= 0 && c->n_positions)
        atomic_store(&j->has_note, false);
}
