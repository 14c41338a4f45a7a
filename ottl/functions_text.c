/* SPDX-License-Identifier: Apache-2.0 */
/* Converters from texts to texts. */
#include <openssl/sha.h>

#include "core/json_writer.h"
#include "ottl/expr.h"
#include "ottl/letters.h"

/* ---- pieces ----------------------------------------------------------------------------------------------- */

GW_OTTL_RUN(gw_ottl_run_concat)
{
    const struct gw_ottl_value *list = &args[0];
    size_t begin = r->buf->n;

    (void)call;
    for (uint32_t i = 0; i < list->n; i++) {
        if (i)
            gw_buf_put_slice(r->buf, args[1].s);
        gw_buf_put_slice(r->buf, list->items[i].type == GW_OT_NIL ? GW_SLICE("<nil>") : list->items[i].s);
    }
    *ret = gw_ottl_string(GW_SLICE(""));
    return gw_ottl_take_buf(r, begin, &ret->s);
}

/* The first occurrence of what from `at` on, or the end. */
static size_t find(struct gw_slice s, size_t at, struct gw_slice what)
{
    const uint8_t *p = at <= s.n && s.n - at >= what.n ? memmem(s.p + at, s.n - at, what.p, what.n) : NULL;

    return p ? (size_t)(p - s.p) : s.n;
}

/* Where a piece of s that begins at `at` ends: before the delimiter; without one behind one character. */
static size_t piece_end(struct gw_slice s, size_t at, struct gw_slice delimiter)
{
    if (delimiter.n)
        return find(s, at, delimiter);
    return at + gw_ottl_letter_bytes((struct gw_slice){s.p + at, s.n - at});
}

GW_OTTL_RUN(gw_ottl_run_split)
{
    struct gw_slice s = args[0].s, delimiter = args[1].s;
    struct gw_ottl_value *items;
    uint32_t n = 0, room = delimiter.n ? 1 : 0;

    (void)call;
    for (size_t at = 0; at < s.n; room++) {
        at = piece_end(s, at, delimiter) + delimiter.n;
        if (delimiter.n && at > s.n)
            break;
    }
    items = gw_arena_alloc(r->arena, (room + (size_t)1) * sizeof(*items));
    if (!items)
        return gw_ottl_starve(r);
    for (size_t at = 0; n < room; n++) {
        size_t end = piece_end(s, at, delimiter);

        items[n] = gw_ottl_string((struct gw_slice){s.p + at, end - at});
        at = end + delimiter.n;
    }
    *ret = (struct gw_ottl_value){.type = GW_OT_LIST, .form = GW_OF_TYPED, .n = n, .items = items};
    return true;
}

static bool continues(struct gw_slice s, size_t at)
{
    return (s.p[at] & 0xc0) == 0x80;
}

GW_OTTL_RUN(gw_ottl_run_substring)
{
    struct gw_slice s = args[0].s;
    int64_t start = args[1].i, length = args[2].i;
    size_t begin, end;

    (void)call;
    if (start < 0)
        return gw_ottl_fail(r, -EINVAL, "invalid start, %lld cannot be negative", (long long)start);
    if (length <= 0)
        return gw_ottl_fail(r, -EINVAL, "invalid length, %lld cannot be negative or zero", (long long)length);
    if (start > (int64_t)s.n || length > (int64_t)s.n - start)
        return gw_ottl_fail(r, -EINVAL,
                            "invalid range, start(%lld)+length(%lld) cannot be greater than the length of target "
                            "string(%zu)",
                            (long long)start, (long long)length, s.n);
    begin = (size_t)start;
    end = (size_t)(start + length);
    if (args[3].type == GW_OT_BOOL && args[3].b) {
        while (begin < s.n && continues(s, begin))
            begin++;
        while (begin < end && end < s.n && continues(s, end))
            end--;
        end = end < begin ? begin : end;
    }
    *ret = gw_ottl_string((struct gw_slice){s.p + begin, end - begin});
    return true;
}

static bool begins(struct gw_slice s, struct gw_slice with)
{
    return s.n >= with.n && gw_slice_eq((struct gw_slice){s.p, with.n}, with);
}

static bool ends(struct gw_slice s, struct gw_slice with)
{
    return s.n >= with.n && gw_slice_eq((struct gw_slice){s.p + s.n - with.n, with.n}, with);
}

GW_OTTL_RUN(gw_ottl_run_has_prefix)
{
    (void)r, (void)call;
    *ret = gw_ottl_bool(begins(args[0].s, args[1].s));
    return true;
}

GW_OTTL_RUN(gw_ottl_run_has_suffix)
{
    (void)r, (void)call;
    *ret = gw_ottl_bool(ends(args[0].s, args[1].s));
    return true;
}

GW_OTTL_RUN(gw_ottl_run_trim_prefix)
{
    (void)r, (void)call;
    *ret = args[0];
    if (begins(args[0].s, args[1].s))
        ret->s = (struct gw_slice){ret->s.p + args[1].s.n, ret->s.n - args[1].s.n};
    return true;
}

