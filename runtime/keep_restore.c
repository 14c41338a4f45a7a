/* SPDX-License-Identifier: Apache-2.0 */
/* Where it goes on: the places of partitions, and the decisions that were committed with them. */
#include "runtime/keep.h"

#include "pipeline/parting.h"

#include <stdlib.h>

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static void read_note(const uint8_t *p, struct gw_keep_note *ret)
{
    memcpy(ret->log_id, p + 8, sizeof(ret->log_id));
    ret->place = (struct gw_keep_place){get64(p + 24), get64(p + 32), get64(p + 40)};
    ret->stream = get64(p + 48);
    ret->snap_seq = get64(p + 56);
    ret->end_seq = get64(p + 64);
}

/* False: nothing is known, or of a journal that is not there any more. */
static bool find_note(const struct keep *k, const uint8_t log_id[16], uint16_t partition, struct gw_keep_note *ret)
{
    uint8_t bytes[GW_LOG_MAX_NOTE_BYTES];
    size_t n = sizeof(bytes);
    uint64_t ignored;

    if (gw_log_position(gw_wal_log(k->all->wal), k->all->consumer, partition, &ignored, bytes, &n) < 0 ||
        n != GW_KEEP_NOTE_BYTES || get64(bytes) != GW_KEEP_VERSION)
        return false;
    read_note(bytes, ret);
    return memcmp(ret->log_id, log_id, sizeof(ret->log_id)) == 0;
}

void gw_keep_place(struct gw_intake *in, const uint8_t log_id[16], uint16_t partition, struct gw_keep_place *ret)
{
    const struct keep *k = ((struct intake *)in)->keep;
    struct gw_keep_note note;

    *ret = find_note(k, log_id, partition, &note) ? note.place : (struct gw_keep_place){0};
}

/* ---- decisions -------------------------------------------------------------------------------------------- */

struct stream {
    uint64_t stream, from, to;
    unsigned n_parts;
};

struct streams {
    struct stream list[GW_LOG_PARTITIONS];
    unsigned n;
    uint64_t from, to;
};

static void add_stream(struct streams *s, const struct gw_keep_note *note)
{
    unsigned i = 0;

    while (i < s->n && s->list[i].stream != note->stream)
        i++;
    if (i == s->n) {
        s->list[s->n].stream = note->stream;
        s->list[s->n].from = note->snap_seq;
        s->list[s->n++].to = note->end_seq;
    }
    s->list[i].n_parts++;
    s->list[i].from = note->snap_seq < s->list[i].from ? note->snap_seq : s->list[i].from;
    s->list[i].to = note->end_seq > s->list[i].to ? note->end_seq : s->list[i].to;
    s->from = s->list[i].from < s->from ? s->list[i].from : s->from;
    s->to = s->list[i].to > s->to ? s->list[i].to : s->to;
}

/* Whose frame it is; NULL: nobody asks for it. */
static const struct stream *stream_of(const struct streams *s, const struct gw_log_frame *f)
{
    for (unsigned i = 0; i < s->n; i++)
        if (f->body.n >= 8 && s->list[i].stream == get64(f->body.p) && f->seq >= s->list[i].from &&
            f->seq <= s->list[i].to)
            return &s->list[i];
    return NULL;
}

/* Whose record it is; NULL: nobody's any more. */
static const struct node *node_of(const struct keep *k, const struct gw_log_frame *f)
{
    if (f->meta.n == 0)
        return k->nodes[0];
    for (unsigned i = 0; i < k->n_nodes; i++)
        if (gw_slice_eq(f->meta, gw_slice_cstr(k->all->of[i].record)))
            return k->nodes[i];
    return NULL;
}

static int restore_frame(const struct keep *k, const struct gw_log_frame *f, const struct stream *of,
                         const struct gw_keep_owner *owner)
{
    const struct node *n = node_of(k, f);
    struct gw_keep_owner by = *owner;

    if (!n)
        return 0;
    by.stream = of->stream;
    by.n_parts = of->n_parts;
    by.of_parts = (unsigned)__builtin_popcountll(k->partitions);
    gw_metric_add(k->all->restored, f->body.n);
    return n->comp->type->keep->restore(n->self, gw_slice_of(f->body.p + 8, f->body.n - 8), &by);
}

static int read_decisions(const struct keep *k, const struct streams *s, const struct gw_keep_owner *owner,
                          uint64_t *ret_lost)
{
    const struct gw_log_reader_conf conf = {.consumer = 0};
    struct gw_log_entry e = {0};
    const struct stream *of;
    struct gw_log_reader *r;
    int rc = gw_log_reader_new(k->all->decisions, &conf, &r), more;

    if (rc < 0)
        return rc;
    rc = gw_log_seek(r, GW_LOG_PARTITIONS, s->from);
    while (rc == 0 && (more = gw_log_next(r, &e)) != 0) {
        if (more < 0 || e.frame.seq > s->to) {
            rc = more < 0 ? more : 0;
            break;
        }
        *ret_lost += e.lost_frames;
        of = stream_of(s, &e.frame);
        if (of)
            rc = restore_frame(k, &e.frame, of, owner);
    }
    gw_log_reader_free(r);
    return rc;
}

static int begin(const struct node *n, const struct gw_parting *by, uint64_t partitions, bool is_alone)
{
    const struct gw_keep_ops *ops = n->comp->type->keep;
    int rc = ops->parted ? ops->parted(n->self, by, partitions) : 0;

    if (rc == 0 && !is_alone)
        ops->share(n->self);
    return rc < 0 ? rc : ops->begin(n->self);
}

static int begin_all(const struct keep *k, uint64_t partitions)
{
    const struct gw_service_component *journal =
        gw_service_find(k->in->share->graph->service, GW_CONNECTOR, k->all->door->from);
    struct gw_parting by = {0};
    int rc = 0;

    if (journal->type->parting)
        journal->type->parting(journal->conf, &by);
    for (unsigned i = 0; i < k->n_nodes && rc == 0; i++)
        rc = begin(k->nodes[i], &by, partitions, k->n_nodes == 1);
    return rc;
}

int gw_keep_begin(struct gw_intake *in, const uint8_t log_id[16], uint64_t partitions,
                  const struct gw_keep_owner *owner, struct gw_err *err)
{
    struct keep *k = ((struct intake *)in)->keep;
    struct streams s = {.from = UINT64_MAX};
    struct gw_keep_note note;
    uint64_t lost = 0;
    int rc = begin_all(k, partitions);

    k->partitions = partitions;
    for (uint16_t p = 0; p < GW_LOG_PARTITIONS; p++) {
        memcpy(k->notes[p].log_id, log_id, sizeof(k->notes[p].log_id));
        if ((partitions >> p & 1) && find_note(k, log_id, p, &note))
            add_stream(&s, &note);
    }
    if (rc == 0 && s.n)
        rc = read_decisions(k, &s, owner, &lost);
    if (rc < 0)
        return gw_fail(err, rc, "what %s had decided cannot be read: %s", k->all->names, strerror(-rc));
    if (lost)
        gw_log(&k->in->worker->engine->logger, GW_LOG_ERROR,
               "pipeline %s: %llu frames of decisions are damaged: some traces may be decided twice",
               k->all->door->pipeline, (unsigned long long)lost);
    return 0;
}
