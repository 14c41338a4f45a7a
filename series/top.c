/* SPDX-License-Identifier: Apache-2.0 */
#include "series/top.h"

#include <errno.h>

#include "core/hash.h"

struct counter {
    uint64_t count, error;
    uint8_t *bytes; /* from the heap: capacity n_bytes, at least 1 */
    uint32_t n_bytes;
};

/* Hashes and counts lie apart from the rest: they are looked through. All arrays have `cap` places. */
struct gw_top {
    uint64_t total;
    uint32_t size, n, cap;
    uint64_t *hash;
    struct counter *at;
};

/* ---- memory ------------------------------------------------------------------------------------------------ */

static struct gw_top *make(struct gw_heap *heap, unsigned size)
{
    struct gw_top *t = gw_heap_resize(heap, NULL, 0, sizeof(*t));

    if (t)
        *t = (struct gw_top){.size = size};
    return t;
}

static int widen(struct gw_top *t, struct gw_heap *heap)
{
    uint32_t cap = t->cap ? 2 * t->cap : 8;
    uint64_t *hash;
    struct counter *at;

    cap = cap < t->size ? cap : t->size;
    hash = gw_heap_resize(heap, NULL, 0, cap * sizeof(*hash));
    if (!hash)
        return -errno;
    at = gw_heap_resize(heap, t->at, t->cap * sizeof(*at), cap * sizeof(*at));
    if (!at) {
        int rc = -errno;

        gw_heap_free(heap, hash, cap * sizeof(*hash));
        return rc;
    }
    if (t->n)
        memcpy(hash, t->hash, t->n * sizeof(*hash));
    gw_heap_free(heap, t->hash, t->cap * sizeof(*hash));
    t->hash = hash;
    t->at = at;
    t->cap = cap;
    return 0;
}

/* The bytes of an item into a counter that has others, or none. */
static int name(struct counter *c, struct gw_heap *heap, struct gw_slice item)
{
    uint8_t *p = gw_heap_resize(heap, NULL, 0, item.n ? item.n : 1);

    if (!p)
        return -errno;
    if (item.n)
        memcpy(p, item.p, item.n);
    if (c->bytes)
        gw_heap_free(heap, c->bytes, c->n_bytes ? c->n_bytes : 1);
    c->bytes = p;
    c->n_bytes = (uint32_t)item.n;
    return 0;
}

void gw_top_free(struct gw_top **top, struct gw_heap *heap)
{
    struct gw_top *t = *top;

    *top = NULL;
    if (!t)
        return;
    for (uint32_t i = 0; i < t->n; i++)
        gw_heap_free(heap, t->at[i].bytes, t->at[i].n_bytes ? t->at[i].n_bytes : 1);
    gw_heap_free(heap, t->hash, t->cap * sizeof(*t->hash));
    gw_heap_free(heap, t->at, t->cap * sizeof(*t->at));
    gw_heap_free(heap, t, sizeof(*t));
}

/* ---- order ------------------------------------------------------------------------------------------------- */

static struct gw_slice bytes_of(const struct counter *c)
{
    return gw_slice_of(c->bytes, c->n_bytes);
}

/* What stands between two counters: > 0 when a comes first. */
static int compare(const struct counter *a, uint64_t hash_a, const struct counter *b, uint64_t hash_b)
{
    size_t n = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int rc;

    if (a->count != b->count)
        return a->count > b->count ? 1 : -1;
    if (hash_a != hash_b)
        return hash_a < hash_b ? 1 : -1;
    rc = memcmp(b->bytes, a->bytes, n);
    return rc ? rc : (int)b->n_bytes - (int)a->n_bytes;
}

static void swap(struct gw_top *t, uint32_t i, uint32_t k)
{
    struct counter c = t->at[i];
    uint64_t h = t->hash[i];

    t->at[i] = t->at[k];
    t->hash[i] = t->hash[k];
    t->at[k] = c;
    t->hash[k] = h;
}

