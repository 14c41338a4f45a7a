/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte 0 picks the codec; the rest is decompressed under a cap, and compressed and decompressed again. Property: no
 * crash, nothing over the cap or the ratio, and what went in comes out.
 */
#include <pthread.h>
#include <stdlib.h>

#include "net/compress.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool threaded;
    pthread_t t;

    enum gw_codec c;
    struct gw_slice in;
    struct gw_buf out, packed;
    int rc;

    if (size < 1 || size > CAP / 4)
        return 0;
    if (!threaded && pthread_create(&t, NULL, in_thread, NULL) == 0)
        (void)pthread_join(t, NULL);
    threaded = true;
    c = (enum gw_codec)(data[0] % GW_CODEC_UNKNOWN);
    in = gw_slice_of(data + 1, size - 1);
    gw_buf_init(&out, CAP);
    rc = gw_decompress(c, in, &out, NULL);
    if (out.n > CAP || out.cap > CAP || out.n > gw_decompress_most(in) || (rc < 0 && out.n != 0))
        abort();
    check_small(c, in);
    if (gw_decompress_hint(c, in) > gw_decompress_most(in))
        abort();
    gw_buf_reset(&out);
    gw_buf_init(&packed, CAP);
    if (gw_compress(c, data[0] / GW_CODEC_UNKNOWN % 10, in, &packed, NULL) < 0 ||
        gw_decompress(c, gw_buf_slice(&packed), &out, NULL) < 0 || !gw_slice_eq(gw_buf_slice(&out), in))
        abort();
    gw_buf_clear(&packed);
    gw_buf_clear(&out);
    return 0;
}
