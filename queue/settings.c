/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/settings.h"

#include <strings.h>

#include "pipeline/component.h"

static const char *const on_fulls[] = {"refuse", "spill", "drop_oldest", NULL};
static const char *const sizers[] = {"requests", "items", "bytes", NULL};
static const char *const batch_sizers[] = {"queue", "items", "bytes", NULL};

static const struct gw_field partition_fields[] = {
    GW_STRINGS_FIELD(struct gw_partition_settings, metadata_keys, "metadata_keys",
                     "One batch per combination of values of these request headers. Case does not matter."),
    {0},
};

#define B struct gw_batch_settings
static const struct gw_field batch_fields[] = {
    GW_DURATION_FIELD(B, flush_timeout_ns, "flush_timeout", "200ms", 1, 1e18,
                      "A batch leaves after this time, whatever its size."),
    GW_U64_FIELD(B, min_size, "min_size", "8192", 0, 1e15, "A batch leaves when it has this size."),
    GW_U64_FIELD(B, max_size, "max_size", "0", 0, 1e15, "Larger batches are split; 0 = never."),
    GW_ENUM_FIELD(B, sizer, "sizer", "queue", batch_sizers,
                  "Unit of the sizes: items, bytes, or the queue's (items when that counts requests)."),
    GW_BLOCK_FIELD(B, partition, "partition", partition_fields, "What must not be batched together."),
    {0},
};
#undef B

static const struct gw_field adaptive_fields[] = {
    GW_BOOL_FIELD(struct gw_adaptive_settings, enabled, "enabled", "true",
                  "Fewer at once while the sink is too busy, or no more gets through; never more than num_consumers."),
    {0},
};

#define Q struct gw_sending_queue_settings
static const struct gw_field queue_fields[] = {
    GW_BOOL_FIELD(Q, enabled, "enabled", "true", "false: requests wait for the sink's answer, and nothing is queued."),
    GW_U64_FIELD(Q, num_consumers, "num_consumers", "10", 1, 10000, "Attempts under way at once."),
    GW_U64_FIELD(Q, queue_size, "queue_size", "1000", 1, 1e15, "Room, in units of sizer."),
    GW_ENUM_FIELD(Q, sizer, "sizer", "requests", sizers, "Unit of queue_size: requests, items or bytes."),
    GW_BOOL_FIELD(Q, block_on_overflow, "block_on_overflow", "false",
                  "Requests wait for room, until their deadline, instead of being refused."),
    GW_BOOL_FIELD(Q, wait_for_result, "wait_for_result", "false", "Requests wait for the sink's answer."),
    GW_ID_FIELD(Q, storage, "storage", 1u << GW_EXTENSION,
                "A file_storage extension: the queue is on disk, and what was taken survives a crash."),
    GW_ENUM_FIELD(Q, on_full, "on_full", "spill", on_fulls,
                  "With storage: refuse beyond queue_size, spill to disk up to max_lag_bytes and then refuse, or "
                  "drop_oldest beyond max_lag_bytes."),
    GW_U64_FIELD(Q, max_lag_bytes, "max_lag_bytes", "0", 0, 1e18,
                 "With storage: how much this exporter may leave waiting on disk; 0 = what the storage has."),
    GW_U64_FIELD(Q, max_memory_bytes, "max_memory_bytes", "16777216", 65536, 1e15,
                 "With storage: how much of what waits is kept in memory too, so that it need not be read back."),
    GW_OPTIONAL_BLOCK_FIELD(Q, batch, has_batch, "batch", batch_fields, GW_FF_NULL_IS_ON,
                            "Put requests together before sending."),
    GW_BLOCK_FIELD(Q, adaptive_concurrency, "adaptive_concurrency", adaptive_fields,
                   "How many attempts may be under way, by what the sink answers."),
    {0},
};
#undef Q

