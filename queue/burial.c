/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/burial.h"

#include <stdlib.h>

#include "queue/edge_impl.h"

/* Who is first decides: the receipt, which then comes back through the inbox, or the edge, which does not wait for it.
 */
enum state { UNDER_WAY, BACK, FORGOTTEN };

struct gw_burial {
    struct gw_ticket t; /* first: one row, which is the letter, for each place it goes to */
    struct gw_edge *from;
    struct gw_tab *tab;
    struct gw_burial *next, **prev; /* of the edge; its thread's */
    _Atomic enum state state;
};

static void on_settled(struct gw_ticket *t)
{
    struct gw_burial *b = (struct gw_burial *)t;

    if (atomic_exchange(&b->state, BACK) == FORGOTTEN) {
        (void)gw_ticket_unref(t); /* the edge's reference */
        return;
    }
    (void)gw_inbox_push(&b->from->buried, &t->item);
    gw_edge_wake(b->from);
}

static void on_released(struct gw_ticket *t)
{
    free(t);
}

struct gw_burial *gw_burial_begin(struct gw_edge *from, struct gw_tab *tab)
{
    struct gw_burial *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->t.refs = 1;
    atomic_store(&b->t.open, 1); /* until it is posted */
    b->t.rows = 1;
    b->t.post = on_settled;
    b->t.release = on_released;
    b->from = from;
    b->tab = gw_tab_ref(tab);
    b->prev = &from->burials;
    b->next = from->burials;
    if (b->next)
        b->next->prev = &b->next;
    from->burials = b;
    atomic_fetch_add(&from->n_chunks, 1); /* an edge with a letter under way is not empty */
    return b;
}

struct gw_ticket *gw_burial_receipt(struct gw_burial *b)
{
    gw_ticket_open(&b->t, 1);
    return gw_ticket_ref(&b->t);
}

void gw_burial_posted(struct gw_burial *b)
{
    gw_ticket_settle(&b->t, 1, GW_DELIVERED, NULL);
}

static void unlink_burial(struct gw_burial *b, bool kept)
{
    struct gw_edge *e = b->from;

    *b->prev = b->next;
    if (b->next)
        b->next->prev = b->prev;
    if (!kept && e->closing) {
        gw_tab_leave(b->tab);
    } else if (!kept) {
        gw_tab_again(b->tab);
    }
    b->tab = gw_tab_unref(b->tab);
    atomic_fetch_sub(&e->n_chunks, 1);
}

void gw_burial_take_in(struct gw_edge *e)
{
    for (struct gw_inbox_item *i = gw_inbox_take(&e->buried), *next; i; i = next) {
        struct gw_burial *b = (struct gw_burial *)i;

        next = i->next;
        unlink_burial(b, atomic_load(&b->t.worst) <= GW_REJECTED);
        (void)gw_ticket_unref(&b->t);
    }
}

void gw_burial_forget_all(struct gw_edge *e)
{
    gw_burial_take_in(e);
    for (struct gw_burial *b = e->burials, *next; b; b = next) {
        next = b->next;
        (void)gw_ticket_ref(&b->t); /* once forgotten, who settles it lets go of the edge's reference */
        if (atomic_exchange(&b->state, FORGOTTEN) == UNDER_WAY)
            unlink_burial(b, false);
        (void)gw_ticket_unref(&b->t);
    }
    while (e->burials) /* those whose receipt is between its two steps: it pushes any moment now */
        gw_burial_take_in(e);
}
