/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST requests of an exporter: the configured client, headers, authenticator and compression, the self-metrics of
 * each call, and what an answer means where a protocol says nothing else.
 *
 *   struct gw_post *p = gw_post_new(&poster);
 *   gw_post_pack(p, body, &err);                       or p->rq.body = bytes that are packed already
 *   gw_post_header(p, "Content-Type", type);           a configured header of that name wins
 *   gw_post_send(p, url, timeout_ns, on_answer, self); then gw_post_free(p) inside of on_answer, or later
 *
 * Threads   the exporter's
 */
#ifndef GW_EXPORTERS_COMMON_HTTP_POST_H
#define GW_EXPORTERS_COMMON_HTTP_POST_H

#include "exporters/common/client_settings.h"
#include "pipeline/auth.h"
#include "pipeline/exporter.h"

struct gw_post;
typedef void (*gw_post_done_fn)(struct gw_post *p, const struct gw_http_response *rs);

struct gw_poster {
    const struct gw_http_settings *http; /* borrowed */
    const struct gw_ctx *ctx;
    struct gw_http_client *client;
    struct gw_auth auth;
    enum gw_codec codec; /* of gw_post_pack; from the settings, the caller may change it */
    struct gw_post *free;
    unsigned n_free;
};

enum { GW_POST_HEADERS = 8 }; /* that an exporter may add of its own */

struct gw_post {
    struct gw_http_request rq;
    struct gw_poster *poster;
    gw_post_done_fn done;
    void *arg;
    struct gw_buf text; /* the caller's, for a body that he writes */
    struct gw_buf packed, auth;
    struct gw_header *headers;
    uint64_t begin_ns;
    struct gw_post *next;
};

/** Errors: what the client or the authenticator says. On failure nothing is left open. */
int gw_poster_open(struct gw_poster *p, const struct gw_ctx *ctx, const struct gw_http_settings *http,
                   struct gw_loop *loop, size_t max_response_bytes, struct gw_err *err);
/** All posts must be done. Takes a poster that was never opened. */
void gw_poster_close(struct gw_poster *p);

/** From the poster's stock. Errors: NULL. */
struct gw_post *gw_post_new(struct gw_poster *poster);
void gw_post_free(struct gw_post *p);
/** rq.body = body in the poster's codec; identity: borrowed until done. Errors: as gw_compress. */
int gw_post_pack(struct gw_post *p, struct gw_slice body, struct gw_err *err);
/** The same of a body in parts. */
int gw_post_pack_rope(struct gw_post *p, struct gw_rope body, struct gw_err *err);
/** At most GW_POST_HEADERS; both texts are borrowed until done. */
void gw_post_header(struct gw_post *p, const char *name, struct gw_slice value);
/**
 * `done` follows, never from inside. url is borrowed until then.
 *
 * Errors    the authenticator's, such as a token that cannot be read: nothing is sent then, `done` does not come
 */
int gw_post_send(struct gw_post *p, const char *url, uint64_t timeout_ns, gw_post_done_fn done, void *arg,
                 struct gw_err *err);
void gw_post_cancel(struct gw_post *p);

/** A response header's value (name in lower case), or n == 0. */
struct gw_slice gw_http_response_header(const struct gw_http_response *rs, const char *name);
/** Retry-After, whatever the status; 0 = none. */
uint64_t gw_http_retry_after_ns(const struct gw_ctx *ctx, const struct gw_http_response *rs);
/** What an answer, or none, says about the server. */
enum gw_sign gw_http_sign(const struct gw_ctx *ctx, const struct gw_http_response *rs);
/** 429, 502, 503, 504: RETRY. 413: TOO_LARGE. 2xx: OK. All else, a redirect too: PERMANENT. No answer: RETRY. */
enum gw_sent gw_http_verdict(const struct gw_http_response *rs);

struct gw_http_outcome {
    struct gw_sent_info info; /* its texts are below */
    char reason[24], message[320];
};
/** The verdict in words: reason "http_503" or "timeout", message; `said` is the sentence of the body, n == 0: none. */
void gw_http_outcome_of(const struct gw_ctx *ctx, const struct gw_http_response *rs, struct gw_slice said,
                        struct gw_http_outcome *ret);

#endif
