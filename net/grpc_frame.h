/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC over HTTP/2, server side, without I/O: the five-byte message frame, grpc-timeout, percent-encoded
 * grpc-message, grpc-status-details-bin. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
#ifndef GW_NET_GRPC_FRAME_H
#define GW_NET_GRPC_FRAME_H

#include "core/buf.h"
#include "core/status.h"

/** Reassembles one unary message out of DATA chunks. */
struct gw_grpc_reader {
    uint8_t head[5];
    uint8_t n_head;
    bool compressed, complete;
    uint32_t want_bytes; /* of the message; valid when n_head == 5 */
    struct gw_buf message;
};

void gw_grpc_reader_init(struct gw_grpc_reader *r, size_t max_bytes);
void gw_grpc_reader_clear(struct gw_grpc_reader *r);
/** Errors: -E2BIG over max_bytes (known from the frame's head, before the message), -EBADMSG (bad flag, a second
 * message). */
int gw_grpc_reader_feed(struct gw_grpc_reader *r, struct gw_slice chunk, struct gw_err *err);
/**
 * Only the frame's head: takes its bytes off *chunk, so that the caller may put memory of its own (cap == max_bytes ==
 * want_bytes) into `message` before the first byte of it. Does nothing once the head is there. Errors: as feed.
 */
int gw_grpc_reader_head(struct gw_grpc_reader *r, struct gw_slice *chunk, struct gw_err *err);

/** "100m" and the like. Errors: -EINVAL. */
int gw_grpc_timeout_parse(struct gw_slice s, uint64_t *ret_ns);
/** Percent-encode a grpc-message. */
void gw_grpc_message_put(struct gw_buf *out, const char *message);
/** Base64 without padding, as values of -bin headers are sent. */
void gw_grpc_bin_put(struct gw_buf *out, struct gw_slice bytes);
/** Frame head of an uncompressed message of n bytes. */
void gw_grpc_frame_put(struct gw_buf *out, uint32_t n);

#endif
