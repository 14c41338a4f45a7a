/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading. A reader has a file of its own and asks the log, under its lock, only how far that file is committed and
 * what its consumer has settled.
 */
#include <stdlib.h>

#include "log/crc32c.h"
#include "log/impl.h"

enum { OPEN_RANGES = 64, READ_AGAIN = 3, HEADS_BLOCK = 8 << 10 };

struct reader {
    struct gw_log_reader r;
    struct gw_lf *l;
    struct gw_log_reader_conf conf;
    struct gw_lf_scan scan; /* of the segment `number`; without a file: to be opened */
    uint64_t number;
    uint64_t seq, row; /* everything before was given, or passed over */
    bool knows_row;    /* row is exact: what comes behind it must follow on */
    bool
        has_before; /* until then, once a segment is open: where the last frame below seq ends, or the segment begins */
    struct gw_lf_place before;
    uint64_t time_ns; /* seek by time: frames before are passed over until the first one at or behind it */
    uint64_t from[GW_LOG_PARTITIONS];
    uint64_t lost_frames, lost_rows; /* since the last entry */
    unsigned n_errors;               /* of the disk, in a row */
    struct gw_log_open_rows *open;
    unsigned cap_open;
};

static void close_file(struct reader *r)
{
    gw_lf_scan_clear(&r->scan);
}

/* Nothing is known of what lies before seq. */
static void lose_place(struct reader *r)
{
    r->knows_row = false;
    r->has_before = false;
}

/* What is missing from here on is told with the next frame. */
static void go_before(struct reader *r)
{
    r->seq = r->before.seq;
    r->row = r->before.row;
    r->knows_row = true;
}

/* Begin at its low, or where its positions are. */
static void begin(struct reader *r)
{
    struct gw_lf *l = r->l;
    const struct gw_lf_consumer *c;
    uint64_t low = UINT64_MAX;

    (void)pthread_mutex_lock(&l->lock);
    c = r->conf.consumer ? gw_lf_state_consumer(&l->state, r->conf.consumer) : NULL;
    for (unsigned i = 0; i < GW_LOG_PARTITIONS; i++) {
        if (c)
            r->from[i] = c->positions && c->positions[i].is_set ? c->positions[i].next_seq : c->done.base.seq;
        if (r->conf.partitions & 1ull << i)
            low = r->from[i] < low ? r->from[i] : low;
    }
    r->seq = low;
    (void)pthread_mutex_unlock(&l->lock);
}

int gw_lf_reader_new(struct gw_log *log, const struct gw_log_reader_conf *conf, struct gw_log_reader **ret)
{
    struct gw_lf *l = (struct gw_lf *)log;
    struct reader *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->open = malloc(OPEN_RANGES * sizeof(*r->open));
    if (!r->open) {
        free(r);
        return -ENOMEM;
    }
    gw_lf_follow(l);
    r->cap_open = OPEN_RANGES;
    r->r.ops = log->ops;
    r->l = l;
    r->conf = *conf;
    if (!r->conf.partitions)
        r->conf.partitions = UINT64_MAX;
    begin(r);
    *ret = &r->r;
    return 0;
}

void gw_lf_reader_free(struct gw_log_reader *reader)
{
    struct reader *r = (struct reader *)reader;

    close_file(r);
    free(r->open);
    free(r);
}

int gw_lf_seek(struct gw_log_reader *reader, uint16_t partition, uint64_t seq)
{
    struct reader *r = (struct reader *)reader;

    if (partition > GW_LOG_PARTITIONS)
        return -EINVAL;
    for (unsigned i = 0; i < GW_LOG_PARTITIONS; i++) {
        if (partition == GW_LOG_PARTITIONS || i == partition)
            r->from[i] = seq;
        else if (r->from[i] < r->seq)
            r->from[i] = r->seq; /* the others go on where they are */
    }
    if (partition == GW_LOG_PARTITIONS || seq < r->seq) {
        r->seq = seq;
        lose_place(r);
        close_file(r);
    }
    r->time_ns = 0;
    return 0;
}

