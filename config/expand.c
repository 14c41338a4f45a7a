/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ${...}. The innermost expansion first: the text is searched for the first "}" and back from there for its "${",
 * what stands between is looked up and put in its place, and the search begins again, until nothing is found.
 */
#include "config/expand.h"

#include "config/load.h"
#include "config/yaml.h"
#include "core/buf.h"
#include "core/env.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_PASSES = 1000,      /* of one value, as in the Collector */
    MAX_EXPANSIONS = 10000, /* of one load */
    MAX_FETCHES = 32,       /* each may take seconds */
    MAX_BYTES = 4 << 20,    /* read and made by one load */
    MAX_DEPTH = 2 * GW_YAML_MAX_DEPTH,
};

/* ---- small helpers ---------------------------------------------------------------------------------------- */

const char *gw_last_separator(const char *s)
{
    const char *last = NULL;

    for (; (s = strstr(s, "::")); s += 2)
        last = s;
    return last;
}

struct gw_node *gw_load_node(struct gw_load *ld, enum gw_node_type type, const struct gw_place *place)
{
    struct gw_node *n = gw_arena_zalloc(ld->arena, sizeof(*n));

    if (!n) {
        gw_diag_add(ld->diag, GW_DIAG_ERROR, place, "out of memory");
        return NULL;
    }
    n->type = type;
    n->text = "";
    n->place = *place;
    return n;
}

const char *gw_load_text(struct gw_load *ld, const char *p, size_t n)
{
    char *s = gw_arena_alloc(ld->arena, n + 1);

    if (!s) {
        gw_diag_add(ld->diag, GW_DIAG_ERROR, NULL, "out of memory");
        return "";
    }
    if (n)
        memcpy(s, p, n);
    s[n] = '\0';
    return s;
}

static bool charge(struct gw_load *ld, size_t bytes, const struct gw_place *place)
{
    ld->bytes += bytes;
    if (!ld->is_over && (ld->bytes > MAX_BYTES || ld->expansions > MAX_EXPANSIONS)) {
        ld->is_over = true;
        gw_diag_add(ld->diag, GW_DIAG_ERROR, place, "expansion does not end: more than 4 MiB or 10000 expansions");
    }
    return !ld->is_over;
}

/* ---- providers -------------------------------------------------------------------------------------------- */

enum gw_scheme gw_uri_scheme(const char **uri)
{
    static const struct {
        const char *name;
        enum gw_scheme scheme;
    } known[] = {{"file", GW_SCHEME_FILE}, {"env", GW_SCHEME_ENV},     {"yaml", GW_SCHEME_YAML},
                 {"http", GW_SCHEME_HTTP}, {"https", GW_SCHEME_HTTPS}, {"builtin", GW_SCHEME_BUILTIN}};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *s = *uri;
    size_t n = strspn(s, letters) ? strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-") : 0;

    if (n < 2 || s[n] != ':')
        return GW_SCHEME_NONE;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].name) == n && memcmp(known[i].name, s, n) == 0) {
            *uri = s + n + 1;
            return known[i].scheme;
        }
    return GW_SCHEME_UNKNOWN;
}

const char *gw_uri_shown(struct gw_arena *arena, const char *uri)
{
    const char *host = strstr(uri, "://"), *rest = uri, *query;
    struct gw_slice user = {0};
    size_t n;
    char *s;

    if (strncmp(uri, "yaml:", 5) == 0)
        return "yaml:";
    if (!host)
        return uri;
    host += 3;
    n = strcspn(host, "/?#");
    for (size_t i = 0; i < n; i++)
        if (host[i] == '@') {
            user = gw_slice_of(uri, (size_t)(host - uri));
            rest = host + i;
        }
    query = host + strcspn(host, "?");
    s = gw_arena_alloc(arena, strlen(uri) + 8);
    if (!s)
        return "a URL";
    (void)sprintf(s, "%.*s%s%.*s%s", (int)user.n, (const char *)user.p, user.n ? "***" : "", (int)(query - rest), rest,
                  *query ? "?***" : "");
    return s;
}

