/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_malloc.h"

#include <stddef.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

static uint64_t count, fail_at;
static int failed, paused;

uint64_t gw_malloc_count(void)
{
    return count;
}

void gw_malloc_fail_at(uint64_t n)
{
    fail_at = n ? count + n : 0;
    failed = 0;
}

int gw_malloc_failed(void)
{
    return failed;
}

void gw_malloc_pause(int change)
{
    paused += change;
}

static int deny(void)
{
    if (paused)
        return 0;
    if (++count != fail_at)
        return 0;
    return failed = 1;
}

void *__wrap_malloc(size_t n)
{
    return deny() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return deny() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return deny() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return deny() ? NULL : __real_aligned_alloc(align, n);
}
