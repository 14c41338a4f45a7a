/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A meta outside of the process (log frames): version 1, then texts with their lengths in front (varints).
 *
 *   01 │ tenant │ peer │ transport │ n_pairs { key value } │ n_auth { key value }
 *
 * In front of it there may be ids of requests:  02 │ n_bytes │ ids │
 */
#include "batch/meta.h"

#include <errno.h>
#include <stdlib.h>

#include "core/buf.h"

enum { VERSION = 1, IDS = 2, MAX_PAIRS = 4096 };

static void put_number(struct gw_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 128));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void put_text(struct gw_buf *b, struct gw_slice s)
{
    put_number(b, s.n);
    gw_buf_put_slice(b, s);
}

static void put_pairs(struct gw_buf *b, const struct gw_meta_pair *pairs, uint32_t n)
{
    put_number(b, n);
    for (uint32_t i = 0; i < n; i++) {
        put_text(b, pairs[i].key);
        put_text(b, pairs[i].value);
    }
}

void gw_meta_write_ids(const void *ids, size_t n_bytes, struct gw_buf *out)
{
    if (n_bytes == 0)
        return;
    gw_buf_put_u8(out, IDS);
    put_text(out, gw_slice_of(ids, n_bytes));
}

void gw_meta_write(const struct gw_meta *m, struct gw_buf *out)
{
    gw_buf_put_u8(out, VERSION);
    put_text(out, m->tenant);
    put_text(out, m->peer);
    put_text(out, gw_slice_cstr(m->transport));
    put_pairs(out, m->pairs, m->n_pairs);
    put_pairs(out, m->auth, m->n_auth);
}

static bool get_number(struct gw_slice *s, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 35 && s->n > 0; shift += 7) {
        uint8_t c = *s->p;

        s->p++;
        s->n--;
        v |= (uint64_t)(c & 127) << shift;
        if (c < 128) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool get_text(struct gw_slice *s, struct gw_slice *ret)
{
    uint64_t n;

    if (!get_number(s, &n) || n > s->n)
        return false;
    *ret = (struct gw_slice){s->p, (size_t)n};
    s->p += n;
    s->n -= (size_t)n;
    return true;
}

static bool get_pairs(struct gw_slice *s, struct gw_meta_pair *ret, uint32_t room, uint32_t *ret_n)
{
    uint64_t n;

    if (!get_number(s, &n) || n > room)
        return false;
    for (uint64_t i = 0; i < n; i++)
        if (!get_text(s, &ret[i].key) || !get_text(s, &ret[i].value))
            return false;
    *ret_n = (uint32_t)n;
    return true;
}

bool gw_meta_split(struct gw_slice bytes, struct gw_slice *ret_ids, struct gw_slice *ret_meta)
{
    *ret_ids = (struct gw_slice){0};
    *ret_meta = bytes;
    if (bytes.n == 0 || *bytes.p != IDS)
        return true;
    bytes.p++;
    bytes.n--;
    if (!get_text(&bytes, ret_ids))
        return false;
    *ret_meta = bytes;
    return true;
}

/* A transport is a word of the program's own; of a newer version's words nothing is made. */
static const char *known_transport(struct gw_slice s)
{
    static const char *const known[] = {"grpc", "http", "internal"};

    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (gw_slice_is(s, known[i]))
            return known[i];
    return NULL;
}

/* Slices into the bytes. */
static bool parse(struct gw_slice bytes, struct gw_meta *m, struct gw_meta_pair *pairs, uint32_t most)
{
    struct gw_slice transport;

    if (bytes.n == 0 || *bytes.p != VERSION)
        return false;
    bytes.p++;
    bytes.n--;
    if (!get_text(&bytes, &m->tenant) || !get_text(&bytes, &m->peer) || !get_text(&bytes, &transport) ||
        !get_pairs(&bytes, pairs, most, &m->n_pairs) ||
        !get_pairs(&bytes, pairs + m->n_pairs, most - m->n_pairs, &m->n_auth) || bytes.n != 0)
        return false;
    m->pairs = pairs;
    m->auth = pairs + m->n_pairs;
    m->transport = known_transport(transport);
    return true;
}

int gw_meta_read(struct gw_slice bytes, struct gw_meta **ret)
{
    struct gw_meta_pair *pairs;
    struct gw_meta m = {0};
    struct gw_slice ids;
    size_t most;
    int rc = -ENOMEM;

    *ret = NULL;
    if (!gw_meta_split(bytes, &ids, &bytes))
        return -EBADMSG;
    if (ids.n && bytes.n == 0)
        return 0;
    most = bytes.n / 2 < MAX_PAIRS ? bytes.n / 2 : MAX_PAIRS; /* a pair takes two bytes at least */
    pairs = calloc(most + 1, sizeof(*pairs));
    if (pairs && !parse(bytes, &m, pairs, (uint32_t)most))
        rc = -EBADMSG;
    else if (pairs && (*ret = gw_meta_new(&m)) != NULL)
        rc = 0;
    free(pairs);
    return rc;
}