static bool is_name(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_';

        if (!letter && !(i > 0 && s[i] >= '0' && s[i] <= '9'))
            return false;
    }
    return n > 0;
}

static int read_env(struct gw_load *ld, const char *opaque, const struct gw_place *place, struct gw_raw *ret)
{
    const char *def = strstr(opaque, ":-"), *name, *value;
    size_t n = def ? (size_t)(def - opaque) : strlen(opaque);

    if (!is_name(opaque, n)) {
        gw_diag_add(ld->diag, GW_DIAG_ERROR, place,
                    "\"%.60s\" is not a name of an environment variable: letters, digits "
                    "and _ only",
                    opaque);
        return -EINVAL;
    }
    name = gw_load_text(ld, opaque, n);
    value = ld->variable(ld->arg, name);
    if (!value && !def)
        gw_diag_add(ld->diag, GW_DIAG_WARNING, place, "environment variable %s is not set: taken as empty", name);
    ret->is_unset = !value && !def;
    if (!value)
        value = def ? def + 2 : "";
    ret->text = gw_slice_cstr(gw_load_text(ld, value, strlen(value)));
    return 0;
}

static int read_file(struct gw_load *ld, const char *path, const struct gw_place *place, struct gw_raw *ret)
{
    struct gw_err err;
    size_t n = 0;
    int rc;

    if (ld->reads)
        ld->reads(ld->reads_arg, path);
    rc = gw_env_read_file(ld->env, path, GW_YAML_MAX_BYTES, &ret->mine, &n, &err);
    if (rc < 0) {
        gw_diag_add(ld->diag, GW_DIAG_ERROR, place, "%s", err.text);
        if (!ld->first_error)
            ld->first_error = rc;
        return rc;
    }
    ret->text = gw_slice_of(ret->mine, n);
    return 0;
}

static int failed(struct gw_load *ld, int rc, const struct gw_place *place, const char *source, const char *why)
{
    gw_diag_add(ld->diag, GW_DIAG_ERROR, place, "%s: %s", source, why);
    if (!ld->first_error)
        ld->first_error = rc;
    return rc;
}

static int read_url(struct gw_load *ld, const char *url, const struct gw_place *place, struct gw_raw *ret)
{
    const char *host = strchr(url, ':') + 1;
    struct gw_err err = {""};
    size_t n = 0;
    int rc;

    if (strncmp(host, "//", 2) != 0 || host[2] == '/' || host[2] == '\0')
        return failed(ld, -EINVAL, place, ret->source, "no URL; one looks like https://host/path");
    if (!ld->env->ops->fetch)
        return failed(ld, -ENOTSUP, place, ret->source, "nothing is read over the network here");
    if (++ld->fetches > MAX_FETCHES)
        return failed(ld, -E2BIG, place, ret->source, "more than 32 URLs in one configuration");
    rc = ld->env->ops->fetch(ld->env, url, GW_YAML_MAX_BYTES, &ret->mine, &n, &err);
    if (rc < 0)
        return failed(ld, rc, place, ret->source, err.text);
    ret->text = gw_slice_of(ret->mine, n);
    return 0;
}

/* NULL when the scheme is another; and without memory. */
static const char *web_url(struct gw_load *ld, enum gw_scheme scheme, const char *opaque)
{
    const char *name = scheme == GW_SCHEME_HTTP ? "http:" : scheme == GW_SCHEME_HTTPS ? "https:" : NULL;
    char *url = name ? gw_arena_alloc(ld->arena, strlen(name) + strlen(opaque) + 1) : NULL;

    if (url)
        (void)sprintf(url, "%s%s", name, opaque);
    return url;
}

int gw_load_read(struct gw_load *ld, enum gw_scheme scheme, const char *opaque, const struct gw_place *place,
                 struct gw_raw *ret)
{
    const char *url = web_url(ld, scheme, opaque);
    const char *source = url ? gw_uri_shown(ld->arena, url) : gw_load_text(ld, opaque, strlen(opaque));
    struct gw_place own = {.source = source};
    int rc = 0;

