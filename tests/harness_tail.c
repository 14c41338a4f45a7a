/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_tail.h"

#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"
#include "pipeline/keep.h"

static struct gw_tail_rig *rig; /* the one that is at work */
static const struct gw_ports_ops *rig_ops;

/* ---- spans in --------------------------------------------------------------------------------------------- */

static void put_varint(struct gw_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 0x80));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void put_bytes(struct gw_buf *b, unsigned field, const void *p, size_t n)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, n);
    gw_buf_put(b, p, n);
}

static void put_fixed(struct gw_buf *b, unsigned field, uint64_t v)
{
    put_varint(b, field << 3 | 1);
    gw_buf_put(b, &v, 8);
}

/* Big-endian, so that the number is the randomness, too. */
static void id_of(uint64_t trace, uint8_t id[16])
{
    memset(id, trace ? 0x11 : 0, 8);
    for (unsigned i = 0; i < 8; i++)
        id[15 - i] = (uint8_t)(trace >> 8 * i);
}

static uint64_t number_of(const uint8_t *p)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < 8; i++)
        n = n << 8 | p[i];
    return n;
}

static void put_attribute(struct gw_buf *b, unsigned field, const char *key, const char *value, size_t n)
{
    struct gw_buf kv, any;

    gw_buf_init(&kv, 1 << 20);
    gw_buf_init(&any, 1 << 20);
    put_bytes(&any, 1, value, n);
    put_bytes(&kv, 1, key, strlen(key));
    put_bytes(&kv, 2, any.p, any.n);
    put_bytes(b, field, kv.p, kv.n);
    gw_buf_clear(&kv);
    gw_buf_clear(&any);
}

struct span {
    uint64_t trace, span, link, service, ms;
    bool root, error, ok;
    const char *state;
    size_t n_state;
    unsigned pad_bytes;
};

static void put_link(struct gw_buf *b, uint64_t to)
{
    struct gw_buf link;
    uint8_t id[16];

    gw_buf_init(&link, 64);
    id_of(to, id);
    put_bytes(&link, 1, id, 16);
    put_bytes(&link, 2, id + 8, 8);
    put_bytes(b, 13, link.p, link.n);
    gw_buf_clear(&link);
}

static void put_span(struct gw_buf *out, const struct span *s)
{
    static const char pad[4096];
    uint64_t start = 1767323045000000000u;
    struct gw_buf b;
    uint8_t id[16];

    gw_buf_init(&b, 64 << 20);
    id_of(s->trace, id);
    put_bytes(&b, 1, id, 16);
    id_of(s->span, id);
    put_bytes(&b, 2, id + 8, 8);
    if (s->n_state)
        put_bytes(&b, 3, s->state, s->n_state);
    if (!s->root)
        put_bytes(&b, 4, "parents!", 8);
    put_bytes(&b, 5, "GET", 3);
    put_fixed(&b, 7, start);
    put_fixed(&b, 8, start + s->ms * 1000000);
    if (s->pad_bytes)
        put_attribute(&b, 9, "pad", pad, s->pad_bytes);
    if (s->link)
        put_link(&b, s->link);
    put_bytes(&b, 15, s->error ? "\x18\x02" : "\x18\x01", s->error || s->ok ? 2 : 0);
    put_bytes(out, 2, b.p, b.n);
    gw_buf_clear(&b);
}

static void put_resource(struct gw_buf *out, uint64_t service, const struct gw_buf *spans)
{
    struct gw_buf resource, scope, all;
    char name[32];

    gw_buf_init(&resource, 256);
    gw_buf_init(&scope, 256u << 20);
    gw_buf_init(&all, 256u << 20);
    put_attribute(&resource, 1, "service.name", name,
                  (size_t)snprintf(name, sizeof(name), "service%llu", (unsigned long long)service));
    put_bytes(&scope, 1, "\x0a\x03lib", 5);
    gw_buf_put(&scope, spans->p, spans->n);
    put_bytes(&all, 1, resource.p, resource.n);
    put_bytes(&all, 2, scope.p, scope.n);
    put_bytes(out, 1, all.p, all.n);
    gw_buf_clear(&resource);
    gw_buf_clear(&scope);
    gw_buf_clear(&all);
}

