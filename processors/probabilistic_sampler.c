/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probabilistic_sampler: keep a share of spans or log records, the same traces on every gateway.
 *
 *     processors:
 *       probabilistic_sampler: { sampling_percentage: 10, mode: proportional }
 *
 * hash_seed compares 14 bits of a hash of the trace id with the share; equalizing and proportional compare 56 random
 * bits with a threshold that travels with the record (values/sampling.h). Decisions, trace states and
 * attributes are those of the Collector's processor, bit for bit.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/component.h"
#include "pipeline/ports.h"
#include "values/sampling.h"
#include "values/value.h"

enum mode { HASH_SEED, EQUALIZING, PROPORTIONAL, NEVER };
static const char *const modes[] = {"hash_seed", "equalizing", "proportional", NULL};
enum source { TRACE_ID, RECORD };
static const char *const sources[] = {"traceID", "record", NULL};

/* How the randomness was found: the label `policy`. */
enum policy { MISSING, TRACE_ID_HASH, TRACE_ID_W3C, SAMPLING_RANDOMNESS, SAMPLING_PRIORITY, ATTRIBUTE, N_POLICIES };

struct conf {
    double sampling_percentage;
    uint64_t hash_seed;
    int mode, attribute_source;
    bool fail_closed;
    int64_t sampling_precision;
    const char *from_attribute, *sampling_priority;
};

struct self {
    struct gw_ctx ctx;
    const struct conf *conf;
    enum mode mode;
    uint64_t threshold;
    double ratio;
    uint32_t hash_start; /* FNV over the seed */
    struct gw_slice from_attribute, sampling_priority;
    struct gw_buf text;
    struct gw_metric *counts[N_POLICIES][2], *old_counts[N_POLICIES][2];
    uint64_t seen[N_POLICIES][2]; /* of the view at hand */
};

static const struct gw_field fields[] = {
    GW_F64_FIELD(struct conf, sampling_percentage, "sampling_percentage", "0", 0, 0,
                 "Share to keep; from 100 on everything."),
    GW_U64_FIELD(struct conf, hash_seed, "hash_seed", "0", 0, 4294967295.0,
                 "Seed of the hash; the same on all gateways of one layer."),
    GW_ENUM_FIELD(struct conf, mode, "mode", "hash_seed", modes,
                  "hash_seed, equalizing (a share of the whole) or proportional (a share of what arrives)."),
    GW_BOOL_FIELD(struct conf, fail_closed, "fail_closed", "true",
                  "Drop what cannot be judged: no randomness, a malformed or inconsistent trace state."),
    GW_I64_FIELD(struct conf, sampling_precision, "sampling_precision", "4", 0, 0,
                 "Hexadecimal digits of a threshold, 1 to 14."),
    GW_ENUM_FIELD(struct conf, attribute_source, "attribute_source", "traceID", sources,
                  "Logs: hash the trace id, and from_attribute when there is none; or from_attribute only."),
    GW_STRING_FIELD(struct conf, from_attribute, "from_attribute", "", "Logs: the attribute to hash."),
    GW_STRING_FIELD(struct conf, sampling_priority, "sampling_priority", "",
                    "Logs: attribute with the record's own percentage."),
    {0},
};

