/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/letter_wait.h"

#include <stdlib.h>

struct receipt {
    struct gw_ticket t; /* first */
    uint32_t n;
    struct gw_receipt list[];
};

static void settle(struct gw_receipt *r, enum gw_outcome outcome, const char *message)
{
    gw_ticket_settle(r->ticket, r->rows, outcome, message);
    (void)gw_ticket_unref(r->ticket);
}

/* No verdict on the rows, which were told rejected: only that it may be heard now. */
static void on_settled(struct gw_ticket *t)
{
    struct receipt *r = (struct receipt *)t;
    bool kept = atomic_load(&t->worst) <= GW_REJECTED;

    for (uint32_t i = 0; i < r->n; i++)
        settle(&r->list[i], kept ? GW_DELIVERED : GW_REFUSED, kept ? NULL : "a dead letter could not be stored");
}

static void on_released(struct gw_ticket *t)
{
    free(t);
}

void gw_letter_wait_add(struct gw_letter_wait *w, struct gw_ticket *t)
{
    if (w->n && w->list[w->n - 1].ticket == t) {
        gw_ticket_open(t, 1);
        w->list[w->n - 1].rows++;
        return;
    }
    if (w->n == w->cap) {
        uint32_t cap = w->cap ? 2 * w->cap : 16;
        struct gw_receipt *more = realloc(w->list, cap * sizeof(*more));

        if (!more)
            return;
        w->list = more;
        w->cap = cap;
    }
    gw_ticket_open(t, 1);
    w->list[w->n++] = (struct gw_receipt){gw_ticket_ref(t), 1};
}

struct gw_ticket *gw_letter_wait_ticket(struct gw_letter_wait *w)
{
    struct receipt *r = w->n ? calloc(1, sizeof(*r) + w->n * sizeof(r->list[0])) : NULL;

    if (!r) {
        gw_letter_wait_clear(w);
        return NULL;
    }
    r->n = w->n;
    memcpy(r->list, w->list, w->n * sizeof(r->list[0]));
    w->n = 0;
    r->t.refs = 1;
    atomic_store(&r->t.open, 1); /* until it is posted */
    r->t.post = on_settled;
    r->t.release = on_released;
    return &r->t;
}

void gw_letter_wait_posted(struct gw_ticket *receipt)
{
    gw_ticket_settle(receipt, 1, GW_DELIVERED, NULL);
    (void)gw_ticket_unref(receipt);
}

void gw_letter_wait_clear(struct gw_letter_wait *w)
{
    for (uint32_t i = 0; i < w->n; i++)
        settle(&w->list[i], GW_DELIVERED, NULL);
    free(w->list);
    *w = (struct gw_letter_wait){0};
}
