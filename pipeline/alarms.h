/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is unusual now, across pipelines: detectors (anomaly) raise alarms, policies of tail_sampling look at them.
 *
 *   detector ── raise(point) ──► board, by the detector's id
 *                                  ├─ watch {attributes, hold} ── key ─► alarm {from, to, score}
 *                                  └─ watch …                      └─► …
 *   policy ◄── copy of a watch's alarms, when its version has changed
 *
 * Who looks says what for: a watch names the attributes that make a key (service.name), so that a detector needs no
 * settings. Keys are hashes of 64 bits; what they stand for is on the points and spans.
 *
 * Time      of events alone: an alarm lasts from the begin of its first point until `hold` after its last one
 * Memory    32 B an alarm; at most max_alarms of a watch: then the one that ended first makes room
 * Threads   any, under one lock of all boards. It is taken when something is unusual, and when somebody finds that the
 *           version of its watch has changed; who looks has a copy, and asks for the version with one atomic load
 */
#ifndef GW_PIPELINE_ALARMS_H
#define GW_PIPELINE_ALARMS_H

#include "batch/view.h"

struct gw_alarm {
    uint64_t key;
    uint64_t from_ns, to_ns; /* of its points: begin of the first, time of the last */
    double score;            /* the highest one */
};

struct gw_alarms;
struct gw_alarm_board;
struct gw_watch;

struct gw_alarms *gw_alarms_new(void);
/** All boards and watches are gone then. */
void gw_alarms_free(struct gw_alarms *a);

/** The board of that detector, made with the first call; lives as long as `a`. NULL: no memory. */
struct gw_alarm_board *gw_alarms_board(struct gw_alarms *a, const char *detector);

/* ---- who looks -------------------------------------------------------------------------------------------- */

struct gw_watch_conf {
    const char *detector;
    const char *const *attributes; /* that make a key, in this order */
    size_t n_attributes;
    uint64_t hold_ns;
    uint32_t max_alarms;
};
/**
 * One that looks at the same attributes for as long is the same one: alarms go on over a reload. A new one begins with
 * what another one knows of the same attributes. Errors: NULL, no memory.
 */
struct gw_watch *gw_watch_new(struct gw_alarms *a, const struct gw_watch_conf *conf);
/** As often as gw_watch_new. NULL is fine. */
void gw_watch_unref(struct gw_watch *w);
/** Changes with its alarms. */
uint64_t gw_watch_version(const struct gw_watch *w);
/** All alarms, in no order; *ret is the caller's to free. Errors: false, no memory, and *ret is untouched. */
bool gw_watch_copy(struct gw_watch *w, struct gw_alarm **ret, size_t *ret_n, uint64_t *ret_version);

/* ---- who raises ------------------------------------------------------------------------------------------- */

/** False: nobody would hear it. Cost: one atomic load. */
bool gw_alarm_is_watched(const struct gw_alarm_board *b);
/**
 * A point of a metrics batch is unusual by so much. Watches whose attributes it does not have in full hear nothing.
 * Returns how many keys were not under alarm before.
 */
unsigned gw_alarm_raise(struct gw_alarm_board *b, const struct gw_view *v, uint32_t row, double score);

/* ---- keys ------------------------------------------------------------------------------------------------- */

/** Of the attributes' names; then each value in its order. Stable over restarts. */
uint64_t gw_alarm_key(const char *const *attributes, size_t n);
uint64_t gw_alarm_key_add(uint64_t key, struct gw_slice value);
enum { GW_ALARM_TEXT = 24 };
/** A value as text: what is a number here may be a text there. False: empty, or of another type. */
bool gw_alarm_text(const struct gw_value *v, char scratch[GW_ALARM_TEXT], struct gw_slice *ret);

#endif
