/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records out of requests, read by a walk over the wire format that shares nothing with the gateway's own decoder.
 *
 * A record has an id in an attribute (a label, a field), and proves its content by itself: a text that begins with the
 * id and ends with the hash of what is before it, or a number that follows from the id.
 */
#include <ctype.h>
#include <string.h>

#include "core/hash.h"
#include "sink.h"

/* ---- protobuf ---------------------------------------------------------------------------------------------- */

struct field {
    unsigned number, type;
    uint64_t value;
    struct gw_slice bytes;
};

static bool varint(struct gw_slice *s, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; s->n && shift < 64; shift += 7) {
        uint8_t c = *s->p++;

        s->n--;
        *ret |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            return true;
    }
    return false;
}

/* 1: *ret is the next field; 0: the end; -1: no protobuf. */
static int next_field(struct gw_slice *s, struct field *ret)
{
    uint64_t tag, n = 0;

    if (s->n == 0)
        return 0;
    if (!varint(s, &tag))
        return -1;
    ret->number = (unsigned)(tag >> 3);
    ret->type = tag & 7;
    ret->value = 0;
    if (ret->type == 0)
        return varint(s, &ret->value) ? 1 : -1;
    if (ret->type == 1)
        n = 8;
    else if (ret->type == 5)
        n = 4;
    else if (ret->type != 2 || !varint(s, &n))
        return -1;
    if (n > s->n)
        return -1;
    ret->bytes = gw_slice_of(s->p, (size_t)n);
    if (ret->type != 2)
        memcpy(&ret->value, s->p, (size_t)n);
    s->p += n;
    s->n -= (size_t)n;
    return 1;
}

/* ---- what a record proves ----------------------------------------------------------------------------------- */

static char text_intact(struct gw_slice id, struct gw_slice text)
{
    char sum[17];

    if (text.n < 18 || text.p[text.n - 17] != ' ')
        return '?';
    for (size_t i = text.n - 16; i < text.n; i++)
        if (!isxdigit(text.p[i]))
            return '?';
    snprintf(sum, sizeof(sum), "%016llx", (unsigned long long)gw_hash_stable(gw_slice_of(text.p, text.n - 17)));
    return memcmp(sum, text.p + text.n - 16, 16) == 0 && text.n > id.n && memcmp(text.p, id.p, id.n) == 0 ? 'i' : '!';
}

/* The sender's values: 52 bits, so that a double holds them exactly. */
static double value_of(uint64_t id)
{
    return (double)((id * 0x9e3779b97f4a7c15u) >> 12);
}

static char value_intact(uint64_t number, double v)
{
    return v == value_of(number) ? 'i' : '!';
}

static struct record *add(struct records *r, struct gw_slice id, uint64_t hash)
{
    struct record *x;
    uint64_t n = 0;
    bool digits = id.n > 0 && id.n < 20;

    for (size_t i = 0; i < id.n && digits; i++) {
        digits = isdigit(id.p[i]);
        n = n * 10 + (uint64_t)(id.p[i] - '0');
    }
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 256;
        r->p = realloc(r->p, r->cap * sizeof(*r->p));
        if (!r->p)
            die("memory");
    }
    x = &r->p[r->n++];
    *x = (struct record){.id = id, .number = digits ? n : gw_hash_stable(id), .hash = hash, .intact = '?'};
    return x;
}

/* ---- OTLP --------------------------------------------------------------------------------------------------- */

/* Where things stand in a record of each kind. */
struct shape {
    unsigned attributes, text, dbl;
};

static bool attribute(struct gw_slice kv, struct gw_slice *ret_id)
{
    struct gw_slice key = {0}, value = {0};
    struct field f;
    int rc;

    while ((rc = next_field(&kv, &f)) > 0) {
        if (f.number == 1 && f.type == 2)
            key = f.bytes;
        if (f.number == 2 && f.type == 2)
            value = f.bytes;
    }
    if (rc == 0 && gw_slice_is(key, g.id_name) && next_field(&value, &f) > 0 && f.number == 1 && f.type == 2)
        *ret_id = f.bytes;
    return rc == 0;
}

