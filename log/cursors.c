/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers, producers and numbers, as others see them. What changes is written at once, by whoever asks for it. */
#include <stdio.h>

#include "log/impl.h"

static bool is_name(const char *name)
{
    size_t n = name ? strlen(name) : 0;

    return n > 0 && n <= GW_LOG_MAX_NAME_BYTES;
}

int gw_lf_producer(struct gw_log *log, const char *name, struct gw_log_producer *ret)
{
    struct gw_lf *l = (struct gw_lf *)log;
    struct gw_lf_producer next = {0};
    const struct gw_lf_producer *known;
    struct gw_buf b;
    int rc;

    if (!is_name(name))
        return -EINVAL;
    if (l->conf.read_only)
        return -EROFS;
    (void)pthread_mutex_lock(&l->work);
    known = gw_lf_state_producer_named(&l->state, name);
    next.id = known ? known->id : l->state.next_producer ? l->state.next_producer : 1;
    next.epoch = known ? known->epoch + 1 : 1;
    (void)snprintf(next.name, sizeof(next.name), "%s", name);
    gw_buf_init(&b, 1024);
    gw_lf_put_producer(&b, &next);
    rc = b.failed ? -ENOMEM : l->closed ? -ESHUTDOWN : gw_lf_write_now(l, GW_LF_PRODUCER, gw_buf_slice(&b), 2);
    gw_buf_clear(&b);
    (void)pthread_mutex_unlock(&l->work);
    if (rc == 0)
        *ret = (struct gw_log_producer){next.id, next.epoch};
    return rc;
}

static int make_consumer(struct gw_lf *l, const char *name, enum gw_log_start start, uint32_t *ret_id)
{
    struct gw_lf_consumer c = {.id = l->state.next_consumer ? l->state.next_consumer : 1};
    bool from_end = start == GW_LOG_FROM_END;
    struct gw_buf b;
    int rc;

    (void)snprintf(c.name, sizeof(c.name), "%s", name);
    c.first_row = from_end ? l->state.end_row : l->segs[0].first_row;
    c.done.base = (struct gw_lf_place){c.first_row, from_end ? l->state.end_seq : l->segs[0].first_seq, 0};
    gw_buf_init(&b, 1024);
    gw_lf_put_consumer(&b, &c);
    rc = b.failed ? -ENOMEM : gw_lf_write_now(l, GW_LF_CONSUMER, gw_buf_slice(&b), 2);
    gw_buf_clear(&b);
    if (rc == 0)
        *ret_id = c.id;
    return rc;
}

int gw_lf_consumer_open(struct gw_log *log, const char *name, enum gw_log_start start, uint32_t *ret_id)
{
    struct gw_lf *l = (struct gw_lf *)log;
    struct gw_lf_consumer *c;
    int rc = 0;

    if (!is_name(name))
        return -EINVAL;
    (void)pthread_mutex_lock(&l->work);
    c = gw_lf_state_consumer_named(&l->state, name);
    if (!c && l->conf.read_only)
        rc = -ENOENT;
    else if (!c)
        rc = l->closed ? -ESHUTDOWN : make_consumer(l, name, start, ret_id);
    (void)pthread_mutex_lock(&l->lock);
    c = gw_lf_state_consumer_named(&l->state, name);
    if (c && rc == 0) {
        c->is_open = true;
        *ret_id = c->id;
    }
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_mutex_unlock(&l->work);
    return rc;
}

void gw_lf_consumer_close(struct gw_log *log, uint32_t id)
{
    struct gw_lf *l = (struct gw_lf *)log;
    struct gw_lf_consumer *c;

    (void)pthread_mutex_lock(&l->work);
    (void)pthread_mutex_lock(&l->lock);
    c = gw_lf_state_consumer(&l->state, id);
    if (c)
        c->is_open = false;
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_mutex_unlock(&l->work);
}

