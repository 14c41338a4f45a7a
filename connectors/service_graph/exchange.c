/* SPDX-License-Identifier: Apache-2.0 */
#include "connectors/service_graph/exchange.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_BYTES = 4096 };

/* Records: u32 length of the record, u8 kind, the record. */
enum { HEAD_BYTES = sizeof(uint32_t) + 1 };

struct gw_sg_parcel {
    struct gw_inbox_item item; /* first */
    uint64_t n, cap;
    uint8_t bytes[];
};

int gw_sg_exchange_init(struct gw_sg_exchange *x, unsigned n_workers, struct gw_credit *bytes, struct gw_credit *memory)
{
    x->n_workers = n_workers;
    x->bytes = bytes;
    x->memory = memory;
    atomic_init(&x->n_under_way, 0);
    x->inboxes = calloc(n_workers, sizeof(*x->inboxes));
    return x->inboxes ? 0 : -ENOMEM;
}

static bool take_bytes(struct gw_sg_exchange *x, uint64_t n)
{
    if (!gw_credit_take(x->bytes, n))
        return false;
    if (!x->memory || gw_credit_take(x->memory, n))
        return true;
    gw_credit_give(x->bytes, n);
    return false;
}

static void give_bytes(struct gw_sg_exchange *x, uint64_t n)
{
    gw_credit_give(x->bytes, n);
    if (x->memory)
        gw_credit_give(x->memory, n);
}

static void free_parcel(struct gw_sg_exchange *x, struct gw_sg_parcel *p)
{
    if (!p)
        return;
    give_bytes(x, sizeof(*p) + p->cap);
    free(p);
    atomic_fetch_sub(&x->n_under_way, 1);
}

void gw_sg_exchange_clear(struct gw_sg_exchange *x)
{
    for (unsigned i = 0; x->inboxes && i < x->n_workers; i++)
        for (struct gw_inbox_item *item = gw_inbox_take(&x->inboxes[i]), *next; item; item = next) {
            next = item->next;
            free_parcel(x, (struct gw_sg_parcel *)item);
        }
    free(x->inboxes);
    x->inboxes = NULL;
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

int gw_sg_sender_init(struct gw_sg_sender *s, struct gw_sg_exchange *x)
{
    s->x = x;
    s->open = calloc(x->n_workers, sizeof(*s->open));
    return s->open ? 0 : -ENOMEM;
}

void gw_sg_sender_clear(struct gw_sg_sender *s)
{
    for (unsigned i = 0; s->open && i < s->x->n_workers; i++)
        free_parcel(s->x, s->open[i]);
    free(s->open);
    s->open = NULL;
}

/* At least n bytes more, twice as many as there were. */
static struct gw_sg_parcel *enlarge(struct gw_sg_exchange *x, struct gw_sg_parcel *old, uint64_t n)
{
    uint64_t cap = old ? old->cap : 0, want = (old ? old->n : 0) + n, now = cap ? cap * 2 : FIRST_BYTES;
    uint64_t more;
    struct gw_sg_parcel *p;

    while (now < want)
        now *= 2;
    more = now - cap + (old ? 0 : sizeof(*p));
    if (!take_bytes(x, more))
        return NULL;
    p = realloc(old, sizeof(*p) + now);
    if (!p) {
        give_bytes(x, more);
        return NULL;
    }
    if (!old) {
        p->n = 0;
        atomic_fetch_add(&x->n_under_way, 1);
    }
    p->cap = now;
    return p;
}

uint8_t *gw_sg_sender_room(struct gw_sg_sender *s, unsigned to, uint8_t kind, uint64_t n)
{
    struct gw_sg_parcel *p = s->open[to];
    uint32_t length = (uint32_t)n;
    uint8_t *at;

    if (n > UINT32_MAX)
        return NULL;
    if (!p || p->cap - p->n < HEAD_BYTES + n) {
        p = enlarge(s->x, p, HEAD_BYTES + n);
        if (!p)
            return NULL;
        s->open[to] = p;
    }
    at = p->bytes + p->n;
    memcpy(at, &length, sizeof(length));
    at[sizeof(length)] = kind;
    p->n += HEAD_BYTES + n;
    return at + HEAD_BYTES;
}

void gw_sg_sender_push(struct gw_sg_sender *s)
{
    for (unsigned i = 0; i < s->x->n_workers; i++)
        if (s->open[i]) {
            (void)gw_inbox_push(&s->x->inboxes[i], &s->open[i]->item);
            s->open[i] = NULL;
        }
}

/* ---- taking ----------------------------------------------------------------------------------------------- */

static uint64_t take_apart(const struct gw_sg_parcel *p, void (*each)(void *arg, uint8_t kind, struct gw_slice record),
                           void *arg)
{
    uint64_t n = 0, at = 0;

    while (at < p->n) {
        uint32_t length;

        memcpy(&length, p->bytes + at, sizeof(length));
        each(arg, p->bytes[at + sizeof(length)], (struct gw_slice){p->bytes + at + HEAD_BYTES, length});
        at += HEAD_BYTES + length;
        n++;
    }
    return n;
}

uint64_t gw_sg_exchange_take(struct gw_sg_exchange *x, unsigned me,
                             void (*each)(void *arg, uint8_t kind, struct gw_slice record), void *arg)
{
    uint64_t n = 0;

    for (struct gw_inbox_item *item = gw_inbox_take(&x->inboxes[me]), *next; item; item = next) {
        struct gw_sg_parcel *p = (struct gw_sg_parcel *)item;

        next = item->next;
        n += take_apart(p, each, arg);
        free_parcel(x, p);
    }
    return n;
}

bool gw_sg_exchange_is_empty(const struct gw_sg_exchange *x)
{
    return atomic_load(&x->n_under_way) == 0;
}
