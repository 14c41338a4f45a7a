/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids that are the same when the same is sent again, so that a document is created once. Hashes are XXH3 of 128 bits
 * in base64url: 22 characters.
 */
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "exporters/elasticsearch/writer.h"

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

/** Resource and scope as they came, once for all rows of a scope. */
static XXH128_hash_t envelope_of(struct gw_es_writer *w)
{
    const struct gw_batch *b = w->b;
    const struct gw_scope *s = &b->scopes[w->scope.scope];
    const struct gw_resource *r = &b->resources[s->resource];
    XXH128_hash_t h;

    if (!w->scope.has_hash) {
        const XXH128_hash_t parts[] = {hash_of(gw_batch_slice(b, r->raw)), hash_of(gw_batch_slice(b, r->schema_url)),
                                       hash_of(gw_batch_slice(b, s->raw)), hash_of(gw_batch_slice(b, s->schema_url))};

        h = join(parts, 4);
        w->scope.hash[0] = h.low64;
        w->scope.hash[1] = h.high64;
        w->scope.has_hash = true;
    }
    h.low64 = w->scope.hash[0];
    h.high64 = w->scope.hash[1];
    return h;
}

static XXH128_hash_t row_hash(struct gw_es_writer *w, uint32_t row)
{
    const XXH128_hash_t parts[] = {envelope_of(w), hash_of(gw_batch_slice(w->b, w->b->raw[row]))};

    return join(parts, 2);
}

void gw_es_id_log(struct gw_es_writer *w, uint32_t row, char id[80])
{
    put_id(row_hash(w, row), id);
}

static size_t put_hex(const uint8_t *p, size_t n, char *to)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        to[2 * i] = digits[p[i] >> 4];
        to[2 * i + 1] = digits[p[i] & 15];
    }
    return 2 * n;
}

/** A span has a name that is its own, unless it lacks one of its two ids. */
void gw_es_id_span(struct gw_es_writer *w, uint32_t row, char id[80])
{
    const struct gw_batch *b = w->b;
    size_t n;

    if (gw_es_is_zero(b->trace_id[row], 16) || gw_es_is_zero(b->span_id[row], 8)) {
        put_id(row_hash(w, row), id);
        return;
    }
    n = put_hex(b->trace_id[row], 16, id);
    n += put_hex(b->span_id[row], 8, id + n);
    id[n] = 0;
}

void gw_es_id_event(struct gw_es_writer *w, uint32_t row, uint32_t event, char id[80])
{
    size_t n;

    gw_es_id_span(w, row, id);
    n = strlen(id);
    (void)snprintf(id + n, 80 - n, "-%u", event - w->b->events_of[row].begin);
}

void gw_es_id_points(const struct gw_es_writer *w, const struct gw_es_group *g, struct gw_slice names, char id[80])
{
    XXH128_hash_t parts[5];

    for (unsigned i = 0; i < 4; i++)
        parts[i] = hash_of(gw_es_group_part(w, g, i));
    parts[4] = hash_of(names);
    put_id(join(parts, 5), id);
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
