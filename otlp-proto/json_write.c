/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf bytes into one line of JSON, field by field in the Collector's order whatever the order on the wire.
 * A frame is a message that is being written: first its bytes are walked once, to note where each field stands, then
 * the fields are written. Unknown fields are left out, and so are those whose wire type is not the field's.
 */
#include <stdlib.h>

#include "core/json_writer.h"
#include "otlp-proto/json.h"
#include "otlp-proto/json_fields.h"

struct seen {
    uint32_t at; /* lists and messages: offset of the first piece's tag; others: of the last value */
    uint32_t n;  /* how many; 0 = absent */
};

struct frame {
    const struct gw_json_message *m;
    struct gw_slice wire;
    uint8_t *joined; /* owned: a message that came in several pieces, or NULL */
    uint32_t at;     /* of the list's next element */
    uint32_t left;   /* elements still to write; 0 = not inside of a list */
    uint8_t field;   /* the next one to write; inside of a list: the list */
    bool comma;
    struct seen seen[GW_JSON_MAX_FIELDS];
};

struct writer {
    struct gw_buf *out;
    unsigned n_frames;
    struct frame frames[GW_JSON_MAX_FRAMES];
};

enum wire { VARINT = 0, I64 = 1, LEN = 2, GROUP = 3, END_GROUP = 4, I32 = 5 };

/* ---- wire ------------------------------------------------------------------------------------------------ */

/** Errors: -EBADMSG when cut off or longer than ten bytes. */
static int read_varint(struct gw_slice s, size_t *at, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (*at >= s.n)
            return -EBADMSG;
        uint8_t c = s.p[(*at)++];

        v |= shift < 64 ? (uint64_t)(c & 0x7f) << shift : 0;
        if (!(c & 0x80)) {
            *ret = v;
            return 0;
        }
    }
    return -EBADMSG;
}