#define R struct gw_retry_settings
static const struct gw_field retry_fields[] = {
    GW_BOOL_FIELD(R, enabled, "enabled", "true", "false: one attempt."),
    GW_DURATION_FIELD(R, initial_interval_ns, "initial_interval", "5s", 0, 1e18, "Pause after the first failure."),
    GW_F64_FIELD(R, randomization_factor, "randomization_factor", "0.5", 0, 1, "A pause is its interval × (1 ± this)."),
    GW_F64_FIELD(R, multiplier, "multiplier", "1.5", 0, 1e6, "Each interval is the last one × this."),
    GW_DURATION_FIELD(R, max_interval_ns, "max_interval", "30s", 0, 1e18, "Longest interval."),
    GW_DURATION_FIELD(R, max_elapsed_time_ns, "max_elapsed_time", "5m", 0, 1e18,
                      "Give up after this time in all; 0 = never."),
    GW_DURATION_FIELD(R, max_retry_after_ns, "max_retry_after", "1h", 0, 1e18,
                      "A sink's own wish (Retry-After, RetryInfo) counts up to this; 0 = whatever it says."),
    {0},
};
#undef R

#define C struct gw_breaker_settings
static const struct gw_field breaker_fields[] = {
    GW_BOOL_FIELD(C, enabled, "enabled", "true", "false: a sink that is away is asked with every batch."),
    GW_F64_FIELD(C, error_share, "error_share", "0.5", 0.01, 1, "Opens when this share of the window's calls failed…"),
    GW_U64_FIELD(C, min_calls, "min_calls", "20", 1, 1e9, "… and there were at least so many."),
    GW_DURATION_FIELD(C, window_ns, "window", "10s", 1e6, 1e18, "The time that counts."),
    GW_U64_FIELD(C, consecutive, "consecutive_failures", "5", 1, 1e9, "Opens after so many failures in a row."),
    GW_DURATION_FIELD(C, initial_ns, "initial_interval", "1s", 1e6, 1e18, "Pause before the first probe."),
    GW_DURATION_FIELD(C, max_ns, "max_interval", "60s", 1e6, 1e18,
                      "Each failed probe doubles the pause, up to this; ± 25 % at random."),
    {0},
};
#undef C

static const char *const partials[] = {"count", "dead_letter", NULL};

#define S struct gw_queue_settings
const struct gw_field gw_queue_fields[] = {
    GW_BLOCK_FIELD(S, queue, "sending_queue", queue_fields, "The queue before the exporter."),
    GW_BLOCK_FIELD(S, retry, "retry_on_failure", retry_fields, "What happens when the sink is away."),
    GW_BLOCK_FIELD(S, breaker, "circuit_breaker", breaker_fields, "When a sink that is away is asked again."),
    GW_DURATION_FIELD(S, timeout_ns, "timeout", "5s", 0, 1e18, "Of one attempt; 0 = none."),
    GW_ENUM_FIELD(S, partial_success, "partial_success", "count", partials,
                  "Of a batch in which the sink rejects rows without saying which: count them, or keep all of it as a "
                  "dead letter of class partial."),
    {0},
};
#undef S

static void adjust(void *conf, const void *exporter_ops)
{
    const struct gw_exporter_ops *ops = exporter_ops;
    struct gw_queue_settings *s = conf;

    s->queue.enabled = ops->queue_by_default;
    s->timeout_ns = ops->default_timeout_ns;
    if (ops->queue_defaults)
        ops->queue_defaults(s);
}

static bool batches_by_bytes(const struct gw_sending_queue_settings *q)
{
    return q->batch.sizer == GW_BATCH_BYTES || (q->batch.sizer == GW_BATCH_AS_QUEUE && q->sizer == GW_SIZER_BYTES);
}

struct gw_batching gw_queue_batching(const struct gw_queue_settings *s)
{
    const struct gw_batch_settings *b = &s->queue.batch;

    return (struct gw_batching){
        .enabled = s->queue.enabled && s->queue.has_batch,
        .by_bytes = batches_by_bytes(&s->queue),
        .flush_timeout_ns = b->flush_timeout_ns,
        .min_size = b->min_size,
        .max_size = b->max_size,
        .metadata_keys = b->partition.metadata_keys.items,
        .n_metadata_keys = (unsigned)b->partition.metadata_keys.n,
    };
}

/* The place of the first of the keys that was written, so that the mistake is shown where it can be mended. */
static const struct gw_place *place_of(const struct gw_node *block, const char *key)
{
    const struct gw_node *n = gw_node_get(block, key);

    return n ? &n->place : block ? &block->place : NULL;
}

