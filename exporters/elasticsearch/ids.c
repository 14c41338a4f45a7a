/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids that are the same when the same is sent again, so that a document is created once. Hashes are XXH3 of 128 bits
 * in base64url: 22 characters.
 *
 * record    the row's place in the queue on disk, else the attempt and the row: two records never share an id, and what
 *           is sent again, after a lost answer or by the next process, is stored once
 * content   the index and the document: what a client sends again is stored once, too, and so is what only looks alike
 */
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "exporters/elasticsearch/writer.h"
#include "pipeline/exporter.h"

static XXH128_hash_t hash_of(struct gw_slice s)
{
    return XXH3_128bits(s.n ? s.p : (const uint8_t *)"", s.n);
}

/** A hash of hashes, in the order given. */
static XXH128_hash_t join(const XXH128_hash_t *parts, size_t n)
{
    return XXH3_128bits(parts, n * sizeof(*parts));
}

static void put_text(XXH128_hash_t h, uint8_t *id)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned __int128 v = (unsigned __int128)h.high64 << 64 | h.low64;

    /* 128 bits are 21 digits of six and one of two. */
    for (int i = GW_ES_ID_BYTES - 1; i >= 0; i--) {
        id[i] = (uint8_t)digits[(unsigned)(v & 63)];
        v >>= 6;
    }
}

static void put_id(XXH128_hash_t h, char id[80])
{
    put_text(h, (uint8_t *)id);
    id[GW_ES_ID_BYTES] = 0;
}

/** A record is its place: what looks the same may be meant twice, and an attempt sends lines again. */
static XXH128_hash_t place_of(const struct gw_es_writer *w, uint32_t row, uint64_t part)
{
    struct gw_attempt *a = w->o->rows_of;
    uint64_t place[] = {w->o->attempt[0], w->o->attempt[1], row, 0, part, w->o->exporter};

    if (a && a->row_name && a->row_name(a, row, place))
        place[4] ^= 1ull << 63; /* no attempt's */
    return XXH3_128bits(place, sizeof(place));
}

void gw_es_id_row(const struct gw_es_writer *w, uint32_t row, char id[80])
{
    put_id(place_of(w, row, 0), id);
}

void gw_es_id_event(const struct gw_es_writer *w, uint32_t row, uint32_t event, char id[80])
{
    size_t n;

    gw_es_id_row(w, row, id);
    n = strlen(id);
    (void)snprintf(id + n, 80 - n, "-%u", event - w->b->events_of[row].begin);
}

void gw_es_id_points(const struct gw_es_writer *w, uint32_t row, uint64_t names_hash, char id[80])
{
    put_id(place_of(w, row, names_hash), id);
}

void gw_es_id_content(struct gw_slice index, struct gw_slice document, uint8_t *id)
{
    const XXH128_hash_t parts[] = {hash_of(index), hash_of(document)};

    put_text(join(parts, 2), id);
}

uint64_t gw_es_names_hash(struct gw_slice names)
{
    return XXH64(names.n ? names.p : (const uint8_t *)"", names.n, 0);
}
