/* SPDX-License-Identifier: Apache-2.0 */
#include "log/state.h"

#include <stdlib.h>

enum { TRIM_HEAD = 16, TRIM_ENTRY = 16 };

static void consumer_free(struct gw_lf_consumer *c)
{
    for (unsigned i = 0; c->positions && i < GW_LOG_PARTITIONS; i++)
        free(c->positions[i].note);
    free(c->positions);
    gw_lf_rows_clear(&c->done);
    free(c);
}

void gw_lf_state_clear(struct gw_lf_state *s)
{
    for (unsigned i = 0; i < s->n_consumers; i++)
        consumer_free(s->consumers[i]);
    free(s->consumers);
    free(s->producers);
    gw_lf_rows_clear(&s->lost);
    *s = (struct gw_lf_state){0};
}

struct gw_lf_consumer *gw_lf_state_consumer(const struct gw_lf_state *s, uint32_t id)
{
    for (unsigned i = 0; i < s->n_consumers; i++)
        if (s->consumers[i]->id == id)
            return s->consumers[i];
    return NULL;
}

struct gw_lf_consumer *gw_lf_state_consumer_named(const struct gw_lf_state *s, const char *name)
{
    for (unsigned i = 0; i < s->n_consumers; i++)
        if (strcmp(s->consumers[i]->name, name) == 0)
            return s->consumers[i];
    return NULL;
}

struct gw_lf_producer *gw_lf_state_producer(const struct gw_lf_state *s, uint32_t id)
{
    for (unsigned i = 0; i < s->n_producers; i++)
        if (s->producers[i].id == id)
            return &s->producers[i];
    return NULL;
}

struct gw_lf_producer *gw_lf_state_producer_named(const struct gw_lf_state *s, const char *name)
{
    for (unsigned i = 0; i < s->n_producers; i++)
        if (strcmp(s->producers[i].name, name) == 0)
            return &s->producers[i];
    return NULL;
}

/* Room for one more in a growing table of pointers or structs. */
static int grow(void **table, unsigned n, unsigned *cap, size_t size, unsigned max)
{
    unsigned more = *cap ? *cap * 2 : 8;
    void *p;

    if (n < *cap)
        return 0;
    if (n >= max)
        return -E2BIG;
    p = realloc(*table, more * size);
    if (!p)
        return -ENOMEM;
    *table = p;
    *cap = more;
    return 0;
}

static int reserve_consumer(struct gw_lf_state *s)
{
    void *table = s->consumers;
    int rc = grow(&table, s->n_consumers, &s->cap_consumers, sizeof(*s->consumers), GW_LF_MAX_CONSUMERS);

    s->consumers = table;
    return rc;
}

static int reserve_producer(struct gw_lf_state *s)
{
    void *table = s->producers;
    int rc = grow(&table, s->n_producers, &s->cap_producers, sizeof(*s->producers), GW_LF_MAX_PRODUCERS);

    s->producers = table;
    return rc;
}

/* One range more, besides those that are on their way. */
static int reserve_range(struct gw_lf_consumer *c, size_t max)
{
    int rc = gw_lf_rows_reserve(&c->done, c->n_planned + 1, max);

    if (rc == 0)
        c->n_planned++;
    return rc;
}

static int reserve_ranges_of_all(struct gw_lf_state *s)
{
    int rc = gw_lf_rows_reserve(&s->lost, 1, SIZE_MAX);

    for (unsigned i = 0; rc == 0 && i < s->n_consumers; i++)
        rc = reserve_range(s->consumers[i], SIZE_MAX);
    return rc;
}

void gw_lf_state_unplan(struct gw_lf_state *s)
{
    for (unsigned i = 0; i < s->n_consumers; i++)
        s->consumers[i]->n_planned = 0;
}

/* ---- settling ---------------------------------------------------------------------------------------------- */

static int reserve_settled(struct gw_lf_state *s, struct gw_slice body)
{
    for (size_t at = 0; at + GW_LF_SETTLE_ENTRY <= body.n; at += GW_LF_SETTLE_ENTRY) {
        struct gw_lf_consumer *c = gw_lf_state_consumer(s, gw_lf_get32(body.p + at));
        int rc = c ? reserve_range(c, GW_LF_MAX_RANGES) : 0;

        if (rc < 0)
            return rc;
    }
    return 0;
}

