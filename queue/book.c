/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/book.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int gw_books_init(struct gw_books *b, unsigned n_workers)
{
    *b = (struct gw_books){.n_pages = GW_PAGE_WORKERS + n_workers};
    b->last = &b->first;
    return -pthread_mutex_init(&b->lock, NULL);
}

static void free_book(struct gw_book *k)
{
    if (!k)
        return;
    free(k->pages);
    free((void *)(uintptr_t)k->pipeline);
    free((void *)(uintptr_t)k->component);
    free(k);
}

void gw_books_clear(struct gw_books *b)
{
    for (struct gw_book *k = b->first, *next; k; k = next) {
        next = k->next;
        free_book(k);
    }
    if (b->last)
        (void)pthread_mutex_destroy(&b->lock);
    *b = (struct gw_books){0};
}

static bool is(const struct gw_book *a, const struct gw_book *key)
{
    return a->kind == key->kind && a->signal == key->signal && a->edge == key->edge && a->from == key->from &&
           strcmp(a->component, key->component ? key->component : "") == 0 &&
           strcmp(a->pipeline, key->pipeline ? key->pipeline : "") == 0;
}

static struct gw_book *make(const struct gw_books *b, const struct gw_book *key)
{
    struct gw_book *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    *k =
        (struct gw_book){.kind = key->kind, .signal = key->signal, .edge = key->edge, .from = key->from, .index = b->n};
    k->pipeline = strdup(key->pipeline ? key->pipeline : "");
    k->component = strdup(key->component ? key->component : "");
    k->pages = aligned_alloc(GW_PAGE_ALIGN, b->n_pages * sizeof(struct gw_page));
    if (!k->pipeline || !k->component || !k->pages) {
        free_book(k);
        return NULL;
    }
    (void)memset(k->pages, 0, b->n_pages * sizeof(struct gw_page));
    return k;
}

struct gw_book *gw_books_get(struct gw_books *b, const struct gw_book *key)
{
    struct gw_book *k;

    (void)pthread_mutex_lock(&b->lock);
    for (k = b->first; k && !is(k, key); k = k->next)
        ;
    if (!k && (k = make(b, key)) != NULL) {
        *b->last = k;
        b->last = &k->next;
        b->n++;
    }
    (void)pthread_mutex_unlock(&b->lock);
    return k;
}

const char *gw_book_kind_name(enum gw_book_kind k)
{
    static const char *const names[] = {"receiver", "pipeline", "processor", "connector", "exporter"};

    return names[k];
}

const char *gw_entry_name(enum gw_entry e)
{
    static const char *const names[GW_N_ENTRIES] = {"in",       "created",  "out",     "dead_lettered", "dropped",
                                                    "rejected", "absorbed", "refused", "failed",        "held"};

    return names[e];
}
