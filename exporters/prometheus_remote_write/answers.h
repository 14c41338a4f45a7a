/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a remote write server says: how much it has written, whether its sentence is about a sample, and which series
 * that sentence names. Whatever comes is only read as far as it makes sense.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_ANSWERS_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_ANSWERS_H

#include "core/client.h"
#include "exporters/prometheus_remote_write/body.h"

/** X-Prometheus-Remote-Write-{Samples,Histograms,Exemplars}-Written. */
struct gw_rw_written {
    bool any;
    uint64_t samples, histograms, exemplars;
};
void gw_rw_written_read(const struct gw_http_response *rs, struct gw_rw_written *ret);

/** The text of an answer without the white space around it; none when it is a page of HTML. */
struct gw_slice gw_rw_sentence(struct gw_slice body);
/** Whether a sentence complains about a sample or its labels: others of the same request may be fine. */
bool gw_rw_is_about_a_sample(struct gw_slice sentence);
/** Whether it can be about nothing else: no trouble of the server's own, such as a full disk, reads like this. */
bool gw_rw_is_a_samples_fault(struct gw_slice sentence);

enum { GW_RW_NAMED_LABELS = 128, GW_RW_NAMED_BYTES = 64 << 10 };
/**
 * The series that a text names, such as
 *
 *   {__name__="up", job="a"}      up{job="a"}      {"http.duration", "service.name"="a"}
 */
struct gw_rw_named {
    struct gw_slice text; /* what is still to be read */
    struct gw_buf bytes;  /* of names and values, without quotes and escapes */
    uint32_t n_labels;
    struct {
        uint32_t name, name_bytes, value, value_bytes; /* into bytes */
    } labels[GW_RW_NAMED_LABELS];
};
/** Owner: borrows text. Cleared by gw_rw_named_clear. */
void gw_rw_named_begin(struct gw_rw_named *it, struct gw_slice text);
bool gw_rw_named_next(struct gw_rw_named *it);
void gw_rw_named_clear(struct gw_rw_named *it);
/** Whether the series has these labels and no others. */
bool gw_rw_named_is(const struct gw_rw_named *it, const struct gw_rw_body *b, const struct gw_rw_body_series *s);

#endif
