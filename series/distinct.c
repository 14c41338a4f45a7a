/* SPDX-License-Identifier: Apache-2.0 */
#include "series/distinct.h"

#include <errno.h>
#include <math.h>

/* ---- memory ------------------------------------------------------------------------------------------------ */

enum { HEAD = sizeof(struct gw_distinct), ENTRY = sizeof(uint32_t), FIRST = 8 };

/* What follows the head. Sparse: register << 8 | value. */
static inline uint32_t *sparse(const struct gw_distinct *d)
{
    return (uint32_t *)(uintptr_t)(d + 1);
}

static inline uint8_t *dense(const struct gw_distinct *d)
{
    return (uint8_t *)(uintptr_t)(d + 1);
}

static size_t bytes_of(const struct gw_distinct *d)
{
    return HEAD + (d->is_dense ? (size_t)1 << d->precision : (size_t)d->cap * ENTRY);
}

static unsigned most_sparse(unsigned precision)
{
    unsigned n = (1u << precision) / 8;

    return n < GW_DISTINCT_SPARSE ? n : GW_DISTINCT_SPARSE;
}

/* Room for one more. False: as errno says. */
static bool widen(struct gw_distinct **d, struct gw_heap *heap, unsigned precision)
{
    unsigned most = most_sparse(precision), cap = *d ? 2u * (*d)->cap : FIRST;
    struct gw_distinct *p;

    cap = cap < most ? cap : most;
    p = gw_heap_resize(heap, *d, *d ? bytes_of(*d) : 0, HEAD + cap * ENTRY);
    if (!p)
        return false;
    if (!*d)
        *p = (struct gw_distinct){.precision = (uint8_t)precision};
    p->cap = (uint16_t)cap;
    *d = p;
    return true;
}

static bool make_dense(struct gw_distinct **d, struct gw_heap *heap, unsigned precision)
{
    size_t bytes = HEAD + ((size_t)1 << precision);
    struct gw_distinct *p = gw_heap_resize(heap, NULL, 0, bytes);

    if (!p)
        return false;
    memset(p, 0, bytes);
    p->precision = (uint8_t)precision;
    p->is_dense = 1;
    for (unsigned i = 0; *d && i < (*d)->n; i++)
        dense(p)[sparse(*d)[i] >> 8] = (uint8_t)sparse(*d)[i];
    gw_distinct_free(d, heap);
    *d = p;
    return true;
}

void gw_distinct_free(struct gw_distinct **d, struct gw_heap *heap)
{
    if (*d)
        gw_heap_free(heap, *d, bytes_of(*d));
    *d = NULL;
}

/* ---- registers --------------------------------------------------------------------------------------------- */

