/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "ottl/ottl.h"
#include "processors/tail_sampling/build.h"
#include "values/pattern.h"
#include "values/sampling.h"

/* ---- predicates ------------------------------------------------------------------------------------------- */

static bool take_bit(struct gw_build *b, const struct gw_node *n, uint16_t *ret)
{
    if (b->p->n_bits == GW_MAX_PREDICATES) {
        if (!b->is_full)
            gw_build_wrong(b, n, "more than %d conditions on spans in all policies together", GW_MAX_PREDICATES);
        b->is_full = true;
        return false;
    }
    *ret = (uint16_t)b->p->n_bits++;
    b->p->n_words = (b->p->n_bits + 63) / 64;
    return true;
}

static struct gw_asked_key *key_of(struct gw_build *b, struct gw_asked_key **first, const char *key)
{
    struct gw_asked_key *k, **list = first;

    while (*list && !gw_slice_is((*list)->key, key))
        list = &(*list)->next;
    if (*list)
        return *list;
    k = gw_arena_zalloc(&b->p->arena, sizeof(*k));
    if (!k)
        return NULL;
    k->key = gw_slice_cstr(key);
    *list = k;
    if (first == &b->p->attributes) {
        b->p->n_attributes++;
        k->same_length = b->p->by_length[gw_asked_length(k->key.n)];
        b->p->by_length[gw_asked_length(k->key.n)] = k;
    }
    return k;
}

/* A predicate of that key; NULL after a mistake was told. */
static struct gw_predicate *ask(struct gw_build *b, struct gw_rule *r, const struct gw_node *block,
                                struct gw_asked_key **list, const char *key)
{
    struct gw_asked_key *k = key_of(b, list, key);
    struct gw_predicate *p = gw_arena_zalloc(&b->p->arena, sizeof(*p));

    if (!k || !p) {
        gw_build_no_memory(b, block);
        return NULL;
    }
    if (!take_bit(b, block, &r->bit))
        return NULL;
    if (!*key)
        gw_build_odd(b, block, "its key is empty: it matches no attribute");
    p->type = r->type;
    p->bit = r->bit;
    p->next = k->predicates;
    k->predicates = p;
    r->has_bit = true;
    gw_buf_printf(&b->shape, "\n%d %s", (int)r->type, key);
    return p;
}

static void shape_texts(struct gw_build *b, const struct gw_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        gw_buf_printf(&b->shape, " %zu:%s", strlen(((const char **)l->items)[i]), ((const char **)l->items)[i]);
}

static void words(struct gw_build *b, struct gw_predicate *p, const struct gw_node *block, const struct gw_list *l,
                  size_t max_bytes)
{
    shape_texts(b, l);
    if (!gw_words_init(&p->words, &b->p->arena, l->items, l->n, max_bytes))
        gw_build_no_memory(b, block);
    else if (p->words.n == 0)
        gw_build_odd(b, gw_build_at(block, "values"), "no values: it never matches");
}

static void patterns(struct gw_build *b, struct gw_predicate *p, const struct gw_node *block, const struct gw_list *l)
{
    struct gw_err err = {""};

    p->is_pattern = true;
    gw_buf_put_str(&b->shape, " regex");
    shape_texts(b, l);
    p->patterns = gw_arena_zalloc(&b->p->arena, l->n * sizeof(struct gw_pattern *) + 1);
    if (!p->patterns) {
        gw_build_no_memory(b, block);
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        const char *re2 = ((const char **)l->items)[i];
        int rc = gw_pattern_new(re2, &p->patterns[p->n_patterns], &err);

        if (rc == 0)
            p->n_patterns++;
        else if (rc == -ENOMEM)
            gw_build_no_memory(b, block);
        else
            gw_build_wrong(b, gw_build_item(gw_build_at(block, "values"), i), "invalid regex `%.120s`: %s", re2,
                           err.text);
    }
    if (l->n == 0)
        gw_build_odd(b, gw_build_at(block, "values"), "no values: it never matches");
}

static void build_string(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                         const struct gw_node *block)
{
    struct gw_predicate *p = ask(b, r, block, &b->p->attributes, c->string_attribute.key);

    r->invert = c->string_attribute.invert_match;
    if (!p)
        return;
    if (c->string_attribute.enabled_regex_matching)
        patterns(b, p, block, &c->string_attribute.values);
    else
        words(b, p, block, &c->string_attribute.values, SIZE_MAX);
}

