/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "otlp-proto/encode.h"
#include "queue/edge_impl.h"

enum { PAYLOAD_BYTES = 256 << 10, CHAIN_BYTES = 64 << 10, CHAIN_PART_BYTES = 4 << 10 };

struct gw_chunk *gw_chunk_new(enum gw_signal s, uint32_t n_receipts, size_t bytes)
{
    size_t head = sizeof(struct gw_chunk) + (size_t)n_receipts * sizeof(struct gw_receipt);
    struct gw_chunk *c = malloc(head + bytes);

    if (!c)
        return NULL;
    *c = (struct gw_chunk){.signal = s, .body = {(uint8_t *)c + head, bytes}};
    return c;
}

struct gw_chunk *gw_chunk_of_payload(enum gw_signal s, struct gw_payload *pl)
{
    struct gw_chunk *c = gw_chunk_new(s, 0, 0);

    if (!c)
        return NULL;
    c->payload = gw_payload_ref(pl);
    c->body = (struct gw_slice){pl->p, pl->n};
    return c;
}

/* Nothing of it is charged to them any more. */
static void drop_parts(struct gw_chunk *c)
{
    for (struct gw_chunk *p = c->parts, *next; p; p = next) {
        next = p->next;
        (void)gw_payload_unref(p->payload);
        (void)gw_meta_unref(p->meta);
        free(p);
    }
    c->parts = NULL;
    c->slices = NULL;
    c->n_slices = 0;
}

void gw_chunk_free(struct gw_edge *e, struct gw_chunk *c)
{
    drop_parts(c);
    (void)gw_tab_unref(c->tab);
    if (c->window_bytes)
        atomic_fetch_sub(&e->window_bytes, c->window_bytes);
    (void)gw_payload_unref(c->payload);
    (void)gw_meta_unref(c->meta);
    gw_credit_drain(e->conf.memory, c->charged_bytes);
    atomic_fetch_sub_explicit(&e->held_bytes, c->held_bytes, memory_order_relaxed);
    free(c);
}

void gw_chunk_settle(struct gw_chunk *c, uint32_t rejected, enum gw_outcome outcome, int grpc_status,
                     uint64_t retry_after_ns, const char *message)
{
    for (uint32_t i = 0; i < c->n_receipts; i++) {
        struct gw_ticket *t = c->receipts[i].ticket;
        uint32_t rows = c->receipts[i].rows, bad = rows < rejected ? rows : rejected;

        rejected -= bad;
        if (outcome > GW_REJECTED)
            gw_ticket_fail_with(t, grpc_status, retry_after_ns);
        gw_ticket_settle(t, bad, GW_REJECTED, message);
        gw_ticket_settle(t, rows - bad, outcome, outcome > GW_REJECTED ? message : NULL);
        (void)gw_ticket_unref(t);
    }
    c->n_receipts = 0;
}

/* The rows of `c` behind those of the tab; rows that are in memory only have a place without a feed. */
static void add_places(struct gw_tab *to, const struct gw_chunk *c)
{
    if (!c->tab)
        gw_tab_add(to, &(struct gw_log_place){.rows = c->rows, .frame_rows = c->rows});
    for (uint32_t i = 0; c->tab && i < c->tab->n; i++)
        gw_tab_add(to, &c->tab->places[i]);
}

/* One tab for all, or NULL when none has one. False: no memory. */
static bool join_tabs(const struct gw_chunk *first, struct gw_tab **ret)
{
    uint32_t n = 0;
    bool any = false;

    for (const struct gw_chunk *c = first; c; c = c->next) {
        any |= c->tab != NULL;
        n += c->tab ? c->tab->n : 1;
    }
    *ret = any ? gw_tab_new(n) : NULL;
    for (const struct gw_chunk *c = first; *ret && c; c = c->next)
        add_places(*ret, c);
    return *ret || !any;
}

/* Trying goes on while any of them waits. */
static uint64_t latest_deadline(const struct gw_chunk *c)
{
    uint64_t latest = 0;

    for (; c; c = c->next) {
        if (c->deadline_ns == 0)
            return 0;
        latest = c->deadline_ns > latest ? c->deadline_ns : latest;
    }
    return latest;
}

/* Copying what is small costs less than to keep it where it is: a head of its own, and a step of its own to send it. */
static bool may_stay(const struct gw_chunk *first, size_t bytes)
{
    size_t n = 0;

    for (const struct gw_chunk *c = first; c; c = c->next)
        n++;
    return bytes >= CHAIN_BYTES && bytes / n >= CHAIN_PART_BYTES;
}

