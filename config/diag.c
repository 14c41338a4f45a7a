/* SPDX-License-Identifier: Apache-2.0 */
#include "config/node.h"
#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A file of one mistake a line must not fill the memory or the screen: what follows is only counted. */
enum { MAX_ITEMS = 500, MAX_TEXT = 1024, ARENA_CHUNK = 4096, ARENA_MAX = 4 << 20 };

void gw_diag_init(struct gw_diag *d)
{
    *d = (struct gw_diag){0};
    gw_arena_init(&d->arena, ARENA_CHUNK, ARENA_MAX);
}

void gw_diag_clear(struct gw_diag *d)
{
    gw_arena_clear(&d->arena);
    gw_diag_init(d);
}

static const char *copy(struct gw_diag *d, const char *s)
{
    struct gw_slice c = gw_arena_dup(&d->arena, gw_slice_of(s, strlen(s) + 1));

    return (const char *)c.p;
}

static bool is_repeated(const struct gw_diag *d, const struct gw_diag_item *n)
{
    for (const struct gw_diag_item *i = d->first; i; i = i->next)
        if (i->severity == n->severity && i->place.line == n->place.line && i->place.column == n->place.column &&
            strcmp(i->text, n->text) == 0)
            return true;
    return false;
}

/* Whatever stands in a text may come from a file or a peer: nothing of it may steer a terminal. */
static void defuse(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = ' ';
}

void gw_diag_add(struct gw_diag *d, enum gw_severity s, const struct gw_place *place, const char *fmt, ...)
{
    char text[MAX_TEXT];
    struct gw_diag_item n = {.severity = s, .text = text}, *item;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    defuse(text);
    if (place)
        n.place = *place;
    if (is_repeated(d, &n))
        return;
    d->n_errors += s == GW_DIAG_ERROR;
    d->n_warnings += s == GW_DIAG_WARNING;
    if (d->n_errors + d->n_warnings > MAX_ITEMS)
        return;
    item = gw_arena_alloc(&d->arena, sizeof(*item));
    if (!item)
        return;
    *item = n;
    item->text = copy(d, text);
    if (item->place.source)
        item->place.source = copy(d, item->place.source);
    if (!item->text)
        return;
    *(d->last ? &d->last->next : &d->first) = item;
    d->last = item;
}

static int compare(const void *pa, const void *pb)
{
    const struct gw_diag_item *a = *(const struct gw_diag_item *const *)pa;
    const struct gw_diag_item *b = *(const struct gw_diag_item *const *)pb;
    int c;

    if (!a->place.source != !b->place.source)
        return a->place.source ? -1 : 1;
    if (a->place.source && (c = strcmp(a->place.source, b->place.source)) != 0)
        return c;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line ? -1 : 1;
    if (a->place.column != b->place.column)
        return a->place.column < b->place.column ? -1 : 1;
    return 0;
}

/* In order of place; items of one place stay in the order of finding: insertion sort, at most MAX_ITEMS and the notes.
 */
static void sort(struct gw_diag *d)
{
    const struct gw_diag_item **v;
    size_t n = 0, i = 0;

    for (struct gw_diag_item *it = d->first; it; it = it->next)
        n++;
    if (n < 2 || !(v = malloc(n * sizeof(*v))))
        return;
    for (struct gw_diag_item *it = d->first; it; it = it->next) {
        size_t at = i++;

        for (; at > 0 && compare(&v[at - 1], &(const struct gw_diag_item *){it}) > 0; at--)
            v[at] = v[at - 1];
        v[at] = it;
    }
    d->first = (struct gw_diag_item *)v[0];
    for (i = 0; i + 1 < n; i++)
        ((struct gw_diag_item *)v[i])->next = (struct gw_diag_item *)v[i + 1];
    d->last = (struct gw_diag_item *)v[n - 1];
    d->last->next = NULL;
    free(v);
}

static void put_place(struct gw_buf *out, const struct gw_place *p)
{
    if (!p->source)
        return;
    gw_buf_printf(out, "%s:", p->source);
    if (p->line)
        gw_buf_printf(out, "%u:%u:", p->line, p->column);
    gw_buf_put_u8(out, ' ');
}

void gw_diag_print(struct gw_diag *d, struct gw_buf *out, bool colour)
{
    static const char *const words[] = {"error", "warning", "note"};
    static const char *const colours[] = {"\033[31m", "\033[33m", "\033[36m"};
    unsigned shown = 0;

    sort(d);
    for (const struct gw_diag_item *i = d->first; i; i = i->next) {
        put_place(out, &i->place);
        if (colour)
            gw_buf_printf(out, "%s%s:\033[0m %s\n", colours[i->severity], words[i->severity], i->text);
        else
            gw_buf_printf(out, "%s: %s\n", words[i->severity], i->text);
        shown += i->severity != GW_DIAG_INFO;
    }
    if (shown < d->n_errors + d->n_warnings)
        gw_buf_printf(out, "error: %u more are not shown\n", d->n_errors + d->n_warnings - shown);
}

void gw_diag_write(struct gw_diag *d, struct gw_buf *out)
{
    gw_diag_print(d, out, /* colour= */ false);
}