static int apply_settled(struct gw_lf_state *s, struct gw_slice body)
{
    int rc = body.n % GW_LF_SETTLE_ENTRY ? -EBADMSG : 0;

    for (size_t at = 0; rc == 0 && at < body.n; at += GW_LF_SETTLE_ENTRY) {
        struct gw_lf_settled e;
        struct gw_lf_consumer *c;

        gw_lf_read_settled(body.p + at, &e);
        c = gw_lf_state_consumer(s, e.consumer);
        if (!c || e.outcome >= GW_LOG_N_OUTCOMES)
            continue;
        rc = gw_lf_rows_reserve(&c->done, 1, SIZE_MAX);
        if (rc == 0)
            c->settled[e.outcome] +=
                gw_lf_rows_add(&c->done, e.row, (struct gw_lf_place){e.row + e.rows, e.to_seq, e.to_part});
    }
    return rc;
}

int gw_lf_state_lose(struct gw_lf_state *s, const struct gw_lf_loss *loss)
{
    int rc = gw_lf_rows_reserve(&s->lost, 1, SIZE_MAX);
    uint64_t fresh;

    for (unsigned i = 0; rc == 0 && i < s->n_consumers; i++)
        rc = gw_lf_rows_reserve(&s->consumers[i]->done, 1, SIZE_MAX);
    if (rc < 0)
        return rc;
    fresh = gw_lf_rows_add(&s->lost, loss->from, loss->to);
    s->lost_rows += fresh;
    if (fresh > 0 || loss->from == loss->to.row) {
        s->lost_frames += loss->frames;
        s->lost_bytes += loss->bytes;
    }
    for (unsigned i = 0; i < s->n_consumers; i++)
        s->consumers[i]->lost_rows += gw_lf_rows_add(&s->consumers[i]->done, loss->from, loss->to);
    return 0;
}

void gw_lf_put_loss(struct gw_buf *b, const struct gw_lf_loss *l)
{
    uint64_t v[] = {l->from, l->to.row, l->to.seq, l->to.part, l->frames, l->bytes};

    gw_buf_put(b, v, sizeof(v));
}

static int apply_loss(struct gw_lf_state *s, struct gw_slice body)
{
    struct gw_lf_loss l;

    if (body.n != 48)
        return -EBADMSG;
    l.from = gw_lf_get64(body.p);
    l.to = (struct gw_lf_place){gw_lf_get64(body.p + 8), gw_lf_get64(body.p + 16), (uint32_t)gw_lf_get64(body.p + 24)};
    l.frames = gw_lf_get64(body.p + 32);
    l.bytes = gw_lf_get64(body.p + 40);
    return gw_lf_state_lose(s, &l);
}

void gw_lf_put_trim(struct gw_buf *b, const struct gw_lf_place *to)
{
    uint64_t v[] = {to->row, to->seq};

    gw_buf_put(b, v, sizeof(v));
}

void gw_lf_put_trim_passed(struct gw_buf *b, uint32_t consumer, uint64_t rows)
{
    uint64_t v[] = {consumer, rows};

    gw_buf_put(b, v, sizeof(v));
}

static uint64_t passed_in_trim(struct gw_slice body, uint32_t consumer)
{
    for (size_t at = TRIM_HEAD; at + TRIM_ENTRY <= body.n; at += TRIM_ENTRY)
        if (gw_lf_get64(body.p + at) == consumer)
            return gw_lf_get64(body.p + at + 8);
    return 0;
}

static void trim_consumer(struct gw_lf_consumer *c, const struct gw_lf_place *to, uint64_t passed)
{
    uint64_t rows = gw_lf_rows_add(&c->done, 0, *to);

    passed = passed < rows ? passed : rows;
    c->settled[GW_LOG_DELIVERED] += passed;
    c->settled[GW_LOG_DROPPED] += rows - passed;
}

static int apply_trim(struct gw_lf_state *s, struct gw_slice body)
{
    struct gw_lf_place to;

    if (body.n < TRIM_HEAD || (body.n - TRIM_HEAD) % TRIM_ENTRY != 0)
        return -EBADMSG;
    to = (struct gw_lf_place){gw_lf_get64(body.p), gw_lf_get64(body.p + 8), 0};
    (void)gw_lf_rows_add(&s->lost, 0, to);
    for (unsigned i = 0; i < s->n_consumers; i++)
        trim_consumer(s->consumers[i], &to, passed_in_trim(body, s->consumers[i]->id));
    if (to.row > s->trim.row || to.seq > s->trim.seq)
        s->trim = to;
    return 0;
}

