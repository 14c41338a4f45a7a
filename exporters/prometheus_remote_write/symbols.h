/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of remote write 2.0, each kept once. A request has its own numbers for those it uses: the stamp of a symbol
 * says for which request its number holds, so that a new request costs nothing.
 */
#ifndef GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SYMBOLS_H
#define GW_EXPORTERS_PROMETHEUS_REMOTE_WRITE_SYMBOLS_H

#include "core/buf.h"
#include "exporters/prometheus_remote_write/translate.h"

enum {
    GW_RW_SYMBOL_EMPTY,
    GW_RW_SYMBOL_NAME, /* __name__ */
    GW_RW_SYMBOL_LE,
    GW_RW_SYMBOL_QUANTILE,
    GW_RW_SYMBOL_INF, /* +Inf */
    GW_RW_SYMBOL_TRACE_ID,
    GW_RW_SYMBOL_SPAN_ID,
};

struct gw_rw_stamp {
    uint32_t serial, index;
};

struct gw_rw_symbol {
    uint8_t *p; /* NULL: free */
    uint32_t n, refs;
    uint64_t hash;
};

struct gw_rw_symbols {
    struct gw_rw_stamp *stamps;   /* [id] */
    struct gw_rw_symbol *symbols; /* [id] */
    uint32_t *free_ids;
    uint32_t n, cap, n_free;
    uint32_t *slots; /* id + 1 */
    size_t mask, n_used;
    uint64_t seed, bytes;
    void *spare; /* memory of short texts that went, each with the next one's address in it */
    uint32_t n_spare;
};

/** The symbols named above are always there. Errors: -ENOMEM. */
int gw_rw_symbols_init(struct gw_rw_symbols *s, uint64_t seed);
void gw_rw_symbols_clear(struct gw_rw_symbols *s);
/** Gives one reference. Errors: -ENOMEM. */
int gw_rw_symbol_get(struct gw_rw_symbols *s, struct gw_slice text, uint32_t *ret_id);
void gw_rw_symbol_unref(struct gw_rw_symbols *s, uint32_t id);

#endif
