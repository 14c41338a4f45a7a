/* SPDX-License-Identifier: Apache-2.0 */
#include "net/grpc_frame.h"

void gw_grpc_reader_init(struct gw_grpc_reader *r, size_t max_bytes)
{
    *r = (struct gw_grpc_reader){0};
    gw_buf_init(&r->message, max_bytes);
}

void gw_grpc_reader_clear(struct gw_grpc_reader *r)
{
    size_t max_bytes = r->message.max_bytes;

    gw_buf_clear(&r->message);
    gw_grpc_reader_init(r, max_bytes);
}

int gw_grpc_reader_head(struct gw_grpc_reader *r, struct gw_slice *chunk, struct gw_err *err)
{
    while (r->n_head < 5 && chunk->n > 0) {
        r->head[r->n_head++] = *chunk->p;
        *chunk = gw_slice_of(chunk->p + 1, chunk->n - 1);
        if (r->n_head < 5)
            continue;
        if (r->head[0] > 1)
            return gw_fail(err, -EBADMSG, "message flag is %u, not 0 or 1", r->head[0]);
        r->compressed = r->head[0] == 1;
        r->want_bytes =
            (uint32_t)r->head[1] << 24 | (uint32_t)r->head[2] << 16 | (uint32_t)r->head[3] << 8 | r->head[4];
        if (r->want_bytes > r->message.max_bytes)
            return gw_fail(err, -E2BIG, "message of %u bytes is larger than the limit of %zu", r->want_bytes,
                           r->message.max_bytes);
        r->complete = r->want_bytes == 0;
    }
    return 0;
}

int gw_grpc_reader_feed(struct gw_grpc_reader *r, struct gw_slice chunk, struct gw_err *err)
{
    int rc = gw_grpc_reader_head(r, &chunk, err);
    size_t left;

    if (rc < 0 || chunk.n == 0)
        return rc;
    if (r->complete)
        return gw_fail(err, -EBADMSG, "a second message in a unary call");
    left = r->want_bytes - r->message.n;
    if (chunk.n > left)
        return gw_fail(err, -EBADMSG, "a second message in a unary call");
    /* No more memory than bytes that came: a head alone may promise megabytes. */
    rc = gw_buf_reserve(&r->message, chunk.n);
    if (rc < 0)
        return gw_fail(err, rc, "no memory for a message");
    gw_buf_put_slice(&r->message, chunk);
    r->complete = chunk.n == left;
    return 0;
}

int gw_grpc_timeout_parse(struct gw_slice s, uint64_t *ret_ns)
{
    static const struct {
        char unit;
        uint64_t ns;
    } units[] = {{'H', 3600000000000u}, {'M', 60000000000u}, {'S', 1000000000u},
                 {'m', 1000000u},       {'u', 1000u},        {'n', 1u}};
    uint64_t v = 0;

    if (s.n < 2 || s.n > 9) /* at most eight digits, and the unit */
        return -EINVAL;
    for (size_t i = 0; i + 1 < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (s.p[s.n - 1] == units[i].unit) {
            *ret_ns = v > UINT64_MAX / units[i].ns ? UINT64_MAX : v * units[i].ns;
            return 0;
        }
    return -EINVAL;
}

void gw_grpc_message_put(struct gw_buf *out, const char *message)
{
    static const char hex[] = "0123456789ABCDEF";

    for (const unsigned char *p = (const unsigned char *)message; *p; p++) {
        if (*p >= 0x20 && *p <= 0x7e && *p != '%')
            gw_buf_put_u8(out, *p);
        else
            gw_buf_put(out, (char[]){'%', hex[*p >> 4], hex[*p & 15]}, 3);
    }
}

void gw_grpc_bin_put(struct gw_buf *out, struct gw_slice b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < b.n; i += 3) {
        size_t n = b.n - i < 3 ? b.n - i : 3;
        uint32_t v = (uint32_t)b.p[i] << 16 | (n > 1 ? (uint32_t)b.p[i + 1] << 8 : 0) | (n > 2 ? b.p[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};

        gw_buf_put(out, four, n + 1);
    }
}

void gw_grpc_frame_put(struct gw_buf *out, uint32_t n)
{
    gw_buf_put(out, (uint8_t[]){0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 5);
}