static uint64_t load_fixed(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/** Over a value of a wire type other than a group. */
static int skip_value(struct gw_slice s, size_t *at, unsigned wire)
{
    uint64_t n = wire == I64 ? 8 : wire == I32 ? 4 : 0;

    if (wire == VARINT)
        return read_varint(s, at, &n);
    if (wire > I32 || wire == GROUP || wire == END_GROUP || (wire == LEN && read_varint(s, at, &n) < 0))
        return -EBADMSG;
    if (n > s.n - *at)
        return -EBADMSG;
    *at += n;
    return 0;
}

/** Over a group, whatever is inside: nobody makes them any more, but they are legal unknown fields. */
static int skip_group(struct gw_slice s, size_t *at, uint64_t number)
{
    uint64_t open[GW_JSON_MAX_NEST] = {number}, tag;
    unsigned depth = 1;

    while (depth > 0) {
        if (read_varint(s, at, &tag) < 0)
            return -EBADMSG;
        if ((tag & 7) == GROUP) {
            if (depth == GW_JSON_MAX_NEST)
                return -EBADMSG;
            open[depth++] = tag >> 3;
        } else if ((tag & 7) == END_GROUP) {
            if (open[--depth] != tag >> 3)
                return -EBADMSG;
        } else if (skip_value(s, at, tag & 7) < 0) {
            return -EBADMSG;
        }
    }
    return 0;
}

static int skip_any(struct gw_slice s, size_t *at, uint64_t tag)
{
    return (tag & 7) == GROUP ? skip_group(s, at, tag >> 3) : skip_value(s, at, tag & 7);
}

static bool is_varint(enum gw_json_kind k)
{
    return k == GW_JK_BOOL || k == GW_JK_INT32 || k == GW_JK_SINT32 || k == GW_JK_UINT32 || k == GW_JK_INT64 ||
           k == GW_JK_UINT64 || k == GW_JK_ENUM;
}

static unsigned wire_of(const struct gw_json_field *f)
{
    enum gw_json_kind k = (enum gw_json_kind)f->kind;

    if (is_varint(k))
        return VARINT;
    if (k == GW_JK_FIXED32)
        return I32;
    return k == GW_JK_FIXED64 || k == GW_JK_SFIXED64 || k == GW_JK_DOUBLE ? I64 : LEN;
}

static bool is_number_list(const struct gw_json_field *f)
{
    return (f->flags & GW_JF_LIST) && wire_of(f) != LEN;
}

/* ---- where the fields are -------------------------------------------------------------------------------- */

/** By number, or -1; `next` is where to begin looking. */
static int find_field(const struct gw_json_message *m, uint64_t number, unsigned next)
{
    for (unsigned i = 0, k = next; i < m->n_fields; i++, k++) {
        if (k >= m->n_fields)
            k = 0;
        if (m->fields[k].number == number)
            return (int)k;
    }
    return -1;
}

/** How many numbers a run holds. */
static uint32_t count_packed(const struct gw_json_field *f, struct gw_slice run)
{
    uint32_t n = 0;

    if (wire_of(f) == I64)
        return (uint32_t)(run.n / 8);
    for (size_t i = 0; i < run.n; i++)
        n += !(run.p[i] & 0x80);
    return n;
}

static void note(struct frame *f, unsigned index, uint32_t at, uint32_t n, int *oneof)
{
    const struct gw_json_field *field = &f->m->fields[index];
    struct seen *s = &f->seen[index];
    bool in_pieces = field->flags & GW_JF_LIST || field->kind == GW_JK_MESSAGE;

    if (field->flags & GW_JF_ONEOF) {
        if (*oneof >= 0 && *oneof != (int)index)
            f->seen[*oneof].n = 0; /* the last one on the wire counts */
        *oneof = (int)index;
    }
    if (s->n == 0 || !in_pieces)
        s->at = at;
    s->n = in_pieces ? s->n + n : 1;
}

static int index_message(struct frame *f)
{
    size_t at = 0;
    unsigned next = 0;
    int oneof = -1;

    memset(f->seen, 0, f->m->n_fields * sizeof(f->seen[0]));
    while (at < f->wire.n) {
        uint32_t tag_at = (uint32_t)at, n = 1;
        const struct gw_json_field *field;
        uint64_t tag;
        size_t value_at;
        int index;

        if (read_varint(f->wire, &at, &tag) < 0 || tag >> 3 == 0)
            return -EBADMSG;
        index = find_field(f->m, tag >> 3, next);
        value_at = at;
        if (skip_any(f->wire, &at, tag) < 0)
            return -EBADMSG;
        if (index < 0)
            continue;
        field = &f->m->fields[index];
        next = (unsigned)index + 1;
        if ((tag & 7) == LEN && is_number_list(field)) {
            uint64_t len = 0;

            (void)read_varint(f->wire, &value_at, &len);
            n = count_packed(field, gw_slice_of(f->wire.p + value_at, (size_t)len));
        } else if ((tag & 7) != wire_of(field)) {
            continue;
        }
        if (!(field->flags & GW_JF_LIST) && field->kind != GW_JK_MESSAGE)
            tag_at = (uint32_t)value_at;
        if (n)
            note(f, (unsigned)index, tag_at, n, &oneof);
    }
    return 0;
}

/** The next piece of field `number` at or behind *at: its value. False at the end (the bytes are known to be sound). */
static bool next_piece(struct gw_slice s, size_t *at, const struct gw_json_field *f, struct gw_slice *ret,
                       unsigned *ret_wire)
{
    while (*at < s.n) {
        uint64_t tag, n = 0;
        size_t value_at;

        if (read_varint(s, at, &tag) < 0)
            return false;
        value_at = *at;
        if (skip_any(s, at, tag) < 0)
            return false;
        if (tag >> 3 != f->number || ((tag & 7) != wire_of(f) && !((tag & 7) == LEN && is_number_list(f))))
            continue;
        if ((tag & 7) == LEN)
            (void)read_varint(s, &value_at, &n);
        *ret = gw_slice_of(s.p + value_at, *at - value_at);
        *ret_wire = tag & 7;
        return true;
    }
    return false;
}

/* ---- JSON ------------------------------------------------------------------------------------------------ */

static void put_name(struct gw_buf *b, struct frame *f, const struct gw_json_field *field)
{
    if (b->cap - b->n < field->name_n + 4u && gw_buf_reserve(b, field->name_n + 4u) < 0)
        return;
    if (f->comma)
        b->p[b->n++] = ',';
    f->comma = true;
    b->p[b->n++] = '"';
    memcpy(b->p + b->n, field->name, field->name_n);
    b->n += field->name_n;
    b->p[b->n++] = '"';
    b->p[b->n++] = ':';
}

/** 64 bits as a decimal string, as protobuf's JSON mapping wants them. */
static void put_quoted(struct gw_buf *b, bool is_signed, uint64_t v)
{
    gw_buf_put_u8(b, '"');
    if (is_signed)
        gw_json_put_i64(b, (int64_t)v);
    else
        gw_json_put_u64(b, v);
    gw_buf_put_u8(b, '"');
}

static void put_number(struct gw_buf *b, const struct gw_json_field *f, uint64_t v)
{
    double d;

    switch ((enum gw_json_kind)f->kind) {
    case GW_JK_BOOL:
        gw_buf_put_str(b, v ? "true" : "false");
        break;
    case GW_JK_INT32:
    case GW_JK_ENUM:
        gw_json_put_i64(b, (int32_t)v);
        break;
    case GW_JK_SINT32:
        gw_json_put_i64(b, (int32_t)((uint32_t)v >> 1 ^ (0u - ((uint32_t)v & 1))));
        break;
    case GW_JK_UINT32:
    case GW_JK_FIXED32:
        gw_json_put_u64(b, (uint32_t)v);
        break;
    case GW_JK_INT64:
    case GW_JK_SFIXED64:
        put_quoted(b, true, v);
        break;
    case GW_JK_UINT64:
    case GW_JK_FIXED64:
        put_quoted(b, false, v);
        break;
    case GW_JK_DOUBLE:
        memcpy(&d, &v, sizeof(d));
        gw_json_put_double(b, d);
        break;
    case GW_JK_STRING:
    case GW_JK_BYTES:
    case GW_JK_ID:
    case GW_JK_MESSAGE:
        break; /* not numbers */
    }
}

/** Zero in the sense of proto3: a field without presence is left out. */
static bool is_default(const struct gw_json_field *f, uint64_t v)
{
    if (f->flags & GW_JF_PRESENT)
        return false;
    if (f->kind == GW_JK_DOUBLE)
        return v << 1 == 0; /* -0 == 0, as the Collector compares it */
    return is_varint((enum gw_json_kind)f->kind) && f->kind != GW_JK_UINT64 && f->kind != GW_JK_INT64 ? (uint32_t)v == 0
                                                                                                      : v == 0;
}

static void put_bytes(struct gw_buf *b, const struct gw_json_field *f, struct gw_slice s)
{
    if (f->kind == GW_JK_STRING) {
        gw_json_put_string(b, s);
        return;
    }
    gw_buf_put_u8(b, '"');
    if (f->kind == GW_JK_ID)
        gw_put_hex(b, s);
    else
        gw_put_base64(b, s);
    gw_buf_put_u8(b, '"');
}

static bool is_all_zero(struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i])
            return false;
    return true;
}

