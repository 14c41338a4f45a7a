/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/account.h"

void gw_account_open(struct gw_account *a, const struct gw_log_consumer *c, uint64_t end_row)
{
    a->consumer = c->id;
    a->first_row = c->first_row;
    a->end_row = end_row > c->first_row ? end_row : c->first_row;
    a->left = 0;
    a->before.n[GW_E_IN] += a->end_row - c->first_row;
    a->before.n[GW_E_OUT] += c->settled[GW_LOG_DELIVERED];
    a->before.n[GW_E_REJECTED] += c->settled[GW_LOG_REJECTED];
    a->before.n[GW_E_DEAD_LETTERED] += c->settled[GW_LOG_DEAD_LETTERED];
    a->before.n[GW_E_DROPPED] += c->settled[GW_LOG_DROPPED] + c->lost_rows;
}

void gw_account_add(struct gw_account *a, uint64_t cut, enum gw_entry e, uint64_t rows)
{
    if (cut > a->cut) {
        for (unsigned i = 0; i < GW_N_ENTRIES; i++)
            a->before.n[i] += a->since.n[i];
        a->since = (struct gw_page){0};
        a->cut = cut;
    }
    (cut == a->cut ? &a->since : &a->before)->n[e] += rows;
}

void gw_account_reach(struct gw_account *a, uint64_t row)
{
    if (row <= a->end_row)
        return;
    a->before.n[GW_E_IN] += row - a->end_row;
    a->end_row = row;
}

void gw_account_commit(struct gw_account *a, uint64_t cut, const struct gw_log_frame *f)
{
    gw_account_reach(a, f->row);
    a->end_row = f->row + f->rows;
    gw_account_add(a, cut, GW_E_HELD, f->rows);
}

/* Without what came behind the picture; returns the rows of the log that did. */
static uint64_t copy(const struct gw_account *a, struct gw_cut *cut, uint64_t **ret)
{
    bool newer = a->cut >= cut->number;
    uint64_t *to;

    *ret = NULL;
    if (a->book && a->book->index < cut->n_books)
        *ret = to = gw_cut_cell(cut, a->book, GW_PAGE_EDGE, GW_E_IN);
    else
        return 0;
    for (unsigned e = 0; e < GW_E_HELD; e++)
        to[e] += a->before.n[e] + (newer ? 0 : a->since.n[e]);
    return newer ? a->since.n[GW_E_HELD] : 0;
}

void gw_account_copy(const struct gw_account *a, struct gw_cut *cut, uint64_t pending, uint64_t taken)
{
    uint64_t *to, later = copy(a, cut, &to);

    if (to)
        to[GW_E_HELD] += pending + a->end_row - later - taken;
}

void gw_account_copy_orphan(const struct gw_account *a, struct gw_cut *cut, uint64_t pending)
{
    uint64_t *to;

    (void)copy(a, cut, &to);
    if (to)
        to[GW_E_HELD] += pending + a->left;
}