/* Heap sort: the last one goes down to where it belongs. */
static void sift(struct gw_top *t, uint32_t i, uint32_t n)
{
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && compare(&t->at[child + 1], t->hash[child + 1], &t->at[child], t->hash[child]) < 0)
            child++;
        if (compare(&t->at[i], t->hash[i], &t->at[child], t->hash[child]) <= 0)
            return;
        swap(t, i, child);
    }
}

/* The largest first. */
static void sort(struct gw_top *t)
{
    for (uint32_t i = t->n / 2; i-- > 0;)
        sift(t, i, t->n);
    for (uint32_t n = t->n; n > 1; n--) {
        swap(t, 0, n - 1);
        sift(t, 0, n - 1);
    }
}

static uint32_t smallest(const struct gw_top *t)
{
    uint32_t least = 0;

    for (uint32_t i = 1; i < t->n; i++)
        if (t->at[i].count <= t->at[least].count && compare(&t->at[i], t->hash[i], &t->at[least], t->hash[least]) < 0)
            least = i;
    return least;
}

/* What an item without a counter may have had. */
static uint64_t unseen(const struct gw_top *t)
{
    return t->n == t->size ? t->at[smallest(t)].count : 0;
}

/* ---- adding ------------------------------------------------------------------------------------------------ */

static struct counter *find(const struct gw_top *t, uint64_t hash, struct gw_slice item)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->hash[i] == hash && gw_slice_eq(bytes_of(&t->at[i]), item))
            return &t->at[i];
    return NULL;
}

/* One more counter. */
static int append(struct gw_top *t, struct gw_heap *heap, uint64_t hash, struct gw_slice item, uint64_t count,
                  uint64_t error)
{
    struct counter c = {.count = count, .error = error};
    int rc = t->n == t->cap ? widen(t, heap) : 0;

    rc = rc ? rc : name(&c, heap, item);
    if (rc == 0) {
        t->hash[t->n] = hash;
        t->at[t->n++] = c;
    }
    return rc;
}

static int take_over(struct gw_top *t, struct gw_heap *heap, uint64_t hash, struct gw_slice item, uint64_t n)
{
    uint32_t least = smallest(t);
    struct counter *c = &t->at[least];
    int rc = name(c, heap, item);

    if (rc)
        return rc;
    t->hash[least] = hash;
    c->error = c->count;
    c->count += n;
    return 0;
}

/* Not within a character of UTF-8. */
static struct gw_slice shortened(struct gw_slice s)
{
    if (s.n <= GW_TOP_ITEM_BYTES)
        return s;
    s.n = GW_TOP_ITEM_BYTES;
    while (s.n > GW_TOP_ITEM_BYTES - 4 && (s.p[s.n] & 0xc0) == 0x80)
        s.n--;
    return s;
}

int gw_top_add(struct gw_top **top, struct gw_heap *heap, unsigned size, struct gw_slice item, uint64_t n)
{
    struct counter *c;
    uint64_t hash;
    int rc = 0;

    if (n == 0)
        return 0;
    if (!*top && !(*top = make(heap, size)))
        return -errno;
    item = shortened(item);
    hash = gw_hash_stable(item);
    c = find(*top, hash, item);
    if (c)
        c->count += n;
    else if ((*top)->n < (*top)->size)
        rc = append(*top, heap, hash, item, n, 0);
    else
        rc = take_over(*top, heap, hash, item, n);
    if (rc == 0)
        (*top)->total += n;
    return rc;
}

/* ---- merging ----------------------------------------------------------------------------------------------- */