    if (!place)
        place = &own;
    ret->source = source;
    switch (scheme) {
    case GW_SCHEME_FILE:
        rc = read_file(ld, opaque, place, ret);
        break;
    case GW_SCHEME_ENV:
        rc = read_env(ld, opaque, place, ret);
        break;
    case GW_SCHEME_YAML:
        ret->source = "yaml:";
        ret->text = gw_slice_cstr(source);
        break;
    case GW_SCHEME_HTTP:
    case GW_SCHEME_HTTPS:
        rc = url ? read_url(ld, url, place, ret) : failed(ld, -ENOMEM, place, source, "out of memory");
        break;
    case GW_SCHEME_NONE:
    case GW_SCHEME_BUILTIN:
    case GW_SCHEME_UNKNOWN:
        gw_diag_add(ld->diag, GW_DIAG_ERROR, place,
                    "unknown scheme in \"%.60s\"; there are file:, env:, yaml:, http: and https:",
                    gw_uri_shown(ld->arena, opaque));
        rc = -EINVAL;
        break;
    }
    if (rc == 0 && !charge(ld, ret->text.n, place))
        rc = -E2BIG;
    return rc;
}

void gw_raw_clear(struct gw_raw *raw)
{
    free(raw->mine);
    *raw = (struct gw_raw){0};
}

/* ---- one expansion ---------------------------------------------------------------------------------------- */

static struct gw_slice trim(struct gw_slice s)
{
    while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    while (s.n && (*s.p == '\n' || *s.p == ' ' || *s.p == '\t')) {
        s.p++;
        s.n--;
    }
    return s;
}

/*
 * The value of a raw text: its YAML meaning, with the text kept. What is no YAML is a text; a text stays as it is,
 * quotes included. A file's last newline belongs to the editor, not to the value.
 */
static struct gw_node *evaluate(struct gw_load *ld, const struct gw_raw *raw, const struct gw_place *place)
{
    struct gw_slice text = raw->text;
    struct gw_diag quiet;
    struct gw_node *n;

    if (raw->mine && text.n && text.p[text.n - 1] == '\n')
        text.n -= text.n > 1 && text.p[text.n - 2] == '\r' ? 2 : 1;
    gw_diag_init(&quiet);
    n = gw_yaml_parse(text, raw->source, ld->arena, &quiet);
    gw_diag_clear(&quiet);
    if (!n)
        n = gw_load_node(ld, GW_NODE_STRING, place);
    if (!n)
        return NULL;
    if (n->type != GW_NODE_MAP && n->type != GW_NODE_LIST) {
        n->place = *place;
        if (n->type != GW_NODE_STRING)
            text = trim(text);
    }
    n->text = gw_load_text(ld, (const char *)text.p, text.n);
    return n;
}

/* The value of what stands between ${ and }. NULL after a mistake. */
static struct gw_node *look_up(struct gw_load *ld, const char *body, const struct gw_place *place)
{
    const char *opaque = body;
    enum gw_scheme scheme = gw_uri_scheme(&opaque);
    struct gw_raw raw = {0};
    struct gw_node *n = NULL;

    ld->expansions++;
    if (strchr(body, '$')) {
        gw_diag_add(ld->diag, GW_DIAG_ERROR, place, "\"${%.60s}\" has a $ inside", gw_uri_shown(ld->arena, body));
        return NULL;
    }
    if (scheme == GW_SCHEME_NONE || (scheme == GW_SCHEME_UNKNOWN && strstr(body, ":-")))
        scheme = GW_SCHEME_ENV;
    if (gw_load_read(ld, scheme, opaque, place, &raw) == 0)
        n = evaluate(ld, &raw, place);
    gw_raw_clear(&raw);
    return n;
}

