/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directives of strptime on Go's rules: what the Collector makes of them is a layout of Go's time package, whose habits
 * are kept: a fraction of a second may follow the seconds unasked, numbers may miss their zeros, blanks before a number
 * are skipped, a blank of the layout stands for any number of blanks.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "ottl/time.h"

static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

/* What stands for others: %F is %Y-%m-%d. */
static const char *expansion(uint8_t c)
{
    switch (c) {
    case 'D':
    case 'x':
        return "%m/%d/%Y";
    case 'F':
        return "%Y-%m-%d";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    case 'r':
        return "%I:%M:%S %P";
    case 'R':
        return "%H:%M";
    case 'c':
        return "%a %b %d %H:%M:%S %Y";
    default:
        return NULL;
    }
}

int gw_ottl_layout_check(struct gw_slice layout, struct gw_err *err)
{
    if (layout.n == 0)
        return gw_fail(err, -EINVAL, "an empty format");
    for (size_t i = 0; i < layout.n; i++) {
        uint8_t c = i + 1 < layout.n ? layout.p[i + 1] : 0;

        if (isdigit(layout.p[i]))
            return gw_fail(err, -EINVAL,
                           "a format holds no digits: it is written with directives, %%Y-%%m-%%dT%%H:%%M:%%S");
        if (layout.p[i] != '%' || c == '\n')
            continue;
        if (c == 0 || !strchr("YymoqbhBdegaAHlIpPMSLfsZzwijkDxFTXrRnt%c", c))
            return gw_fail(err, -EINVAL, "unknown directive %%%c in a format", isprint(c) ? c : '?');
        if (strchr("Lfs", c) && i > 0 && layout.p[i - 1] != '.' && layout.p[i - 1] != ',')
            return gw_fail(err, -EINVAL, "a fraction of a second, %%%c, stands behind . or ,", c);
        i++;
    }
    return 0;
}

