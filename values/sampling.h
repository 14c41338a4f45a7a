/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consistent probability sampling (OpenTelemetry specification, trace/tracestate-probability-sampling.md): a record has
 * 56 bits of randomness R, a sampler a rejection threshold T; kept when T <= R. Both travel in the `ot` member of the
 * W3C trace state: `ot=rv:<14 hex>;th:<1..14 hex>`. Arithmetic and texts are those of the Collector's pkg/sampling.
 */
#ifndef GW_VALUES_SAMPLING_H
#define GW_VALUES_SAMPLING_H

#include "core/buf.h"
#include "core/slice.h"

enum { GW_SAMPLING_DIGITS = 14, GW_TRACE_STATE_BYTES = 2048 };
#define GW_NEVER_SAMPLE   (UINT64_C(1) << 56)
#define GW_ALWAYS_SAMPLE  UINT64_C(0)
#define GW_MAX_RANDOMNESS (GW_NEVER_SAMPLE - 1)

/** Threshold of a probability in [2^-56, 1], in about `precision` hexadecimal digits. False out of that range. */
bool gw_threshold_of(double probability, int precision, uint64_t *ret);
double gw_threshold_probability(uint64_t threshold);
/** "0" for always, "" for never, else without trailing zeros. Returns the length. */
size_t gw_threshold_text(uint64_t threshold, char ret[GW_SAMPLING_DIGITS + 1]);
bool gw_threshold_parse(struct gw_slice text, uint64_t *ret);
/** 14 digits. */
void gw_randomness_text(uint64_t randomness, char ret[GW_SAMPLING_DIGITS + 1]);
bool gw_randomness_parse(struct gw_slice text, uint64_t *ret);
/** The lower 56 bits of a trace id. */
uint64_t gw_randomness_of_trace(const uint8_t id[16]);

/** A trace state taken apart. Slices borrow from the text. */
struct gw_trace_state {
    struct gw_slice text; /* all members; "" when the whole is no trace state */
    struct gw_slice ot;   /* value of the last `ot` member; "" when there is none or it is wrong */
    bool has_randomness, has_threshold;
    uint64_t randomness, threshold;
    struct gw_slice randomness_text, threshold_text; /* as they came */
};
/** False when something in it is wrong; ret then holds what could be read. */
bool gw_trace_state_parse(struct gw_slice text, struct gw_trace_state *ret);
/** Canonical form: ot first (rv, th, then the others as they came), then the other members as they came. */
void gw_trace_state_write(const struct gw_trace_state *ts, struct gw_buf *out);

#endif
