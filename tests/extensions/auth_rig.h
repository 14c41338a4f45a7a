/* SPDX-License-Identifier: Apache-2.0 */
/* A rig for one authenticator: settings as YAML, headers by hand, a clock that is moved, files in its own folder. */
#ifndef GW_TESTS_AUTH_RIG_H
#define GW_TESTS_AUTH_RIG_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/yaml.h"
#include "net/loop.h"
#include "pipeline/auth.h"
#include "pipeline/component.h"
#include "tests/harness.h"
#include "tests/harness_env.h"

struct auth_rig {
    struct gw_test_env te;
    struct gw_log_sink sink;
    struct gw_loop *loop;
    struct gw_arena arena;
    struct gw_diag diag;
    struct gw_buf said; /* mistakes of the settings */
    const struct gw_component *type;
    struct gw_ctx ctx;
    void *conf, *self, *local;
    struct gw_err err;
    struct gw_identity id;
    char dir[32], file[64]; /* a file in a folder that goes with the rig */
};

static time_t written = 1700000000;

static void rig_write(struct auth_rig *r, const char *text)
{
    char next[80];
    FILE *f;

    (void)snprintf(next, sizeof(next), "%s.new", r->file);
    f = fopen(next, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
    /* Each version of the file is a second younger than the one before: nobody has to wait for the clock. */
    written++;
    assert_int_equal(utimensat(AT_FDCWD, next, (struct timespec[]){{.tv_sec = written}, {.tv_sec = written}}, 0), 0);
    assert_int_equal(rename(next, r->file), 0);
}

static void rig_init(struct auth_rig *r, const struct gw_component *type)
{
    *r = (struct auth_rig){.type = type, .dir = "/tmp/gw-auth-XXXXXX"};
    gw_test_env_init(&r->te, 7);
    gw_arena_init(&r->arena, 4096, 1 << 20);
    gw_diag_init(&r->diag);
    gw_buf_init(&r->said, 65536);
    gw_buf_init(&r->id.text, 65536);
    assert_non_null(mkdtemp(r->dir));
    (void)snprintf(r->file, sizeof(r->file), "%s/file", r->dir);
    r->sink = (struct gw_log_sink){.env = &r->te.env, .level = GW_LOG_DEBUG};
    r->ctx = (struct gw_ctx){.env = &r->te.env, .id = "auth", .logger = {.sink = &r->sink}};
}

/* %s stands for the rig's file. Returns what create and start return, or -EINVAL for the settings. */
static int rig_start(struct auth_rig *r, const char *yaml)
{
    const char *file = strstr(yaml, "%s");
    char text[1024];
    const struct gw_node *n;
    int rc;

    (void)snprintf(text, sizeof(text), "%.*s%s%s", file ? (int)(file - yaml) : (int)strlen(yaml), yaml,
                   file ? r->file : "", file ? file + 2 : "");
    n = gw_yaml_parse(gw_slice_cstr(text), "test.yaml", &r->arena, &r->diag);
    r->conf = gw_arena_zalloc(&r->arena, r->type->conf_size);
    if (n && gw_schema_fill(r->type->fields, r->type->conf_size, n, r->conf, &r->arena, &r->diag) == 0)
        r->type->check(r->conf, n, &r->diag);
    gw_diag_write(&r->diag, &r->said);
    gw_buf_put_u8(&r->said, '\0');
    if (r->diag.n_errors)
        return -EINVAL;
    assert_int_equal(gw_loop_new(&r->te.env, &r->loop, &r->err), 0);
    rc = r->type->create(&r->self, &r->ctx, r->conf, &r->err);
    if (rc == 0)
        rc = r->type->start(r->self, &r->err);
    if (rc == 0)
        rc = r->type->open(r->self, r->loop, NULL, &r->local, &r->err);
    return rc;
}

static void rig_end(struct auth_rig *r)
{
    r->type->close(r->local);
    r->type->destroy(r->self);
    if (r->loop)
        gw_loop_free(r->loop);
    gw_buf_clear(&r->said);
    gw_buf_clear(&r->id.text);
    gw_diag_clear(&r->diag);
    gw_arena_clear(&r->arena);
    gw_test_env_clear(&r->te);
    (void)unlink(r->file);
    (void)rmdir(r->dir);
}

/* More than the second after which files are looked at. */
static void rig_pass(struct auth_rig *r)
{
    gw_test_env_advance(&r->te, 1100000000u);
    gw_loop_turn(r->loop, 0);
}

struct one_header {
    struct gw_header_source hs;
    const char *name, *value;
};

static bool one_get(const struct gw_header_source *hs, struct gw_slice name, struct gw_slice *ret)
{
    const struct one_header *h = (const struct one_header *)(const void *)hs;

    if (!h->value || !gw_slice_is(name, h->name))
        return false;
    *ret = gw_slice_cstr(h->value);
    return true;
}

/* value NULL: no header at all. */
static int rig_ask(struct auth_rig *r, const char *name, const char *value)
{
    struct one_header h = {{one_get}, name, value};

    gw_buf_reset(&r->id.text);
    r->id.n_pairs = 0;
    r->err.text[0] = '\0';
    return r->type->auth->check(r->self, &h.hs, &r->id, &r->err);
}

/* The header that the client side sends, "name: value", or "" on failure. */
static const char *rig_header(struct auth_rig *r)
{
    static char text[512];
    struct gw_buf b;
    const char *name = NULL;
    int rc;

    gw_buf_init(&b, 4096);
    rc = r->type->auth->header(r->self, &name, &b, &r->err);
    (void)snprintf(text, sizeof(text), "%s: %.*s", rc < 0 ? "" : name, (int)b.n, b.p ? (char *)b.p : "");
    gw_buf_clear(&b);
    return rc < 0 ? "" : text;
}

#endif
