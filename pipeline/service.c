/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/service.h"

#include "config/load.h"
#include "core/hash.h"
#include "pipeline/service_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_CHUNK = 16384, ARENA_MAX = 64 << 20 };

/* ---- what the other files share --------------------------------------------------------------------------- */

void gw_build_error(struct gw_build *b, const struct gw_place *place, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gw_diag_add(b->diag, GW_DIAG_ERROR, place, "%s", text);
}

void *gw_build_alloc(struct gw_build *b, size_t n)
{
    void *p = gw_arena_zalloc(&b->s->arena, n ? n : 1);

    b->no_memory = b->no_memory || !p;
    return p;
}

const char *gw_kind_word(enum gw_kind kind)
{
    static const char *const names[GW_N_KINDS] = {"receiver", "processor", "connector", "exporter", "extension"};

    return names[kind];
}

const char *gw_section_name(enum gw_kind kind)
{
    static const char *const names[GW_N_KINDS] = {"receivers", "processors", "connectors", "exporters", "extensions"};

    return names[kind];
}

const char *gw_signal_word(enum gw_signal signal)
{
    return signal == GW_TRACES ? "traces" : signal == GW_METRICS ? "metrics" : "logs";
}

bool gw_build_signal(const char *word, enum gw_signal *ret)
{
    for (unsigned s = GW_TRACES; s <= GW_LOGS; s <<= 1)
        if (strcmp(word, gw_signal_word((enum gw_signal)s)) == 0) {
            *ret = (enum gw_signal)s;
            return true;
        }
    return false;
}

struct gw_service_component *gw_service_find(const struct gw_service *s, enum gw_kind kind, const char *id)
{
    for (size_t i = 0; i < s->n_components; i++)
        if (s->components[i].kind == kind && strcmp(s->components[i].id, id) == 0)
            return &s->components[i];
    return NULL;
}

/* "receiver or connector" */
static const char *kinds_text(unsigned mask, char *buf, size_t size)
{
    size_t at = 0;

    buf[0] = '\0';
    for (unsigned k = 0; k < GW_N_KINDS; k++)
        if (mask & 1u << k && at < size)
            at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? " or " : "", gw_kind_word((enum gw_kind)k));
    return buf;
}

/* The id stands, but in another section? Returns how to say it. */
static const char *elsewhere(struct gw_build *b, unsigned mask, const char *id, char *buf, size_t size)
{
    for (unsigned k = 0; k < GW_N_KINDS; k++)
        if (!(mask & 1u << k) && gw_service_find(b->s, (enum gw_kind)k, id)) {
            (void)snprintf(buf, size, "; it is in %s", gw_section_name((enum gw_kind)k));
            return buf;
        }
    return NULL;
}

static void not_configured(struct gw_build *b, const char *owner, unsigned mask, const char *id,
                           const struct gw_place *place)
{
    const char *words[257] = {NULL}, *near;
    char kinds[100], more[300] = "";
    size_t n = 0, at;

    for (size_t i = 0; i < b->s->n_components && n < 256; i++)
        if (mask & 1u << b->s->components[i].kind)
            words[n++] = b->s->components[i].id;
    near = gw_suggest(gw_slice_cstr(id), words);
    if (near)
        (void)snprintf(more, sizeof(more), "; did you mean \"%.100s\"?", near);
    else if (!elsewhere(b, mask, id, more, sizeof(more)) && n && n <= 8)
        for (size_t i = 0; words[i] && (at = strlen(more)) < sizeof(more) - 1; i++)
            (void)snprintf(more + at, sizeof(more) - at, "%s%s", i ? ", " : "; there are ", words[i]);
    gw_build_error(b, place, "%s: %s \"%.100s\" is not configured%s", owner, kinds_text(mask, kinds, sizeof(kinds)), id,
                   more);
}

struct gw_service_component *gw_build_lookup(struct gw_build *b, const char *owner, unsigned kind_mask, const char *id,
                                             const struct gw_place *place)
{
    for (unsigned k = 0; k < GW_N_KINDS; k++) {
        struct gw_service_component *c = kind_mask & 1u << k ? gw_service_find(b->s, (enum gw_kind)k, id) : NULL;

        if (c)
            return c;
    }
    not_configured(b, owner, kind_mask, id, place);
    return NULL;
}

/* ---- root and service ------------------------------------------------------------------------------------- */

static void unknown_key(struct gw_build *b, const struct gw_node *c, const char *where, const char *const *words)
{
    const char *near = gw_suggest(gw_slice_cstr(c->key), words);

    if (near)
        gw_build_error(b, &c->key_place, "unknown key \"%.72s\" in %s; did you mean \"%s\"?", c->key, where, near);
    else
        gw_build_error(b, &c->key_place, "unknown key \"%.72s\" in %s", c->key, where);
}

