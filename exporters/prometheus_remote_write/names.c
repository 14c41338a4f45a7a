/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/names.h"

#include <errno.h>

struct word {
    const char *unit, *name;
};

static const struct word units[] = {
    {"d", "days"},          {"h", "hours"},        {"min", "minutes"},   {"s", "seconds"},      {"ms", "milliseconds"},
    {"us", "microseconds"}, {"ns", "nanoseconds"}, {"By", "bytes"},      {"KiBy", "kibibytes"}, {"MiBy", "mebibytes"},
    {"GiBy", "gibibytes"},  {"TiBy", "tibibytes"}, {"KBy", "kilobytes"}, {"MBy", "megabytes"},  {"GBy", "gigabytes"},
    {"TBy", "terabytes"},   {"m", "meters"},       {"V", "volts"},       {"A", "amperes"},      {"J", "joules"},
    {"W", "watts"},         {"g", "grams"},        {"Cel", "celsius"},   {"Hz", "hertz"},       {"1", ""},
    {"%", "percent"},       {NULL, NULL},
};
static const struct word per_units[] = {
    {"s", "second"}, {"m", "minute"}, {"h", "hour"}, {"d", "day"},
    {"w", "week"},   {"mo", "month"}, {"y", "year"}, {NULL, NULL},
};

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_metric_char(uint8_t c)
{
    return is_word(c) || c == ':';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/** A further byte of a character: the first one stands for all of it. */
static bool is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

static bool only_underscores(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != '_')
            return false;
    return true;
}

