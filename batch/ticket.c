/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/ticket.h"

#include <assert.h>

struct gw_ticket *gw_ticket_ref(struct gw_ticket *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

struct gw_ticket *gw_ticket_unref(struct gw_ticket *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1 && t->release)
        t->release(t);
    return NULL;
}

void gw_ticket_open(struct gw_ticket *t, uint32_t rows)
{
    atomic_fetch_add_explicit(&t->open, rows, memory_order_relaxed);
}

static void worsen(struct gw_ticket *t, enum gw_outcome outcome)
{
    int32_t worst = atomic_load_explicit(&t->worst, memory_order_relaxed);

    while (worst < (int32_t)outcome && !atomic_compare_exchange_weak_explicit(
                                           &t->worst, &worst, outcome, memory_order_relaxed, memory_order_relaxed))
        ;
}

/* The first one wins. Its writer settles rows of its own afterwards, so nobody reads a half-written text. */
static void keep_message(struct gw_ticket *t, const char *message)
{
    int32_t unwritten = 0;
    size_t n = strlen(message);

    if (!atomic_compare_exchange_strong_explicit(&t->message_taken, &unwritten, 1, memory_order_relaxed,
                                                 memory_order_relaxed))
        return;
    if (n >= GW_MESSAGE_BYTES) { /* cut between two characters, not inside of one */
        n = GW_MESSAGE_BYTES - 1;
        while (n && ((unsigned char)message[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(t->message, message, n);
    t->message[n] = '\0';
    atomic_store_explicit(&t->message_taken, 2, memory_order_release);
}

void gw_ticket_settle(struct gw_ticket *t, uint32_t rows, enum gw_outcome outcome, const char *message)
{
    int64_t open;

    if (rows == 0)
        return;
    worsen(t, outcome);
    if (outcome == GW_REJECTED)
        atomic_fetch_add_explicit(&t->rejected, rows, memory_order_relaxed);
    if (message && *message && atomic_load_explicit(&t->message_taken, memory_order_relaxed) == 0)
        keep_message(t, message);
    open = atomic_fetch_sub_explicit(&t->open, rows, memory_order_acq_rel) - rows;
    assert(open >= 0);
    if (open == 0 && t->post)
        t->post(t);
}

void gw_ticket_fail_with(struct gw_ticket *t, int grpc_status, uint64_t retry_after_ns)
{
    int32_t none = 0;
    uint64_t longest = atomic_load_explicit(&t->retry_after_ns, memory_order_relaxed);

    atomic_compare_exchange_strong_explicit(&t->grpc_status, &none, grpc_status, memory_order_relaxed,
                                            memory_order_relaxed);
    while (longest < retry_after_ns &&
           !atomic_compare_exchange_weak_explicit(&t->retry_after_ns, &longest, retry_after_ns, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}