/* The counters of a, with what b has of them; and with is_rest only those that b has not. */
static int join(struct gw_top *out, struct gw_heap *heap, const struct gw_top *a, const struct gw_top *b, bool is_rest)
{
    uint64_t missing = b ? unseen(b) : 0;
    int rc = 0;

    for (uint32_t i = 0; a && i < a->n && rc == 0; i++) {
        const struct counter *c = &a->at[i], *other = b ? find(b, a->hash[i], bytes_of(c)) : NULL;

        if (!other)
            rc = append(out, heap, a->hash[i], bytes_of(c), c->count + missing, c->error + missing);
        else if (!is_rest)
            rc = append(out, heap, a->hash[i], bytes_of(c), c->count + other->count, c->error + other->error);
    }
    return rc;
}

static void shorten(struct gw_top *t, struct gw_heap *heap)
{
    sort(t);
    while (t->n > t->size) {
        struct counter *c = &t->at[--t->n];

        gw_heap_free(heap, c->bytes, c->n_bytes ? c->n_bytes : 1);
    }
}

int gw_top_merge(struct gw_top **top, struct gw_heap *heap, const struct gw_top *other)
{
    struct gw_top *out;
    int rc;

    if (!other)
        return 0;
    out = make(heap, 2 * other->size);
    if (!out)
        return -errno;
    rc = join(out, heap, *top, other, false);
    rc = rc ? rc : join(out, heap, other, *top, true);
    if (rc) {
        gw_top_free(&out, heap);
        return rc;
    }
    out->size = other->size;
    out->total = gw_top_total(*top) + other->total;
    shorten(out, heap);
    gw_top_free(top, heap);
    *top = out;
    return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

uint64_t gw_top_total(const struct gw_top *t)
{
    return t ? t->total : 0;
}

unsigned gw_top_read(struct gw_top *t, struct gw_top_item *ret, unsigned k)
{
    unsigned n = 0;

    if (t)
        sort(t);
    for (; t && n < k && n < t->n; n++)
        ret[n] = (struct gw_top_item){t->at[n].count, t->at[n].error, bytes_of(&t->at[n])};
    return n;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------- */

/* total, then of each: count, error, u32 length, bytes. Its number in front: u32. */
void gw_top_save(struct gw_top *t, struct gw_buf *out)
{
    uint32_t n = t ? t->n : 0;

    gw_buf_put(out, &n, sizeof(n));
    if (n == 0)
        return;
    gw_buf_put(out, &t->total, 8);
    sort(t);
    for (uint32_t i = 0; i < n; i++) {
        gw_buf_put(out, &t->at[i].count, 8);
        gw_buf_put(out, &t->at[i].error, 8);
        gw_buf_put(out, &t->at[i].n_bytes, 4);
        gw_buf_put(out, t->at[i].bytes, t->at[i].n_bytes);
    }
}

static bool get(struct gw_slice *from, void *to, size_t n)
{
    if (from->n < n)
        return false;
    memcpy(to, from->p, n);
    *from = gw_slice_of(from->p + n, from->n - n);
    return true;
}

static int restore_one(struct gw_top *t, struct gw_heap *heap, struct gw_slice *from)
{
    uint64_t count, error;
    struct gw_slice item;
    uint32_t n;

    if (!get(from, &count, 8) || !get(from, &error, 8) || !get(from, &n, 4))
        return -EBADMSG;
    if (n > GW_TOP_ITEM_BYTES || n > from->n || error >= count)
        return -EBADMSG;
    item = gw_slice_of(from->p, n);
    *from = gw_slice_of(from->p + n, from->n - n);
    if (find(t, gw_hash_stable(item), item))
        return -EBADMSG;
    return append(t, heap, gw_hash_stable(item), item, count, error);
}

int gw_top_restore(struct gw_top **top, struct gw_heap *heap, unsigned size, struct gw_slice *from)
{
    uint32_t n;
    int rc = 0;

    if (!get(from, &n, 4) || n > size)
        return -EBADMSG;
    if (n == 0)
        return 0;
    *top = make(heap, size);
    if (!*top)
        return -errno;
    if (!get(from, &(*top)->total, 8))
        rc = -EBADMSG;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = restore_one(*top, heap, from);
    if (rc)
        gw_top_free(top, heap);
    return rc;
}