static uint64_t load_number(struct gw_slice value, unsigned wire)
{
    uint64_t v = 0;
    size_t at = 0;

    if (wire != VARINT)
        return load_fixed(value.p, wire == I64 ? 8 : 4);
    (void)read_varint(value, &at, &v);
    return v;
}

/** A singular field that is no message; its value begins at `at`, and is known to be sound. */
static void write_scalar(struct gw_buf *b, struct frame *f, const struct gw_json_field *field, size_t at)
{
    struct gw_slice value = gw_slice_of(f->wire.p + at, f->wire.n - at);
    unsigned wire = wire_of(field);
    uint64_t v = 0;

    if (wire == LEN) {
        (void)read_varint(f->wire, &at, &v);
        value = gw_slice_of(f->wire.p + at, (size_t)v);
        /* An id of zeros is none. */
        if (!(field->flags & GW_JF_PRESENT) && (value.n == 0 || (field->kind == GW_JK_ID && is_all_zero(value))))
            return;
        put_name(b, f, field);
        put_bytes(b, field, value);
        return;
    }
    v = load_number(value, wire);
    if (is_default(field, v))
        return;
    put_name(b, f, field);
    put_number(b, field, v);
}

static void write_packed(struct gw_buf *b, const struct gw_json_field *field, struct gw_slice run, bool *comma)
{
    unsigned wire = wire_of(field);

    for (size_t at = 0; at + (wire == I64 ? 8 : 1) <= run.n;) {
        uint64_t v;

        if (wire == I64) {
            v = load_fixed(run.p + at, 8);
            at += 8;
        } else if (read_varint(run, &at, &v) < 0) {
            return;
        }
        if (*comma)
            gw_buf_put_u8(b, ',');
        *comma = true;
        put_number(b, field, v);
    }
}

/** Lists of numbers, packed or not, and of strings. */
static void write_scalars(struct gw_buf *b, struct frame *f, const struct gw_json_field *field, size_t at)
{
    struct gw_slice value;
    bool comma = false;
    unsigned wire;

    put_name(b, f, field);
    gw_buf_put_u8(b, '[');
    while (next_piece(f->wire, &at, field, &value, &wire)) {
        if (is_number_list(field) && wire == LEN) {
            write_packed(b, field, value, &comma);
            continue;
        }
        if (comma)
            gw_buf_put_u8(b, ',');
        comma = true;
        if (wire == LEN)
            put_bytes(b, field, value);
        else
            put_number(b, field, load_number(value, wire));
    }
    gw_buf_put_u8(b, ']');
}

