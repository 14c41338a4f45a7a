/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request from its head to its submission. A body that is short is put together in a small buffer and copied into
 * the open batch; a long one comes straight into a payload of its own, or is decompressed into one.
 */
#include <stdlib.h>

#include "receivers/otlp/otlp.h"

enum { KEEP_REQUESTS = 64, GROW_STEP = 64 << 10 };

/* ---- life ------------------------------------------------------------------------------------------------- */

struct gw_otlp_request *gw_otlp_request_new(struct gw_otlp_door *d, struct gw_hs_stream *s)
{
    struct gw_otlp_local *l = d->l;
    struct gw_otlp_request *rq = l->free;
    struct gw_buf wire;

    if (rq) {
        l->free = rq->next;
        l->n_free--;
        wire = rq->wire;
    } else {
        rq = malloc(sizeof(*rq));
        if (!rq)
            return NULL;
        gw_buf_init(&wire, 0);
    }
    *rq = (struct gw_otlp_request){.door = d, .s = s, .wire = wire, .begin_ns = gw_loop_now_ns(l->loop)};
    rq->wire.max_bytes = d->shared->max_body_bytes;
    gw_buf_reset(&rq->wire);
    gw_hs_set_user(s, rq);
    return rq;
}

static void recycle(struct gw_otlp_request *rq)
{
    struct gw_otlp_local *l = rq->door->l;

    if (rq->held)
        l->intake->ops->release(l->intake, &rq->hold);
    rq->payload = gw_payload_unref(rq->payload);
    rq->meta = gw_meta_unref(rq->meta);
    if (rq->wire.cap > 2 * GW_OTLP_SMALL_BYTES)
        gw_buf_clear(&rq->wire);
    if (l->n_free >= KEEP_REQUESTS) {
        gw_buf_clear(&rq->wire);
        free(rq);
        return;
    }
    rq->next = l->free;
    l->free = rq;
    l->n_free++;
}

void gw_otlp_enter(struct gw_otlp_request *rq)
{
    rq->busy = true;
}

void gw_otlp_leave(struct gw_otlp_request *rq)
{
    rq->busy = false;
    if (rq->gone)
        recycle(rq);
}

void gw_otlp_gone(struct gw_hs_handler *h, struct gw_hs_stream *s)
{
    struct gw_otlp_request *rq = gw_hs_user(s);

    (void)h;
    if (!rq)
        return;
    gw_hs_set_user(s, NULL);
    gw_timer_disarm(&rq->deadline);
    gw_otlp_health_gone(rq);
    rq->gone = true;
    if (!rq->busy)
        recycle(rq);
}

/* ---- answers and refusals --------------------------------------------------------------------------------------- */

void gw_otlp_answer(struct gw_otlp_request *rq, const struct gw_verdict *v)
{
    if (rq->answered)
        return;
    rq->answered = true;
    gw_timer_disarm(&rq->deadline);
    if (!rq->health)
        gw_metric_add(rq->door->shared->requests[gw_otlp_outcome_of(v)], 1);
    if (rq->door->shared->grpc)
        gw_otlp_grpc_answer(rq, v);
    else
        gw_otlp_http_answer(rq, v);
}

void gw_otlp_refuse(struct gw_otlp_request *rq, int grpc_status, const char *message)
{
    struct gw_verdict v = {.grpc_status = grpc_status, .signal = rq->signal, .message = message};

    gw_otlp_answer(rq, &v);
}

static void too_large(struct gw_otlp_request *rq)
{
    struct gw_verdict v = {.grpc_status = GW_RESOURCE_EXHAUSTED,
                           .signal = rq->signal,
                           .message = "request is larger than this receiver takes",
                           .too_large = true};

    gw_otlp_answer(rq, &v);
}

static void no_memory(struct gw_otlp_request *rq)
{
    gw_otlp_refuse(rq, GW_UNAVAILABLE, "no memory for this request");
}

/*
 * What waits for room in a queue is given up then (runtime/intake.c), so is what waits for its turn at a sink
 * (queue/sender.c). What is under way goes on, and is counted as unheard.
 */
static void on_deadline(struct gw_timer *t)
{
    struct gw_otlp_request *rq =
        (struct gw_otlp_request *)(void *)((char *)t - offsetof(struct gw_otlp_request, deadline));

    gw_otlp_enter(rq);
    if (rq->watch_link) {
        gw_otlp_health_gone(rq);
        gw_otlp_grpc_end(rq, GW_DEADLINE_EXCEEDED, "the deadline passed");
    } else {
        gw_otlp_refuse(rq, GW_DEADLINE_EXCEEDED, "the deadline passed before there was an answer");
    }
    gw_otlp_leave(rq);
}

