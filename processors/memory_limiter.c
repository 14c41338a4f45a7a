/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_limiter: refuse new requests before memory runs out.
 *
 *     processors:
 *       memory_limiter: { check_interval: 1s, limit_mib: 400, spike_limit_mib: 100 }
 *
 * The Collector's processor measures its heap once in a while and refuses what has been read already. Here the process
 * accounts for every byte that it holds for requests, and the limits become the marks of that account: above
 * limit - spike_limit a request is refused before its body is read, and limit itself is never passed. What still
 * arrives above it (the marks were lowered under a full house) is refused here. Several limiters: the lowest one
 * counts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pipeline/component.h"
#include "pipeline/host.h"
#include "pipeline/ports.h"

struct conf {
    uint64_t check_interval_ns;
    uint64_t limit_mib, spike_limit_mib, limit_percentage, spike_limit_percentage;
    uint64_t gc_min_soft_ns, gc_min_hard_ns, gc_max_soft_ns, gc_max_hard_ns;
};

struct self {
    struct gw_ctx ctx;
    uint64_t check_interval_ns, next_check_ns;
    uint64_t soft_bytes, hard_bytes;
    bool is_limited; /* as of the last check */
    struct gw_metric *accepted, *refused;
};

#define GC_FIELD(m, name, def, help)                                                                                   \
    {                                                                                                                  \
        GW_FIELD_(struct conf, m, name, GW_F_DURATION, def, 0, 1e18, help), .flags = GW_FF_NO_EFFECT                   \
    }
static const struct gw_field fields[] = {
    GW_DURATION_FIELD(struct conf, check_interval_ns, "check_interval", "0s", 0, 1e18,
                      "How often the state is looked at for the log; refusing does not wait for it."),
    GW_U64_FIELD(struct conf, limit_mib, "limit_mib", "0", 0, 4294967295.0, "Most memory for requests, in MiB."),
    GW_U64_FIELD(struct conf, spike_limit_mib, "spike_limit_mib", "0", 0, 4294967295.0,
                 "Requests are refused from limit_mib - this on; 0 = 20 % of the limit."),
    GW_U64_FIELD(struct conf, limit_percentage, "limit_percentage", "0", 0, 4294967295.0,
                 "The same in percent of the memory that the container or the machine has."),
    GW_U64_FIELD(struct conf, spike_limit_percentage, "spike_limit_percentage", "0", 0, 4294967295.0,
                 "The same in percent."),
    GC_FIELD(gc_min_soft_ns, "min_gc_interval_when_soft_limited", "10s", "There is no garbage collector."),
    GC_FIELD(gc_min_hard_ns, "min_gc_interval_when_hard_limited", "0s", "There is no garbage collector."),
    GC_FIELD(gc_max_soft_ns, "max_gc_interval_when_soft_limited", "30s", "There is no garbage collector."),
    GC_FIELD(gc_max_hard_ns, "max_gc_interval_when_hard_limited", "30s", "There is no garbage collector."),
    {0},
};

static void wrong(struct gw_diag *diag, const struct gw_node *block, const char *key, const char *text)
{
    const struct gw_node *n = gw_node_get(block, key);

    gw_diag_add(diag, GW_DIAG_ERROR, n ? &n->place : block ? &block->place : NULL, "%s", text);
}

static void check(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;

    if (c->check_interval_ns == 0)
        wrong(diag, node, "check_interval", "'check_interval' must be greater than zero");
    if (c->limit_mib == 0 && c->limit_percentage == 0)
        wrong(diag, node, "limit_mib", "'limit_mib' or 'limit_percentage' must be greater than zero");
    if (c->limit_percentage > 100 || c->spike_limit_percentage > 100)
        wrong(diag, node, c->limit_percentage > 100 ? "limit_percentage" : "spike_limit_percentage",
              "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to "
              "hundred");
    if (c->limit_mib > 0 && c->limit_mib <= c->spike_limit_mib)
        wrong(diag, node, "spike_limit_mib", "'spike_limit_mib' must be smaller than 'limit_mib'");
    if (c->limit_percentage > 0 && c->limit_percentage <= c->spike_limit_percentage)
        wrong(diag, node, "spike_limit_percentage", "'spike_limit_percentage' must be smaller than 'limit_percentage'");
}

/* ---- how much there is ------------------------------------------------------------------------------------ */

/* The number in a small file, or 0: "max" and a file that is not there mean no limit. */
static uint64_t read_number(struct gw_env *env, const char *path)
{
    uint64_t v;
    char *text;
    size_t n;

    if (gw_env_read_file(env, path, 64, &text, &n, NULL) < 0)
        return 0;
    v = strtoull(text, NULL, 10);
    free(text);
    return v;
}

