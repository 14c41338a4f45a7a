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

/* The first key of the document is the field. */
static void change(struct gw_slice in)
{
    const uint8_t *open = in.n ? memchr(in.p, '"', in.n) : NULL;
    const uint8_t *close = open ? memchr(open + 1, '"', (size_t)(in.p + in.n - open - 1)) : NULL;
    struct gw_slice field = close ? gw_slice_of(open + 1, (size_t)(close - open - 1)) : (struct gw_slice){0};
    struct gw_buf out;

    gw_buf_init(&out, 4 << 20);
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
    change(in);
    free((uint8_t *)in.p);
    return 0;
}
