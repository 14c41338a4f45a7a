/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a processor keeps, over the end of the process: written to a file_storage when the gateway leaves, taken up at
 * the next start, once.
 *
 *   directory/spool/traces,tail%5Fsampling/            one folder for each instance by pipeline and id
 *     0000001767323045678-0-2-of-8.spool               what worker 2 of 8 had
 *     0000001767323045678-0-2-of-8.part                … and was not done writing: it ends somewhere
 *     0000001767323045678-0-2-of-8.spool.damaged       set aside: some of it could not be read
 *
 *   file     HEAD, notes of the owner (what it remembers), one or more frames a trace, END
 *   frame    {bytes, type, checksum of the body, checksum of the head} body      each stands for itself
 *
 * Exactly once: a file that is not finished is removed before what is in it goes another way; a file is read and
 * checked as a whole, and its name is gone (removed, or set aside), before the first trace of it is handed out. From
 * then on it is in memory as everything that waits. Frames that are whole are taken up, whatever has become of their
 * neighbours; how many spans are missing is known from HEAD, told and counted.
 *
 * The number of workers may have changed: each reads the files of all, and takes what hashes to it. Traces of several
 * files come in order of the time that they had waited, the longest first.
 *
 * Threads   gw_spool is shared by the workers of an instance; a writer and a reader belong to one. All of it blocks in
 *           the disk: it is for the first and the last turn of a worker
 */
#ifndef GW_PROCESSORS_COMMON_SPOOL_H
#define GW_PROCESSORS_COMMON_SPOOL_H

#include "core/buf.h"
#include "pipeline/component.h"

struct gw_spool;

enum { GW_SPOOL_PATH = 1024 };

/**
 * In create_shared(). kind: whose notes these are and in what form ("tail_sampling/1"): of files of any other only the
 * traces are taken up.
 *
 * Errors    -ENOENT no such storage, -ENAMETOOLONG, -ENOMEM; err is a sentence
 */
int gw_spool_new(struct gw_spool **ret, const struct gw_ctx *ctx, const char *storage, const char *kind,
                 struct gw_err *err);
void gw_spool_free(struct gw_spool *s);
/** Is the gateway leaving, so that what waits shall be spooled? False for NULL, and for a replay. */
bool gw_spool_is_due(const struct gw_spool *s, const struct gw_ctx *ctx);

/* ---- writing ---------------------------------------------------------------------------------------------- */

struct gw_spool_writer {
    struct gw_spool *spool;
    struct gw_file *file;
    char path[GW_SPOOL_PATH]; /* without what says how far it is */
    struct gw_buf out;
    size_t frame; /* where the open one begins in out */
    uint64_t n_traces, n_spans, n_bytes;
    int error;
};

/** n_spans, n_bytes: about as much will come. Errors: of the disk; there is no file then. -ENOSPC: nor room for it. */
int gw_spool_begin(struct gw_spool_writer *w, struct gw_spool *s, const struct gw_ctx *ctx, uint64_t n_spans,
                   uint64_t n_bytes);
/** A note: type 'A' … 'Z'. The caller puts its body into the buffer. */
struct gw_buf *gw_spool_open_note(struct gw_spool_writer *w, uint8_t type);
/** Part of a trace; its spans in OTLP follow the facts, by the caller's hand. */
struct gw_spooled {
    uint8_t id[16];
    uint64_t waited_ns, left_ns; /* since its first span; until its decision */
    uint32_t n_spans, part;      /* reading: spans in this part; parts before it */
    struct gw_slice facts;       /* the owner's, of the whole trace */
    struct gw_slice spans;       /* reading: fields of an ExportTraceServiceRequest */
};
struct gw_buf *gw_spool_open_part(struct gw_spool_writer *w, const struct gw_spooled *part);
/** The frame is whole. Errors are kept: gw_spool_seal gives the first. */
void gw_spool_close_note(struct gw_spool_writer *w);
/** The same, with what is only known now; 0 spans: there is no such part, after all. */
void gw_spool_close_part(struct gw_spool_writer *w, uint32_t n_spans);
/** Errors: the first that happened. Then nothing of it is there, and will not be taken up; path names what it was. */
int gw_spool_seal(struct gw_spool_writer *w);

/* ---- taking up -------------------------------------------------------------------------------------------- */

struct gw_spool_visitor {
    void *arg;
    /** Notes of one file, before any trace. `of`: how many files bring notes to this worker; i: which one this is. */
    void (*note)(void *arg, uint8_t type, struct gw_slice body, unsigned i, unsigned of);
    /** False: it found no place, and is counted as lost. */
    bool (*part)(void *arg, const struct gw_spooled *part);
};

/** What an earlier process left of traces that are this worker's; each worker once. */
void gw_spool_take_up(struct gw_spool *s, const struct gw_ctx *ctx, const struct gw_spool_visitor *v);
/** Has any worker begun to? Then the others must. */
bool gw_spool_is_claimed(struct gw_spool *s);
/** Does the runtime bring spans of that trace to this worker? */
bool gw_spool_is_mine(const struct gw_ctx *ctx, const uint8_t id[16]);

/* ---- numbers in bodies ------------------------------------------------------------------------------------ */

static inline void gw_spool_put_u32(struct gw_buf *b, uint32_t v)
{
    gw_buf_put(b, &v, sizeof(v));
}
static inline void gw_spool_put_u64(struct gw_buf *b, uint64_t v)
{
    gw_buf_put(b, &v, sizeof(v));
}
/** NULL is not "". */
void gw_spool_put_text(struct gw_buf *b, const char *text);
void gw_spool_put_bytes(struct gw_buf *b, struct gw_slice bytes);

/** Reads from the front; what is not there reads as zeros, and `bad` says so. */
struct gw_spool_in {
    struct gw_slice left;
    bool bad;
};
struct gw_slice gw_spool_get(struct gw_spool_in *in, size_t n);
uint8_t gw_spool_get_u8(struct gw_spool_in *in);
uint32_t gw_spool_get_u32(struct gw_spool_in *in);
uint64_t gw_spool_get_u64(struct gw_spool_in *in);
struct gw_slice gw_spool_get_bytes(struct gw_spool_in *in);
/** A copy with a zero behind it in `arena`; NULL where NULL was put, or without memory. */
const char *gw_spool_get_text(struct gw_spool_in *in, struct gw_arena *arena);

#endif
