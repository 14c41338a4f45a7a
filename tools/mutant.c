/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked to a test program of tools/mutate.py. GW_MUTANT=n: the n-th condition is turned round. GW_MUTANT_SEEN=file:
 * which values the conditions had, a byte each; the file is there and long enough.
 */
#include "tools/mutant.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX = 1 << 16 };

static unsigned char nobody_looks[MAX];
unsigned gw_mutant_chosen = MAX;
unsigned char *gw_mutant_seen = nobody_looks;

void _fail(const char *file, int line);

/* In place of cmocka's: the first failure is all that is wanted. */
void _fail(const char *file, int line)
{
    (void)file;
    (void)line;
    _exit(1);
}

__attribute__((constructor)) static void choose(void)
{
    const char *n = getenv("GW_MUTANT"), *path = getenv("GW_MUTANT_SEEN");
    int fd = path ? open(path, O_RDWR) : -1;
    void *p = fd >= 0 ? mmap(NULL, MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (n)
        gw_mutant_chosen = (unsigned)strtoul(n, NULL, 10);
    if (p != MAP_FAILED)
        gw_mutant_seen = p;
    if (fd >= 0)
        (void)close(fd);
}
