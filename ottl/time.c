/* SPDX-License-Identifier: Apache-2.0 */
#include "ottl/time.h"

enum { DAY = 86400 };

/* Days and dates of the Gregorian calendar, extended to all years; eras of 400 years that begin on the 1st of March. */
int64_t gw_ottl_days(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400, doy = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct gw_ottl_civil gw_ottl_civil_of(const struct gw_ottl_value *time)
{
    int64_t at = (int64_t)((uint64_t)time->time.seconds + (uint64_t)(int64_t)time->time.offset), days = at / DAY,
            rest = at % DAY;
    int64_t z, era, doe, yoe, doy, mp;
    struct gw_ottl_civil c;

    if (rest < 0) {
        rest += DAY;
        days--;
    }
    z = days + 719468;
    era = (z >= 0 ? z : z - 146096) / 146097;
    doe = z - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    c.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    c.month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    c.year = yoe + era * 400 + (c.month <= 2);
    c.hour = (unsigned)(rest / 3600);
    c.minute = (unsigned)(rest % 3600 / 60);
    c.second = (unsigned)(rest % 60);
    c.weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
    return c;
}

void gw_ottl_put_rfc3339(struct gw_buf *out, const struct gw_ottl_value *time)
{
    struct gw_ottl_civil c = gw_ottl_civil_of(time);
    int offset = time->time.offset / 60;
    uint32_t ns = time->time.ns;
    int digits = 9;

    gw_buf_printf(out, "%04lld-%02u-%02uT%02u:%02u:%02u", (long long)c.year, c.month, c.day, c.hour, c.minute,
                  c.second);
    for (; ns && ns % 10 == 0; ns /= 10)
        digits--;
    if (ns)
        gw_buf_printf(out, ".%0*u", digits, ns);
    if (offset == 0)
        gw_buf_put_u8(out, 'Z');
    else
        gw_buf_printf(out, "%c%02d:%02d", offset < 0 ? '-' : '+', (offset < 0 ? -offset : offset) / 60,
                      (offset < 0 ? -offset : offset) % 60);
}

/* ---- durations -------------------------------------------------------------------------------------------- */

/* Nanoseconds of the unit at the beginning of s, and its length; 0: there is none. */
static uint64_t unit(struct gw_slice s, size_t *ret_n)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000},          {"\xce\xbcs", 1000},
                 {"ms", 1000000}, {"s", 1000000000}, {"m", UINT64_C(60000000000)}, {"h", UINT64_C(3600000000000)}};
    size_t n = 0;

    while (n < s.n && s.p[n] != '.' && (s.p[n] < '0' || s.p[n] > '9'))
        n++;
    *ret_n = n;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (gw_slice_eq((struct gw_slice){s.p, n}, gw_slice_cstr(units[i].name)))
            return units[i].ns;
    return 0;
}

/* "1.5h" at the beginning of *s, as nanoseconds. */
static bool part(struct gw_slice *s, uint64_t *ret)
{
    uint64_t whole = 0, fraction = 0, ns;
    double scale = 1;
    size_t i = 0, begin, n;

    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, s->p[i] - '0', &whole) ||
            whole > UINT64_C(1) << 63)
            return false;
    begin = i;
    if (i < s->n && s->p[i] == '.')
        for (i++; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++)
            if (fraction < (UINT64_C(1) << 63) / 10 - 1) { /* further digits are below a nanosecond */
                fraction = fraction * 10 + (s->p[i] - '0');
                scale *= 10;
            }
    if (i == 0 || (i == begin + 1 && begin == 0)) /* no digit at all */
        return false;
    ns = unit((struct gw_slice){s->p + i, s->n - i}, &n);
    if (ns == 0 || __builtin_mul_overflow(whole, ns, &whole))
        return false;
    whole += (uint64_t)((double)fraction * ((double)ns / scale));
    *s = (struct gw_slice){s->p + i + n, s->n - i - n};
    *ret = whole;
    return whole <= UINT64_C(1) << 63;
}

bool gw_ottl_parse_duration(struct gw_slice s, int64_t *ret)
{
    bool minus = s.n && s.p[0] == '-';
    uint64_t sum = 0, one;

    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = (struct gw_slice){s.p + 1, s.n - 1};
    *ret = 0;
    if (gw_slice_is(s, "0"))
        return true;
    if (s.n == 0)
        return false;
    while (s.n) {
        if (!part(&s, &one))
            return false;
        sum += one;
        if (sum > UINT64_C(1) << 63)
            return false;
    }
    if (sum == UINT64_C(1) << 63 && !minus)
        return false;
    *ret = minus ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}
