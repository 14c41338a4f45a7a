/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines of ours: one line per event, as text or JSON. Control characters are escaped. Each call site is
 * limited (first 10 a 10 s window, then counted), so that a failing sink cannot fill a disk.
 */
#ifndef GW_CORE_LOGGER_H
#define GW_CORE_LOGGER_H

#include "core/env.h"

enum gw_log_level { GW_LOG_DEBUG, GW_LOG_INFO, GW_LOG_WARN, GW_LOG_ERROR };

/** What stands behind all loggers of a process. */
struct gw_log_sink {
    struct gw_env *env;
    _Atomic enum gw_log_level level; /* may be changed while others speak */
    bool json;
};

/** Names the speaker; embedded, cheap to copy. All strings are borrowed and live as long as the logger. */
struct gw_logger {
    const struct gw_log_sink *sink;
    const char *kind;   /* "receiver", ... or NULL */
    const char *id;     /* "kafka/eu" or NULL */
    const char *signal; /* "traces" or NULL */
};

/** A call site's budget; made by the macro, or zeroed in an object whose lines another's must not crowd out. */
struct gw_log_site {
    _Atomic unsigned long long window_ns;
    _Atomic unsigned count;
};

void gw_log_at(const struct gw_logger *lg, enum gw_log_level level, struct gw_log_site *site, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** gw_log(lg, GW_LOG_WARN, "queue is full (%u requests)", n). Threads: any. lg may be NULL. */
#define gw_log(lg, level, ...)                                                                                         \
    do {                                                                                                               \
        static struct gw_log_site gw_site_;                                                                            \
        gw_log_at((lg), (level), &gw_site_, __VA_ARGS__);                                                              \
    } while (0)

#endif