bool gw_ottl_zone(struct gw_slice name, int32_t *ret_offset)
{
    static const struct {
        const char *name;
        int32_t offset;
    } zones[] = {{"UTC", 0},  {"Etc/UTC", 0},  {"GMT", 0},      {"Etc/GMT", 0},
                 {"Zulu", 0}, {"EST", -18000}, {"MST", -25200}, {"HST", -36000}};

    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
        if (gw_slice_is(name, zones[i].name)) {
            *ret_offset = zones[i].offset;
            return true;
        }
    return false;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

struct reader {
    struct gw_slice s; /* what is left */
    int64_t year;
    int month, day, hour, minute, second; /* -1: not said */
    uint32_t ns;
    bool pm_set, pm, two_digit_years;
    int32_t offset;
    const char *wrong; /* what was expected */
};

static bool fails(struct reader *r, const char *expected)
{
    r->wrong = expected;
    return false;
}

static uint8_t at(const struct reader *r, size_t i)
{
    return i < r->s.n ? r->s.p[i] : 0;
}

static void skip(struct reader *r, size_t n)
{
    r->s.p += n;
    r->s.n -= n;
}

static void skip_blanks(struct reader *r)
{
    while (r->s.n && strchr(" \t\n\v\f\r", r->s.p[0]) && r->s.p[0])
        skip(r, 1);
}

/* least to most digits, within bounds. */
static bool number(struct reader *r, size_t least, size_t most, int min, int max, int *ret)
{
    size_t n = 0;
    int v = 0;

    skip_blanks(r);
    while (n < most && isdigit(at(r, n)))
        v = v * 10 + (at(r, n++) - '0');
    if (n < least || v < min || v > max)
        return false;
    *ret = v;
    skip(r, n);
    return true;
}

static bool name(struct reader *r, const char *const *names, int n, bool whole, int *ret)
{
    for (int i = 0; i < n; i++) {
        size_t len = whole ? strlen(names[i]) : 3;

        if (r->s.n >= len && strncasecmp((const char *)r->s.p, names[i], len) == 0) {
            *ret = i;
            skip(r, len);
            return true;
        }
    }
    return false;
}

/* .123 or ,123: up to nine digits count. `optional`: there may be none. */
static bool fraction(struct reader *r, bool optional)
{
    uint32_t v = 0, n = 0;
    size_t i = 1;

    if ((at(r, 0) != '.' && at(r, 0) != ',') || !isdigit(at(r, 1)))
        return optional;
    for (; isdigit(at(r, i)); i++)
        if (n < 9) {
            v = v * 10 + (at(r, i) - '0');
            n++;
        }
    for (; n < 9; n++)
        v *= 10;
    r->ns = v;
    skip(r, i);
    return true;
}

/* +hh, with minutes and seconds, each behind a colon or not. */
static bool offset(struct reader *r, unsigned parts, bool colons, bool zulu)
{
    int sign, v[3] = {0, 0, 0};
    size_t n = 1;

    skip_blanks(r);
    if (zulu && at(r, 0) == 'Z') {
        skip(r, 1);
        r->offset = 0;
        return true;
    }
    sign = at(r, 0) == '-' ? -1 : at(r, 0) == '+' ? 1 : 0;
    for (unsigned i = 0; i < parts; i++) {
        if (i && colons && at(r, n++) != ':')
            return false;
        if (!isdigit(at(r, n)) || !isdigit(at(r, n + 1)))
            return false;
        v[i] = (at(r, n) - '0') * 10 + (at(r, n + 1) - '0');
        n += 2;
    }
    if (sign == 0 || v[0] > 24 || v[1] > 60 || v[2] > 60)
        return false;
    r->offset = sign * (v[0] * 3600 + v[1] * 60 + v[2]);
    skip(r, n);
    return true;
}

static bool zone(struct reader *r)
{
    size_t n = 0;

    while (n < 5 && isupper(at(r, n)))
        n++;
    if (n < 3 || !gw_ottl_zone((struct gw_slice){r->s.p, n}, &r->offset))
        return fails(r, "a zone that is known here: UTC, GMT, EST, MST, HST, or an offset (%z)");
    skip(r, n);
    return true;
}

static bool read_date(struct reader *r, uint8_t c)
{
    int v = 0;

    switch (c) {
    case 'Y':
        if (r->two_digit_years)
            return read_date(r, 'y');
        if (!number(r, 4, 4, 0, 9999, &v))
            return fails(r, "a year of four digits");
        r->year = v;
        return true;
    case 'y':
        if (!number(r, 2, 2, 0, 99, &v))
            return fails(r, "a year of two digits");
        r->year = v >= 69 ? 1900 + v : 2000 + v;
        return true;
    case 'm':
    case 'o':
    case 'q':
        return number(r, 1, 2, 1, 12, &r->month) || fails(r, "a month");
    case 'b':
    case 'h':
    case 'B':
        if (!name(r, months, 12, c == 'B', &v))
            return fails(r, "the name of a month");
        r->month = v + 1;
        return true;
    case 'a':
    case 'A':
        return name(r, days, 7, c == 'A', &v) || fails(r, "the name of a day");
    default:
        return number(r, 1, 2, 0, 99, &r->day) || fails(r, "a day");
    }
}

static bool read_half(struct reader *r, bool upper)
{
    bool am = at(r, 0) == (upper ? 'A' : 'a'), pm = at(r, 0) == (upper ? 'P' : 'p');

    if ((!am && !pm) || at(r, 1) != (upper ? 'M' : 'm'))
        return fails(r, upper ? "AM or PM" : "am or pm");
    r->pm_set = true;
    r->pm = pm;
    skip(r, 2);
    return true;
}

/* `fraction_follows`: the layout asks for it itself. */
static bool read_clock(struct reader *r, uint8_t c, bool fraction_follows)
{
    switch (c) {
    case 'H':
        return number(r, 1, 2, 0, 23, &r->hour) || fails(r, "an hour, 0 to 23");
    case 'I':
    case 'l':
        return number(r, 1, 2, 0, 12, &r->hour) || fails(r, "an hour, 1 to 12");
    case 'M':
        return number(r, 1, 2, 0, 59, &r->minute) || fails(r, "a minute");
    case 'S':
        if (!number(r, 1, 2, 0, 59, &r->second))
            return fails(r, "a second");
        return fraction_follows || fraction(r, true);
    default:
        return read_half(r, c == 'p');
    }
}

static bool read_offset(struct reader *r, uint8_t c)
{
    switch (c) {
    case 'z':
        return offset(r, 2, false, true) || offset(r, 2, true, true) || offset(r, 1, false, true) ||
               fails(r, "an offset from UTC");
    case 'w':
        return offset(r, 3, false, false) || fails(r, "an offset as -070000");
    case 'i':
        return offset(r, 1, false, false) || fails(r, "an offset as -07");
    case 'j':
        return offset(r, 2, true, false) || fails(r, "an offset as -07:00");
    case 'k':
        return offset(r, 3, true, false) || fails(r, "an offset as -07:00:00");
    default:
        return zone(r);
    }
}

static bool read_literal(struct reader *r, uint8_t c)
{
    if (c == ' ') {
        if (r->s.n && at(r, 0) != ' ')
            return fails(r, "a blank");
        while (at(r, 0) == ' ')
            skip(r, 1);
        return true;
    }
    if (r->s.n == 0 || at(r, 0) != c)
        return fails(r, "what stands in the format");
    skip(r, 1);
    return true;
}

static bool read_layout(struct reader *r, struct gw_slice layout);

static bool read_directive(struct reader *r, uint8_t c, struct gw_slice rest)
{
    bool fraction_follows = rest.n > 2 && (rest.p[0] == '.' || rest.p[0] == ',') && rest.p[1] == '%' &&
                            strchr("Lfs", rest.p[2]) && rest.p[2];

    if (expansion(c))
        return read_layout(r, gw_slice_cstr(expansion(c)));
    if (strchr("YymoqbhBaAdeg", c))
        return read_date(r, c);
    if (strchr("HIlMSpP", c))
        return read_clock(r, c, fraction_follows);
    if (strchr("zwijkZ", c))
        return read_offset(r, c);
    return read_literal(r, c == 'n' ? '\n' : c == 't' ? '\t' : '%');
}

static bool read_layout(struct reader *r, struct gw_slice layout)
{
    for (size_t i = 0; i < layout.n; i++) {
        uint8_t c = layout.p[i], next = i + 1 < layout.n ? layout.p[i + 1] : 0;
        uint8_t after = i + 2 < layout.n ? layout.p[i + 2] : 0;

        if ((c == '.' || c == ',') && next == '%' && after && strchr("Lfs", after)) {
            if (!fraction(r, true))
                return false;
            i += 2;
        } else if (c == '%' && next) {
            if (!read_directive(r, next, (struct gw_slice){layout.p + i + 2, layout.n - i - 2}))
                return false;
            i++;
        } else if (!read_literal(r, c)) {
            return false;
        }
    }
    return true;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* A text without a year is of this one, or of the last when that would be more than a week ahead. */
static void guess_year(struct reader *r, uint64_t now_ns)
{
    struct gw_ottl_value now = gw_ottl_time_of(now_ns);

    now.time.offset = r->offset;
    r->year = gw_ottl_civil_of(&now).year;
    if (gw_ottl_days(r->year, (unsigned)r->month, (unsigned)r->day) * 86400 + r->hour * 3600 + r->minute * 60 +
            r->second - r->offset >
        now.time.seconds + 7 * 86400)
        r->year--;
}

static int finish(struct reader *r, uint64_t now_ns, struct gw_ottl_value *ret, struct gw_err *err)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (r->pm_set && r->pm && r->hour < 12)
        r->hour += 12;
    else if (r->pm_set && !r->pm && r->hour == 12)
        r->hour = 0;
    r->month = r->month < 0 ? 1 : r->month;
    r->day = r->day < 0 ? 1 : r->day;
    if (r->day < 1 || r->day > lengths[r->month - 1] + (r->month == 2 && is_leap(r->year)))
        return gw_fail(err, -EINVAL, "day out of range");
    if (r->year <= 0)
        guess_year(r, now_ns);
    *ret = (struct gw_ottl_value){.type = GW_OT_TIME};
    ret->time.seconds = gw_ottl_days(r->year, (unsigned)r->month, (unsigned)r->day) * 86400 + r->hour * 3600 +
                        r->minute * 60 + r->second - r->offset;
    ret->time.ns = r->ns;
    ret->time.offset = r->offset;
    return 0;
}

/* %D and %x write years of four digits, and read those of two as well. */
static bool has_short_date(struct gw_slice layout)
{
    for (size_t i = 0; i + 1 < layout.n; i++)
        if (layout.p[i] == '%') {
            i++;
            if (layout.p[i] == 'D' || layout.p[i] == 'x')
                return true;
        }
    return false;
}

int gw_ottl_time_parse(struct gw_slice layout, struct gw_slice text, int32_t zone_offset, uint64_t now_ns,
                       struct gw_ottl_value *ret, struct gw_err *err)
{
    struct reader r, fresh = {.s = text, .month = -1, .day = -1, .offset = zone_offset};

    for (int tries = has_short_date(layout) ? 2 : 1;; tries--) {
        r = fresh;
        if (read_layout(&r, layout) && r.s.n == 0)
            return finish(&r, now_ns, ret, err);
        if (tries == 1)
            break;
        fresh.two_digit_years = true;
    }
    if (r.wrong)
        return gw_fail(err, -EINVAL, "expected %s at \"%.*s\"", r.wrong, (int)(r.s.n < 40 ? r.s.n : 40),
                       (const char *)(r.s.n ? r.s.p : (const uint8_t *)""));
    return gw_fail(err, -EINVAL, "the text goes on: \"%.*s\"", (int)(r.s.n < 40 ? r.s.n : 40), (const char *)r.s.p);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void put_offset(struct gw_buf *out, int32_t offset_s, unsigned parts, const char *colon, bool zulu)
{
    unsigned o = (unsigned)(offset_s < 0 ? -offset_s : offset_s);

    if (zulu && offset_s == 0) {
        gw_buf_put_u8(out, 'Z');
        return;
    }
    gw_buf_printf(out, "%c%02u", offset_s < 0 ? '-' : '+', o / 3600);
    if (parts > 1)
        gw_buf_printf(out, "%s%02u", colon, o / 60 % 60);
    if (parts > 2)
        gw_buf_printf(out, "%s%02u", colon, o % 60);
}

static void put_zone(struct gw_buf *out, int32_t offset_s)
{
    if (offset_s == 0)
        gw_buf_put_str(out, "UTC");
    else
        put_offset(out, offset_s, 2, "", false);
}

static void put_date(struct gw_buf *out, uint8_t c, const struct gw_ottl_civil *t)
{
    switch (c) {
    case 'Y':
        gw_buf_printf(out, "%04lld", (long long)t->year);
        break;
    case 'y':
        gw_buf_printf(out, "%02u", (unsigned)(t->year % 100));
        break;
    case 'm':
        gw_buf_printf(out, "%02u", t->month);
        break;
    case 'o': /* meant to be padded with a blank; Go's layouts know that of days only */
        gw_buf_printf(out, "_%u", t->month);
        break;
    case 'q':
        gw_buf_printf(out, "%u", t->month);
        break;
    case 'b':
    case 'h':
        gw_buf_put(out, months[t->month - 1], 3);
        break;
    case 'B':
        gw_buf_put_str(out, months[t->month - 1]);
        break;
    case 'd':
        gw_buf_printf(out, "%02u", t->day);
        break;
    case 'e':
        gw_buf_printf(out, "%2u", t->day);
        break;
    case 'g':
        gw_buf_printf(out, "%u", t->day);
        break;
    case 'a':
        gw_buf_put(out, days[t->weekday], 3);
        break;
    default:
        gw_buf_put_str(out, days[t->weekday]);
    }
}

static void put_clock(struct gw_buf *out, uint8_t c, const struct gw_ottl_civil *t)
{
    unsigned hour = t->hour % 12 ? t->hour % 12 : 12;

    switch (c) {
    case 'H':
        gw_buf_printf(out, "%02u", t->hour);
        break;
    case 'I':
        gw_buf_printf(out, "%02u", hour);
        break;
    case 'l':
        gw_buf_printf(out, "%u", hour);
        break;
    case 'M':
        gw_buf_printf(out, "%02u", t->minute);
        break;
    case 'S':
        gw_buf_printf(out, "%02u", t->second);
        break;
    default:
        gw_buf_put_str(out, c == 'p' ? (t->hour >= 12 ? "PM" : "AM") : (t->hour >= 12 ? "pm" : "am"));
    }
}

static void put_zone_directive(struct gw_buf *out, uint8_t c, int32_t offset_s)
{
    if (c == 'Z')
        put_zone(out, offset_s);
    else
        put_offset(out, offset_s,
                   c == 'i'               ? 1
                   : c == 'w' || c == 'k' ? 3
                                          : 2,
                   c == 'j' || c == 'k' ? ":" : "", c == 'z');
}

/* %L, %f, %s behind a point: as many digits as they have, without zeros at the end, and no point without digits. */
static void put_fraction(struct gw_buf *out, uint8_t point, uint8_t c, uint32_t ns)
{
    int digits = c == 'L' ? 3 : c == 'f' ? 6 : 9;

    for (int i = digits; i < 9; i++)
        ns /= 10;
    for (; digits && ns % 10 == 0; digits--)
        ns /= 10;
    if (digits)
        gw_buf_printf(out, "%c%0*u", point, digits, ns);
}

void gw_ottl_put_time(struct gw_buf *out, struct gw_slice layout, const struct gw_ottl_value *time)
{
    struct gw_ottl_civil t = gw_ottl_civil_of(time);

    for (size_t i = 0; i < layout.n; i++) {
        uint8_t c = layout.p[i], next = i + 1 < layout.n ? layout.p[i + 1] : 0;
        uint8_t after = i + 2 < layout.n ? layout.p[i + 2] : 0;

        if ((c == '.' || c == ',') && next == '%' && after && strchr("Lfs", after)) {
            put_fraction(out, c, after, time->time.ns);
            i += 2;
            continue;
        }
        if (c != '%' || !next) {
            gw_buf_put_u8(out, c);
            continue;
        }
        i++;
        if (expansion(next))
            gw_ottl_put_time(out, gw_slice_cstr(expansion(next)), time); /* once: expansions hold none */
        else if (strchr("YymoqbhBaAdeg", next))
            put_date(out, next, &t);
        else if (strchr("HIlMSpP", next))
            put_clock(out, next, &t);
        else if (strchr("zwijkZ", next))
            put_zone_directive(out, next, time->time.offset);
        else
            gw_buf_put_u8(out, next == 'n' ? '\n' : next == 't' ? '\t' : '%');
    }
}