/* ---- messages -------------------------------------------------------------------------------------------- */

static int open_message(struct writer *w, const struct gw_json_message *m, struct gw_slice wire, uint8_t *joined)
{
    struct frame *f = &w->frames[w->n_frames];

    if (w->n_frames == GW_JSON_MAX_FRAMES) {
        free(joined);
        return -EBADMSG;
    }
    w->n_frames++;
    f->m = m;
    f->wire = wire;
    f->joined = joined;
    f->at = f->left = f->field = 0;
    f->comma = false;
    gw_buf_put_u8(w->out, '{');
    return index_message(f);
}

/** A singular message that stands several times is all of its pieces, one behind the other. */
static uint8_t *join_pieces(struct frame *f, const struct gw_json_field *field, size_t at, size_t *ret_n)
{
    uint8_t *p = malloc(f->wire.n);
    struct gw_slice piece;
    unsigned wire;

    *ret_n = 0;
    while (p && next_piece(f->wire, &at, field, &piece, &wire)) {
        memcpy(p + *ret_n, piece.p, piece.n);
        *ret_n += piece.n;
    }
    return p;
}

static int write_message(struct writer *w, struct frame *f, const struct gw_json_field *field, const struct seen *s)
{
    size_t at = s->at;
    struct gw_slice wire = {0};
    unsigned type;

    put_name(w->out, f, field);
    if (s->n == 0) {
        gw_buf_put_str(w->out, "{}");
        return 0;
    }
    if (s->n > 1) {
        uint8_t *joined = join_pieces(f, field, at, &wire.n);

        wire.p = joined;
        return joined ? open_message(w, field->message, wire, joined) : -ENOMEM;
    }
    (void)next_piece(f->wire, &at, field, &wire, &type);
    return open_message(w, field->message, wire, /* joined= */ NULL);
}

static int write_field(struct writer *w, struct frame *f, const struct gw_json_field *field, const struct seen *s)
{
    if (field->kind == GW_JK_MESSAGE && !(field->flags & GW_JF_LIST))
        return s->n || field->flags & GW_JF_ALWAYS ? write_message(w, f, field, s) : 0;
    if (s->n == 0)
        return 0;
    if (field->kind == GW_JK_MESSAGE) {
        put_name(w->out, f, field);
        gw_buf_put_u8(w->out, '[');
        f->left = s->n;
        f->at = s->at;
        f->field--; /* stay at the list */
    } else if (field->flags & GW_JF_LIST) {
        write_scalars(w->out, f, field, s->at);
    } else {
        write_scalar(w->out, f, field, s->at);
    }
    return 0;
}

static int write_element(struct writer *w, struct frame *f)
{
    const struct gw_json_field *field = &f->m->fields[f->field];
    struct gw_slice wire;
    size_t at = f->at;
    unsigned type;

    if (f->left < f->seen[f->field].n)
        gw_buf_put_u8(w->out, ',');
    if (!next_piece(f->wire, &at, field, &wire, &type))
        return -EBADMSG;
    f->at = (uint32_t)at;
    f->left--;
    return open_message(w, field->message, wire, /* joined= */ NULL);
}

/** One field, one element or one end. */
static int step(struct writer *w)
{
    struct frame *f = &w->frames[w->n_frames - 1];

    if (f->left)
        return write_element(w, f);
    if (f->field < f->m->n_fields) {
        const struct gw_json_field *field = &f->m->fields[f->field];

        /* Back from the last element of a list? */
        if (field->kind == GW_JK_MESSAGE && field->flags & GW_JF_LIST && f->at > f->seen[f->field].at) {
            gw_buf_put_u8(w->out, ']');
            f->at = 0;
            f->field++;
            return 0;
        }
        f->field++;
        return write_field(w, f, field, &f->seen[f->field - 1]);
    }
    gw_buf_put_u8(w->out, '}');
    free(f->joined);
    w->n_frames--;
    return 0;
}

int gw_proto_to_json(enum gw_signal signal, struct gw_slice body, struct gw_buf *out)
{
    struct writer w; /* frames are set up when they are opened */
    size_t base = out->n;
    int rc;

    if (body.n > UINT32_MAX)
        return -E2BIG;
    w.out = out;
    w.n_frames = 0;
    rc = open_message(&w, gw_json_request(signal), body, /* joined= */ NULL);
    while (rc == 0 && w.n_frames > 0 && !out->failed)
        rc = step(&w);
    while (w.n_frames > 0)
        free(w.frames[--w.n_frames].joined);
    if (rc == 0)
        rc = gw_buf_error(out);
    if (rc < 0)
        out->n = base;
    return rc;
}