GW_OTTL_RUN(gw_ottl_run_trim_suffix)
{
    (void)r, (void)call;
    *ret = args[0];
    if (ends(args[0].s, args[1].s))
        ret->s.n -= args[1].s.n;
    return true;
}

/* Is the character of n bytes at p one of the set? */
static bool is_in(struct gw_slice set, const uint8_t *p, size_t n)
{
    for (size_t at = 0, k; at < set.n; at += k) {
        k = gw_ottl_letter_bytes((struct gw_slice){set.p + at, set.n - at});
        if (k == n && memcmp(set.p + at, p, n) == 0)
            return true;
    }
    return false;
}

GW_OTTL_RUN(gw_ottl_run_trim)
{
    struct gw_slice set = args[1].type == GW_OT_STRING ? args[1].s : GW_SLICE(" "), s = args[0].s;
    size_t n;

    (void)r, (void)call;
    while (s.n && is_in(set, s.p, n = gw_ottl_letter_bytes(s)))
        s = (struct gw_slice){s.p + n, s.n - n};
    while (s.n) {
        n = 1;
        while (n < 4 && n < s.n && continues(s, s.n - n))
            n++;
        if (!is_in(set, s.p + s.n - n, n))
            break;
        s.n -= n;
    }
    *ret = gw_ottl_string(s);
    return true;
}

/* ---- case ------------------------------------------------------------------------------------------------- */

static bool change_case(struct gw_ottl_run *r, struct gw_slice s, enum gw_ottl_case to, struct gw_ottl_value *ret)
{
    size_t begin = r->buf->n;

    *ret = gw_ottl_string(s);
    if (s.n == 0)
        return true;
    gw_ottl_put_case(r->buf, s, to);
    return gw_ottl_take_buf(r, begin, &ret->s);
}

#define CASE(name, to)                                                                                                 \
    GW_OTTL_RUN(gw_ottl_run_to_##name)                                                                                 \
    {                                                                                                                  \
        (void)call;                                                                                                    \
        return change_case(r, args[0].s, to, ret);                                                                     \
    }
CASE(lower, GW_CASE_LOWER)
CASE(upper, GW_CASE_UPPER)
CASE(snake, GW_CASE_SNAKE)
CASE(camel, GW_CASE_CAMEL)

static const char *const cases[] = {"lower", "upper", "snake", "camel"};

GW_OTTL_PREPARE(gw_ottl_prepare_convert_case)
{
    (void)o;
    for (unsigned i = 0; i < 4; i++)
        if (gw_slice_is(constants[1]->s, cases[i])) {
            call->state = (void *)cases[i];
            return 0;
        }
    return gw_fail(err, -EINVAL, "invalid case: %.*s, allowed cases are: lower, upper, snake, camel",
                   (int)(constants[1]->s.n < 60 ? constants[1]->s.n : 60), (const char *)constants[1]->s.p);
}

GW_OTTL_RUN(gw_ottl_run_convert_case)
{
    enum gw_ottl_case to = GW_CASE_LOWER;

    while (cases[to] != call->state)
        to++;
    return change_case(r, args[0].s, to, ret);
}

/* ---- hashes, names ---------------------------------------------------------------------------------------- */

static bool as_hex(struct gw_ottl_run *r, struct gw_slice bytes, struct gw_ottl_value *ret)
{
    size_t begin = r->buf->n;

    *ret = gw_ottl_string(GW_SLICE(""));
    gw_put_hex(r->buf, bytes);
    return gw_ottl_take_buf(r, begin, &ret->s);
}

GW_OTTL_RUN(gw_ottl_run_hex)
{
    (void)call;
    return as_hex(r, args[0].type == GW_OT_NIL ? GW_SLICE("") : args[0].s, ret);
}

/* FNV-1a, 64 bits. */
GW_OTTL_RUN(gw_ottl_run_fnv)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    (void)r, (void)call;
    for (size_t i = 0; i < args[0].s.n; i++)
        h = (h ^ args[0].s.p[i]) * UINT64_C(0x100000001b3);
    *ret = gw_ottl_int((int64_t)h);
    return true;
}

GW_OTTL_RUN(gw_ottl_run_sha256)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];

    (void)call;
    (void)SHA256(args[0].s.p, args[0].s.n, hash);
    return as_hex(r, gw_slice_of(hash, sizeof(hash)), ret);
}

/* Version 4: random but for the version and the variant. */
GW_OTTL_RUN(gw_ottl_run_uuid)
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    size_t begin = r->buf->n;
    uint8_t id[16], *p = id;

    (void)call, (void)args;
    r->env->ops->random(r->env, id, sizeof(id));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    for (unsigned i = 0; i < sizeof(groups); p += groups[i++]) {
        if (i)
            gw_buf_put_u8(r->buf, '-');
        gw_put_hex(r->buf, gw_slice_of(p, groups[i]));
    }
    *ret = gw_ottl_string(GW_SLICE(""));
    return gw_ottl_take_buf(r, begin, &ret->s);
}
