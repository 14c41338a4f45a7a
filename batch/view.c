/* SPDX-License-Identifier: Apache-2.0 */
#include "batch/view.h"

#include <assert.h>
#include <errno.h>

enum { FIRST_PATCHES = 64, NO_PATCH = 0 };
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

static bool grow_patches(struct gw_view *v)
{
    uint32_t want = v->batch->n_rows < FIRST_PATCHES ? FIRST_PATCHES : v->batch->n_rows;
    uint32_t cap = v->cap_patches ? v->cap_patches * 2 : want;
    struct gw_patch *p;

    if (cap > UINT32_MAX / 4)
        return false;
    p = gw_arena_alloc(v->arena, (size_t)cap * sizeof(*p));
    if (!p)
        return false;
    if (v->n_patches)
        memcpy(p, v->patches, v->n_patches * sizeof(*p));
    v->patches = p;
    v->cap_patches = cap;
    return true;
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
    p->dead = 0;
    v->heads[o][index] = v->n_patches;
    return p;
}

static inline uint32_t head(const struct gw_view *v, enum gw_owner o, uint32_t index)
{
    return v->heads[o] ? v->heads[o][index] : NO_PATCH;
}

/* The patch of one attribute of the batch, or NULL. */
static struct gw_patch *patch_at(const struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t attr)
{
    for (uint32_t i = head(v, o, index); i; i = v->patches[i - 1].next) {
        struct gw_patch *p = &v->patches[i - 1];

        if (p->op != GW_P_FIELD && p->attr == attr)
            return p;
    }
    return NULL;
}

/* The living appended attribute of a key, or NULL. */
static struct gw_patch *patch_appended(const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key)
{
    for (uint32_t i = head(v, o, index); i; i = v->patches[i - 1].next) {
        struct gw_patch *p = &v->patches[i - 1];

        if (p->op == GW_P_ATTR_SET && p->attr == NO_ATTR && !p->dead && gw_slice_eq(p->key, key))
            return p;
    }
    return NULL;
}

/* ---- attributes ------------------------------------------------------------------------------------------- */

static inline struct gw_range range_of(const struct gw_view *v, enum gw_owner o, uint32_t index)
{
    const struct gw_batch *b = v->batch;

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

/* Keys are short: without a call, in steps of eight, the last one overlapping. */
static inline bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;

    if (n < 8) {
        for (; i < n; i++)
            if (a[i] != b[i])
                return false;
        return true;
    }
    for (; i + 8 < n; i += 8)
        if (load8(a + i) != load8(b + i))
            return false;
    return load8(a + n - 8) == load8(b + n - 8);
}

/* Keys are compared by length first: most rows are told apart without touching the payload. */
static inline uint32_t find(const struct gw_batch *b, uint32_t at, uint32_t end, struct gw_slice key)
{
    const struct gw_attr *a, *stop;
    uint16_t n = (uint16_t)key.n;

    if (at >= end || key.n > UINT16_MAX)
        return NO_ATTR; /* attrs may be NULL */
    stop = b->attrs + end;
    for (a = b->attrs + at; a < stop; a++)
        if (__builtin_expect(a->klen == n, 0) && same(b->base + a->kv_off + a->kdelta, key.p, n))
            return (uint32_t)(a - b->attrs);
    return NO_ATTR;
}

bool gw_view_attr_get(const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key,
                      struct gw_value *ret_value)
{
    struct gw_range r = range_of(v, o, index);
    bool patched = gw_view_is_patched(v, o, index);
    const struct gw_patch *p;

    for (uint32_t at = find(v->batch, r.begin, r.end, key); at != NO_ATTR; at = find(v->batch, at + 1, r.end, key)) {
        p = patched ? patch_at(v, o, index, at) : NULL;
        if (p && p->op == GW_P_ATTR_DELETE)
            continue;
        if (ret_value)
            *ret_value = p ? p->value : gw_value_of(v->batch, v->batch->attrs[at].type, v->batch->attrs[at].val);
        return true;
    }
    p = patched ? patch_appended(v, o, index, key) : NULL;
    if (p && ret_value)
        *ret_value = p->value;
    return p != NULL;
}

void gw_view_attr_set(struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key,
                      const struct gw_value *value)
{
    struct gw_range r = range_of(v, o, index);
    uint32_t at = find(v->batch, r.begin, r.end, key);
    struct gw_patch *p = NULL;

    if (gw_view_is_patched(v, o, index)) {
        for (; at != NO_ATTR; at = find(v->batch, at + 1, r.end, key)) {
            p = patch_at(v, o, index, at);
            if (!p || p->op == GW_P_ATTR_SET)
                break;
            p = NULL;
        }
        if (at == NO_ATTR)
            p = patch_appended(v, o, index, key);
    }
    if (!p) {
        p = push(v, o, index);
        if (!p)
            return;
        p->op = GW_P_ATTR_SET;
        p->attr = at;
        p->key = key;
    }
    p->value = *value;
}

static bool delete_at(struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t at, struct gw_slice key)
{
    struct gw_patch *p = gw_view_is_patched(v, o, index) ? patch_at(v, o, index, at) : NULL;
    bool was = !p || p->op == GW_P_ATTR_SET;

    if (!p) {
        p = push(v, o, index);
        if (!p)
            return was;
        p->attr = at;
        p->key = key;
    }
    p->op = GW_P_ATTR_DELETE;
    return was;
}

bool gw_view_attr_delete(struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key)
{
    struct gw_range r = range_of(v, o, index);
    struct gw_patch *p = gw_view_is_patched(v, o, index) ? patch_appended(v, o, index, key) : NULL;
    bool was = p != NULL;

    if (p)
        p->dead = 1;
    for (uint32_t at = find(v->batch, r.begin, r.end, key); at != NO_ATTR; at = find(v->batch, at + 1, r.end, key))
        was |= delete_at(v, o, index, at, key);
    return was;
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

        if (p->op == GW_P_ATTR_SET && p->attr == NO_ATTR && !p->dead)
            best = i;
    }
    if (best == UINT32_MAX)
        return false;
    it->patch = best;
    *ret_key = v->patches[best - 1].key;
    *ret_value = v->patches[best - 1].value;
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
        *ret_value = p ? p->value : gw_value_of(v->batch, a->type, a->val);
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
    struct gw_patch *p = patch_field(v, o, index, field);

    if (!p) {
        p = push(v, o, index);
        if (!p)
            return;
        p->op = GW_P_FIELD;
        p->attr = NO_ATTR;
        p->field = field;
        p->key = (struct gw_slice){NULL, 0};
    }
    p->raw = encoded;
}

bool gw_view_field_get(const struct gw_view *v, enum gw_owner o, uint32_t index, uint32_t field,
                       struct gw_slice *ret_encoded)
{
    const struct gw_patch *p = patch_field(v, o, index, field);

    if (p)
        *ret_encoded = p->raw;
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

/* The texts of patches may live in the first view's arena: take them along. */
static bool dup_texts(struct gw_view *v)
{
    for (uint32_t i = 0; i < v->n_patches; i++) {
        struct gw_patch *p = &v->patches[i];
        bool has_text = p->op == GW_P_ATTR_SET && (p->value.type == GW_V_STRING || p->value.type == GW_V_BYTES ||
                                                   p->value.type == GW_V_ARRAY || p->value.type == GW_V_KVLIST);

        if (!dup_slice(v->arena, &p->key) || (has_text && !dup_slice(v->arena, &p->value.s)) ||
            (p->op == GW_P_FIELD && !dup_slice(v->arena, &p->raw)))
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
        if (!c.patches || (arena != v->arena && !dup_texts(&c)))
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