static void build_numeric(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                          const struct gw_node *block)
{
    struct gw_predicate *p = ask(b, r, block, &b->p->attributes, c->numeric_attribute.key);
    int64_t min = c->numeric_attribute.min_value, max = c->numeric_attribute.max_value;

    r->invert = c->numeric_attribute.invert_match;
    if (min == 0 && max == 0)
        gw_build_wrong(b, block, "min_value or max_value must be set, and not to 0, which means unset");
    if (!p)
        return;
    p->min = min ? min : INT64_MIN;
    p->max = max ? max : INT64_MAX;
    if (p->min > p->max)
        gw_build_odd(b, block, "min_value is above max_value: it never matches");
    gw_buf_printf(&b->shape, " %lld %lld", (long long)p->min, (long long)p->max);
}

static void build_boolean(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                          const struct gw_node *block)
{
    struct gw_predicate *p = ask(b, r, block, &b->p->attributes, c->boolean_attribute.key);

    r->invert = c->boolean_attribute.invert_match;
    if (!p)
        return;
    p->is_true = c->boolean_attribute.value;
    gw_buf_printf(&b->shape, " %d", p->is_true);
}

static void build_trace_state(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                              const struct gw_node *block)
{
    enum { MAX_MEMBER = 255 }; /* a key and its value; one more byte is `=` */
    const char *key = c->trace_state.key;
    struct gw_predicate *p = ask(b, r, block, &b->p->members, key);

    if (p)
        words(b, p, block, &c->trace_state.values, strlen(key) < MAX_MEMBER ? MAX_MEMBER - strlen(key) : 0);
}

static void build_status(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                         const struct gw_node *block)
{
    static const char *const codes[] = {"UNSET", "OK", "ERROR"}; /* by their numbers on the wire */
    const struct gw_list *l = &c->status_code.status_codes;

    if (l->n == 0)
        gw_build_wrong(b, gw_build_at(block, "status_codes"), "expected at least one status code to filter on");
    if (!take_bit(b, block, &r->bit))
        return;
    gw_buf_put_str(&b->shape, "\nstatus");
    shape_texts(b, l);
    for (size_t i = 0; i < l->n; i++) {
        const char *code = ((const char **)l->items)[i];
        unsigned k = 0;

        while (k < 3 && strcmp(codes[k], code) != 0)
            k++;
        if (k == 3)
            gw_build_wrong(b, gw_build_item(gw_build_at(block, "status_codes"), i),
                           "unknown status code \"%.60s\", supported: OK, ERROR, UNSET", code);
        else
            gw_fact_set(b->p->status_bits[k], r->bit);
    }
}

static void build_flags(struct gw_build *b, struct gw_rule *r, const struct gw_node *n)
{
    if (!take_bit(b, n, &r->bit))
        return;
    gw_fact_set(b->p->flag_bits, r->bit);
    gw_buf_put_str(&b->shape, "\nflags");
}

static struct gw_ottl **conditions(struct gw_build *b, const struct gw_list *l, enum gw_ottl_context context,
                                   const struct gw_node *list, unsigned *ret_n)
{
    struct gw_ottl **ret = gw_arena_zalloc(&b->p->arena, l->n * sizeof(*ret) + 1);
    struct gw_ottl_fault fault;

    if (!ret) {
        gw_build_no_memory(b, list);
        return NULL;
    }
    for (size_t i = 0; i < l->n; i++) {
        const char *text = ((const char **)l->items)[i];
        int r = gw_ottl_condition_new(gw_slice_cstr(text), context, b->p->env, &ret[*ret_n], &fault);

        if (r == 0)
            ++*ret_n;
        else if (r == -ENOMEM)
            gw_build_no_memory(b, list);
        else
            gw_build_wrong(b, gw_build_item(list, i), "%u:%u of the condition: %s", fault.line, fault.column,
                           fault.text);
    }
    return ret;
}

