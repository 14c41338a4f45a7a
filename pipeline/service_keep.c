/* SPDX-License-Identifier: Apache-2.0 */
/* Processors that have rows read twice (pipeline/keep.h): can the pipeline's begin and its end carry that? */
#include "pipeline/exporter.h"
#include "pipeline/keep.h"
#include "pipeline/service_build.h"

/* A row that waits the whole time, and whose second pass has to wait a little. */
#define SLACK_NS UINT64_C(10000000000)

struct checking {
    struct gw_build *b;
    const struct gw_service_pipeline *p;
    const struct gw_service_component *c;
    const struct gw_place *at;
};

#define SAY(k, fmt, ...)                                                                                               \
    gw_build_error((k)->b, (k)->at, "processors::%s::mode: two_pass has pipeline %s read its rows twice, and " fmt,    \
                   (k)->c->id, (k)->p->id, __VA_ARGS__)

static void check_receiver(const struct checking *k)
{
    const struct gw_service_component *j = k->p->n_receivers == 1 ? k->p->receivers[0] : NULL;
    bool is_journal = j && j->kind == GW_CONNECTOR && j->type && j->type->partitioned && j->conf;
    const char *by = is_journal ? j->type->partitioned(j->conf) : NULL;
    uint64_t lasts_ns = k->c->type->keep->lasts_ns(k->c->conf) + SLACK_NS, retains_ns;

    if (!is_journal) {
        SAY(k, "%s: its only receiver must be a journal connector",
            k->p->n_receivers == 1 ? "its receiver does not keep them" : "it has several receivers");
        return;
    }
    if (!by || strcmp(by, "trace_id") != 0)
        SAY(k, "connector %s does not keep traces together: set its partition_by: trace_id", j->id);
    retains_ns = j->type->retains_ns ? j->type->retains_ns(j->conf) : UINT64_MAX;
    if (retains_ns < lasts_ns)
        SAY(k, "connector %s keeps them for %llu s only (retention::max_age): it must be %llu s at least, better hours",
            j->id, (unsigned long long)(retains_ns / 1000000000), (unsigned long long)(lasts_ns / 1000000000));
}

static void check_exporter(const struct checking *k, const struct gw_service_component *e)
{
    const struct gw_extra_settings *x = k->b->extra;
    bool is_on_disk = e->kind == GW_EXPORTER && e->extra && x && x->place && x->place(e->extra) == GW_QUEUE_DISK;

    if (e->type && !is_on_disk)
        SAY(k, "what leaves %s must be written with its place: give it a sending_queue with a storage", e->id);
}

static void check(const struct checking *k)
{
    check_receiver(k);
    for (size_t i = 0; i < k->p->n_exporters; i++)
        check_exporter(k, k->p->exporters[i]);
    for (size_t i = 0; i < k->p->n_processors; i++)
        if (k->p->processors[i] != k->c && k->p->processors[i]->type && k->p->processors[i]->type->holds)
            SAY(k, "processor %s keeps rows in memory: it cannot be in this pipeline", k->p->processors[i]->id);
    if (k->p->durability == GW_DURABILITY_MEMORY)
        SAY(k, "its durability is %s: take that out", "memory");
}

void gw_build_keep(struct gw_build *b)
{
    for (size_t i = 0; i < b->s->n_pipelines; i++)
        for (size_t n = 0; n < b->s->pipelines[i].n_processors; n++) {
            const struct gw_service_component *c = b->s->pipelines[i].processors[n];
            const struct gw_node *mode;

            if (!c->type || !c->conf || !c->type->keep || !c->type->keep->twice || !c->type->keep->twice(c->conf))
                continue;
            mode = gw_node_get(c->node, "mode");
            check(&(struct checking){b, &b->s->pipelines[i], c, mode ? &mode->place : NULL});
        }
}
