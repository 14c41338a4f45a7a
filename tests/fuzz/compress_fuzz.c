/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte 0 picks the codec, the level, and whether an allocation fails; the rest is decompressed under a cap, and
 * compressed and decompressed again. Property: no crash, nothing over the cap or the ratio, and what went in comes out;
 * without memory or room nothing does.
 */
#include <pthread.h>
#include <stdlib.h>

#include "net/compress.h"
#include "tests/harness_malloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 4 << 20 };

/* A small cap, in memory of our own that must not move. */
static void check_small(enum gw_codec c, struct gw_slice in)
{
    uint8_t room[100];
    struct gw_buf out = {.p = room, .n = 7, .cap = sizeof(room), .max_bytes = sizeof(room)};
    int rc = gw_decompress(c, in, &out, NULL);

    if (out.p != room || out.n > sizeof(room) || (rc < 0 && out.n != 7))
        abort();
    if (gw_codec_parse(gw_slice_cstr(gw_codec_name(c))) != c || (in.n > 20 && gw_codec_parse(in) != GW_CODEC_UNKNOWN))
        abort();
}

/* A thread of its own, once: its scratch memory must go with it. */
static void *in_thread(void *arg)
{
    struct gw_buf b;

    (void)arg;
    gw_buf_init(&b, 1 << 16);
    for (int c = 0; c < GW_CODEC_UNKNOWN; c++)
        if (gw_compress((enum gw_codec)c, c == GW_GZIP ? 6 : 0, GW_SLICE("some text"), &b, NULL) < 0)
            abort();
    gw_buf_clear(&b);
    return NULL;
}

struct job {
    enum gw_codec c;
    int level;
    struct gw_slice in;
};

static void refused(int rc, const struct gw_buf *b)
{
    if (rc < 0 && b->n != 0)
        abort();
}

/* In three parts, none of which need have bytes. */
static int compress_parts(const struct job *j, struct gw_buf *out)
{
    size_t a = j->in.n / 3, b = j->in.n - j->in.n / 5;
    const struct gw_slice parts[] = {gw_slice_of(j->in.p, a), gw_slice_of(j->in.p + a, b - a),
                                     gw_slice_of(j->in.p + b, j->in.n - b)};

    return gw_compress_rope(j->c, j->level, (struct gw_rope){.parts = parts, .n_parts = 3, .n = j->in.n}, out, NULL);
}

/* Into buffers of all sizes below what it takes, and for a codec that nobody knows. */
static void short_of_room(const struct job *j)
{
    struct gw_buf b;

    for (size_t room = 0; room <= j->in.n; room += 1 + j->in.n / 4) {
        gw_buf_init(&b, room);
        refused(gw_compress(j->c, j->level, j->in, &b, NULL), &b);
        if (b.cap > room)
            abort();
        gw_buf_reset(&b);
        refused(compress_parts(j, &b), &b);
        if (b.cap > room)
            abort();
        gw_buf_clear(&b);
    }
    gw_buf_init(&b, CAP);
    if (gw_compress(GW_CODEC_UNKNOWN, 0, j->in, &b, NULL) >= 0 ||
        gw_decompress(GW_CODEC_UNKNOWN, j->in, &b, NULL) >= 0 ||
        gw_codec_parse(gw_slice_cstr(gw_codec_name(GW_CODEC_UNKNOWN))) != GW_CODEC_UNKNOWN)
        abort();
    refused(-1, &b);
    gw_buf_clear(&b);
}

/* In a thread of its own, whose scratch memory has to be found as well: one after the other, nothing is left over. */
static void *short_of_memory(void *arg)
{
    const struct job *j = arg;
    struct gw_buf out, packed;

    for (unsigned n = 1; n < 4; n++) {
        gw_buf_init(&out, CAP);
        gw_buf_init(&packed, CAP);
        gw_malloc_fail_at(n);
        refused(gw_decompress(j->c, j->in, &out, NULL), &out);
        gw_malloc_fail_at(n);
        refused(gw_compress(j->c, j->level, j->in, &packed, NULL), &packed);
        gw_buf_reset(&packed);
        gw_malloc_fail_at(n);
        refused(compress_parts(j, &packed), &packed);
        gw_malloc_fail_at(0);
        gw_buf_clear(&out);
        gw_buf_clear(&packed);
    }
    return NULL;
}

static void run_thread(void *(*run)(void *), void *arg)
{
    pthread_t t;

    if (pthread_create(&t, NULL, run, arg) == 0)
        (void)pthread_join(t, NULL);
}

static void round_trip(const struct job *j)
{
    struct gw_buf out, packed;
    int rc;

    gw_buf_init(&out, CAP);
    rc = gw_decompress(j->c, j->in, &out, NULL);
    if (out.n > CAP || out.cap > CAP || out.n > gw_decompress_most(j->in) || (rc < 0 && out.n != 0))
        abort();
    gw_buf_reset(&out);
    gw_buf_init(&packed, CAP);
    if (gw_compress(j->c, j->level, j->in, &packed, NULL) < 0 ||
        gw_decompress(j->c, gw_buf_slice(&packed), &out, NULL) < 0 || !gw_slice_eq(gw_buf_slice(&out), j->in))
        abort();
    gw_buf_reset(&packed);
    gw_buf_reset(&out);
    if (compress_parts(j, &packed) < 0 || gw_decompress(j->c, gw_buf_slice(&packed), &out, NULL) < 0 ||
        !gw_slice_eq(gw_buf_slice(&out), j->in))
        abort();
    gw_buf_clear(&packed);
    gw_buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool threaded;
    struct job j;

    if (size < 1 || size > CAP / 4)
        return 0;
    if (!threaded)
        run_thread(in_thread, NULL);
    threaded = true;
    j = (struct job){.c = (enum gw_codec)(data[0] % GW_CODEC_UNKNOWN),
                     .level = data[0] / GW_CODEC_UNKNOWN % 10,
                     .in = gw_slice_of(data + 1, size - 1)};
    round_trip(&j);
    check_small(j.c, j.in);
    if (gw_decompress_hint(j.c, j.in) > gw_decompress_most(j.in))
        abort();
    short_of_room(&j);
    if (data[0] / GW_CODEC_UNKNOWN / 10 == 3)
        run_thread(short_of_memory, &j);
    return 0;
}
