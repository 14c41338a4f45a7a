/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/intake.h"

/* gRPC codes that a verdict may carry: https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
enum {
    OK = 0,
    INVALID_ARGUMENT = 3,
    DEADLINE_EXCEEDED = 4,
    PERMISSION_DENIED = 7,
    RESOURCE_EXHAUSTED = 8,
    ABORTED = 10,
    OUT_OF_RANGE = 11,
    UNIMPLEMENTED = 12,
    UNAVAILABLE = 14,
    DATA_LOSS = 15,
    UNAUTHENTICATED = 16,
};

int gw_verdict_http_status(const struct gw_verdict *v)
{
    if (v->too_large)
        return 413;
    switch (v->grpc_status) {
    case OK:
        return 200;
    case INVALID_ARGUMENT:
        return 400;
    case UNAUTHENTICATED:
        return 401;
    case PERMISSION_DENIED:
        return 403;
    case UNIMPLEMENTED:
        return 404;
    case RESOURCE_EXHAUSTED:
        return 429;
    case 1: /* CANCELLED; all that OTLP calls retryable */
    case DEADLINE_EXCEEDED:
    case ABORTED:
    case OUT_OF_RANGE:
    case UNAVAILABLE:
    case DATA_LOSS:
        return 503;
    default:
        return 500;
    }
}
