/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of dynamic_sampling over the end of the process (spool.c) and over a crash behind a journal (kept.c): what
 * both write of rules and samplers, and how it becomes ours (sources.c).
 *
 *   'N'  a name of a rule by number (names.c)
 *   'S'  what the sampler of a rule knows (gw_ds_rule_save)
 *   'C'  a call of a sampler (struct gw_ds_call)                       in records alone
 *   'K'  ids and their decisions: id 16, decision u64; 0: not kept     in spools alone; in records these are 'D'
 *
 * Behind a journal samplers are not written down with every commit, but what they were asked: the same calls give the
 * same state. What a whole record begins with is all that they know; so does the first one after a reload.
 *
 * Records and files may be several workers': each has samplers of its own to which its calls go, and these become ours
 * when all is read (gw_sampler_take).
 */
#ifndef GW_DYNAMIC_SAMPLING_SURVIVE_H
#define GW_DYNAMIC_SAMPLING_SURVIVE_H

#include "processors/dynamic_sampling/dynamic.h"

enum { GW_DS_NOTE_NAME = 'N', GW_DS_NOTE_SAMPLER = 'S', GW_DS_NOTE_CALL = 'C', GW_DS_NOTE_IDS = 'K' };

/** What one worker has written, while it is read. */
struct gw_ds_source {
    uint8_t names[256];            /* theirs ─► ours */
    struct gw_sampler *samplers[]; /* by rule; NULL: it is of another kind now */
};
/** Errors: NULL, no memory. */
struct gw_ds_source *gw_ds_source_new(const struct gw_ds *s);
void gw_ds_source_free(const struct gw_ds *s, struct gw_ds_source *x);
/** False: it is none. Times stand to now_ns. */
bool gw_ds_source_read_sampler(struct gw_ds *s, struct gw_ds_source *x, struct gw_spool_in *in, uint64_t now_ns);
bool gw_ds_source_read_call(struct gw_ds *s, struct gw_ds_source *x, struct gw_spool_in *in);
/** A decision of theirs; 0: it was not kept. */
void gw_ds_source_remember(struct gw_ds *s, const struct gw_ds_source *x, const uint8_t id[16], uint64_t decision);
/** What all of them know becomes ours; n of them, or NULL, GW_KEPT_SOURCES at most. */
void gw_ds_take_samplers(struct gw_ds *s, struct gw_ds_source *const *sources, unsigned n);

#endif
