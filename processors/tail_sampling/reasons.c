/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions by number. What late spans need does not fit into the few bytes that are kept an id, but a configuration
 * knows only so many different ones: policies, sub-policies, thresholds of percentages.
 */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "processors/common/spool.h"
#include "processors/tail_sampling/sampler.h"

enum { MAX_REASONS = 4096, BUCKETS = 1024, TEXT_BYTES = 1 << 20, UNKNOWN = UINT16_MAX };

struct gw_reasons {
    struct gw_reason list[MAX_REASONS];
    uint32_t next[MAX_REASONS], heads[BUCKETS]; /* number + 1 */
    uint32_t n;
    struct gw_arena texts;
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same(const struct gw_reason *a, const struct gw_reason *b)
{
    return a->kept == b->kept && a->has_threshold == b->has_threshold && a->threshold == b->threshold &&
           same_text(a->policy, b->policy) && same_text(a->composite, b->composite) && same_text(a->word, b->word) &&
           same_text(a->dropped, b->dropped);
}

static uint64_t mixed(uint64_t h, const char *text)
{
    for (; text && *text; text++)
        h = (h ^ (uint8_t)*text) * 1099511628211u;
    return h * 31 + 7;
}

static uint32_t bucket_of(const struct gw_reason *r)
{
    uint64_t h = mixed(14695981039346656037u, r->policy);

    h = mixed(h ^ r->threshold, r->composite);
    h = mixed(h + r->has_threshold, r->word);
    return (uint32_t)(h >> 32) % BUCKETS;
}

static const char *keep(struct gw_reasons *r, const char *text)
{
    struct gw_slice copy = {NULL, 0};

    if (text)
        copy = gw_arena_dup(&r->texts, gw_slice_of(text, strlen(text) + 1));
    return (const char *)copy.p;
}

struct gw_reasons *gw_reasons_new(void)
{
    struct gw_reasons *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    gw_arena_init(&r->texts, 1024, TEXT_BYTES);
    /* 0 and 1 stand in for those that find no room */
    (void)gw_reasons_put(r, &(struct gw_reason){.word = "not_sampled", .dropped = "tail_sampling"});
    (void)gw_reasons_put(r, &(struct gw_reason){.kept = true, .word = "sampled"});
    return r;
}

void gw_reasons_free(struct gw_reasons *r)
{
    if (!r)
        return;
    gw_arena_clear(&r->texts);
    free(r);
}

uint32_t gw_reasons_put(struct gw_reasons *r, const struct gw_reason *reason)
{
    uint32_t *head = &r->heads[bucket_of(reason)], i;
    struct gw_reason *copy;

    for (i = *head; i; i = r->next[i - 1])
        if (same(&r->list[i - 1], reason))
            return i - 1;
    if (r->n == MAX_REASONS)
        return reason->kept;
    copy = &r->list[r->n];
    *copy = *reason;
    copy->policy = keep(r, reason->policy);
    copy->composite = keep(r, reason->composite);
    copy->word = keep(r, reason->word);
    copy->dropped = keep(r, reason->dropped);
    if (!copy->word || (reason->dropped && !copy->dropped) || (reason->policy && !copy->policy))
        return reason->kept;
    r->next[r->n] = *head;
    *head = ++r->n;
    return r->n - 1;
}

const struct gw_reason *gw_reasons_get(const struct gw_reasons *r, uint32_t number)
{
    return &r->list[number];
}

uint32_t gw_reasons_n(const struct gw_reasons *r)
{
    return r->n;
}

/* ---- over the end of the process -------------------------------------------------------------------------- */

struct gw_reason_numbers {
    uint16_t ours[MAX_REASONS]; /* UNKNOWN */
};

struct gw_reason_numbers *gw_reason_numbers_new(void)
{
    struct gw_reason_numbers *n = malloc(sizeof(*n));

    if (n)
        gw_reason_numbers_forget(n);
    return n;
}

void gw_reason_numbers_forget(struct gw_reason_numbers *n)
{
    memset(n->ours, 0xff, sizeof(n->ours));
}

void gw_reasons_write(const struct gw_reasons *r, uint32_t number, struct gw_buf *out)
{
    const struct gw_reason *x = gw_reasons_get(r, number);

    gw_spool_put_u32(out, number);
    gw_buf_put_u8(out, x->kept);
    gw_buf_put_u8(out, x->has_threshold);
    gw_spool_put_u64(out, x->threshold);
    gw_spool_put_text(out, x->policy);
    gw_spool_put_text(out, x->composite);
    gw_spool_put_text(out, x->word);
    gw_spool_put_text(out, x->dropped);
}

static bool read_reason(struct gw_reasons *r, struct gw_reason_numbers *n, struct gw_spool_in *in,
                        struct gw_arena *texts)
{
    uint32_t number = gw_spool_get_u32(in);
    struct gw_reason x = {.kept = gw_spool_get_u8(in) != 0};

    x.has_threshold = gw_spool_get_u8(in) != 0;
    x.threshold = gw_spool_get_u64(in);
    x.policy = gw_spool_get_text(in, texts);
    x.composite = gw_spool_get_text(in, texts);
    x.word = gw_spool_get_text(in, texts);
    x.dropped = gw_spool_get_text(in, texts);
    if (in->bad || number >= MAX_REASONS || !x.word || (!x.kept && !x.dropped))
        return false;
    n->ours[number] = (uint16_t)gw_reasons_put(r, &x);
    return true;
}

bool gw_reasons_read(struct gw_reasons *r, struct gw_reason_numbers *n, struct gw_spool_in *in)
{
    struct gw_arena texts;
    bool ok;

    gw_arena_init(&texts, 1024, TEXT_BYTES);
    ok = read_reason(r, n, in, &texts);
    gw_arena_clear(&texts);
    return ok;
}

bool gw_reason_number(const struct gw_reason_numbers *n, uint32_t theirs, uint32_t *ret_ours)
{
    if (theirs >= MAX_REASONS || n->ours[theirs] == UNKNOWN)
        return false;
    *ret_ours = n->ours[theirs];
    return true;
}
