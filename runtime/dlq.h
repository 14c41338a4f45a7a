/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead letters as they lie in a store's log (queue/dead_letter.h says what one is): found, told apart, shown. Used by
 * the command line, which reads beside a running gateway, and by the gateway itself.
 */
#ifndef GW_RUNTIME_DLQ_H
#define GW_RUNTIME_DLQ_H

#include "batch/view.h"
#include "config/schema.h"
#include "core/buf.h"
#include "core/env.h"
#include "log/log.h"

/** The consumer that settles letters which nobody needs any more, and how it says why. */
#define GW_DLQ_CONSUMER "replayed"
enum { GW_DLQ_REPLAYED = GW_LOG_DELIVERED, GW_DLQ_PURGED = GW_LOG_REJECTED };

/** Which letters. Texts are whole and exact, but for id, of which the beginning is enough; "" = any. */
struct gw_dlq_filter {
    const char *class_, *component, *pipeline, *tenant, *signal, *id;
    uint64_t since_ns, until_ns; /* by dlq.time; 0 = no bound; until is not included */
    uint64_t limit;              /* letters; 0 = all */
    bool all;                    /* also those that were replayed or purged */
};
/** Its members by name ("class", "since_ns", ...), for requests to a running gateway. */
extern const struct gw_field gw_dlq_filter_fields[];

/** One letter. All slices live until the next call for its cursor. */
struct gw_dlq_letter {
    uint64_t seq;
    struct gw_slice id, class_, code, reason, message, component, pipeline, receiver, source, tenant, encoding, chain;
    enum gw_signal signal; /* of the body; 0 = not known */
    uint64_t time_ns, first_ns, rows, attempts, whole_bytes;
    struct gw_slice body;       /* the original bytes */
    struct gw_slice record;     /* the letter itself: an ExportLogsServiceRequest */
    const struct gw_view *view; /* of its one log record: every attribute */
};

struct gw_dlq_cursor;

/**
 * From the oldest letter to the newest one that is there now.
 *
 * Owner     borrows log and filter until gw_dlq_close
 * Threads   one at a time; blocks on the disk
 * Errors    -ENOMEM, of the log
 */
int gw_dlq_open(struct gw_log *log, const struct gw_dlq_filter *f, struct gw_dlq_cursor **ret);
/** 1: *ret is the next letter that fits. 0: the end. 2: none among the last few that were looked at; call again. */
int gw_dlq_next(struct gw_dlq_cursor *c, struct gw_dlq_letter *ret);
/** Frames so far that were damaged or are no letters. */
uint64_t gw_dlq_lost(const struct gw_dlq_cursor *c);
void gw_dlq_close(struct gw_dlq_cursor *c);

/** Id of the consumer, or 0 when the log has none. */
uint32_t gw_dlq_consumer(struct gw_log *log);
/** Ids in a chain. */
unsigned gw_dlq_chain_length(struct gw_slice chain);

/* ---- showing (dlq_show.c) --------------------------------------------------------------------------------- */

/** Text of strangers: control characters, those of C1 included, and what is no UTF-8 as \xNN. */
void gw_dlq_put_escaped(struct gw_buf *out, struct gw_slice text);
/** 2026-01-02T03:04:05.678Z */
void gw_dlq_put_time(struct gw_buf *out, uint64_t wall_ns);
/**
 * A point in time as a person writes it: "2h" (so long ago), 2026-01-02, 2026-01-02T03:04:05Z (fractions allowed), or
 * nanoseconds. Errors: -EINVAL.
 */
int gw_dlq_parse_time(const char *text, uint64_t now_ns, uint64_t *ret_ns);
void gw_dlq_put_table_head(struct gw_buf *out);
void gw_dlq_put_table_row(struct gw_buf *out, const struct gw_dlq_letter *l);
/** One line: the envelope without the body. */
void gw_dlq_put_json_row(struct gw_buf *out, const struct gw_dlq_letter *l);
/** Envelope, a line an attribute, and the body: as OTLP JSON when it can be decoded, else escaped. */
void gw_dlq_put_whole(struct gw_buf *out, const struct gw_dlq_letter *l);

/* ---- counting (dlq_stats.c) ------------------------------------------------------------------------------- */

enum {
    GW_DLQ_BY_CLASS = 1,
    GW_DLQ_BY_COMPONENT = 2,
    GW_DLQ_BY_TENANT = 4,
    GW_DLQ_BY_PIPELINE = 8,
    GW_DLQ_BY_REASON = 16
};

struct gw_dlq_stats;
/** by: OR of the above. */
struct gw_dlq_stats *gw_dlq_stats_new(unsigned by);
/** Errors: -ENOMEM. Over 1000 combinations the rest is counted as one. */
int gw_dlq_stats_add(struct gw_dlq_stats *s, const struct gw_dlq_letter *l);
/** A table, the largest first, with the age of the oldest of each. */
void gw_dlq_stats_put(const struct gw_dlq_stats *s, uint64_t now_ns, struct gw_buf *out);
void gw_dlq_stats_free(struct gw_dlq_stats *s);

#endif
