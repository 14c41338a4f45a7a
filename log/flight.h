/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows of which logs are being worked on right now, so that a crash can be laid at somebody's door. One for each
 * storage; its file is docs/formats/flight.md.
 *
 *   slot        rows that one consumer has under way: sent and not answered, or with a processor
 *   scope       whose rows a thread works on at this moment
 *   suspect     rows that a crash came from, or may have come from: worked on again, but alone (on trial)
 *   condemned   rows that were on trial when the gateway crashed again of them: not worked on any more. When it may as
 *               well have crashed of something else that was under way, it takes one crash more
 *
 *   a thread crashes ─► its scope ─┬─ of some slots       theirs
 *                                  ├─ none is known       of a library's thread, or an exporter's that reads answers:
 * of │                      all that is under way there └─ GW_FLIGHT_NOTHING   nobody's: what a client sends is in no
 * log yet
 *
 * While all goes well this is memory, and nothing is written: a handler of fatal signals (runtime/crash.h) calls
 * gw_flight_crashed, which writes to the file, opened before, whose rows these were. So a batch costs a few plain
 * stores, and an end without such a signal (kill -9, out of memory, a power cut) accuses nobody: it says nothing about
 * rows, and whoever kills often must not bury what is innocent. Therefore it need not survive a power cut, either; as
 * that may take frames whose numbers are then given to others, a record has the time of its frame, too.
 *
 * Threads    slots, scopes and suspects: any
 */
#ifndef GW_LOG_FLIGHT_H
#define GW_LOG_FLIGHT_H

#include "core/env.h"
#include "core/logger.h"

struct gw_flight;

enum { GW_FLIGHT_SLOTS = 2048, GW_FLIGHT_SUSPECTS = 63 };

/** Frames of a log for one consumer, both included; or rows of one frame. */
struct gw_flight_rows {
    uint64_t log; /* gw_flight_log */
    uint64_t first_seq, last_seq;
    uint64_t time_ns;         /* of the frame first_seq */
    uint32_t consumer;        /* of the log */
    uint32_t first_row, rows; /* of the frame first_seq alone; rows 0: whole frames */
    uint16_t partition;
};

struct gw_flight_suspect {
    struct gw_flight_rows rows;
    uint32_t id;
    int signal;       /* that ended the process */
    unsigned crashes; /* that they may have made; the first one apart, on trial */
    bool condemned;
};

struct gw_flight_conf { /* borrowed until it is closed */
    struct gw_env *env;
    const char *path;
    struct gw_logger logger;
};

/**
 * What the last process left becomes suspect. What is damaged is forgotten, with a warning; a file that is somebody
 * else's, or cannot be read, is left as it is, with a warning: then nothing is noted. Errors: -ENOMEM.
 */
int gw_flight_open(const struct gw_flight_conf *conf, struct gw_flight **ret);
/** Takes NULL, as all of these do. */
void gw_flight_close(struct gw_flight *f);
/** A log by its kind, name and uuid (gw_log_stats). */
uint64_t gw_flight_log(const char *kind, const char *name, const uint8_t uuid[16]);

/* ---- what is under way ------------------------------------------------------------------------------------ */

enum {
    GW_FLIGHT_UNKNOWN = 0, /* scope: whose rows a thread works on is not known. home: any */
    GW_FLIGHT_NOTHING = -1 /* it works on rows of no log; home: it never works on others without a scope of theirs */
};

/** A scope of its own. */
uint32_t gw_flight_scope(void);
/**
 * Rows are under way from now on. home: a name for the threads that may work on them without a scope, or
 * GW_FLIGHT_UNKNOWN. crashes: of what is on trial; else 0. Returns the slot; 0: there is none free, nobody will know.
 * Cost: some stores.
 */
uint32_t gw_flight_begin(struct gw_flight *f, const struct gw_flight_rows *rows, uint32_t scope, uint32_t home,
                         unsigned crashes);
void gw_flight_end(struct gw_flight *f, uint32_t slot);
/** This thread works on what has that scope; gives what it worked on before, to be entered again behind it. */
uint32_t gw_flight_enter(uint32_t scope);
/** What this thread may work on without a scope. Threads that nobody told are at home everywhere (libraries'). */
void gw_flight_thread(uint32_t home);
/** This thread ends the process: only what a handler of signals may do. */
void gw_flight_crashed(int sig);

/* ---- suspects --------------------------------------------------------------------------------------------- */

/** Those of a consumer. Returns how many there are; at most max are filled in. */
unsigned gw_flight_suspects(struct gw_flight *f, uint64_t log, uint32_t consumer, struct gw_flight_suspect *ret,
                            unsigned max);
/** Its rows are settled, or were worked on without a crash. */
void gw_flight_acquit(struct gw_flight *f, uint32_t id);
/** One trial at a time, so that a crash in a thread that nobody knows has one suspect. False: another one has it. */
bool gw_flight_take_trial(struct gw_flight *f, const void *who);
void gw_flight_end_trial(struct gw_flight *f, const void *who);

#endif
