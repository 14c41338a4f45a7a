/* SPDX-License-Identifier: Apache-2.0 */
#include "values/sampling.h"

#include <math.h>

enum {
    HEX_BITS = 4,
    MAX_MEMBERS = 31, /* the Collector refuses the 32nd */
    MAX_STATE_BYTES = 1024,
    MAX_VALUE_BYTES = 256,
    MAX_TENANT_BYTES = 241,
    MAX_SYSTEM_BYTES = 14,
    MAX_OT_BYTES = 256,
};

/* ---- thresholds ------------------------------------------------------------------------------------------- */

bool gw_threshold_of(double probability, int precision, uint64_t *ret)
{
    int exp_kept, exp_dropped, digits;
    uint64_t threshold;

    if (!(probability >= 0x1p-56 && probability <= 1))
        return false;
    if (probability == 1) {
        *ret = GW_ALWAYS_SAMPLE;
        return true;
    }
    /* Leading digits 0 or f carry nothing: near the ends one digit more for each of them. */
    (void)frexp(probability, &exp_kept);
    (void)frexp(1 - probability, &exp_dropped);
    digits = precision + (exp_kept < exp_dropped ? exp_kept : exp_dropped) / -HEX_BITS;
    threshold = GW_NEVER_SAMPLE - (uint64_t)round(probability * 0x1p56);
    if (digits < GW_SAMPLING_DIGITS) {
        int shift = HEX_BITS * (GW_SAMPLING_DIGITS - digits);

        threshold = (threshold + (UINT64_C(1) << (shift - 1))) >> shift << shift;
    }
    *ret = threshold;
    return true;
}

double gw_threshold_probability(uint64_t threshold)
{
    return (double)(GW_NEVER_SAMPLE - threshold) / 0x1p56;
}

void gw_randomness_text(uint64_t randomness, char ret[GW_SAMPLING_DIGITS + 1])
{
    for (int i = GW_SAMPLING_DIGITS - 1; i >= 0; i--, randomness >>= HEX_BITS)
        ret[i] = "0123456789abcdef"[randomness & 15];
    ret[GW_SAMPLING_DIGITS] = '\0';
}

size_t gw_threshold_text(uint64_t threshold, char ret[GW_SAMPLING_DIGITS + 1])
{
    size_t n = GW_SAMPLING_DIGITS;

    if (threshold == GW_ALWAYS_SAMPLE || threshold >= GW_NEVER_SAMPLE) {
        strcpy(ret, threshold == GW_ALWAYS_SAMPLE ? "0" : "");
        return threshold == GW_ALWAYS_SAMPLE;
    }
    gw_randomness_text(threshold, ret);
    while (ret[n - 1] == '0')
        n--;
    ret[n] = '\0';
    return n;
}

static bool parse_hex(struct gw_slice text, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i] | 0x20;

        if (text.p[i] >= '0' && text.p[i] <= '9')
            v = v << 4 | (text.p[i] - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (c - 'a' + 10u);
        else
            return false;
    }
    *ret = v;
    return true;
}

bool gw_threshold_parse(struct gw_slice text, uint64_t *ret)
{
    if (text.n == 0 || text.n > GW_SAMPLING_DIGITS || !parse_hex(text, ret))
        return false;
    *ret <<= HEX_BITS * (GW_SAMPLING_DIGITS - text.n);
    return true;
}

bool gw_randomness_parse(struct gw_slice text, uint64_t *ret)
{
    return text.n == GW_SAMPLING_DIGITS && parse_hex(text, ret);
}

uint64_t gw_randomness_of_trace(const uint8_t id[16])
{
    uint64_t v;

    memcpy(&v, id + 8, sizeof(v));
    return __builtin_bswap64(v) & GW_MAX_RANDOMNESS;
}

/* ---- trace state ------------------------------------------------------------------------------------------ */

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Cuts the next member off; false at the end. */
static bool take(struct gw_slice *rest, char separator, struct gw_slice *ret)
{
    const uint8_t *end;

    if (rest->n == 0)
        return false;
    end = memchr(rest->p, separator, rest->n);
    *ret = (struct gw_slice){rest->p, end ? (size_t)(end - rest->p) : rest->n};
    rest->n -= end ? ret->n + 1 : ret->n;
    rest->p = end ? end + 1 : rest->p;
    return true;
}

