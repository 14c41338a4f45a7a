/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an OTLP server answers: partial success, google.rpc.Status with RetryInfo, Retry-After. Whatever comes is only
 * worth a sentence and a number: a body that cannot be read counts as empty.
 */
#ifndef GW_EXPORTERS_COMMON_OTLP_ANSWER_H
#define GW_EXPORTERS_COMMON_OTLP_ANSWER_H

#include "core/slice.h"

struct gw_otlp_partial {
    uint32_t rejected_rows;
    char message[192]; /* "" = none */
};
/** Export…ServiceResponse of any signal, as protobuf or JSON. All zero when there is no partial success in it. */
void gw_otlp_partial_read(struct gw_slice body, bool json, struct gw_otlp_partial *ret);

struct gw_otlp_status {
    int code;
    bool has_retry_info;
    uint64_t retry_delay_ns;
    char message[192];
};
/** google.rpc.Status, as protobuf or JSON; all zero when the body is none. */
void gw_otlp_status_read(struct gw_slice body, bool json, struct gw_otlp_status *ret);

/** Retry-After: seconds or an HTTP date, against the wall clock. False when it is neither. A past date gives 0. */
bool gw_retry_after_parse(struct gw_slice value, uint64_t wall_ns, uint64_t *ret_ns);

/** The gRPC code that stands for an HTTP status, for a client that waits for the verdict. */
int gw_grpc_of_http(int status);

#endif
