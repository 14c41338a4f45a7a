/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which index: the static one, an attribute's, or the data stream <type>-<dataset>-<namespace>. A target is resolved
 * once for a scope, and anew for a row that says something else than the row before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <wctype.h>

#include "exporters/elasticsearch/writer.h"

enum { MAX_STREAM_FIELD = 100, REPLACEMENT_BYTES = 3 };

/* ---- characters ------------------------------------------------------------------------------------------------ */

/** Bytes of the character that c begins. */
static size_t rune_bytes(uint8_t c)
{
    return c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 1;
}

/** One character of sound UTF-8; a byte that begins none stands for itself. Returns its bytes. */
static size_t read_rune(struct gw_slice s, uint32_t *ret)
{
    uint8_t c = s.p[0];
    size_t n = rune_bytes(c);
    uint32_t rune = n == 1 ? c : c & (0xffu >> (n + 1));

    if (n > s.n)
        n = 1;
    for (size_t i = 1; i < n; i++)
        rune = rune << 6 | (s.p[i] & 0x3f);
    *ret = rune;
    return n;
}

static void put_rune(struct gw_buf *to, uint32_t r)
{
    uint8_t text[4];
    size_t n = r < 0x80 ? 1 : r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;

    for (size_t i = n - 1; i > 0; i--, r >>= 6)
        text[i] = (uint8_t)(0x80 | (r & 0x3f));
    text[0] = (uint8_t)(n == 1 ? r : (0xf0u << (4 - n) & 0xff) | r);
    gw_es_put_bytes(to, text, n);
}

static uint32_t lower(locale_t utf8, uint32_t r)
{
    if (r < 0x80)
        return r >= 'A' && r <= 'Z' ? r + 32 : r;
    return utf8 ? (uint32_t)towlower_l((wint_t)r, utf8) : r;
}

/** The last character of a text that was cut by bytes may be a piece: each byte of it becomes U+FFFD, as Go prints it.
 */
static void mend_end(struct gw_buf *to, size_t from)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t start = to->n, pieces;

    while (start > from && (to->p[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == from || to->p[start - 1] < 0xc0)
        return;
    start--;
    pieces = to->n - start;
    if (rune_bytes(to->p[start]) == pieces)
        return;
    to->n = start;
    while (pieces-- > 0)
        gw_es_put_bytes(to, replacement, REPLACEMENT_BYTES);
}

void gw_es_sanitize(struct gw_es_writer *w, struct gw_buf *to, struct gw_slice s, const char *disallowed,
                    struct gw_slice suffix)
{
    size_t from = to->n, most = MAX_STREAM_FIELD - suffix.n;
    uint32_t rune;

    for (size_t at = 0; at < s.n && to->n - from <= most;) {
        at += read_rune(gw_slice_of(s.p + at, s.n - at), &rune);
        rune = lower(w->utf8, rune);
        put_rune(to, rune < 0x80 && rune && strchr(disallowed, (int)rune) ? '_' : rune);
    }
    if (to->n - from > most) {
        to->n = from + most;
        mend_end(to, from);
    }
    gw_es_put_bytes(to, suffix.p, suffix.n);
}

/** Why an index cannot have that name, or NULL. */
static const char *index_problem(locale_t utf8, struct gw_slice name)
{
    uint32_t rune;

    if (name.n == 0)
        return "is empty";
    if (name.n > GW_ES_MAX_INDEX)
        return "is longer than 255 bytes";
    if (memchr("-_+", name.p[0], 3))
        return "begins with -, _ or +";
    if (gw_slice_eq(name, GW_SLICE(".")) || gw_slice_eq(name, GW_SLICE("..")))
        return "is . or ..";
    for (size_t at = 0; at < name.n;) {
        at += read_rune(gw_slice_of(name.p + at, name.n - at), &rune);
        if (rune == 0 || (rune < 0x80 && strchr(GW_ES_NOT_IN_NAMESPACE, (int)rune)))
            return "holds one of \\ / * ? \" < > | space , # : or a zero byte";
        if (lower(utf8, rune) != rune)
            return "holds a capital letter";
    }
    return NULL;
}

const char *gw_es_index_problem(struct gw_slice name)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    const char *problem = index_problem(utf8, name);

    if (utf8)
        freelocale(utf8);
    return problem;
}

/* ---- the scope's say ------------------------------------------------------------------------------------------- */

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/** What /<what>/(\w+<what>) finds in a name: the last <what> of the word behind the first <what>/ that has one. */
static struct gw_slice component_of(struct gw_slice name, struct gw_slice what)
{
    uint8_t lead[16];
    struct gw_slice none = {NULL, 0};