/* A chunk for all, with room for what is to be in it. */
static struct gw_chunk *new_whole(enum gw_signal s, uint32_t receipts, size_t bytes, uint32_t n_parts)
{
    bool in_payload = !n_parts && bytes >= PAYLOAD_BYTES;
    size_t inside = n_parts ? n_parts * sizeof(struct gw_slice) : in_payload ? 0 : bytes;
    struct gw_chunk *c = gw_chunk_new(s, receipts, inside);

    if (!c)
        return NULL;
    if (n_parts)
        c->slices = (struct gw_slice *)(void *)(uintptr_t)c->body.p;
    if (in_payload) { /* from the thread's stock: megabytes fresh from the system cost more than the copy */
        c->payload = gw_payload_new(bytes);
        if (!c->payload) {
            free(c);
            return NULL;
        }
    }
    c->body = gw_slice_of(n_parts ? NULL : in_payload ? c->payload->p : c->body.p, bytes);
    return c;
}

/* What is the same for all, or the sum of it. The parts' charges are its own now. */
static void take_over(struct gw_chunk *all, struct gw_chunk *c)
{
    memcpy(all->receipts + all->n_receipts, c->receipts, c->n_receipts * sizeof(c->receipts[0]));
    all->n_receipts += c->n_receipts;
    all->rows += c->rows;
    all->is_patient &= c->is_patient || c->n_receipts == 0;
    all->in_log &= c->in_log;
    all->units += c->units;
    all->lag_bytes += c->lag_bytes;
    all->held_bytes += c->held_bytes;
    all->charged_bytes += c->charged_bytes;
    all->window_bytes += c->window_bytes;
    c->n_receipts = 0;
    c->units = c->lag_bytes = c->held_bytes = c->charged_bytes = c->window_bytes = 0;
    gw_tab_disown(c->tab);
    c->tab = gw_tab_unref(c->tab);
}

/* The bytes of a list become those of `all`. */
static void take_bytes(struct gw_edge *e, struct gw_chunk *all, struct gw_chunk *first)
{
    uint8_t *at = (uint8_t *)(uintptr_t)all->body.p;

    all->parts = all->slices ? first : NULL;
    for (struct gw_chunk *c = first, *next; c; c = next) {
        next = c->next;
        if (all->slices) {
            all->slices[all->n_slices++] = c->body;
            continue;
        }
        if (c->body.n)
            memcpy(at, c->body.p, c->body.n);
        at += c->body.n;
        gw_chunk_free(e, c);
    }
}

struct gw_chunk *gw_chunk_merge(struct gw_edge *e, struct gw_chunk *first, bool in_parts)
{
    uint32_t receipts = 0, n = 0;
    size_t bytes = 0;
    struct gw_chunk *all;
    struct gw_tab *tab;

    if (!first->next)
        return first;
    for (struct gw_chunk *c = first; c; c = c->next, n++) {
        receipts += c->n_receipts;
        bytes += c->body.n;
    }
    if (!join_tabs(first, &tab))
        return NULL;
    all = new_whole(first->signal, receipts, bytes, in_parts && may_stay(first, bytes) ? n : 0);
    if (!all) {
        gw_tab_disown(tab);
        (void)gw_tab_unref(tab);
        return NULL;
    }
    all->tab = tab;
    all->arrived_ns = first->arrived_ns;
    all->deadline_ns = latest_deadline(first);
    all->batching = first->batching;
    all->pipeline = first->pipeline; /* one book: one pipeline */
    all->book = first->book;
    all->is_patient = all->in_log = true;
    all->meta = gw_meta_ref(first->meta);
    for (struct gw_chunk *c = first; c; c = c->next)
        take_over(all, c);
    take_bytes(e, all, first);
    atomic_fetch_sub(&e->n_chunks, n - 1);
    return all;
}

struct gw_rope gw_chunk_rope(const struct gw_chunk *c)
{
    return c->slices ? (struct gw_rope){c->slices, c->n_slices, c->body.n} : gw_rope_of(&c->body);
}

void gw_chunk_set_body(struct gw_chunk *c, struct gw_payload *pl)
{
    drop_parts(c);
    (void)gw_payload_unref(c->payload);
    c->payload = pl;
    c->body = gw_slice_of(pl->p, pl->n);
}