/* The first one whose register is at least that. */
static unsigned place_of(const struct gw_distinct *d, uint32_t reg)
{
    unsigned low = 0, high = d->n;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (sparse(d)[mid] >> 8 >= reg)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* A register that is not there, at its place. */
static int insert(struct gw_distinct **d, struct gw_heap *heap, unsigned precision, unsigned at, uint32_t entry)
{
    if ((!*d || (*d)->n == (*d)->cap) && !widen(d, heap, precision))
        return -errno;
    memmove(&sparse(*d)[at + 1], &sparse(*d)[at], ((*d)->n - at) * ENTRY);
    sparse(*d)[at] = entry;
    (*d)->n++;
    return 0;
}

/* Dense is what has more registers than a sparse one may have, however that came to be. */
static int put(struct gw_distinct **d, struct gw_heap *heap, unsigned precision, uint32_t reg, uint8_t value)
{
    unsigned at, n = *d ? (*d)->n : 0;

    if (!*d || !(*d)->is_dense) {
        at = *d ? place_of(*d, reg) : 0;
        if (at < n && sparse(*d)[at] >> 8 == reg) {
            if (value > (uint8_t)sparse(*d)[at])
                sparse(*d)[at] = reg << 8 | value;
            return 0;
        }
        if (n < most_sparse(precision))
            return insert(d, heap, precision, at, reg << 8 | value);
        if (!make_dense(d, heap, precision))
            return -errno;
    }
    if (value > dense(*d)[reg])
        dense(*d)[reg] = value;
    return 0;
}

int gw_distinct_add(struct gw_distinct **d, struct gw_heap *heap, unsigned precision, uint64_t hash)
{
    uint64_t rest = hash << precision;
    uint8_t value = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : (uint8_t)(64 - precision + 1);

    return put(d, heap, precision, (uint32_t)(hash >> (64 - precision)), value);
}

int gw_distinct_merge(struct gw_distinct **d, struct gw_heap *heap, const struct gw_distinct *other)
{
    int rc = 0;

    if (!other)
        return 0;
    if (other->is_dense && (!*d || !(*d)->is_dense) && !make_dense(d, heap, other->precision))
        return -errno;
    if (other->is_dense) {
        for (size_t i = 0; i < (size_t)1 << other->precision; i++)
            dense(*d)[i] = dense(other)[i] > dense(*d)[i] ? dense(other)[i] : dense(*d)[i];
        return 0;
    }
    for (unsigned i = 0; i < other->n && rc == 0; i++)
        rc = put(d, heap, other->precision, sparse(other)[i] >> 8, (uint8_t)sparse(other)[i]);
    return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

static double sigma(double x)
{
    double y = 1, z = x, before;

    if (x == 1)
        return (double)INFINITY;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

static double tau(double x)
{
    double y = 1, z = 1 - x, before;

    if (x == 0 || x == 1)
        return 0;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
}

uint64_t gw_distinct_count(const struct gw_distinct *d)
{
    uint32_t have[66] = {0}; /* registers by their value */
    double m, z;
    int most;

    if (!d)
        return 0;
    m = (double)(1u << d->precision);
    most = 64 - d->precision;
    for (size_t i = 0; d->is_dense && i < (size_t)1 << d->precision; i++)
        have[dense(d)[i]]++;
    for (unsigned i = 0; !d->is_dense && i < d->n; i++)
        have[(uint8_t)sparse(d)[i]]++;
    if (!d->is_dense)
        have[0] = (1u << d->precision) - d->n;
    z = m * tau(1 - have[most + 1] / m);
    for (int k = most; k >= 1; k--)
        z = 0.5 * (z + have[k]);
    z += m * sigma(have[0] / m);
    return (uint64_t)llround(m * m / (2 * M_LN2) / z);
}

/* ---- checkpoints ------------------------------------------------------------------------------------------- */

/* precision, is_dense, registers as u16; then what there is of them. Precision 0: nothing. */
void gw_distinct_save(const struct gw_distinct *d, struct gw_buf *out)
{
    uint16_t head[2] = {0};

    if (d) {
        head[0] = (uint16_t)(d->precision | d->is_dense << 8);
        head[1] = d->n;
    }
    gw_buf_put(out, head, sizeof(head));
    if (d && d->is_dense)
        gw_buf_put(out, dense(d), (size_t)1 << d->precision);
    else if (d)
        gw_buf_put(out, sparse(d), d->n * ENTRY);
}

static bool is_sane(const struct gw_distinct *d)
{
    uint8_t most = (uint8_t)(64 - d->precision + 1);

    for (size_t i = 0; d->is_dense && i < (size_t)1 << d->precision; i++)
        if (dense(d)[i] > most)
            return false;
    for (unsigned i = 0; !d->is_dense && i < d->n; i++) {
        uint32_t reg = sparse(d)[i] >> 8, value = sparse(d)[i] & 0xff;

        if (reg >> d->precision || value == 0 || value > most || (i && reg <= sparse(d)[i - 1] >> 8))
            return false;
    }
    return true;
}

int gw_distinct_restore(struct gw_distinct **d, struct gw_heap *heap, unsigned precision, struct gw_slice *from)
{
    uint16_t head[2];
    bool is_dense;
    size_t bytes;

    if (from->n < sizeof(head))
        return -EBADMSG;
    memcpy(head, from->p, sizeof(head));
    *from = gw_slice_of(from->p + sizeof(head), from->n - sizeof(head));
    if (head[0] == 0 && head[1] == 0)
        return 0;
    is_dense = head[0] >> 8;
    bytes = is_dense ? (size_t)1 << precision : (size_t)head[1] * ENTRY;
    if ((head[0] & 0xff) != precision || head[0] >> 9 || from->n < bytes ||
        (is_dense ? head[1] != 0 : head[1] == 0 || head[1] > most_sparse(precision)))
        return -EBADMSG;
    *d = gw_heap_resize(heap, NULL, 0, HEAD + bytes);
    if (!*d)
        return -errno;
    **d = (struct gw_distinct){.precision = (uint8_t)precision, .is_dense = is_dense, .n = head[1], .cap = head[1]};
    memcpy(dense(*d), from->p, bytes);
    if (!is_sane(*d)) {
        gw_distinct_free(d, heap);
        return -EBADMSG;
    }
    *from = gw_slice_of(from->p + bytes, from->n - bytes);
    return 0;
}
