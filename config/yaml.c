/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>

/* A map key waiting for its value. */
struct level {
    struct gw_node *node;
    const char *key;
    struct gw_place key_place;
};

struct anchor {
    const char *name;
    struct gw_node *node;
    bool is_open; /* the collection is still being read: an alias to it would be endless */
    struct anchor *next;
};

struct builder {
    const char *source;
    struct gw_slice text;
    struct gw_arena *arena;
    struct gw_diag *diag;
    struct level stack[GW_YAML_MAX_DEPTH];
    unsigned depth;
    struct anchor *anchors; /* newest first: a later one of the same name hides the earlier */
    size_t n_nodes, n_anchors;
    struct gw_node *root;
    struct gw_place place; /* of the last event that had one */
    bool failed;           /* stop: a limit, no memory */
};

enum { MAX_ANCHORS = 1000 };

/* Tells a merge key from a quoted "<<"; compared by address. */
static const char merge_key[] = "<<";

static bool fail(struct builder *b, const struct gw_place *place, const char *text)
{
    if (!b->failed)
        gw_diag_add(b->diag, GW_DIAG_ERROR, place, "%s", text);
    b->failed = true;
    return false;
}

static struct gw_node *new_node(struct builder *b, enum gw_node_type type)
{
    struct gw_node *n;

    if (++b->n_nodes > GW_YAML_MAX_NODES) {
        (void)fail(b, &b->place, "too large: more than 100000 values once aliases are expanded");
        return NULL;
    }
    n = gw_arena_zalloc(b->arena, sizeof(*n));
    if (!n) {
        (void)fail(b, &b->place, "out of memory");
        return NULL;
    }
    n->type = type;
    n->text = "";
    n->place = b->place;
    return n;
}

static const char *copy_text(struct builder *b, const char *p, size_t n)
{
    char *s = gw_arena_alloc(b->arena, n + 1);

    if (!s) {
        (void)fail(b, &b->place, "out of memory");
        return NULL;
    }
    if (n)
        memcpy(s, p, n);
    s[n] = '\0';
    return s;
}

static void append(struct gw_node *parent, struct gw_node *n)
{
    n->parent = parent;
    n->next = NULL;
    *(parent->last ? &parent->last->next : &parent->first) = n;
    parent->last = n;
    parent->n_children++;
}

/* A finished value goes below the open collection, or becomes the root. */
static void attach(struct builder *b, struct gw_node *n)
{
    struct level *top = b->depth ? &b->stack[b->depth - 1] : NULL;

    if (!top) {
        b->root = n;
        return;
    }
    if (top->node->type == GW_NODE_MAP) {
        n->key = top->key;
        n->key_place = top->key_place;
        top->key = NULL;
        if (top->node->n_children >= GW_YAML_MAX_KEYS)
            (void)fail(b, &n->key_place, "too many keys in one map: the limit is 4096");
    }
    append(top->node, n);
}

enum { MAX_KEY_BYTES = 1000 }; /* YAML's own limit is 1024 characters for a key without "?" */

static void set_key(struct builder *b, const char *key)
{
    b->stack[b->depth - 1].key = key;
    b->stack[b->depth - 1].key_place = b->place;
    if (strlen(key) > MAX_KEY_BYTES)
        (void)fail(b, &b->place, "a key of more than 1000 bytes");
}

static bool wants_key(const struct builder *b)
{
    return b->depth && b->stack[b->depth - 1].node->type == GW_NODE_MAP && !b->stack[b->depth - 1].key;
}

/* ---- anchors and aliases ---------------------------------------------------------------------------------- */

static void define(struct builder *b, struct fy_token *token, struct gw_node *n, bool is_open)
{
    struct anchor *a;
    const char *p;
    size_t len;

    if (!token || !(p = fy_token_get_text(token, &len)))
        return;
    if (++b->n_anchors > MAX_ANCHORS) {
        (void)fail(b, &b->place, "too many anchors: the limit is 1000");
        return;
    }
    a = gw_arena_zalloc(b->arena, sizeof(*a));
    if (!a || !(a->name = copy_text(b, p, len)))
        return;
    a->node = n;
    a->is_open = is_open;
    a->next = b->anchors;
    b->anchors = a;
}

static void close_anchor(struct builder *b, const struct gw_node *n)
{
    for (struct anchor *a = b->anchors; a; a = a->next)
        if (a->node == n)
            a->is_open = false;
}