    lead[0] = lead[what.n + 1] = '/';
    memcpy(lead + 1, what.p, what.n);
    for (size_t at = 0; at + what.n + 2 <= name.n;) {
        const uint8_t *hit = memmem(name.p + at, name.n - at, lead, what.n + 2);
        const uint8_t *word, *end, *stop = name.p + name.n;

        if (!hit)
            return none;
        word = end = hit + what.n + 2;
        while (end < stop && is_word(*end))
            end++;
        for (; end > word + what.n; end--)
            if (memcmp(end - what.n, what.p, what.n) == 0)
                return gw_slice_of(word, (size_t)(end - word));
        at = (size_t)(hit - name.p) + 1;
    }
    return none;
}

struct gw_slice gw_es_scope_dataset(const struct gw_batch *b, const struct gw_scope *s, const struct gw_attr *format)
{
    static const char *const self[] = {"receiver/receiverhelper", "scraper/scraperhelper", "processor/processorhelper",
                                       "exporter/exporterhelper", "service"};
    static const struct gw_slice lead = GW_SLICE("go.opentelemetry.io/collector/");
    struct gw_slice name = gw_batch_slice(b, s->name), found;

    if (name.n > lead.n && memcmp(name.p, lead.p, lead.n) == 0)
        for (size_t i = 0; i < sizeof(self) / sizeof(self[0]); i++)
            if (gw_slice_is(gw_slice_of(name.p + lead.n, name.n - lead.n), self[i]))
                return GW_SLICE("collectortelemetry");
    if (format && format->type == GW_V_STRING && format->val.ref.len)
        return gw_batch_slice(b, format->val.ref);
    found = component_of(name, GW_SLICE("receiver"));
    return found.p ? found : component_of(name, GW_SLICE("connector"));
}

/* ---- targets --------------------------------------------------------------------------------------------------- */

static void put_name_json(struct gw_es_target *t)
{
    GW_ES_PUT(&t->name_json, "\"_index\":");
    gw_json_put_string(&t->name_json, gw_buf_slice(&t->name));
}

