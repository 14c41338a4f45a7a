/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as Go writes them. */
#include "config/schema.h"

#include <stdio.h>

struct unit {
    const char *name;
    uint64_t ns;
};

/* Longest first where one begins with another: "ms" before "m". */
static const struct unit units[] = {
    {"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000},   {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000ull}, {"h", 3600000000000ull},
};

static const uint64_t MAX_NS = INT64_MAX; /* Go's time.Duration: 292 years */

static const struct unit *find_unit(const char *s)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strncmp(s, units[i].name, strlen(units[i].name)) == 0)
            return &units[i];
    return NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits before the point, and behind it as a fraction < 1. Returns NULL when there is no digit at all. */
static const char *scan_number(const char *s, uint64_t *ret_whole, double *ret_fraction)
{
    double scale = 0.1;
    bool any = false;

    *ret_whole = 0;
    *ret_fraction = 0;
    for (; is_digit(*s); s++, any = true) {
        if (*ret_whole > (MAX_NS - 9) / 10)
            return NULL;
        *ret_whole = *ret_whole * 10 + (uint64_t)(*s - '0');
    }
    if (*s == '.')
        for (s++; is_digit(*s); s++, any = true, scale /= 10)
            *ret_fraction += scale * (*s - '0');
    return any ? s : NULL;
}

int gw_duration_parse(const char *s, uint64_t *ret_ns)
{
    uint64_t sum = 0;

    if (*s == '+')
        s++;
    if (strcmp(s, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    if (*s == '\0')
        return -EINVAL;
    while (*s) {
        uint64_t whole, ns;
        double fraction;
        const struct unit *u;

        s = scan_number(s, &whole, &fraction);
        if (!s || !(u = find_unit(s)) || whole > MAX_NS / u->ns)
            return -EINVAL;
        ns = whole * u->ns + (uint64_t)(fraction * (double)u->ns + 1e-6 * (double)(u->ns > 1));
        if (ns > MAX_NS || sum > MAX_NS - ns)
            return -EINVAL;
        sum += ns;
        s += strlen(u->name);
    }
    *ret_ns = sum;
    return 0;
}

const char *gw_duration_format(uint64_t ns, char *buf, size_t size)
{
    static const struct unit steps[] = {{"h", 3600000000000ull}, {"m", 60000000000ull}, {"s", 1000000000},
                                        {"ms", 1000000},         {"us", 1000},          {"ns", 1}};
    size_t at = 0;

    (void)snprintf(buf, size, "0s");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && ns; i++) {
        uint64_t n = ns / steps[i].ns;

        if (n == 0)
            continue;
        ns %= steps[i].ns;
        at += (size_t)snprintf(buf + at, at < size ? size - at : 0, "%llu%s", (unsigned long long)n, steps[i].name);
        if (at >= size)
            break;
    }
    return buf;
}
