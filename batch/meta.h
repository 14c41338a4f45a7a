/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request brought besides its rows: tenant, peer, headers (with include_metadata), what the authenticator
 * found. Immutable once shared, reference-counted; requests of one connection share one while nothing differs.
 */
#ifndef GW_BATCH_META_H
#define GW_BATCH_META_H

#include <stdatomic.h>

#include "core/slice.h"

struct gw_meta_pair {
    struct gw_slice key, value; /* keys in lower case; a key may stand more than once */
};

struct gw_meta {
    _Atomic uint32_t refs;
    uint32_t n_pairs, n_auth;
    uint64_t hash;                /* of everything: equal metas have equal hashes */
    struct gw_slice tenant, peer; /* peer "127.0.0.1:5678" */
    const char *transport;        /* a receiver's word: "grpc", "http"; one of its component's transports */
    const struct gw_meta_pair *pairs, *auth;
};

/** Copies all it is given into one allocation. Errors: NULL. */
struct gw_meta *gw_meta_new(const struct gw_meta *from);
struct gw_meta *gw_meta_ref(const struct gw_meta *m);
struct gw_meta *gw_meta_unref(struct gw_meta *m); /* returns NULL; takes NULL */
/** i-th value of a key (compared without case), or false. */
bool gw_meta_find(const struct gw_meta *m, struct gw_slice key, unsigned i, struct gw_slice *ret);
/**
 * Same tenant, peer, pairs and auth; the transport does not count. Takes NULL (equal to NULL only). Requests with equal
 * metas may share a batch: who sets peer keeps the requests of different connections apart.
 */
bool gw_meta_eq(const struct gw_meta *a, const struct gw_meta *b);
/** The same, whatever their peers. */
bool gw_meta_eq_but_peer(const struct gw_meta *a, const struct gw_meta *b);

struct gw_buf;
/**
 * Ids of requests, in front of a meta or of nothing; appended. When the bytes of one are nothing, nothing is. Whoever
 * reads the meta need not know of them.
 */
void gw_meta_write_ids(const void *ids, size_t n_bytes, struct gw_buf *out);
/** Takes the bytes apart again. False: they are damaged. */
bool gw_meta_split(struct gw_slice bytes, struct gw_slice *ret_ids, struct gw_slice *ret_meta);
/** All of it as bytes that may outlive the process; appended. */
void gw_meta_write(const struct gw_meta *m, struct gw_buf *out);
/** Errors: -EBADMSG that is no meta (any bytes may come), or one of a newer version; -ENOMEM. *ret is NULL then. */
int gw_meta_read(struct gw_slice bytes, struct gw_meta **ret);

#endif
