/* SPDX-License-Identifier: Apache-2.0 */
/* The process: the real world, the command line, nothing else. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/hash.h"
#include "runtime/cli.h"
#include "runtime/sinks.h"

static void write_all(void *arg, int fd, const char *p, size_t n)
{
    (void)arg;
    while (n) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR");

    return isatty(STDERR_FILENO) && !(no && *no);
}

int main(int argc, char **argv)
{
    struct gw_env *env = gw_env_real_new();
    const struct gw_cli_world world = {
        .env = env,
        .write = write_all,
        .colour = wants_colour(),
        .terminal = isatty(STDOUT_FILENO),
        .service = &gw_service_options,
        .run = gw_run,
    };
    int rc;

    if (!env) {
        fputs("error: out of memory\n", stderr);
        return GW_EXIT_INTERNAL;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error of write, not our end */
    gw_hash_seed(gw_random_u64(env));
    gw_sinks_install(env);
    rc = gw_cli(argc, (const char *const *)argv, &world);
    gw_env_real_free(env);
    return rc;
}
