/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/prometheus_remote_write/answers.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

/* ---- headers -------------------------------------------------------------------------------------------------- */

static bool number_of(struct gw_slice s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0 || s.n > 18)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!isdigit(s.p[i]))
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *ret = v;
    return true;
}

void gw_rw_written_read(const struct gw_http_response *rs, struct gw_rw_written *ret)
{
    *ret = (struct gw_rw_written){0};
    for (unsigned i = 0; i < rs->n_headers; i++) {
        struct gw_slice name = rs->headers[i].name, value = rs->headers[i].value;

        if (gw_slice_is(name, "x-prometheus-remote-write-samples-written"))
            ret->any |= number_of(value, &ret->samples);
        else if (gw_slice_is(name, "x-prometheus-remote-write-histograms-written"))
            ret->any |= number_of(value, &ret->histograms);
        else if (gw_slice_is(name, "x-prometheus-remote-write-exemplars-written"))
            ret->any |= number_of(value, &ret->exemplars);
    }
}

/* ---- sentences -------------------------------------------------------------------------------------------------- */

struct gw_slice gw_rw_sentence(struct gw_slice body)
{
    while (body.n && isspace(body.p[0])) {
        body.p++;
        body.n--;
    }
    while (body.n && isspace(body.p[body.n - 1]))
        body.n--;
    if (body.n && body.p[0] == '<')
        return (struct gw_slice){0};
    return body;
}

static bool contains(struct gw_slice s, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= s.n; i++)
        if (strncasecmp((const char *)s.p + i, word, n) == 0)
            return true;
    return false;
}

static bool contains_any(struct gw_slice s, const char *const *words)
{
    struct gw_slice head = {s.p, s.n < 4096 ? s.n : 4096};

    for (unsigned i = 0; words[i]; i++)
        if (contains(head, words[i]))
            return true;
    return false;
}

bool gw_rw_is_about_a_sample(struct gw_slice sentence)
{
    /* Prometheus, Cortex, Mimir and Thanos: time, value, labels and buckets of one sample or series. */
    static const char *const words[] = {"sample",    "out of order", "out of bounds", "timestamp", "label",
                                        "histogram", "series",       "metric name",   "exemplar",  NULL};

    return contains_any(sentence, words);
}

bool gw_rw_is_a_samples_fault(struct gw_slice sentence)
{
    /* Errors of Prometheus' storage, tsdb and histogram packages that its receivers do not all answer with 400. */
    static const char *const words[] = {"out of order sample",
                                        "out of bounds",
                                        "too old sample",
                                        "duplicate sample",
                                        "invalid sample",
                                        "is not unique",
                                        "empty labelset",
                                        "duplicated label",
                                        "invalid label",
                                        "invalid metric name",
                                        "histogram's",
                                        "histogram has",
                                        "histogram spans",
                                        "histogram custom",
                                        "histogram with",
                                        "custom buckets:",
                                        "histograms are disabled",
                                        NULL};
    static const char *const others[] = {"wal:", "no space", "read-only", "input/output error", NULL};

    return contains_any(sentence, words) && !contains_any(sentence, others);
}

/* ---- named series ------------------------------------------------------------------------------------------------ */

void gw_rw_named_begin(struct gw_rw_named *it, struct gw_slice text)
{
    it->text = text;
    it->n_labels = 0;
    gw_buf_init(&it->bytes, GW_RW_NAMED_BYTES);
}

void gw_rw_named_clear(struct gw_rw_named *it)
{
    gw_buf_clear(&it->bytes);
}

static bool is_word(uint8_t c)
{
    return isalnum(c) || c == '_' || c == ':' || c == '.' || c >= 0x80;
}

struct cursor {
    const uint8_t *p, *end;
};

static void skip_spaces(struct cursor *c)
{
    while (c->p < c->end && *c->p == ' ')
        c->p++;
}

static bool take(struct cursor *c, char what)
{
    skip_spaces(c);
    if (c->p == c->end || *c->p != (uint8_t)what)
        return false;
    c->p++;
    return true;
}

static void put_rune(struct gw_buf *out, uint32_t r)
{
    if (r < 0x80) {
        gw_buf_put_u8(out, (uint8_t)r);
    } else if (r < 0x800) {
        gw_buf_put_u8(out, (uint8_t)(0xc0 | r >> 6));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (r & 0x3f)));
    } else if (r < 0x10000) {
        gw_buf_put_u8(out, (uint8_t)(0xe0 | r >> 12));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (r >> 6 & 0x3f)));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (r & 0x3f)));
    } else {
        gw_buf_put_u8(out, (uint8_t)(0xf0 | (r >> 18 & 7)));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (r >> 12 & 0x3f)));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (r >> 6 & 0x3f)));
        gw_buf_put_u8(out, (uint8_t)(0x80 | (r & 0x3f)));
    }
}

static bool read_hex(struct cursor *c, unsigned digits, uint32_t *ret)
{
    uint32_t v = 0;

    if ((size_t)(c->end - c->p) < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        uint8_t d = c->p[i];

        if (!isxdigit(d))
            return false;
        v = v << 4 | (uint32_t)(isdigit(d) ? d - '0' : (d | 32) - 'a' + 10);
    }
    c->p += digits;
    *ret = v;
    return true;
}

