/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"
#include "config/yaml.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

enum { MAX_NAME = 256, MAX_KEYS_SHOWN = 16 };

/* What every filler needs. diag is NULL while defaults are set: they are ours, a mistake in them is a bug. */
struct fill {
    struct gw_arena *arena;
    struct gw_diag *diag;
    bool failed;
};

static void *at(void *conf, const struct gw_field *f)
{
    return (char *)conf + f->offset;
}

/* One mistake: "receivers::otlp::protocols: text". */
static void mistake(struct fill *fl, const struct gw_node *n, const char *text)
{
    char name[MAX_NAME];

    fl->failed = true;
    assert(fl->diag);
    gw_diag_add(fl->diag, GW_DIAG_ERROR, &n->place, "%s: %s", gw_node_name(n, name, sizeof(name)), text);
}

static const char *type_name(const struct gw_node *n)
{
    static const char *const names[] = {"nothing", "a boolean", "a number", "a number", "a text", "a map", "a list"};

    return names[n->type];
}

static void wrong_type(struct fill *fl, const struct gw_node *n, const char *wanted)
{
    char text[160];

    (void)snprintf(text, sizeof(text), "must be %s, not %s", wanted, type_name(n));
    mistake(fl, n, text);
}

static bool is_scalar(const struct gw_node *n)
{
    return n->type != GW_NODE_MAP && n->type != GW_NODE_LIST;
}

static bool is_in_range(const struct gw_field *f, double v)
{
    return (f->min == 0 && f->max == 0) || (v >= f->min && v <= f->max);
}

static void put_number(char *buf, size_t size, double v)
{
    if (v == floor(v) && fabs(v) < 1e15)
        (void)snprintf(buf, size, "%.0f", v);
    else
        (void)snprintf(buf, size, "%g", v);
}

static void out_of_range(struct fill *fl, const struct gw_node *n, const struct gw_field *f)
{
    char text[256], lo[64], hi[64];

    if (f->type == GW_F_DURATION) {
        (void)gw_duration_format((uint64_t)f->min, lo, sizeof(lo));
        if (f->max >= 9.2e18)
            (void)snprintf(hi, sizeof(hi), "292 years");
        else
            (void)gw_duration_format((uint64_t)f->max, hi, sizeof(hi));
    } else {
        put_number(lo, sizeof(lo), f->min);
        put_number(hi, sizeof(hi), f->max);
    }
    (void)snprintf(text, sizeof(text), "\"%.60s\" is out of range: allowed is %s to %s", n->text, lo, hi);
    mistake(fl, n, text);
}

/* ---- scalars ---------------------------------------------------------------------------------------------- */

static void fill_bool(struct fill *fl, const struct gw_node *n, void *p)
{
    static const char *const words[] = {"1", "t", "T", "TRUE",  "true",  "True",
                                        "0", "f", "F", "FALSE", "false", "False"};

    if (n->type == GW_NODE_BOOL) {
        *(bool *)p = n->b;
        return;
    }
    for (size_t i = 0; is_scalar(n) && i < 12; i++)
        if (strcmp(n->text, words[i]) == 0) {
            *(bool *)p = i < 6;
            return;
        }
    wrong_type(fl, n, "true or false");
}

static void fill_u64(struct fill *fl, const struct gw_field *f, const struct gw_node *n, void *p)
{
    uint64_t v;
    double d;
    char buf[GW_YAML_VALUE_BYTES];
    const char *text = gw_yaml_value(n, buf);

    if (n->type == GW_NODE_BOOL || !is_scalar(n)) {
        wrong_type(fl, n, "a whole number");
        return;
    }
    if (!gw_parse_u64(text, &v)) {
        if (!gw_parse_f64(text, &d)) {
            wrong_type(fl, n, "a whole number");
            return;
        }
        if (!(d >= 0 && d < 18446744073709551616.0) || d != floor(d)) {
            mistake(fl, n, "must be a whole number, 0 or more");
            return;
        }
        v = (uint64_t)d;
    }
    if (!is_in_range(f, (double)v))
        out_of_range(fl, n, f);
    else
        *(uint64_t *)p = v;
}

