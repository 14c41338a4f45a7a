/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/tail_sampling/rules.h"

#include "core/hash.h"
#include "ottl/ottl.h"
#include "processors/common/trace_state.h"
#include "values/pattern.h"

/* ---- sets of texts ---------------------------------------------------------------------------------------- */

enum { FEW = 16 }; /* slots that are looked through one by one */

static struct gw_slice *find(const struct gw_words *w, struct gw_slice text)
{
    uint32_t at = w->n_slots > FEW ? (uint32_t)gw_hash_table(text) : 0;

    while (w->slots[at & (w->n_slots - 1)].n && !gw_slice_eq(w->slots[at & (w->n_slots - 1)], text))
        at++;
    return &w->slots[at & (w->n_slots - 1)];
}

static uint64_t length_bit(size_t n)
{
    return UINT64_C(1) << (n & 63);
}

bool gw_words_init(struct gw_words *w, struct gw_arena *arena, const char *const *texts, size_t n, size_t max_bytes)
{
    *w = (struct gw_words){.n_slots = FEW};
    while (w->n_slots < 2 * n)
        w->n_slots *= 2;
    w->slots = gw_arena_zalloc(arena, w->n_slots * sizeof(*w->slots));
    if (!w->slots)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct gw_slice text = gw_slice_cstr(texts[i]), *slot;

        if (text.n == 0 || text.n > max_bytes)
            continue;
        slot = find(w, text);
        w->n += slot->n == 0;
        w->lengths |= length_bit(text.n);
        *slot = text;
    }
    return true;
}

bool gw_words_have(const struct gw_words *w, struct gw_slice text)
{
    return text.n && (w->lengths & length_bit(text.n)) && find(w, text)->n;
}

/* ---- attributes ------------------------------------------------------------------------------------------- */

static bool matches(const struct gw_predicate *p, struct gw_slice text)
{
    if (!p->is_pattern)
        return gw_words_have(&p->words, text);
    for (unsigned i = 0; i < p->n_patterns; i++)
        if (gw_pattern_matches(p->patterns[i], text))
            return true;
    return false;
}

/* A value of another type reads as the zero of the wanted one; an empty text is none, but of a resource. */
static bool is_true(const struct gw_predicate *p, const struct gw_value *v, bool of_resource)
{
    struct gw_slice text = v->type == GW_V_STRING ? v->s : (struct gw_slice){NULL, 0};
    int64_t i = v->type == GW_V_INT ? v->i : 0;

    switch ((int)p->type) {
    case GW_RULE_NUMERIC_ATTRIBUTE:
        return i >= p->min && i <= p->max;
    case GW_RULE_BOOLEAN_ATTRIBUTE:
        return (v->type == GW_V_BOOL && v->b) == p->is_true;
    default:
        return (text.n || of_resource) && matches(p, text);
    }
}

static void ask_value(const struct gw_asked_key *k, const struct gw_value *v, bool of_resource,
                      uint64_t bits[GW_FACT_WORDS])
{
    for (const struct gw_predicate *p = k->predicates; p; p = p->next)
        if (is_true(p, v, of_resource))
            gw_fact_set(bits, p->bit);
}

static void ask_resource(const struct gw_policies *p, const struct gw_view *v, uint32_t resource,
                         uint64_t bits[GW_FACT_WORDS])
{
    struct gw_value value;

    memset(bits, 0, GW_FACT_WORDS * sizeof(*bits));
    for (const struct gw_asked_key *k = p->attributes; k; k = k->next)
        if (gw_view_attr_get(v, GW_OWN_RESOURCE, resource, k->key, &value))
            ask_value(k, &value, /* of_resource= */ true, bits);
}

/* As gw_view_next, behind its first call, without one when no row was removed. */
static inline uint32_t next_row(const struct gw_view *v, uint32_t row)
{
    return v->kept ? gw_view_next(v, row) : row;
}

/* What costs a look at a fixed column, and what the resource answers: rows of one stand together. */
static void begin_rows(const struct gw_policies *p, const struct gw_view *v, uint64_t (*ret)[GW_FACT_WORDS])
{
    const struct gw_batch *b = v->batch;
    uint64_t bits[GW_FACT_WORDS] = {0};
    uint32_t asked = UINT32_MAX;

    for (uint32_t row = gw_view_next(v, 0); row < b->n_rows; row = next_row(v, row + 1)) {
        uint32_t resource = gw_batch_resource_of(b, row);
        unsigned status = b->status[row] > 3 ? 3 : b->status[row];

        if (resource != asked)
            ask_resource(p, v, asked = resource, bits);
        for (unsigned w = 0; w < p->n_bit_words; w++)
            ret[row][w] = bits[w] | p->status_bits[status][w] | (b->flags[row] & 1 ? p->flag_bits[w] : 0);
    }
}

