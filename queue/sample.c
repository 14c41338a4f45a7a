/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row of what an exporter drops, for looking at: of each reason the first ones as they come, then one a second, so
 * that a sink which takes nothing does not make this the exporter's work.
 */
#include "otlp-proto/encode.h"
#include "queue/edge_impl.h"

enum { MAX_SEARCHED_BYTES = 16 << 20 };
#define EVERY_NS 1000000000u

/* A reason without a place of its own shares the last one. */
static struct gw_sampled *place_of(struct gw_lane *l, const char *reason)
{
    uint32_t hash = 2166136261u;
    unsigned i = 0;

    for (const char *p = reason; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    hash |= !hash;
    while (i < GW_SAMPLED_REASONS - 1 && l->sampled[i].hash && l->sampled[i].hash != hash)
        i++;
    if (!l->sampled[i].hash)
        l->sampled[i].hash = hash;
    return &l->sampled[i];
}

static bool is_due(struct gw_lane *l, const char *reason)
{
    struct gw_sampled *s = place_of(l, reason);
    uint64_t now = gw_mono_ns(l->edge->conf.env);

    if (s->n >= GW_SAMPLED_FIRST && now < s->last_ns + EVERY_NS)
        return false;
    s->n += s->n < GW_SAMPLED_FIRST;
    s->last_ns = now;
    return true;
}

static int keep_first(void *arg, struct gw_slice piece, uint32_t rows)
{
    struct gw_edge_sample *s = arg;

    (void)rows;
    s->body = piece;
    s->keep(s->arg, s);
    return -ECANCELED; /* the others are not asked for */
}

void gw_edge_sample(struct gw_lane *l, const struct gw_book *book, const char *reason, struct gw_slice body,
                    enum gw_body_kind kind)
{
    const struct gw_edge_conf *conf = &l->edge->conf;
    struct gw_edge_sample s = {.component = conf->id,
                               .pipeline = book ? book->pipeline : "",
                               .reason = reason ? reason : "unknown",
                               .signal = kind == GW_BODY_LETTER ? GW_LOGS : l->signal,
                               .body = body,
                               .keep = conf->sample,
                               .arg = conf->arg};
    bool encoded = kind == GW_BODY_TEXT || (kind == GW_BODY_SENT && l->edge->ops->encode);

    if (!conf->sample || !is_due(l, s.reason))
        return;
    if (encoded || body.n > MAX_SEARCHED_BYTES || gw_split(s.signal, body, 1, 0, keep_first, &s) != -ECANCELED)
        conf->sample(conf->arg, &s);
}