static void fill_i64(struct fill *fl, const struct gw_field *f, const struct gw_node *n, void *p)
{
    int64_t v;
    double d;
    char buf[GW_YAML_VALUE_BYTES];
    const char *text = gw_yaml_value(n, buf);

    if (n->type == GW_NODE_BOOL || !is_scalar(n)) {
        wrong_type(fl, n, "a whole number");
        return;
    }
    if (!gw_parse_i64(text, &v)) {
        if (!gw_parse_f64(text, &d)) {
            wrong_type(fl, n, "a whole number");
            return;
        }
        if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != floor(d)) {
            mistake(fl, n, "must be a whole number of 64 bits");
            return;
        }
        v = (int64_t)d;
    }
    if (!is_in_range(f, (double)v))
        out_of_range(fl, n, f);
    else
        *(int64_t *)p = v;
}

static void fill_f64(struct fill *fl, const struct gw_field *f, const struct gw_node *n, void *p)
{
    char buf[GW_YAML_VALUE_BYTES];
    double v;

    if (n->type == GW_NODE_BOOL || !is_scalar(n) || !gw_parse_f64(gw_yaml_value(n, buf), &v))
        wrong_type(fl, n, "a number");
    else if (!is_in_range(f, v))
        out_of_range(fl, n, f);
    else
        *(double *)p = v;
}

static void fill_duration(struct fill *fl, const struct gw_field *f, const struct gw_node *n, void *p)
{
    char text[200];
    uint64_t ns;

    if (n->type == GW_NODE_BOOL || !is_scalar(n)) {
        wrong_type(fl, n, "a duration such as 5s or 200ms");
        return;
    }
    if (gw_duration_parse(n->text, &ns) < 0) {
        if (!gw_parse_u64(n->text, &ns) || ns > INT64_MAX) {
            (void)snprintf(text, sizeof(text), "\"%.60s\" is not a duration: write it like 5s, 200ms or 1h30m",
                           n->text);
            mistake(fl, n, text);
            return;
        }
        if (fl->diag)
            gw_diag_add(fl->diag, GW_DIAG_WARNING, &n->place,
                        "%s: %s without a unit means nanoseconds; did you mean %ss?", f->name, n->text, n->text);
    }
    if (!is_in_range(f, (double)ns))
        out_of_range(fl, n, f);
    else
        *(uint64_t *)p = ns;
}

static void put_words(char *buf, size_t size, const char *const *words)
{
    size_t at_ = 0;

    buf[0] = '\0';
    for (; *words && at_ < size; words++)
        at_ += (size_t)snprintf(buf + at_, size - at_, "%s%s", at_ ? ", " : "", **words ? *words : "\"\"");
}

static void fill_enum(struct fill *fl, const struct gw_field *f, const struct gw_node *n, void *p)
{
    char text[512], words[300];
    const char *near;

    if (!is_scalar(n)) {
        wrong_type(fl, n, "one word");
        return;
    }
    for (int i = 0; f->choices[i]; i++)
        if (strcasecmp(f->choices[i], n->text) == 0) {
            *(int *)p = i;
            return;
        }
    put_words(words, sizeof(words), f->choices);
    near = gw_suggest(gw_slice_cstr(n->text), f->choices);
    if (near)
        (void)snprintf(text, sizeof(text), "unknown value \"%.60s\"; did you mean \"%s\"? Allowed: %s", n->text, near,
                       words);
    else
        (void)snprintf(text, sizeof(text), "unknown value \"%.60s\". Allowed: %s", n->text, words);
    mistake(fl, n, text);
}

