/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about attributes of rows, scopes and resources. */
#include "processors/validate/validate.h"

#define KEY(k) (int)((k).n < 100 ? (k).n : 100), (const char *)(k).p

static const char *field_of(struct gw_validation *t, enum gw_owner o, struct gw_slice key)
{
    static const char *const where[GW_N_OWNERS] = {"resource.attributes", "scope.attributes", "attributes", "metadata",
                                                   ""};

    return gw_validate_text(t, "%s[\"%.*s\"]", where[o], KEY(key));
}

static void check_key(struct gw_validation *t, enum gw_owner o, uint32_t index, struct gw_slice key, bool twice,
                      struct gw_issue *issue)
{
    struct gw_value first;

    if (key.n && !twice)
        return;
    if (!gw_broken(t, issue, GW_RULE_ATTRIBUTE_KEY, field_of(t, o, key), key, "attribute \"%.*s\" %s", KEY(key),
                   key.n ? "stands more than once" : "has an empty key"))
        return;
    if (!key.n) {
        (void)gw_view_attr_delete(t->v, o, index, key);
        return;
    }
    (void)gw_view_attr_get(t->v, o, index, key, &first);
    (void)gw_view_attr_delete(t->v, o, index, key);
    gw_view_attr_set(t->v, o, index, key, &first);
}

static void check_length(struct gw_validation *t, enum gw_owner o, uint32_t index, struct gw_slice key,
                         const struct gw_value *value, struct gw_issue *issue)
{
    bool has_text = value->type == GW_V_STRING || value->type == GW_V_BYTES;
    struct gw_value cut = *value;

    if (key.n > t->conf->max_key_bytes) {
        if (gw_broken(t, issue, GW_RULE_ATTRIBUTE_LENGTH, field_of(t, o, key), key,
                      "key \"%.*s\" has %zu bytes, more than %llu", KEY(key), key.n,
                      (unsigned long long)t->conf->max_key_bytes))
            (void)gw_view_attr_delete(t->v, o, index, key);
        return;
    }
    if (!has_text || value->s.n <= t->conf->max_value_bytes)
        return;
    if (!gw_broken(t, issue, GW_RULE_ATTRIBUTE_LENGTH, field_of(t, o, key), value->s,
                   "attribute \"%.*s\" has %zu bytes, more than %llu", KEY(key), value->s.n,
                   (unsigned long long)t->conf->max_value_bytes))
        return;
    if (value->type == GW_V_STRING)
        cut.s = gw_utf8_cut(value->s, t->conf->max_value_bytes);
    else
        cut.s.n = t->conf->max_value_bytes;
    gw_view_attr_set(t->v, o, index, key, &cut);
}

static void check_text(struct gw_validation *t, enum gw_owner o, uint32_t index, struct gw_slice key,
                       const struct gw_value *value, struct gw_issue *issue)
{
    struct gw_value clean = {.type = GW_V_STRING};

    if (value->type != GW_V_STRING || !gw_has_control(value->s))
        return;
    if (!gw_broken(t, issue, GW_RULE_TEXT, field_of(t, o, key), value->s, "attribute \"%.*s\" has control characters",
                   KEY(key)))
        return;
    clean.s = gw_without_control(t, value->s);
    gw_view_attr_set(t->v, o, index, key, &clean);
}

/* What was dropped is counted in the message, where it has a field for it (data points do not). */
static void add_dropped(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t n)
{
    const struct gw_batch *b = t->v->batch;

    if (o == GW_OWN_ROW && b->signal != GW_METRICS)
        gw_repair_varint(t, o, index, b->signal == GW_TRACES ? 10 : 7, (uint64_t)b->dropped_attrs[index] + n);
}

static void check_count(struct gw_validation *t, enum gw_owner o, uint32_t index, uint32_t n, struct gw_issue *issue)
{
    struct gw_attr_iter it;
    struct gw_slice key, *excess;
    struct gw_value value;
    uint32_t i = 0, dropped = 0;

    if (n <= t->conf->max_attributes ||
        !gw_broken(t, issue, GW_RULE_ATTRIBUTE_COUNT, "attributes", (struct gw_slice){NULL, 0},
                   "%u attributes, more than %llu", n, (unsigned long long)t->conf->max_attributes))
        return;
    excess = gw_arena_alloc(t->v->arena, n * sizeof(*excess));
    if (!excess) {
        t->v->failed = true;
        return;
    }
    gw_view_attr_begin(t->v, o, index, &it);
    while (gw_view_attr_next(&it, &key, &value))
        if (i++ >= t->conf->max_attributes && i <= n)
            excess[dropped++] = key;
    for (i = 0; i < dropped; i++)
        (void)gw_view_attr_delete(t->v, o, index, excess[i]);
    add_dropped(t, o, index, dropped);
}

