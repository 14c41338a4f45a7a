/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of the books, for people, for programs and for Prometheus. */
#include "core/json_writer.h"
#include "runtime/ledger.h"

static bool is_idle(const struct gw_ledger_row *r)
{
    uint64_t any = 0;

    for (unsigned e = 0; e < GW_N_ENTRIES; e++)
        any |= r->n[e];
    return any == 0 && r->mismatch == 0;
}

static uint64_t put_kind(const struct gw_picture *p, enum gw_book_kind kind, struct gw_buf *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct gw_ledger_row *r = &p->rows[i];

        if (r->kind != kind || is_idle(r))
            continue;
        if (n++ == 0) {
            gw_buf_printf(out, "\n%-10s %-24s %-24s %-8s", gw_book_kind_name(kind), "pipeline", "component", "signal");
            for (unsigned e = 0; e < GW_N_ENTRIES; e++)
                gw_buf_printf(out, " %13s", gw_entry_name((enum gw_entry)e));
            gw_buf_printf(out, " %13s\n", "mismatch");
        }
        gw_buf_printf(out, "%-10s %-24s %-24s %-8s", "", *r->pipeline ? r->pipeline : "-",
                      *r->component ? r->component : "-", gw_signal_name(r->signal));
        for (unsigned e = 0; e < GW_N_ENTRIES; e++)
            gw_buf_printf(out, " %13llu", (unsigned long long)r->n[e]);
        gw_buf_printf(out, " %13lld\n", (long long)r->mismatch);
    }
    return n;
}

void gw_picture_table(const struct gw_picture *p, struct gw_buf *out)
{
    uint64_t n = 0;

    if (p->mismatch == 0)
        gw_buf_put_str(out, "balanced: every row that came in is accounted for\n");
    else
        gw_buf_printf(out,
                      "MISMATCH: %llu rows; %llu of them are held by nobody's book. This is a bug: please report "
                      "it with this table\n",
                      (unsigned long long)p->mismatch, (unsigned long long)p->nameless);
    gw_buf_put_str(out,
                   "in + created = out + dead_lettered + dropped + rejected + absorbed + refused + failed + held\n");
    for (enum gw_book_kind k = GW_BOOK_RECEIVER; k <= GW_BOOK_EXPORTER; k++)
        n += put_kind(p, k, out);
    if (n == 0)
        gw_buf_put_str(out, "\nnothing has come in yet\n");
}

static void put_member(struct gw_buf *out, const char *key, const char *value)
{
    gw_buf_printf(out, "\"%s\": ", key);
    gw_json_put_string(out, gw_slice_cstr(value));
    gw_buf_put_str(out, ", ");
}

void gw_picture_json(const struct gw_picture *p, struct gw_buf *out)
{
    gw_buf_printf(out, "{\"balanced\": %s, \"mismatch\": %llu, \"nameless\": %llu, \"books\": [",
                  p->mismatch ? "false" : "true", (unsigned long long)p->mismatch, (unsigned long long)p->nameless);
    for (size_t i = 0; i < p->n; i++) {
        const struct gw_ledger_row *r = &p->rows[i];

        gw_buf_put_str(out, i ? ",\n  {" : "\n  {");
        put_member(out, "book", gw_book_kind_name(r->kind));
        put_member(out, "pipeline", r->pipeline);
        put_member(out, "component", r->component);
        put_member(out, "signal", gw_signal_name(r->signal));
        for (unsigned e = 0; e < GW_N_ENTRIES; e++)
            gw_buf_printf(out, "\"%s\": %llu, ", gw_entry_name((enum gw_entry)e), (unsigned long long)r->n[e]);
        gw_buf_printf(out, "\"mismatch\": %lld}", (long long)r->mismatch);
    }
    gw_buf_put_str(out, "\n]}\n");
}

static void set(struct gw_meter *m, const struct gw_ledger_row *r, enum gw_entry e)
{
    const struct gw_label l[] = {{"book", gw_book_kind_name(r->kind)},
                                 {"component", r->component},
                                 {"entry", gw_entry_name(e)},
                                 {"pipeline", r->pipeline},
                                 {"signal", gw_signal_name(r->signal)}};

    gw_metric_set(gw_meter_get(m, GW_GAUGE, "staunch_ledger_items",
                               "Items by book and what became of them, all at one moment: in + created = the others.",
                               l, 5),
                  r->n[e]);
}

void gw_picture_metrics(const struct gw_picture *p, struct gw_meter *m)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct gw_ledger_row *r = &p->rows[i];

        for (unsigned e = 0; e < GW_N_ENTRIES; e++) /* what never happened has no series; what did keeps one */
            if (r->n[e] || e == GW_E_IN || e == GW_E_OUT || e == GW_E_HELD)
                set(m, r, (enum gw_entry)e);
    }
    gw_metric_set(gw_meter_get(m, GW_GAUGE, "staunch_ledger_mismatch",
                               "Items that the ledger cannot account for: anything but 0 is a bug of the gateway.",
                               NULL, 0),
                  p->mismatch);
}
