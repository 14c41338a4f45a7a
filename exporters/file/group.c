/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "exporters/file/file.h"
#include "otlp-proto/wire.h"

enum { MAX_NAME_BYTES = 200, MAX_FOLDERS = 8 };

/** The last value of a field of type LEN; p == NULL when it is not there. */
static struct gw_slice find(struct gw_slice message, uint32_t number)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_slice ret = {0};
    struct gw_wire_field f;

    while (gw_wire_next(&w, &f) > 0)
        if (f.number == number && f.wire == GW_LEN)
            ret = f.val;
    return ret;
}

/** The string under that key among a resource's attributes; p == NULL when there is none. */
static struct gw_slice segment_of(struct gw_slice outer, struct gw_slice attribute)
{
    struct gw_wire_walk w = gw_wire_walk(find(outer, 1));
    struct gw_wire_field f;

    while (gw_wire_next(&w, &f) > 0)
        if (f.number == 1 && f.wire == GW_LEN && gw_slice_eq(find(f.val, 1), attribute))
            return find(find(f.val, 2), 1);
    return (struct gw_slice){0};
}

static int compare(const void *a, const void *b)
{
    const struct gw_file_piece *x = a, *y = b;
    size_t n = x->segment.n < y->segment.n ? x->segment.n : y->segment.n;
    int c = (x->segment.p != NULL) - (y->segment.p != NULL);

    if (c == 0 && n)
        c = memcmp(x->segment.p, y->segment.p, n);
    if (c == 0)
        c = (x->segment.n > y->segment.n) - (x->segment.n < y->segment.n);
    return c ? c : (x->index > y->index) - (x->index < y->index);
}

int gw_file_group(struct gw_slice request, struct gw_slice attribute, struct gw_file_pieces *ret)
{
    struct gw_wire_walk w = gw_wire_walk(request);
    struct gw_wire_field f;
    int rc;

    ret->n = 0;
    while ((rc = gw_wire_next(&w, &f)) > 0) {
        if (f.number != 1 || f.wire != GW_LEN)
            continue;
        if (ret->n == ret->cap) {
            size_t cap = ret->cap ? ret->cap * 2 : 16;
            struct gw_file_piece *p = realloc(ret->p, cap * sizeof(*p));

            if (!p)
                return -ENOMEM;
            ret->p = p;
            ret->cap = cap;
        }
        ret->p[ret->n] = (struct gw_file_piece){
            .segment = segment_of(f.val, attribute),
            .bytes = gw_slice_of(f.at, (size_t)(f.val.p + f.val.n - f.at)),
            .index = ret->n,
        };
        ret->n++;
    }
    if (ret->n > 1)
        qsort(ret->p, ret->n, sizeof(*ret->p), compare);
    return rc;
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80 ||
           (c && strchr("._-@+=,:()[]{}~ ", c) != NULL);
}

static int put_name(struct gw_buf *path, struct gw_slice name)
{
    bool dots = gw_slice_is(name, ".") || gw_slice_is(name, "..");
    size_t base = path->n;

    for (size_t i = 0; i < name.n; i++) {
        if (is_plain(name.p[i]) && !dots)
            gw_buf_put_u8(path, name.p[i]);
        else
            gw_buf_printf(path, "%%%02X", name.p[i]);
    }
    return path->n - base > MAX_NAME_BYTES ? -ENAMETOOLONG : 0;
}

int gw_file_put_segment(struct gw_buf *path, struct gw_slice segment)
{
    unsigned folders = 0;
    bool first = true;

    while (segment.n) {
        const uint8_t *slash = memchr(segment.p, '/', segment.n);
        size_t n = slash ? (size_t)(slash - segment.p) : segment.n;
        int rc;

        if (n) {
            if (!first && ++folders > MAX_FOLDERS)
                return -ENAMETOOLONG;
            if (!first)
                gw_buf_put_u8(path, '/');
            first = false;
            rc = put_name(path, gw_slice_of(segment.p, n));
            if (rc < 0)
                return rc;
        }
        n += slash != NULL;
        segment = gw_slice_of(segment.p + n, segment.n - n);
    }
    return 0;
}