/* ---- consumers and producers ------------------------------------------------------------------------------- */

enum { CONSUMER_HEAD = 80, PRODUCER_HEAD = 16 };

void gw_lf_put_consumer(struct gw_buf *b, const struct gw_lf_consumer *c)
{
    uint8_t p[CONSUMER_HEAD] = {0};
    size_t n = strlen(c->name);

    gw_lf_put32(p, c->id);
    gw_lf_put16(p + 4, (uint16_t)n);
    gw_lf_put64(p + 8, c->first_row);
    gw_lf_put64(p + 16, c->done.base.row);
    gw_lf_put64(p + 24, c->done.base.seq);
    gw_lf_put32(p + 32, c->done.base.part);
    for (unsigned i = 0; i < GW_LOG_N_OUTCOMES; i++)
        gw_lf_put64(p + 40 + 8 * i, c->settled[i]);
    gw_lf_put64(p + 72, c->lost_rows);
    gw_buf_put(b, p, sizeof(p));
    gw_buf_put(b, c->name, n);
}

/* What was lost before it came is lost for it too. */
static int lose_known(struct gw_lf_state *s, struct gw_lf_consumer *c)
{
    int rc = gw_lf_rows_reserve(&c->done, s->lost.n + 1, SIZE_MAX);

    if (rc == 0 && s->lost.base.row > c->first_row)
        c->lost_rows += gw_lf_rows_add(&c->done, c->first_row, s->lost.base);
    for (size_t i = 0; rc == 0 && i < s->lost.n; i++)
        c->lost_rows += gw_lf_rows_add(&c->done, s->lost.ranges[i].from, s->lost.ranges[i].to);
    return rc;
}

static int apply_consumer(struct gw_lf_state *s, struct gw_slice body, bool is_new)
{
    size_t n = body.n >= CONSUMER_HEAD ? gw_lf_get16(body.p + 4) : 0;
    struct gw_lf_consumer *c;
    uint32_t id;

    if (n == 0 || n > GW_LOG_MAX_NAME_BYTES || body.n != CONSUMER_HEAD + n)
        return -EBADMSG;
    id = gw_lf_get32(body.p);
    c = gw_lf_state_consumer(s, id);
    if (!c) {
        int rc = reserve_consumer(s);

        c = rc == 0 ? calloc(1, sizeof(*c)) : NULL;
        if (!c)
            return rc < 0 ? rc : -ENOMEM;
        s->consumers[s->n_consumers++] = c;
    }
    c->id = id;
    memcpy(c->name, body.p + CONSUMER_HEAD, n);
    c->name[n] = 0;
    c->first_row = gw_lf_get64(body.p + 8);
    c->done.base = (struct gw_lf_place){gw_lf_get64(body.p + 16), gw_lf_get64(body.p + 24), gw_lf_get32(body.p + 32)};
    c->done.n = 0;
    c->done.above = 0;
    for (unsigned i = 0; i < GW_LOG_N_OUTCOMES; i++)
        c->settled[i] = gw_lf_get64(body.p + 40 + 8 * i);
    c->lost_rows = gw_lf_get64(body.p + 72);
    if (id >= s->next_consumer)
        s->next_consumer = id + 1;
    return is_new ? lose_known(s, c) : 0;
}

void gw_lf_put_release(struct gw_buf *b, uint32_t id)
{
    uint64_t v = id;

    gw_buf_put(b, &v, sizeof(v));
}

static int apply_release(struct gw_lf_state *s, struct gw_slice body)
{
    if (body.n != 8)
        return -EBADMSG;
    for (unsigned i = 0; i < s->n_consumers; i++) {
        if (s->consumers[i]->id != gw_lf_get32(body.p))
            continue;
        consumer_free(s->consumers[i]);
        s->n_consumers--;
        memmove(s->consumers + i, s->consumers + i + 1, (s->n_consumers - i) * sizeof(struct gw_lf_consumer *));
        break;
    }
    return 0;
}