void gw_otlp_arm_deadline(struct gw_otlp_request *rq)
{
    rq->deadline.fire = on_deadline;
    gw_timer_arm(rq->door->l->loop, &rq->deadline, rq->deadline_ns);
}

/* ---- admission -------------------------------------------------------------------------------------------- */

bool gw_otlp_admit(struct gw_otlp_request *rq, int64_t content_length)
{
    struct gw_intake *in = rq->door->l->intake;
    struct gw_verdict v = {.message = ""};

    if (content_length > 0 && (uint64_t)content_length > rq->door->shared->max_body_bytes) {
        too_large(rq);
        return false;
    }
    rq->granted = content_length > 0 ? (uint64_t)content_length : 0;
    if (in->ops->admit(in, &rq->hold, rq->signal, rq->granted, &v) < 0) {
        gw_otlp_answer(rq, &v);
        return false;
    }
    rq->held = true;
    return true;
}

bool gw_otlp_grow(struct gw_otlp_request *rq, uint64_t bytes)
{
    struct gw_intake *in = rq->door->l->intake;
    struct gw_verdict v = {.message = ""};

    if (bytes <= rq->granted)
        return true;
    if (in->ops->grow(in, &rq->hold, bytes, &v) < 0) {
        gw_otlp_answer(rq, &v);
        return false;
    }
    rq->granted = bytes;
    return true;
}

static uint64_t whole_pieces(uint64_t bytes)
{
    return (bytes + GROW_STEP - 1) & ~(uint64_t)(GROW_STEP - 1);
}

bool gw_otlp_room(struct gw_hs_handler *h, struct gw_hs_stream *s, uint64_t more)
{
    struct gw_otlp_request *rq = gw_hs_user(s);
    int64_t told = gw_hs_head_of(s)->content_length;
    struct gw_intake *in;
    uint64_t need;

    (void)h;
    if (!rq || !rq->held || told > 0 || rq->reader.n_head == 5)
        return true;
    in = rq->door->l->intake;
    need = whole_pieces((rq->payload ? rq->payload->n : rq->wire.n) + more);
    if (need > rq->door->shared->max_body_bytes) /* beyond it the body is refused, whatever there is */
        need = rq->door->shared->max_body_bytes;
    if (need <= rq->granted)
        return true;
    if (!in->ops->ahead(in, &rq->hold, need))
        return false;
    rq->granted = need;
    return true;
}

/* ---- body ------------------------------------------------------------------------------------------------- */

bool gw_otlp_expect(struct gw_otlp_request *rq, uint64_t bytes)
{
    if (bytes < GW_OTLP_SMALL_BYTES)
        return true;
    if (rq->codec != GW_IDENTITY) { /* in one piece: growing leaves holes */
        if (gw_buf_reserve(&rq->wire, bytes) < 0)
            no_memory(rq);
        return !rq->answered;
    }
    rq->payload = gw_payload_new(bytes);
    if (!rq->payload)
        no_memory(rq);
    return rq->payload != NULL;
}

/* It turned out long: on in a payload, and in pages, for nobody knows how long it will be. */
static bool move_to_payload(struct gw_otlp_request *rq, size_t more)
{
    rq->payload = gw_payload_new(0);
    if (!rq->payload || gw_payload_reserve_paged(rq->payload, 2 * (rq->wire.n + more)) < 0)
        return false;
    if (rq->wire.n)
        memcpy(rq->payload->p, rq->wire.p, rq->wire.n);
    rq->payload->n = (uint32_t)rq->wire.n;
    gw_buf_reset(&rq->wire);
    return true;
}

bool gw_otlp_append(struct gw_otlp_request *rq, struct gw_slice chunk)
{
    size_t have = rq->payload ? rq->payload->n : rq->wire.n;

    rq->n_body += chunk.n;
    if (chunk.n > rq->door->shared->max_body_bytes - have) {
        too_large(rq);
        return false;
    }
    if (have + chunk.n > rq->granted && !gw_otlp_grow(rq, whole_pieces(have + chunk.n)))
        return false;
    if (!rq->payload && rq->codec == GW_IDENTITY && have + chunk.n >= GW_OTLP_SMALL_BYTES &&
        !move_to_payload(rq, chunk.n)) {
        no_memory(rq);
        return false;
    }
    if (!rq->payload) {
        gw_buf_put_slice(&rq->wire, chunk);
        if (rq->wire.failed)
            no_memory(rq);
        return !rq->wire.failed;
    }
    if (rq->payload->cap - rq->payload->n < chunk.n && gw_payload_reserve_paged(rq->payload, chunk.n) < 0) {
        no_memory(rq);
        return false;
    }
    memcpy(rq->payload->p + rq->payload->n, chunk.p, chunk.n);
    rq->payload->n += (uint32_t)chunk.n;
    return true;
}

