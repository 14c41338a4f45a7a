/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON into protobuf bytes, one pass, no tree. A frame is a message that is open; its length is filled in when it ends.
 *
 *   text   {"resourceSpans":[{"resource":{…},"scopeSpans":[…]}]}
 *   out    0a [len] 0a [len] …            [len]: room for a usual length; moved up or down when the guess was wrong
 *
 * What protobuf would do otherwise than JSON readers do:
 *   a key that stands twice   the last one counts, whole (protobuf would join messages); lists are joined
 *   "value" before "key"      the key is moved to the front, as every decoder of attributes expects it
 *   null                      as if the key were not there; in a list of messages an empty one, elsewhere refused
 * Moving costs: bytes inside of four or more AnyValues are moved only while there are few of them, so that deep nesting
 * does not cost more than its length; beyond, lengths are padded and duplicates stay (both legal protobuf).
 */
#include "otlp-proto/json.h"
#include "otlp-proto/json_fields.h"
#include "otlp-proto/json_text.h"

enum {
    ONEOF_SLOT = GW_JSON_MAX_FIELDS,
    N_SLOTS = ONEOF_SLOT + 1,
    TIDY_NEST = 4,          /* inside of fewer values than that everything is tidied */
    TIDY_BYTES = 16 * 1024, /* … and deeper only what is shorter */
    PADDED_BYTES = 5,
    MAX_TEXT_BYTES = 1 << 29, /* a text becomes at most four times as long ("0," is 8 bytes); offsets have 32 bits */
};

struct frame {
    const struct gw_json_message *m;
    const struct gw_json_field *list; /* whose elements are being read, or NULL: keys are */
    uint32_t length_at;               /* in out, where the length stands */
    uint8_t length_bytes;             /* its room; 0 for the request itself */
    uint8_t next;                     /* the field that is likely to come */
    uint8_t nest;                     /* AnyValues that are open, this one included */
    bool started;                     /* a comma is due */
    uint32_t at[N_SLOTS];             /* in out, offset + 1 of a singular field's tag; 0 = not seen */
};

struct reader {
    struct gw_json_text t;
    struct gw_buf *out;
    uint32_t max_depth, max_rows, rows;
    int no_room; /* what growing `out` failed with */
    unsigned n_frames;
    struct frame frames[GW_JSON_MAX_FRAMES];
};

enum wire { VARINT = 0, I64 = 1, LEN = 2, I32 = 5 };

static enum wire wire_of(const struct gw_json_field *f)
{
    static const uint8_t wires[] = {
        [GW_JK_STRING] = LEN,    [GW_JK_BYTES] = LEN,     [GW_JK_ID] = LEN,        [GW_JK_BOOL] = VARINT,
        [GW_JK_INT32] = VARINT,  [GW_JK_SINT32] = VARINT, [GW_JK_UINT32] = VARINT, [GW_JK_INT64] = VARINT,
        [GW_JK_UINT64] = VARINT, [GW_JK_FIXED32] = I32,   [GW_JK_FIXED64] = I64,   [GW_JK_SFIXED64] = I64,
        [GW_JK_DOUBLE] = I64,    [GW_JK_ENUM] = VARINT,   [GW_JK_MESSAGE] = LEN,
    };