static struct gw_slice trim(struct gw_slice s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = (struct gw_slice){s.p + 1, s.n - 1};
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static bool cut(struct gw_slice s, char at, struct gw_slice *ret_key, struct gw_slice *ret_value)
{
    const uint8_t *p = s.n ? memchr(s.p, at, s.n) : NULL;

    *ret_key = *ret_value = (struct gw_slice){NULL, 0};
    if (!p)
        return false;
    *ret_key = (struct gw_slice){s.p, (size_t)(p - s.p)};
    *ret_value = (struct gw_slice){p + 1, s.n - ret_key->n - 1};
    return true;
}

static bool key_chars(struct gw_slice s)
{
    for (size_t i = 1; i < s.n; i++)
        if (!is_lower(s.p[i]) && !is_digit(s.p[i]) && !memchr("_-*/", s.p[i], 4))
            return false;
    return true;
}

/* simple-key or tenant@system, W3C Trace Context 3.3.1.3.1. */
static bool is_w3c_key(struct gw_slice key)
{
    struct gw_slice tenant, system;

    if (!cut(key, '@', &tenant, &system))
        return key.n > 0 && key.n <= MAX_VALUE_BYTES && is_lower(key.p[0]) && key_chars(key);
    return tenant.n > 0 && tenant.n <= MAX_TENANT_BYTES && system.n > 0 && system.n <= MAX_SYSTEM_BYTES &&
           (is_lower(tenant.p[0]) || is_digit(tenant.p[0])) && is_lower(system.p[0]) && key_chars(tenant) &&
           key_chars(system);
}

static bool is_w3c_value(struct gw_slice value)
{
    if (value.n == 0 || value.n > MAX_VALUE_BYTES || value.p[value.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < 0x20 || value.p[i] > 0x7e || value.p[i] == ',' || value.p[i] == '=')
            return false;
    return true;
}

/* All members are well formed. */
static bool is_w3c(struct gw_slice text)
{
    struct gw_slice member, key, value;

    if (text.n > MAX_STATE_BYTES)
        return false;
    while (take(&text, ',', &member)) {
        member = trim(member);
        if (member.n && (!cut(member, '=', &key, &value) || !is_w3c_key(key) || !is_w3c_value(value)))
            return false;
    }
    return true;
}

static bool is_ot(struct gw_slice text)
{
    struct gw_slice member, key, value;

    if (text.n == 0 || text.n > MAX_OT_BYTES || text.p[text.n - 1] == ';')
        return false;
    while (take(&text, ';', &member)) {
        if (!cut(member, ':', &key, &value) || key.n == 0 || !is_lower(key.p[0]))
            return false;
        for (size_t i = 1; i < key.n; i++)
            if (!is_lower(key.p[i]) && !is_digit(key.p[i]))
                return false;
        for (size_t i = 0; i < value.n; i++)
            if (!is_lower(value.p[i] | 0x20) && !is_digit(value.p[i]) && !memchr("._-", value.p[i], 3))
                return false;
    }
    return true;
}

static bool parse_ot(struct gw_slice text, struct gw_trace_state *ts)
{
    struct gw_slice member, key, value;
    bool ok = true;

    ts->has_randomness = ts->has_threshold = false;
    ts->ot = (struct gw_slice){NULL, 0};
    if (!is_ot(text))
        return false;
    ts->ot = text;
    while (take(&text, ';', &member)) {
        (void)cut(member, ':', &key, &value);
        if (gw_slice_is(key, "rv")) {
            ts->has_randomness = gw_randomness_parse(value, &ts->randomness);
            ts->randomness_text = value;
            ok &= ts->has_randomness;
        } else if (gw_slice_is(key, "th")) {
            ts->has_threshold = gw_threshold_parse(value, &ts->threshold);
            ts->threshold_text = value;
            ok &= ts->has_threshold;
        }
    }
    return ok;
}

bool gw_trace_state_parse(struct gw_slice text, struct gw_trace_state *ret)
{
    struct gw_slice rest = text, member, key, value;
    unsigned n = 0;
    bool ok = true;

    *ret = (struct gw_trace_state){0};
    if (!is_w3c(text))
        return false;
    ret->text = text;
    while (take(&rest, ',', &member)) {
        if (++n > MAX_MEMBERS) {
            ret->text.n = (size_t)(member.p - text.p);
            return false;
        }
        if (cut(trim(member), '=', &key, &value) && gw_slice_is(key, "ot"))
            ok &= parse_ot(value, ret);
    }
    return ok;
}

static void separate(struct gw_buf *out, unsigned *n, char c)
{
    if ((*n)++)
        gw_buf_put_u8(out, (uint8_t)c);
}

/* The ot value's other members, each behind a separator. */
static void put_others(const struct gw_trace_state *ts, struct gw_buf *out, unsigned *n)
{
    struct gw_slice rest = ts->ot, member, key, value;

    while (take(&rest, ';', &member)) {
        if (!cut(member, ':', &key, &value) || gw_slice_is(key, "rv") || gw_slice_is(key, "th"))
            continue;
        separate(out, n, ';');
        gw_buf_put_slice(out, member);
    }
}

void gw_trace_state_write(const struct gw_trace_state *ts, struct gw_buf *out)
{
    struct gw_slice rest = ts->text, member, key, value;
    size_t begin = out->n;
    unsigned n = 0, n_ot = 0;

    gw_buf_put_str(out, "ot=");
    if (ts->has_randomness) {
        separate(out, &n_ot, ';');
        gw_buf_put_str(out, "rv:");
        gw_buf_put_slice(out, ts->randomness_text);
    }
    if (ts->has_threshold) {
        separate(out, &n_ot, ';');
        gw_buf_put_str(out, "th:");
        gw_buf_put_slice(out, ts->threshold_text);
    }
    put_others(ts, out, &n_ot);
    if (n_ot)
        n++;
    else
        out->n = begin;
    while (take(&rest, ',', &member)) {
        member = trim(member);
        if (!cut(member, '=', &key, &value) || gw_slice_is(key, "ot"))
            continue;
        separate(out, &n, ',');
        gw_buf_put_slice(out, member);
    }
}