/* First expandable ${...} in s. An odd number of $ in front of it escapes it. */
static bool find(const char *s, size_t *ret_open, size_t *ret_close)
{
    const char *from = s, *close;

    for (; (close = strchr(from, '}')); from = close + 1) {
        const char *open = close;
        unsigned dollars = 0;

        while (open > from && !(open[0] == '$' && open[1] == '{'))
            open--;
        if (!(open[0] == '$' && open[1] == '{'))
            continue;
        for (const char *d = open; d > s && d[-1] == '$'; d--)
            dollars++;
        if (dollars % 2)
            continue;
        *ret_open = (size_t)(open - s);
        *ret_close = (size_t)(close - s);
        return true;
    }
    return false;
}

/* s with s[open..close] replaced. NULL when that is too long. */
static const char *substitute(struct gw_load *ld, const char *s, size_t open, size_t close, const char *by,
                              const struct gw_place *place)
{
    const char *ret = NULL;
    struct gw_buf b;

    gw_buf_init(&b, GW_YAML_MAX_BYTES);
    gw_buf_put(&b, s, open);
    gw_buf_put_str(&b, by);
    gw_buf_put_str(&b, s + close + 1);
    if (b.failed)
        gw_diag_add(ld->diag, GW_DIAG_ERROR, place, "expansion makes a text of more than 1 MiB");
    else if (charge(ld, b.n, place))
        ret = gw_load_text(ld, (const char *)b.p, b.n);
    gw_buf_clear(&b);
    return ret;
}

/* ---- trees ------------------------------------------------------------------------------------------------ */

static void unescape(struct gw_load *ld, struct gw_node *n)
{
    char *copy, *out;

    if (!strstr(n->text, "$$"))
        return;
    copy = out = (char *)(uintptr_t)gw_load_text(ld, n->text, strlen(n->text));
    if (!*copy)
        return; /* out of memory: this "" is not ours to write to */
    for (const char *s = copy; *s; s++) {
        *out++ = *s;
        if (s[0] == '$' && s[1] == '$')
            s++;
    }
    *out = '\0';
    n->text = copy;
}

/* n becomes what `v` is; key and place in the tree stay. */
static void become(struct gw_node *n, const struct gw_node *v)
{
    n->type = v->type;
    n->text = v->text;
    n->i = v->i;
    if (v->type == GW_NODE_MAP || v->type == GW_NODE_LIST)
        n->place = v->place;
    n->first = v->first;
    n->last = v->last;
    n->n_children = v->n_children;
    for (struct gw_node *c = n->first; c; c = c->next)
        c->parent = n;
}

static void expand_scalar(struct gw_load *ld, struct gw_node *n)
{
    size_t open, close;

    for (unsigned pass = 0; n->type == GW_NODE_STRING && find(n->text, &open, &close); pass++) {
        const char *body = gw_load_text(ld, n->text + open + 2, close - open - 2), *text;
        const struct gw_node *v;
        bool is_whole = open == 0 && n->text[close + 1] == '\0';

        if (pass == MAX_PASSES) {
            gw_diag_add(ld->diag, GW_DIAG_ERROR, &n->place, "too many expansions in one value: the limit is 1000");
            return;
        }
        v = look_up(ld, body, &n->place);
        if (!v || ld->is_over)
            return;
        if (is_whole) {
            become(n, v);
            continue;
        }
        text = substitute(ld, n->text, open, close, v->text, &n->place);
        if (!text)
            return;
        n->text = text;
    }
}

static void expand_tree(struct gw_load *ld, struct gw_node *n, unsigned depth)
{
    if (ld->is_over)
        return;
    if (depth > MAX_DEPTH) {
        ld->is_over = true;
        gw_diag_add(ld->diag, GW_DIAG_ERROR, &n->place, "expansion does not end: a file includes itself");
        return;
    }
    expand_scalar(ld, n);
    for (struct gw_node *c = n->first; c; c = c->next)
        expand_tree(ld, c, depth + 1);
    if (n->type == GW_NODE_STRING)
        unescape(ld, n);
}

void gw_load_expand(struct gw_load *ld, struct gw_node *root)
{
    expand_tree(ld, root, 0);
}