static void fill_text(struct fill *fl, const struct gw_node *n, const char **ret)
{
    if (n->type == GW_NODE_NULL)
        *ret = "";
    else if (is_scalar(n) || *n->text) /* ${env:X} that reads as a map keeps its text: it may be a password */
        *ret = n->text;
    else
        wrong_type(fl, n, "a text");
}

/* ---- lists and maps --------------------------------------------------------------------------------------- */

static void no_memory(struct fill *fl, const struct gw_node *n)
{
    mistake(fl, n, "out of memory");
}

/* "a, b" → two texts, as the Collector splits it. */
static void split_texts(struct fill *fl, const struct gw_node *n, struct gw_list *l)
{
    struct gw_slice copy = gw_arena_dup(fl->arena, gw_slice_of(n->text, strlen(n->text) + 1));
    char *s = (char *)(uintptr_t)copy.p;
    const char **v;
    size_t max = 1;

    for (const char *c = n->text; *c; c++)
        max += *c == ',';
    v = gw_arena_alloc(fl->arena, max * sizeof(*v));
    if (!s || !v) {
        no_memory(fl, n);
        return;
    }
    l->items = v;
    for (char *end; s; s = end) {
        end = strchr(s, ',');
        if (end)
            *end++ = '\0';
        s += strspn(s, " ");
        for (size_t len = strlen(s); len && s[len - 1] == ' ';)
            s[--len] = '\0';
        if (*s)
            v[l->n++] = s;
    }
}

static void fill_texts(struct fill *fl, const struct gw_node *n, struct gw_list *l)
{
    const char **v;

    *l = (struct gw_list){.item_size = sizeof(char *)};
    if (is_scalar(n)) {
        split_texts(fl, n, l);
        return;
    }
    if (n->type != GW_NODE_LIST) {
        wrong_type(fl, n, "a list of texts");
        return;
    }
    v = gw_arena_alloc(fl->arena, n->n_children * sizeof(*v) + 1);
    if (!v) {
        no_memory(fl, n);
        return;
    }
    for (const struct gw_node *c = n->first; c; c = c->next) {
        v[l->n] = "";
        fill_text(fl, c, &v[l->n++]);
    }
    l->items = v;
}

static bool fill_tree(struct fill *fl, const struct gw_settings *tables, size_t n_tables, const struct gw_node *node,
                      bool is_optional);
static bool set_defaults(const struct gw_field *fields, void *conf, struct gw_arena *arena);

static void fill_struct(struct fill *fl, const struct gw_field *fields, void *conf, const struct gw_node *n,
                        bool is_optional)
{
    (void)fill_tree(fl, &(struct gw_settings){.fields = fields, .conf = conf}, 1, n, is_optional);
}

static void fill_blocks(struct fill *fl, const struct gw_field *f, const struct gw_node *n, struct gw_list *l)
{
    const struct gw_node *first = n->type == GW_NODE_LIST ? n->first : n;
    size_t count = n->type == GW_NODE_LIST ? n->n_children : 1;
    char *items;

    *l = (struct gw_list){.item_size = f->block_size};
    if (is_scalar(n)) {
        wrong_type(fl, n, "a list of maps");
        return;
    }
    items = gw_arena_zalloc(fl->arena, count * f->block_size + 1);
    if (!items) {
        no_memory(fl, n);
        return;
    }
    for (const struct gw_node *c = first; l->n < count; c = c->next) {
        void *item = items + l->n++ * f->block_size;

        if (!set_defaults(f->block, item, fl->arena))
            no_memory(fl, n);
        if (c->type == GW_NODE_NULL)
            wrong_type(fl, c, "a map");
        else
            fill_struct(fl, f->block, item, c, /* is_optional= */ false);
    }
    l->items = items;
}