static bool otlp_record(const struct shape *at, struct gw_slice m, struct records *ret)
{
    struct gw_slice id = {0}, text = {0}, all = m;
    struct field f, in;
    struct record *x;
    double v = 0;
    bool number = false;
    int rc;

    while ((rc = next_field(&m, &f)) > 0) {
        if (f.number == at->attributes && f.type == 2 && !attribute(f.bytes, &id))
            return false;
        if (at->text && f.number == at->text && f.type == 2)
            text = f.bytes;
        if (at->dbl && f.number == at->dbl && f.type == 1) {
            memcpy(&v, &f.value, 8);
            number = true;
        }
    }
    if (rc < 0)
        return false;
    if (at->attributes == 6 && text.n && next_field(&text, &in) > 0) /* a log's body is an AnyValue */
        text = in.type == 2 ? in.bytes : (struct gw_slice){0};
    x = add(ret, id, gw_hash_stable(all));
    x->intact = number ? value_intact(x->number, v) : text_intact(id, text);
    return true;
}

static bool metric(struct gw_slice m, struct records *ret)
{
    static const struct shape points[] = {
        [5] = {7, 0, 4}, [7] = {7, 0, 4}, [9] = {9, 0, 0}, [10] = {1, 0, 0}, [11] = {7, 0, 0}};
    struct field f, p;
    int rc, in = 0;

    while ((rc = next_field(&m, &f)) > 0) {
        if (f.type != 2 || f.number > 11 || !points[f.number].attributes)
            continue;
        while ((in = next_field(&f.bytes, &p)) > 0)
            if (p.number == 1 && p.type == 2 && !otlp_record(&points[f.number], p.bytes, ret))
                return false;
        if (in < 0)
            return false;
    }
    return rc == 0;
}

/* Export…Request: resource_x (1) > scope_x (2) > x (2). */
static bool otlp(char signal, struct gw_slice m, unsigned depth, struct records *ret)
{
    static const struct shape log = {6, 5, 0}, span = {9, 5, 0};
    struct field f;
    int rc;

    while ((rc = next_field(&m, &f)) > 0) {
        bool ok = true;

        if (f.type != 2 || f.number != (depth == 0 ? 1 : 2))
            continue;
        if (depth < 2)
            ok = otlp(signal, f.bytes, depth + 1, ret);
        else if (signal == 'm')
            ok = metric(f.bytes, ret);
        else
            ok = otlp_record(signal == 'l' ? &log : &span, f.bytes, ret);
        if (!ok)
            return false;
    }
    return rc == 0;
}

/* ---- remote write ------------------------------------------------------------------------------------------- */

static bool sample(struct gw_slice m, struct gw_slice id, struct records *ret)
{
    struct gw_slice all = m;
    struct record *x;
    struct field f;
    double v = 0;
    bool number = false;
    int rc;

    while ((rc = next_field(&m, &f)) > 0)
        if (f.number == 1 && f.type == 1) {
            memcpy(&v, &f.value, 8);
            number = true;
        }
    x = add(ret, id, gw_hash_stable(all));
    if (number && id.n)
        x->intact = value_intact(x->number, v);
    return rc == 0;
}

static bool label_v1(struct gw_slice m, struct gw_slice *ret_id)
{
    struct gw_slice name = {0}, value = {0};
    struct field f;
    int rc;

    while ((rc = next_field(&m, &f)) > 0) {
        if (f.number == 1)
            name = f.bytes;
        if (f.number == 2)
            value = f.bytes;
    }
    if (gw_slice_is(name, g.label_name))
        *ret_id = value;
    return rc == 0;
}

static bool labels_v2(struct gw_slice refs, const struct gw_slice *symbols, size_t n, struct gw_slice *ret_id)
{
    uint64_t name, value;

    while (refs.n) {
        if (!varint(&refs, &name) || !varint(&refs, &value) || name >= n || value >= n)
            return false;
        if (gw_slice_is(symbols[name], g.label_name))
            *ret_id = symbols[value];
    }
    return true;
}

