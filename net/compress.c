/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content encodings. Who does what, per 64 KB of spans: libdeflate inflates gzip in 34 us (zlib 57), ISA-L deflates in
 * 51 us (zlib -1: 185). The decompressors write into the caller's buffer; none of them is told to trust a length that
 * the peer wrote.
 */
#include "net/compress.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <lz4frame.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <strings.h>
#include <zstd.h>

/* A body may grow 200-fold once it is over a MiB: gzip reaches 1,029:1 and zstd 31,800:1 on zeros, telemetry 3-30. */
enum { RATIO = 200, RATIO_FREE_BYTES = 1 << 20 };
enum { FIRST_GUESS_BYTES = 16 << 10, GUESS_RATIO = 6, ZSTD_WINDOW_LOG = 23 /* 8 MiB */ };
enum { SNAPPY_BLOCK_BYTES = 65536 };

/* ---- scratch, one set a thread ---------------------------------------------------------------------------- */

struct scratch {
    struct libdeflate_decompressor *inflate;
    struct libdeflate_compressor *deflate;
    int deflate_level;
    ZSTD_DCtx *zstd_in;
    ZSTD_CCtx *zstd_out;
    LZ4F_dctx *lz4_in;
    struct isal_zstream *isal;
    uint8_t *isal_level;
};

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *arg)
{
    struct scratch *s = arg;

    libdeflate_free_decompressor(s->inflate);
    libdeflate_free_compressor(s->deflate);
    (void)ZSTD_freeDCtx(s->zstd_in);
    (void)ZSTD_freeCCtx(s->zstd_out);
    (void)LZ4F_freeDecompressionContext(s->lz4_in);
    free(s->isal);
    free(s->isal_level);
    free(s);
}

static void scratch_boot(void)
{
    (void)pthread_key_create(&scratch_key, scratch_free);
}

static struct scratch *scratch_get(void)
{
    static _Thread_local struct scratch *mine;

    if (mine)
        return mine;
    (void)pthread_once(&scratch_once, scratch_boot);
    mine = calloc(1, sizeof(*mine));
    if (mine)
        (void)pthread_setspecific(scratch_key, mine);
    return mine;
}

/* ---- names ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum gw_codec codec;
} names[] = {
    {"identity", GW_IDENTITY}, {"", GW_IDENTITY}, {"gzip", GW_GZIP},     {"deflate", GW_ZLIB},
    {"zlib", GW_ZLIB},         {"zstd", GW_ZSTD}, {"snappy", GW_SNAPPY}, {"x-snappy-framed", GW_SNAPPY_FRAMED},
    {"lz4", GW_LZ4},
};

enum gw_codec gw_codec_parse(struct gw_slice name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i].name) == name.n &&
            (name.n == 0 || strncasecmp(names[i].name, (const char *)name.p, name.n) == 0))
            return names[i].codec;
    return GW_CODEC_UNKNOWN;
}

const char *gw_codec_name(enum gw_codec c)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].codec == c)
            return names[i].name;
    return "unknown";
}

/* ---- the cap ---------------------------------------------------------------------------------------------- */

size_t gw_decompress_most(struct gw_slice in)
{
    if (in.n > SIZE_MAX / RATIO)
        return SIZE_MAX;
    return in.n * RATIO > RATIO_FREE_BYTES ? in.n * RATIO : RATIO_FREE_BYTES;
}

/* One decompression under way: how much may still be written. */
struct sink {
    struct gw_buf *out;
    size_t start, most; /* `most` bytes may be appended behind `start` */
    struct gw_err *err;
};

static size_t sink_left(const struct sink *k)
{
    return k->most - (k->out->n - k->start);
}

/* Room that is there and may be used. */
static size_t sink_room(const struct sink *k)
{
    size_t room = k->out->cap - k->out->n, left = sink_left(k);

    return room < left ? room : left;
}

static int too_big(const struct sink *k)
{
    return gw_fail(k->err, -E2BIG, "body grows over %zu bytes when decompressed", k->most);
}