/* Depth is bounded: `depth` is that of the place where the copy goes. */
static struct gw_node *copy_tree(struct builder *b, const struct gw_node *from, unsigned depth)
{
    struct gw_node *n = new_node(b, from->type);

    if (!n)
        return NULL;
    if (depth > GW_YAML_MAX_DEPTH) {
        (void)fail(b, &b->place, "nested too deeply: the limit is 64 levels");
        return NULL;
    }
    n->place = from->place;
    n->key = from->key;
    n->key_place = from->key_place;
    n->text = from->text;
    n->i = from->i;
    for (const struct gw_node *c = from->first; c; c = c->next) {
        struct gw_node *child = copy_tree(b, c, depth + 1);

        if (!child)
            return NULL;
        append(n, child);
    }
    return n;
}

static void on_alias(struct builder *b, struct fy_token *token)
{
    struct anchor *a = b->anchors;
    struct gw_node *n;
    size_t len = 0;
    const char *p = fy_token_get_text(token, &len);

    while (a && !(p && strlen(a->name) == len && memcmp(a->name, p, len) == 0))
        a = a->next;
    if (!a || a->is_open) {
        gw_diag_add(b->diag, GW_DIAG_ERROR, &b->place,
                    a ? "alias \"*%.*s\" stands inside its own anchor" : "unknown anchor \"%.*s\"",
                    (int)(len > 64 ? 64 : len), p ? p : "");
        n = new_node(b, GW_NODE_NULL);
    } else {
        n = copy_tree(b, a->node, b->depth);
    }
    if (!n)
        return;
    if (wants_key(b)) {
        set_key(b, n->text);
        return;
    }
    n->key = NULL;
    attach(b, n);
}

/* ---- collections ------------------------------------------------------------------------------------------ */

static void open_collection(struct builder *b, enum gw_node_type type, struct fy_token *anchor)
{
    struct gw_node *n;

    if (wants_key(b)) {
        (void)fail(b, &b->place, "a map or list cannot be a key");
        return;
    }
    if (b->depth == GW_YAML_MAX_DEPTH) {
        (void)fail(b, &b->place, "nested too deeply: the limit is 64 levels");
        return;
    }
    n = new_node(b, type);
    if (!n)
        return;
    attach(b, n);
    define(b, anchor, n, /* is_open= */ true);
    b->stack[b->depth++] = (struct level){.node = n};
}

static void report_duplicate(struct builder *b, const struct gw_node *c, const struct gw_node *first)
{
    gw_diag_add(b->diag, GW_DIAG_ERROR, &c->key_place, "duplicate key \"%s\": it stands in line %u already", c->key,
                first->key_place.line);
}

/* By key, equal keys in order of the file: nodes of one parse lie at rising places. */
static int compare_keys(const void *pa, const void *pb)
{
    const struct gw_node *a = *(const struct gw_node *const *)pa, *b = *(const struct gw_node *const *)pb;
    int c = strcmp(a->key, b->key);

    if (c == 0 && a->key_place.line != b->key_place.line)
        return a->key_place.line < b->key_place.line ? -1 : 1;
    return c ? c : a->key_place.column < b->key_place.column ? -1 : a->key_place.column > b->key_place.column;
}

/* Sorted, because a hostile file may have thousands of keys, hundreds of times. */
static void report_duplicates(struct builder *b, const struct gw_node *map)
{
    const struct gw_node **v;
    size_t n = 0, first = 0;

    if (map->n_children < 2)
        return;
    v = malloc(map->n_children * sizeof(*v));
    if (!v) {
        (void)fail(b, &map->place, "out of memory");
        return;
    }
    for (const struct gw_node *c = map->first; c; c = c->next)
        v[n++] = c;
    qsort(v, n, sizeof(*v), compare_keys);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(v[i]->key, v[first]->key) != 0)
            first = i;
        else
            report_duplicate(b, v[i], v[first]);
    }
    free(v);
}

/* Moves the children of a merged map that the map does not have itself. */
static void merge_from(struct builder *b, struct gw_node *map, struct gw_node *from)
{
    struct gw_node *next;

    if (from->type != GW_NODE_MAP) {
        gw_diag_add(b->diag, GW_DIAG_ERROR, &from->place, "\"<<\" merges a map or a list of maps");
        return;
    }
    for (struct gw_node *c = from->first; c; c = next) {
        next = c->next;
        if (gw_node_get(map, c->key))
            continue;
        if (map->n_children >= GW_YAML_MAX_KEYS) {
            (void)fail(b, &from->place, "too many keys in one map: the limit is 4096");
            return;
        }
        append(map, c);
    }
}

