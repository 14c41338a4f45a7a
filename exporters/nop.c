/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nop: take everything and forget it. For tests and for measuring what stands before it.
 *
 *     exporters:
 *       nop:
 *
 * Its rows count as delivered: the queue settles them when swallow has returned.
 */
#include "pipeline/component.h"
#include "pipeline/exporter.h"

struct conf {
    char none;
};

static const struct gw_field fields[] = {{0}};

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    (void)ctx;
    (void)conf;
    (void)err;
    *ret_self = NULL;
    return 0;
}

static void swallow(void *self, struct gw_view *v)
{
    (void)self;
    (void)v;
}

static void destroy(void *self)
{
    (void)self;
}

static const struct gw_exporter_ops ops = {.swallow = swallow};

const struct gw_component gw_exporter_nop = {
    .kind = GW_EXPORTER,
    .name = "nop",
    .summary = "Take everything and forget it.",
    .signals = GW_ALL_SIGNALS,
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .create = create,
    .destroy = destroy,
    .exporter = &ops,
};
