/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exchange: what becomes of its records, the lines of the journal, the answer.
 *
 * The journal, one line each, times in ns of CLOCK_MONOTONIC:
 *   A EXCHANGE TIME SINK PROTOCOL SIGNAL FAULT     a request was whole; its records follow
 *   R EXCHANGE ID HASH abc                         a: a applied, - not;  b: i intact, ! broken, ? carries no sum;
 *                                                  c: what the answer says of it: y taken, n never, r come again, ?
 * unclear E EXCHANGE TIME told|untold                    the whole answer is in the kernel, or never will be K EXCHANGE
 * TIME WHERE                          the gateway was killed from here A and R are written before a byte of the answer,
 * in one write.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "core/hash.h"
#include "net/compress.h"
#include "net/grpc_frame.h"
#include "sink.h"

static const char *const proto_names[] = {"-", "otlp_http", "otlp_grpc", "rw1", "rw2", "bulk"};
static struct records records;

/* ---- the journal --------------------------------------------------------------------------------------------- */

static void journal_write(const char *p, size_t n)
{
    while (n) {
        ssize_t r = write(g.journal, p, n);

        if (r < 0)
            die("journal");
        p += r;
        n -= (size_t)r;
    }
}

void journal_line(const char *fmt, ...)
{
    char line[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    journal_write(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void journal_records(struct exchange *e)
{
    static struct gw_buf lines;

    if (!lines.max_bytes)
        gw_buf_init(&lines, (size_t)1 << 31);
    gw_buf_reset(&lines);
    gw_buf_printf(&lines, "A %llu %llu %s %s %c %s\n", (unsigned long long)e->number, (unsigned long long)now_ns(),
                  e->conn->sink->name, proto_names[e->proto], e->signal, e->fault.text[0] ? e->fault.text : "-");
    for (size_t i = 0; i < records.n; i++) {
        const struct record *r = &records.p[i];

        gw_buf_printf(&lines, "R %llu %.*s %016llx %c%c%c\n", (unsigned long long)e->number,
                      r->id.n ? (int)(r->id.n < 100 ? r->id.n : 100) : 1, r->id.n ? (const char *)r->id.p : "-",
                      (unsigned long long)r->hash, r->applied ? 'a' : '-', r->intact, r->said);
        e->conn->sink->n_applied += r->applied;
        e->conn->sink->n_rejected += r->said == 'n';
        g.n_broken += r->intact == '!';
    }
    if (lines.failed)
        die("memory");
    journal_write((const char *)lines.p, lines.n);
    e->journaled = true;
}

void exchange_end(struct exchange *e, bool told)
{
    struct sink *s = e->conn->sink;

    s->n_open--;
    if (!e->journaled)
        return;
    e->journaled = false;
    *(told ? &s->n_told : &s->n_untold) += 1;
    journal_line("E %llu %llu %s\n", (unsigned long long)e->number, (unsigned long long)now_ns(),
                 told ? "told" : "untold");
}

/* ---- what the answer says of records --------------------------------------------------------------------------- */

static bool is_grpc(const struct exchange *e)
{
    return e->proto == P_OTLP_GRPC;
}

/* The classes of the OTLP specification, of remote write and of _bulk, for a request as a whole. */
static char said_of_status(const struct exchange *e)
{
    const struct fault *f = &e->fault;
    unsigned code = f->grpc;

    if (is_grpc(e) && code) {
        if (code == 8)
            return f->retry_after_s != NEVER ? 'r' : 'n';
        return code == 1 || code == 4 || code == 10 || code == 11 || code == 14 || code == 15 ? 'r' : 'n';
    }
    if (f->status / 100 == 3)
        return '?';
    if (e->proto == P_OTLP_HTTP)
        return f->status == 429 || (f->status >= 502 && f->status <= 504) ? 'r' : 'n';
    if (is_grpc(e))
        return '?'; /* HTTP's status instead of gRPC's: the mapping is the client's */
    return f->status == 429 || f->status / 100 == 5 ? 'r' : f->status == 413 ? '?' : 'n';
}

static bool is_success(const struct exchange *e)
{
    return (e->fault.status == 0 || e->fault.status / 100 == 2) && (!is_grpc(e) || e->fault.grpc == 0);
}

static char said_of_success(const struct exchange *e)
{
    const struct fault *f = &e->fault;

    if (f->claim || f->no_trailers || f->noise || (f->no_written && e->proto == P_RW2))
        return '?';
    if (f->body == BODY_EMPTY)
        return e->proto == P_BULK || is_grpc(e) ? '?' : 'y';
    return f->body == BODY_OWN || ((e->proto == P_RW1 || e->proto == P_RW2) && f->body != BODY_HALF) ? 'y' : '?';
}

/* Open addressing; true: the key is new. */
static bool ids_add(struct sink *s, uint64_t key)
{
    size_t at;

    if (s->ids.n * 2 >= s->ids.cap) {
        uint64_t *old = s->ids.p;
        size_t n = s->ids.cap;

        s->ids.cap = n ? n * 2 : 4096;
        s->ids.p = calloc(s->ids.cap, sizeof(*s->ids.p));
        if (!s->ids.p)
            die("memory");
        for (size_t i = 0; i < n; i++) {
            for (at = old[i] & (s->ids.cap - 1); old[i] && s->ids.p[at]; at = (at + 1) & (s->ids.cap - 1))
                ;
            if (old[i])
                s->ids.p[at] = old[i];
        }
        free(old);
    }
    for (at = key & (s->ids.cap - 1); s->ids.p[at]; at = (at + 1) & (s->ids.cap - 1))
        if (s->ids.p[at] == key)
            return false;
    s->ids.p[at] = key;
    s->ids.n++;
    return true;
}

static void judge(struct exchange *e)
{
    const struct fault *f = &e->fault;
    bool success = is_success(e), apply = f->apply >= 0 ? f->apply : success && !f->stall;
    char said = success ? said_of_success(e) : said_of_status(e);

    for (size_t i = 0; i < records.n; i++) {
        struct record *r = &records.p[i];
        bool refused = success && f->reject_every && r->number % f->reject_every == 0;

        r->status = 201;
        r->applied = apply && !refused;
        r->said = said;
        if (refused && said == 'y')
            r->said = e->proto == P_BULK && (f->item_status == 429 || f->item_status >= 500) ? 'r' : 'n';
        if (refused)
            r->status = (int)f->item_status;
        else if (r->applied && r->key && !ids_add(e->conn->sink, r->key) && r->create) {
            r->applied = false; /* it is there */
            r->status = 409;
        }
    }
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void put_varint(struct gw_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        gw_buf_put_u8(b, (uint8_t)(v | 128));
    gw_buf_put_u8(b, (uint8_t)v);
}

static void put_bytes(struct gw_buf *b, unsigned number, const void *p, size_t n)
{
    put_varint(b, number << 3 | 2);
    put_varint(b, n);
    gw_buf_put(b, p, n);
}

/* google.rpc.Status, with RetryInfo when the fault has a delay. */
static void put_status(struct gw_buf *b, unsigned code, uint64_t retry_s)
{
    static const char type[] = "type.googleapis.com/google.rpc.RetryInfo", message[] = "as the script says";
    struct gw_buf delay, info, any;

    put_varint(b, 1 << 3);
    put_varint(b, code);
    put_bytes(b, 2, message, sizeof(message) - 1);
    if (retry_s == NEVER)
        return;
    gw_buf_init(&delay, 64);
    gw_buf_init(&info, 64);
    gw_buf_init(&any, 256);
    put_varint(&delay, 1 << 3);
    put_varint(&delay, retry_s);
    put_bytes(&info, 1, delay.p, delay.n);
    put_bytes(&any, 1, type, sizeof(type) - 1);
    put_bytes(&any, 2, info.p, info.n);
    put_bytes(b, 3, any.p, any.n);
    gw_buf_clear(&delay);
    gw_buf_clear(&info);
    gw_buf_clear(&any);
}

static size_t n_refused(void)
{
    size_t n = 0;

    for (size_t i = 0; i < records.n; i++)
        n += records.p[i].status != 201 && records.p[i].status != 409;
    return n;
}

static void otlp_answer(struct exchange *e, struct gw_buf *b)
{
    int64_t rejected = (int64_t)n_refused() + e->fault.claim;
    struct gw_buf partial;

    if (!is_success(e)) {
        if (!is_grpc(e))
            put_status(b, 14, e->fault.retry_after_s);
        else if (e->fault.grpc)
            put_status(&e->answer.details, e->fault.grpc, e->fault.retry_after_s);
        return;
    }
    if (!rejected)
        return;
    gw_buf_init(&partial, 256);
    put_varint(&partial, 1 << 3);
    put_varint(&partial, (uint64_t)rejected);
    put_bytes(&partial, 2, "refused by the script", 21);
    put_bytes(b, 1, partial.p, partial.n);
    gw_buf_clear(&partial);
}

static void bulk_answer(struct exchange *e, struct gw_buf *b)
{
    int64_t n = (int64_t)records.n + e->fault.claim;

    if (!is_success(e)) {
        gw_buf_printf(b, "{\"error\":{\"type\":\"sink_exception\",\"reason\":\"as the script says\"},\"status\":%u}",
                      e->fault.status);
        return;
    }
    gw_buf_printf(b, "{\"took\":1,\"errors\":%s,\"items\":[", n_refused() ? "true" : "false");
    for (int64_t i = 0; i < n; i++) {
        int status = i < (int64_t)records.n ? records.p[i].status : 201;
        const char *op = i < (int64_t)records.n && !records.p[i].create ? "index" : "create";

        gw_buf_printf(b, "%s{\"%s\":{\"_index\":\"sink\",\"_id\":\"x\",\"status\":%d", i ? "," : "", op, status);
        if (status >= 400)
            gw_buf_printf(b, ",\"error\":{\"type\":\"%s\",\"reason\":\"as the script says\"}",
                          status == 409   ? "version_conflict_engine_exception"
                          : status == 429 ? "es_rejected_execution_exception"
                                          : "mapper_parsing_exception");
        gw_buf_put_str(b, "}}");
    }
    gw_buf_put_str(b, "]}");
}

static void rw_answer(struct exchange *e)
{
    struct answer *a = &e->answer;
    size_t samples = 0, histograms = 0;

    if (is_success(e) && n_refused()) { /* the good ones are written, and the request is bad */
        a->status = 400;
        gw_buf_put_str(&a->body, "out of order sample");
        for (size_t i = 0; i < records.n; i++)
            records.p[i].said = e->proto == P_RW2 && records.p[i].applied ? 'y' : 'n';
    }
    if (e->proto != P_RW2 || e->fault.no_written)
        return;
    for (size_t i = 0; i < records.n; i++)
        if (records.p[i].applied)
            *(records.p[i].histogram ? &histograms : &samples) += 1;
    gw_buf_printf(&a->headers,
                  "x-prometheus-remote-write-samples-written: %lld\r\nx-prometheus-remote-write-histograms-written: "
                  "%zu\r\nx-prometheus-remote-write-exemplars-written: %zu\r\n",
                  (long long)samples + (long long)e->fault.claim, histograms, is_success(e) ? records.n_exemplars : 0);
}

/* A body that nobody can read. */
static void spoil(struct exchange *e)
{
    struct answer *a = &e->answer;

    if (e->fault.body == BODY_EMPTY)
        gw_buf_reset(&a->body);
    if (e->fault.body == BODY_GARBAGE) {
        gw_buf_reset(&a->body);
        a->filler = e->fault.body_bytes ? e->fault.body_bytes : 300;
    }
    if (e->fault.body == BODY_HALF && a->body.n < 2) /* a success of OTLP has nothing to cut */
        gw_buf_put(&a->body, "\x0a\x80\x01half of a message", 20);
    if (e->fault.location[0])
        gw_buf_printf(&a->headers, "location: %s\r\n", e->fault.location);
    if (e->fault.retry_after_s != NEVER && !(is_grpc(e) && e->fault.grpc))
        gw_buf_printf(&a->headers, "retry-after: %llu\r\n", (unsigned long long)e->fault.retry_after_s);
}

static void answer_build(struct exchange *e)
{
    struct answer *a = &e->answer;
    struct gw_buf message;

    a->status = e->fault.status ? e->fault.status : 200;
    a->grpc = e->fault.grpc;
    if (e->proto == P_RW1 || e->proto == P_RW2) {
        if (!e->fault.status)
            a->status = 204;
        rw_answer(e);
    } else if (e->proto == P_BULK) {
        gw_buf_put_str(&a->headers, "content-type: application/json\r\nx-elastic-product: Elasticsearch\r\n");
        bulk_answer(e, &a->body);
    } else if (!is_grpc(e)) {
        gw_buf_put_str(&a->headers, "content-type: application/x-protobuf\r\n");
        otlp_answer(e, &a->body);
    } else {
        gw_buf_init(&message, 4096);
        otlp_answer(e, &message);
        if (a->status == 200) { /* else it is a proxy's answer, which speaks no gRPC */
            gw_buf_put(&a->body, (uint8_t[5]){0, 0, 0, (uint8_t)(message.n >> 8), (uint8_t)message.n}, 5);
            gw_buf_put(&a->body, message.p, message.n);
        }
        gw_buf_clear(&message);
    }
    spoil(e);
}

static void refuse(struct exchange *e, unsigned status, const char *text)
{
    g.n_bad_request += status == 400;
    e->answer.status = is_grpc(e) ? 200 : status;
    e->answer.grpc = is_grpc(e) ? 3 : 0;
    gw_buf_reset(&e->answer.body);
    gw_buf_put_str(&e->answer.body, is_grpc(e) ? "" : text);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static char signal_of(const char *path)
{
    return strcasestr(path, "trace") ? 't' : strcasestr(path, "metric") ? 'm' : strcasestr(path, "logs") ? 'l' : '-';
}

static bool ends(const char *s, const char *tail)
{
    size_t n = strcspn(s, "?"), m = strlen(tail);

    return n >= m && strncmp(s + n - m, tail, m) == 0;
}

void exchange_route(struct exchange *e)
{
    e->signal = signal_of(e->path);
    if (strncmp(e->type, "application/grpc", 16) == 0)
        e->proto = strncmp(e->path, "/opentelemetry.proto.collector.", 31) == 0 ? P_OTLP_GRPC : P_NONE;
    else if (strcmp(e->method, "POST") != 0)
        e->proto = P_NONE;
    else if (ends(e->path, "/_bulk"))
        e->proto = P_BULK;
    else if (ends(e->path, "/write"))
        e->proto = strstr(e->type, "io.prometheus.write.v2.Request") ? P_RW2 : P_RW1;
    else if (strstr(e->path, "/v1/") && e->signal != '-')
        e->proto = P_OTLP_HTTP;
}

/* The body as it was before framing and compression. false: it cannot be read. */
static bool unpack(struct exchange *e, struct gw_buf *plain)
{
    struct gw_slice in = gw_buf_slice(&e->in), name = gw_slice_cstr(e->encoding);
    enum gw_codec codec = gw_codec_parse(name);

    if (is_grpc(e)) {
        if (in.n < 5 || in.n - 5 != ((size_t)in.p[1] << 24 | in.p[2] << 16 | in.p[3] << 8 | in.p[4]))
            return false;
        if (!in.p[0])
            codec = GW_IDENTITY;
        in = gw_slice_of(in.p + 5, in.n - 5);
    }
    return gw_decompress(codec, in, plain, NULL) == 0;
}

static void page(struct exchange *e)
{
    e->answer.status = strcmp(e->method, "POST") == 0 ? 404 : 200;
    gw_buf_put_str(&e->answer.headers, "content-type: application/json\r\nx-elastic-product: Elasticsearch\r\n");
    gw_buf_put_str(&e->answer.body, e->answer.status == 404 ? "{}" : g.about);
}

/* The last bytes of the connection. */
static void noise(struct exchange *e)
{
    static const char bytes[] = "\x15\x03\x01 this is no HTTP\r\n\r\n";

    conn_put(e->conn, bytes, sizeof(bytes) - 1);
    e->conn->cut_out = e->conn->n_out + e->conn->out.n - e->conn->out_sent;
}

static void answer(struct exchange *e)
{
    e->answered = true;
    e->answer_at_ns = 0;
    if (e->fault.noise)
        noise(e);
    else if (e->stream)
        h2_answer(e);
    else
        h1_answer(e);
}

void exchange_take(struct exchange *e)
{
    static struct gw_buf plain;

    if (!plain.max_bytes)
        gw_buf_init(&plain, MAX_BODY_BYTES);
    gw_buf_reset(&plain);
    e->complete = true;
    if (e->conn->sink->control) {
        control_answer(e);
    } else if (e->proto == P_NONE) {
        page(e);
    } else if (!unpack(e, &plain) || !records_read(e->proto, e->signal, gw_buf_slice(&plain), &records)) {
        refuse(e, 400, "not a request");
    } else {
        judge(e);
        answer_build(e);
        journal_records(e);
        if (e->fault.kill == KILL_APPLIED)
            kill_gateway("applied", e->number);
        if (e->fault.stall)
            return;
        if (e->fault.delay_ms) {
            e->answer_at_ns = now_ns() + e->fault.delay_ms * 1000000u;
            return;
        }
    }
    answer(e);
}

struct exchange *exchange_new(struct conn *c, int32_t stream)
{
    struct exchange *e = calloc(1, sizeof(*e));

    if (!e)
        die("memory");
    e->conn = c;
    e->stream = stream;
    e->number = ++g.n_exchanges;
    e->next = c->exchanges;
    c->exchanges = e;
    c->sink->n_exchanges++;
    c->sink->n_open++;
    gw_buf_init(&e->in, MAX_BODY_BYTES);
    gw_buf_init(&e->answer.headers, 4096);
    gw_buf_init(&e->answer.body, MAX_BODY_BYTES);
    gw_buf_init(&e->answer.details, 4096);
    if (!c->sink->control)
        fault_pick(c->sink, false, &e->fault);
    else
        fault_init(&e->fault);
    if (!c->fault.on_conn)
        conn_adopt(c, &e->fault);
    return e;
}

void exchange_free(struct exchange *e)
{
    struct exchange **at = &e->conn->exchanges;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    gw_buf_clear(&e->in);
    gw_buf_clear(&e->answer.headers);
    gw_buf_clear(&e->answer.body);
    gw_buf_clear(&e->answer.details);
    free(e);
}
