/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "processors/rollup/rollup.h"

enum { FIRST_CAP = 64 };

static struct gw_ru_series *series_at(const struct gw_ru_shard *s, uint32_t id)
{
    return gw_slabs_at(&s->series, id);
}

static bool reserve(struct gw_ru_shard *s, struct gw_ru_list *l)
{
    uint32_t cap = l->cap ? 2 * l->cap : FIRST_CAP, *more;

    if (!l->is_used || s->n < l->cap)
        return true;
    if (!gw_budget_take(&s->budget, (cap - l->cap) * sizeof(*more)))
        return false;
    more = realloc(l->ids, cap * sizeof(*more));
    if (!more) {
        gw_budget_give(&s->budget, (cap - l->cap) * sizeof(*more));
        return false;
    }
    l->ids = more;
    l->cap = cap;
    return true;
}

bool gw_ru_lists_reserve(struct gw_ru_shard *s)
{
    for (unsigned i = 0; i < GW_RU_N_LISTS; i++)
        if (!reserve(s, &s->lists[i]))
            return false;
    return true;
}

void gw_ru_lists_clear(struct gw_ru_shard *s)
{
    for (unsigned i = 0; i < GW_RU_N_LISTS; i++) {
        struct gw_ru_list *l = &s->lists[i];

        gw_budget_give(&s->budget, l->cap * sizeof(*l->ids));
        free(l->ids);
        *l = (struct gw_ru_list){.is_used = l->is_used};
    }
}

void gw_ru_list_add(struct gw_ru_shard *s, unsigned list, uint32_t series)
{
    struct gw_ru_series *x = series_at(s, series);
    struct gw_ru_list *l = &s->lists[list];

    if (!l->is_used || x->listed_at[list])
        return;
    l->ids[l->n++] = series;
    x->listed_at[list] = l->n;
}

/* The last one takes its place. */
void gw_ru_list_remove(struct gw_ru_shard *s, unsigned list, uint32_t series)
{
    struct gw_ru_series *x = series_at(s, series);
    struct gw_ru_list *l = &s->lists[list];
    uint32_t at = x->listed_at[list], last;

    if (!at)
        return;
    last = l->ids[--l->n];
    l->ids[at - 1] = last;
    series_at(s, last)->listed_at[list] = at;
    x->listed_at[list] = 0;
}

void gw_ru_lists_add(struct gw_ru_shard *s, uint32_t series)
{
    for (unsigned i = 0; i < GW_RU_N_LISTS; i++)
        gw_ru_list_add(s, i, series);
}