static void build_conditions(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                             const struct gw_node *block)
{
    struct gw_asked_conditions *a = gw_arena_zalloc(&b->p->arena, sizeof(*a));

    if (!a) {
        gw_build_no_memory(b, block);
        return;
    }
    if (c->ottl_condition.span.n + c->ottl_condition.spanevent.n == 0)
        gw_build_wrong(b, block, "expected at least one OTTL condition to filter on");
    a->next = b->p->conditions;
    b->p->conditions = r->conditions = a;
    a->propagates = c->ottl_condition.error_mode == GW_RULE_PROPAGATE;
    a->span = conditions(b, &c->ottl_condition.span, GW_OTTL_SPAN, gw_build_at(block, "span"), &a->n_span);
    a->event =
        conditions(b, &c->ottl_condition.spanevent, GW_OTTL_SPANEVENT, gw_build_at(block, "spanevent"), &a->n_event);
    if (!take_bit(b, block, &a->bit) || (a->propagates && !take_bit(b, block, &a->failed_bit)))
        return;
    r->bit = a->bit;
    gw_buf_printf(&b->shape, "\nottl %d", a->propagates);
    shape_texts(b, &c->ottl_condition.span);
    gw_buf_put_str(&b->shape, " event");
    shape_texts(b, &c->ottl_condition.spanevent);
}

/* Without an upper bound a trace that was once too long stays so; with one it depends on who asks when. */
static void build_latency(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                          const struct gw_node *block)
{
    struct gw_policies *p = b->p;

    r->latency.above_ms = c->latency.threshold_ms;
    r->latency.upto_ms = c->latency.upper_threshold_ms;
    if (r->latency.upto_ms && r->latency.upto_ms <= r->latency.above_ms)
        gw_build_odd(b, block, "upper_threshold_ms is not above threshold_ms: it never matches");
    if (r->latency.upto_ms && !p->conf.running_latency)
        return;
    if (!take_bit(b, block, &r->bit))
        return;
    r->has_bit = true;
    p->latencies[p->n_latencies++] = r;
    gw_buf_printf(&b->shape, "\nlatency %lld %lld", (long long)r->latency.above_ms, (long long)r->latency.upto_ms);
}

/* ---- the other leaves ------------------------------------------------------------------------------------- */

/*
 * floor(ratio × (2^64 - 1)). The Collector rounds the product to 64 significant bits first, which changes nothing:
 * ratio has 53, so what is taken away is less than one of the 64 and more than none.
 */
static uint64_t hash_threshold(double ratio)
{
    int exponent;
    unsigned __int128 product;

    if (!(ratio > 0))
        return 0;
    if (ratio >= 1)
        return UINT64_MAX;
    product = (unsigned __int128)(uint64_t)ldexp(frexp(ratio, &exponent), 53) * UINT64_MAX;
    return exponent <= 53 - 128 ? 0 : (uint64_t)(product >> (53 - exponent));
}

static void build_share(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                        const struct gw_node *block)
{
    const char *salt = *c->probabilistic.hash_salt ? c->probabilistic.hash_salt : "default-hash-seed";
    double ratio = c->probabilistic.sampling_percentage / 100;
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */

    if (isnan(ratio))
        gw_build_wrong(b, gw_build_at(block, "sampling_percentage"), "must be a number");
    for (; *salt; salt++)
        h = (h ^ (uint8_t)*salt) * UINT64_C(0x100000001b3);
    r->share.hash_start = h;
    r->share.at_most = hash_threshold(ratio);
    if (!gw_threshold_of(ratio, GW_SAMPLING_DIGITS, &r->share.threshold))
        r->share.threshold = ratio >= 1 ? GW_ALWAYS_SAMPLE : GW_NEVER_SAMPLE;
    r->threshold = r->share.threshold;
}

static void build_bucket(struct gw_build *b, struct gw_rule *r, uint64_t per_second, uint64_t burst,
                         const struct gw_node *block)
{
    if (per_second == 0 && burst == 0)
        gw_build_odd(b, block, "a rate of 0: it never samples");
    gw_bucket_init(&r->bucket, (double)per_second,
                   burst ? (int64_t)burst : (int64_t)(per_second > INT64_MAX / 2 ? INT64_MAX : per_second * 2),
                   b->p->conf.share);
}

