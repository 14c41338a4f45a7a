/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind policy.h: policies as trees of rules. A leaf either has a predicate, whose bit in the facts says what
 * spans answered, or looks at the rest of the facts.
 *
 *   rules.c       settings ─► rules, with every mistake at its place
 *   predicates.c  what is asked of spans, a column at a time
 *   votes.c       facts ─► votes ─► verdict
 *   settled.c     facts ─► votes that are still possible
 *   limits.c      token buckets
 *   keys.c        which keys spans had, in three words of the facts
 *   anomalous.c   those keys ─► is one of them under alarm?
 */
#ifndef GW_TAIL_SAMPLING_RULES_H
#define GW_TAIL_SAMPLING_RULES_H

#include "core/arena.h"
#include "core/meter.h"
#include "processors/tail_sampling/policy.h"

struct gw_pattern;
struct gw_ottl;

enum gw_rule_type {
    GW_RULE_ALWAYS_SAMPLE,
    GW_RULE_LATENCY,
    GW_RULE_NUMERIC_ATTRIBUTE,
    GW_RULE_PROBABILISTIC,
    GW_RULE_STATUS_CODE,
    GW_RULE_STRING_ATTRIBUTE,
    GW_RULE_BOOLEAN_ATTRIBUTE,
    GW_RULE_TRACE_STATE,
    GW_RULE_TRACE_FLAGS,
    GW_RULE_OTTL_CONDITION,
    GW_RULE_RATE_LIMITING,
    GW_RULE_BYTES_LIMITING,
    GW_RULE_SPAN_COUNT,
    GW_RULE_ANOMALOUS,
    GW_RULE_AND,
    GW_RULE_NOT,
    GW_RULE_DROP,
    GW_RULE_COMPOSITE,
    GW_N_RULE_TYPES,
};

/** What one policy says of one trace. */
enum gw_vote {
    GW_VOTE_NOT_SAMPLED,
    GW_VOTE_SAMPLED,
    GW_VOTE_DROPPED,
    GW_VOTE_INVERT_NOT_SAMPLED,
    GW_VOTE_INVERT_SAMPLED,
    GW_VOTE_ERROR,
    GW_N_VOTES,
};

/* ---- limits.c --------------------------------------------------------------------------------------------- */

/**
 * A token bucket as golang.org/x/time/rate has it: full at first, filled with the time that passes. Where several
 * instances share a limit each has its part of the rate and of the burst, so that it asks nobody, and decides the same
 * when its input comes again. A trace that is larger than the part, and not than the burst, is let through by a full
 * bucket, which owes the rest then: as much is kept in the long run, and at once more only for such a one.
 */
struct gw_bucket {
    double per_second, size, tokens; /* tokens: below 0 it owes */
    int64_t burst;                   /* of all instances */
    uint64_t last_ns;                /* of the last take that succeeded */
    bool begun;
};
/** per_second and burst of all instances; share: this one's part, at most 1. */
void gw_bucket_init(struct gw_bucket *b, double per_second, int64_t burst, double share);
/** AllowN: takes n tokens, or none and false. */
bool gw_bucket_take(struct gw_bucket *b, uint64_t now_ns, int64_t n);

/* ---- rules ------------------------------------------------------------------------------------------------ */

/** A composite's allowance for one of its sub-policies, in spans of a wall-clock second. */
struct gw_allowance {
    int64_t allocated, used;
};

struct gw_rule {
    enum gw_rule_type type;
    const char *name;
    uint16_t bit;                           /* of its predicate */
    bool has_bit;                           /* latency: judged while spans come */
    bool invert;                            /* invert_match */
    struct gw_asked_conditions *conditions; /* ottl_condition */
    uint64_t threshold;                     /* values/sampling.h: what it reports when it votes to sample */
    struct gw_rule *subs;
    unsigned n_subs;
    union {
        struct {
            int64_t above_ms, upto_ms; /* upto 0: no upper bound */
        } latency;
        struct {
            uint64_t hash_start; /* FNV over the salt */
            uint64_t at_most;    /* sampled when the hash is not above it */
            uint64_t threshold;  /* sampled when the randomness is not below it */
        } share;
        struct {
            int64_t min, max; /* max 0: none */
        } count;
        struct gw_bucket bucket;
        struct {
            struct gw_asked_alarms *alarms;
            double min_score;
        } anomalous;
        struct {
            int64_t max_total;
            uint64_t second; /* that `used` is of */
            struct gw_allowance *allowances;
        } composite;
    };
};

struct gw_policy {
    const char *name;
    struct gw_rule *rule;
    bool is_drop;
    char *label; /* instance.name */
    uint64_t spent_ns, told_us;
    struct gw_metric *traces[GW_N_VOTES], *spans[GW_N_VOTES], *bytes[GW_N_VOTES];
    struct gw_metric *executions, *time;
};

/* ---- predicates.c ----------------------------------------------------------------------------------------- */

