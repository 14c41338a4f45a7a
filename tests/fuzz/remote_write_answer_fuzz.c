/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a remote write server says, and bodies of requests read again, as any bytes. Properties: no crash; a body of all
 * series of a body holds the same series; as 1.0 they have the same labels; halves hold all of them together.
 */
#include <stdlib.h>

#include "exporters/prometheus_remote_write/answers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void check_same(const struct gw_rw_body *a, const struct gw_rw_body *b, uint32_t from)
{
    for (uint32_t i = 0; i < b->n_series; i++) {
        need(gw_rw_labels_eq(a, &a->series[from + i], b, &b->series[i]));
        need(gw_rw_labels_hash(a, &a->series[from + i]) == gw_rw_labels_hash(b, &b->series[i]));
        need(a->series[from + i].n_samples == b->series[i].n_samples);
        need(a->series[from + i].n_histograms == b->series[i].n_histograms);
    }
}

static void check_part(const struct gw_rw_body *b, struct gw_range r, bool as_1)
{
    struct gw_rw_body part;
    struct gw_buf out;

    gw_buf_init(&out, 64 << 20);
    if (as_1)
        gw_rw_body_write_1(b, r, &out);
    else
        gw_rw_body_write(b, r, &out);
    need(out.failed || gw_rw_body_read(&part, as_1 ? GW_RW_1 : b->version, gw_buf_slice(&out)) == 0);
    if (!out.failed) {
        need(part.n_series == r.end - r.begin);
        check_same(b, &part, r.begin);
        gw_rw_body_clear(&part);
    }
    gw_buf_clear(&out);
}

static void check_body(const struct gw_rw_body *b)
{
    struct gw_range all = {0, b->n_series}, left = {0, b->n_series / 2}, right = {b->n_series / 2, b->n_series};

    for (unsigned as_1 = 0; as_1 < 2; as_1++) {
        check_part(b, all, as_1);
        check_part(b, left, as_1);
        check_part(b, right, as_1);
    }
}

static void check_text(struct gw_slice text, const struct gw_rw_body *b)
{
    struct gw_slice sentence = gw_rw_sentence(text);
    struct gw_rw_named named;

    need(sentence.n <= text.n);
    need(!gw_rw_is_a_samples_fault(sentence) || sentence.n > 0);
    (void)gw_rw_is_about_a_sample(sentence);
    gw_rw_named_begin(&named, text);
    while (gw_rw_named_next(&named)) {
        need(named.n_labels > 0 && named.n_labels <= GW_RW_NAMED_LABELS);
        for (uint32_t i = 0; b && i < b->n_series; i++)
            (void)gw_rw_named_is(&named, b, &b->series[i]);
    }
    gw_rw_named_clear(&named);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size > 2 ? data[1] | (size_t)data[0] << 8 : 0; /* of the body; the text is behind it */
    bool v2 = n & 1;
    struct gw_slice bytes, text;
    struct gw_rw_body b;
    uint8_t *copy;
    bool ok;

    if (size < 3 || size > 1 << 16)
        return 0;
    n = n / 2 < size - 2 ? n / 2 : size - 2;
    copy = malloc(size - 1); /* its own block: a byte too many is seen */
    need(copy != NULL);
    memcpy(copy, data + 2, size - 2);
    bytes = gw_slice_of(copy, n);
    text = gw_slice_of(copy + n, size - 2 - n);
    ok = gw_rw_body_read(&b, v2 ? GW_RW_2 : GW_RW_1, bytes) == 0;
    if (ok)
        check_body(&b);
    check_text(text, ok ? &b : NULL);
    gw_rw_body_clear(&b);
    free(copy);
    return 0;
}
