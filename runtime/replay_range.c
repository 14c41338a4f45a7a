/* SPDX-License-Identifier: Apache-2.0 */
/* The range of a replay: as a person writes it, and what is in it. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/dlq.h"
#include "runtime/replay.h"

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 19;
}

int gw_replay_parse_point(const char *text, uint64_t now_ns, struct gw_replay_point *ret)
{
    *ret = (struct gw_replay_point){.kind = GW_REPLAY_EDGE};
    if (!*text)
        return 0;
    if (is_number(text)) {
        *ret = (struct gw_replay_point){GW_REPLAY_POSITION, strtoull(text, NULL, 10)};
        return 0;
    }
    if (strspn(text, "0123456789") == strlen(text))
        return -EINVAL;
    ret->kind = GW_REPLAY_TIME;
    if (*text == '@') {
        if (!is_number(text + 1) || strlen(text) > 11)
            return -EINVAL;
        ret->at = strtoull(text + 1, NULL, 10) * 1000000000u;
        return 0;
    }
    return gw_dlq_parse_time(*text == '-' ? text + 1 : text, now_ns, &ret->at);
}

struct sum {
    uint64_t frames, rows, bytes, first_seq, last_seq, first_ns, last_ns;
};

static void add(struct sum *s, const struct gw_log_frame *f)
{
    if (s->frames++ == 0) {
        s->first_seq = f->seq;
        s->first_ns = s->last_ns = f->time_ns;
    }
    s->last_seq = f->seq;
    s->first_ns = f->time_ns < s->first_ns ? f->time_ns : s->first_ns;
    s->last_ns = f->time_ns > s->last_ns ? f->time_ns : s->last_ns;
    s->rows += f->rows;
    s->bytes += f->body.n;
}

static void put(const struct sum *s, enum gw_signal signal, struct gw_buf *out)
{
    if (s->frames == 0)
        return;
    gw_buf_printf(out, "%s: %llu rows in %llu frames, %llu bytes, positions %llu to %llu, ", gw_signal_name(signal),
                  (unsigned long long)s->rows, (unsigned long long)s->frames, (unsigned long long)s->bytes,
                  (unsigned long long)s->first_seq, (unsigned long long)s->last_seq);
    gw_dlq_put_time(out, s->first_ns);
    gw_buf_put_str(out, " to ");
    gw_dlq_put_time(out, s->last_ns);
    gw_buf_put_u8(out, '\n');
}

static bool is_in(const struct gw_replay_range *range, const struct gw_log_frame *f)
{
    const struct gw_replay_point *from = &range->from, *to = &range->to;

    if ((from->kind == GW_REPLAY_TIME && f->time_ns < from->at) ||
        (from->kind == GW_REPLAY_POSITION && f->seq < from->at))
        return false;
    return !((to->kind == GW_REPLAY_TIME && f->time_ns >= to->at) ||
             (to->kind == GW_REPLAY_POSITION && f->seq >= to->at));
}

int gw_replay_count(struct gw_log *log, const struct gw_replay_range *range, struct gw_buf *out)
{
    struct gw_log_reader_conf conf = {0};
    struct sum sums[3] = {{0}};
    struct gw_log_reader *r;
    struct gw_log_entry e;
    int rc = gw_log_reader_new(log, &conf, &r);

    if (rc < 0)
        return rc;
    if (range->from.kind == GW_REPLAY_POSITION)
        rc = gw_log_seek(r, GW_LOG_PARTITIONS, range->from.at);
    while (rc == 0 && (e = (struct gw_log_entry){0}, rc = gw_log_next(r, &e)) == 1) {
        if (is_in(range, &e.frame) && e.frame.topic < 3)
            add(&sums[e.frame.topic], &e.frame);
        rc = 0;
        if (range->to.kind == GW_REPLAY_POSITION && e.frame.seq >= range->to.at)
            break;
    }
    gw_log_reader_free(r);
    for (unsigned i = 0; i < 3; i++)
        put(&sums[i], (enum gw_signal)(1u << i), out);
    if (out->n == 0)
        gw_buf_put_str(out, "nothing lies in that range\n");
    return rc;
}