static const char *read_flags(const char *p, struct span *s)
{
    char *end = (char *)p;

    for (; *p && *p != ' '; p = end) {
        char flag = *p;

        end = (char *)p + 1;
        if (strchr("lsd", flag)) {
            uint64_t n = strtoull(p + 1, &end, 10);

            *(flag == 'l' ? &s->link : flag == 's' ? &s->service : &s->ms) = n;
        } else if (flag == 'w') {
            s->state = p + 1;
            s->n_state = strcspn(p + 1, " ");
            end = (char *)p + 1 + s->n_state;
        } else if (flag == 'r' || flag == 'e' || flag == 'o') {
            *(flag == 'r' ? &s->root : flag == 'e' ? &s->error : &s->ok) = true;
        } else {
            fail_msg("what is %s?", p);
        }
    }
    return p;
}

static void send_wire(struct gw_tail_rig *r, const struct gw_buf *request)
{
    rig = r;
    gw_proc_send_wire(&r->p, gw_buf_slice(request));
    assert_true(r->may_fail || !r->p.failed);
}

/* Spans of one service that follow each other are of one resource. */
void gw_tail_send(struct gw_tail_rig *r, const char *spans)
{
    struct gw_buf request, list;
    uint64_t service = 0;
    char *end;

    gw_buf_init(&request, 256u << 20);
    gw_buf_init(&list, 256u << 20);
    while (*spans) {
        struct span s = {.trace = strtoull(spans, &end, 10)};

        assert_int_equal(*end, '.');
        s.span = strtoull(end + 1, &end, 10);
        spans = read_flags(end, &s);
        spans += *spans == ' ';
        if (s.service != service && list.n) {
            put_resource(&request, service, &list);
            gw_buf_reset(&list);
        }
        service = s.service;
        put_span(&list, &s);
    }
    put_resource(&request, service, &list);
    send_wire(r, &request);
    gw_buf_clear(&request);
    gw_buf_clear(&list);
}

void gw_tail_send_many(struct gw_tail_rig *r, uint64_t trace, uint64_t first, unsigned n, unsigned pad_bytes)
{
    struct gw_buf request, list;

    gw_buf_init(&request, 256u << 20);
    gw_buf_init(&list, 256u << 20);
    for (unsigned i = 0; i < n; i++)
        put_span(&list, &(struct span){.trace = trace, .span = first + i, .pad_bytes = pad_bytes});
    put_resource(&request, 0, &list);
    send_wire(r, &request);
    gw_buf_clear(&request);
    gw_buf_clear(&list);
}

/* ---- spans out -------------------------------------------------------------------------------------------- */

static void say(struct gw_tail_rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct gw_tail_rig *r, const char *fmt, ...)
{
    va_list ap;

    if (r->n_text > GW_TAIL_OUT_BYTES - 1024) /* a test of so many spans looks at rows */
        return;
    va_start(ap, fmt);
    r->n_text += (size_t)vsnprintf(r->out + r->n_text, GW_TAIL_OUT_BYTES - r->n_text, fmt, ap);
    va_end(ap);
}

/* Returns how many were said. */
static unsigned say_attributes(struct gw_tail_rig *r, const struct gw_view *v, enum gw_owner o, uint32_t index,
                               unsigned said)
{
    struct gw_attr_iter it;
    struct gw_value value;
    struct gw_slice key;

    gw_view_attr_begin(v, o, index, &it);
    while (gw_view_attr_next(&it, &key, &value)) {
        if (gw_slice_is(key, "pad"))
            continue;
        say(r, "%s%s%.*s=", said++ ? ";" : "{", o == GW_OWN_SCOPE ? "@" : "", (int)key.n, (const char *)key.p);
        if (value.type == GW_V_BOOL)
            say(r, "%s", value.b ? "true" : "false");
        else
            say(r, "%.*s", (int)value.s.n, (const char *)value.s.p);
    }
    return said;
}

