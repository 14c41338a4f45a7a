/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/actions.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

#include "core/json_writer.h"
#include "values/pattern.h"
#include "values/value.h"

#define C struct gw_action_conf
const struct gw_field gw_action_fields[] = {
    GW_STRING_FIELD(C, key, "key", "", "The attribute to act upon."),
    GW_STRING_FIELD(C, action, "action", "", "insert, update, upsert, delete, hash, extract or convert."),
    GW_ANY_FIELD(C, value, "value", "Value to set; its YAML type is the attribute's type."),
    GW_STRING_FIELD(C, from_attribute, "from_attribute", "", "Take the value of this attribute."),
    GW_STRING_FIELD(C, from_context, "from_context", "",
                    "Take a value of the request: metadata.<header>, auth.<name> or client.address."),
    GW_ANY_FIELD(C, default_value, "default_value", "Value when the other sources have none."),
    GW_STRING_FIELD(C, pattern, "pattern", "",
                    "Regular expression (RE2): keys to delete or hash, or the named groups to extract."),
    GW_STRING_FIELD(C, converted_type, "converted_type", "", "int, double or string."),
    {0},
};
#undef C

enum op { INSERT, UPDATE, UPSERT, DELETE, HASH, EXTRACT, CONVERT, N_OPS };
static const char *const op_names[] = {"insert", "update", "upsert", "delete", "hash", "extract", "convert", NULL};

struct action {
    enum op op;
    bool has_value, has_default, has_context; /* has_context: of the view at hand */
    struct gw_slice key, from_attribute;
    const char *from_context;
    struct gw_value value, fallback, context;
    enum gw_value_type to;
    struct gw_pattern *pattern;
};

struct gw_actions {
    struct action *items;
    size_t n;
    struct gw_arena arena; /* encoded values of the configuration */
    EVP_MD *sha256;
    EVP_MD_CTX *hasher;
};

enum { CONF_BYTES = 4 << 20 };

/* ---- set-up ----------------------------------------------------------------------------------------------- */