/* What stands behind a backslash; Go's strconv.Quote. */
static bool read_escape(struct cursor *c, struct gw_buf *out)
{
    static const char from[] = "abfnrtv\\\"'", to[] = "\a\b\f\n\r\t\v\\\"'";
    const char *known;
    uint32_t v;
    uint8_t e;

    if (c->p == c->end)
        return false;
    e = *c->p++;
    known = e ? strchr(from, e) : NULL;
    if (known) {
        gw_buf_put_u8(out, (uint8_t)to[known - from]);
        return true;
    }
    if (e == 'x' && read_hex(c, 2, &v)) {
        gw_buf_put_u8(out, (uint8_t)v);
        return true;
    }
    if ((e == 'u' && read_hex(c, 4, &v)) || (e == 'U' && read_hex(c, 8, &v))) {
        put_rune(out, v);
        return true;
    }
    return false;
}

static bool read_quoted(struct cursor *c, struct gw_buf *out, uint32_t *ret_off, uint32_t *ret_n)
{
    size_t off = out->n;

    if (!take(c, '"'))
        return false;
    while (c->p < c->end && *c->p != '"') {
        uint8_t byte = *c->p++;

        if (byte != '\\')
            gw_buf_put_u8(out, byte);
        else if (!read_escape(c, out))
            return false;
    }
    if (c->p == c->end)
        return false;
    c->p++;
    *ret_off = (uint32_t)off;
    *ret_n = (uint32_t)(out->n - off);
    return !out->failed;
}

static void put_text(struct gw_buf *out, const uint8_t *p, size_t n, uint32_t *ret_off, uint32_t *ret_n)
{
    *ret_off = (uint32_t)out->n;
    *ret_n = (uint32_t)n;
    gw_buf_put(out, p, n);
}

/* The metric's name, where it is written without a label: its value is the last text of bytes. */
static bool put_metric(struct gw_rw_named *it, uint32_t off, uint32_t n)
{
    if (it->n_labels == GW_RW_NAMED_LABELS)
        return false;
    put_text(&it->bytes, (const uint8_t *)"__name__", 8, &it->labels[it->n_labels].name,
             &it->labels[it->n_labels].name_bytes);
    it->labels[it->n_labels].value = off;
    it->labels[it->n_labels].value_bytes = n;
    it->n_labels++;
    return true;
}

/* name="value", "name"="value", or "metric". */
static bool read_label(struct gw_rw_named *it, struct cursor *c)
{
    uint32_t off, n;

    skip_spaces(c);
    if (c->p < c->end && *c->p == '"') {
        if (!read_quoted(c, &it->bytes, &off, &n))
            return false;
    } else {
        const uint8_t *from = c->p;

        while (c->p < c->end && is_word(*c->p))
            c->p++;
        put_text(&it->bytes, from, (size_t)(c->p - from), &off, &n);
        if (n == 0)
            return false;
    }
    if (!take(c, '='))
        return put_metric(it, off, n);
    if (it->n_labels == GW_RW_NAMED_LABELS)
        return false;
    it->labels[it->n_labels].name = off;
    it->labels[it->n_labels].name_bytes = n;
    if (!read_quoted(c, &it->bytes, &it->labels[it->n_labels].value, &it->labels[it->n_labels].value_bytes))
        return false;
    it->n_labels++;
    return true;
}

/* Behind the brace; `before` is the text in front of it, whose last word may be the metric's name. */
static bool read_labels(struct gw_rw_named *it, const uint8_t *before, struct cursor *c)
{
    const uint8_t *brace = c->p - 1, *word = brace;
    uint32_t off, n;

    gw_buf_reset(&it->bytes);
    it->n_labels = 0;
    while (word > before && is_word(word[-1]))
        word--;
    if (word < brace) {
        put_text(&it->bytes, word, (size_t)(brace - word), &off, &n);
        (void)put_metric(it, off, n);
    }
    if (take(c, '}'))
        return it->n_labels > 0;
    do {
        if (!read_label(it, c))
            return false;
    } while (take(c, ','));
    return take(c, '}') && !it->bytes.failed;
}

bool gw_rw_named_next(struct gw_rw_named *it)
{
    while (it->text.n) {
        const uint8_t *end = it->text.p + it->text.n, *brace = memchr(it->text.p, '{', it->text.n);
        struct cursor c = {brace ? brace + 1 : end, end};
        bool found;

        if (!brace)
            break;
        found = read_labels(it, it->text.p, &c);
        if (!found)
            c.p = brace + 1; /* whatever that was: a series may still stand behind it */
        it->text = gw_slice_of(c.p, (size_t)(end - c.p));
        if (found)
            return true;
    }
    it->text.n = 0;
    return false;
}

bool gw_rw_named_is(const struct gw_rw_named *it, const struct gw_rw_body *b, const struct gw_rw_body_series *s)
{
    struct gw_slice name, value;
    struct gw_rw_label_iter labels;
    uint32_t n = 0;

    gw_rw_labels_begin(b, s, &labels);
    while (gw_rw_labels_next(&labels, &name, &value)) {
        bool found = false;

        for (uint32_t i = 0; i < it->n_labels && !found; i++)
            found = gw_slice_eq(name, gw_slice_of(it->bytes.p + it->labels[i].name, it->labels[i].name_bytes)) &&
                    gw_slice_eq(value, gw_slice_of(it->bytes.p + it->labels[i].value, it->labels[i].value_bytes));
        if (!found)
            return false;
        n++;
    }
    return n == it->n_labels;
}
