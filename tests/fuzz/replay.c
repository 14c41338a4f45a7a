/* SPDX-License-Identifier: Apache-2.0 */
/* Replays a corpus through a fuzz target where libFuzzer is not linked: every file of the folders given. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* The input is copied to its exact size, so that a read past its end is a heap overflow that ASan sees. */
static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p;
    long n;

    if (!f)
        return -1;
    (void)fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    p = malloc(n > 0 ? (size_t)n : 1);
    if (!p || fread(p, 1, (size_t)n, f) != (size_t)n)
        abort();
    (void)fclose(f);
    (void)LLVMFuzzerTestOneInput(p, (size_t)n);
    free(p);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned n_files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *e;
        char path[4096];

        while (dir && (e = readdir(dir))) {
            if (e->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            if (replay_file(path) == 0)
                n_files++;
        }
        if (dir)
            (void)closedir(dir);
    }
    printf("%u inputs replayed\n", n_files);
    return n_files ? 0 : 1; /* an empty corpus shows nothing */
}
