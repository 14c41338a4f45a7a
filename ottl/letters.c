/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/letters.h"

#include "ottl/case_table.h"

/* The character at the beginning of s; returns its bytes, 0 when there is none. */
static size_t decode(struct gw_slice s, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t c = s.n ? s.p[0] : 0xff;
    size_t n = c < 0x80 ? 1 : c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
    uint32_t v = n == 1 ? c : n ? c & (0x7fu >> n) : 0;

    if (n == 0 || s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (s.p[i] & 0x3f);
    }
    if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return 0;
    *ret = v;
    return n;
}

size_t gw_ottl_letter_bytes(struct gw_slice s)
{
    uint32_t c;
    size_t n = decode(s, &c);

    return n ? n : s.n ? 1 : 0;
}

static void put(struct gw_buf *out, uint32_t c)
{
    if (c < 0x80) {
        gw_buf_put_u8(out, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        gw_buf_put_u8(out, (uint8_t)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        gw_buf_put_u8(out, (uint8_t)(0xe0 | c >> 12));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    } else {
        gw_buf_put_u8(out, (uint8_t)(0xf0 | c >> 18));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    gw_buf_put_u8(out, (uint8_t)(0x80 | (c & 0x3f)));
}

static bool is_cap(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}
static bool is_low(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_num(uint8_t c)
{
    return c >= '0' && c <= '9';
}
static uint8_t low(uint8_t c)
{
    return is_cap(c) ? (uint8_t)(c + ('a' - 'A')) : c;
}
static uint8_t cap(uint8_t c)
{
    return is_low(c) ? (uint8_t)(c - ('a' - 'A')) : c;
}

/* The other case of a character beyond ASCII, by binary search. */
static uint32_t mapped(uint32_t c, const struct range *ranges, size_t n)
{
    size_t from = 0, to = n;

    while (from < to) {
        size_t mid = (from + to) / 2;

        if (c > ranges[mid].last)
            from = mid + 1;
        else
            to = mid;
    }
    if (from == n || c < ranges[from].first || (c - ranges[from].first) % (uint32_t)ranges[from].step)
        return c;
    return (uint32_t)((int32_t)c + ranges[from].delta);
}

/* Bytes that are no UTF-8 become U+FFFD, when anything beyond ASCII is there at all. */
static void put_other_case(struct gw_buf *out, struct gw_slice s, bool upper)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t c = 0xfffd;
        size_t n = decode((struct gw_slice){s.p + i, s.n - i}, &c);

        i += n ? n : 1;
        if (c < 0x80)
            gw_buf_put_u8(out, upper ? cap((uint8_t)c) : low((uint8_t)c));
        else if (upper)
            put(out, mapped(c, upper_of, sizeof(upper_of) / sizeof(upper_of[0])));
        else
            put(out, mapped(c, lower_of, sizeof(lower_of) / sizeof(lower_of[0])));
    }
}

static struct gw_slice without_space(struct gw_slice s)
{
    static const char space[] = " \t\n\v\f\r";

    while (s.n && s.p[0] && strchr(space, s.p[0]))
        s = (struct gw_slice){s.p + 1, s.n - 1};
    while (s.n && s.p[s.n - 1] && strchr(space, s.p[s.n - 1]))
        s.n--;
    return s;
}

static bool separates(uint8_t c)
{
    return c == ' ' || c == '_' || c == '-' || c == '.';
}

/* A word ends where the kind of letters changes: JSONData is json_data, v2Beta is v_2_beta. */
static void put_snake(struct gw_buf *out, struct gw_slice s)
{
    s = without_space(s);
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i], next = i + 1 < s.n ? s.p[i + 1] : 0;
        bool changes = (is_cap(c) && (is_low(next) || is_num(next))) || (is_low(c) && (is_cap(next) || is_num(next))) ||
                       (is_num(c) && (is_cap(next) || is_low(next)));

        if (changes && is_cap(c) && is_low(next) && i > 0 && is_cap(s.p[i - 1]))
            gw_buf_put_u8(out, '_');
        gw_buf_put_u8(out, separates(c) ? '_' : low(c));
        if (changes && (!is_cap(c) || is_num(next)))
            gw_buf_put_u8(out, '_');
    }
}

/* Each word begins with a capital; separators are left out; of capitals in a row only the first stays one. */
static void put_camel(struct gw_buf *out, struct gw_slice s)
{
    bool next_cap = true, was_cap = false;

    s = without_space(s);
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i], as = c;

        if (next_cap)
            as = cap(c);
        else if (was_cap && is_cap(c))
            as = low(c);
        was_cap = is_cap(c);
        if (is_cap(c) || is_low(c) || is_num(c)) {
            gw_buf_put_u8(out, as);
            next_cap = is_num(c);
        } else {
            next_cap = separates(c);
        }
    }
}

void gw_ottl_put_case(struct gw_buf *out, struct gw_slice s, enum gw_ottl_case to)
{
    bool ascii = true;

    if (to == GW_CASE_SNAKE) {
        put_snake(out, s);
        return;
    }
    if (to == GW_CASE_CAMEL) {
        put_camel(out, s);
        return;
    }
    for (size_t i = 0; i < s.n; i++)
        ascii &= s.p[i] < 0x80;
    if (!ascii) {
        put_other_case(out, s, to == GW_CASE_UPPER);
        return;
    }
    for (size_t i = 0; i < s.n; i++)
        gw_buf_put_u8(out, to == GW_CASE_UPPER ? cap(s.p[i]) : low(s.p[i]));
}