/* Neighbours of one length begin alike (http.route, http.scheme), and end differently. */
static inline bool is_key_of(const struct gw_asked_key *k, struct gw_slice key)
{
    return k->key.n == key.n && (key.n == 0 || (k->key.p[key.n - 1] == key.p[key.n - 1] && gw_slice_eq(k->key, key)));
}

/* One look at each attribute, however many keys are asked about; of a key that stands twice the first counts. */
static void ask_row(struct gw_policies *p, const struct gw_batch *b, uint32_t row, uint64_t bits[GW_FACT_WORDS])
{
    uint64_t stamp = ++p->stamp;

    for (uint32_t i = b->attr[row].begin; i < b->attr[row].end; i++) {
        const struct gw_attr *a = &b->attrs[i];
        struct gw_asked_key *k = p->by_length[gw_asked_length(a->klen)];
        struct gw_value value;

        while (k && (k->stamp == stamp || !is_key_of(k, gw_attr_key(b, a))))
            k = k->same_length;
        if (!k)
            continue;
        k->stamp = stamp;
        value = gw_value_of(b, a->type, a->val);
        ask_value(k, &value, /* of_resource= */ false, bits);
    }
}

static void ask_row_by_key(const struct gw_policies *p, const struct gw_view *v, uint32_t row,
                           uint64_t bits[GW_FACT_WORDS])
{
    struct gw_value value;

    for (const struct gw_asked_key *k = p->attributes; k; k = k->next)
        if (gw_view_attr_get(v, GW_OWN_ROW, row, k->key, &value))
            ask_value(k, &value, /* of_resource= */ false, bits);
}

enum { FEW_KEYS = 2 }; /* so many are found faster one by one */

static void ask_attributes(struct gw_policies *p, const struct gw_view *v, uint64_t (*ret)[GW_FACT_WORDS])
{
    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows; row = next_row(v, row + 1))
        if (p->n_attributes <= FEW_KEYS || gw_view_is_patched(v, GW_OWN_ROW, row))
            ask_row_by_key(p, v, row, ret[row]);
        else
            ask_row(p, v->batch, row, ret[row]);
}

/* ---- trace state ------------------------------------------------------------------------------------------ */

/*
 * The W3C's grammar as OpenTelemetry's SDK for Go reads it: one mistake anywhere, and there is no trace state. Not that
 * of values/sampling.h, whose pkg/sampling is milder.
 */
enum { MAX_MEMBERS = 32, MAX_SIMPLE_KEY = 256, MAX_TENANT = 241, MAX_SYSTEM = 14, MAX_VALUE = 256 };

struct members {
    struct gw_slice keys[MAX_MEMBERS], values[MAX_MEMBERS];
    unsigned n;
};

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_lower_or_digit(uint8_t c)
{
    return is_lower(c) || (c >= '0' && c <= '9');
}

static bool is_key_part(struct gw_slice s, size_t max, bool begins_with_letter)
{
    if (s.n == 0 || s.n > max || !(begins_with_letter ? is_lower(s.p[0]) : is_lower_or_digit(s.p[0])))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_lower_or_digit(s.p[i]) && s.p[i] != '_' && s.p[i] != '-' && s.p[i] != '*' && s.p[i] != '/')
            return false;
    return true;
}

static bool is_key(struct gw_slice s)
{
    const uint8_t *at = s.n ? memchr(s.p, '@', s.n) : NULL;

    if (!at)
        return is_key_part(s, MAX_SIMPLE_KEY, true);
    return is_key_part(gw_slice_of(s.p, (size_t)(at - s.p)), MAX_TENANT, false) &&
           is_key_part(gw_slice_of(at + 1, (size_t)(s.p + s.n - at - 1)), MAX_SYSTEM, true);
}

