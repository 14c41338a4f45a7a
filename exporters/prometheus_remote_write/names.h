/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names as Prometheus has them, from OTLP names, units and attribute keys: the rules of the Collector's translator
 * (its otlptranslator 1.0), in all four translation strategies.
 *
 *   UnderscoreEscapingWithSuffixes      "http.server.duration", "s" → http_server_duration_seconds
 *   UnderscoreEscapingWithoutSuffixes                               → http_server_duration
 *   NoUTF8EscapingWithSuffixes                                      → http.server.duration_seconds
 *   NoTranslation                                                   → http.server.duration
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_NAMES_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_NAMES_H

#include "batch/batch.h"
#include "core/buf.h"
#include "exporters/prometheus_remote_write/translate.h"

static inline bool gw_rw_utf8(enum gw_rw_strategy s)
{
    return s == GW_RW_NO_UTF8_ESCAPING_WITH_SUFFIXES || s == GW_RW_NO_TRANSLATION;
}

static inline bool gw_rw_suffixes(enum gw_rw_strategy s)
{
    return s == GW_RW_UNDERSCORE_ESCAPING_WITH_SUFFIXES || s == GW_RW_NO_UTF8_ESCAPING_WITH_SUFFIXES;
}

struct gw_rw_metric_name {
    enum gw_rw_strategy strategy;
    struct gw_slice namespace_, name, unit;
    bool counter; /* a monotonic sum */
    bool gauge;   /* a gauge, no sum */
};

/** Append the metric's name. Errors: -EINVAL when no name is left of it (nothing is appended), -ENOMEM. */
int gw_rw_put_metric_name(struct gw_buf *out, const struct gw_rw_metric_name *n);
/** Append the unit in words, "bytes_per_second"; nothing for "1" and "{requests}". */
void gw_rw_put_unit(struct gw_buf *out, bool utf8, struct gw_slice unit);

enum gw_rw_label_style {
    GW_RW_LABEL,      /* a-z, 0-9 and single underscores; "key" before a leading underscore */
    GW_RW_LABEL_UTF8, /* as it is */
    GW_RW_LABEL_INFO, /* target_info of 1.0: each character that may not stand is an underscore of its own */
};
/** Append the label's name. Errors: -EINVAL (empty, or underscores only), -ENOMEM. */
int gw_rw_put_label_name(struct gw_buf *out, enum gw_rw_label_style style, struct gw_slice key);

#endif