#define WRONG(c, i, text, ...)                                                                                         \
    gw_fail(err, -EINVAL, "error with key \"%s\" (%zu-th action): error creating AttrProc" text, (c)->key, (i),        \
            ##__VA_ARGS__)

static bool is_set(const struct gw_node *n)
{
    return n && n->type != GW_NODE_NULL;
}

static int find_op(const char *name)
{
    for (int i = 0; i < N_OPS; i++)
        if (strcasecmp(name, op_names[i]) == 0)
            return i;
    return -1;
}

static int unknown_op(const struct gw_action_conf *c, size_t i, struct gw_err *err)
{
    const char *near = gw_suggest(gw_slice_cstr(c->action), op_names);

    return WRONG(c, i, " due to unsupported action \"%s\"%s%s%s", c->action, near ? ", did you mean \"" : "",
                 near ? near : "", near ? "\"?" : "");
}

static int not_used(const struct gw_action_conf *c, size_t i, enum op op, const char *what, struct gw_err *err)
{
    return WRONG(c, i, ". Action \"%s\" does not use the \"%s\" field. This must not be specified", op_names[op], what);
}

/* Which fields go with which action. */
static int check_fields(const struct gw_action_conf *c, size_t i, enum op op, struct gw_err *err)
{
    int sources = is_set(c->value) + (*c->from_attribute != 0) + (*c->from_context != 0);

    if (*c->converted_type && op != CONVERT)
        return not_used(c, i, op, "converted_type", err);
    switch (op) {
    case INSERT:
    case UPDATE:
    case UPSERT:
        if (sources == 0 && !is_set(c->default_value))
            return WRONG(c, i,
                         ". Either field \"value\", \"from_attribute\", \"from_context\", or \"default_value\" "
                         "must be specified");
        if (sources > 1)
            return WRONG(c, i, " due to multiple value sources being set");
        return *c->pattern ? not_used(c, i, op, "pattern", err) : 0;
    case DELETE:
    case HASH:
        if (is_set(c->value) || *c->from_attribute)
            return WRONG(c, i,
                         ". Action \"%s\" does not use \"value\" or \"from_attribute\" field. These must not be "
                         "specified",
                         op_names[op]);
        return 0;
    case EXTRACT:
        if (sources > 0)
            return WRONG(c, i, ". Action \"extract\" does not use a value source field. These must not be specified");
        if (!*c->pattern)
            return WRONG(c, i, " due to missing required field \"pattern\" for action \"extract\"");
        return 0;
    case CONVERT:
        if (sources > 0 || *c->pattern)
            return WRONG(c, i,
                         ". Action \"convert\" does not use value sources or \"pattern\" field. These must not be "
                         "specified");
        if (!*c->converted_type)
            return WRONG(c, i, " due to missing required field \"converted_type\" for action \"convert\"");
        return 0;
    case N_OPS:
        break;
    }
    return 0;
}

static int compile_pattern(const struct gw_action_conf *c, size_t i, struct action *a, struct gw_err *err)
{
    struct gw_err why = {""};
    int r = gw_pattern_new(c->pattern, &a->pattern, &why);

    if (r == -EINVAL)
        return WRONG(c, i, ". Field \"pattern\" has invalid pattern: %.160s", why.text);
    if (r < 0 || a->op != EXTRACT)
        return r;
    if (gw_pattern_n_groups(a->pattern) == 0)
        return WRONG(c, i, ". Field \"pattern\" contains no named matcher groups");
    for (unsigned g = 1; g <= gw_pattern_n_groups(a->pattern); g++)
        if (!*gw_pattern_group_name(a->pattern, g))
            return WRONG(c, i, ". Field \"pattern\" contains at least one unnamed matcher group");
    return 0;
}

static int find_type(const struct gw_action_conf *c, size_t i, struct action *a, struct gw_err *err)
{
    if (strcmp(c->converted_type, "string") == 0)
        a->to = GW_V_STRING;
    else if (strcmp(c->converted_type, "int") == 0)
        a->to = GW_V_INT;
    else if (strcmp(c->converted_type, "double") == 0)
        a->to = GW_V_DOUBLE;
    else
        return WRONG(c, i, " due to invalid value \"%s\" in field \"converted_type\" for action \"convert\"",
                     c->converted_type);
    return 0;
}

static int compile(const struct gw_action_conf *c, size_t i, struct gw_arena *arena, struct action *a,
                   struct gw_err *err)
{
    int op = find_op(c->action), r;

    *a = (struct action){.key = gw_slice_cstr(c->key), .from_attribute = gw_slice_cstr(c->from_attribute)};
    if (!*c->key && (op == DELETE || op == HASH) && !*c->pattern)
        return gw_fail(err, -EINVAL,
                       "error creating AttrProc due to missing required field (at least one of \"key\" "
                       "and \"pattern\" have to be used) at the %zu-th action",
                       i);
    if (!*c->key && op != DELETE && op != HASH)
        return gw_fail(err, -EINVAL,
                       "error creating AttrProc due to missing required field \"key\" at the %zu-th "
                       "action",
                       i);
    if (op < 0)
        return unknown_op(c, i, err);
    a->op = (enum op)op;
    a->from_context = c->from_context;
    r = check_fields(c, i, a->op, err);
    if (r == 0 && *c->pattern)
        r = compile_pattern(c, i, a, err);
    if (r == 0 && a->op == CONVERT)
        r = find_type(c, i, a, err);
    a->has_value = is_set(c->value);
    a->has_default = is_set(c->default_value);
    if (r == 0 && a->has_value)
        r = gw_value_from_node(c->value, arena, &a->value);
    if (r == 0 && a->has_default)
        r = gw_value_from_node(c->default_value, arena, &a->fallback);
    return r;
}

static const struct gw_node *nth(const struct gw_node *list, size_t i)
{
    const struct gw_node *n = list && list->type == GW_NODE_LIST ? list->first : list;

    while (n && i-- && list->type == GW_NODE_LIST)
        n = n->next;
    return n;
}

void gw_actions_check(const struct gw_list *conf, const struct gw_node *node, struct gw_diag *diag)
{
    struct gw_arena arena;

    gw_arena_init(&arena, 4096, CONF_BYTES);
    for (size_t i = 0; i < conf->n; i++) {
        const struct gw_action_conf *c = (const struct gw_action_conf *)conf->items + i;
        const struct gw_node *at = nth(node, i);
        struct gw_err err = {"out of memory"};
        struct action a;

        if (compile(c, i, &arena, &a, &err) < 0)
            gw_diag_add(diag, GW_DIAG_ERROR, at ? &at->place : NULL, "%s", err.text);
        gw_pattern_free(a.pattern);
    }
    gw_arena_clear(&arena);
}

int gw_actions_new(const struct gw_list *conf, struct gw_actions **ret, struct gw_err *err)
{
    struct gw_actions *a = calloc(1, sizeof(*a));
    int r = -ENOMEM;

    if (!a)
        return r;
    gw_arena_init(&a->arena, 4096, CONF_BYTES);
    a->items = calloc(conf->n + 1, sizeof(*a->items));
    a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    a->hasher = EVP_MD_CTX_new();
    if (!a->items || !a->sha256 || !a->hasher)
        goto fail;
    for (; a->n < conf->n; a->n++) {
        r = compile((const struct gw_action_conf *)conf->items + a->n, a->n, &a->arena, &a->items[a->n], err);
        if (r < 0) {
            a->n++;
            goto fail;
        }
    }
    *ret = a;
    return 0;
fail:
    gw_actions_free(a);
    return r;
}

void gw_actions_free(struct gw_actions *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        gw_pattern_free(a->items[i].pattern);
    free(a->items);
    EVP_MD_CTX_free(a->hasher);
    EVP_MD_free(a->sha256);
    gw_arena_clear(&a->arena);
    free(a);
}

/* ---- the request's context -------------------------------------------------------------------------------- */

/* All values of a key, joined by ";". False when there is none. */
static bool join(const struct gw_meta_pair *pairs, uint32_t n, struct gw_slice key, struct gw_arena *arena,
                 struct gw_slice *ret)
{
    struct gw_buf out;
    unsigned found = 0;

    gw_buf_init(&out, 1 << 20);
    for (uint32_t i = 0; i < n; i++) {
        if (pairs[i].key.n != key.n || strncasecmp((const char *)pairs[i].key.p, (const char *)key.p, key.n) != 0)
            continue;
        if (found++)
            gw_buf_put_u8(&out, ';');
        gw_buf_put_slice(&out, pairs[i].value);
    }
    if (found)
        *ret = gw_arena_dup(arena, gw_buf_slice(&out));
    gw_buf_clear(&out);
    return found > 0 && ret->p;
}

/* "127.0.0.1:5678" and "[::1]:5678" without port and brackets. */
static struct gw_slice address(struct gw_slice peer)
{
    const uint8_t *colon = peer.n ? memrchr(peer.p, ':', peer.n) : NULL;

    if (peer.n && peer.p[0] == '[') {
        const uint8_t *end = memchr(peer.p, ']', peer.n);

        return end ? (struct gw_slice){peer.p + 1, (size_t)(end - peer.p - 1)} : peer;
    }
    return colon ? (struct gw_slice){peer.p, (size_t)(colon - peer.p)} : peer;
}

static bool from_context(const struct gw_view *v, const char *name, struct gw_slice *ret)
{
    const struct gw_meta *m = v->meta;

    if (strcmp(name, "client.address") == 0) {
        *ret = m ? address(m->peer) : GW_SLICE("");
        return true;
    }
    if (!m)
        return false;
    if (strncmp(name, "auth.", 5) == 0)
        return join(m->auth, m->n_auth, gw_slice_cstr(name + 5), v->arena, ret);
    if (strncmp(name, "metadata.", 9) == 0)
        name += 9;
    return join(m->pairs, m->n_pairs, gw_slice_cstr(name), v->arena, ret);
}

void gw_actions_begin(struct gw_actions *a, struct gw_view *v)
{
    for (size_t i = 0; i < a->n; i++) {
        struct action *x = &a->items[i];

        if (!*x->from_context)
            continue;
        x->context.type = GW_V_STRING;
        x->has_context = from_context(v, x->from_context, &x->context.s);
    }
}

/* ---- actions ---------------------------------------------------------------------------------------------- */

static bool source(const struct action *x, const struct gw_view *v, enum gw_owner o, uint32_t index,
                   struct gw_value *ret)
{
    if (x->has_value) {
        *ret = x->value;
        return true;
    }
    if (x->has_context) {
        *ret = x->context;
        return true;
    }
    if (x->from_attribute.n && gw_view_attr_get(v, o, index, x->from_attribute, ret))
        return true;
    *ret = x->fallback;
    return x->has_default;
}

static void set(const struct action *x, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    struct gw_value value;

    if (x->op == UPSERT && x->has_value) {
        gw_view_attr_set(v, o, index, x->key, &x->value);
        return;
    }
    if (!source(x, v, o, index, &value))
        return;
    if (x->op == UPSERT || gw_view_attr_get(v, o, index, x->key, NULL) == (x->op == UPDATE))
        gw_view_attr_set(v, o, index, x->key, &value);
}

static void delete_matching(const struct action *x, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    struct gw_attr_iter it;
    struct gw_slice key;
    struct gw_value value;

    gw_view_attr_begin(v, o, index, &it);
    while (gw_view_attr_next(&it, &key, &value))
        if (gw_pattern_matches(x->pattern, key))
            (void)gw_view_attr_delete(v, o, index, key);
}

static void delete (const struct action *x, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    if (x->key.n)
        (void)gw_view_attr_delete(v, o, index, x->key);
    if (x->pattern)
        delete_matching(x, v, o, index);
}

/* The digest of a value's bytes in hexadecimal; what has none (lists, maps, bytes, nothing) becomes "". */
static bool digest(struct gw_actions *a, const struct gw_value *v, struct gw_arena *arena, struct gw_slice *ret)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t sum[EVP_MAX_MD_SIZE], one, *text;
    unsigned n = 0;
    struct gw_slice in = {NULL, 0};

    if (v->type == GW_V_STRING) {
        in = v->s;
    } else if (v->type == GW_V_BOOL) {
        one = v->b;
        in = gw_slice_of(&one, 1);
    } else if (v->type == GW_V_INT || v->type == GW_V_DOUBLE) {
        in = gw_slice_of(&v->i, 8); /* little endian, as this machine */
    } else {
        *ret = GW_SLICE("");
        return true;
    }
    text = gw_arena_alloc(arena, 64);
    if (!text || !EVP_DigestInit_ex2(a->hasher, a->sha256, NULL) || !EVP_DigestUpdate(a->hasher, in.p, in.n) ||
        !EVP_DigestFinal_ex(a->hasher, sum, &n))
        return false;
    for (unsigned i = 0; i < 32; i++) {
        text[2 * i] = (uint8_t)hex[sum[i] >> 4];
        text[2 * i + 1] = (uint8_t)hex[sum[i] & 15];
    }
    *ret = gw_slice_of(text, 64);
    return true;
}