static void say_rows(struct gw_tail_rig *r, const struct gw_batch *b)
{
    struct gw_view v;

    gw_view_init(&v, (struct gw_batch *)b, &r->p.arena);
    say(r, "%s", r->n_text ? " | " : "");
    for (uint32_t row = 0; row < b->n_rows; row++) {
        struct gw_slice state = gw_batch_slice(b, b->trace_state[row]);
        uint64_t trace = number_of(b->trace_id[row] + 8), span = number_of(b->span_id[row]);
        unsigned said;

        assert_true(r->n_rows < GW_TAIL_ROWS);
        r->rows[r->n_rows++] = (struct gw_tail_row){trace, span};
        say(r, "%s%llu.%llu", row ? " " : "", (unsigned long long)trace, (unsigned long long)span);
        said = say_attributes(r, &v, GW_OWN_ROW, row, 0);
        said = say_attributes(r, &v, GW_OWN_SCOPE, b->scope[row], said);
        if (state.n)
            say(r, "%s%.*s", said++ ? ";" : "{", (int)state.n, (const char *)state.p);
        say(r, "%s", said ? "}" : "");
    }
    gw_view_clear(&v);
}

/* What leaves is encoded and decoded once more: patches are seen as a sink sees them. */
static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    static const struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_tail_rig *r = rig;
    struct gw_batch *again = gw_batch_new(GW_TRACES);
    struct gw_buf wire;
    struct gw_ref at;

    assert_int_equal(port, 0);
    r->p.failed |= v->failed;
    if (v->failed) /* as the runtime does it */
        gw_view_settle_all(v, out->ledger, GW_REFUSED, "memory_limit", NULL);
    if (v->n_rows) {
        gw_buf_init(&wire, 256u << 20);
        assert_int_equal(gw_encode(v, &wire), 0);
        assert_int_equal(gw_batch_append(again, gw_buf_slice(&wire), &at), 0);
        assert_int_equal(gw_decode(again, gw_batch_slice(again, at), &limits, NULL, NULL), 0);
        gw_buf_clear(&wire);
        assert_int_equal(again->n_rows, v->n_rows);
        say_rows(r, again);
        r->n_batches++;
        r->room -= v->n_rows < r->room ? v->n_rows : r->room;
        r->n_most = v->n_rows > r->n_most ? v->n_rows : r->n_most;
        r->n_resources = again->n_resources;
        r->received_ns = v->batch->received_ns;
        r->receiver = v->batch->receiver;
        r->has_meta |= v->meta != NULL;
    }
    (void)gw_batch_unref(again);
    gw_view_settle_all(v, out->ledger, GW_DELIVERED, "test", NULL);
    gw_view_clear(v);
}

static void reject(struct gw_ports *out, struct gw_view *v, uint32_t row, const struct gw_reject *why)
{
    rig_ops->reject(out, v, row, why);
}

static bool has_room(struct gw_ports *out, uint32_t rows, size_t bytes)
{
    (void)out;
    (void)bytes;
    return !rig->is_narrow || rows <= rig->room;
}

static const struct gw_ports_ops ops = {.emit = emit, .reject = reject, .has_room = has_room};

static void settled(struct gw_ledger *l, const struct gw_view *v, uint32_t rows, enum gw_outcome outcome,
                    const char *reason)
{
    struct gw_tail_rig *r = rig;
    unsigned i = 0;

    (void)l;
    (void)v;
    r->p.settled[outcome] += rows;
    r->n_failed += outcome == GW_FAILED ? rows : 0;
    if (outcome == GW_DELIVERED || outcome == GW_ABSORBED)
        return;
    while (i < r->n_counts && strcmp(r->reasons[i], reason) != 0)
        i++;
    assert_true(i < 32);
    if (i == r->n_counts) {
        (void)snprintf(r->reasons[i], sizeof(r->reasons[i]), "%s", reason);
        r->counts[r->n_counts++] = 0;
    }
    r->counts[i] += rows;
}

