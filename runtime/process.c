/* SPDX-License-Identifier: Apache-2.0 */
/* What the process uses, under the Collector's names. A heap without a collector has no total_alloc: not shown. */
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/admin.h"

static void set(struct gw_meter *m, enum gw_metric_kind kind, const char *name, const char *help, uint64_t value,
                double scale)
{
    struct gw_metric *s = gw_meter_get(m, kind, name, help, NULL, 0);

    if (s)
        s->scale = scale;
    gw_metric_set(s, value);
}

static uint64_t resident_bytes(struct gw_env *env)
{
    uint64_t pages = 0;
    char *text, *second;
    size_t n;

    if (gw_env_read_file(env, "/proc/self/statm", 256, &text, &n, NULL) < 0)
        return 0;
    (void)strtoull(text, &second, 10);
    pages = strtoull(second, NULL, 10);
    free(text);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t cpu_us(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) < 0)
        return 0;
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void gw_process_metrics(struct gw_env *env, struct gw_meter *m, uint64_t started_ns)
{
    uint64_t now = gw_wall_ns(env);
    struct mallinfo2 heap = mallinfo2();

    set(m, GW_COUNTER, "otelcol_process_uptime", "Uptime of the process", now > started_ns ? now - started_ns : 0,
        1e-9);
    set(m, GW_COUNTER, "otelcol_process_cpu_seconds", "Total CPU user and system time in seconds", cpu_us(), 1e-6);
    set(m, GW_GAUGE, "otelcol_process_memory_rss", "Total physical memory (resident set size)", resident_bytes(env), 1);
    set(m, GW_GAUGE, "otelcol_process_runtime_heap_alloc_bytes", "Bytes of allocated heap objects", heap.uordblks, 1);
    set(m, GW_GAUGE, "otelcol_process_runtime_total_sys_memory_bytes", "Total bytes of memory obtained from the OS",
        heap.arena + heap.hblkhd, 1);
}
