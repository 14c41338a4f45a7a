/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole bodies in and out of their content encodings, with a cap on bytes and on the ratio. One layer only.
 */
#ifndef GW_NET_COMPRESS_H
#define GW_NET_COMPRESS_H

#include "core/buf.h"
#include "core/status.h"

enum gw_codec { GW_IDENTITY, GW_GZIP, GW_ZLIB, GW_ZSTD, GW_SNAPPY, GW_SNAPPY_FRAMED, GW_LZ4, GW_CODEC_UNKNOWN };

/** "gzip", "zstd", "snappy", "x-snappy-framed", "deflate" and "zlib" (both zlib), "lz4", "" and "identity". */
enum gw_codec gw_codec_parse(struct gw_slice name);
const char *gw_codec_name(enum gw_codec c);

/**
 * Append the decompressed form of `in` to `out`.
 *
 * Shape     GW_SNAPPY takes a block and the framing format, told apart by the latter's first ten bytes
 * Threads   any; scratch state is thread-local
 * Errors    -E2BIG over out->max_bytes or over 200:1 after the first MiB, -EBADMSG damaged, truncated or
 *           trailing bytes, -ENOTSUP, -ENOMEM. On failure out->n is what it was
 * Cost      gzip, zlib: libdeflate; GW_PAYLOAD_PAD-style room behind the output is the caller's business. Memory of
 *           the caller's own may be lent: with cap == max_bytes the buffer is never reallocated
 */
int gw_decompress(enum gw_codec c, struct gw_slice in, struct gw_buf *out, struct gw_err *err);

/**
 * How long the decompressed form probably is, from what the peer wrote into the header or trailer: only a hint, never
 * over the ratio cap, so that it may be reserved.
 */
size_t gw_decompress_hint(enum gw_codec c, struct gw_slice in);
/** The most that `in` may become: the ratio cap. */
size_t gw_decompress_most(struct gw_slice in);

/** Append the compressed form. level 0 = the codec's usual one (gzip: ISA-L level 1). Errors: as above. */
int gw_compress(enum gw_codec c, int level, struct gw_slice in, struct gw_buf *out, struct gw_err *err);
/** The same of bytes in several places. gzip at its usual level and zstd read them where they are; others copy. */
int gw_compress_rope(enum gw_codec c, int level, struct gw_rope in, struct gw_buf *out, struct gw_err *err);

#endif