/* A key that stands twice must not leave its second value readable: all go, the hash of the first one comes. */
static void hash_one(struct gw_actions *a, struct gw_view *v, enum gw_owner o, uint32_t index, struct gw_slice key)
{
    struct gw_range r = gw_view_attr_range(v, o, index);
    struct gw_value value, hashed = {.type = GW_V_STRING};
    unsigned n = 0;

    if (!gw_view_attr_get(v, o, index, key, &value))
        return;
    if (!digest(a, &value, v->arena, &hashed.s)) {
        v->failed = true;
        return;
    }
    for (uint32_t i = r.begin; i < r.end; i++)
        n += gw_slice_eq(gw_attr_key(v->batch, &v->batch->attrs[i]), key);
    if (n > 1)
        (void)gw_view_attr_delete(v, o, index, key);
    gw_view_attr_set(v, o, index, key, &hashed);
}

static void hash(struct gw_actions *a, const struct action *x, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    struct gw_attr_iter it;
    struct gw_slice key, *keys;
    struct gw_value value;
    size_t n = 0, cap = 0;

    if (x->key.n)
        hash_one(a, v, o, index, x->key);
    if (!x->pattern)
        return;
    gw_view_attr_begin(v, o, index, &it);
    while (gw_view_attr_next(&it, &key, &value))
        cap++;
    keys = gw_arena_alloc(v->arena, (cap + 1) * sizeof(*keys));
    if (!keys) {
        v->failed = true;
        return;
    }
    gw_view_attr_begin(v, o, index, &it); /* collected first: a hash that is appended must not be hashed again */
    while (gw_view_attr_next(&it, &key, &value)) {
        bool seen = !gw_pattern_matches(x->pattern, key);

        for (size_t i = 0; i < n && !seen; i++)
            seen = gw_slice_eq(keys[i], key);
        if (!seen)
            keys[n++] = key;
    }
    for (size_t i = 0; i < n; i++)
        hash_one(a, v, o, index, keys[i]);
}