int gw_lf_seek_time(struct gw_log_reader *reader, uint64_t time_ns)
{
    struct reader *r = (struct reader *)reader;
    struct gw_lf *l = r->l;
    uint64_t seq = 0;

    gw_lf_follow(l);
    (void)pthread_mutex_lock(&l->lock);
    seq = l->state.end_seq;
    for (size_t i = 0; i < l->n_segs; i++)
        if (l->segs[i].last_time_ns >= time_ns) {
            seq = l->segs[i].first_seq;
            break;
        }
    (void)pthread_mutex_unlock(&l->lock);
    (void)gw_lf_seek(reader, GW_LOG_PARTITIONS, seq);
    r->time_ns = time_ns;
    return 0;
}

/* The writer is told, once, so that it is counted for all. Losing the note for want of memory only delays that. */
static void note_loss(struct gw_lf *l, const struct gw_lf_loss *loss)
{
    struct gw_lf_loss *losses;

    if (l->conf.read_only)
        return;
    (void)pthread_mutex_lock(&l->lock);
    losses = realloc(l->losses, (l->n_losses + 1) * sizeof(*losses));
    if (losses) {
        l->losses = losses;
        losses[l->n_losses++] = *loss;
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (losses && l->conf.wake)
        l->conf.wake(l->conf.arg);
}

static bool is_known_loss(struct gw_lf *l, uint64_t from, uint64_t to)
{
    uint64_t a, b;
    bool known;

    (void)pthread_mutex_lock(&l->lock);
    known = !gw_lf_rows_open(&l->state.lost, from, to, &a, &b);
    (void)pthread_mutex_unlock(&l->lock);
    return known && from < to;
}

/* Between what was read last and (seq, row) something is missing. */
static void gap(struct reader *r, uint64_t seq, uint64_t row)
{
    if (r->knows_row && seq > r->seq) {
        struct gw_lf_loss loss = {r->row, {row, seq, 0}, seq - r->seq, r->scan.skipped};

        r->lost_frames += seq - r->seq;
        r->lost_rows += row - r->row;
        if (!is_known_loss(r->l, r->row, row))
            note_loss(r->l, &loss);
    }
    r->scan.skipped = 0;
    r->seq = seq;
    r->row = row;
    r->knows_row = true;
}

/* A segment's file is gone: by retention just now, or somebody took it. Then its frames are lost. */
static int pass_over(struct reader *r, const struct gw_lf_seg *seg)
{
    struct gw_lf *l = r->l;
    uint64_t seq = 0, row = 0;
    bool listed = false, is_last = false;

    (void)pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_segs; i++) {
        if (l->segs[i].number != seg->number)
            continue;
        listed = true;
        is_last = i + 1 == l->n_segs;
        seq = is_last ? 0 : l->segs[i + 1].first_seq;
        row = is_last ? 0 : l->segs[i + 1].first_row;
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (!listed)
        return 2;
    if (is_last || seq <= r->seq)
        return -ENOENT;
    if (!r->knows_row) {
        r->seq = r->seq > seg->first_seq ? r->seq : seg->first_seq;
        r->row = seg->first_row;
        r->knows_row = r->seq == seg->first_seq;
    }
    gap(r, seq, row);
    return 2;
}

/* 1: a file is open and its end known. 2: look again. 0: there is nothing more. */
static int locate(struct reader *r)
{
    struct gw_lf *l = r->l;
    struct gw_lf_seg seg;
    bool is_last, is_same;
    size_t i;

    (void)pthread_mutex_lock(&l->lock);
    i = gw_lf_seg_of(l, r->seq);
    for (; r->scan.f && i + 1 < l->n_segs && l->segs[i].number < r->number; i++)
        ;
    seg = l->segs[i];
    is_same = r->scan.f && seg.number == r->number;
    if (is_same && r->scan.at >= seg.end && i + 1 < l->n_segs) {
        seg = l->segs[++i];
        is_same = false;
    }
    is_last = i + 1 == l->n_segs;
    if (r->seq < l->segs[0].first_seq) { /* retention was faster */
        r->seq = l->segs[0].first_seq;
        lose_place(r);
    }
    (void)pthread_mutex_unlock(&l->lock);
    if (is_same) {
        r->scan.end = seg.end;
        return r->scan.at < seg.end ? 1 : is_last ? 0 : 1;
    }
    close_file(r);
    int rc = gw_lf_seg_open(l, &seg, &r->scan);

    if (rc == -ENOENT)
        return pass_over(r, &seg);
    if (rc < 0)
        return rc;
    r->scan.block = r->conf.without_bodies ? HEADS_BLOCK : 0;
    r->number = seg.number;
    if (!r->knows_row && r->has_before) /* nothing fitted in the one before */
        go_before(r);
    if (r->knows_row && seg.first_seq > r->seq)
        gap(r, seg.first_seq, seg.first_row);
    r->before = (struct gw_lf_place){seg.first_row, seg.first_seq, 0};
    r->has_before = true;
    return 1;
}

/* The rows of a frame that the consumer has not settled. */
static int find_open(struct reader *r, const struct gw_lf_record *rec, unsigned *ret_n)
{
    struct gw_lf *l = r->l;
    const struct gw_lf_consumer *c;
    uint64_t at = rec->row, end = rec->row + rec->rows, from, to;
    int rc = 0;

    *ret_n = 0;
    (void)pthread_mutex_lock(&l->lock);
    gw_lf_cache_put(l, GW_LF_READ, rec->seq, rec->row, rec->rows);
    c = gw_lf_state_consumer(&l->state, r->conf.consumer);
    while (c && gw_lf_rows_open(&c->done, at, end, &from, &to)) {
        if (*ret_n == r->cap_open) {
            struct gw_log_open_rows *more = realloc(r->open, 2 * r->cap_open * sizeof(*more));

            if (!more) {
                rc = -ENOMEM;
                break;
            }
            r->open = more;
            r->cap_open *= 2;
        }
        r->open[(*ret_n)++] = (struct gw_log_open_rows){(uint32_t)(from - rec->row), (uint32_t)(to - from)};
        at = to;
    }
    (void)pthread_mutex_unlock(&l->lock);
    return rc;
}

static bool is_wanted(struct reader *r, const struct gw_lf_record *rec)
{
    if (!(r->conf.partitions & 1ull << rec->partition) || rec->seq < r->from[rec->partition])
        return false;
    if (r->conf.topics && (rec->topic >= 64 || !(r->conf.topics & 1ull << rec->topic)))
        return false;
    if (rec->time_ns < r->time_ns)
        return false;
    r->time_ns = 0;
    return true;
}

/*
 * Meta and body as they are handed out. 1: unharmed; 0: not. What is checked is the very piece in memory: by the next
 * read the file may be another segment's.
 */
static int read_body(struct reader *r, uint64_t off, const struct gw_lf_record *rec, const uint8_t **ret)
{
    size_t n = (size_t)rec->n_meta + (r->conf.without_bodies ? 0 : rec->n_body);
    int rc;

    *ret = (const uint8_t *)"";
    rc = n > 0 ? gw_lf_scan_peek(&r->scan, off + GW_LF_HEAD, n, ret) : 0;
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    return r->conf.without_bodies || gw_crc32c(0, *ret, n) == rec->body_crc;
}

static int give(struct reader *r, const uint8_t *p, const struct gw_lf_record *rec, unsigned n_open,
                struct gw_log_entry *ret)
{
    *ret = (struct gw_log_entry){
        .frame = {.seq = rec->seq,
                  .row = rec->row,
                  .time_ns = rec->time_ns,
                  .rows = rec->rows,
                  .topic = rec->topic,
                  .partition = rec->partition,
                  .signal = rec->signal,
                  .meta = {p, rec->n_meta},
                  .body = {p + rec->n_meta, r->conf.without_bodies ? 0 : rec->n_body}},
        .open = r->conf.consumer ? r->open : NULL,
        .n_open = n_open,
        .lost_frames = r->lost_frames,
        .lost_rows = r->lost_rows,
    };
    r->lost_frames = r->lost_rows = 0;
    return 1;
}

/* Damage, or a segment that went while we read it and whose file is something else by now? */
static bool went_away(struct reader *r)
{
    struct gw_lf *l = r->l;
    bool listed = false;

    gw_lf_follow(l);
    (void)pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_segs; i++)
        listed |= l->segs[i].number == r->number;
    (void)pthread_mutex_unlock(&l->lock);
    if (listed)
        return false;
    close_file(r);
    lose_place(r);
    return true;
}