/* Keys of one length only are compared: nearly always there is one of each. */
static bool stands_before(const struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key, uint32_t n)
{
    struct gw_attr_iter it;
    struct gw_slice k;
    struct gw_value value;

    gw_view_attr_begin(v, o, index, &it);
    while (n-- && gw_view_attr_next(&it, &k, &value))
        if (gw_slice_eq(k, key))
            return true;
    return false;
}

/* Nothing of the sort in attributes as they came: lengths are in the columns, the bytes are not touched. */
static bool are_harmless(struct gw_validation *t, enum gw_owner o, uint32_t index, struct gw_range r)
{
    const struct gw_batch *b = t->v->batch;
    uint64_t lengths = 0;

    if (gw_view_is_patched(t->v, o, index) || r.end - r.begin > t->conf->max_attributes ||
        gw_rule_is_on(t, GW_RULE_TEXT))
        return false;
    for (uint32_t i = r.begin; i < r.end; i++) {
        const struct gw_attr *a = &b->attrs[i];
        uint64_t bit = UINT64_C(1) << (a->klen & 63);

        if (a->klen == 0 || a->klen > t->conf->max_key_bytes || (lengths & bit) ||
            ((a->type == GW_V_STRING || a->type == GW_V_BYTES) && a->val.ref.len > t->conf->max_value_bytes))
            return false;
        lengths |= bit;
    }
    return true;
}

void gw_validate_attributes(struct gw_validation *t, enum gw_owner o, uint32_t index, struct gw_issue *issue)
{
    struct gw_range r = gw_view_attr_range(t->v, o, index);
    struct gw_attr_iter it;
    struct gw_slice key;
    struct gw_value value;
    uint64_t lengths = 0;
    uint32_t n = 0;

    if ((r.begin == r.end && !gw_view_is_patched(t->v, o, index)) || are_harmless(t, o, index, r))
        return;
    gw_view_attr_begin(t->v, o, index, &it);
    while (!issue->is_bad && gw_view_attr_next(&it, &key, &value)) {
        uint64_t bit = UINT64_C(1) << (key.n & 63);

        if (it.patch) /* appended by us */
            break;
        if (gw_rule_is_on(t, GW_RULE_ATTRIBUTE_KEY))
            check_key(t, o, index, key, (lengths & bit) && stands_before(t->v, o, index, key, n), issue);
        if (gw_rule_is_on(t, GW_RULE_ATTRIBUTE_LENGTH))
            check_length(t, o, index, key, &value, issue);
        if (gw_rule_is_on(t, GW_RULE_TEXT))
            check_text(t, o, index, key, &value, issue);
        lengths |= bit;
        n++;
    }
    if (!issue->is_bad && gw_rule_is_on(t, GW_RULE_ATTRIBUTE_COUNT)) {
        gw_view_attr_begin(t->v, o, index, &it);
        for (n = 0; gw_view_attr_next(&it, &key, &value); n++)
            ;
        check_count(t, o, index, n, issue);
    }
}

void gw_validate_required(struct gw_validation *t, uint32_t resource, struct gw_issue *issue)
{
    const char *const *keys = t->conf->required.items;

    if (!gw_rule_is_on(t, GW_RULE_REQUIRED_RESOURCE))
        return;
    for (size_t i = 0; i < t->conf->required.n; i++)
        if (!gw_view_attr_get(t->v, GW_OWN_RESOURCE, resource, gw_slice_cstr(keys[i]), NULL))
            (void)gw_broken(t, issue, GW_RULE_REQUIRED_RESOURCE, field_of(t, GW_OWN_RESOURCE, gw_slice_cstr(keys[i])),
                            (struct gw_slice){NULL, 0}, "resource attribute \"%.200s\" is required", keys[i]);
}
