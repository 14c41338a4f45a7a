/* SPDX-License-Identifier: Apache-2.0 */
#include "net/h2_frames.h"

#include <string.h>

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3 };

void gw_h2_frames_init(struct gw_h2_frames *f)
{
    *f = (struct gw_h2_frames){.left = GW_H2_PREFACE_BYTES};
}

static uint32_t *place_of(struct gw_h2_frames *f, uint32_t id)
{
    return &f->closed[id / 2 % GW_H2_CLOSED];
}

void gw_h2_frames_ended(struct gw_h2_frames *f, uint32_t id)
{
    if (*place_of(f, id) >> 1 != id) /* reset is the milder one: it may have been both */
        *place_of(f, id) = id << 1;
}

void gw_h2_frames_reset(struct gw_h2_frames *f, uint32_t id)
{
    *place_of(f, id) = id << 1 | 1;
}

/** A new stream. Numbers only rise: those below it that were not used never can be. */
static void open_stream(struct gw_h2_frames *f, uint32_t id)
{
    if (id > f->last + 2) {
        unsigned i = f->n_skipped++ % GW_H2_SKIPPED;

        f->skipped[i].first = f->last + 1;
        f->skipped[i].last = id - 1;
    }
    f->last = id;
}

static bool was_skipped(const struct gw_h2_frames *f, uint32_t id)
{
    for (unsigned i = 0; i < GW_H2_SKIPPED && i < f->n_skipped; i++)
        if (id >= f->skipped[i].first && id <= f->skipped[i].last)
            return true;
    return false;
}

static enum gw_h2_wrong judge(struct gw_h2_frames *f, unsigned type, uint32_t id)
{
    uint32_t closed;

    if (type != DATA && type != HEADERS)
        return GW_H2_FINE;
    if (id > f->last) { /* of an even number or of DATA nghttp2 knows what to think */
        if (type == HEADERS && id % 2)
            open_stream(f, id);
        return GW_H2_FINE;
    }
    closed = *place_of(f, id);
    if (id != 0 && closed >> 1 == id)
        return closed & 1 ? GW_H2_AFTER_RESET : GW_H2_AFTER_END;
    return type == HEADERS && was_skipped(f, id) ? GW_H2_GOING_BACK : GW_H2_FINE;
}

/** The head is complete. */
static enum gw_h2_wrong begin_frame(struct gw_h2_frames *f, uint32_t *ret_id)
{
    const uint8_t *h = f->head;

    f->n_head = 0;
    f->left = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    f->is_reset = h[3] == RST_STREAM;
    f->is_data = h[3] == DATA;
    *ret_id = (uint32_t)(h[5] & 127) << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];
    return judge(f, h[3], *ret_id);
}

size_t gw_h2_frames_look(struct gw_h2_frames *f, struct gw_slice in, size_t most, enum gw_h2_wrong *ret,
                         uint32_t *ret_id)
{
    size_t at = 0;

    *ret = GW_H2_FINE;
    while (at < in.n && (most || (f->is_data && f->left))) {
        size_t n = in.n - at;

        if (f->is_data && f->left) {
            n = n < f->left ? n : f->left;
            f->left -= (uint32_t)n;
            at += n;
            continue;
        }
        n = n < most ? n : most;
        if (f->left) {
            n = n < f->left ? n : f->left;
            f->left -= (uint32_t)n;
            at += n;
            most -= n;
            if (f->left == 0 && f->is_reset) {
                f->is_reset = false;
                return at;
            }
            continue;
        }
        n = n < GW_H2_HEAD_BYTES - f->n_head ? n : GW_H2_HEAD_BYTES - f->n_head;
        memcpy(f->head + f->n_head, in.p + at, n);
        f->n_head += (unsigned)n;
        at += n;
        most -= n;
        if (f->n_head == GW_H2_HEAD_BYTES && (*ret = begin_frame(f, ret_id)) != GW_H2_FINE)
            return at;
    }
    return at;
}