bool gw_chunk_flatten(struct gw_chunk *c)
{
    struct gw_payload *pl = c->slices ? gw_payload_new(c->body.n) : NULL;

    if (!c->slices || !pl)
        return !c->slices;
    for (uint32_t i = 0; i < c->n_slices; pl->n += (uint32_t)c->slices[i++].n)
        if (c->slices[i].n)
            memcpy(pl->p + pl->n, c->slices[i].p, c->slices[i].n);
    gw_chunk_set_body(c, pl);
    return true;
}

struct split {
    struct gw_edge *edge;
    struct gw_chunk *from, *first, **last;
    uint32_t receipt, receipt_rows; /* how far the receipts are dealt out */
    uint64_t units_left, lag_left;
    uint32_t rows_left, row; /* of the tab, the next to be dealt */
};

/* Rows of a body are in the order of its receipts, so a piece takes the next ones. */
static void deal_receipts(struct split *s, struct gw_chunk *piece)
{
    uint32_t want = piece->rows;

    while (want > 0 && s->receipt < s->from->n_receipts) {
        const struct gw_receipt *r = &s->from->receipts[s->receipt];
        uint32_t n = r->rows - s->receipt_rows;

        n = n < want ? n : want;
        piece->receipts[piece->n_receipts++] = (struct gw_receipt){gw_ticket_ref(r->ticket), n};
        want -= n;
        s->receipt_rows += n;
        if (s->receipt_rows == r->rows) {
            s->receipt++;
            s->receipt_rows = 0;
        }
    }
}

static int add_piece(void *arg, struct gw_slice body, uint32_t rows)
{
    struct split *s = arg;
    const struct gw_chunk *from = s->from;
    struct gw_chunk *c;

    if (rows == 0 || rows > s->rows_left) /* it is not what it was said to be */
        return -EBADMSG;
    c = gw_chunk_new(from->signal, from->n_receipts, body.n);
    if (!c)
        return -ENOMEM;
    memcpy((uint8_t *)(uintptr_t)c->body.p, body.p, body.n);
    c->rows = rows;
    c->arrived_ns = from->arrived_ns;
    c->deadline_ns = from->deadline_ns;
    c->batching = from->batching;
    c->pipeline = from->pipeline;
    c->book = from->book;
    c->is_patient = from->is_patient;
    c->in_log = from->in_log;
    c->meta = gw_meta_ref(from->meta);
    c->units = s->units_left * rows / s->rows_left; /* the last one has all that is left */
    s->units_left -= c->units;
    c->lag_bytes = (uint64_t)((double)s->lag_left * rows / s->rows_left);
    s->lag_left -= c->lag_bytes;
    s->rows_left -= rows;
    c->charged_bytes = body.n;
    gw_credit_copy(s->edge->conf.memory, body.n);
    deal_receipts(s, c);
    *s->last = c;
    s->last = &c->next;
    if (!from->tab)
        return 0;
    c->window_bytes = body.n;
    atomic_fetch_add(&s->edge->window_bytes, body.n);
    c->tab = gw_tab_deal(from->tab, &s->row, rows);
    return c->tab ? 0 : -ENOMEM;
}

static void drop_receipts(struct gw_chunk *c)
{
    for (uint32_t i = 0; i < c->n_receipts; i++)
        (void)gw_ticket_unref(c->receipts[i].ticket);
    c->n_receipts = 0;
}

int gw_chunk_split(struct gw_edge *e, struct gw_chunk *c, uint32_t max_rows, size_t max_bytes, struct gw_chunk **ret)
{
    struct split s = {.edge = e, .from = c, .units_left = c->units, .lag_left = c->lag_bytes, .rows_left = c->rows};
    uint64_t n = 0;
    int rc;

    if (!gw_chunk_flatten(c))
        return -ENOMEM;
    s.last = &s.first;
    rc = gw_split(c->signal, c->body, max_rows, max_bytes, add_piece, &s);
    if (rc < 0 || !s.first || s.rows_left != 0) {
        for (struct gw_chunk *p = s.first, *next; p; p = next) {
            next = p->next;
            drop_receipts(p);
            gw_tab_disown(p->tab);
            gw_chunk_free(e, p);
        }
        return rc < 0 ? rc : -EBADMSG;
    }
    for (struct gw_chunk *p = s.first; p; p = p->next)
        n++;
    s.first->held_bytes = c->held_bytes;
    c->held_bytes = 0;
    atomic_fetch_add(&e->n_chunks, n - 1);
    drop_receipts(c);
    gw_tab_disown(c->tab);
    gw_chunk_free(e, c);
    *ret = s.first;
    return 0;
}
