/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a configuration file: parsed, expanded (it may include itself, and variables that never end), checked
 * against all components and against a table with every type, printed. First lines, in this order, say more:
 *
 *     #config URI     a --config in front of the file
 *     #set K=V        a --set
 *     #memory N       once more in an arena of N bytes, and with the N-th allocation failing
 *
 * Properties: no crash, bounded memory, and what is written reads back as the same.
 */
#include <stdlib.h>

#include "config/load.h"
#include "config/yaml.h"
#include "core/buf.h"
#include "core/env.h"
#include "runtime/cli.h"
#include "tests/harness_malloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 64 << 20, OUT_MAX = 32 << 20 };

struct gw_file {
    struct gw_slice text;
};
struct world {
    struct gw_env env; /* first */
    struct gw_file file;
};

/* The only file of this world is the input itself, as "in". */
static int file_open(struct gw_env *env, const char *path, int flags, unsigned mode, struct gw_file **ret)
{
    (void)flags;
    (void)mode;
    if (strcmp(path, "in") != 0)
        return -ENOENT;
    *ret = &((struct world *)env)->file;
    return 0;
}

static ssize_t file_pread(struct gw_file *f, void *p, size_t n, uint64_t off)
{
    size_t left = off < f->text.n ? f->text.n - off : 0;

    n = n < left ? n : left;
    if (n)
        memcpy(p, f->text.p + off, n);
    return (ssize_t)n;
}

static void file_close(struct gw_file *f)
{
    (void)f;
}

/* The only page, too, is the input, at http://in. */
static int fetch(struct gw_env *env, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n, struct gw_err *err)
{
    struct gw_slice text = ((struct world *)env)->file.text;

    if (strcmp(url, "http://in") != 0 || text.n > max_bytes)
        return gw_fail(err, -EIO, "the server answered with status 404");
    *ret_p = malloc(text.n + 1);
    if (!*ret_p)
        return gw_fail(err, -ENOMEM, "out of memory");
    if (text.n)
        memcpy(*ret_p, text.p, text.n);
    (*ret_p)[text.n] = '\0';
    *ret_n = text.n;
    return 0;
}

static const struct gw_env_ops ops = {
    .file_open = file_open, .file_pread = file_pread, .file_close = file_close, .fetch = fetch};

static const char *variable(void *arg, const char *name)
{
    static const char *const table[][2] = {{"A", "${env:A}"}, {"B", "${env:C}${env:C}${env:C}"}, {"C", "x${env:B}"},
                                           {"N", "12"},       {"M", "{a: 1, b: [x]}"},           {"E", ""}};

    (void)arg;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i][0], name) == 0)
            return table[i][1];
    return NULL;
}

static void write_back(const struct gw_node *root)
{
    struct gw_buf first, second;
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_node *again;

    gw_arena_init(&arena, 65536, ARENA_MAX);
    gw_diag_init(&diag);
    gw_buf_init(&first, OUT_MAX);
    gw_buf_init(&second, OUT_MAX);
    gw_yaml_write(&first, root);
    again = gw_yaml_parse(gw_buf_slice(&first), "again", &arena, &diag);
    if (again)
        gw_yaml_write(&second, again);
    /* A tree that stands for more than a file may hold is written and not read. */
    if (first.n < GW_YAML_MAX_BYTES / 8 && !(again && gw_slice_eq(gw_buf_slice(&first), gw_buf_slice(&second))))
        abort();
    gw_buf_clear(&first);
    gw_buf_clear(&second);
    gw_arena_clear(&arena);
    gw_diag_clear(&diag);
}

/* ---- a table with a row of every type --------------------------------------------------------------------- */

struct inner {
    bool on;
    const char *name;
};
struct every {
    bool b, has_block, has_other;
    uint64_t u, d;
    int64_t i;
    double f;
    const char *s, *secret, *id;
    int e;
    struct inner block, other;
    struct gw_list texts, items, ids;
    struct gw_map map;
    const struct gw_node *any;
};
static const char *const words[] = {"one", "two", NULL};
static const char *const aliases[] = {"old", NULL};
static const struct gw_field inner_fields[] = {
    GW_BOOL_FIELD(struct inner, on, "on", "true", "On."),
    {GW_FIELD_(struct inner, name, "name", GW_F_STRING, NULL, 0, 0, "Name."), .flags = GW_FF_REQUIRED},
    {0},
};
static const struct gw_field every_fields[] = {
    GW_BOOL_FIELD(struct every, b, "b", "false", "B."),
    {GW_FIELD_(struct every, u, "u", GW_F_U64, "7", 1, 100, "U."), .aliases = aliases},
    GW_I64_FIELD(struct every, i, "i", "-1", -5, 5, "I."),
    GW_F64_FIELD(struct every, f, "f", "1.5", 0, 2.5, "F."),
    GW_DURATION_FIELD(struct every, d, "d", "1h2m3s4ms5us6ns", 1e6, 1e19, "D."),
    GW_STRING_FIELD(struct every, s, "s", "x", "S."),
    GW_SECRET_FIELD(struct every, secret, "secret", "Secret."),
    GW_ID_FIELD(struct every, id, "id", 1, "Id."),
    GW_ENUM_FIELD(struct every, e, "e", "two", words, "E."),
    GW_OPTIONAL_BLOCK_FIELD(struct every, block, has_block, "block", inner_fields, GW_FF_NULL_IS_ON, "Block."),
    GW_OPTIONAL_BLOCK_FIELD(struct every, other, has_other, "other", inner_fields, 0, "Other."),
    {GW_FIELD_(struct every, texts, "texts", GW_F_LIST, "[a, b]", 0, 0, "Texts.")},
    GW_LIST_FIELD(struct every, items, "items", struct inner, inner_fields, "Items."),
    GW_HEADERS_FIELD(struct every, map, "map", "Map."),
    GW_ANY_FIELD(struct every, any, "any", "Any."),
    {GW_FIELD_(struct every, b, "gone", GW_F_BOOL, NULL, 0, 0, "use b"), .flags = GW_FF_DEPRECATED},
    {GW_FIELD_(struct every, b, "idle", GW_F_BOOL, NULL, 0, 0, "none"), .flags = GW_FF_NO_EFFECT},
    {GW_FIELD_(struct every, any, "later", GW_F_ANY, NULL, 0, 0, "later"), .flags = GW_FF_PLANNED},
    {0},
};

