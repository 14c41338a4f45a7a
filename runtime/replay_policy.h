/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retroactive sampling: which traces of a range are wanted, found out by reading it once before it is replayed. A trace
 * is wanted when the condition is true of one of its spans, wherever in the range that is; then all of its spans in the
 * range go.
 *
 *   1st pass   frames ─► spans ─► condition ─► ids of wanted traces
 *   2nd pass   frames ─► spans of wanted traces ─► request
 *
 * Threads   one
 * Memory    20 to 40 bytes a wanted trace; never a span
 */
#ifndef GW_RUNTIME_REPLAY_POLICY_H
#define GW_RUNTIME_REPLAY_POLICY_H

#include "core/buf.h"
#include "core/env.h"

struct gw_replay_policy;

/**
 * condition: OTTL, of spans. max_traces: more wanted ones end the replay. Errors: -EINVAL, err says what is wrong and
 * in which column; -ENOMEM.
 */
int gw_replay_policy_new(struct gw_env *env, const char *condition, uint64_t max_traces, struct gw_replay_policy **ret,
                         struct gw_err *err);
void gw_replay_policy_free(struct gw_replay_policy *p);
/** 1st pass. Errors: -E2BIG too many traces, -ENOMEM. What does not decode is passed over, and so are its rows then. */
int gw_replay_policy_look(struct gw_replay_policy *p, struct gw_slice body);
/** 2nd pass: appends the spans of wanted traces as OTLP. *ret_rows may be 0. Errors: -ENOMEM, out is as it was. */
int gw_replay_policy_pick(struct gw_replay_policy *p, struct gw_slice body, struct gw_buf *out, uint32_t *ret_rows);

struct gw_replay_policy_counts {
    uint64_t spans, matches, traces, failed, undecoded; /* seen; of which it was true; wanted; could not be asked */
};
struct gw_replay_policy_counts gw_replay_policy_counts(const struct gw_replay_policy *p);

#endif
