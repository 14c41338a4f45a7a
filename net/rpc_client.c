/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and loads the grpc module, once, when the first client is wanted. */
#include "net/clients.h"
#include "net/grpc_module/module.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MODULE "staunch-grpc.so"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static gw_grpc_module_new_fn module_new;

static const struct gw_grpc_loop_ops loop_ops = {
    .wake = gw_loop_wake, .add_hook = gw_loop_add_hook, .remove_hook = gw_loop_remove_hook};

/** The folder of the running program, without the last slash. */
static void own_folder(char *ret, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", ret, size - 1);
    char *slash;

    ret[n > 0 ? n : 0] = '\0';
    slash = strrchr(ret, '/');
    if (slash)
        *slash = '\0';
}

static int load_from(const char *path, struct gw_err *err)
{
    int (*abi)(void);
    void *so;

    if (access(path, F_OK) < 0)
        return -ENOENT;
    so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return gw_fail(err, -ELIBBAD, "%s", dlerror());
    *(void **)&abi = dlsym(so, "gw_grpc_module_abi");
    *(void **)&module_new = dlsym(so, "gw_grpc_module_new");
    if (!abi || !module_new || abi() != GW_GRPC_MODULE_ABI) {
        module_new = NULL;
        dlclose(so);
        return gw_fail(err, -ELIBBAD, "%s belongs to another version of this program", path);
    }
    return 0;
}

static int load(struct gw_err *err)
{
    const char *env = getenv("STAUNCH_MODULE_DIR");
    char folder[4096], path[3][4200];
    int r = -ENOENT;

    own_folder(folder, sizeof(folder));
    snprintf(path[0], sizeof(path[0]), "%s/" MODULE, folder);
    snprintf(path[1], sizeof(path[1]), "%s/../lib/staunch/" MODULE, folder);
    snprintf(path[2], sizeof(path[2]), "%.4000s/" MODULE, env ? env : "");
    for (unsigned i = 0; r == -ENOENT && i < (env ? 3 : 2); i++)
        r = load_from(path[i], err);
    if (r == -ENOENT)
        gw_fail(err, r,
                "otlp_grpc needs " MODULE ": it is neither in %.60s nor in %.60s/../lib/staunch nor in "
                "$STAUNCH_MODULE_DIR",
                folder, folder);
    return r;
}

int gw_rpc_client_grpc_new(struct gw_env *env, struct gw_loop *loop, const struct gw_rpc_client_conf *conf,
                           struct gw_rpc_client **ret, struct gw_err *err)
{
    int r = 0;

    if (conf->any_encoding)
        return gw_rpc_client_http_new(env, loop, conf, ret, err);
    pthread_mutex_lock(&lock);
    if (!module_new)
        r = load(err);
    pthread_mutex_unlock(&lock);
    return r < 0 ? r : module_new(&loop_ops, env, loop, conf, ret, err);
}
