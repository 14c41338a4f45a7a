/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server answers to _bulk, as any bytes: items, errors, its version; and the same bytes as a document whose
 * field is changed. Property: no crash; texts end and are UTF-8; two readings tell the same items; a changed document
 * is as valid as the one it was made of.
 */
#include <stdlib.h>

#include "exporters/elasticsearch/answer.h"
#include "exporters/elasticsearch/remedy.h"
#include "otlp-proto/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
    size_t bad, n = strnlen(text, size);

    if (n == size || !gw_json_is_utf8(gw_slice_of(text, n), &bad))
        abort();
}

static void on_item(void *arg, const struct gw_es_item *item)
{
    uint32_t *n = arg;

    if (item->index != (*n)++ || item->status < 100 || item->status > 599)
        abort();
    check_text(item->error.type, sizeof(item->error.type));
    check_text(item->error.reason, sizeof(item->error.reason));
    (void)gw_es_conflict_field(item->error.type, item->error.reason);
}

static bool is_value(struct gw_slice s)
{
    struct gw_json_text t = {.begin = s.p, .p = s.p, .end = s.p + s.n};

    gw_json_skip_space(&t);
    return gw_json_skip_value(&t) == 0;
}

/* The text between the next two quotes. */
static struct gw_slice quoted(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *open = *p < end ? memchr(*p, '"', (size_t)(end - *p)) : NULL;
    const uint8_t *close = open ? memchr(open + 1, '"', (size_t)(end - open - 1)) : NULL;

    *p = close ? close + 1 : end;
    return close ? gw_slice_of(open + 1, (size_t)(close - open - 1)) : (struct gw_slice){0};
}

static void change(struct gw_slice in, struct gw_slice field, size_t room)
{
    struct gw_buf out;

    gw_buf_init(&out, room);
    for (int how = GW_ES_STRINGIFY; how <= GW_ES_RENAME; how++) {
        gw_buf_reset(&out);
        if (gw_es_remedy((enum gw_es_remedy)how, in, field, &out) < 0) {
            if (out.n)
                abort();
        } else if (is_value(in) && !is_value(gw_buf_slice(&out))) {
            abort();
        }
    }
    gw_buf_clear(&out);
}

/* Fields: the document's first key, and the second one inside of it. */
static void change_both(struct gw_slice in)
{
    const uint8_t *p = in.p, *end = in.p + in.n;
    struct gw_slice first = quoted(&p, end), second = quoted(&p, end);
    struct gw_buf path;

    gw_buf_init(&path, 1 << 20);
    gw_buf_put_slice(&path, first);
    change(in, gw_buf_slice(&path), in.n); /* longer than what it is made of */
    gw_buf_put_str(&path, ".");
    gw_buf_put_slice(&path, second);
    change(in, gw_buf_slice(&path), 4 << 20);
    gw_buf_reset(&path);
    gw_buf_put_slice(&path, first);
    gw_buf_put_u8(&path, '\0');
    if (!path.failed)
        (void)gw_es_field_matches((const char *)path.p, second);
    gw_buf_clear(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_slice in = {malloc(size ? size : 1), size}; /* its own block: a byte too many is seen */
    uint32_t told = 0, first, second;
    struct gw_es_server server;
    struct gw_es_error e;

    if (!in.p)
        abort();
    memcpy((uint8_t *)in.p, data, size);
    if (gw_es_answer_read(in, NULL, NULL, &first) != gw_es_answer_read(in, on_item, &told, &second) ||
        first != second || told != first)
        abort();
    gw_es_error_read(in, &e);
    check_text(e.type, sizeof(e.type));
    check_text(e.reason, sizeof(e.reason));
    gw_es_server_read(in, &server);
    (void)gw_es_takes_require_data_stream(&server);
    change_both(in);
    free((uint8_t *)in.p);
    return 0;
}