/** A set of texts. */
struct gw_words {
    struct gw_slice *slots; /* a power of two of them, empty ones free: the empty text is never in the set */
    uint32_t n_slots, n;
    uint64_t lengths; /* bit n % 64: there is one of n bytes */
};
/** Errors: false without memory. */
bool gw_words_init(struct gw_words *w, struct gw_arena *arena, const char *const *texts, size_t n, size_t max_bytes);
bool gw_words_have(const struct gw_words *w, struct gw_slice text);

struct gw_predicate {
    enum gw_rule_type type; /* NUMERIC_, STRING_, BOOLEAN_ATTRIBUTE, TRACE_STATE */
    uint16_t bit;
    bool is_pattern, is_true;
    int64_t min, max;
    struct gw_words words;
    struct gw_pattern **patterns;
    unsigned n_patterns;
    struct gw_predicate *next; /* of the same key */
};

/** One attribute key, or one member of the trace state. */
struct gw_asked_key {
    struct gw_slice key;
    struct gw_predicate *predicates;
    struct gw_asked_key *next, *same_length;
    uint64_t stamp; /* of the row in which it was seen last */
};
enum { GW_ASKED_LENGTHS = 64 };
static inline unsigned gw_asked_length(size_t n)
{
    return n < GW_ASKED_LENGTHS ? (unsigned)n : GW_ASKED_LENGTHS - 1;
}

/** Conditions about a span and its events; a span says yes, or that it cannot be judged, or nothing. */
struct gw_asked_conditions {
    struct gw_ottl **span, **event;
    unsigned n_span, n_event;
    uint16_t bit, failed_bit;
    bool propagates; /* the first span that says anything decides; else what fails is no match */
    struct gw_asked_conditions *next;
};

/* ---- anomalous.c ------------------------------------------------------------------------------------------ */

/** What one or more rules watch: the alarms of a detector, by keys of the same attributes. */
struct gw_asked_alarms {
    struct gw_asked_alarms *next;
    const char *detector;
    const char *const *attributes;
    size_t n_attributes;
    uint64_t hold_ns;
    uint64_t key;           /* of the names */
    struct gw_watch *watch; /* NULL: while settings are checked only */
    struct gw_alarm *list;  /* a copy, by tag */
    size_t n;
    uint64_t version; /* of the copy */
};
enum { GW_MAX_WATCHES = 8 };

/** Errors: false, no memory. */
bool gw_alarms_watch(struct gw_policies *p, struct gw_asked_alarms *a, uint32_t max_keys);
void gw_alarms_unwatch(struct gw_asked_alarms *list);
/** The keys of each row join its bits. */
void gw_alarms_ask(const struct gw_policies *p, const struct gw_view *v, uint64_t (*ret)[GW_FACT_WORDS]);
/** Before votes on a trace: what has become of the alarms since. */
void gw_alarms_renew(struct gw_policies *p);
bool gw_alarms_hold(const struct gw_rule *r, const struct gw_trace_facts *f, uint64_t now_ns);

struct gw_policies {
    struct gw_env *env;
    struct gw_meter *meter;
    struct gw_arena arena;
    struct gw_policies_conf conf;
    struct gw_policy *list; /* drop policies first */
    unsigned n, n_drop;
    unsigned n_bits, n_words; /* of the facts; words: with keys */
    unsigned n_bit_words;     /* of them, with bits */
    struct gw_asked_key *attributes, *members;
    struct gw_asked_key *by_length[GW_ASKED_LENGTHS]; /* attributes */
    uint64_t stamp;                                   /* of the row that is asked */
    unsigned n_attributes;
    struct gw_asked_conditions *conditions;
    struct gw_asked_alarms *alarms;
    uint64_t status_bits[4][GW_FACT_WORDS]; /* by status code; 3: any other */
    uint64_t flag_bits[GW_FACT_WORDS];
    struct gw_rule **latencies; /* those with a bit */
    unsigned n_latencies;
    uint64_t shape;
    struct gw_metric *errors, *given_up;
    uint64_t n_given_up; /* told so far */
};

/** Reads status, attributes and trace state of the row that it is asked about. Errors: false without memory. */
static inline bool gw_fact(const struct gw_trace_facts *f, unsigned bit)
{
    return f->bits[bit / 64] >> (bit % 64) & 1;
}
static inline void gw_fact_set(uint64_t bits[GW_FACT_WORDS], unsigned bit)
{
    bits[bit / 64] |= UINT64_C(1) << (bit % 64);
}

/** Of the whole trace, as far as it came; in ms, towards zero. Never falls while spans come, once there is a start. */
int64_t gw_facts_duration_ms(const struct gw_trace_facts *f);
/** Does a latency without a bit hold? */
bool gw_latency_holds(const struct gw_rule *r, int64_t ms);
/** Does a share sample the trace? */
bool gw_share_holds(const struct gw_policies *p, const struct gw_rule *r, const uint8_t id[16],
                    const struct gw_trace_facts *f);

#endif