    return (enum wire)wires[f->kind];
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static int room(struct reader *r, size_t n)
{
    return n <= r->out->cap - r->out->n ? 0 : (r->no_room = gw_buf_reserve(r->out, n));
}

/* The put_ functions need room() before them. */
static void put_varint(struct gw_buf *b, uint64_t v)
{
    while (v >= 0x80) {
        b->p[b->n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    b->p[b->n++] = (uint8_t)v;
}

static void put_tag(struct gw_buf *b, const struct gw_json_field *f, enum wire w)
{
    put_varint(b, (uint64_t)f->number << 3 | w);
}

static void put_fixed(struct gw_buf *b, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        b->p[b->n++] = (uint8_t)(v >> 8 * i);
}

static unsigned varint_bytes(uint64_t v)
{
    return (unsigned)(70 - __builtin_clzll(v | 1)) / 7;
}

/** A varint of exactly n bytes. */
static void store_padded(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i + 1 < n; i++, v >>= 7)
        p[i] = (uint8_t)(v | 0x80);
    p[n - 1] = (uint8_t)v;
}

/** The length at `at` has `have` bytes of room and everything behind it is the content: fill it in. */
static int fill_length(struct reader *r, size_t at, unsigned have, bool tidy)
{
    struct gw_buf *b = r->out;
    size_t n = b->n - at - have;
    unsigned need = varint_bytes(n);

    if (need > have && room(r, need - have) < 0)
        return -E2BIG;
    if (need > have || (need < have && tidy)) {
        memmove(b->p + at + need, b->p + at + have, n);
        b->n = b->n - have + need;
        have = need;
    }
    store_padded(b->p + at, n, have);
    return 0;
}

/* ---- singular fields: the last one counts ---------------------------------------------------------------- */

static unsigned slot_of(const struct frame *f, const struct gw_json_field *field)
{
    return field->flags & GW_JF_ONEOF ? ONEOF_SLOT : (unsigned)(field - f->m->fields);
}

static size_t skip_varint(const uint8_t *p, size_t at)
{
    while (p[at] & 0x80)
        at++;
    return at + 1;
}

static uint64_t load_varint(const uint8_t *p, size_t at)
{
    uint64_t v = 0;

    for (unsigned shift = 0;; shift += 7, at++) {
        v |= (uint64_t)(p[at] & 0x7f) << shift;
        if (!(p[at] & 0x80))
            return v;
    }
}

/** End of the field that we wrote at `at`. */
static size_t field_end(const uint8_t *p, size_t at)
{
    enum wire w = (enum wire)(p[at] & 7);

    at = skip_varint(p, at);
    if (w == LEN)
        return skip_varint(p, at) + load_varint(p, at);
    return w == VARINT ? skip_varint(p, at) : at + (w == I64 ? 8 : 4);
}

static bool is_tidied(const struct reader *r, const struct frame *f, size_t from)
{
    return f->nest < TIDY_NEST || r->out->n - from <= TIDY_BYTES;
}

/**
 * Before a singular field is written: take out what stood under its key (or in its oneof). Returns true when the old
 * one had to stay, so that the new one must be written even if it is zero.
 */
static bool forget(struct reader *r, struct frame *f, const struct gw_json_field *field)
{
    unsigned slot = slot_of(f, field);
    struct gw_buf *b = r->out;
    size_t from, to;

    if (!f->at[slot])
        return false;
    from = f->at[slot] - 1;
    to = field_end(b->p, from);
    /* Messages cannot stay: protobuf would join them. What follows one is a key at most. */
    if (field->kind != GW_JK_MESSAGE && !(field->flags & GW_JF_ONEOF) && !is_tidied(r, f, from))
        return true;
    memmove(b->p + from, b->p + to, b->n - to);
    b->n -= to - from;
    f->at[slot] = 0;
    for (unsigned i = 0; i < N_SLOTS; i++)
        if (f->at[i] > from + 1)
            f->at[i] -= (uint32_t)(to - from);
    return false;
}

static void reverse(uint8_t *p, size_t n)
{
    for (size_t i = 0, k = n; i + 1 < k; i++) {
        uint8_t c = p[i];

        p[i] = p[--k];
        p[k] = c;
    }
}

/** A KeyValue whose key came late: bring it to the front, by three reversals. */
static void bring_key_forward(struct reader *r, const struct frame *f)
{
    size_t first = f->length_at + f->length_bytes, at = f->at[0] - 1, end;
    uint8_t *p = r->out->p;

    if (!f->at[0] || at == first || !is_tidied(r, f, first))
        return;
    end = field_end(p, at);
    reverse(p + first, at - first);
    reverse(p + at, end - at);
    reverse(p + first, end - first);
}

/* ---- messages -------------------------------------------------------------------------------------------- */

static int count_row(struct reader *r)
{
    if (r->rows++ < r->max_rows)
        return 0;
    return gw_fail(r->t.err, -E2BIG, "more than %u records in one request", r->max_rows);
}

static int open_message(struct reader *r, struct frame *f, const struct gw_json_field *field)
{
    struct frame *g = &r->frames[r->n_frames];
    unsigned nest = f->nest + (field->message == &gw_json_any_value);

    if (nest > r->max_depth || r->n_frames == GW_JSON_MAX_FRAMES)
        return gw_json_wrong(&r->t, r->t.p, "values nested deeper than %u", r->max_depth);
    if ((field->flags & GW_JF_ROW) && count_row(r) < 0)
        return -E2BIG;
    if (!(field->flags & GW_JF_LIST))
        (void)forget(r, f, field);
    if (room(r, 16) < 0)
        return -E2BIG;
    if (!(field->flags & GW_JF_LIST))
        f->at[slot_of(f, field)] = (uint32_t)r->out->n + 1;
    put_tag(r->out, field, LEN);
    *g = (struct frame){
        .m = field->message,
        .length_at = (uint32_t)r->out->n,
        .length_bytes = nest < TIDY_NEST ? field->message->length_bytes : PADDED_BYTES,
        .nest = (uint8_t)nest,
    };
    r->out->n += g->length_bytes;
    r->n_frames++;
    return 0;
}

static int close_message(struct reader *r)
{
    struct frame *f = &r->frames[--r->n_frames];

    if (f->length_bytes == 0)
        return 0;
    if (f->m == &gw_json_key_value)
        bring_key_forward(r, f);
    return fill_length(r, f->length_at, f->length_bytes, is_tidied(r, f, f->length_at));
}

/* ---- scalars --------------------------------------------------------------------------------------------- */

static int wrong_type(struct reader *r, const struct gw_json_field *field, const char *expected)
{
    if (r->t.p >= r->t.end)
        return gw_json_wrong(&r->t, r->t.p, "the text ends early");
    return gw_json_wrong(&r->t, r->t.p, "%s: expected %s", field->name, expected);
}

/** A number, bare or in quotes. Returns 1 and the string when it is a string that is no number. */
static int read_number(struct reader *r, const struct gw_json_field *field, struct gw_json_number *ret,
                       struct gw_slice *ret_word)
{
    uint8_t c = gw_json_peek(&r->t);
    struct gw_json_string s;
    int rc;

    if (c == '-' || (c >= '0' && c <= '9'))
        return gw_json_read_number(&r->t, ret);
    if (c != '"')
        return wrong_type(r, field, "a number");
    rc = gw_json_read_string(&r->t, &s);
    if (rc < 0 || gw_json_parse_number(s.raw, ret))
        return rc;
    *ret_word = s.raw;
    return 1;
}

static bool find_enum(const struct gw_json_enum *e, struct gw_slice word, uint64_t *ret)
{
    size_t n = strlen(e->prefix);

    if (word.n < n || memcmp(word.p, e->prefix, n) != 0)
        return false;
    for (uint64_t i = 0; e->names[i]; i++) {
        if (gw_slice_is(gw_slice_of(word.p + n, word.n - n), e->names[i])) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/** Is ±magnitude a value of that kind? Gives its 64-bit two's complement. */
static bool in_range(enum gw_json_kind kind, bool negative, uint64_t magnitude, uint64_t *ret)
{
    static const uint64_t highest[] = {
        [GW_JK_INT32] = INT32_MAX,    [GW_JK_SINT32] = INT32_MAX,   [GW_JK_ENUM] = INT32_MAX,
        [GW_JK_UINT32] = UINT32_MAX,  [GW_JK_FIXED32] = UINT32_MAX, [GW_JK_INT64] = INT64_MAX,
        [GW_JK_SFIXED64] = INT64_MAX, [GW_JK_UINT64] = UINT64_MAX,  [GW_JK_FIXED64] = UINT64_MAX,
    };
    bool is_signed = highest[kind] == INT32_MAX || highest[kind] == INT64_MAX;

    if (magnitude > highest[kind] + (negative && is_signed) || (negative && magnitude && !is_signed))
        return false;
    *ret = negative ? 0 - magnitude : magnitude;
    return true;
}

/** How much of a text is shown in a message: 40 bytes, whole characters. */
static int shown(struct gw_slice s)
{
    size_t n = s.n < 40 ? s.n : 40;

    while (n < s.n && n > 0 && (s.p[n] & 0xc0) == 0x80)
        n--;
    return (int)n;
}

/** Kinds that are whole numbers. */
static int read_integer(struct reader *r, const struct gw_json_field *field, uint64_t *ret)
{
    const uint8_t *at = r->t.p;
    struct gw_slice word = {0};
    struct gw_json_number n;
    uint64_t magnitude;
    int rc = read_number(r, field, &n, &word);

    if (rc < 0)
        return rc;
    if (rc > 0) {
        if (field->kind == GW_JK_ENUM && find_enum(field->names, word, ret))
            return 0;
        return gw_json_wrong(&r->t, at, "%s: \"%.*s\" is not %s", field->name, shown(word), (const char *)word.p,
                             field->kind == GW_JK_ENUM ? "one of its values" : "a number");
    }
    if (!gw_json_number_to_u64(&n, &magnitude) || !in_range((enum gw_json_kind)field->kind, n.negative, magnitude, ret))
        return gw_json_wrong(&r->t, at, "%s: %.*s is not a whole number in its range", field->name, shown(n.text),
                             (const char *)n.text.p);
    return 0;
}

/** What strconv.ParseFloat takes as words: NaN, Inf and Infinity in any case, with or without a sign. */
static bool word_to_double(struct gw_slice w, double *ret)
{
    bool negative = w.n && w.p[0] == '-';

    if (w.n && (w.p[0] == '-' || w.p[0] == '+')) {
        w.p++;
        w.n--;
    } else if (w.n == 3 && strncasecmp((const char *)w.p, "nan", 3) == 0) {
        *ret = __builtin_nan("");
        return true;
    }
    if (!(w.n == 3 && strncasecmp((const char *)w.p, "inf", 3) == 0) &&
        !(w.n == 8 && strncasecmp((const char *)w.p, "infinity", 8) == 0))
        return false;
    *ret = negative ? -__builtin_inf() : __builtin_inf();
    return true;
}

static int read_double(struct reader *r, const struct gw_json_field *field, uint64_t *ret)
{
    const uint8_t *at = r->t.p;
    struct gw_slice word = {0};
    struct gw_json_number n;
    double v = 0;
    int rc = read_number(r, field, &n, &word);

    if (rc < 0)
        return rc;
    if (rc > 0 ? !word_to_double(word, &v) : !gw_json_number_to_double(&n, &v))
        return gw_json_wrong(&r->t, at, "%s: not a number that a double can hold", field->name);
    memcpy(ret, &v, sizeof(v));
    return 0;
}

static int read_bits(struct reader *r, const struct gw_json_field *field, uint64_t *ret)
{
    if (field->kind == GW_JK_DOUBLE)
        return read_double(r, field, ret);
    if (field->kind != GW_JK_BOOL)
        return read_integer(r, field, ret);
    if (gw_json_word(&r->t, "true"))
        *ret = 1;
    else if (gw_json_word(&r->t, "false"))
        *ret = 0;
    else
        return wrong_type(r, field, "true or false");
    return 0;
}

static void put_bits(struct gw_buf *b, const struct gw_json_field *field, uint64_t v)
{
    enum wire w = wire_of(field);

    if (field->kind == GW_JK_SINT32) /* zigzag */
        v = (uint32_t)v << 1 ^ (uint32_t)((int32_t)v >> 31);
    if (w == VARINT)
        put_varint(b, v);
    else
        put_fixed(b, v, w == I64 ? 8 : 4);
}

static int read_scalar(struct reader *r, struct frame *f, const struct gw_json_field *field)
{
    uint64_t v = 0;
    int rc = read_bits(r, field, &v);
    bool stays;

    if (rc < 0)
        return rc;
    stays = forget(r, f, field);
    if (v == 0 && !(field->flags & GW_JF_PRESENT) && !stays)
        return 0;
    if (room(r, 16) < 0)
        return -E2BIG;
    f->at[slot_of(f, field)] = (uint32_t)r->out->n + 1;
    put_tag(r->out, field, wire_of(field));
    put_bits(r->out, field, v);
    return 0;
}

static int read_numbers(struct reader *r, const struct gw_json_field *field)
{
    size_t tag_at = r->out->n, at;
    uint64_t v;
    int rc;

    if (room(r, 16) < 0)
        return -E2BIG;
    put_tag(r->out, field, LEN);
    at = r->out->n;
    r->out->n += 2;
    do {
        r->t.p++; /* over '[' or ',' */
        gw_json_skip_space(&r->t);
        if (r->out->n == at + 2 && gw_json_peek(&r->t) == ']')
            break;
        rc = read_bits(r, field, &v);
        if (rc < 0)
            return rc;
        if (room(r, 16) < 0)
            return -E2BIG;
        put_bits(r->out, field, v);
        gw_json_skip_space(&r->t);
    } while (gw_json_peek(&r->t) == ',');
    if (gw_json_peek(&r->t) != ']')
        return wrong_type(r, field, "',' or ']'");
    r->t.p++;
    if (r->out->n == at + 2) {
        r->out->n = tag_at; /* an empty list */
        return 0;
    }
    return fill_length(r, at, 2, true);
}

/* ---- strings --------------------------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/** In place. Errors: -1 when it is no hexadecimal. */
static int from_hex(uint8_t *p, size_t *n)
{
    if (*n % 2)
        return -1;
    for (size_t i = 0; i < *n; i += 2) {
        int high = hex_digit(p[i]), low = hex_digit(p[i + 1]);

        if (high < 0 || low < 0)
            return -1;
        p[i / 2] = (uint8_t)(high << 4 | low);
    }
    *n /= 2;
    return 0;
}

/** Write a string's bytes as field: tag, length, content. May write nothing. */
static int put_string(struct reader *r, const struct gw_json_field *field, const struct gw_json_string *s,
                      const uint8_t *text_at)
{
    struct gw_buf *b = r->out;
    unsigned have = varint_bytes(s->raw.n);
    size_t n, at;
    uint8_t *content;

    if (room(r, s->raw.n + 16) < 0)
        return -E2BIG;
    put_tag(b, field, LEN);
    if (field->kind == GW_JK_STRING && !s->escaped) { /* nearly all of them */
        put_varint(b, s->raw.n);
        memcpy(b->p + b->n, s->raw.p, s->raw.n);
        b->n += s->raw.n;
        return 0;
    }
    at = b->n;
    content = b->p + at + have;
    if (gw_json_unescape(&r->t, s, content, &n) < 0)
        return -EBADMSG;
    if (field->kind == GW_JK_ID && from_hex(content, &n) < 0)
        return gw_json_wrong(&r->t, text_at, "%s: not hexadecimal", field->name);
    if (field->kind == GW_JK_BYTES && gw_json_from_base64(content, &n) < 0)
        return gw_json_wrong(&r->t, text_at, "%s: not base64", field->name);
    b->n = at + have + n;
    return fill_length(r, at, have, true);
}

static int read_string(struct reader *r, struct frame *f, const struct gw_json_field *field)
{
    const uint8_t *text_at = r->t.p;
    struct gw_json_string s;
    bool stays;
    int rc;

    if (gw_json_peek(&r->t) != '"')
        return wrong_type(r, field, "a string");
    rc = gw_json_read_string(&r->t, &s);
    if (rc < 0)
        return rc;
    if (field->flags & GW_JF_LIST)
        return put_string(r, field, &s, text_at);
    stays = forget(r, f, field);
    if (s.raw.n == 0 && !(field->flags & GW_JF_PRESENT) && !stays)
        return 0;
    f->at[slot_of(f, field)] = (uint32_t)r->out->n + 1;
    return put_string(r, field, &s, text_at);
}

static int read_strings(struct reader *r, struct frame *f, const struct gw_json_field *field)
{
    bool first = true;
    int rc;

    do {
        r->t.p++; /* over '[' or ',' */
        gw_json_skip_space(&r->t);
        if (first && gw_json_peek(&r->t) == ']')
            break;
        first = false;
        rc = read_string(r, f, field);
        if (rc < 0)
            return rc;
        gw_json_skip_space(&r->t);
    } while (gw_json_peek(&r->t) == ',');
    if (gw_json_peek(&r->t) != ']')
        return wrong_type(r, field, "',' or ']'");
    r->t.p++;
    return 0;
}

/* ---- structure ------------------------------------------------------------------------------------------- */

static bool has_name(const struct gw_json_field *f, struct gw_slice key)
{
    if (key.n == 0 || f->name[0] != key.p[0])
        return false; /* both spellings begin alike */
    return (f->name_n == key.n && memcmp(f->name, key.p, key.n) == 0) ||
           (f->snake_n == key.n && memcmp(f->snake, key.p, key.n) == 0);
}

static const struct gw_json_field *find_field(struct frame *f, struct gw_slice key)
{
    for (unsigned i = 0, k = f->next; i < f->m->n_fields; i++, k++) {
        if (k >= f->m->n_fields)
            k = 0;
        if (has_name(&f->m->fields[k], key)) {
            f->next = (uint8_t)(k + 1);
            return &f->m->fields[k];
        }
    }
    return NULL;
}

/** Key and colon. *ret is NULL for a key that OTLP does not have. */
static int read_key(struct reader *r, struct frame *f, const struct gw_json_field **ret)
{
    struct gw_json_string s;
    uint8_t plain[256];
    int rc;

    if (gw_json_peek(&r->t) != '"')
        return gw_json_wrong(&r->t, r->t.p, "expected a key in quotes");
    rc = gw_json_read_string(&r->t, &s);
    if (rc < 0)
        return rc;
    *ret = NULL;
    if (!s.escaped) {
        *ret = find_field(f, s.raw);
    } else if (s.raw.n <= sizeof(plain)) { /* 6 bytes a character at most: no name of ours is longer */
        struct gw_slice key = {.p = plain};

        if (gw_json_unescape(&r->t, &s, plain, &key.n) < 0)
            return -EBADMSG;
        *ret = find_field(f, key);
    }
    gw_json_skip_space(&r->t);
    if (gw_json_peek(&r->t) != ':')
        return gw_json_wrong(&r->t, r->t.p, "expected ':' behind the key");
    r->t.p++;
    gw_json_skip_space(&r->t);
    return 0;
}

static int read_list(struct reader *r, struct frame *f, const struct gw_json_field *field)
{
    if (gw_json_peek(&r->t) != '[')
        return wrong_type(r, field, "a list");
    if (field->kind == GW_JK_STRING)
        return read_strings(r, f, field);
    if (field->kind != GW_JK_MESSAGE)
        return read_numbers(r, field);
    r->t.p++;
    f->list = field;
    f->started = false;
    return 0;
}

static int read_value(struct reader *r, struct frame *f, const struct gw_json_field *field)
{
    if (gw_json_peek(&r->t) == 'n' && gw_json_word(&r->t, "null"))
        return 0;
    if (!field)
        return gw_json_skip_value(&r->t);
    if (field->flags & GW_JF_LIST)
        return read_list(r, f, field);
    switch ((enum gw_json_kind)field->kind) {
    case GW_JK_STRING:
    case GW_JK_BYTES:
    case GW_JK_ID:
        return read_string(r, f, field);
    case GW_JK_MESSAGE:
        if (gw_json_peek(&r->t) != '{')
            return wrong_type(r, field, "an object");
        r->t.p++;
        return open_message(r, f, field);
    case GW_JK_BOOL:
    case GW_JK_INT32:
    case GW_JK_SINT32:
    case GW_JK_UINT32:
    case GW_JK_INT64:
    case GW_JK_UINT64:
    case GW_JK_FIXED32:
    case GW_JK_FIXED64:
    case GW_JK_SFIXED64:
    case GW_JK_DOUBLE:
    case GW_JK_ENUM:
        break;
    }
    return read_scalar(r, f, field);
}

/** Between two members or elements. Returns 1 when `close` ended them, 0 when one follows. */
static int next_or_end(struct reader *r, struct frame *f, char close)
{
    gw_json_skip_space(&r->t);
    if (gw_json_peek(&r->t) == (uint8_t)close) {
        r->t.p++;
        return 1;
    }
    if (f->started) {
        if (gw_json_peek(&r->t) != ',')
            return r->t.p < r->t.end ? gw_json_wrong(&r->t, r->t.p, "expected ',' or '%c'", close)
                                     : gw_json_wrong(&r->t, r->t.p, "the text ends early");
        r->t.p++;
        gw_json_skip_space(&r->t);
    }
    f->started = true;
    return 0;
}

static int step_list(struct reader *r, struct frame *f)
{
    int rc = next_or_end(r, f, ']');

    if (rc < 0)
        return rc;
    if (rc > 0) {
        f->list = NULL;
        f->started = true;
        return 0;
    }
    if (gw_json_word(&r->t, "null")) { /* as the Collector: an empty element */
        rc = open_message(r, f, f->list);
        return rc < 0 ? rc : close_message(r);
    }
    if (gw_json_peek(&r->t) != '{')
        return wrong_type(r, f->list, "an object");
    r->t.p++;
    return open_message(r, f, f->list);
}

static int step_members(struct reader *r, struct frame *f)
{
    const struct gw_json_field *field = NULL;
    int rc = next_or_end(r, f, '}');

    if (rc < 0)
        return rc;
    if (rc > 0)
        return close_message(r);
    rc = read_key(r, f, &field);
    return rc < 0 ? rc : read_value(r, f, field);
}

static int read_request(struct reader *r)
{
    int rc = 0;

    gw_json_skip_space(&r->t);
    if (gw_json_word(&r->t, "null")) /* as the Collector: an empty request */
        r->n_frames = 0;
    else if (gw_json_peek(&r->t) != '{')
        return gw_json_wrong(&r->t, r->t.p, "expected an object");
    else
        r->t.p++;
    while (r->n_frames > 0 && rc == 0) {
        struct frame *f = &r->frames[r->n_frames - 1];

        rc = f->list ? step_list(r, f) : step_members(r, f);
    }
    if (rc < 0)
        return rc;
    gw_json_skip_space(&r->t);
    if (r->t.p < r->t.end)
        return gw_json_wrong(&r->t, r->t.p, "text behind the end of the request");
    return 0;
}

int gw_json_to_proto(enum gw_signal signal, struct gw_slice json, const struct gw_limits *limits, struct gw_buf *out,
                     struct gw_err *err)
{
    struct reader r; /* frames are set up when they are opened */
    size_t base = out->n, at;
    int rc;

    r.t = (struct gw_json_text){.begin = json.p, .p = json.p, .end = json.p + json.n, .err = err};
    r.out = out;
    r.max_depth = limits->depth < GW_JSON_MAX_NEST ? limits->depth : GW_JSON_MAX_NEST;
    r.max_rows = limits->rows;
    r.rows = 0;
    r.no_room = 0;
    r.n_frames = 1;
    r.frames[0] = (struct frame){.m = gw_json_request(signal)};
    if (json.n > MAX_TEXT_BYTES || base > MAX_TEXT_BYTES)
        return gw_fail(err, -E2BIG, "JSON of %zu bytes is too long", json.n);
    if (!gw_json_is_utf8(json, &at))
        return gw_json_wrong(&r.t, json.p + at, "not UTF-8 (byte 0x%02x)", json.p[at]);
    if (base + json.n / 2 + 256 <= out->max_bytes) /* about what a request needs */
        (void)room(&r, json.n / 2 + 256);
    rc = read_request(&r);
    if (rc == -E2BIG && r.no_room < 0)
        rc = gw_fail(err, r.no_room, r.no_room == -ENOMEM ? "out of memory" : "the request is longer than %zu bytes",
                     out->max_bytes);
    if (rc < 0)
        out->n = base;
    return rc;
}
