/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/write.h"

#include <stdlib.h>

void gw_rw_writer_init(struct gw_rw_writer *w, struct gw_rw_symbols *symbols, size_t max_bytes)
{
    *w = (struct gw_rw_writer){.symbols = symbols};
    gw_buf_init(&w->body, max_bytes);
    gw_buf_init(&w->head, 2 * max_bytes);
    gw_buf_init(&w->tail, max_bytes);
    gw_buf_init(&w->scratch, max_bytes);
    gw_buf_init(&w->spans, max_bytes);
    gw_buf_init(&w->deltas, max_bytes);
    gw_buf_init(&w->bounds, max_bytes);
}

static void give_back(struct gw_rw_writer *w)
{
    while (w->n_lent)
        gw_rw_symbol_unref(w->symbols, w->lent[--w->n_lent]);
}

void gw_rw_writer_clear(struct gw_rw_writer *w)
{
    give_back(w);
    free(w->lent);
    gw_buf_clear(&w->body);
    gw_buf_clear(&w->head);
    gw_buf_clear(&w->tail);
    gw_buf_clear(&w->scratch);
    gw_buf_clear(&w->spans);
    gw_buf_clear(&w->deltas);
    gw_buf_clear(&w->bounds);
}

void gw_rw_writer_begin(struct gw_rw_writer *w, enum gw_rw_version version)
{
    gw_buf_reset(&w->body);
    gw_buf_reset(&w->head);
    gw_buf_reset(&w->tail);
    gw_buf_reset(&w->scratch);
    give_back(w);
    w->version = version;
    w->failed = false;
    w->n_series = w->n_samples = w->n_histograms = w->n_exemplars = w->n_symbols = 0;
    if (version == GW_RW_1)
        return;
    if (++w->serial == 0) { /* all numbers were used once: stamps of long ago must not match */
        for (uint32_t i = 0; i < w->symbols->n; i++)
            w->symbols->stamps[i].serial = 0;
        w->serial = 1;
    }
    (void)gw_rw_local(w, 0);
}

struct gw_slice gw_rw_writer_body(struct gw_rw_writer *w)
{
    if (w->version == GW_RW_1)
        return gw_buf_slice(&w->body);
    gw_buf_put_slice(&w->head, gw_buf_slice(&w->body));
    w->failed |= w->head.failed;
    return gw_buf_slice(&w->head);
}

bool gw_rw_writer_is_full(const struct gw_rw_writer *w)
{
    const struct gw_buf *const bufs[] = {&w->body, &w->head, &w->tail, &w->scratch, &w->spans, &w->deltas, &w->bounds};

    for (size_t i = 0; i < sizeof(bufs) / sizeof(*bufs); i++)
        if (bufs[i]->failed && bufs[i]->cap >= bufs[i]->max_bytes / 4)
            return true;
    return false;
}

void gw_rw_put_series(struct gw_rw_writer *w, const struct gw_rw_series *s)
{
    if (w->version == GW_RW_1)
        gw_rw_put_series_1(w, s);
    else
        gw_rw_put_series_2(w, s);
    w->failed |= w->body.failed | w->head.failed | w->tail.failed | w->scratch.failed;
    gw_buf_reset(&w->tail);
    w->n_series++;
    w->n_samples += s->n_samples;
}

uint32_t gw_rw_lend(struct gw_rw_writer *w, struct gw_slice text)
{
    uint32_t id;

    if (w->n_lent == w->cap_lent) {
        uint32_t cap = w->cap_lent ? w->cap_lent * 2 : 64;
        uint32_t *p = realloc(w->lent, cap * sizeof(*p));

        if (!p) {
            w->failed = true;
            return 0;
        }
        w->lent = p;
        w->cap_lent = cap;
    }
    if (gw_rw_symbol_get(w->symbols, text, &id) < 0) {
        w->failed = true;
        return 0;
    }
    w->lent[w->n_lent++] = id;
    return gw_rw_local(w, id);
}
