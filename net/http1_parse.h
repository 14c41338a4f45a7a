/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to room net: HTTP/1.1 messages without I/O. The head by h2o's exported phr_parse_request, then our own strict
 * rules; chunked bodies by an own decoder that copies nothing and bounds extensions and trailers (phr_decode_chunked
 * does neither).
 */
#ifndef GW_NET_HTTP1_PARSE_H
#define GW_NET_HTTP1_PARSE_H

#include "core/client.h"
#include "core/slice.h"

enum { GW_H1_MAX_HEADERS = 256, GW_H1_MAX_TARGET = 8192 };

/** Why there is no request: status to answer, a short name for metrics, a sentence for the client. All static. */
struct gw_h1_fault {
    int status;
    const char *reason, *text;
};

/** Slices point into the bytes that were parsed. */
struct gw_h1_request {
    struct gw_slice method, authority, path, query;
    struct gw_header headers[GW_H1_MAX_HEADERS];
    unsigned n_headers;
    size_t n_bytes;         /* of the head */
    int minor;              /* HTTP/1.minor */
    int64_t content_length; /* -1: none */
    bool chunked, keep_alive, expect_continue;
};

/**
 * Returns 1 (a head), 0 (not complete) or -1 (*ret_fault). seen: how many bytes of `in` were there at the last call
 * that returned 0.
 */
int gw_h1_parse(struct gw_slice in, size_t seen, size_t max_bytes, unsigned max_headers, struct gw_h1_request *ret,
                struct gw_h1_fault *ret_fault);
/** ASCII letters to lower case, in place. */
void gw_h1_lower(uint8_t *p, size_t n);

struct gw_h1_chunks {
    uint8_t state;
    uint8_t n_digits;
    uint64_t left;         /* of the chunk */
    size_t n_line, budget; /* bytes of extension or trailer line; what all of them together may still take */
};

enum { GW_H1_BAD = -1, GW_H1_MORE, GW_H1_DATA, GW_H1_END };

void gw_h1_chunks_init(struct gw_h1_chunks *d, size_t max_trailer_bytes);
/**
 * The next run of body bytes. *in loses what was used. GW_H1_DATA: *ret_data; GW_H1_MORE: in is used up; GW_H1_END:
 * the body is complete, *in stands behind it; GW_H1_BAD: *ret_fault.
 */
int gw_h1_chunks_next(struct gw_h1_chunks *d, struct gw_slice *in, struct gw_slice *ret_data,
                      struct gw_h1_fault *ret_fault);

#endif