/* ---- decompression ---------------------------------------------------------------------------------------- */

static bool fail_inflate(struct gw_otlp_request *rq, int rc, const struct gw_err *err)
{
    if (rc == -E2BIG)
        too_large(rq);
    else if (rc == -EBADMSG)
        gw_otlp_refuse(rq, GW_INVALID_ARGUMENT, err->text);
    else
        no_memory(rq);
    return false;
}

/* Into a payload with room for `size`; again with more while it was too little. */
static bool inflate_long(struct gw_otlp_request *rq, enum gw_codec c, struct gw_slice in, size_t size, size_t most,
                         struct gw_slice *ret)
{
    struct gw_err err = {""};

    for (;;) {
        struct gw_payload *pl;
        struct gw_buf out;
        int rc;

        if (!gw_otlp_grow(rq, in.n + size))
            return false;
        pl = gw_payload_new(size);
        if (!pl)
            return fail_inflate(rq, -ENOMEM, &err);
        out = (struct gw_buf){.p = pl->p, .cap = pl->cap < most ? pl->cap : most};
        out.max_bytes = out.cap;
        rc = gw_decompress(c, in, &out, &err);
        if (rc == 0) {
            pl->n = (uint32_t)out.n;
            rq->payload = pl;
            *ret = gw_buf_slice(&out);
            return true;
        }
        (void)gw_payload_unref(pl);
        if (rc != -E2BIG || out.cap >= most)
            return fail_inflate(rq, rc, &err);
        size = out.cap > most / 4 ? most : 4 * out.cap;
    }
}

static bool inflate(struct gw_otlp_request *rq, enum gw_codec c, struct gw_slice in, struct gw_slice *ret)
{
    size_t most = gw_decompress_most(in), hint = gw_decompress_hint(c, in), limit = rq->door->shared->max_body_bytes;
    struct gw_err err = {""};

    if (most > limit)
        most = limit;
    if (hint < GW_OTLP_SMALL_BYTES) {
        size_t room = most < GW_OTLP_SMALL_BYTES ? most : GW_OTLP_SMALL_BYTES;
        struct gw_buf out = {.p = rq->door->l->small, .cap = room, .max_bytes = room};
        int rc = gw_decompress(c, in, &out, &err);

        *ret = gw_buf_slice(&out);
        if (rc == 0)
            return true;
        if (rc != -E2BIG || room == most)
            return fail_inflate(rq, rc, &err);
        hint = 4 * GW_OTLP_SMALL_BYTES;
    }
    return inflate_long(rq, c, in, hint < most ? hint : most, most, ret);
}

/* ---- submission ------------------------------------------------------------------------------------------- */

void gw_otlp_submit(struct gw_otlp_request *rq, struct gw_slice body, enum gw_codec codec)
{
    struct gw_otlp_door *d = rq->door;
    struct gw_intake *in = d->l->intake;
    struct gw_hs_name name = gw_hs_name_of(rq->s);
    struct gw_request r = {
        .hold = &rq->hold,
        .encoding = rq->encoding,
        .meta = rq->meta,
        .ack = {.slot = name.slot | d->slot_bit, .generation = name.generation, .stream = name.stream},
        .deadline_ns = rq->deadline_ns,
    };
    struct gw_verdict v = {.message = ""};

    if (rq->deadline_ns && gw_loop_now_ns(d->l->loop) >= rq->deadline_ns) {
        gw_otlp_refuse(rq, GW_DEADLINE_EXCEEDED, "the deadline passed before the request was complete");
        return;
    }
    if (codec != GW_IDENTITY && !inflate(rq, codec, body, &body))
        return;
    r.bytes = body;
    r.payload = rq->payload;
    /* Taken with success, when a verdict may have come already; nothing of rq is looked at then. */
    rq->payload = NULL;
    rq->held = false;
    if (in->ops->submit(in, &r, &v) < 0) {
        rq->payload = r.payload;
        rq->held = true;
        gw_otlp_answer(rq, &v);
    }
}