static uint64_t total_bytes(struct gw_env *env)
{
    static const char *const limits[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    for (unsigned i = 0; i < 2; i++) {
        uint64_t v = read_number(env, limits[i]);

        if (v && v < least)
            least = v;
    }
    return least;
}

static void limits(struct self *s, const struct conf *c)
{
    uint64_t spike;

    if (c->limit_mib) {
        s->hard_bytes = c->limit_mib << 20;
        spike = c->spike_limit_mib << 20;
    } else {
        uint64_t total = total_bytes(s->ctx.env);

        s->hard_bytes = total / 100 * c->limit_percentage;
        spike = total / 100 * c->spike_limit_percentage;
    }
    s->soft_bytes = s->hard_bytes - (spike ? spike : s->hard_bytes / 5);
}

static void lower(_Atomic uint64_t *mark, uint64_t to)
{
    uint64_t now = atomic_load_explicit(mark, memory_order_relaxed);

    while (to < now &&
           !atomic_compare_exchange_weak_explicit(mark, &now, to, memory_order_relaxed, memory_order_relaxed))
        ;
}

static struct gw_metric *counter(const struct gw_ctx *ctx, const char *what, const char *help)
{
    struct gw_label label = {"processor", ctx->id};
    char name[96];

    (void)snprintf(name, sizeof(name), "otelcol_processor_memory_limiter_%s_%s", what,
                   gw_signal_item_name(ctx->signal));
    return gw_meter_get(ctx->meter, GW_COUNTER, name, help, &label, 1);
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    const struct conf *c = conf;
    struct self *s = calloc(1, sizeof(*s));

    (void)err;
    if (!s)
        return -ENOMEM;
    s->ctx = *ctx;
    s->check_interval_ns = c->check_interval_ns;
    limits(s, c);
    s->accepted =
        counter(ctx, "accepted", "Number of items successfully pushed into the next component in the pipeline.");
    s->refused = counter(ctx, "refused", "Number of items that were refused by the memory limiter.");
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct self *s = self;

    (void)err;
    lower(&s->ctx.host->memory->soft_bytes, s->soft_bytes);
    lower(&s->ctx.host->memory->hard_bytes, s->hard_bytes);
    if (s->ctx.worker == 0)
        gw_log(&s->ctx.logger, GW_LOG_INFO,
               "Memory limiter configured: limit_mib %" PRIu64 ", spike_limit_mib %" PRIu64 ", exact by bytes",
               s->hard_bytes >> 20, (s->hard_bytes - s->soft_bytes) >> 20);
    return 0;
}

static void consume(void *self, struct gw_view *v, struct gw_ports *out)
{
    struct self *s = self;
    struct gw_credit *memory = s->ctx.host->memory;
    uint64_t used = atomic_load_explicit(&memory->used_bytes, memory_order_relaxed);

    if (used > atomic_load_explicit(&memory->hard_bytes, memory_order_relaxed)) {
        gw_metric_add(s->refused, v->n_rows);
        gw_view_settle_all(v, out->ledger, GW_REFUSED, "memory_limiter", "data refused due to high memory usage");
    } else {
        gw_metric_add(s->accepted, v->n_rows);
    }
    gw_emit(out, 0, v);
}

static int tick(void *self, uint64_t now_ns, struct gw_ports *out)
{
    struct self *s = self;
    const struct gw_credit *memory = s->ctx.host->memory;
    uint64_t used = atomic_load_explicit(&memory->used_bytes, memory_order_relaxed);
    bool limited = used > s->soft_bytes;

    (void)out;
    if (s->ctx.worker != 0 || now_ns < s->next_check_ns)
        return GW_DONE;
    s->next_check_ns = now_ns + s->check_interval_ns;
    if (limited && !s->is_limited)
        gw_log(&s->ctx.logger, GW_LOG_WARN,
               "Memory usage is above soft limit. Refusing data. cur_mem_mib %" PRIu64 ", soft limit %" PRIu64,
               used >> 20, s->soft_bytes >> 20);
    if (!limited && s->is_limited)
        gw_log(&s->ctx.logger, GW_LOG_INFO,
               "Memory usage back within limits. Resuming normal operation. cur_mem_mib %" PRIu64, used >> 20);
    s->is_limited = limited;
    return GW_DONE;
}

const struct gw_component gw_processor_memory_limiter = {
    .kind = GW_PROCESSOR,
    .name = "memory_limiter",
    .summary = "Refuse new requests before memory runs out, at the door.",
    .signals = GW_ALL_SIGNALS,
    .reads = GW_C_ROW,
    .expands = 1,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check,
    .create = create,
    .start = start,
    .destroy = free,
    .consume = consume,
    .tick = tick,
};