static void wrong(struct gw_diag *diag, const struct gw_node *block, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void wrong(struct gw_diag *diag, const struct gw_node *block, const char *key, const char *fmt, ...)
{
    const struct gw_node *n = gw_node_get(block, key);
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gw_diag_add(diag, GW_DIAG_ERROR, n ? &n->place : block ? &block->place : NULL, "%s", text);
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    double pct = (double)(float)c->sampling_percentage; /* the Collector's is a float32 */

    if (isinf(pct) || isnan(pct))
        wrong(diag, node, "sampling_percentage", "sampling rate is invalid: %f%%", pct);
    else if (pct < 0)
        wrong(diag, node, "sampling_percentage", "sampling rate is negative: %f%%", pct);
    else if (pct > 0 && pct / 100 < 0x1p-56)
        wrong(diag, node, "sampling_percentage", "sampling rate is too small: %g%%", pct);
    if (c->sampling_precision == 0)
        wrong(diag, node, "sampling_precision", "invalid sampling precision: 0");
    else if (c->sampling_precision > GW_SAMPLING_DIGITS)
        wrong(diag, node, "sampling_precision", "sampling precision is too great, should be <= 14: %lld",
              (long long)c->sampling_precision);
    else if (c->sampling_precision < 0)
        wrong(diag, node, "sampling_precision", "invalid sampling precision: %lld", (long long)c->sampling_precision);
}

/* ---- set-up ----------------------------------------------------------------------------------------------- */

enum { HASH_BITS = 14, N_BUCKETS = 1 << HASH_BITS };

static uint32_t fnv(uint32_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h;
}

static void choose(struct self *s, const struct conf *c)
{
    float pct = (float)c->sampling_percentage > 100 ? 100 : (float)c->sampling_percentage;
    uint32_t accept, seed = (uint32_t)c->hash_seed;

    s->mode = pct == 0 ? NEVER : (enum mode)c->mode;
    s->ratio = (double)pct / 100;
    if (s->mode == EQUALIZING)
        (void)gw_threshold_of(s->ratio, (int)c->sampling_precision, &s->threshold);
    if (s->mode != HASH_SEED)
        return;
    accept = (uint32_t)(pct * (float)(N_BUCKETS / 100.0)); /* float32, cut off: as it has always been */
    if (accept == 0)
        s->mode = NEVER;
    s->threshold = (uint64_t)(N_BUCKETS - accept) << 42;
    s->hash_start = fnv(2166136261u, (const uint8_t *)&seed, sizeof(seed));
}

static struct gw_metric *counter(const struct gw_ctx *ctx, const char *name, const char *policy, unsigned sampled)
{
    struct gw_label labels[] = {{"policy", policy}, {"sampled", sampled ? "true" : "false"}};

    return gw_meter_get(ctx->meter, GW_COUNTER, name, "Items that were sampled or not.", labels, 2);
}

/* A series that never counts is noise: they are made when first needed. */
static void count(struct self *s)
{
    const char *const names[N_POLICIES] = {"missing_randomness",  "trace_id_hash",     "trace_id_w3c",
                                           "sampling_randomness", "sampling_priority", s->conf->from_attribute};
    bool spans = s->ctx.signal == GW_TRACES;

    for (unsigned p = 0; p < N_POLICIES; p++)
        for (unsigned k = 0; k < 2; k++) {
            if (s->seen[p][k] == 0)
                continue;
            if (!s->counts[p][k])
                s->counts[p][k] = counter(&s->ctx,
                                          spans ? "otelcol_processor_probabilistic_sampler_count_spans_processed"
                                                : "otelcol_processor_probabilistic_sampler_count_logs_sampled",
                                          names[p], k);
            if (spans && !s->old_counts[p][k])
                s->old_counts[p][k] =
                    counter(&s->ctx, "otelcol_processor_probabilistic_sampler_count_traces_sampled", names[p], k);
            gw_metric_add(s->counts[p][k], s->seen[p][k]);
            gw_metric_add(s->old_counts[p][k], s->seen[p][k]);
            s->seen[p][k] = 0;
        }
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_buf_clear(&s->text);
    free(s);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    (void)err;
    if (!s)
        return -ENOMEM;
    s->ctx = *ctx;
    s->conf = conf;
    s->from_attribute = gw_slice_cstr(s->conf->from_attribute);
    s->sampling_priority = gw_slice_cstr(s->conf->sampling_priority);
    gw_buf_init(&s->text, GW_TRACE_STATE_BYTES);
    choose(s, s->conf);
    *ret_self = s;
    return 0;
}

/* ---- randomness ------------------------------------------------------------------------------------------- */

/* What is known of one record. */
struct item {
    enum policy policy;
    uint64_t randomness;
    bool has_carrier;         /* threshold and randomness may be written back */
    bool failed;              /* cannot be judged */
    bool cleared;             /* a threshold that was a lie is taken away */
    struct gw_trace_state ts; /* of a log record: its two attributes */
    bool adds_randomness;
};

static bool is_zero(const uint8_t id[16])
{
    uint64_t a, b;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    return (a | b) == 0;
}

/* 56 bits of a 32-bit hash: the upper 14 so that T <= R decides as hash < accepted buckets did, the rest mixed. */
static uint64_t hashed(const struct self *s, const uint8_t *p, size_t n)
{
    uint32_t h = fnv(s->hash_start, p, n);
    uint64_t low = h & (N_BUCKETS - 1), unused = h >> (32 - HASH_BITS);

    return (N_BUCKETS - 1 - low) << 42 | (unused ^ unused << 10) << HASH_BITS | low;
}

static void add_randomness(struct item *it, char text[GW_SAMPLING_DIGITS + 1])
{
    gw_randomness_text(it->randomness, text);
    it->ts.randomness = it->randomness;
    it->ts.randomness_text = gw_slice_of(text, GW_SAMPLING_DIGITS);
    it->ts.has_randomness = it->adds_randomness = true;
}

/* hash_seed leaves records alone that carry thresholds or randomness already: it would break their meaning. */
static void judge_hash(struct item *it, bool parsed, bool adds_without, char text[GW_SAMPLING_DIGITS + 1])
{
    it->failed = !parsed || it->ts.has_randomness || it->ts.has_threshold;
    it->has_carrier = !it->failed;
    if (it->has_carrier && (it->policy != MISSING || adds_without))
        add_randomness(it, text);
}

static void judge_consistent(struct item *it, bool parsed, const uint8_t trace_id[16])
{
    it->failed = !parsed;
    it->has_carrier = parsed;
    if (!parsed)
        return;
    if (it->ts.has_randomness) {
        it->policy = SAMPLING_RANDOMNESS;
        it->randomness = it->ts.randomness;
    } else if (!is_zero(trace_id)) {
        it->policy = TRACE_ID_W3C;
        it->randomness = gw_randomness_of_trace(trace_id);
    }
}

/* Nothing to decide, but a priority may yet; the randomness says yes to any threshold but never. */
static void judge_never(struct item *it, bool parsed)
{
    it->policy = SAMPLING_PRIORITY;
    it->failed = !parsed;
    it->has_carrier = true;
}

static uint64_t decide(const struct self *s, const struct item *it)
{
    uint64_t t;
    double incoming;

    switch (s->mode) {
    case HASH_SEED:
        return s->threshold;
    case EQUALIZING:
        return it->ts.has_threshold && it->ts.threshold > s->threshold ? it->ts.threshold : s->threshold;
    case PROPORTIONAL:
        incoming = it->ts.has_threshold ? gw_threshold_probability(it->ts.threshold) : 1;
        return gw_threshold_of(incoming * s->ratio, (int)s->conf->sampling_precision, &t) ? t : GW_NEVER_SAMPLE;
    case NEVER:
        break;
    }
    return GW_NEVER_SAMPLE;
}

/* A threshold that this randomness would not have passed is a lie. */
static void check_consistency(struct item *it)
{
    if (it->failed)
        return;
    if (it->policy == MISSING) {
        it->failed = true;
    } else if (it->has_carrier && it->ts.has_threshold && it->ts.threshold > it->randomness) {
        it->ts.has_threshold = false;
        it->failed = it->cleared = true;
    }
}

static uint64_t threshold_for(const struct self *s, struct item *it)
{
    check_consistency(it);
    if (it->failed)
        return s->conf->fail_closed ? GW_NEVER_SAMPLE : GW_ALWAYS_SAMPLE;
    return decide(s, it);
}

/* The threshold to write: never a lower one than stands there. True when it is a new one. */
static bool raise_threshold(struct item *it, uint64_t threshold, char text[GW_SAMPLING_DIGITS + 1])
{
    if (it->ts.has_threshold && it->ts.threshold > threshold)
        return false;
    it->ts.threshold_text.n = gw_threshold_text(threshold, text);
    it->ts.threshold_text.p = (const uint8_t *)text;
    it->ts.threshold = threshold;
    it->ts.has_threshold = it->ts.threshold_text.n > 0;
    return true;
}

/* ---- spans ------------------------------------------------------------------------------------------------ */

enum { FIELD_TRACE_STATE = 3 };

static struct gw_slice trace_state(const struct gw_view *v, uint32_t row)
{
    struct gw_slice s;
    size_t at = 1;

    if (!gw_view_field_get(v, GW_OWN_ROW, row, FIELD_TRACE_STATE, &s))
        return gw_batch_slice(v->batch, v->batch->trace_state[row]);
    while (at < s.n && s.p[at] >= 0x80)
        at++;
    return s.n ? (struct gw_slice){s.p + at + 1, s.n - at - 1} : s;
}

static void set_trace_state(struct self *s, struct gw_view *v, uint32_t row, const struct gw_trace_state *ts)
{
    uint8_t head[4] = {FIELD_TRACE_STATE << 3 | 2};
    unsigned n = 1;
    struct gw_slice old = trace_state(v, row), encoded = {NULL, 0};
    uint8_t *p;

    gw_buf_reset(&s->text);
    gw_trace_state_write(ts, &s->text);
    if (s->text.failed || gw_slice_eq(gw_buf_slice(&s->text), old)) {
        v->failed |= s->text.failed;
        return;
    }
    for (size_t len = s->text.n; len >= 0x80; len >>= 7)
        head[n++] = (uint8_t)(len | 0x80);
    head[n++] = (uint8_t)(s->text.n >= 0x80 ? s->text.n >> 7 : s->text.n);
    if (s->text.n) {
        p = gw_arena_alloc(v->arena, n + s->text.n);
        if (!p) {
            v->failed = true;
            return;
        }
        memcpy(p, head, n);
        memcpy(p + n, s->text.p, s->text.n);
        encoded = gw_slice_of(p, n + s->text.n);
    }
    gw_view_field_set(v, GW_OWN_ROW, row, FIELD_TRACE_STATE, encoded);
}

/* sampling.priority: 0 never, above 0 always. True when it says something. */
static bool span_priority(const struct gw_view *v, uint32_t row, uint64_t *threshold)
{
    struct gw_value value;
    double f;

    if (!gw_view_attr_get(v, GW_OWN_ROW, row, GW_SLICE("sampling.priority"), &value))
        return false;
    if (value.type == GW_V_INT)
        f = value.i > 0 ? 1 : value.i < 0 ? -1 : 0;
    else if (value.type == GW_V_DOUBLE)
        f = value.f;
    else if (value.type != GW_V_STRING || !gw_parse_double(value.s, &f))
        return false;
    if (!(f >= 0))
        return false;
    *threshold = f == 0 ? GW_NEVER_SAMPLE : GW_ALWAYS_SAMPLE;
    return true;
}

static bool keep_span(struct self *s, struct gw_view *v, uint32_t row)
{
    const uint8_t *id = v->batch->trace_id[row];
    char threshold_text[GW_SAMPLING_DIGITS + 1], randomness_text[GW_SAMPLING_DIGITS + 1];
    struct item it = {.randomness = GW_MAX_RANDOMNESS};
    bool parsed = gw_trace_state_parse(trace_state(v, row), &it.ts), kept;
    uint64_t threshold;

    if (s->mode == NEVER) {
        judge_never(&it, parsed);
    } else if (s->mode == HASH_SEED) {
        if (!is_zero(id)) {
            it.policy = TRACE_ID_HASH;
            it.randomness = hashed(s, id, 16);
        }
        judge_hash(&it, parsed, true, randomness_text);
    } else {
        judge_consistent(&it, parsed, id);
    }
    threshold = threshold_for(s, &it);
    if (span_priority(v, row, &threshold))
        it.policy = SAMPLING_PRIORITY;
    kept = threshold <= it.randomness;
    s->seen[it.policy][kept]++;
    if (kept && it.has_carrier) {
        (void)raise_threshold(&it, threshold, threshold_text);
        set_trace_state(s, v, row, &it.ts);
    }
    return kept;
}

/* ---- log records ------------------------------------------------------------------------------------------ */

static struct gw_slice text_of(const struct gw_view *v, uint32_t row, struct gw_slice key)
{
    struct gw_value value;

    if (!gw_view_attr_get(v, GW_OWN_ROW, row, key, &value) || value.type != GW_V_STRING)
        return (struct gw_slice){NULL, 0};
    return value.s;
}

#define THRESHOLD_KEY  GW_SLICE("sampling.threshold")
#define RANDOMNESS_KEY GW_SLICE("sampling.randomness")

static bool parse_attributes(const struct gw_view *v, uint32_t row, struct gw_trace_state *ts)
{
    struct gw_slice th = text_of(v, row, THRESHOLD_KEY), rv = text_of(v, row, RANDOMNESS_KEY);

    ts->has_threshold = th.n && gw_threshold_parse(th, &ts->threshold);
    ts->has_randomness = rv.n && gw_randomness_parse(rv, &ts->randomness);
    return (!th.n || ts->has_threshold) && (!rv.n || ts->has_randomness);
}

/* The trace id, or the attribute that stands in for it. */
static void hash_record(const struct self *s, const struct gw_view *v, uint32_t row, struct item *it)
{
    const uint8_t *id = v->batch->trace_id[row];
    struct gw_value value;
    struct gw_slice bytes;

    if (s->conf->attribute_source == TRACE_ID && !is_zero(id)) {
        it->policy = TRACE_ID_HASH;
        it->randomness = hashed(s, id, 16);
        return;
    }
    if (!s->from_attribute.n || !gw_view_attr_get(v, GW_OWN_ROW, row, s->from_attribute, &value))
        return;
    if (value.type == GW_V_BYTES)
        bytes = value.s;
    else if (!gw_value_text(&value, v->arena, &bytes))
        return;
    if (bytes.n) {
        it->policy = ATTRIBUTE;
        it->randomness = hashed(s, bytes.p, bytes.n);
    }
}

/* A percentage of the record's own takes the place of the configured one. */
static bool record_priority(const struct self *s, const struct gw_view *v, uint32_t row, uint64_t *threshold)
{
    struct gw_value value;
    double share = 0;

    if (!s->sampling_priority.n || !gw_view_attr_get(v, GW_OWN_ROW, row, s->sampling_priority, &value))
        return false;
    if (value.type == GW_V_DOUBLE)
        share = value.f / 100;
    else if (value.type == GW_V_INT)
        share = (double)value.i / 100;
    return share != 0 && gw_threshold_of(share, (int)s->conf->sampling_precision, threshold);
}

static void set_text(struct gw_view *v, uint32_t row, struct gw_slice key, struct gw_slice text)
{
    struct gw_value value = {.type = GW_V_STRING, .s = gw_arena_dup(v->arena, text)};

    v->failed |= !value.s.p;
    gw_view_attr_set(v, GW_OWN_ROW, row, key, &value);
}

static bool keep_record(struct self *s, struct gw_view *v, uint32_t row)
{
    char threshold_text[GW_SAMPLING_DIGITS + 1], randomness_text[GW_SAMPLING_DIGITS + 1];
    struct item it = {.randomness = GW_MAX_RANDOMNESS};
    bool parsed = parse_attributes(v, row, &it.ts), kept;
    uint64_t threshold;

    if (s->mode == NEVER) {
        judge_never(&it, parsed);
    } else if (s->mode == HASH_SEED) {
        hash_record(s, v, row, &it);
        judge_hash(&it, parsed, false, randomness_text);
    } else {
        judge_consistent(&it, parsed, v->batch->trace_id[row]);
    }
    threshold = threshold_for(s, &it);
    if (record_priority(s, v, row, &threshold))
        it.policy = SAMPLING_PRIORITY;
    kept = threshold <= it.randomness;
    s->seen[it.policy][kept]++;
    if (kept && it.cleared)
        (void)gw_view_attr_delete(v, GW_OWN_ROW, row, THRESHOLD_KEY);
    if (kept && it.adds_randomness)
        set_text(v, row, RANDOMNESS_KEY, it.ts.randomness_text);
    if (kept && it.has_carrier && raise_threshold(&it, threshold, threshold_text))
        set_text(v, row, THRESHOLD_KEY, it.ts.threshold_text);
    return kept;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    uint32_t n = v->batch->n_rows;
    uint64_t *dropped = gw_arena_zalloc(v->arena, (n / 64 + 1) * sizeof(*dropped));

    if (!dropped) {
        v->failed = true;
        gw_emit(out, 0, v);
        return;
    }
    for (uint32_t row = gw_view_next(v, 0); row < n; row = gw_view_next(v, row + 1))
        if (!(s->ctx.signal == GW_TRACES ? keep_span(s, v, row) : keep_record(s, v, row)))
            dropped[row / 64] |= UINT64_C(1) << (row % 64);
    gw_view_settle_rows(v, out->ledger, dropped, GW_DROPPED, "probabilistic_sampler", NULL);
    count(s);
    gw_emit(out, 0, v);
}

const struct gw_component gw_processor_probabilistic_sampler = {
    .kind = GW_PROCESSOR,
    .name = "probabilistic_sampler",
    .summary = "Keep a share of spans or log records, the same traces on every gateway.",
    .signals = GW_TRACES | GW_LOGS,
    .reads = GW_C_ROW | GW_C_ATTRS,
    .writes = GW_C_ROW | GW_C_ATTRS,
    .expands = 2,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .destroy = destroy,
    .consume = consume,
};