/* What the disk would not give may come when asked again; if it does not, it is damage like any other. */
static bool ask_again(struct reader *r, uint64_t at, uint64_t skipped)
{
    if (r->scan.error == 0 || r->n_errors >= READ_AGAIN)
        return false;
    r->n_errors++;
    r->scan.at = at;
    r->scan.skipped = skipped;
    return true;
}

/*
 * Nothing fits up to the end of the last segment. What lies there is damaged, or what a disk that was asked too early
 * will give later: only a record behind it can tell, and until there is one nothing is passed over.
 */
static bool stays(struct reader *r, uint64_t at, uint64_t skipped)
{
    struct gw_lf *l = r->l;
    bool is_last;

    (void)pthread_mutex_lock(&l->lock);
    is_last = l->segs[l->n_segs - 1].number == r->number;
    (void)pthread_mutex_unlock(&l->lock);
    if (!is_last)
        return false;
    r->scan.at = at;
    r->scan.skipped = skipped;
    r->scan.n_buf = 0;
    return true;
}

/* One record. 1: *ret is filled in. 0: go on. */
static int look_at(struct reader *r, uint64_t off, const struct gw_lf_record *rec, struct gw_log_entry *ret)
{
    unsigned n_open = 0;
    const uint8_t *p;
    int rc;

    if (rec->kind != GW_LF_FRAME)
        return 0;
    if (rec->seq < r->seq) {
        r->before = (struct gw_lf_place){rec->row + rec->rows, rec->seq + 1, 0};
        return 0;
    }
    if (!r->knows_row && rec->seq > r->seq) /* the one that was asked for is missing */
        go_before(r);
    if (rec->seq > r->seq)
        gap(r, rec->seq, rec->row);
    r->seq = rec->seq;
    r->row = rec->row;
    r->knows_row = true;
    if (!is_wanted(r, rec)) {
        r->seq++;
        r->row += rec->rows;
        return 0;
    }
    rc = r->conf.consumer ? find_open(r, rec, &n_open) : 0;
    if (rc == 0 && (!r->conf.consumer || n_open > 0)) {
        rc = read_body(r, off, rec, &p);
        if (rc == 0) {
            if (went_away(r))
                return 0;
            if (ask_again(r, off, r->scan.skipped))
                return r->scan.error;
            gap(r, rec->seq + 1, rec->row + rec->rows); /* damaged: only this one */
            return 0;
        }
        if (rc > 0)
            rc = give(r, p, rec, n_open, ret);
    }
    if (rc < 0) {
        r->scan.at = off; /* the next call tries again */
        return rc;
    }
    r->n_errors = 0;
    r->seq++;
    r->row += rec->rows;
    return rc;
}

int gw_lf_next(struct gw_log_reader *reader, struct gw_log_entry *ret)
{
    struct reader *r = (struct reader *)reader;
    bool followed = false;

    for (;;) {
        struct gw_lf_record rec;
        uint64_t off, skipped, at;
        int rc = locate(r);

        if (rc == 0 && !followed && r->l->conf.read_only) {
            gw_lf_follow(r->l);
            followed = true;
            continue;
        }
        if (rc == 2)
            continue;
        if (rc <= 0)
            return rc;
        skipped = r->scan.skipped;
        at = r->scan.at;
        r->scan.error = 0;
        rc = gw_lf_scan_next(&r->scan, &off, &rec);
        if (rc >= 0 && ask_again(r, at, skipped))
            return r->scan.error;
        if (r->scan.skipped > skipped && went_away(r))
            continue;
        if (rc == 0 && stays(r, at, skipped))
            return 0;
        if (rc > 0)
            rc = look_at(r, off, &rec, ret);
        if (rc != 0)
            return rc;
    }
}