static void check_batch(const struct gw_sending_queue_settings *q, const struct gw_node *node, struct gw_diag *diag)
{
    const struct gw_node *at = gw_node_get(node, "batch"), *keys = gw_node_path(at, "partition", "metadata_keys", NULL);
    const char *const *k = q->batch.partition.metadata_keys.items;
    const struct gw_batch_settings *b = &q->batch;

    if (b->max_size > 0 && b->max_size < b->min_size)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(at, "max_size"),
                    "`max_size` (%llu) must be greater or equal to `min_size` (%llu)", (unsigned long long)b->max_size,
                    (unsigned long long)b->min_size);
    if (q->sizer == (batches_by_bytes(q) ? GW_SIZER_BYTES : GW_SIZER_ITEMS) && b->min_size > q->queue_size)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(at, "min_size"),
                    "`min_size` must be less than or equal to `queue_size`");
    for (size_t i = 0; i < b->partition.metadata_keys.n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcasecmp(k[i], k[j]) == 0)
                gw_diag_add(diag, GW_DIAG_ERROR, keys ? &keys->place : NULL,
                            "duplicate entry in metadata_keys: \"%s\" (case-insensitive)", k[i]);
}

static void check_storage(const struct gw_sending_queue_settings *q, const struct gw_node *node, struct gw_diag *diag)
{
    static const char *const only[] = {"on_full", "max_lag_bytes", "max_memory_bytes", NULL};

    for (unsigned i = 0; only[i] && !*q->storage; i++)
        if (gw_node_get(node, only[i]))
            gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, only[i]),
                        "`%s` needs `storage`: it is about a queue on disk", only[i]);
    if (!*q->storage || !q->enabled)
        return;
    if (q->wait_for_result)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, "wait_for_result"),
                    "`wait_for_result` cannot be used with `storage`: what is on disk is safe before the sink answers; "
                    "take one of them out");
    if (q->on_full == GW_ON_FULL_DROP_OLDEST && q->max_lag_bytes == 0)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, "on_full"),
                    "`on_full: drop_oldest` needs `max_lag_bytes`: how much may wait before the oldest goes");
}

static void check_retry(const struct gw_retry_settings *r, const struct gw_node *node, struct gw_diag *diag)
{
    if (r->max_elapsed_time_ns == 0)
        return;
    if (r->max_elapsed_time_ns < r->initial_interval_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, "max_elapsed_time"),
                    "'max_elapsed_time' must not be less than 'initial_interval'");
    if (r->max_elapsed_time_ns < r->max_interval_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, "max_elapsed_time"),
                    "'max_elapsed_time' must not be less than 'max_interval'");
}

static void check_breaker(const struct gw_breaker_settings *b, const struct gw_node *node, struct gw_diag *diag)
{
    if (b->max_ns < b->initial_ns)
        gw_diag_add(diag, GW_DIAG_ERROR, place_of(node, "max_interval"),
                    "'max_interval' must not be less than 'initial_interval'");
}

static void finish(void *conf, const void *exporter_ops, void *exporter_conf, const struct gw_node *node,
                   struct gw_diag *diag)
{
    const struct gw_exporter_ops *ops = exporter_ops;
    struct gw_queue_settings *s = conf;

    if (ops->queue_adjust)
        ops->queue_adjust(exporter_conf, node, s);
    if (ops->queue_seen)
        ops->queue_seen(exporter_conf, s);
    check_storage(&s->queue, gw_node_get(node, "sending_queue"), diag);
    if (s->queue.enabled && s->queue.has_batch)
        check_batch(&s->queue, gw_node_get(node, "sending_queue"), diag);
    check_retry(&s->retry, gw_node_get(node, "retry_on_failure"), diag);
    check_breaker(&s->breaker, gw_node_get(node, "circuit_breaker"), diag);
}

static enum gw_queue_place place(const void *conf)
{
    const struct gw_sending_queue_settings *q = &((const struct gw_queue_settings *)conf)->queue;

    if (!q->enabled || q->wait_for_result)
        return GW_QUEUE_NONE;
    return *q->storage ? GW_QUEUE_DISK : GW_QUEUE_MEMORY;
}

const struct gw_extra_settings gw_queue_extra = {
    .fields = gw_queue_fields,
    .conf_size = sizeof(struct gw_queue_settings),
    .adjust = adjust,
    .finish = finish,
    .place = place,
};
