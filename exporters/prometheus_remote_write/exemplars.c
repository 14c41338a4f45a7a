/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/translator.h"

static uint64_t bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    return bits;
}

double gw_rw_exemplar_value(const struct gw_exemplar *e)
{
    return e->value_type == GW_N_INT ? (double)e->value.i64 : e->value_type == GW_N_DOUBLE ? e->value.f64 : 0;
}

/** Of one without a value nothing is said but its labels, as the Collector has it. */
static int64_t time_of(const struct gw_exemplar *e)
{
    int64_t ns = (int64_t)e->time_ns, ms = ns / 1000000;

    if (e->value_type != GW_N_INT && e->value_type != GW_N_DOUBLE)
        return 0;
    return ns % 1000000 < 0 ? ms - 1 : ms;
}

static void put_labels_2(struct gw_rw_translator *t, struct gw_buf *out)
{
    const struct gw_rw_labels *l = &t->labels;
    size_t n = 0;

    if (l->n == 0)
        return;
    for (uint32_t i = 0; i < l->n; i++)
        n += gw_varint_size(gw_rw_lend(&t->writer, l->v[i].name)) +
             gw_varint_size(gw_rw_lend(&t->writer, l->v[i].value));
    gw_rw_put_len(out, 1, n);
    for (uint32_t i = 0; i < l->n; i++) {
        uint8_t b[2 * GW_VARINT_MAX];
        uint8_t *p = gw_varint_put(b, gw_rw_lend(&t->writer, l->v[i].name));

        p = gw_varint_put(p, gw_rw_lend(&t->writer, l->v[i].value));
        gw_buf_put(out, b, (size_t)(p - b));
    }
}

void gw_rw_put_exemplar(struct gw_rw_translator *t, const struct gw_exemplar *e)
{
    struct gw_rw_writer *w = &t->writer;
    struct gw_buf *out = &w->scratch;
    bool v2 = w->version == GW_RW_2;

    gw_buf_reset(out);
    if (gw_rw_labels_of_exemplar(&t->labels, t->b, e, v2) < 0)
        w->failed = true;
    if (v2)
        put_labels_2(t, out);
    for (uint32_t i = 0; !v2 && i < t->labels.n; i++)
        gw_rw_put_label(out, t->labels.v[i].name, t->labels.v[i].value);
    gw_rw_put_fixed64(out, 2, bits_of(gw_rw_exemplar_value(e)));
    gw_rw_put_varint(out, 3, (uint64_t)time_of(e));
    gw_rw_put_bytes(&w->tail, v2 ? 4 : 3, gw_buf_slice(out));
    w->failed |= out->failed;
    w->n_exemplars++;
}