/* TimeSeries: labels (1), samples (2); histograms are 4 in 1.0 and 3 in 2.0. */
static bool series(struct gw_slice m, const struct gw_slice *symbols, size_t n, struct records *ret)
{
    struct gw_slice id = {0}, again = m;
    struct field f;
    int rc;

    while ((rc = next_field(&m, &f)) > 0)
        if (f.number == 1 && f.type == 2 && !(symbols ? labels_v2(f.bytes, symbols, n, &id) : label_v1(f.bytes, &id)))
            return false;
    if (rc < 0)
        return false;
    while (next_field(&again, &f) > 0) {
        bool histogram = f.number == (symbols ? 3u : 4u);

        if (f.type == 2 && f.number == (symbols ? 4u : 3u))
            ret->n_exemplars++;
        if (f.type != 2 || (f.number != 2 && !histogram))
            continue;
        if (!sample(f.bytes, id, ret))
            return false;
        ret->p[ret->n - 1].histogram = histogram;
    }
    return true;
}

static bool remote_write(bool v2, struct gw_slice m, struct records *ret)
{
    struct gw_slice again = m, *symbols = NULL;
    size_t n = 0, cap = 0;
    struct field f;
    bool ok = true;
    int rc;

    while (v2 && next_field(&again, &f) > 0) {
        if (f.number != 4 || f.type != 2)
            continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            symbols = realloc(symbols, cap * sizeof(*symbols));
            if (!symbols)
                die("memory");
        }
        symbols[n++] = f.bytes;
    }
    ok = !v2 || n > 0;
    while (ok && (rc = next_field(&m, &f)) != 0)
        ok = rc > 0 && (f.number != (v2 ? 5u : 1u) || f.type != 2 || series(f.bytes, symbols, n, ret));
    free(symbols);
    return ok;
}

/* ---- _bulk -------------------------------------------------------------------------------------------------- */

/* The text behind "name":" in a line of JSON that was written without spaces, as all of them are. */
static struct gw_slice json_text(struct gw_slice line, const char *name)
{
    char pattern[80];
    size_t n = (size_t)snprintf(pattern, sizeof(pattern), "\"%s\":\"", name);
    const uint8_t *at = memmem(line.p, line.n, pattern, n), *end;

    if (!at)
        return (struct gw_slice){0};
    at += n;
    end = memchr(at, '"', (size_t)(line.p + line.n - at));
    return end ? gw_slice_of(at, (size_t)(end - at)) : (struct gw_slice){0};
}

static struct gw_slice line_of(struct gw_slice *body)
{
    const uint8_t *end = memchr(body->p, '\n', body->n);
    struct gw_slice line = {0};

    if (end) {
        line = gw_slice_of(body->p, (size_t)(end - body->p));
        body->n -= line.n + 1;
        body->p = end + 1;
    } else {
        body->n = 0;
    }
    return line;
}

static uint64_t document_key(struct gw_slice action)
{
    struct gw_slice index = json_text(action, "_index"), id = json_text(action, "_id");

    return id.n ? gw_hash_stable(id) * 31 + gw_hash_stable(index) : 0;
}

static bool bulk(struct gw_slice body, struct records *ret)
{
    while (body.n) {
        struct gw_slice action = line_of(&body), source = line_of(&body), text;
        struct record *x;

        if (action.n < 4 || source.n < 2 || action.p[0] != '{' || source.p[source.n - 1] != '}')
            return false;
        x = add(ret, json_text(source, g.id_name), gw_hash_stable(source));
        text = json_text(source, "text");
        if (!text.n)
            text = json_text(source, "message");
        x->intact = text_intact(x->id, text);
        x->key = document_key(action);
        x->create = strncmp((const char *)action.p, "{\"create\"", 9) == 0;
    }
    return true;
}

bool records_read(enum proto proto, char signal, struct gw_slice body, struct records *ret)
{
    ret->n = ret->n_exemplars = 0;
    switch (proto) {
    case P_OTLP_HTTP:
    case P_OTLP_GRPC:
        return otlp(signal, body, 0, ret);
    case P_RW1:
    case P_RW2:
        return remote_write(proto == P_RW2, body, ret);
    case P_BULK:
        return bulk(body, ret);
    case P_NONE:
        break;
    }
    return false;
}
