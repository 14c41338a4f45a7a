/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte 0 picks the codec; the rest is decompressed under a cap, and compressed and decompressed again. Property: no
 * crash, nothing over the cap or the ratio, and what went in comes out.
 */
#include <stdlib.h>

#include "net/compress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum gw_codec c;
    struct gw_slice in;
    struct gw_buf out, packed;
    int rc;

    if (size < 1 || size > CAP / 4)
        return 0;
    c = (enum gw_codec)(data[0] % GW_CODEC_UNKNOWN);
    in = gw_slice_of(data + 1, size - 1);
    gw_buf_init(&out, CAP);
    rc = gw_decompress(c, in, &out, NULL);
    if (out.n > CAP || out.cap > CAP || out.n > gw_decompress_most(in) || (rc < 0 && out.n != 0))
        abort();
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