/* Explicit keys win over merged ones, earlier merges over later ones. */
static void merge(struct builder *b, struct gw_node *map)
{
    struct gw_node *merges = NULL, **tail = &merges, *c = map->first, *next;
    bool any = false;

    for (const struct gw_node *k = map->first; k; k = k->next)
        any = any || k->key == merge_key;
    if (!any)
        return;
    map->first = map->last = NULL;
    map->n_children = 0;
    for (; c; c = next) {
        next = c->next;
        if (c->key == merge_key) {
            c->next = NULL;
            *tail = c;
            tail = &c->next;
        } else {
            append(map, c);
        }
    }
    for (c = merges; c; c = c->next) {
        if (c->type != GW_NODE_LIST) {
            merge_from(b, map, c);
            continue;
        }
        for (struct gw_node *item = c->first; item && !b->failed; item = item->next)
            merge_from(b, map, item);
    }
}

static void close_collection(struct builder *b)
{
    struct gw_node *n = b->stack[--b->depth].node;

    if (n->type == GW_NODE_MAP) {
        report_duplicates(b, n);
        merge(b, n);
    }
    close_anchor(b, n);
}

/* ---- scalars ---------------------------------------------------------------------------------------------- */

/* "!!str 5" and "! 5" are texts, whatever they look like. */
static bool is_string_tag(struct fy_token *tag)
{
    size_t n;
    const char *p = tag ? fy_token_get_text(tag, &n) : NULL;

    if (!p)
        return false;
    return n == 0 || (n == 1 && p[0] == '!') || (n >= 4 && memcmp(p + n - 4, ":str", 4) == 0) ||
           (n >= 5 && memcmp(p + n - 5, "!!str", 5) == 0);
}

static void on_scalar(struct builder *b, const struct fy_event *e)
{
    struct fy_token *token = e->scalar.value;
    size_t len = 0;
    const char *p = token ? fy_token_get_text(token, &len) : NULL;
    bool is_plain = !token || fy_token_scalar_style(token) == FYSS_PLAIN;
    struct gw_node *n;

    if (p && memchr(p, '\0', len)) {
        (void)fail(b, &b->place, "a text may not hold a zero byte");
        return;
    }
    n = new_node(b, GW_NODE_STRING);
    if (!n || !(n->text = copy_text(b, p, len)))
        return;
    if (is_plain && !is_string_tag(e->scalar.tag))
        gw_yaml_type(n);
    define(b, e->scalar.anchor, n, /* is_open= */ false);
    if (wants_key(b)) {
        set_key(b, is_plain && strcmp(n->text, merge_key) == 0 ? merge_key : n->text);
        return;
    }
    attach(b, n);
}

/* ---- events ----------------------------------------------------------------------------------------------- */

