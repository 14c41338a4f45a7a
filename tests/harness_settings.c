/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_settings.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/yaml.h"

static void say(const struct gw_test_settings *to)
{
    struct gw_buf text;

    gw_buf_init(&text, to->said_bytes);
    gw_diag_write(to->diag, &text);
    (void)snprintf(to->said, to->said_bytes, "%.*s", (int)text.n, text.p ? (const char *)text.p : "");
    gw_buf_clear(&text);
}

const struct gw_component *gw_test_configure(enum gw_kind kind, const char *name, const char *yaml,
                                             const struct gw_test_settings *to, void **ret_conf)
{
    const struct gw_component *c;
    const struct gw_node *node;
    bool old;

    gw_diag_init(to->diag);
    gw_arena_init(to->arena, 64 << 10, 64 << 20);
    c = gw_component_find(kind, gw_slice_cstr(name), &old);
    assert_non_null(c);
    node = gw_yaml_parse(gw_slice_cstr(yaml), "test.yaml", to->arena, to->diag);
    *ret_conf = calloc(1, c->conf_size + 1);
    if (node)
        (void)gw_schema_fill(c->fields, c->conf_size, node, *ret_conf, to->arena, to->diag);
    if (c->check_trees && node)
        c->check_trees(*ret_conf, node, to->diag);
    if (c->check && !to->diag->n_errors)
        c->check(*ret_conf, node, to->diag);
    say(to);
    return c;
}
