/* SPDX-License-Identifier: Apache-2.0 */
#include "log/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void gw_lf_rows_clear(struct gw_lf_rows *s)
{
    free(s->ranges);
    *s = (struct gw_lf_rows){0};
}

int gw_lf_rows_reserve(struct gw_lf_rows *s, size_t more, size_t max)
{
    size_t cap = s->cap ? s->cap : 4;
    struct gw_lf_range *ranges;

    if (s->n + more <= s->cap)
        return 0;
    if (more > max || s->n > max - more)
        return -E2BIG;
    while (cap < s->n + more)
        cap *= 2;
    ranges = realloc(s->ranges, cap * sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    s->ranges = ranges;
    s->cap = cap;
    return 0;
}

/* The first range that ends at or behind row. */
static size_t find(const struct gw_lf_rows *s, uint64_t row)
{
    size_t lo = 0, hi = s->n;

    if (hi > 0 && s->ranges[hi - 1].to.row < row) /* what comes in order goes to the end */
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->ranges[mid].to.row < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void replace(struct gw_lf_rows *s, size_t i, size_t j, const struct gw_lf_range *with)
{
    size_t put = with != NULL;

    if (i == j && !with)
        return;
    memmove(s->ranges + i + put, s->ranges + j, (s->n - j) * sizeof(*s->ranges));
    s->n = s->n - (j - i) + put;
    if (with)
        s->ranges[i] = *with;
}

uint64_t gw_lf_rows_add(struct gw_lf_rows *s, uint64_t from, struct gw_lf_place to)
{
    struct gw_lf_range merged;
    uint64_t done = 0, fresh;
    size_t i, j;

    if (from < s->base.row)
        from = s->base.row;
    if (from >= to.row)
        return 0;
    merged = (struct gw_lf_range){from, to};
    i = find(s, from);
    for (j = i; j < s->n && s->ranges[j].from <= to.row; j++) {
        const struct gw_lf_range *r = &s->ranges[j];
        uint64_t a = r->from > from ? r->from : from, b = r->to.row < to.row ? r->to.row : to.row;

        done += b > a ? b - a : 0;
        s->above -= r->to.row - r->from;
        if (r->from < merged.from)
            merged.from = r->from;
        if (r->to.row > merged.to.row)
            merged.to = r->to;
    }
    fresh = to.row - from - done;
    if (merged.from <= s->base.row) {
        s->base = merged.to;
        replace(s, i, j, NULL);
        return fresh;
    }
    s->above += merged.to.row - merged.from;
    replace(s, i, j, &merged);
    return fresh;
}

bool gw_lf_rows_open(const struct gw_lf_rows *s, uint64_t row, uint64_t end, uint64_t *ret_from, uint64_t *ret_to)
{
    size_t i;

    if (row < s->base.row)
        row = s->base.row;
    i = find(s, row);
    if (i < s->n && s->ranges[i].to.row == row) /* ends where we begin */
        i++;
    if (i < s->n && s->ranges[i].from <= row) {
        row = s->ranges[i].to.row;
        i++;
    }
    if (row >= end)
        return false;
    *ret_from = row;
    *ret_to = i < s->n && s->ranges[i].from < end ? s->ranges[i].from : end;
    return true;
}