static bool ends_with(struct gw_slice s, struct gw_slice end)
{
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

static void put_before(struct gw_buf *out, size_t at, const char *text)
{
    size_t n = strlen(text);

    if (gw_buf_reserve(out, n) < 0)
        return;
    memmove(out->p + at + n, out->p + at, out->n - at);
    memcpy(out->p + at, text, n);
    out->n += n;
}

/* ---- units ------------------------------------------------------------------------------------------------ */

/** Length of the white space (Unicode's) at p, 0 when there is none. */
static size_t space_at(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    if (p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r'))
        return 1;
    if (n >= 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0))
        return 2;
    if (n < 3)
        return 0;
    if (p[0] == 0xe2 && p[1] == 0x80 && ((p[2] >= 0x80 && p[2] <= 0x8a) || (p[2] | 1) == 0xa9 || p[2] == 0xaf))
        return 3;
    if (!memcmp(p, "\xe1\x9a\x80", 3) || !memcmp(p, "\xe2\x81\x9f", 3) || !memcmp(p, "\xe3\x80\x80", 3))
        return 3;
    return 0;
}

static struct gw_slice trimmed(struct gw_slice s)
{
    for (size_t k; (k = space_at(s.p, s.n)) > 0;)
        s = gw_slice_of(s.p + k, s.n - k);
    for (;;) {
        size_t k = 0;

        for (size_t width = 1; width <= 3 && width <= s.n && !k; width++)
            k = space_at(s.p + s.n - width, width) == width ? width : 0;
        if (!k)
            return s;
        s.n -= k;
    }
}

/** What a unit is called: a word, itself, or nothing when it is blank or an annotation in braces. */
static struct gw_slice unit_word(const struct word *words, struct gw_slice unit)
{
    unit = trimmed(unit);
    if (unit.n == 0 || memchr(unit.p, '{', unit.n) || memchr(unit.p, '}', unit.n))
        return (struct gw_slice){0};
    for (const struct word *w = words; w->unit; w++)
        if (gw_slice_is(unit, w->unit))
            return gw_slice_cstr(w->name);
    return unit;
}

static void split_unit(struct gw_slice unit, struct gw_slice *ret_main, struct gw_slice *ret_per)
{
    const uint8_t *slash = unit.n ? memchr(unit.p, '/', unit.n) : NULL;
    size_t n = slash ? (size_t)(slash - unit.p) : unit.n;

    *ret_main = unit_word(units, gw_slice_of(unit.p, n));
    *ret_per = slash ? unit_word(per_units, gw_slice_of(slash + 1, unit.n - n - 1)) : (struct gw_slice){0};
}

/** Append s with an underscore for each run of what may not stand in a name, none in front. */
static void put_clean_unit(struct gw_buf *out, struct gw_slice s)
{
    size_t base = out->n;

    for (size_t i = 0; i < s.n; i++) {
        if (is_metric_char(s.p[i]))
            gw_buf_put_u8(out, s.p[i]);
        else if (out->n > base && out->p[out->n - 1] != '_' && !is_tail(s.p[i]))
            gw_buf_put_u8(out, '_');
    }
}

static void put_clean_per(struct gw_buf *out, struct gw_slice per)
{
    if (per.n)
        gw_buf_put_str(out, "per_");
    for (size_t i = 0; i < per.n && !out->failed; i++) {
        if (is_metric_char(per.p[i]))
            gw_buf_put_u8(out, per.p[i]);
        else if (out->p[out->n - 1] != '_')
            gw_buf_put_u8(out, '_');
    }
}

static void put_per(struct gw_buf *out, struct gw_slice per)
{
    if (per.n == 0)
        return;
    gw_buf_put_str(out, "per_");
    gw_buf_put_slice(out, per);
}

void gw_rw_put_unit(struct gw_buf *out, bool utf8, struct gw_slice unit)
{
    size_t base = out->n, from;
    struct gw_slice main, per;

    split_unit(unit, &main, &per);
    if (utf8)
        gw_buf_put_slice(out, main);
    else
        put_clean_unit(out, main);
    from = out->n;
    if (per.n && from > base)
        gw_buf_put_u8(out, '_');
    if (utf8)
        put_per(out, per);
    else
        put_clean_per(out, per);
    if (out->failed)
        return;
    if (out->n > base && out->p[base] == '_') {
        memmove(out->p + base, out->p + base + 1, out->n - base - 1);
        out->n--;
    }
    if (out->n > base && out->p[out->n - 1] == '_')
        out->n--;
}

/* ---- names of metrics, escaped ---------------------------------------------------------------------------- */

/** Next run of characters that may stand in a name. */
static bool next_token(struct gw_slice name, size_t *at, struct gw_slice *ret)
{
    size_t from;

    while (*at < name.n && !is_metric_char(name.p[*at]))
        (*at)++;
    from = *at;
    while (*at < name.n && is_metric_char(name.p[*at]))
        (*at)++;
    *ret = gw_slice_of(name.p + from, *at - from);
    return *at > from;
}

static bool has_token(struct gw_slice name, struct gw_slice token)
{
    struct gw_slice t;

    for (size_t at = 0; next_token(name, &at, &t);)
        if (gw_slice_eq(t, token))
            return true;
    return false;
}

/** A token behind the others, unless it is the one that will stand last. */
static void put_token(struct gw_buf *out, size_t base, struct gw_slice token, const char *last)
{
    if (token.n == 0 || (last && gw_slice_is(token, last)))
        return;
    if (out->n > base)
        gw_buf_put_u8(out, '_');
    gw_buf_put_slice(out, token);
}

/** The name's tokens, its unit's words unless they are among them, then _total or _ratio. */
static void put_full_name(struct gw_buf *out, const struct gw_rw_metric_name *n)
{
    const char *last = n->counter ? "total" : n->gauge && gw_slice_is(n->unit, "1") ? "ratio" : NULL;
    size_t base = out->n, from;
    struct gw_slice token, main, per;
    struct gw_buf words;

    put_token(out, base, n->namespace_, NULL);
    for (size_t at = 0; next_token(n->name, &at, &token);)
        put_token(out, base, token, last);
    split_unit(n->unit, &main, &per);
    gw_buf_init(&words, 2 * (main.n + per.n) + 64);
    if (gw_buf_reserve(&words, main.n + 1) == 0)
        put_clean_unit(&words, main);
    from = words.n;
    put_clean_per(&words, per);
    out->failed |= words.failed;
    if (out->failed) {
        gw_buf_clear(&words);
        return;
    }
    main = gw_slice_of(words.p, from);
    per = gw_slice_of(words.p + from, words.n - from);
    if (gw_slice_is(per, "per_"))
        per.n = 0;
    else if (per.n && per.p[per.n - 1] == '_')
        per.n--;
    if (has_token(n->name, main))
        main.n = 0;
    if (per.n && main.n && main.p[main.n - 1] == '_')
        main.n--;
    put_token(out, base, main, last);
    put_token(out, base, per, last);
    put_token(out, base, gw_slice_cstr(last), NULL);
    gw_buf_clear(&words);
    if (out->n > base && is_digit(out->p[base]))
        put_before(out, base, "_");
}

/** Runs of what may stand in a name, underscores included, joined by underscores. */
static void put_joined(struct gw_buf *out, struct gw_slice s)
{
    bool gap = false, any = false;

    for (size_t i = 0; i < s.n; i++) {
        if (!is_metric_char(s.p[i]) && s.p[i] != '_') {
            gap = true;
            continue;
        }
        if (gap && any)
            gw_buf_put_u8(out, '_');
        gw_buf_put_u8(out, s.p[i]);
        gap = false;
        any = true;
    }
}

static void put_plain_name(struct gw_buf *out, const struct gw_rw_metric_name *n)
{
    size_t base = out->n;

    if (n->namespace_.n) {
        put_joined(out, n->namespace_);
        gw_buf_put_u8(out, '_');
        put_joined(out, n->name);
        return;
    }
    put_joined(out, n->name);
    if (out->n > base && is_digit(out->p[base]))
        put_before(out, base, "_");
}

/* ---- names of metrics, as they are ------------------------------------------------------------------------- */

/** Take a suffix off, and the character before it. */
static void trim(struct gw_buf *out, size_t base, struct gw_slice suffix)
{
    if (out->n - base > suffix.n + 1 && ends_with(gw_slice_of(out->p + base, out->n - base), suffix))
        out->n -= suffix.n + 1;
}

static void put_utf8_name(struct gw_buf *out, const struct gw_rw_metric_name *n)
{
    bool ratio = n->gauge && gw_slice_is(n->unit, "1");
    size_t base = out->n;
    struct gw_slice main, per;
    struct gw_buf word;

    gw_buf_put_slice(out, n->namespace_);
    if (n->namespace_.n)
        gw_buf_put_u8(out, '_');
    gw_buf_put_slice(out, n->name);
    if (!gw_rw_suffixes(n->strategy) || out->failed)
        return;
    if (ratio)
        trim(out, base, GW_SLICE("ratio"));
    if (n->counter)
        trim(out, base, GW_SLICE("total"));
    split_unit(n->unit, &main, &per);
    gw_buf_init(&word, per.n + 8);
    put_per(&word, per);
    if (word.n)
        trim(out, base, gw_buf_slice(&word));
    if (main.n && !ends_with(gw_slice_of(out->p + base, out->n - base), main)) {
        gw_buf_put_u8(out, '_');
        gw_buf_put_slice(out, main);
    }
    if (word.n)
        gw_buf_put_u8(out, '_');
    gw_buf_put_slice(out, gw_buf_slice(&word));
    gw_buf_put_str(out, n->counter ? "_total" : ratio ? "_ratio" : "");
    out->failed |= word.failed;
    gw_buf_clear(&word);
}

int gw_rw_put_metric_name(struct gw_buf *out, const struct gw_rw_metric_name *n)
{
    size_t base = out->n;
    bool utf8 = gw_rw_utf8(n->strategy);

    if (gw_buf_reserve(out, n->name.n + 1) < 0)
        return -ENOMEM;
    if (utf8)
        put_utf8_name(out, n);
    else if (gw_rw_suffixes(n->strategy))
        put_full_name(out, n);
    else
        put_plain_name(out, n);
    if (out->failed)
        return -ENOMEM;
    /* A name of underscores alone is good when it was one before. */
    if (out->n > base && (utf8 || gw_slice_eq(gw_slice_of(out->p + base, out->n - base), n->name) ||
                          !only_underscores(out->p + base, out->n - base)))
        return 0;
    out->n = base;
    return -EINVAL;
}

/* ---- names of labels --------------------------------------------------------------------------------------- */

static void put_sanitized(struct gw_buf *out, struct gw_slice s, bool keep_runs)
{
    bool underscore = false;

    for (size_t i = 0; i < s.n; i++) {
        if (is_word(s.p[i])) {
            gw_buf_put_u8(out, s.p[i]);
            underscore = false;
        } else if (!is_tail(s.p[i]) && (keep_runs || !underscore)) {
            gw_buf_put_u8(out, '_');
            underscore = true;
        }
    }
}

int gw_rw_put_label_name(struct gw_buf *out, enum gw_rw_label_style style, struct gw_slice key)
{
    size_t base = out->n;
    const uint8_t *p;

    if (key.n == 0)
        return -EINVAL;
    if (style == GW_RW_LABEL_UTF8) {
        gw_buf_put_slice(out, key);
    } else if (style == GW_RW_LABEL && key.n >= 4 && !memcmp(key.p, "__", 2) && ends_with(key, GW_SLICE("__"))) {
        gw_buf_put_str(out, "__"); /* a reserved name keeps its underscores */
        put_sanitized(out, gw_slice_of(key.p + 2, key.n - 4), false);
        gw_buf_put_str(out, "__");
    } else {
        put_sanitized(out, key, style == GW_RW_LABEL_INFO);
    }
    if (out->failed)
        return -ENOMEM;
    p = out->p + base;
    if (style != GW_RW_LABEL_UTF8 && is_digit(p[0]))
        put_before(out, base, "key_");
    else if (style == GW_RW_LABEL && p[0] == '_' && !(out->n - base >= 2 && p[1] == '_'))
        put_before(out, base, "key");
    if (out->failed)
        return -ENOMEM;
    if (!only_underscores(out->p + base, out->n - base))
        return 0;
    out->n = base;
    return -EINVAL;
}
