/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/view.h"

#include <assert.h>
#include <errno.h>

enum { FIRST_PATCHES = 64, FIRST_EDITS = 8, NO_PATCH = 0 };
#define NO_ATTR UINT32_MAX

void gw_view_init(struct gw_view *v, struct gw_batch *b, struct gw_arena *arena)
{
    *v = (struct gw_view){.batch = gw_batch_ref(b), .arena = arena, .meta = gw_meta_ref(b->meta), .n_rows = b->n_rows};
}

void gw_view_clear(struct gw_view *v)
{
    v->batch = gw_batch_unref(v->batch);
    v->meta = gw_meta_unref(v->meta);
    *v = (struct gw_view){0};
}

static uint32_t n_words(const struct gw_view *v)
{
    return (v->batch->n_rows + 63) / 64;
}

static uint32_t owner_count(const struct gw_batch *b, enum gw_owner o)
{
    switch (o) {
    case GW_OWN_RESOURCE:
        return b->n_resources;
    case GW_OWN_SCOPE:
        return b->n_scopes;
    case GW_OWN_ROW:
        return b->n_rows;
    case GW_OWN_METRIC:
    case GW_OWN_DATA:
        return b->n_metrics;
    case GW_N_OWNERS:
        break;
    }
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

uint32_t gw_view_next(const struct gw_view *v, uint32_t row)
{
    uint32_t n = v->batch->n_rows, word = row / 64;
    uint64_t bits;

    if (row >= n || v->n_rows == 0)
        return n;
    if (!v->kept)
        return row;
    bits = v->kept[word] & (UINT64_MAX << (row % 64));
    while (!bits) {
        if (++word >= n_words(v))
            return n;
        bits = v->kept[word];
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

uint32_t gw_view_count(const struct gw_view *v, struct gw_range rows)
{
    uint32_t first = rows.begin / 64, last = rows.end ? (rows.end - 1) / 64 : 0, n = 0;

    if (rows.begin >= rows.end || v->n_rows == 0)
        return 0;
    if (!v->kept)
        return rows.end - rows.begin;
    for (uint32_t w = first; w <= last; w++) {
        uint64_t bits = v->kept[w];

        if (w == first)
            bits &= UINT64_MAX << (rows.begin % 64);
        if (w == last)
            bits &= UINT64_MAX >> (63 - (rows.end - 1) % 64);
        n += (uint32_t)__builtin_popcountll(bits);
    }
    return n;
}

int gw_view_remove(struct gw_view *v, uint32_t row)
{
    assert(row < v->batch->n_rows);
    if (!gw_view_has(v, row))
        return 0;
    if (!v->kept) {
        uint32_t words = n_words(v), tail = v->batch->n_rows % 64;

        v->kept = gw_arena_alloc(v->arena, words * sizeof(uint64_t));
        if (!v->kept) {
            v->failed = true;
            return -ENOMEM;
        }
        memset(v->kept, 0xff, words * sizeof(uint64_t));
        if (tail)
            v->kept[words - 1] = UINT64_MAX >> (64 - tail);
    }
    v->kept[row / 64] &= ~(UINT64_C(1) << (row % 64));
    v->n_rows--;
    return 0;
}

/* ---- patches ---------------------------------------------------------------------------------------------- */

/* Twice the table, at first `first` items. NULL: no memory. */
static void *grow(struct gw_view *v, const void *table, uint32_t n, uint32_t *cap, size_t item_bytes, uint32_t first)
{
    uint32_t want = *cap ? *cap * 2 : first;
    void *p = want > UINT32_MAX / 4 ? NULL : gw_arena_alloc(v->arena, want * item_bytes);

    if (!p) {
        v->failed = true;
        return NULL;
    }
    if (n)
        memcpy(p, table, n * item_bytes);
    *cap = want;
    return p;
}

static bool grow_patches(struct gw_view *v)
{
    uint32_t first = v->batch->n_rows < FIRST_PATCHES ? FIRST_PATCHES : v->batch->n_rows;
    void *p = grow(v, v->patches, v->n_patches, &v->cap_patches, sizeof(*v->patches), first);

    if (p)
        v->patches = p;
    return p != NULL;
}

/* Links are indices, not pointers: the array moves when it grows. */
static bool make_room(struct gw_view *v, enum gw_owner o)
{
    if (!v->heads[o])
        v->heads[o] = gw_arena_zalloc(v->arena, (size_t)owner_count(v->batch, o) * sizeof(uint32_t));
    if (!v->heads[o] || (v->n_patches == v->cap_patches && !grow_patches(v)))
        v->failed = true;
    return !v->failed;
}

static inline struct gw_patch *push(struct gw_view *v, enum gw_owner o, uint32_t index)
{
    struct gw_patch *p;

    if (__builtin_expect(!v->heads[o] || v->n_patches == v->cap_patches, 0) && !make_room(v, o))
        return NULL;
    p = &v->patches[v->n_patches++];
    p->next = v->heads[o][index];
    v->heads[o][index] = v->n_patches;
    return p;
}

static inline uint32_t head(const struct gw_view *v, enum gw_owner o, uint32_t index)
{
    return v->heads[o] ? v->heads[o][index] : NO_PATCH;
}

static inline bool is_of_attr(const struct gw_patch *p)
{
    return p->op == GW_P_ATTR_SET || p->op == GW_P_ATTR_DELETE;
}

/* The patch of one attribute of the batch, or NULL. */
static inline struct gw_patch *patch_at(const struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t attr)
{
    for (uint32_t i = head(v, o, index); i; i = v->patches[i - 1].next) {
        struct gw_patch *p = &v->patches[i - 1];

        if (is_of_attr(p) && p->attr == attr)
            return p;
    }
    return NULL;
}

/* The living appended attribute of a key, or NULL. */
static inline struct gw_patch *patch_appended(const struct gw_view *v, enum gw_owner o, uint32_t index,
                                              struct gw_slice key)
{
    for (uint32_t i = head(v, o, index); i; i = v->patches[i - 1].next) {
        struct gw_patch *p = &v->patches[i - 1];

        if (p->op == GW_P_ATTR_SET && p->attr == NO_ATTR && gw_slice_eq(v->edits[p->edit].key, key))
            return p;
    }
    return NULL;
}

/* ---- edits ------------------------------------------------------------------------------------------------ */

static inline bool is_text(enum gw_value_type type)
{
    return type == GW_V_STRING || type == GW_V_BYTES || type == GW_V_ARRAY || type == GW_V_KVLIST;
}

/* Texts are the same when they are the same memory: borrowed ones do not change. */
static inline bool same_edit(const struct gw_edit *x, struct gw_slice key, const struct gw_value *value)
{
    if (x->key.p != key.p || x->key.n != key.n || x->value.type != value->type)
        return false;
    if (__builtin_expect(is_text(value->type), 1))
        return x->value.s.p == value->s.p && x->value.s.n == value->s.n;
    if (value->type == GW_V_BOOL)
        return x->value.b == value->b;
    return value->type == GW_V_EMPTY || x->value.i == value->i;
}

static __attribute__((noinline)) bool new_edit(struct gw_view *v, struct gw_slice key, const struct gw_value *value)
{
    if (v->n_edits == v->cap_edits) {
        void *p = grow(v, v->edits, v->n_edits, &v->cap_edits, sizeof(*v->edits), FIRST_EDITS);

        if (!p)
            return false;
        v->edits = p;
    }
    v->edits[v->n_edits++] = (struct gw_edit){key, *value};
    return true;
}

/* Index of an edit, an equal one if it was made lately. False: no memory. */
static inline bool edit_of(struct gw_view *v, struct gw_slice key, const struct gw_value *value, uint32_t *ret)
{
    uintptr_t hash = (uintptr_t)key.p ^ (uintptr_t)key.p >> 4;
    uint32_t *recent = &v->recent[hash % GW_RECENT_EDITS];

    if (__builtin_expect(*recent >= v->n_edits || !same_edit(&v->edits[*recent], key, value), 0)) {
        if (!new_edit(v, key, value))
            return false;
        *recent = v->n_edits - 1;
    }
    *ret = *recent;
    return true;
}

/* ---- attributes ------------------------------------------------------------------------------------------- */

static inline struct gw_range range_of(const struct gw_view *v, enum gw_owner o, uint32_t index)
{
    const struct gw_batch *b = v->batch;

    assert(o != GW_OWN_ROW || !b->is_outline);
    if (__builtin_expect(o == GW_OWN_ROW, 1))
        return b->attr[index];
    switch (o) {
    case GW_OWN_RESOURCE:
        return b->resources[index].attrs;
    case GW_OWN_SCOPE:
        return b->scopes[index].attrs;
    case GW_OWN_ROW:
        return b->attr[index];
    case GW_OWN_METRIC:
        return b->metrics[index].metadata;
    case GW_OWN_DATA:
    case GW_N_OWNERS:
        break;
    }
    return (struct gw_range){0, 0};
}

struct gw_range gw_view_attr_range(const struct gw_view *v, enum gw_owner o, uint32_t index)
{
    return range_of(v, o, index);
}

struct gw_value gw_value_of(const struct gw_batch *b, enum gw_value_type type, union gw_val val)
{
    struct gw_value value = {.type = type};

    switch (type) {
    case GW_V_STRING:
    case GW_V_BYTES:
    case GW_V_ARRAY:
    case GW_V_KVLIST:
        value.s = gw_batch_slice(b, val.ref);
        break;
    case GW_V_BOOL:
        value.b = val.u64 != 0;
        break;
    case GW_V_INT:
        value.i = val.i64;
        break;
    case GW_V_DOUBLE:
        value.f = val.f64;
        break;
    case GW_V_EMPTY:
        break;
    }
    return value;
}

static inline uint64_t load8(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t load4(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/*
 * A key to look for. Attributes are told apart by the length of their key, then by its last eight bytes (all of a
 * shorter one); those that share both are compared in full.
 */
struct probe {
    struct gw_slice key;
    uint16_t n;  /* its length */
    uint32_t at; /* where the eight bytes begin */
    uint64_t tail, mask;
};

/* The bytes of a key shorter than eight as one number, without reading more than those. */
static inline uint64_t short_key(const uint8_t *p, uint32_t n)
{
    if (n >= 4)
        return load4(p) | load4(p + n - 4) << 8 * (n - 4);
    return n ? (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 * (n / 2) | (uint64_t)p[n - 1] << 8 * (n - 1) : 0;
}

static inline struct probe probe_of(struct gw_slice key)
{
    uint32_t n = (uint32_t)key.n;

    if (__builtin_expect(key.n > UINT16_MAX, 0))
        return (struct probe){.key = key, .n = UINT16_MAX, .tail = 1}; /* no attribute's: no masked bytes are 1 */
    if (__builtin_expect(n >= 8, 1))
        return (struct probe){key, (uint16_t)n, n - 8, load8(key.p + n - 8), UINT64_MAX};
    return (struct probe){key, (uint16_t)n, 0, short_key(key.p, n), (UINT64_C(1) << 8 * n) - 1};
}

/* The bytes before those of the tail: of most keys in one comparison. */
static inline bool same_front(const uint8_t *key, const struct probe *k)
{
    uint32_t i = 0;

    while (i < k->at && load8(key + i) == load8(k->key.p + i))
        i += 8;
    return i >= k->at;
}

/* Reads up to eight bytes behind a key: the payload may be read over its end. */
static inline bool is_key(const uint8_t *base, const struct gw_attr *a, const struct probe *k)
{
    const uint8_t *key = base + a->kv_off + a->kdelta;

    return (load8(key + k->at) & k->mask) == k->tail && same_front(key, k);
}

/*
 * The first attribute of a key in [a, stop), or NULL. Nearly all have a key of another length: four a step make two
 * instructions of each.
 */
static inline __attribute__((always_inline)) const struct gw_attr *
find(const uint8_t *base, const struct gw_attr *a, const struct gw_attr *stop, const struct probe *k)
{
    uint16_t n = k->n;

    for (size_t left = (size_t)(stop - a); left >= 4; left -= 4, a += 4) {
        if (__builtin_expect(a[0].klen == n, 0) && is_key(base, a, k))
            return a;
        if (__builtin_expect(a[1].klen == n, 0) && is_key(base, a + 1, k))
            return a + 1;
        if (__builtin_expect(a[2].klen == n, 0) && is_key(base, a + 2, k))
            return a + 2;
        if (__builtin_expect(a[3].klen == n, 0) && is_key(base, a + 3, k))
            return a + 3;
    }
    for (; a < stop; a++)
        if (__builtin_expect(a->klen == n, 0) && is_key(base, a, k))
            return a;
    return NULL;
}

/* The same by index, from `at` on, or NO_ATTR. */
static inline __attribute__((always_inline)) uint32_t find_index(const struct gw_batch *b, uint32_t at, uint32_t end,
                                                                 const struct probe *k)
{
    const struct gw_attr *a = at < end ? find(b->base, b->attrs + at, b->attrs + end, k) : NULL; /* attrs may be NULL */

    return a ? (uint32_t)(a - b->attrs) : NO_ATTR;
}

bool gw_view_attr_get(const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key,
                      struct gw_value *ret_value)
{
    struct gw_range r = range_of(v, o, index);
    bool patched = gw_view_is_patched(v, o, index);
    const struct probe k = probe_of(key);
    const struct gw_patch *p;

    for (uint32_t at = r.begin; (at = find_index(v->batch, at, r.end, &k)) != NO_ATTR; at++) {
        p = patched ? patch_at(v, o, index, at) : NULL;
        if (p && p->op == GW_P_ATTR_DELETE)
            continue;
        if (ret_value)
            *ret_value =
                p ? v->edits[p->edit].value : gw_value_of(v->batch, v->batch->attrs[at].type, v->batch->attrs[at].val);
        return true;
    }
    p = patched ? patch_appended(v, o, index, key) : NULL;
    if (p && ret_value)
        *ret_value = v->edits[p->edit].value;
    return p != NULL;
}

/* Of an owner that has patches: the one that is to be rewritten, or NULL, and in *at where a new one belongs. */
static __attribute__((noinline)) struct gw_patch *patch_to_set(const struct gw_view *v, enum gw_owner o, uint32_t index,
                                                               const struct probe *k, uint32_t *at, uint32_t end)
{
    for (; *at != NO_ATTR; *at = find_index(v->batch, *at + 1, end, k)) {
        struct gw_patch *p = patch_at(v, o, index, *at);

        if (!p || p->op == GW_P_ATTR_SET)
            return p;
    }
    return patch_appended(v, o, index, k->key);
}

static inline __attribute__((always_inline)) void set_one(struct gw_view *v, enum gw_owner o, uint32_t index,
                                                          const struct probe *k, uint32_t edit, enum gw_set how)
{
    struct gw_range r = range_of(v, o, index);
    uint32_t at = find_index(v->batch, r.begin, r.end, k);
    bool patched = gw_view_is_patched(v, o, index);
    struct gw_patch *p = NULL;

    if (how != GW_UPSERT) {
        bool is_there = patched ? gw_view_attr_get(v, o, index, k->key, NULL) : at != NO_ATTR;

        if (is_there != (how == GW_UPDATE))
            return;
    }
    if (patched)
        p = patch_to_set(v, o, index, k, &at, r.end);
    if (!p) {
        p = push(v, o, index);
        if (!p)
            return;
        p->op = GW_P_ATTR_SET;
        p->attr = at;
    }
    p->edit = edit;
}

static inline bool delete_at(struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t at)
{
    struct gw_patch *p = patch_at(v, o, index, at);
    bool was = !p || p->op == GW_P_ATTR_SET;

    if (!p) {
        p = push(v, o, index);
        if (!p)
            return was;
        p->attr = at;
        p->edit = 0;
    }
    p->op = GW_P_ATTR_DELETE;
    return was;
}

static inline __attribute__((always_inline)) bool delete_one(struct gw_view *v, enum gw_owner o, uint32_t index,
                                                             const struct probe *k)
{
    const struct gw_batch *b = v->batch;
    struct gw_range r = range_of(v, o, index);
    struct gw_patch *p = patch_appended(v, o, index, k->key);
    const struct gw_attr *a, *stop;
    bool was = p != NULL;

    if (p)
        p->op = GW_P_NOTHING;
    if (r.begin == r.end)
        return was; /* attrs may be NULL */
    stop = b->attrs + r.end;
    for (a = b->attrs + r.begin; (a = find(b->base, a, stop, k)); a++)
        was |= delete_at(v, o, index, (uint32_t)(a - b->attrs));
    return was;
}

void gw_view_attr_set(struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key,
                      const struct gw_value *value)
{
    const struct probe k = probe_of(key);
    uint32_t edit;

    if (edit_of(v, key, value, &edit))
        set_one(v, o, index, &k, edit, GW_UPSERT);
}

bool gw_view_attr_delete(struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key)
{
    const struct probe k = probe_of(key);

    return delete_one(v, o, index, &k);
}

/* As gw_view_next, without a call when no row was removed. */
static inline uint32_t next_row(const struct gw_view *v, uint32_t row)
{
    return v->kept ? gw_view_next(v, row) : row;
}

void gw_view_attr_set_rows(struct gw_view *v, struct gw_slice key, const struct gw_value *value, enum gw_set how)
{
    const struct probe k = probe_of(key);
    uint32_t edit, n = v->batch->n_rows;

    if (!edit_of(v, key, value, &edit))
        return;
    for (uint32_t row = gw_view_next(v, 0); row < n; row = next_row(v, row + 1))
        set_one(v, GW_OWN_ROW, row, &k, edit, how);
}

void gw_view_attr_delete_rows(struct gw_view *v, struct gw_slice key)
{
    const struct probe k = probe_of(key);
    uint32_t n = v->batch->n_rows;

    for (uint32_t row = gw_view_next(v, 0); row < n; row = next_row(v, row + 1))
        (void)delete_one(v, GW_OWN_ROW, row, &k);
}

void gw_view_attr_begin(const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_attr_iter *it)
{
    struct gw_range r = range_of(v, o, index);

    *it = (struct gw_attr_iter){.v = v, .owner = o, .index = index, .at = r.begin, .end = r.end};
}

/* Patches are numbered in the order of appending, the chain runs backwards: the lowest number behind the last. */
static bool next_appended(struct gw_attr_iter *it, struct gw_slice *ret_key, struct gw_value *ret_value)
{
    const struct gw_view *v = it->v;
    uint32_t best = UINT32_MAX;

    for (uint32_t i = head(v, it->owner, it->index); i > it->patch; i = v->patches[i - 1].next) {
        const struct gw_patch *p = &v->patches[i - 1];

        if (p->op == GW_P_ATTR_SET && p->attr == NO_ATTR)
            best = i;
    }
    if (best == UINT32_MAX)
        return false;
    it->patch = best;
    *ret_key = v->edits[v->patches[best - 1].edit].key;
    *ret_value = v->edits[v->patches[best - 1].edit].value;
    return true;
}

bool gw_view_attr_next(struct gw_attr_iter *it, struct gw_slice *ret_key, struct gw_value *ret_value)
{
    const struct gw_view *v = it->v;
    bool patched = gw_view_is_patched(v, it->owner, it->index);

    while (it->at < it->end) {
        const struct gw_attr *a = &v->batch->attrs[it->at];
        const struct gw_patch *p = patched ? patch_at(v, it->owner, it->index, it->at) : NULL;

        it->at++;
        if (p && p->op == GW_P_ATTR_DELETE)
            continue;
        *ret_key = gw_attr_key(v->batch, a);
        *ret_value = p ? v->edits[p->edit].value : gw_value_of(v->batch, a->type, a->val);
        return true;
    }
    return patched && next_appended(it, ret_key, ret_value);
}

/* ---- fields ----------------------------------------------------------------------------------------------- */

static struct gw_patch *patch_field(const struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t field)
{
    for (uint32_t i = head(v, o, index); i; i = v->patches[i - 1].next)
        if (v->patches[i - 1].op == GW_P_FIELD && v->patches[i - 1].field == field)
            return &v->patches[i - 1];
    return NULL;
}

void gw_view_field_set(struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t field, struct gw_slice encoded)
{
    struct gw_value value = {.type = GW_V_BYTES, .s = encoded};
    struct gw_patch *p = patch_field(v, o, index, field);
    uint32_t edit;

    if (!edit_of(v, (struct gw_slice){NULL, 0}, &value, &edit))
        return;
    if (!p) {
        p = push(v, o, index);
        if (!p)
            return;
        p->op = GW_P_FIELD;
        p->field = field;
    }
    p->edit = edit;
}

bool gw_view_field_get(const struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t field,
                       struct gw_slice *ret_encoded)
{
    const struct gw_patch *p = patch_field(v, o, index, field);

    if (p)
        *ret_encoded = v->edits[p->edit].value.s;
    return p != NULL;
}

/* ---- clone ------------------------------------------------------------------------------------------------ */

static bool dup_slice(struct gw_arena *arena, struct gw_slice *s)
{
    if (s->n == 0)
        return true;
    *s = gw_arena_dup(arena, *s);
    return s->p != NULL;
}

/* The texts of edits may live in the first view's arena: take them along. */
static bool dup_texts(struct gw_view *v)
{
    for (uint32_t i = 0; i < v->n_edits; i++) {
        struct gw_edit *x = &v->edits[i];

        if (!dup_slice(v->arena, &x->key) || (is_text(x->value.type) && !dup_slice(v->arena, &x->value.s)))
            return false;
    }
    return true;
}

static void *dup_bytes(struct gw_arena *arena, const void *p, size_t n)
{
    void *copy = gw_arena_alloc(arena, n);

    return copy ? memcpy(copy, p, n) : NULL;
}

int gw_view_clone(const struct gw_view *v, struct gw_arena *arena, struct gw_view *ret)
{
    struct gw_view c = *v;

    c.arena = arena;
    if (v->kept && !(c.kept = dup_bytes(arena, v->kept, n_words(v) * sizeof(uint64_t))))
        return -ENOMEM;
    if (v->n_patches) {
        c.patches = dup_bytes(arena, v->patches, v->n_patches * sizeof(*v->patches));
        c.cap_patches = v->n_patches;
        if (!c.patches)
            return -ENOMEM;
    }
    if (v->n_edits) {
        c.edits = dup_bytes(arena, v->edits, v->n_edits * sizeof(*v->edits));
        c.cap_edits = v->n_edits;
        if (!c.edits || (arena != v->arena && !dup_texts(&c)))
            return -ENOMEM;
    }
    for (unsigned o = 0; o < GW_N_OWNERS; o++) {
        if (!v->heads[o])
            continue;
        c.heads[o] = dup_bytes(arena, v->heads[o], owner_count(v->batch, o) * sizeof(uint32_t));
        if (!c.heads[o])
            return -ENOMEM;
    }
    c.batch = gw_batch_ref(v->batch);
    c.meta = gw_meta_ref(v->meta);
    *ret = c;
    return 0;
}

/* ---- as it came ------------------------------------------------------------------------------------------- */

bool gw_view_is_whole_payload(const struct gw_view *v)
{
    const struct gw_batch *b = v->batch;
    uint64_t at = 0;

    if (!gw_view_is_untouched(v) || !b->payload)
        return false;
    for (uint32_t i = 0; i < b->n_segments; i++) {
        if (b->segments[i].wire.off != at)
            return false;
        at += b->segments[i].wire.len;
    }
    return at == b->payload->n && at > 0;
}

uint64_t gw_view_requests(const struct gw_view *v)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < v->batch->n_segments; i++)
        n += v->kept ? gw_view_count(v, v->batch->segments[i].rows) > 0
                     : v->batch->segments[i].rows.end > v->batch->segments[i].rows.begin;
    return n ? n : 1;
}
