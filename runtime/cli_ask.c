/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that a running gateway answers. */
#include <stdio.h>

#include "core/buf.h"
#include "runtime/cli_commands.h"
#include "runtime/control.h"
#include "runtime/control_client.h"

/* What the gateway tells may hold texts of strangers: a terminal must not obey them. */
static void put_escaped(const struct gw_cli *c, int fd, struct gw_slice text)
{
    struct gw_buf out;

    gw_buf_init(&out, text.n * 4 + 1);
    for (size_t i = 0; i < text.n; i++)
        if ((text.p[i] < 0x20 && text.p[i] != '\t') || text.p[i] == 0x7f ||
            (text.p[i] == 0xc2 && i + 1 < text.n && text.p[i + 1] >= 0x80 && text.p[i + 1] < 0xa0))
            gw_buf_printf(&out, "\\x%02x", text.p[i]);
        else
            gw_buf_put_u8(&out, text.p[i]);
    gw_buf_put_u8(&out, '\n');
    gw_cli_put(c, fd, gw_buf_slice(&out));
    gw_buf_clear(&out);
}

static void on_line(void *arg, int fd, struct gw_slice text)
{
    const struct gw_cli *c = arg;

    if (c->w->terminal) {
        put_escaped(c, fd, text);
        return;
    }
    gw_cli_put(c, fd, text);
    gw_cli_put(c, fd, GW_SLICE("\n"));
}

/* The socket's path, from --socket or the configuration. Returns an exit code. */
static int find_socket(struct gw_cli *c, char path[GW_CONTROL_PATH_BYTES])
{
    const struct gw_node *root;
    struct gw_service *service;
    int rc;

    if (c->socket) {
        (void)snprintf(path, GW_CONTROL_PATH_BYTES, "%s", c->socket);
        return 0;
    }
    rc = gw_cli_load(c, &root, &service);
    if (rc != 0)
        return rc;
    if (!gw_control_path(service, path)) {
        gw_cli_say(c, 2,
                   "error: %s: a gateway with this configuration has no control socket: it needs a file_storage among "
                   "service::extensions, or service::runtime::control_socket\n",
                   gw_cli_source(c));
        rc = GW_EXIT_CONFIG;
    }
    gw_service_free(service);
    return rc;
}

int gw_cli_ask_at(struct gw_cli *c, const char *path, const char *command, struct gw_slice args, struct gw_err *err)
{
    const struct gw_control_request rq = {.path = path, .command = command, .args = args, .line = on_line, .arg = c};

    return gw_control_ask(&rq, err);
}

int gw_cli_ask(struct gw_cli *c, const char *command, struct gw_slice args)
{
    char path[GW_CONTROL_PATH_BYTES];
    struct gw_err err = {""};
    int rc = find_socket(c, path);

    if (rc != 0)
        return rc;
    rc = gw_cli_ask_at(c, path, command, args, &err);
    if (rc >= 0)
        return rc;
    gw_cli_say(c, 2, "error: %s\n", err.text);
    return gw_cli_exit_of(rc);
}

static int ping(struct gw_cli *c)
{
    return gw_cli_ask(c, "ping", GW_SLICE(""));
}

const struct gw_cli_command gw_cli_ping = {
    .word = "ping", .help = "ask a running gateway for its version, over its control socket", .run = ping};