/* More room than there is: about `wish` bytes, cut to what is allowed. -E2BIG when there cannot be more. */
static int sink_grow(struct sink *k, size_t wish)
{
    size_t room = sink_room(k), left = sink_left(k);

    if (room >= left)
        return too_big(k);
    if (wish <= room)
        wish = room + 1;
    if (wish > left)
        wish = left;
    return gw_buf_reserve(k->out, wish) < 0 ? gw_fail(k->err, -ENOMEM, "no memory for a decompressed body") : 0;
}

static int no_memory(struct gw_err *err)
{
    return gw_fail(err, -ENOMEM, "no memory for a decompressor");
}

static int damaged(const struct sink *k, const char *what)
{
    return gw_fail(k->err, -EBADMSG, "%s body is damaged or cut short", what);
}

/* ---- gzip, zlib ------------------------------------------------------------------------------------------- */

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* One member (gzip) or the stream (zlib); *ret_used bytes of input. Starts anew with more room when it must. */
static int inflate_one(struct sink *k, enum gw_codec c, struct gw_slice in, size_t guess, size_t *ret_used)
{
    struct scratch *s = scratch_get();
    int rc;

    if (s && !s->inflate)
        s->inflate = libdeflate_alloc_decompressor();
    if (!s || !s->inflate)
        return no_memory(k->err);
    if (sink_room(k) < guess && sink_room(k) < sink_left(k)) {
        rc = sink_grow(k, guess);
        if (rc < 0)
            return rc;
    }
    for (;;) {
        static uint8_t nothing; /* a full or empty buffer still needs an address */
        uint8_t *to = k->out->p ? k->out->p + k->out->n : &nothing;
        size_t room = sink_room(k), made = 0;
        enum libdeflate_result r;

        r = c == GW_GZIP ? libdeflate_gzip_decompress_ex(s->inflate, in.p, in.n, to, room, ret_used, &made)
                         : libdeflate_zlib_decompress_ex(s->inflate, in.p, in.n, to, room, ret_used, &made);
        if (r == LIBDEFLATE_SUCCESS) {
            k->out->n += made;
            return 0;
        }
        if (r != LIBDEFLATE_INSUFFICIENT_SPACE)
            return damaged(k, gw_codec_name(c));
        rc = sink_grow(k, room < FIRST_GUESS_BYTES ? FIRST_GUESS_BYTES : 2 * room);
        if (rc < 0)
            return rc;
    }
}

static int in_gzip(struct sink *k, struct gw_slice in)
{
    size_t guess = gw_decompress_hint(GW_GZIP, in);

    do { /* members may stand one behind the other (RFC 1952 2.2); anything else behind them is an error */
        size_t used = 0;
        int rc = inflate_one(k, GW_GZIP, in, guess, &used);

        if (rc < 0)
            return rc;
        in = gw_slice_of(in.p + used, in.n - used);
        guess = 0;
    } while (in.n > 0);
    return 0;
}

static int in_zlib(struct sink *k, struct gw_slice in)
{
    size_t used = 0;
    int rc = inflate_one(k, GW_ZLIB, in, gw_decompress_hint(GW_ZLIB, in), &used);

    if (rc == 0 && used != in.n)
        rc = gw_fail(k->err, -EBADMSG, "bytes behind the end of a zlib body");
    return rc;
}

/* ---- zstd ------------------------------------------------------------------------------------------------- */

/* A frame whose length is not told: through a window of at most 8 MiB. */
static int zstd_stream(struct sink *k, ZSTD_DCtx *d, struct gw_slice frame)
{
    ZSTD_inBuffer ib = {frame.p, frame.n, 0};

    (void)ZSTD_DCtx_reset(d, ZSTD_reset_session_only);
    for (;;) {
        ZSTD_outBuffer ob = {k->out->p ? k->out->p + k->out->n : NULL, sink_room(k), 0};
        size_t before = ib.pos, r = ZSTD_decompressStream(d, &ob, &ib);
        int rc;

        if (ZSTD_isError(r))
            return damaged(k, "zstd");
        k->out->n += ob.pos;
        if (r == 0)
            return ib.pos == ib.size ? 0 : damaged(k, "zstd");
        if (ob.pos != 0 || ib.pos != before)
            continue;
        if (ob.size > 0)
            return damaged(k, "zstd"); /* it wants bytes that are not there */
        rc = sink_grow(k, 2 * (k->out->n - k->start) + FIRST_GUESS_BYTES);
        if (rc < 0)
            return rc;
    }
}