static void extract(const struct action *x, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    struct gw_slice groups[GW_PATTERN_GROUPS];
    struct gw_value value;

    if (!gw_view_attr_get(v, o, index, x->key, &value) || value.type != GW_V_STRING ||
        !gw_pattern_capture(x->pattern, value.s, groups))
        return;
    for (unsigned g = 1; g <= gw_pattern_n_groups(x->pattern); g++) {
        struct gw_value part = {.type = GW_V_STRING, .s = groups[g - 1]};

        gw_view_attr_set(v, o, index, gw_slice_cstr(gw_pattern_group_name(x->pattern, g)), &part);
    }
}

static bool to_int(const struct gw_value *v, int64_t *ret)
{
    if (v->type == GW_V_DOUBLE) { /* out of range: what the processor's conversion gives, as in Go on amd64 */
        *ret = v->f >= -0x1p63 && v->f < 0x1p63 ? (int64_t)v->f : INT64_MIN;
        return true;
    }
    if (v->type == GW_V_BOOL)
        *ret = v->b;
    return v->type == GW_V_BOOL || (v->type == GW_V_STRING && gw_parse_int(v->s, ret));
}

static bool to_double(const struct gw_value *v, double *ret)
{
    if (v->type == GW_V_INT || v->type == GW_V_BOOL) {
        *ret = v->type == GW_V_INT ? (double)v->i : (double)v->b;
        return true;
    }
    return v->type == GW_V_STRING && gw_parse_double(v->s, ret);
}

