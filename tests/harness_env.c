/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_env.h"

#include <pthread.h>
#include <string.h>

/* Several threads of one engine may log and draw numbers; the world of a test is small enough for one lock. */
static pthread_mutex_t world = PTHREAD_MUTEX_INITIALIZER;

uint64_t gw_test_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t mono_ns(struct gw_env *env)
{
    return ((struct gw_test_env *)env)->now_ns;
}

static uint64_t wall_ns(struct gw_env *env)
{
    struct gw_test_env *te = (struct gw_test_env *)env;

    return te->now_ns + te->wall_offset_ns;
}

static void random_bytes(struct gw_env *env, void *ret, size_t n)
{
    struct gw_test_env *te = (struct gw_test_env *)env;
    uint8_t *p = ret;

    (void)pthread_mutex_lock(&world);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)gw_test_random(&te->seed);
    (void)pthread_mutex_unlock(&world);
}

static void log_write(struct gw_env *env, const char *line, size_t n)
{
    (void)pthread_mutex_lock(&world);
    gw_buf_put(&((struct gw_test_env *)env)->log, line, n);
    (void)pthread_mutex_unlock(&world);
}

void gw_test_env_init(struct gw_test_env *te, uint64_t seed)
{
    struct gw_env *real = gw_env_real_new();

    memset(te, 0, sizeof(*te));
    te->ops = *real->ops;
    gw_env_real_free(real);
    te->ops.mono_ns = mono_ns;
    te->ops.wall_ns = wall_ns;
    te->ops.random = random_bytes;
    te->ops.log_write = log_write;
    te->env.ops = &te->ops;
    te->now_ns = 1000000000u;
    te->wall_offset_ns = 1767323045678000000u - 1000000000u;
    te->seed = seed;
    gw_buf_init(&te->log, 16u << 20);
}

void gw_test_env_clear(struct gw_test_env *te)
{
    gw_buf_clear(&te->log);
}

void gw_test_env_advance(struct gw_test_env *te, uint64_t ns)
{
    te->now_ns += ns;
}

int gw_test_env_logged(struct gw_test_env *te, const char *text)
{
    int found;

    (void)pthread_mutex_lock(&world);
    found = te->log.n > 0 && memmem(te->log.p, te->log.n, text, strlen(text)) != NULL;
    (void)pthread_mutex_unlock(&world);
    return found;
}