/* A frame that tells its length: in one go, the output being its window. */
static int zstd_whole(struct sink *k, ZSTD_DCtx *d, struct gw_slice frame, unsigned long long size)
{
    size_t r;

    if (size > sink_left(k))
        return too_big(k);
    if (size > sink_room(k)) {
        int rc = sink_grow(k, (size_t)size);

        if (rc < 0)
            return rc;
    }
    r = ZSTD_decompressDCtx(d, k->out->p ? k->out->p + k->out->n : NULL, (size_t)size, frame.p, frame.n);
    if (ZSTD_isError(r) || r != size)
        return damaged(k, "zstd");
    k->out->n += r;
    return 0;
}

static int in_zstd(struct sink *k, struct gw_slice in)
{
    struct scratch *s = scratch_get();

    if (s && !s->zstd_in) {
        s->zstd_in = ZSTD_createDCtx();
        if (s->zstd_in)
            (void)ZSTD_DCtx_setParameter(s->zstd_in, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    }
    if (!s || !s->zstd_in)
        return no_memory(k->err);
    do {
        size_t n = ZSTD_findFrameCompressedSize(in.p, in.n);
        unsigned long long size;
        int rc;

        if (ZSTD_isError(n) || n == 0 || n > in.n)
            return damaged(k, "zstd");
        size = ZSTD_getFrameContentSize(in.p, n); /* 0 for a skippable frame */
        if (size == ZSTD_CONTENTSIZE_ERROR)
            return damaged(k, "zstd");
        rc = size == ZSTD_CONTENTSIZE_UNKNOWN ? zstd_stream(k, s->zstd_in, gw_slice_of(in.p, n))
                                              : zstd_whole(k, s->zstd_in, gw_slice_of(in.p, n), size);
        if (rc < 0)
            return rc;
        in = gw_slice_of(in.p + n, in.n - n);
    } while (in.n > 0);
    return 0;
}

/* ---- snappy ----------------------------------------------------------------------------------------------- */

static const uint8_t snappy_ident[10] = {0xff, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y'};

static bool is_framed(struct gw_slice in)
{
    return in.n >= sizeof(snappy_ident) && memcmp(in.p, snappy_ident, sizeof(snappy_ident)) == 0;
}

/* One block; its length stands in front and is looked at before any memory is asked for. */
static int in_snappy(struct sink *k, struct gw_slice in)
{
    size_t size = 0, got;
    int rc;

    if (snappy_uncompressed_length((const char *)in.p, in.n, &size) != SNAPPY_OK)
        return damaged(k, "snappy");
    if (size > sink_left(k))
        return too_big(k);
    if (size > sink_room(k)) {
        rc = sink_grow(k, size);
        if (rc < 0)
            return rc;
    }
    if (!k->out->p) {
        rc = gw_buf_reserve(k->out, 1);
        if (rc < 0)
            return rc;
    }
    got = size;
    if (snappy_uncompress((const char *)in.p, in.n, (char *)k->out->p + k->out->n, &got) != SNAPPY_OK || got != size)
        return damaged(k, "snappy");
    k->out->n += got;
    return 0;
}

/* CRC-32C, rotated and shifted as the framing format asks (section 3). */
static uint32_t snappy_crc(struct gw_slice s)
{
    uint32_t crc = ~crc32_iscsi((unsigned char *)(uintptr_t)s.p, (int)s.n, 0xffffffffu);

    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static int snappy_chunk(struct sink *k, uint8_t type, struct gw_slice chunk)
{
    size_t at = k->out->n;
    struct gw_slice data;
    uint32_t crc;

    if (chunk.n < 4)
        return damaged(k, "snappy");
    crc = le32(chunk.p);
    data = gw_slice_of(chunk.p + 4, chunk.n - 4);
    if (type == 0) {
        size_t size = 0;
        int rc;

        if (snappy_uncompressed_length((const char *)data.p, data.n, &size) != SNAPPY_OK || size > SNAPPY_BLOCK_BYTES)
            return damaged(k, "snappy");
        rc = in_snappy(k, data);
        if (rc < 0)
            return rc;
    } else {
        if (data.n > SNAPPY_BLOCK_BYTES)
            return damaged(k, "snappy");
        if (data.n > sink_left(k))
            return too_big(k);
        if (data.n > 0 && gw_buf_reserve(k->out, data.n) < 0)
            return no_memory(k->err);
        gw_buf_put_slice(k->out, data);
    }
    if (k->out->n > at && snappy_crc(gw_slice_of(k->out->p + at, k->out->n - at)) != crc)
        return gw_fail(k->err, -EBADMSG, "checksum of a snappy chunk is wrong");
    return 0;
}

/* https://github.com/google/snappy/blob/main/framing_format.txt */
static int in_snappy_framed(struct sink *k, struct gw_slice in)
{
    if (!is_framed(in))
        return damaged(k, "snappy");
    while (in.n > 0) {
        uint8_t type = in.p[0];
        size_t n;
        int rc = 0;

        if (in.n < 4)
            return damaged(k, "snappy");
        n = le32(in.p) >> 8;
        if (n > in.n - 4)
            return damaged(k, "snappy");
        if (type <= 1)
            rc = snappy_chunk(k, type, gw_slice_of(in.p + 4, n));
        else if (type == 0xff)
            rc = n == 6 && is_framed(in) ? 0 : damaged(k, "snappy");
        else if (type < 0x80)
            rc = damaged(k, "snappy"); /* reserved, must not be skipped */
        if (rc < 0)
            return rc;
        in = gw_slice_of(in.p + 4 + n, in.n - 4 - n);
    }
    return 0;
}

/* ---- lz4 -------------------------------------------------------------------------------------------------- */

static int in_lz4(struct sink *k, struct gw_slice in)
{
    static const LZ4F_decompressOptions_t opts = {0}; /* output may move between calls: not stableDst */
    struct scratch *s = scratch_get();

    if (s && !s->lz4_in && LZ4F_isError(LZ4F_createDecompressionContext(&s->lz4_in, LZ4F_VERSION)))
        s->lz4_in = NULL;
    if (!s || !s->lz4_in)
        return no_memory(k->err);
    LZ4F_resetDecompressionContext(s->lz4_in);
    for (;;) {
        size_t n_in = in.n, room = sink_room(k), n_out = room, left;
        int rc;

        left = LZ4F_decompress(s->lz4_in, k->out->p ? k->out->p + k->out->n : NULL, &n_out, in.p, &n_in, &opts);
        if (LZ4F_isError(left))
            return damaged(k, "lz4");
        k->out->n += n_out;
        in = gw_slice_of(in.p + n_in, in.n - n_in);
        if (in.n == 0 && left == 0)
            return 0; /* frames may stand one behind the other */
        if (n_in != 0 || n_out != 0)
            continue;
        if (room > 0)
            return damaged(k, "lz4"); /* it wants bytes that are not there */
        rc = sink_grow(k, 2 * (k->out->n - k->start) + GUESS_RATIO * in.n + FIRST_GUESS_BYTES);
        if (rc < 0)
            return rc;
    }
}

/* ---- decompress ------------------------------------------------------------------------------------------- */

static size_t hint_of(enum gw_codec c, struct gw_slice in)
{
    size_t n = 0;

    switch (c) {
    case GW_GZIP:
        return in.n >= 18 ? le32(in.p + in.n - 4) : 0; /* ISIZE, of the last member */
    case GW_ZSTD: {
        unsigned long long z = ZSTD_getFrameContentSize(in.p, in.n);

        return z == ZSTD_CONTENTSIZE_UNKNOWN || z == ZSTD_CONTENTSIZE_ERROR ? GUESS_RATIO * in.n : (size_t)z;
    }
    case GW_SNAPPY:
        if (is_framed(in))
            break;
        return snappy_uncompressed_length((const char *)in.p, in.n, &n) == SNAPPY_OK ? n : 0;
    case GW_IDENTITY:
        return in.n;
    case GW_ZLIB:
    case GW_SNAPPY_FRAMED:
    case GW_LZ4:
    case GW_CODEC_UNKNOWN:
        break;
    }
    return GUESS_RATIO * in.n;
}

size_t gw_decompress_hint(enum gw_codec c, struct gw_slice in)
{
    size_t n = hint_of(c, in), most = gw_decompress_most(in);

    return n < most ? n : most;
}

int gw_decompress(enum gw_codec c, struct gw_slice in, struct gw_buf *out, struct gw_err *err)
{
    struct sink k = {out, out->n, gw_decompress_most(in), err};
    int rc = -ENOTSUP;

    if (k.most > out->max_bytes - out->n)
        k.most = out->max_bytes - out->n;
    switch (c) {
    case GW_IDENTITY:
        if (in.n > sink_left(&k))
            rc = too_big(&k);
        else
            rc = gw_buf_reserve(out, in.n);
        if (rc == 0)
            gw_buf_put_slice(out, in);
        break;
    case GW_GZIP:
        rc = in_gzip(&k, in);
        break;
    case GW_ZLIB:
        rc = in_zlib(&k, in);
        break;
    case GW_ZSTD:
        rc = in_zstd(&k, in);
        break;
    case GW_SNAPPY: /* older senders write the framing format under this name, gRPC's snappy always does */
        rc = is_framed(in) ? in_snappy_framed(&k, in) : in_snappy(&k, in);
        break;
    case GW_SNAPPY_FRAMED:
        rc = in_snappy_framed(&k, in);
        break;
    case GW_LZ4:
        rc = in_lz4(&k, in);
        break;
    case GW_CODEC_UNKNOWN:
        rc = gw_fail(err, -ENOTSUP, "unknown content encoding");
        break;
    }
    if (rc < 0)
        out->n = k.start;
    return rc;
}

/* ---- compress --------------------------------------------------------------------------------------------- */

/* NULL: no memory. */
static struct isal_zstream *isal_get(void)
{
    struct scratch *s = scratch_get();

    if (!s)
        return NULL;
    if (!s->isal) /* each by itself: one may be there since a call that did not find the other */
        s->isal = malloc(sizeof(*s->isal));
    if (!s->isal_level)
        s->isal_level = malloc(ISAL_DEF_LVL1_DEFAULT);
    return s->isal && s->isal_level ? s->isal : NULL;
}

static void isal_set(struct isal_zstream *z, enum gw_codec c)
{
    z->level = 1;
    z->level_buf = scratch_get()->isal_level;
    z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    z->gzip_flag = c == GW_GZIP ? IGZIP_GZIP : IGZIP_ZLIB;
    z->flush = NO_FLUSH;
}

/* gzip and zlib at level 1. Returns false when it did not fit or there is no memory: libdeflate takes over. */
static bool isal_out(enum gw_codec c, struct gw_slice in, struct gw_buf *out)
{
    size_t room = in.n + in.n / 64 + 512;
    struct isal_zstream *z = isal_get();

    if (!z || in.n > UINT32_MAX / 2 || gw_buf_reserve(out, room) < 0)
        return false;
    isal_deflate_stateless_init(z);
    isal_set(z, c);
    z->end_of_stream = 1;
    z->next_in = (uint8_t *)(uintptr_t)in.p;
    z->avail_in = (uint32_t)in.n;
    z->next_out = out->p + out->n;
    z->avail_out = (uint32_t)room;
    if (isal_deflate_stateless(z) != COMP_OK || z->avail_in != 0)
        return false;
    out->n += z->total_out;
    return true;
}

static int out_deflate(enum gw_codec c, int level, struct gw_slice in, struct gw_buf *out, struct gw_err *err)
{
    struct scratch *s;
    size_t room, n;
    int rc;

    if (level <= 1 && isal_out(c, in, out))
        return 0;
    s = scratch_get();
    if (!s)
        return no_memory(err);
    level = level < 1 ? 1 : level > 12 ? 12 : level;
    if (!s->deflate || s->deflate_level != level) {
        libdeflate_free_compressor(s->deflate);
        s->deflate = libdeflate_alloc_compressor(level);
        s->deflate_level = level;
    }
    if (!s->deflate)
        return no_memory(err);
    room = c == GW_GZIP ? libdeflate_gzip_compress_bound(s->deflate, in.n)
                        : libdeflate_zlib_compress_bound(s->deflate, in.n);
    rc = gw_buf_reserve(out, room);
    if (rc < 0)
        return gw_fail(err, rc, "no room for a compressed body");
    n = c == GW_GZIP ? libdeflate_gzip_compress(s->deflate, in.p, in.n, out->p + out->n, room)
                     : libdeflate_zlib_compress(s->deflate, in.p, in.n, out->p + out->n, room);
    if (n == 0)
        return gw_fail(err, -E2BIG, "no room for a compressed body");
    out->n += n;
    return 0;
}

/* NULL: no memory. */
static ZSTD_CCtx *zstd_get(void)
{
    struct scratch *s = scratch_get();

    if (s && !s->zstd_out)
        s->zstd_out = ZSTD_createCCtx();
    return s ? s->zstd_out : NULL;
}

static int out_zstd(int level, struct gw_slice in, struct gw_buf *out, struct gw_err *err)
{
    ZSTD_CCtx *z = zstd_get();
    size_t n;
    int rc;

    if (!z)
        return no_memory(err);
    rc = gw_buf_reserve(out, ZSTD_compressBound(in.n));
    if (rc < 0)
        return gw_fail(err, rc, "no room for a compressed body");
    n = ZSTD_compressCCtx(z, out->p + out->n, out->cap - out->n, in.p, in.n, level == 0 ? ZSTD_CLEVEL_DEFAULT : level);
    if (ZSTD_isError(n))
        return gw_fail(err, -ENOMEM, "zstd: %s", ZSTD_getErrorName(n));
    out->n += n;
    return 0;
}

static int out_snappy(struct gw_slice in, struct gw_buf *out, struct gw_err *err)
{
    size_t n = snappy_max_compressed_length(in.n);
    int rc = gw_buf_reserve(out, n);

    if (rc < 0)
        return gw_fail(err, rc, "no room for a compressed body");
    if (snappy_compress((const char *)in.p, in.n, (char *)out->p + out->n, &n) != SNAPPY_OK)
        return gw_fail(err, -ENOMEM, "snappy failed");
    out->n += n;
    return 0;
}

static int out_snappy_framed(struct gw_slice in, struct gw_buf *out, struct gw_err *err)
{
    gw_buf_put(out, "\xff\x06\x00\x00sNaPpY", 10);
    while (in.n > 0) {
        struct gw_slice part = gw_slice_of(in.p, in.n < SNAPPY_BLOCK_BYTES ? in.n : SNAPPY_BLOCK_BYTES);
        uint32_t crc = snappy_crc(part), n;
        size_t head = out->n;
        int rc;

        gw_buf_put(out, (uint8_t[]){0, 0, 0, 0, crc & 0xff, crc >> 8 & 0xff, crc >> 16 & 0xff, crc >> 24}, 8);
        rc = out_snappy(part, out, err);
        if (rc < 0)
            return rc;
        n = (uint32_t)(out->n - head - 4);
        memcpy(out->p + head, (uint8_t[]){0, n & 0xff, n >> 8 & 0xff, n >> 16 & 0xff}, 4);
        in = gw_slice_of(in.p + part.n, in.n - part.n);
    }
    return out->failed ? gw_fail(err, gw_buf_error(out), "no room for a compressed body") : 0;
}

static int out_lz4(int level, struct gw_slice in, struct gw_buf *out, struct gw_err *err)
{
    LZ4F_preferences_t prefs = LZ4F_INIT_PREFERENCES;
    size_t room, n;
    int rc;

    prefs.compressionLevel = level;
    prefs.frameInfo.contentSize = in.n;
    room = LZ4F_compressFrameBound(in.n, &prefs);
    rc = gw_buf_reserve(out, room);
    if (rc < 0)
        return gw_fail(err, rc, "no room for a compressed body");
    n = LZ4F_compressFrame(out->p + out->n, room, in.p, in.n, &prefs);
    if (LZ4F_isError(n))
        return gw_fail(err, -ENOMEM, "lz4: %s", LZ4F_getErrorName(n));
    out->n += n;
    return 0;
}

int gw_compress(enum gw_codec c, int level, struct gw_slice in, struct gw_buf *out, struct gw_err *err)
{
    size_t start = out->n;
    int rc = -ENOTSUP;

    switch (c) {
    case GW_IDENTITY:
        rc = gw_buf_reserve(out, in.n);
        if (rc == 0)
            gw_buf_put_slice(out, in);
        break;
    case GW_GZIP:
    case GW_ZLIB:
        rc = out_deflate(c, level, in, out, err);
        break;
    case GW_ZSTD:
        rc = out_zstd(level, in, out, err);
        break;
    case GW_SNAPPY:
        rc = out_snappy(in, out, err);
        break;
    case GW_SNAPPY_FRAMED:
        rc = out_snappy_framed(in, out, err);
        break;
    case GW_LZ4:
        rc = out_lz4(level, in, out, err);
        break;
    case GW_CODEC_UNKNOWN:
        rc = gw_fail(err, -ENOTSUP, "unknown content encoding");
        break;
    }
    if (rc < 0)
        out->n = start;
    return rc;
}

/* ---- compress what lies in several places ------------------------------------------------------------------- */

/* As isal_out: false when it did not fit or there is no memory. */
static bool isal_rope(enum gw_codec c, struct gw_rope in, struct gw_buf *out)
{
    size_t room = in.n + in.n / 64 + 512;
    struct isal_zstream *z = isal_get();

    if (!z || in.n > UINT32_MAX / 2 || gw_buf_reserve(out, room) < 0)
        return false;
    isal_deflate_init(z);
    isal_set(z, c);
    z->next_out = out->p + out->n;
    z->avail_out = (uint32_t)room;
    for (uint32_t i = 0; i < in.n_parts; i++) {
        z->next_in = (uint8_t *)(uintptr_t)in.parts[i].p;
        z->avail_in = (uint32_t)in.parts[i].n;
        z->end_of_stream = i + 1 == in.n_parts;
        if (isal_deflate(z) != COMP_OK || z->avail_in != 0)
            return false;
    }
    if (z->internal_state.state != ZSTATE_END)
        return false;
    out->n += z->total_out;
    return true;
}

/* zstd keeps a window of what it has read: 2 MiB of its own at the usual level. */
static int zstd_rope(int level, struct gw_rope in, struct gw_buf *out, struct gw_err *err)
{
    ZSTD_CCtx *z = zstd_get();
    ZSTD_outBuffer to;
    size_t left = 0;
    int rc;

    if (!z)
        return no_memory(err);
    rc = gw_buf_reserve(out, ZSTD_compressBound(in.n));
    if (rc < 0)
        return gw_fail(err, rc, "no room for a compressed body");
    to = (ZSTD_outBuffer){out->p + out->n, out->cap - out->n, 0};
    (void)ZSTD_CCtx_reset(z, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level == 0 ? ZSTD_CLEVEL_DEFAULT : level);
    (void)ZSTD_CCtx_setPledgedSrcSize(z, in.n);
    for (uint32_t i = 0; i < in.n_parts; i++) {
        ZSTD_inBuffer from = {in.parts[i].p, in.parts[i].n, 0};

        left = ZSTD_compressStream2(z, &to, &from, i + 1 == in.n_parts ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return gw_fail(err, -ENOMEM, "zstd: %s", ZSTD_getErrorName(left));
        if (from.pos != from.size)
            return gw_fail(err, -E2BIG, "no room for a compressed body");
    }
    if (left != 0)
        return gw_fail(err, -E2BIG, "no room for a compressed body");
    out->n += to.pos;
    return 0;
}

int gw_compress_rope(enum gw_codec c, int level, struct gw_rope in, struct gw_buf *out, struct gw_err *err)
{
    size_t start = out->n;
    struct gw_buf whole;
    int rc;

    if (in.n_parts == 1)
        return gw_compress(c, level, in.parts[0], out, err);
    if ((c == GW_GZIP || c == GW_ZLIB) && level <= 1 && isal_rope(c, in, out))
        return 0;
    if (c == GW_ZSTD) {
        rc = zstd_rope(level, in, out, err);
        out->n = rc < 0 ? start : out->n;
        return rc;
    }
    gw_buf_init(&whole, in.n + 1);
    gw_buf_put_rope(&whole, in);
    rc = whole.failed ? no_memory(err) : gw_compress(c, level, gw_buf_slice(&whole), out, err);
    gw_buf_clear(&whole);
    return rc;
}
