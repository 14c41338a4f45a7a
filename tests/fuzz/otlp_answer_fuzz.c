/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server answers, and what a resource holds, as any bytes: partial success and Status in both encodings,
 * Retry-After, the Kafka key of a resource. Property: no crash, texts end, a key does not depend on what was before it.
 */
#include <stdlib.h>

#include "exporters/common/otlp_answer.h"
#include "exporters/kafka/map_hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_slice in = {malloc(size ? size : 1), size}, text; /* its own block: a byte too many is seen */
    struct gw_otlp_partial p;
    struct gw_otlp_status st;
    uint8_t a[16], b[16];
    struct gw_buf scratch;
    uint64_t ns;
    int ra, rb;

    if (!in.p)
        abort();
    memcpy((uint8_t *)in.p, data, size);
    for (unsigned json = 0; json < 2; json++) {
        gw_otlp_partial_read(in, json, &p);
        gw_otlp_status_read(in, json, &st);
        if (strnlen(p.message, sizeof(p.message)) == sizeof(p.message) ||
            strnlen(st.message, sizeof(st.message)) == sizeof(st.message))
            abort();
    }
    if (gw_retry_after_parse(in, 1700000000000000000, &ns) && ns > 300ull * 365 * 86400 * 1000000000)
        abort();
    gw_buf_init(&scratch, 1 << 20);
    ra = gw_kafka_map_hash(in, &scratch, a);
    gw_buf_put(&scratch, "left over", 9);
    rb = gw_kafka_map_hash(in, &scratch, b);
    if (ra != rb || (ra == 0 && memcmp(a, b, 16) != 0))
        abort();
    gw_kafka_resource_string(in, GW_SLICE("service.name"), &text);
    gw_buf_clear(&scratch);
    free((uint8_t *)in.p);
    return 0;
}
