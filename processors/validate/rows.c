/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about spans and log records: ids, times, texts. */
#include <inttypes.h>

#include "processors/validate/validate.h"

static const struct gw_slice nothing;

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void check_id(struct gw_validation *t, enum gw_rule rule, bool bad, bool zero, unsigned bytes,
                     struct gw_issue *issue)
{
    if (gw_rule_is_on(t, rule) && (bad || zero))
        (void)gw_broken(t, issue, rule, gw_rule_names[rule], nothing, "%s must be %u bytes%s", gw_rule_names[rule],
                        bytes, bad ? "" : ", not all zeros");
}

static void check_children(struct gw_validation *t, uint32_t row, const char *what, struct gw_issue *issue)
{
    if (gw_rule_is_on(t, GW_RULE_CHILD_ID) && (t->v->batch->row_flags[row] & GW_ROW_BAD_CHILD_ID))
        (void)gw_broken(t, issue, GW_RULE_CHILD_ID, what, nothing, "%s have ids of a wrong length", what);
}

void gw_validate_time(struct gw_validation *t, uint32_t row, uint64_t ns, const char *name, uint32_t field,
                      struct gw_issue *issue)
{
    const struct gw_validate_conf *c = t->conf;
    uint64_t oldest = c->max_age_ns && t->now_ns > c->max_age_ns ? t->now_ns - c->max_age_ns : 0;
    uint64_t latest = c->max_future_ns && t->now_ns < UINT64_MAX - c->max_future_ns ? t->now_ns + c->max_future_ns : 0;
    uint64_t clamped = ns;

    if (ns == 0)
        clamped = t->now_ns;
    else if (ns < oldest)
        clamped = oldest;
    else if (latest && ns > latest)
        clamped = latest;
    if (clamped != ns && gw_broken(t, issue, GW_RULE_TIME_RANGE, name, nothing, "%s %" PRIu64 " is %s", name, ns,
                                   ns == 0        ? "not set"
                                   : ns < clamped ? "older than max_age"
                                                  : "farther in the future than max_future"))
        gw_repair_fixed64(t, GW_OWN_ROW, row, field, clamped);
}

static void check_span_texts(struct gw_validation *t, uint32_t row, struct gw_issue *issue)
{
    struct gw_slice name = gw_batch_slice(t->v->batch, t->v->batch->name[row]);

    if (gw_has_control(name) &&
        gw_broken(t, issue, GW_RULE_TEXT, "name", name, "the span's name has control characters"))
        gw_repair_text(t, GW_OWN_ROW, row, 5, gw_without_control(t, name));
}

void gw_validate_span(struct gw_validation *t, uint32_t row, struct gw_issue *issue)
{
    const struct gw_batch *b = t->v->batch;
    uint8_t flags = b->row_flags[row];

    check_id(t, GW_RULE_TRACE_ID, flags & GW_ROW_BAD_TRACE_ID, is_zero(b->trace_id[row], 16), 16, issue);
    check_id(t, GW_RULE_SPAN_ID, flags & GW_ROW_BAD_SPAN_ID, is_zero(b->span_id[row], 8), 8, issue);
    if (gw_rule_is_on(t, GW_RULE_PARENT_ID) && (flags & GW_ROW_BAD_PARENT_ID) &&
        gw_broken(t, issue, GW_RULE_PARENT_ID, "parent_span_id", nothing, "parent_span_id must be 8 bytes or absent"))
        gw_view_field_set(t->v, GW_OWN_ROW, row, 4, nothing);
    check_children(t, row, "links", issue);
    if (gw_rule_is_on(t, GW_RULE_TIME_RANGE)) {
        gw_validate_time(t, row, b->time_ns[row], "start_time_unix_nano", 7, issue);
        gw_validate_time(t, row, b->end_ns[row], "end_time_unix_nano", 8, issue);
    }
    if (gw_rule_is_on(t, GW_RULE_TIME_ORDER) && b->end_ns[row] < b->time_ns[row] && b->end_ns[row] != 0 &&
        gw_broken(t, issue, GW_RULE_TIME_ORDER, "end_time_unix_nano", nothing,
                  "the span ends %" PRIu64 " ns before it starts", b->time_ns[row] - b->end_ns[row]))
        gw_repair_fixed64(t, GW_OWN_ROW, row, 8, b->time_ns[row]);
    if (gw_rule_is_on(t, GW_RULE_TEXT))
        check_span_texts(t, row, issue);
}

/* LogRecord.body is an AnyValue: field 5 holding field 1. */
static void check_body(struct gw_validation *t, uint32_t row, struct gw_issue *issue)
{
    const struct gw_batch *b = t->v->batch;
    struct gw_slice body, clean;
    uint8_t *any, *p;

    if (b->body_type[row] != GW_V_STRING)
        return;
    body = gw_batch_slice(b, b->body[row].ref);
    if (!gw_has_control(body) || !gw_broken(t, issue, GW_RULE_TEXT, "body", body, "the body has control characters"))
        return;
    clean = gw_without_control(t, body);
    any = p = gw_arena_alloc(t->v->arena, clean.n + 11);
    if (!any) {
        t->v->failed = true;
        return;
    }
    *p++ = 1 << 3 | 2;
    for (size_t n = clean.n; n >= 0x80 || (*p++ = (uint8_t)n, false); n >>= 7)
        *p++ = (uint8_t)(n | 0x80);
    memcpy(p, clean.p, clean.n);
    gw_repair_text(t, GW_OWN_ROW, row, 5, gw_slice_of(any, (size_t)(p - any) + clean.n));
}

void gw_validate_record(struct gw_validation *t, uint32_t row, struct gw_issue *issue)
{
    const struct gw_batch *b = t->v->batch;
    uint8_t flags = b->row_flags[row];

    /* A record need not belong to a trace, but an id that is there must be one. */
    check_id(t, GW_RULE_TRACE_ID, flags & GW_ROW_BAD_TRACE_ID,
             !(flags & GW_ROW_NO_TRACE_ID) && is_zero(b->trace_id[row], 16), 16, issue);
    check_id(t, GW_RULE_SPAN_ID, flags & GW_ROW_BAD_SPAN_ID,
             !(flags & GW_ROW_NO_SPAN_ID) && is_zero(b->span_id[row], 8), 8, issue);
    if (gw_rule_is_on(t, GW_RULE_TIME_RANGE)) {
        if (b->time_ns[row] != 0 || b->observed_ns[row] == 0)
            gw_validate_time(t, row, b->time_ns[row], "time_unix_nano", 1, issue);
        if (b->observed_ns[row] != 0)
            gw_validate_time(t, row, b->observed_ns[row], "observed_time_unix_nano", 11, issue);
    }
    if (gw_rule_is_on(t, GW_RULE_TEXT))
        check_body(t, row, issue);
}
