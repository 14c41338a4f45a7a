/* SPDX-License-Identifier: Apache-2.0 */
/* One unary message out of any bytes in any pieces. Property: no crash, and the cut does not change the outcome. */
#include <stdlib.h>

#include "net/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 4096 };

static int run(struct gw_grpc_reader *r, struct gw_slice in, size_t piece)
{
    int rc = 0;

    gw_grpc_reader_init(r, MAX);
    while (in.n > 0 && rc == 0) {
        size_t n = in.n < piece ? in.n : piece;
        uint8_t *own = malloc(n);

        if (!own)
            abort();
        memcpy(own, in.p, n);
        rc = gw_grpc_reader_feed(r, gw_slice_of(own, n), NULL);
        free(own);
        in = gw_slice_of(in.p + n, in.n - n);
    }
    if (r->message.n > MAX || r->message.cap > MAX)
        abort();
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_grpc_reader a, b;
    struct gw_buf text;
    uint64_t ns;
    int ra, rb;

    if (size < 1 || size > 20000)
        return 0;
    ra = run(&a, gw_slice_of(data + 1, size - 1), size);
    rb = run(&b, gw_slice_of(data + 1, size - 1), 1 + data[0] % 16);
    if (ra != rb ||
        (ra == 0 && (a.complete != b.complete || !gw_slice_eq(gw_buf_slice(&a.message), gw_buf_slice(&b.message)))))
        abort();
    (void)gw_grpc_timeout_parse(gw_slice_of(data, size), &ns);
    gw_buf_init(&text, 1 << 20);
    gw_grpc_bin_put(&text, gw_slice_of(data, size));
    if (text.n != (size * 4 + 2) / 3)
        abort();
    if (a.message.p && a.message.n) {
        a.message.p[a.message.n - 1] = '\0';
        gw_buf_reset(&text);
        gw_grpc_message_put(&text, (const char *)a.message.p);
        for (size_t i = 0; i < text.n; i++)
            if (text.p[i] < 0x20 || text.p[i] > 0x7e)
                abort();
    }
    gw_buf_reset(&text);
    gw_grpc_frame_put(&text, (uint32_t)size);
    if (text.n != 5 || text.p[4] != (size & 255))
        abort();
    gw_buf_clear(&text);
    gw_grpc_reader_clear(&a);
    gw_grpc_reader_clear(&b);
    return 0;
}