/* {name: n, value: v} of the list spelling. */
static void fill_pair(struct fill *fl, const struct gw_node *c, struct gw_map_entry *e)
{
    const struct gw_node *name = gw_node_get(c, "name"), *value = gw_node_get(c, "value");

    *e = (struct gw_map_entry){.key = "", .value = "", .node = c};
    if (!name || c->n_children > 1u + (value != NULL)) {
        mistake(fl, c, "must be a map of name and value");
        return;
    }
    fill_text(fl, name, &e->key);
    if (value)
        fill_text(fl, value, &e->value);
}

static void fill_map(struct fill *fl, const struct gw_node *n, struct gw_map *m)
{
    struct gw_map_entry *v;

    *m = (struct gw_map){0};
    if (is_scalar(n)) {
        wrong_type(fl, n, "a map");
        return;
    }
    v = gw_arena_alloc(fl->arena, n->n_children * sizeof(*v) + 1);
    if (!v) {
        no_memory(fl, n);
        return;
    }
    for (const struct gw_node *c = n->first; c; c = c->next) {
        struct gw_map_entry *e = &v[m->n++];

        if (n->type == GW_NODE_LIST) {
            fill_pair(fl, c, e);
            continue;
        }
        *e = (struct gw_map_entry){.key = c->key, .value = "", .node = c};
        fill_text(fl, c, &e->value);
    }
    m->entries = v;
}

/* ---- blocks ----------------------------------------------------------------------------------------------- */

/* `enabled` of an optional block whose table does not know it. Returns false when it says no. */
static bool read_enabled(struct fill *fl, const struct gw_field *f, const struct gw_node *n)
{
    const struct gw_node *e = gw_field_find(f->block, "enabled") ? NULL : gw_node_get(n, "enabled");
    bool on = true;

    if (e && e->type != GW_NODE_NULL)
        fill_bool(fl, e, &on);
    return on;
}

static void fill_block(struct fill *fl, const struct gw_field *f, const struct gw_node *n, void *conf)
{
    if (n->type != GW_NODE_NULL && n->type != GW_NODE_MAP) {
        wrong_type(fl, n, "a map");
        return;
    }
    if (f->flags & GW_FF_OPTIONAL) {
        bool *present = (bool *)((char *)conf + f->present_offset);

        if (n->type == GW_NODE_NULL)
            *present = *present || (f->flags & GW_FF_NULL_IS_ON);
        else
            *present = read_enabled(fl, f, n);
    }
    fill_struct(fl, f->block, at(conf, f), n, f->flags & GW_FF_OPTIONAL);
}

/* ---- a value of any type ---------------------------------------------------------------------------------- */

static void fill_value(struct fill *fl, const struct gw_field *f, const struct gw_node *n, void *conf)
{
    void *p = at(conf, f);

    if (n->type == GW_NODE_NULL && f->type != GW_F_BLOCK)
        return;
    switch (f->type) {
    case GW_F_BOOL:
        fill_bool(fl, n, p);
        break;
    case GW_F_U64:
        fill_u64(fl, f, n, p);
        break;
    case GW_F_I64:
        fill_i64(fl, f, n, p);
        break;
    case GW_F_F64:
        fill_f64(fl, f, n, p);
        break;
    case GW_F_DURATION:
        fill_duration(fl, f, n, p);
        break;
    case GW_F_ENUM:
        fill_enum(fl, f, n, p);
        break;
    case GW_F_STRING:
    case GW_F_SECRET:
    case GW_F_ID:
        fill_text(fl, n, p);
        break;
    case GW_F_BLOCK:
        fill_block(fl, f, n, conf);
        break;
    case GW_F_LIST:
        if (f->block)
            fill_blocks(fl, f, n, p);
        else
            fill_texts(fl, n, p);
        break;
    case GW_F_MAP:
        fill_map(fl, n, p);
        break;
    case GW_F_ANY:
        *(const struct gw_node **)p = n;
        break;
    case GW_F_END:
        break;
    }
}

/* ---- defaults --------------------------------------------------------------------------------------------- */

