/* SPDX-License-Identifier: Apache-2.0 */
/* One member of a W3C trace state, by the rules of OpenTelemetry's Go library: a state with any fault has none. */
#include "ottl/paths.h"

enum { MAX_MEMBERS = 32, KEY_TAIL = 255, TENANT_TAIL = 240, SYSTEM_TAIL = 13, MAX_VALUE = 256 };

static bool is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_key_part(struct gw_slice s, size_t most, bool digit_first)
{
    if (s.n == 0 || s.n - 1 > most || !(digit_first ? is_alnum(s.p[0]) : s.p[0] >= 'a' && s.p[0] <= 'z'))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (!s.p[i] || !strchr("_-*/", s.p[i])))
            return false;
    return true;
}

static bool is_state_key(struct gw_slice s)
{
    const uint8_t *a = s.n ? memchr(s.p, '@', s.n) : NULL;

    if (!a)
        return is_key_part(s, KEY_TAIL, false);
    return is_key_part((struct gw_slice){s.p, (size_t)(a - s.p)}, TENANT_TAIL, true) &&
           is_key_part((struct gw_slice){a + 1, s.n - (size_t)(a + 1 - s.p)}, SYSTEM_TAIL, false);
}

static bool is_state_value(struct gw_slice s)
{
    if (s.n == 0 || s.n > MAX_VALUE || s.p[s.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == ',' || s.p[i] == '=')
            return false;
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* key=value without the blanks around it. */
static bool take_member(struct gw_slice m, struct gw_slice *key, struct gw_slice *value)
{
    const uint8_t *eq = memchr(m.p, '=', m.n);

    if (!eq)
        return false;
    *key = (struct gw_slice){m.p, (size_t)(eq - m.p)};
    *value = (struct gw_slice){eq + 1, m.n - key->n - 1};
    while (key->n && is_blank(key->p[0]))
        *key = (struct gw_slice){key->p + 1, key->n - 1};
    while (value->n && is_blank(value->p[value->n - 1]))
        value->n--;
    return is_state_key(*key) && is_state_value(*value);
}

static bool is_new(const struct gw_slice *keys, unsigned n, struct gw_slice key)
{
    for (unsigned i = 0; i < n; i++)
        if (gw_slice_eq(keys[i], key))
            return false;
    return true;
}

void gw_ottl_trace_state_get(struct gw_ottl_run *r, struct gw_slice key, struct gw_ottl_value *ret)
{
    struct gw_slice keys[MAX_MEMBERS], rest, value;
    struct gw_ottl_value found = gw_ottl_string(GW_SLICE(""));
    unsigned n = 0;

    gw_ottl_trace_state(r, ret);
    for (rest = ret->s; rest.n;) {
        const uint8_t *comma = memchr(rest.p, ',', rest.n);
        struct gw_slice m = {rest.p, comma ? (size_t)(comma - rest.p) : rest.n};

        rest = (struct gw_slice){rest.p + m.n + (comma != NULL), rest.n - m.n - (comma != NULL)};
        if (m.n == 0)
            continue;
        if (n == MAX_MEMBERS || !take_member(m, &keys[n], &value) || !is_new(keys, n, keys[n])) {
            ret->type = GW_OT_NIL;
            return;
        }
        if (gw_slice_eq(keys[n++], key))
            found.s = value;
    }
    *ret = found;
}