static void fill_every(const struct gw_node *n, struct gw_arena *arena, struct gw_diag *diag)
{
    unsigned errors = diag->n_errors;
    struct every c;
    char text[64];

    /* Numbers that came through are in range, whatever was written. */
    if ((gw_schema_fill(every_fields, sizeof(c), n, &c, arena, diag) == 0) != (diag->n_errors == errors))
        abort();
    if (c.u < 1 || c.u > 100 || c.i < -5 || c.i > 5 || !(c.f >= 0 && c.f <= 2.5) || c.d < 1000000 || c.e < 0 || c.e > 1)
        abort();
    (void)gw_duration_format(c.d, text, sizeof(text));
}

static void check(const struct gw_node *root, struct gw_arena *arena, struct gw_diag *diag)
{
    struct gw_service *service;

    if (gw_service_new(root, &gw_service_options, diag, &service) == 0)
        gw_service_free(service);
    else if (diag->n_errors == 0)
        abort();
    (void)gw_service_redact(root, &gw_service_options, arena);
    fill_every(gw_node_get(root, "every"), arena, diag);
}

struct lines {
    char config[200], set[200], memory[200];
};

/* The rest of the next line into ret when it begins with word. */
static void take_line(struct gw_slice *text, const char *word, char ret[200])
{
    size_t n = strlen(word), i = 0;

    ret[0] = '\0';
    if (text->n <= n || memcmp(text->p, word, n) != 0)
        return;
    *text = gw_slice_of(text->p + n, text->n - n);
    for (; i < text->n && i < 199 && text->p[i] != '\n'; i++)
        ret[i] = (char)text->p[i];
    ret[i] = '\0';
    *text = gw_slice_of(text->p + i, text->n - i);
    if (text->n && *text->p == '\n')
        *text = gw_slice_of(text->p + 1, text->n - 1);
}

static void print(struct gw_diag *diag)
{
    struct gw_buf said;

    gw_buf_init(&said, OUT_MAX);
    gw_diag_write(diag, &said);
    gw_buf_clear(&said);
}

/* As everywhere: a failure says why, and everything is freed. */
static void load(const struct gw_config_request *rq, struct gw_arena *arena, bool whole)
{
    const struct gw_node *root;
    struct gw_diag diag;

    gw_diag_init(&diag);
    if (gw_config_load(rq, arena, &diag, &root) < 0) {
        if (diag.n_errors == 0)
            abort();
    } else if (whole) {
        write_back(root);
        check(root, arena, &diag);
    }
    print(&diag);
    gw_diag_clear(&diag);
    gw_arena_clear(arena);
}

static void load_without_memory(const struct gw_config_request *whole, const char *memory)
{
    struct gw_config_request rq = *whole;
    unsigned long n = strtoul(memory, NULL, 10);
    struct gw_arena arena;

    if (!n)
        return;
    rq.variable = NULL; /* and with the process' own */
    gw_arena_init(&arena, 64, n);
    load(&rq, &arena, false);
    gw_arena_init(&arena, 64, ARENA_MAX);
    gw_malloc_fail_at(n);
    load(&rq, &arena, false);
    gw_malloc_fail_at(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.env.ops = &ops, .file.text = {data, size}};
    const char *uris[2] = {"in"}, *sets[1];
    struct gw_config_request rq = {.env = &w.env, .variable = variable, .uris = uris, .n_uris = 1, .sets = sets};
    struct lines lines;
    struct gw_arena arena;

    if (size > 1 << 16)
        return 0;
    take_line(&w.file.text, "#config ", lines.config);
    take_line(&w.file.text, "#set ", lines.set);
    take_line(&w.file.text, "#memory ", lines.memory);
    sets[0] = lines.set;
    rq.n_sets = *lines.set != '\0';
    if (*lines.config) {
        uris[0] = lines.config;
        uris[1] = "in";
        rq.n_uris = 2;
    }
    gw_arena_init(&arena, 65536, ARENA_MAX);
    load(&rq, &arena, true);
    load_without_memory(&rq, lines.memory);
    return 0;
}