const char *gw_tail_out(struct gw_tail_rig *r)
{
    static char text[GW_TAIL_OUT_BYTES];

    memcpy(text, r->out, r->n_text + 1);
    r->out[r->n_text = 0] = '\0';
    return text;
}

const char *gw_tail_drops(struct gw_tail_rig *r)
{
    static char text[2048];
    size_t n = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < r->n_counts; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s=%llu", n ? " " : "", r->reasons[i],
                              (unsigned long long)r->counts[i]);
    r->n_counts = 0;
    return text;
}

/* ---- the rig ---------------------------------------------------------------------------------------------- */

void gw_tail_open_as(struct gw_tail_rig *r, const char *name, const char *settings)
{
    *r = (struct gw_tail_rig){0};
    r->out = calloc(1, GW_TAIL_OUT_BYTES);
    r->rows = calloc(GW_TAIL_ROWS, sizeof(*r->rows));
    rig = r;
    gw_proc_open(&r->p, name, GW_TRACES, settings);
    rig_ops = r->p.ports.ops;
    r->p.ports.ops = &ops;
    r->p.ledger.settled = settled;
}

void gw_tail_open(struct gw_tail_rig *r, const char *settings)
{
    static char yaml[8192];

    (void)snprintf(yaml, sizeof(yaml), "%s\n%s", settings,
                   strstr(settings, "policies:")
                       ? ""
                       : "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\n");
    gw_tail_open_as(r, "tail_sampling", yaml);
}

void gw_tail_close(struct gw_tail_rig *r)
{
    gw_proc_close(&r->p);
    free(r->out);
    free(r->rows);
}

static void until_done(struct gw_tail_rig *r, int (*step)(struct gw_tail_rig *r))
{
    unsigned n = 0;

    rig = r;
    do {
        assert_true(n++ < 10000);
        gw_arena_reset(&r->p.arena, 1 << 20);
    } while (step(r) == GW_MORE);
}

int gw_tail_tick(struct gw_tail_rig *r)
{
    rig = r;
    return r->p.component->tick(r->p.self, gw_mono_ns(&r->p.te.env), &r->p.ports);
}

static int one_drain(struct gw_tail_rig *r)
{
    return r->p.component->drain(r->p.self, &r->p.ports);
}

void gw_tail_wait(struct gw_tail_rig *r, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        gw_test_env_advance(&r->p.te, 1000000000);
        until_done(r, gw_tail_tick);
    }
}

void gw_tail_drain(struct gw_tail_rig *r)
{
    until_done(r, one_drain);
    assert_int_equal(gw_tail_held(r), 0);
}

uint64_t gw_tail_held(struct gw_tail_rig *r)
{
    return r->p.component->held(r->p.self);
}

double gw_tail_metric(struct gw_tail_rig *r, const char *name)
{
    char series[256];

    (void)snprintf(series, sizeof(series), "otelcol_processor_tail_sampling_%s", name);
    return gw_proc_metric(&r->p, series);
}

double gw_tail_ours(struct gw_tail_rig *r, const char *name)
{
    char series[256];

    (void)snprintf(series, sizeof(series), "staunch_tail_sampling_%s", name);
    return gw_proc_metric(&r->p, series);
}

void gw_tail_advance(struct gw_tail_rig *r, uint64_t ns, bool rebuilds)
{
    rig = r;
    while (r->p.component->keep->advance(r->p.self, ns, rebuilds, &r->p.ports) == GW_MORE)
        ;
}

uint64_t gw_tail_save(struct gw_tail_rig *r, bool whole, struct gw_buf *out)
{
    uint64_t oldest;

    assert_int_equal(r->p.component->keep->save(r->p.self, whole, out, &oldest), GW_DONE);
    return oldest;
}