void gw_lf_put_producer(struct gw_buf *b, const struct gw_lf_producer *q)
{
    uint8_t p[PRODUCER_HEAD] = {0};
    size_t n = strlen(q->name);

    gw_lf_put32(p, q->id);
    gw_lf_put32(p + 4, q->epoch);
    gw_lf_put16(p + 8, (uint16_t)n);
    gw_buf_put(b, p, sizeof(p));
    gw_buf_put(b, q->name, n);
}

static int apply_producer(struct gw_lf_state *s, struct gw_slice body)
{
    size_t n = body.n >= PRODUCER_HEAD ? gw_lf_get16(body.p + 8) : 0;
    struct gw_lf_producer *p;
    uint32_t id;

    if (n == 0 || n > GW_LOG_MAX_NAME_BYTES || body.n != PRODUCER_HEAD + n)
        return -EBADMSG;
    id = gw_lf_get32(body.p);
    p = gw_lf_state_producer(s, id);
    if (!p) {
        int rc = reserve_producer(s);

        if (rc < 0)
            return rc;
        p = &s->producers[s->n_producers++];
    }
    p->id = id;
    p->epoch = gw_lf_get32(body.p + 4);
    memcpy(p->name, body.p + PRODUCER_HEAD, n);
    p->name[n] = 0;
    if (id >= s->next_producer)
        s->next_producer = id + 1;
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------- */

static void apply_frame(struct gw_lf_state *s, const struct gw_lf_record *r)
{
    s->end_seq = r->seq + 1;
    s->end_row = r->row + r->rows;
    s->partitions |= 1ull << r->partition;
}

int gw_lf_state_apply(struct gw_lf_state *s, const struct gw_lf_record *r, struct gw_slice body)
{
    switch ((enum gw_lf_kind)r->kind) {
    case GW_LF_FRAME:
        apply_frame(s, r);
        return 0;
    case GW_LF_END:
        return 0;
    case GW_LF_SETTLE:
        return apply_settled(s, body);
    case GW_LF_POSITION:
        return gw_lf_state_apply_positions(s, body);
    case GW_LF_CONSUMER:
        return apply_consumer(s, body, r->topic != GW_LF_IN_SNAPSHOT);
    case GW_LF_RANGES:
        return gw_lf_state_apply_ranges(s, body);
    case GW_LF_RELEASE:
        return apply_release(s, body);
    case GW_LF_PRODUCER:
        return apply_producer(s, body);
    case GW_LF_LOST:
        return apply_loss(s, body);
    case GW_LF_TRIM:
        return apply_trim(s, body);
    case GW_LF_TOTALS:
        return gw_lf_state_apply_totals(s, body);
    }
    return 0; /* of a later version: it may only add what can be left out */
}

int gw_lf_state_reserve(struct gw_lf_state *s, uint8_t kind, struct gw_slice body)
{
    if (kind == GW_LF_SETTLE)
        return reserve_settled(s, body);
    if (kind == GW_LF_POSITION)
        return gw_lf_state_reserve_positions(s, body);
    if (kind == GW_LF_LOST)
        return reserve_ranges_of_all(s);
    if (kind == GW_LF_CONSUMER)
        return reserve_consumer(s);
    return kind == GW_LF_PRODUCER ? reserve_producer(s) : 0;
}

static uint64_t counted(const struct gw_lf_consumer *c)
{
    uint64_t sum = c->lost_rows;

    for (unsigned i = 0; i < GW_LOG_N_OUTCOMES; i++)
        sum += c->settled[i];
    return sum;
}

static uint64_t done_rows(const struct gw_lf_consumer *c)
{
    return c->done.base.row - c->first_row + c->done.above;
}

bool gw_lf_state_adds_up(const struct gw_lf_state *s)
{
    for (unsigned i = 0; i < s->n_consumers; i++)
        if (counted(s->consumers[i]) != done_rows(s->consumers[i]))
            return false;
    return true;
}

void gw_lf_state_mend(struct gw_lf_state *s)
{
    for (unsigned i = 0; i < s->n_consumers; i++) {
        struct gw_lf_consumer *c = s->consumers[i];
        uint64_t is = counted(c), should = done_rows(c);

        if (is < should)
            c->settled[GW_LOG_DELIVERED] += should - is;
        for (unsigned k = 0; is > should && k < GW_LOG_N_OUTCOMES; k++) {
            uint64_t n = c->settled[k] < is - should ? c->settled[k] : is - should;

            c->settled[k] -= n;
            is -= n;
        }
    }
}