static bool set_default(const struct gw_field *f, void *conf, struct gw_arena *arena)
{
    struct fill fl = {.arena = arena};
    struct gw_node *n;

    if (f->type == GW_F_STRING || f->type == GW_F_SECRET || f->type == GW_F_ID)
        *(const char **)at(conf, f) = f->def ? f->def : "";
    if (f->type == GW_F_BLOCK) {
        if (f->flags & GW_FF_OPTIONAL)
            *(bool *)((char *)conf + f->present_offset) = f->def && strcmp(f->def, "on") == 0;
        return set_defaults(f->block, at(conf, f), arena);
    }
    if (!f->def || f->type == GW_F_STRING || f->type == GW_F_SECRET || f->type == GW_F_ID)
        return true;
    if (f->type == GW_F_LIST || f->type == GW_F_MAP) {
        struct gw_diag diag;

        gw_diag_init(&diag);
        n = gw_yaml_parse(gw_slice_cstr(f->def), "default", arena, &diag);
        gw_diag_clear(&diag);
    } else {
        n = gw_arena_zalloc(arena, sizeof(*n));
        if (n) {
            n->text = f->def;
            gw_yaml_type(n);
        }
    }
    if (!n)
        return false;
    fill_value(&fl, f, n, conf);
    return !fl.failed;
}

static bool set_defaults(const struct gw_field *fields, void *conf, struct gw_arena *arena)
{
    for (const struct gw_field *f = fields; f && f->name; f++)
        if (!set_default(f, conf, arena))
            return false;
    return true;
}

/* ---- trees ------------------------------------------------------------------------------------------------ */

const struct gw_field *gw_field_find(const struct gw_field *fields, const char *name)
{
    for (const struct gw_field *f = fields; f && f->name; f++) {
        if (strcmp(f->name, name) == 0)
            return f;
        for (const char *const *a = f->aliases; a && *a; a++)
            if (strcmp(*a, name) == 0)
                return f;
    }
    return NULL;
}

static void unknown_key(struct fill *fl, const struct gw_settings *tables, size_t n_tables, const struct gw_node *c)
{
    const char *words[256] = {NULL}, *near;
    char where[MAX_NAME], shown[600] = "", key[80];
    size_t n = 0;

    for (size_t t = 0; t < n_tables; t++)
        for (const struct gw_field *f = tables[t].fields; f && f->name && n < 255; f++)
            words[n++] = f->name;
    fl->failed = true;
    (void)snprintf(key, sizeof(key), "%.72s", c->key);
    memcpy(where, " in ", 5);
    if (!*gw_node_name(c->parent, where + 4, sizeof(where) - 4))
        where[0] = '\0';
    near = gw_suggest(gw_slice_cstr(c->key), words);
    if (near) {
        gw_diag_add(fl->diag, GW_DIAG_ERROR, &c->key_place, "unknown key \"%s\"%s; did you mean \"%s\"?", key, where,
                    near);
        return;
    }
    if (n && n <= MAX_KEYS_SHOWN)
        put_words(shown, sizeof(shown), words);
    gw_diag_add(fl->diag, GW_DIAG_ERROR, &c->key_place, "unknown key \"%s\"%s%s%s", key, where,
                n == 0   ? "; it takes no settings"
                : *shown ? "; its keys are "
                         : "",
                shown);
}

static void check_flags(struct fill *fl, const struct gw_field *f, const struct gw_node *c)
{
    char name[MAX_NAME];

    (void)gw_node_name(c, name, sizeof(name));
    if (f->flags & GW_FF_PLANNED) {
        fl->failed = true;
        gw_diag_add(fl->diag, GW_DIAG_ERROR, &c->key_place, "%s is planned and not there yet", name);
    }
    if (f->flags & GW_FF_DEPRECATED)
        gw_diag_add(fl->diag, GW_DIAG_WARNING, &c->key_place, "%s is deprecated: %s", name, f->help);
    else if (strcmp(c->key, f->name) != 0)
        gw_diag_add(fl->diag, GW_DIAG_WARNING, &c->key_place, "%s is deprecated: write \"%s\"", name, f->name);
    if (f->flags & GW_FF_NO_EFFECT)
        gw_diag_add(fl->diag, GW_DIAG_INFO, &c->key_place, "%s is accepted and has no effect", name);
}

