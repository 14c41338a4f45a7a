/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/replay_policy.h"

#include <errno.h>
#include <stdlib.h>

#include "batch/view.h"
#include "core/hash.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "ottl/ottl.h"

enum { FIRST_SLOTS = 1024, ARENA_BYTES = 64 << 20, KEEP_BYTES = 1 << 20 };

/* Ids of traces, open addressing: zeros are no id, and an empty slot. */
struct id_set {
    uint8_t (*slots)[16];
    uint64_t n, n_slots; /* a power of two, at most half of them used */
};

struct gw_replay_policy {
    struct gw_ottl *condition;
    struct gw_arena arena;
    struct gw_batch *batch;
    struct id_set wanted;
    uint64_t max_traces;
    struct gw_replay_policy_counts counts;
};

static const uint8_t zeros[16];

/* ---- wanted traces ---------------------------------------------------------------------------------------- */

/* Its slot, or the one where it belongs. */
static uint8_t *slot_of(const struct id_set *s, const uint8_t id[16])
{
    uint64_t i = gw_hash_table(gw_slice_of(id, 16)) & (s->n_slots - 1);

    while (memcmp(s->slots[i], zeros, 16) != 0 && memcmp(s->slots[i], id, 16) != 0)
        i = (i + 1) & (s->n_slots - 1);
    return s->slots[i];
}

static bool has(const struct id_set *s, const uint8_t id[16])
{
    return s->n && memcmp(id, zeros, 16) != 0 && memcmp(slot_of(s, id), id, 16) == 0;
}

static int grow(struct id_set *s)
{
    struct id_set more = {.n = s->n, .n_slots = s->n_slots ? 2 * s->n_slots : FIRST_SLOTS};

    more.slots = calloc(more.n_slots, sizeof(*more.slots));
    if (!more.slots)
        return -ENOMEM;
    for (uint64_t i = 0; i < s->n_slots; i++)
        if (memcmp(s->slots[i], zeros, 16) != 0)
            memcpy(slot_of(&more, s->slots[i]), s->slots[i], 16);
    free(s->slots);
    *s = more;
    return 0;
}

static int want(struct gw_replay_policy *p, const uint8_t id[16])
{
    struct id_set *s = &p->wanted;

    if (memcmp(id, zeros, 16) == 0 || has(s, id))
        return 0;
    if (s->n == p->max_traces)
        return -E2BIG;
    if (2 * (s->n + 1) > s->n_slots && grow(s) < 0)
        return -ENOMEM;
    memcpy(slot_of(s, id), id, 16);
    s->n++;
    p->counts.traces = s->n;
    return 0;
}

/* ---- frames ----------------------------------------------------------------------------------------------- */

/* The frame as a view. False: it does not decode (counted), or there is no memory. */
static int open_view(struct gw_replay_policy *p, struct gw_slice body, struct gw_view *ret)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};
    struct gw_ref at;
    int rc;

    gw_arena_reset(&p->arena, KEEP_BYTES);
    gw_batch_reset(p->batch, GW_TRACES);
    rc = gw_batch_append(p->batch, body, &at);
    if (rc == 0)
        rc = gw_decode(p->batch, gw_batch_slice(p->batch, at), &limits, NULL, NULL);
    if (rc == 0)
        gw_view_init(ret, p->batch, &p->arena);
    return rc == -ENOMEM || rc == 0 ? rc : -EBADMSG;
}

static int look(struct gw_replay_policy *p, const struct gw_view *v)
{
    int rc = 0;

    for (uint32_t row = 0; row < v->batch->n_rows && rc == 0; row++) {
        struct gw_err err = {""};
        bool is_true = false;

        if (gw_ottl_test(p->condition, v, row, row, &is_true, &err) < 0)
            p->counts.failed++;
        p->counts.spans++;
        p->counts.matches += is_true;
        if (is_true)
            rc = want(p, v->batch->trace_id[row]);
    }
    return rc;
}

int gw_replay_policy_look(struct gw_replay_policy *p, struct gw_slice body)
{
    struct gw_view v;
    int rc = open_view(p, body, &v);

    if (rc == -EBADMSG) {
        p->counts.undecoded++;
        return 0;
    }
    if (rc < 0)
        return rc;
    rc = look(p, &v);
    gw_view_clear(&v);
    return rc;
}

int gw_replay_policy_pick(struct gw_replay_policy *p, struct gw_slice body, struct gw_buf *out, uint32_t *ret_rows)
{
    size_t before = out->n;
    struct gw_view v;
    int rc = open_view(p, body, &v);

    *ret_rows = 0;
    if (rc < 0)
        return rc == -EBADMSG ? 0 : rc;
    for (uint32_t row = 0; row < p->batch->n_rows && rc == 0; row++)
        if (!has(&p->wanted, p->batch->trace_id[row]))
            rc = gw_view_remove(&v, row);
    *ret_rows = v.n_rows;
    if (rc == 0 && v.n_rows)
        rc = gw_encode(&v, out);
    if (out->failed) {
        out->failed = false;
        rc = -ENOMEM;
    }
    if (rc < 0)
        out->n = before;
    gw_view_clear(&v);
    return rc;
}

struct gw_replay_policy_counts gw_replay_policy_counts(const struct gw_replay_policy *p)
{
    return p->counts;
}

/* ---- the whole -------------------------------------------------------------------------------------------- */

int gw_replay_policy_new(struct gw_env *env, const char *condition, uint64_t max_traces, struct gw_replay_policy **ret,
                         struct gw_err *err)
{
    struct gw_replay_policy *p = calloc(1, sizeof(*p));
    struct gw_ottl_fault fault = {.text = "out of memory"};
    int rc;

    if (!p)
        return gw_fail(err, -ENOMEM, "out of memory");
    p->max_traces = max_traces;
    gw_arena_init(&p->arena, 65536, ARENA_BYTES);
    p->batch = gw_batch_new(GW_TRACES);
    rc = p->batch ? gw_ottl_condition_new(gw_slice_cstr(condition), GW_OTTL_SPAN, env, &p->condition, &fault) : -ENOMEM;
    if (rc < 0) {
        gw_replay_policy_free(p);
        return rc == -EINVAL
                   ? gw_fail(err, rc, "the policy, line %u, column %u: %s", fault.line, fault.column, fault.text)
                   : gw_fail(err, rc, "out of memory");
    }
    *ret = p;
    return 0;
}

void gw_replay_policy_free(struct gw_replay_policy *p)
{
    if (!p)
        return;
    gw_ottl_free(p->condition);
    if (p->batch)
        (void)gw_batch_unref(p->batch);
    gw_arena_clear(&p->arena);
    free(p->wanted.slots);
    free(p);
}