static void check_root(struct gw_build *b, const struct gw_node *root)
{
    static const char *const words[] = {"receivers",  "processors", "exporters", "connectors",
                                        "extensions", "service",    NULL};

    for (const struct gw_node *c = root->first; c; c = c->next) {
        bool known = false;

        for (const char *const *w = words; *w; w++)
            known = known || strcmp(c->key, *w) == 0;
        if (!known)
            unknown_key(b, c, "the configuration", words);
        else if (c->type != GW_NODE_MAP && c->type != GW_NODE_NULL)
            gw_build_error(b, &c->place, "%s: must be a map", c->key);
    }
}

static void build_service(struct gw_build *b, const struct gw_node *root)
{
    static const char *const words[] = {"extensions", "pipelines", "telemetry", "runtime", "dead_letters", NULL};
    const struct gw_node *service = gw_node_get(root, "service"), *c;

    for (c = service && service->type == GW_NODE_MAP ? service->first : NULL; c; c = c->next) {
        bool known = false;

        for (const char *const *w = words; *w; w++)
            known = known || strcmp(c->key, *w) == 0;
        if (!known)
            unknown_key(b, c, "service", words);
    }
    gw_build_extensions(b, gw_node_get(service, "extensions"));
    gw_build_dead_letters(b, gw_node_get(service, "dead_letters"));
    gw_build_telemetry(b, gw_node_get(service, "telemetry"));
    (void)gw_schema_fill(gw_runtime_fields, sizeof(b->s->runtime), gw_node_get(service, "runtime"), &b->s->runtime,
                         &b->s->arena, b->diag);
    c = gw_node_get(service, "pipelines");
    if (!c || !c->first)
        gw_build_error(b,
                       c         ? &c->key_place
                       : service ? &service->key_place
                                 : &root->place,
                       "service::pipelines: there must be at least one pipeline");
    else
        gw_build_pipelines(b, c);
}

const struct gw_field gw_runtime_fields[] = {
    GW_U64_FIELD(struct gw_runtime_conf, workers, "workers", "0", 0, 256,
                 "Worker threads; 0 = one per CPU that the process may use."),
    GW_U64_FIELD(struct gw_runtime_conf, memory_limit_mib, "memory_limit_mib", "0", 0, 1e9,
                 "Memory for data in flight; 0 = from the cgroup, or else the machine."),
    GW_DURATION_FIELD(struct gw_runtime_conf, drain_timeout_ns, "drain_timeout", "25s", 0, 1e18,
                      "How long a stop waits for sinks."),
    GW_STRING_FIELD(struct gw_runtime_conf, control_socket, "control_socket", "",
                    "Unix socket for the commands that ask a running gateway, at most 107 bytes; without it "
                    "control.sock in the directory of the first storage among the extensions, or none."),
    GW_BOOL_FIELD(struct gw_runtime_conf, watch_config, "watch_config", "false",
                  "Reload when a file of the configuration has changed, as SIGHUP does. Looked at every second; a file "
                  "that is still being written is waited for."),
    {0},
};

/* Without memory for it there is none. */
static void hash_configuration(struct gw_service *s, const struct gw_service_options *options)
{
    struct gw_arena arena;
    struct gw_buf text;
    const struct gw_node *root;

    gw_arena_init(&arena, ARENA_CHUNK, ARENA_MAX);
    gw_buf_init(&text, ARENA_MAX);
    root = gw_service_redact(s->root, options, &arena);
    if (root)
        gw_yaml_write(&text, root);
    if (text.n && !text.failed)
        (void)snprintf(s->hash, sizeof(s->hash), "%016llx", (unsigned long long)gw_hash_stable(gw_buf_slice(&text)));
    gw_buf_clear(&text);
    gw_arena_clear(&arena);
}

int gw_service_new(const struct gw_node *root, const struct gw_service_options *options, struct gw_diag *diag,
                   struct gw_service **ret)
{
    struct gw_build b = {.types = options->components, .extra = options->exporter_extra, .diag = diag};
    unsigned errors = diag->n_errors;

    b.s = calloc(1, sizeof(*b.s));
    if (!b.s)
        return -ENOMEM;
    gw_arena_init(&b.s->arena, ARENA_CHUNK, ARENA_MAX);
    b.s->root = root;
    if (root->type != GW_NODE_MAP && root->type != GW_NODE_NULL)
        gw_build_error(&b, &root->place,
                       "a configuration is a map, with keys such as receivers, exporters and service");
    check_root(&b, root);
    gw_build_components(&b);
    build_service(&b, root);
    gw_build_graph(&b);
    if (b.no_memory || diag->n_errors != errors) {
        gw_service_free(b.s);
        return b.no_memory ? -ENOMEM : -EINVAL;
    }
    hash_configuration(b.s, options);
    *ret = b.s;
    return 0;
}

void gw_service_free(struct gw_service *s)
{
    if (!s)
        return;
    gw_arena_clear(&s->arena);
    free(s);
}
