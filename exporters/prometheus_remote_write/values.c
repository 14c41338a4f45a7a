/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "core/json_writer.h"
#include "exporters/common/go_json.h"
#include "exporters/prometheus_remote_write/labels.h"

static void put_double(struct gw_buf *out, double v)
{
    char text[GW_DOUBLE_BYTES];

    gw_buf_put(out, text, gw_double_text(v, GW_DOUBLE_ES6, text));
}

static void put_special(struct gw_buf *out, double v)
{
    gw_buf_put_str(out, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
}

/* As JSON; nothing where JSON has no word for it. */
static void put_nested(struct gw_buf *out, enum gw_value_type type, struct gw_slice message)
{
    const struct gw_value v = {.type = type, .s = message};
    struct gw_go_json g = {0};
    size_t base = out->n;

    if (!gw_go_json_put(&g, &v, out))
        out->n = base;
    out->failed |= g.no_memory;
    gw_go_json_clear(&g);
}

void gw_rw_put_value(struct gw_buf *out, const struct gw_batch *b, const struct gw_attr *a)
{
    struct gw_slice s = {0};

    if (a->type >= GW_V_STRING && a->type != GW_V_BOOL && a->type != GW_V_INT && a->type != GW_V_DOUBLE)
        s = gw_batch_slice(b, a->val.ref);
    switch ((enum gw_value_type)a->type) {
    case GW_V_EMPTY:
        return;
    case GW_V_STRING:
        gw_buf_put_slice(out, s);
        return;
    case GW_V_BOOL:
        gw_buf_put_str(out, a->val.u64 ? "true" : "false");
        return;
    case GW_V_INT:
        gw_json_put_i64(out, a->val.i64);
        return;
    case GW_V_DOUBLE:
        if (isfinite(a->val.f64))
            put_double(out, a->val.f64);
        else
            put_special(out, a->val.f64);
        return;
    case GW_V_BYTES:
        gw_put_base64(out, s);
        return;
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        put_nested(out, (enum gw_value_type)a->type, s);
        return;
    }
}

void gw_rw_put_plain_double(struct gw_buf *out, double v)
{
    char text[GW_DOUBLE_BYTES], digits[GW_DOUBLE_BYTES];
    size_t n, n_digits = 0, at = 0;
    int exponent;

    if (!isfinite(v)) {
        gw_buf_put_str(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
        return;
    }
    n = gw_double_text(v, GW_DOUBLE_ES6, text);
    while (at < n && text[at] != 'e')
        at++;
    if (at == n) {
        gw_buf_put(out, text, n);
        return;
    }
    for (size_t i = 0; i < at; i++)
        if (text[i] >= '0' && text[i] <= '9')
            digits[n_digits++] = text[i];
    text[n < sizeof(text) ? n : n - 1] = 0;
    exponent = atoi(text + at + 1); /* d.ddd × 10^exponent */
    if (text[0] == '-')
        gw_buf_put_u8(out, '-');
    if (exponent < 0) {
        gw_buf_put_str(out, "0.");
        for (int i = -1; i > exponent; i--)
            gw_buf_put_u8(out, '0');
        gw_buf_put(out, digits, n_digits);
        return;
    }
    gw_buf_put(out, digits, n_digits); /* from 1e21 on: more places than digits */
    for (size_t i = n_digits; i < (size_t)exponent + 1; i++)
        gw_buf_put_u8(out, '0');
}