static bool is_member_value(struct gw_slice s)
{
    if (s.n == 0 || s.n > MAX_VALUE || s.p[s.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '=')
            return false;
    return true;
}

static bool add_member(struct members *m, struct gw_slice s)
{
    const uint8_t *is = memchr(s.p, '=', s.n);
    struct gw_slice key, value;

    if (!is)
        return false;
    key = gw_slice_of(s.p, (size_t)(is - s.p));
    value = gw_slice_of(is + 1, (size_t)(s.p + s.n - is - 1));
    for (; key.n && (*key.p == ' ' || *key.p == '\t'); key.n--)
        key.p++;
    while (value.n && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
        value.n--;
    if (!is_key(key) || !is_member_value(value) || m->n == MAX_MEMBERS)
        return false;
    for (unsigned i = 0; i < m->n; i++)
        if (gw_slice_eq(m->keys[i], key))
            return false;
    m->keys[m->n] = key;
    m->values[m->n++] = value;
    return true;
}

static bool parse_members(struct gw_slice s, struct members *ret)
{
    ret->n = 0;
    while (s.n) {
        const uint8_t *comma = memchr(s.p, ',', s.n);
        size_t n = comma ? (size_t)(comma - s.p) : s.n;

        if (n && !add_member(ret, gw_slice_of(s.p, n)))
            return false;
        n += comma != NULL;
        s = gw_slice_of(s.p + n, s.n - n);
    }
    return true;
}

static void ask_members(const struct gw_policies *p, const struct gw_view *v, uint64_t (*ret)[GW_FACT_WORDS])
{
    struct members m;

    for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows; row = next_row(v, row + 1)) {
        struct gw_slice text = gw_span_trace_state(v, row);

        if (text.n == 0 || !parse_members(text, &m))
            continue;
        for (const struct gw_asked_key *k = p->members; k; k = k->next)
            for (unsigned i = 0; i < m.n; i++)
                for (const struct gw_predicate *q = gw_slice_eq(m.keys[i], k->key) ? k->predicates : NULL; q;
                     q = q->next)
                    if (gw_words_have(&q->words, m.values[i]))
                        gw_fact_set(ret[row], q->bit);
    }
}

/* ---- conditions ------------------------------------------------------------------------------------------- */

enum answer { NO, YES, FAILED, NO_MEMORY };

/* The first that is true, or fails where that counts. */
static enum answer ask_each(const struct gw_asked_conditions *a, struct gw_ottl *const *list, unsigned n,
                            const struct gw_view *v, uint32_t row, uint32_t index)
{
    struct gw_err err;

    for (unsigned i = 0; i < n; i++) {
        bool is = false;
        int r = gw_ottl_test(list[i], v, row, index, &is, &err);

        if (r == -ENOMEM)
            return NO_MEMORY;
        if (r < 0 && a->propagates)
            return FAILED;
        if (r == 0 && is)
            return YES;
    }
    return NO;
}

/* A span, then its events. */
static enum answer ask_span(const struct gw_asked_conditions *a, const struct gw_view *v, uint32_t row)
{
    struct gw_range events = v->batch->events_of[row];
    enum answer ret = ask_each(a, a->span, a->n_span, v, row, row);

    for (uint32_t e = events.begin; ret == NO && a->n_event && e < events.end; e++)
        ret = ask_each(a, a->event, a->n_event, v, row, e);
    return ret;
}

static bool ask_conditions(const struct gw_policies *p, const struct gw_view *v, uint64_t (*ret)[GW_FACT_WORDS])
{
    for (const struct gw_asked_conditions *a = p->conditions; a; a = a->next)
        for (uint32_t row = gw_view_next(v, 0); row < v->batch->n_rows; row = next_row(v, row + 1)) {
            enum answer is = ask_span(a, v, row);

            if (is == NO_MEMORY)
                return false;
            if (is != NO)
                gw_fact_set(ret[row], is == YES ? a->bit : a->failed_bit);
        }
    return true;
}

/* Patterns that are made to backtrack for ever stop at a limit: the text is no match, and somebody should know. */
static void tell_given_up(struct gw_policies *p)
{
    uint64_t n = 0;

    for (const struct gw_asked_key *k = p->attributes; k; k = k->next)
        for (const struct gw_predicate *q = k->predicates; q; q = q->next)
            for (unsigned i = 0; i < q->n_patterns; i++)
                n += gw_pattern_n_given_up(q->patterns[i]);
    for (const struct gw_asked_conditions *a = p->conditions; a; a = a->next) {
        for (unsigned i = 0; i < a->n_span; i++)
            n += gw_ottl_n_given_up(a->span[i]);
        for (unsigned i = 0; i < a->n_event; i++)
            n += gw_ottl_n_given_up(a->event[i]);
    }
    gw_metric_add(p->given_up, n - p->n_given_up);
    p->n_given_up = n;
}

/* ---- all of them ------------------------------------------------------------------------------------------ */

const uint64_t (*gw_policies_ask(struct gw_policies *p, const struct gw_view *v))[GW_FACT_WORDS]
{
    uint64_t(*ret)[GW_FACT_WORDS] = gw_arena_zalloc(v->arena, v->batch->n_rows * sizeof(*ret) + 1);

    if (!ret)
        return NULL;
    begin_rows(p, v, ret);
    if (p->attributes)
        ask_attributes(p, v, ret);
    if (p->members)
        ask_members(p, v, ret);
    if (!ask_conditions(p, v, ret))
        return NULL;
    gw_alarms_ask(p, v, ret);
    tell_given_up(p);
    return (const uint64_t(*)[GW_FACT_WORDS])ret;
}
