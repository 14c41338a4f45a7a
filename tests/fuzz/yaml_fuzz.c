/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a configuration file: parsed, expanded (it may include itself, and variables that never end), checked
 * against all components, printed. Properties: no crash, bounded memory, and what is written reads back as the same.
 */
#include <stdlib.h>

#include "config/load.h"
#include "config/yaml.h"
#include "core/buf.h"
#include "core/env.h"
#include "runtime/cli.h"

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

static const struct gw_env_ops ops = {.file_open = file_open, .file_pread = file_pread, .file_close = file_close};

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

static void check(const struct gw_node *root, struct gw_arena *arena, struct gw_diag *diag)
{
    struct gw_service *service;

    if (gw_service_new(root, &gw_service_options, diag, &service) == 0)
        gw_service_free(service);
    else if (diag->n_errors == 0)
        abort();
    (void)gw_service_redact(root, &gw_service_options, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.env.ops = &ops, .file.text = {data, size}};
    const struct gw_config_request rq = {.env = &w.env, .variable = variable, .uris = &(const char *){"in"}, .n_uris = 1};
    const struct gw_node *root;
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_buf said;

    if (size > 1 << 16)
        return 0;
    gw_arena_init(&arena, 65536, ARENA_MAX);
    gw_diag_init(&diag);
    gw_buf_init(&said, OUT_MAX);
    if (gw_config_load(&rq, &arena, &diag, &root) == 0) {
        write_back(root);
        check(root, &arena, &diag);
    } else if (diag.n_errors == 0) {
        abort();
    }
    gw_diag_write(&diag, &said);
    gw_buf_clear(&said);
    gw_diag_clear(&diag);
    gw_arena_clear(&arena);
    return 0;
}