static void fill_key(struct fill *fl, const struct gw_settings *tables, size_t n_tables, const struct gw_node *c)
{
    for (size_t t = 0; t < n_tables; t++) {
        const struct gw_field *f = gw_field_find(tables[t].fields, c->key);

        if (!f)
            continue;
        check_flags(fl, f, c);
        if (!(f->flags & GW_FF_PLANNED))
            fill_value(fl, f, c, tables[t].conf);
        return;
    }
    unknown_key(fl, tables, n_tables, c);
}

static bool has_key(const struct gw_node *n, const struct gw_field *f)
{
    for (const struct gw_node *c = n->type == GW_NODE_MAP ? n->first : NULL; c; c = c->next)
        if (c->type != GW_NODE_NULL && gw_field_find((const struct gw_field[]){*f, {0}}, c->key))
            return true;
    return false;
}

static void check_required(struct fill *fl, const struct gw_field *fields, const struct gw_node *n)
{
    char text[200];

    for (const struct gw_field *f = fields; f && f->name; f++)
        if ((f->flags & GW_FF_REQUIRED) && !has_key(n, f)) {
            (void)snprintf(text, sizeof(text), "\"%.100s\" is missing: it has no default", f->name);
            mistake(fl, n, text);
        }
}

/* The `enabled` of an optional block was read by read_enabled, when no row of the table has that name. */
static bool fill_tree(struct fill *fl, const struct gw_settings *tables, size_t n_tables, const struct gw_node *node,
                      bool is_optional)
{
    if (node->type != GW_NODE_NULL && node->type != GW_NODE_MAP) {
        wrong_type(fl, node, "a map");
        return false;
    }
    for (const struct gw_node *c = node->first; c; c = c->next) {
        if (is_optional && strcmp(c->key, "enabled") == 0 && !gw_field_find(tables[0].fields, "enabled"))
            continue;
        fill_key(fl, tables, n_tables, c);
    }
    for (size_t t = 0; t < n_tables; t++)
        check_required(fl, tables[t].fields, node);
    return !fl->failed;
}

int gw_schema_fill_tables(const struct gw_settings *tables, size_t n, const struct gw_node *node,
                          struct gw_arena *arena, struct gw_diag *diag)
{
    static const struct gw_node nothing = {.type = GW_NODE_NULL, .text = ""};
    struct fill fl = {.arena = arena, .diag = diag};

    if (!node)
        node = &nothing;
    for (size_t t = 0; t < n; t++) {
        if (gw_schema_defaults(tables[t].fields, tables[t].conf_size, tables[t].conf, arena) < 0)
            no_memory(&fl, node);
        if (tables[t].adjust)
            tables[t].adjust(tables[t].conf, tables[t].arg);
    }
    return fill_tree(&fl, tables, n, node, /* is_optional= */ false) ? 0 : -EINVAL;
}

int gw_schema_fill(const struct gw_field *fields, size_t conf_size, const struct gw_node *node, void *conf,
                   struct gw_arena *arena, struct gw_diag *diag)
{
    const struct gw_settings table = {.fields = fields, .conf_size = conf_size, .conf = conf};

    return gw_schema_fill_tables(&table, 1, node, arena, diag);
}

int gw_schema_defaults(const struct gw_field *fields, size_t conf_size, void *conf, struct gw_arena *arena)
{
    if (conf_size)
        memset(conf, 0, conf_size);
    return set_defaults(fields, conf, arena) ? 0 : -EINVAL;
}
