/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_lives.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static char folder[64], processor[64];
bool gw_lives_is_leaving, gw_lives_syncs;

static int storage(struct gw_host *h, const char *id, struct gw_storage *ret, struct gw_err *err)
{
    (void)h;
    if (strcmp(id, "file_storage") != 0)
        return gw_fail(err, -ENOENT, "storage \"%s\" is not among service::extensions", id);
    *ret = (struct gw_storage){.directory = folder, .sync = gw_lives_syncs};
    return 0;
}

static bool is_ready(struct gw_host *h)
{
    (void)h;
    return !gw_lives_is_leaving;
}

static const struct gw_host_ops host = {.storage = storage, .is_ready = is_ready};
static struct gw_proc_world world;

int gw_lives_setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/staunch-spool-XXXXXX");
    assert_non_null(mkdtemp(folder));
    world = (struct gw_proc_world){.host = &host, .n_workers = 1};
    gw_proc_world = &world;
    gw_lives_is_leaving = gw_lives_syncs = false;
    return 0;
}

int gw_lives_teardown(void **state)
{
    char command[128];

    (void)state;
    gw_proc_world = NULL;
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

void gw_lives_begin(struct gw_tail_rig *r, const char *name, const char *settings, unsigned worker, unsigned n_workers)
{
    char text[4096];

    (void)snprintf(processor, sizeof(processor), "%s", name);
    (void)snprintf(text, sizeof(text), "storage: file_storage\n%s", settings);
    world.worker = worker;
    world.n_workers = n_workers;
    gw_lives_is_leaving = false;
    if (strcmp(name, "tail_sampling") == 0)
        gw_tail_open(r, text);
    else
        gw_tail_open_as(r, name, text);
}

void gw_lives_leave(struct gw_tail_rig *r)
{
    gw_lives_is_leaving = true;
    while (r->p.component->drain(r->p.self, &r->p.ports) == GW_MORE)
        ;
}

void gw_lives_end(struct gw_tail_rig *r)
{
    gw_lives_leave(r);
    gw_tail_close(r);
}

const char *gw_lives_path(const char *name)
{
    static char path[4][1200];
    static unsigned n;
    char *ret = path[n++ % 4];

    (void)snprintf(ret, sizeof(path[0]), "%s/spool/traces,%s/%s", folder, processor, name);
    return ret;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);

    return n >= m && strcmp(text + n - m, ending) == 0;
}

unsigned gw_lives_count(const char *ending, char *name)
{
    DIR *d = opendir(gw_lives_path(""));
    const struct dirent *e;
    unsigned n = 0;

    while (d && (e = readdir(d)) != NULL)
        if (ends_with(e->d_name, ending)) {
            n++;
            if (name)
                (void)snprintf(name, 300, "%s", e->d_name);
        }
    if (d)
        (void)closedir(d);
    return n;
}

double gw_lives_spans(struct gw_tail_rig *r, const char *what)
{
    char series[200];

    (void)snprintf(series, sizeof(series), "staunch_spool_spans{component=\"%s\",pipeline=\"traces\",what=\"%s\"}",
                   processor, what);
    return gw_proc_metric(&r->p, series);
}
