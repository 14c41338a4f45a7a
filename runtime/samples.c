/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/samples.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_BYTES = 128 };

struct kept {
    uint64_t wall_ns, whole_bytes;
    size_t n;
    uint8_t *p;
};

struct ring {
    char component[NAME_BYTES], pipeline[NAME_BYTES], reason[NAME_BYTES];
    enum gw_signal signal;
    struct kept kept[GW_SAMPLES_KEPT];
    unsigned n, next; /* next: the oldest, when all are there */
};

struct gw_samples {
    pthread_mutex_t lock;
    struct ring *rings[GW_SAMPLES_REASONS];
    unsigned n;
};

struct gw_samples *gw_samples_new(void)
{
    struct gw_samples *s = calloc(1, sizeof(*s));

    if (s)
        (void)pthread_mutex_init(&s->lock, NULL);
    return s;
}

void gw_samples_free(struct gw_samples *s)
{
    for (unsigned i = 0; s && i < s->n; i++) {
        for (unsigned k = 0; k < GW_SAMPLES_KEPT; k++)
            free(s->rings[i]->kept[k].p);
        free(s->rings[i]);
    }
    if (s)
        (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

static bool is_same(const char *cut, const char *text)
{
    return strncmp(cut, text ? text : "", NAME_BYTES - 1) == 0;
}

/* NULL: there are too many reasons, or no memory. */
static struct ring *find_ring(struct gw_samples *s, const struct gw_sample_reason *why)
{
    struct ring *r;

    for (unsigned i = 0; i < s->n; i++) {
        r = s->rings[i];
        if (r->signal == why->signal && is_same(r->reason, why->reason) && is_same(r->component, why->component) &&
            is_same(r->pipeline, why->pipeline))
            return r;
    }
    r = s->n < GW_SAMPLES_REASONS ? calloc(1, sizeof(*r)) : NULL;
    if (!r)
        return NULL;
    (void)snprintf(r->component, sizeof(r->component), "%s", why->component ? why->component : "");
    (void)snprintf(r->pipeline, sizeof(r->pipeline), "%s", why->pipeline ? why->pipeline : "");
    (void)snprintf(r->reason, sizeof(r->reason), "%s", why->reason ? why->reason : "");
    r->signal = why->signal;
    s->rings[s->n++] = r;
    return r;
}

void gw_samples_keep(struct gw_samples *s, const struct gw_sample_reason *why, uint64_t wall_ns, struct gw_slice body)
{
    size_t n = body.n < GW_SAMPLES_BYTES ? body.n : GW_SAMPLES_BYTES;
    uint8_t *copy = s ? malloc(n + 1) : NULL;
    struct ring *r;

    if (!copy)
        return;
    if (n)
        memcpy(copy, body.p, n);
    (void)pthread_mutex_lock(&s->lock);
    r = find_ring(s, why);
    if (r) {
        struct kept *k = &r->kept[r->next];
        uint8_t *old = k->p;

        *k = (struct kept){wall_ns, body.n, n, copy};
        copy = old;
        r->next = (r->next + 1) % GW_SAMPLES_KEPT;
        r->n += r->n < GW_SAMPLES_KEPT;
    }
    (void)pthread_mutex_unlock(&s->lock);
    free(copy);
}

void gw_samples_each(struct gw_samples *s,
                     void (*each)(void *arg, const struct gw_sample_reason *why, const struct gw_sample *sample),
                     void *arg)
{
    (void)pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->n; i++) {
        const struct ring *r = s->rings[i];
        const struct gw_sample_reason why = {r->component, r->pipeline, r->reason, r->signal};

        for (unsigned k = 0; k < r->n; k++) {
            const struct kept *x = &r->kept[(r->next + GW_SAMPLES_KEPT - r->n + k) % GW_SAMPLES_KEPT];
            const struct gw_sample sample = {x->wall_ns, x->whole_bytes, gw_slice_of(x->p, x->n)};

            each(arg, &why, &sample);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}
