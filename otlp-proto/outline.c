/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp-proto/outline.h"

#include <assert.h>
#include <errno.h>

#include "otlp-proto/decode.h"

/* Requests were decoded before, and stand there in the form in which they were: none is rewritten. */
static int decode_all(const struct gw_batch *b, struct gw_batch *to)
{
    static const struct gw_limits limits = {
        .depth = GW_DEPTH_MAX, .rows = UINT32_MAX, .decode_bytes_per_byte = UINT32_MAX};

    if (b->payload)
        gw_batch_set_payload(to, gw_payload_ref(b->payload));
    for (uint32_t i = 0; i < b->n_segments; i++) {
        int rc = gw_decode(to, gw_batch_slice(b, b->segments[i].wire), &limits, b->segments[i].ticket, NULL);

        if (rc < 0)
            return rc;
        to->segments[i].wire = b->segments[i].wire; /* of an empty one, too */
    }
    assert(to->n_rows == b->n_rows && to->n_scopes == b->n_scopes && to->n_resources == b->n_resources);
    to->meta = gw_meta_ref(b->meta);
    to->received_ns = b->received_ns;
    to->receiver = b->receiver;
    return 0;
}

static struct gw_range attrs_of(const struct gw_batch *b, enum gw_owner o, uint32_t index)
{
    return o == GW_OWN_RESOURCE ? b->resources[index].attrs : b->scopes[index].attrs;
}

/* Patches name attributes by their index; a row of an outline has none with one. */
static void move_patches(struct gw_view *v, const struct gw_batch *to, enum gw_owner o, uint32_t n)
{
    for (uint32_t index = 0; v->heads[o] && index < n; index++)
        for (uint32_t i = v->heads[o][index]; i; i = v->patches[i - 1].next) {
            struct gw_patch *p = &v->patches[i - 1];

            if ((p->op == GW_P_ATTR_SET || p->op == GW_P_ATTR_DELETE) && p->attr != UINT32_MAX)
                p->attr += attrs_of(to, o, index).begin - attrs_of(v->batch, o, index).begin;
        }
}

int gw_view_make_whole(struct gw_view *v, struct gw_batch_pool *pool)
{
    struct gw_batch *b = v->batch, *to;
    int rc;

    if (!b->is_outline)
        return 0;
    to = pool ? gw_batch_pool_get(pool, b->signal) : gw_batch_new(b->signal);
    rc = to ? decode_all(b, to) : -ENOMEM;
    if (rc < 0) {
        if (to)
            (void)gw_batch_unref(to);
        return -ENOMEM;
    }
    move_patches(v, to, GW_OWN_RESOURCE, b->n_resources);
    move_patches(v, to, GW_OWN_SCOPE, b->n_scopes);
    v->batch = to;
    (void)gw_batch_unref(b);
    return 0;
}