static void build_count(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                        const struct gw_node *block)
{
    r->count.min = c->span_count.min_spans;
    r->count.max = c->span_count.max_spans;
    if (r->count.max && r->count.max < r->count.min)
        gw_build_odd(b, block, "max_spans is below min_spans: it never matches");
}

static bool is_same_watch(const struct gw_asked_alarms *a, const struct gw_rule_conf *c)
{
    bool same = strcmp(a->detector, c->anomalous.detector) == 0 && a->hold_ns == c->anomalous.hold_ns &&
                a->n_attributes == c->anomalous.attributes.n;

    for (size_t i = 0; same && i < a->n_attributes; i++)
        same = strcmp(a->attributes[i], ((const char *const *)c->anomalous.attributes.items)[i]) == 0;
    return same;
}

/* A watch of its own, or that of a rule before it; NULL after a mistake was told. */
static struct gw_asked_alarms *asked_alarms(struct gw_build *b, const struct gw_rule_conf *c,
                                            const struct gw_node *block)
{
    struct gw_asked_alarms *a;
    unsigned n = 0;

    for (a = b->p->alarms; a && !is_same_watch(a, c); a = a->next)
        n++;
    if (!a && n == GW_MAX_WATCHES) {
        gw_build_wrong(b, block, "more than %d different detectors, attributes and holds", GW_MAX_WATCHES);
        return NULL;
    }
    if (!a) {
        a = gw_arena_zalloc(&b->p->arena, sizeof(*a));
        if (!a) {
            gw_build_no_memory(b, block);
            return NULL;
        }
        *a = (struct gw_asked_alarms){.next = b->p->alarms,
                                      .detector = c->anomalous.detector,
                                      .attributes = c->anomalous.attributes.items,
                                      .n_attributes = c->anomalous.attributes.n,
                                      .hold_ns = c->anomalous.hold_ns};
        b->p->alarms = a;
        gw_buf_put_str(&b->shape, "\nkeys");
        shape_texts(b, &c->anomalous.attributes);
    }
    if (!gw_alarms_watch(b->p, a, (uint32_t)c->anomalous.max_keys))
        gw_build_no_memory(b, block);
    return a;
}

static void build_anomalous(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c,
                            const struct gw_node *block)
{
    if (!*c->anomalous.detector)
        gw_build_wrong(b, gw_build_at(block, "detector"), "must name a processor or connector of type anomaly");
    if (c->anomalous.attributes.n == 0)
        gw_build_wrong(b, gw_build_at(block, "attributes"), "without attributes there is no key");
    r->anomalous.min_score = c->anomalous.min_score;
    r->anomalous.alarms = asked_alarms(b, c, block);
}

/* ---- all of them ------------------------------------------------------------------------------------------ */

void gw_build_leaf(struct gw_build *b, struct gw_rule *r, const struct gw_rule_conf *c, const struct gw_node *block)
{
    switch ((int)r->type) {
    case GW_RULE_LATENCY:
        return build_latency(b, r, c, block);
    case GW_RULE_NUMERIC_ATTRIBUTE:
        return build_numeric(b, r, c, block);
    case GW_RULE_PROBABILISTIC:
        return build_share(b, r, c, block);
    case GW_RULE_STATUS_CODE:
        return build_status(b, r, c, block);
    case GW_RULE_STRING_ATTRIBUTE:
        return build_string(b, r, c, block);
    case GW_RULE_BOOLEAN_ATTRIBUTE:
        return build_boolean(b, r, c, block);
    case GW_RULE_TRACE_STATE:
        return build_trace_state(b, r, c, block);
    case GW_RULE_TRACE_FLAGS:
        return build_flags(b, r, block);
    case GW_RULE_OTTL_CONDITION:
        return build_conditions(b, r, c, block);
    case GW_RULE_RATE_LIMITING:
        return build_bucket(b, r, c->rate_limiting.spans_per_second, c->rate_limiting.burst_capacity, block);
    case GW_RULE_BYTES_LIMITING:
        return build_bucket(b, r, c->bytes_limiting.bytes_per_second, c->bytes_limiting.burst_capacity, block);
    case GW_RULE_SPAN_COUNT:
        return build_count(b, r, c, block);
    case GW_RULE_ANOMALOUS:
        return build_anomalous(b, r, c, block);
    default: /* always_sample has nothing to build */
        return;
    }
}
