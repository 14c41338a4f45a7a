/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: signal. Whatever the decoder accepts can be shown, without a control character but line feed and tab. */
#include <stdlib.h>

#include "exporters/debug/text.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"

enum { MAX_BYTES = 1 << 24 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void show(enum gw_signal s, struct gw_slice request)
{
    void (*const verbosities[])(struct gw_debug_text *, enum gw_signal, struct gw_slice) = {gw_debug_normal,
                                                                                            gw_debug_detailed};

    for (int i = 0; i < 2; i++) {
        struct gw_buf out;
        struct gw_debug_text t = {.out = &out, .json.escape = GW_GO_TERMINAL};

        gw_buf_init(&out, MAX_BYTES);
        verbosities[i](&t, s, request);
        for (size_t k = 0; k < out.n; k++)
            if ((out.p[k] < 0x20 && out.p[k] != '\n' && out.p[k] != '\t') || out.p[k] == 0x7f)
                abort();
        gw_go_json_clear(&t.json);
        gw_buf_clear(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_METRICS, GW_LOGS};
    struct gw_arena arena;
    struct gw_batch *b;
    struct gw_buf request;
    struct gw_view v;
    struct gw_ref ref;

    if (n < 1)
        return 0;
    enum gw_signal s = signals[p[0] % 3];

    b = gw_batch_new(s);
    if (!b || gw_batch_append(b, gw_slice_of(p + 1, n - 1), &ref) < 0)
        abort();
    if (gw_decode(b, gw_batch_slice(b, ref), &limits, NULL, NULL) == 0) {
        gw_arena_init(&arena, 4096, 1 << 20);
        gw_view_init(&v, b, &arena);
        gw_buf_init(&request, MAX_BYTES);
        if (gw_encode(&v, &request) < 0)
            abort();
        show(s, gw_buf_slice(&request));
        gw_buf_clear(&request);
        gw_view_clear(&v);
        gw_arena_clear(&arena);
    }
    gw_batch_unref(b);
    return 0;
}
