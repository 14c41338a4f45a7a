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

/** The points of `part` are those of `b` from `from` on, in series of the same labels. */
static void check_same(const struct gw_rw_body *b, const struct gw_rw_body *part, uint32_t from)
{
    for (uint32_t i = 0; i < part->n_points; i++) {
        const struct gw_rw_body_series *s = &b->series[b->points[from + i].series];
        const struct gw_rw_body_series *t = &part->series[part->points[i].series];

        need(gw_slice_eq(b->points[from + i].message, part->points[i].message));
        need(gw_rw_labels_eq(b, s, part, t));
        need(gw_rw_labels_hash(b, s) == gw_rw_labels_hash(part, t));
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
        need(part.n_points == r.end - r.begin);
        check_same(b, &part, r.begin);
        gw_rw_body_clear(&part);
    }
    gw_buf_clear(&out);
}

static void check_body(struct gw_rw_body *b)
{
    struct gw_range all = {0, b->n_points}, left = {0, b->n_points / 2}, right = {b->n_points / 2, b->n_points};

    for (unsigned as_1 = 0; as_1 < 2; as_1++) {
        check_part(b, all, as_1);
        check_part(b, left, as_1);
        check_part(b, right, as_1);
    }
    gw_rw_body_deliver(b, left);
    check_part(b, right, true);
    need(gw_rw_body_living(b, all) == right.end - right.begin);
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
