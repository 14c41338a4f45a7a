/* SPDX-License-Identifier: Apache-2.0 */
/* `staunch ledger`: the books of a running gateway, from where its self-metrics are served. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/cli_commands.h"

enum { MAX_LEDGER_BYTES = 64 << 20, URL_BYTES = 512, GW_EXIT_MISMATCH = 1 };

/* "127.0.0.1:8888", from --endpoint or the configuration. Returns an exit code. */
static int find_endpoint(struct gw_cli *c, char *endpoint, size_t size)
{
    const struct gw_telemetry *t;
    const struct gw_node *root;
    struct gw_service *service;
    int rc;

    if (c->endpoint) {
        (void)snprintf(endpoint, size, "%s", c->endpoint);
        return 0;
    }
    rc = gw_cli_load(c, &root, &service);
    if (rc != 0)
        return rc;
    t = &service->telemetry;
    (void)snprintf(endpoint, size, strchr(t->metrics_host, ':') ? "[%s]:%u" : "%s:%u", t->metrics_host,
                   t->metrics_port);
    if (!t->metrics_on || t->metrics_level == GW_LEVEL_NONE || t->metrics_port == 0) {
        gw_cli_say(
            c, 2,
            "error: %s: a gateway with this configuration serves its self-metrics nowhere that can be known from "
            "it: give --endpoint HOST:PORT\n",
            gw_cli_source(c));
        rc = GW_EXIT_CONFIG;
    }
    gw_service_free(service);
    return rc;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static int ledger(struct gw_cli *c)
{
    static const char *const formats[] = {"table", "json", NULL};
    const char *format = c->format ? c->format : formats[0];
    char endpoint[URL_BYTES / 2], url[URL_BYTES], *text;
    struct gw_env *env = c->w->env;
    struct gw_err err = {""};
    bool balanced;
    size_t n;
    int rc;

    if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0)
        return gw_cli_usage(c, "unknown format", format, formats);
    rc = find_endpoint(c, endpoint, sizeof(endpoint));
    if (rc != 0)
        return rc;
    (void)snprintf(url, sizeof(url), "%s%s/ledger%s", begins(endpoint, "http://") ? "" : "http://", endpoint,
                   strcmp(format, "json") == 0 ? "" : "/table");
    rc = env->ops->fetch ? env->ops->fetch(env, url, MAX_LEDGER_BYTES, &text, &n, &err)
                         : gw_fail(&err, -ENOTSUP, "this build has no network");
    if (rc < 0) {
        gw_cli_say(c, 2, "error: %s: %s\n", url, err.text);
        return GW_EXIT_UNAVAILABLE;
    }
    gw_cli_put(c, 1, gw_slice_of(text, n));
    balanced = begins(text, "balanced") || begins(text, "{\"balanced\": true");
    free(text);
    return balanced ? GW_EXIT_OK : GW_EXIT_MISMATCH;
}

const struct gw_cli_command gw_cli_ledger = {
    .word = "ledger",
    .help = "what became of every row of a running gateway; exit code 1 when one is missing",
    .flags = GW_CLI_BUILTIN,
    .run = ledger};