int gw_lf_consumer_release(struct gw_log *log, const char *name)
{
    struct gw_lf *l = (struct gw_lf *)log;
    struct gw_lf_consumer *c;
    struct gw_buf b;
    int rc = -ENOENT;

    if (l->conf.read_only)
        return -EROFS;
    (void)pthread_mutex_lock(&l->work);
    c = name ? gw_lf_state_consumer_named(&l->state, name) : NULL;
    if (c) {
        gw_buf_init(&b, 1024);
        gw_lf_put_release(&b, c->id);
        rc = b.failed ? -ENOMEM : l->closed ? -ESHUTDOWN : gw_lf_write_now(l, GW_LF_RELEASE, gw_buf_slice(&b), 1);
        gw_buf_clear(&b);
        if (rc == 0)
            gw_lf_retain(l);
    }
    (void)pthread_mutex_unlock(&l->work);
    return rc;
}

static void fill_in(const struct gw_lf_state *s, const struct gw_lf_consumer *c, struct gw_log_consumer *ret)
{
    const struct gw_lf_place *base = &c->done.base;

    *ret = (struct gw_log_consumer){.id = c->id,
                                    .is_open = c->is_open,
                                    .first_row = c->first_row,
                                    .low = base->row == s->end_row ? s->end_seq : base->seq,
                                    .low_row = base->row - base->part,
                                    .lost_rows = c->lost_rows,
                                    .ahead_rows = c->done.above + base->part};
    (void)snprintf(ret->name, sizeof(ret->name), "%s", c->name);
    memcpy(ret->settled, c->settled, sizeof(ret->settled));
}

int gw_lf_consumers(struct gw_log *log, void (*each)(void *arg, const struct gw_log_consumer *c), void *arg)
{
    struct gw_lf *l = (struct gw_lf *)log;

    gw_lf_follow(l);
    (void)pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < l->state.n_consumers; i++) {
        struct gw_log_consumer c;

        fill_in(&l->state, l->state.consumers[i], &c);
        each(arg, &c);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return 0;
}

int gw_lf_position(struct gw_log *log, uint32_t consumer, uint16_t partition, uint64_t *ret_next_seq, void *note,
                   size_t *n_note)
{
    struct gw_lf *l = (struct gw_lf *)log;
    const struct gw_lf_consumer *c;
    const struct gw_lf_position *p;
    int rc = 0;

    if (partition >= GW_LOG_PARTITIONS)
        return -EINVAL;
    gw_lf_follow(l);
    (void)pthread_mutex_lock(&l->lock);
    c = gw_lf_state_consumer(&l->state, consumer);
    p = c && c->positions ? &c->positions[partition] : NULL;
    if (!c) {
        rc = -ENOENT;
    } else if (!p || !p->is_set) {
        uint64_t first = l->segs[0].first_seq;

        *ret_next_seq = c->done.base.seq > first ? c->done.base.seq : first;
        if (n_note)
            *n_note = 0;
    } else {
        *ret_next_seq = p->next_seq;
        if (n_note && note && p->n_note > *n_note)
            rc = -ENOBUFS;
        else if (note && n_note)
            memcpy(note, p->note ? p->note : (const uint8_t *)"", p->n_note);
        if (n_note)
            *n_note = p->n_note;
    }
    (void)pthread_mutex_unlock(&l->lock);
    return rc;
}

void gw_lf_stats(struct gw_log *log, struct gw_log_stats *ret)
{
    struct gw_lf *l = (struct gw_lf *)log;

    gw_lf_follow(l);
    (void)pthread_mutex_lock(&l->lock);
    *ret = l->stats;
    ret->first_seq = l->segs[0].first_seq;
    ret->first_row = l->segs[0].first_row;
    ret->end_seq = l->state.end_seq;
    ret->end_row = l->state.end_row;
    if (ret->synced_seq > ret->end_seq)
        ret->synced_seq = ret->end_seq;
    ret->max_bytes = gw_lf_max_bytes(l);
    memcpy(ret->uuid, l->uuid, sizeof(ret->uuid));
    ret->segments = l->n_segs;
    ret->bytes = 0;
    ret->last_time_ns = 0;
    for (size_t i = 0; i < l->n_segs; i++) {
        ret->bytes += l->segs[i].end;
        if (l->segs[i].last_time_ns > ret->last_time_ns)
            ret->last_time_ns = l->segs[i].last_time_ns;
    }
    ret->first_time_ns = l->segs[0].time_ns;
    ret->lost_frames = l->state.lost_frames;
    ret->lost_rows = l->state.lost_rows;
    ret->lost_bytes = l->state.lost_bytes;
    (void)pthread_mutex_unlock(&l->lock);
}