static void convert(const struct action *x, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    struct gw_value value, to = {.type = x->to};
    bool ok;

    if (!gw_view_attr_get(v, o, index, x->key, &value) || value.type == x->to)
        return;
    if (x->to == GW_V_STRING) {
        ok = gw_value_text(&value, v->arena, &to.s);
        v->failed |= !ok;
    } else {
        ok = x->to == GW_V_INT ? to_int(&value, &to.i) : to_double(&value, &to.f);
    }
    if (ok)
        gw_view_attr_set(v, o, index, x->key, &to);
}

static void run_one(struct gw_actions *a, const struct action *x, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    switch (x->op) {
    case INSERT:
    case UPDATE:
    case UPSERT:
        set(x, v, o, index);
        break;
    case DELETE:
        delete (x, v, o, index);
        break;
    case HASH:
        hash(a, x, v, o, index);
        break;
    case EXTRACT:
        extract(x, v, o, index);
        break;
    case CONVERT:
        convert(x, v, o, index);
        break;
    case N_OPS:
        break;
    }
}

void gw_actions_run(struct gw_actions *a, struct gw_view *v, enum gw_owner o, uint32_t index)
{
    for (size_t i = 0; i < a->n; i++)
        run_one(a, &a->items[i], v, o, index);
}

/* Rows do not see each other, so that one action on all of them, then the next, comes to the same. */
void gw_actions_run_rows(struct gw_actions *a, struct gw_view *v)
{
    static const enum gw_set ways[] = {[INSERT] = GW_INSERT, [UPDATE] = GW_UPDATE, [UPSERT] = GW_UPSERT};
    uint32_t n = v->batch->n_rows;

    for (size_t i = 0; i < a->n; i++) {
        const struct action *x = &a->items[i];

        if (x->op <= UPSERT && (x->has_value || x->has_context))
            gw_view_attr_set_rows(v, x->key, x->has_value ? &x->value : &x->context, ways[x->op]);
        else if (x->op == DELETE && !x->pattern)
            gw_view_attr_delete_rows(v, x->key);
        else
            for (uint32_t row = gw_view_next(v, 0); row < n; row = gw_view_next(v, row + 1))
                run_one(a, x, v, GW_OWN_ROW, row);
    }
}

uint64_t gw_actions_n_given_up(const struct gw_actions *a)
{
    uint64_t n = 0;

    for (size_t i = 0; i < a->n; i++)
        n += a->items[i].pattern ? gw_pattern_n_given_up(a->items[i].pattern) : 0;
    return n;
}
