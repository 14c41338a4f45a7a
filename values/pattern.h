/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions as the Collector's configurations have them: RE2's syntax and meaning, run by PCRE2's JIT. What
 * RE2 does not have (back references, look-around, possessive quantifiers, …) is refused, so that a pattern means here
 * what it means there. RE2 is linear by construction, PCRE2 is not: every match has a limit, and one that passes it
 * counts as no match.
 *
 * Threads   a pattern has its scratch inside: one thread
 */
#ifndef GW_VALUES_PATTERN_H
#define GW_VALUES_PATTERN_H

#include "core/slice.h"
#include "core/status.h"

enum { GW_PATTERN_GROUPS = 64 };

struct gw_pattern;

/** Errors: -EINVAL (err: what, at which offset), -ENOMEM. */
int gw_pattern_new(const char *re2, struct gw_pattern **ret, struct gw_err *err);
void gw_pattern_free(struct gw_pattern *p);
/** Somewhere in s. */
bool gw_pattern_matches(struct gw_pattern *p, struct gw_slice s);
/** Capturing groups, 1..n; at most GW_PATTERN_GROUPS. */
unsigned gw_pattern_n_groups(const struct gw_pattern *p);
/** Name of group i (from 1), or "" when it has none. */
const char *gw_pattern_group_name(const struct gw_pattern *p, unsigned i);
/** As matches; ret_groups[i] is group i + 1, empty when it took no part. */
bool gw_pattern_capture(struct gw_pattern *p, struct gw_slice s, struct gw_slice ret_groups[GW_PATTERN_GROUPS]);
/** Matches that were given up at the limit. */
uint64_t gw_pattern_n_given_up(const struct gw_pattern *p);

#endif
