/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client's OK means: `durability` of a pipeline, and what each of its exporters can promise. A request's answer
 * is the least of all the ways that its rows take.
 */
#ifndef GW_PIPELINE_DURABILITY_H
#define GW_PIPELINE_DURABILITY_H

/** In order of what survives. */
enum gw_durability {
    GW_DURABILITY_AUTO,       /* not asked for: the highest that each exporter can */
    GW_DURABILITY_MEMORY,     /* in a bounded queue: lost with the process */
    GW_DURABILITY_PAGE_CACHE, /* written to a log: lost with the machine only */
    GW_DURABILITY_FSYNC,      /* synced to disk */
    GW_DURABILITY_SINK,       /* the sink has it */
};

/** Where an exporter keeps rows before the sink has them: decides what it can promise. */
enum gw_queue_place {
    GW_QUEUE_NONE, /* the client waits for the sink */
    GW_QUEUE_MEMORY,
    GW_QUEUE_DISK,
};

const char *gw_durability_name(enum gw_durability d); /* "page_cache"; "" for AUTO */

#endif