static bool is_quoted(const struct fy_event *e)
{
    enum fy_scalar_style style;

    if (e->type != FYET_SCALAR || !e->scalar.value)
        return false;
    style = fy_token_scalar_style(e->scalar.value);
    return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

static void set_place(struct builder *b, struct fy_event *e)
{
    const struct fy_mark *m = fy_event_start_mark(e);

    if (!m)
        return;
    b->place = (struct gw_place){b->source, (unsigned)m->line + 1, (unsigned)m->column + 1};
    if (b->place.column > 1 && (e->type == FYET_ALIAS || is_quoted(e)))
        b->place.column--; /* the mark stands behind the star, behind the quote */
}

static void on_event(struct builder *b, struct fy_event *e)
{
    set_place(b, e);
    switch (e->type) {
    case FYET_MAPPING_START:
        open_collection(b, GW_NODE_MAP, e->mapping_start.anchor);
        break;
    case FYET_SEQUENCE_START:
        open_collection(b, GW_NODE_LIST, e->sequence_start.anchor);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        close_collection(b);
        break;
    case FYET_SCALAR:
        on_scalar(b, e);
        break;
    case FYET_ALIAS:
        on_alias(b, e->alias.anchor);
        break;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_START:
    case FYET_DOCUMENT_END:
        break;
    }
}

static void report_syntax(struct builder *b, struct fy_diag *fd)
{
    struct fy_diag_error *err;
    void *prev = NULL;
    unsigned n = 0;

    while ((err = fy_diag_errors_iterate(fd, &prev))) {
        struct gw_place place = {b->source, err->line > 0 ? (unsigned)err->line : 1,
                                 err->column > 0 ? (unsigned)err->column : 1};

        if (err->type != FYET_ERROR)
            continue;
        gw_diag_add(b->diag, GW_DIAG_ERROR, &place, "not YAML: %s", err->msg ? err->msg : "syntax error");
        if (err->msg && strstr(err->msg, "flow") && b->depth)
            gw_diag_add(b->diag, GW_DIAG_INFO, &b->stack[b->depth - 1].node->place, "it was opened here");
        n++;
    }
    if (n == 0)
        (void)fail(b, &b->place, "not YAML: syntax error");
}

/* Up to the end of the first document. */
static void run(struct builder *b, struct fy_parser *fyp, struct fy_diag *fd)
{
    struct fy_event *e;
    bool is_done = false;

    while (!b->failed && !is_done) {
        enum fy_event_type type;

        e = fy_parser_parse(fyp);
        if (!e) {
            if (fy_parser_get_stream_error(fyp) || fy_diag_got_error(fd))
                report_syntax(b, fd);
            break;
        }
        type = e->type;
        on_event(b, e);
        fy_parser_event_free(fyp, e);
        is_done = type == FYET_DOCUMENT_END || type == FYET_STREAM_END;
        if (type != FYET_DOCUMENT_END)
            continue;
        e = fy_parser_parse(fyp);
        if (e && e->type == FYET_DOCUMENT_START) {
            set_place(b, e);
            gw_diag_add(b->diag, GW_DIAG_WARNING, &b->place, "only the first YAML document of a file is read");
        } else if (!e && (fy_parser_get_stream_error(fyp) || fy_diag_got_error(fd))) {
            report_syntax(b, fd);
        }
        if (e)
            fy_parser_event_free(fyp, e);
    }
}

/* Length of the well-formed UTF-8 character at p, or 0. */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    size_t len = p[0] < 0x80                   ? 1
                 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                 : (p[0] & 0xf0) == 0xe0       ? 3
                 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                               : 0;

    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

static bool check_utf8(struct builder *b)
{
    struct gw_place place = {b->source, 1, 1};

    for (size_t i = 0; i < b->text.n;) {
        size_t len = utf8_length(b->text.p + i, b->text.n - i);

        if (len == 0)
            return fail(b, &place, "not UTF-8");
        place.column++;
        if (b->text.p[i] == '\n') {
            place.line++;
            place.column = 1;
        }
        i += len;
    }
    return true;
}

static void quiet(struct fy_diag *fd, void *user, const char *buf, size_t len)
{
    (void)fd;
    (void)user;
    (void)buf;
    (void)len;
}

struct gw_node *gw_yaml_parse(struct gw_slice text, const char *source, struct gw_arena *arena, struct gw_diag *diag)
{
    struct builder *b = gw_arena_zalloc(arena, sizeof(*b));
    struct fy_diag_cfg dc;
    struct fy_parse_cfg pc = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE | FYPCF_SLOPPY_FLOW_INDENTATION};
    struct fy_parser *fyp = NULL;
    unsigned errors = diag->n_errors;

    if (!b) {
        gw_diag_add(diag, GW_DIAG_ERROR, &(struct gw_place){.source = source}, "out of memory");
        return NULL;
    }
    *b = (struct builder){.source = source, .text = text, .arena = arena, .diag = diag, .place = {source, 1, 1}};
    if (text.n > GW_YAML_MAX_BYTES) {
        (void)fail(b, &(struct gw_place){.source = source}, "too large: the limit is 1 MiB");
        return NULL;
    }
    if (!check_utf8(b))
        return NULL;
    fy_diag_cfg_default(&dc);
    dc.fp = NULL;
    dc.output_fn = quiet;
    dc.colorize = false;
    pc.diag = fy_diag_create(&dc);
    if (pc.diag) {
        fy_diag_set_collect_errors(pc.diag, true);
        fyp = fy_parser_create(&pc);
    }
    if (!fyp || fy_parser_set_string(fyp, text.n ? (const char *)text.p : "", text.n) != 0)
        (void)fail(b, &b->place, "out of memory");
    else
        run(b, fyp, pc.diag);
    fy_diag_reset_error(pc.diag); /* before the parser goes: the errors hold its tokens */
    if (fyp)
        fy_parser_destroy(fyp);
    fy_diag_unref(pc.diag);
    if (diag->n_errors != errors || b->failed)
        return NULL;
    return b->root ? b->root : new_node(b, GW_NODE_NULL);
}