static void fail(struct gw_es_target *t, const char *reason, struct gw_slice what, const char *why)
{
    t->problem = reason;
    (void)snprintf(t->message, sizeof(t->message), "\"%.*s\" %s",
                   (int)(what.n < GW_ES_MAX_INDEX ? what.n : GW_ES_MAX_INDEX), what.n ? (const char *)what.p : "", why);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the format is the user's */
/** <index><separator><date>, in UTC. */
static void put_date(struct gw_es_writer *w, struct gw_es_target *t)
{
    time_t s = (time_t)(w->o->now_ns / 1000000000);
    char date[256];
    struct tm tm;
    size_t n;

    (void)gmtime_r(&s, &tm);
    n = strftime(date, sizeof(date), w->o->logstash_date_format, &tm);
    gw_buf_put_str(&t->name, w->o->logstash_prefix_separator);
    gw_es_put_bytes(&t->name, date, n);
}
#pragma GCC diagnostic pop

static void reset(struct gw_es_target *t)
{
    gw_buf_reset(&t->text);
    gw_buf_reset(&t->name);
    gw_buf_reset(&t->name_json);
    gw_buf_reset(&t->stream_json);
    t->problem = NULL;
    t->is_stream = false;
    t->dataset_n = 0;
    t->resolved = true;
}

/** An index with a date in its name is no data stream. */
static void name_stream(struct gw_es_target *t, bool is_dated)
{
    struct gw_slice dataset = {t->text.p, t->dataset_n}, namespace = gw_es_from(&t->text, t->dataset_n);
    struct gw_slice type = gw_slice_cstr(t->stream_type);

    gw_es_put_bytes(&t->name, type.p, type.n);
    GW_ES_PUT(&t->name, "-");
    gw_es_put_bytes(&t->name, dataset.p, dataset.n);
    GW_ES_PUT(&t->name, "-");
    gw_es_put_bytes(&t->name, namespace.p, namespace.n);
    if (is_dated || !dataset.n || !namespace.n)
        return;
    t->is_stream = true;
    GW_ES_PUT(&t->stream_json, ",\"data_stream\":{\"type\":");
    gw_json_put_string(&t->stream_json, type);
    GW_ES_PUT(&t->stream_json, ",\"dataset\":");
    gw_json_put_string(&t->stream_json, dataset);
    GW_ES_PUT(&t->stream_json, ",\"namespace\":");
    gw_json_put_string(&t->stream_json, namespace);
    GW_ES_PUT(&t->stream_json, "}");
}

void gw_es_route_stream(struct gw_es_target *t, struct gw_slice dataset, struct gw_slice namespace)
{
    reset(t);
    t->stream_type = "logs";
    gw_es_put_bytes(&t->text, dataset.p, dataset.n);
    t->dataset_n = t->text.n;
    gw_es_put_bytes(&t->text, namespace.p, namespace.n);
    name_stream(t, /* is_dated= */ false);
    put_name_json(t);
}

static const char *default_type(const struct gw_es_writer *w, enum gw_es_kind kind)
{
    if (kind == GW_ES_EVENT || w->b->signal == GW_LOGS)
        return "logs";
    return w->b->signal == GW_TRACES ? "traces" : "metrics";
}

static const char *static_index(const struct gw_es_writer *w, enum gw_es_kind kind)
{
    if (kind == GW_ES_EVENT || w->b->signal == GW_LOGS)
        return w->o->logs_index;
    return w->b->signal == GW_TRACES ? w->o->traces_index : w->o->metrics_index;
}

/** Mode bodymap alone lets an attribute name the stream's type. */
static bool resolve_type(struct gw_es_target *t, const char *of_signal)
{
    struct gw_slice type = t->mode == GW_ES_BODYMAP && t->type.p ? t->type : gw_slice_cstr(of_signal);

    t->stream_type = of_signal;
    if (t->mode != GW_ES_BODYMAP)
        return true;
    if (gw_slice_is(type, "logs") || gw_slice_is(type, "metrics")) {
        t->stream_type = gw_slice_is(type, "logs") ? "logs" : "metrics";
        return true;
    }
    fail(t, "data_stream_type", type, "is no data_stream.type of mapping mode bodymap: logs or metrics");
    return false;
}

static void resolve(struct gw_es_writer *w, struct gw_es_target *t, enum gw_es_kind kind)
{
    const char *index = static_index(w, kind), *why;
    bool checked = false;

    reset(t);
    if (index && *index) {
        gw_buf_put_str(&t->name, index);
    } else if (t->index.p) { /* one byte too many is enough to say so */
        gw_es_put_bytes(&t->name, t->index.p, t->index.n <= GW_ES_MAX_INDEX ? t->index.n : GW_ES_MAX_INDEX + 1);
        checked = true;
    } else {
        if (!resolve_type(t, default_type(w, kind)))
            return;
        gw_es_sanitize(w, &t->text,
                       t->dataset.p         ? t->dataset
                       : w->scope.dataset.p ? w->scope.dataset
                                            : GW_SLICE("generic"),
                       GW_ES_NOT_IN_DATASET, t->mode == GW_ES_OTEL ? GW_SLICE(".otel") : GW_SLICE(""));
        t->dataset_n = t->text.n;
        gw_es_sanitize(w, &t->text, t->namespace.p ? t->namespace : GW_SLICE("default"), GW_ES_NOT_IN_NAMESPACE,
                       GW_SLICE(""));
        name_stream(t, w->o->logstash_format);
    }
    if (w->o->logstash_format)
        put_date(w, t);
    why = checked ? index_problem(w->utf8, gw_buf_slice(&t->name)) : NULL;
    if (why)
        fail(t, "index_name", gw_buf_slice(&t->name), why);
    put_name_json(t);
    if (t->text.failed || t->name.failed || t->name_json.failed || t->stream_json.failed)
        w->rc = -ENOMEM;
}

/** The row's attribute, the scope's, the resource's. */
static struct gw_slice first_of(struct gw_es_writer *w, const struct gw_attr *row, const struct gw_attr *scope,
                                const struct gw_attr *resource)
{
    const struct gw_attr *a = row ? row : scope ? scope : resource;

    return a ? gw_es_as_string(w, a) : (struct gw_slice){NULL, 0};
}

static bool same(struct gw_slice a, struct gw_slice b)
{
    return !a.p == !b.p && gw_slice_eq(a, b);
}

const struct gw_es_target *gw_es_route(struct gw_es_writer *w, const struct gw_es_control *c, enum gw_es_kind kind)
{
    static const struct gw_es_control nothing = {0};
    const struct gw_es_control *s = &w->scope.own, *r = &w->scope.of_resource;
    bool own = c && (c->index || c->dataset || c->namespace || c->type);
    struct gw_es_target *t = own ? &w->row_targets[kind] : &w->scope.targets[kind];
    struct gw_slice index, type, dataset, namespace;

    if (!own && t->resolved)
        return t;
    c = own ? c : &nothing;
    index = first_of(w, c->index, s->index, r->index);
    type = first_of(w, c->type, s->type, r->type);
    dataset = first_of(w, c->dataset, s->dataset, r->dataset);
    namespace = first_of(w, c->namespace, s->namespace, r->namespace);
    if (t->resolved && same(t->index, index) && same(t->type, type) && same(t->dataset, dataset) &&
        same(t->namespace, namespace))
        return t;
    t->index = index;
    t->type = type;
    t->dataset = dataset;
    t->namespace = namespace;
    t->mode = w->scope.mode;
    resolve(w, t, kind);
    return t;
}
