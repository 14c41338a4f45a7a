/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_json: OTLP requests between JSON and protobuf, for looking at what was recorded and for the tests.
 *
 *     otlp_json traces proto < request.json > request.bin
 *     otlp_json logs json < request.bin
 *     otlp_json metrics lines < requests.jsonl       each line to protobuf and back; "! reason" for a refused one
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp-proto/json.h"

enum { MAX_BYTES = 1 << 28 };

static const struct gw_limits limits = GW_LIMITS_DEFAULT;

static int convert(enum gw_signal signal, const char *to, struct gw_slice in)
{
    struct gw_buf out;
    struct gw_err err = {""};
    int rc;

    gw_buf_init(&out, MAX_BYTES);
    rc = strcmp(to, "json") == 0 ? gw_proto_to_json(signal, in, &out)
                                 : gw_json_to_proto(signal, in, &limits, &out, &err);
    if (rc < 0)
        fprintf(stderr, "otlp_json: %s (%d)\n", err.text, rc);
    else
        (void)fwrite(out.p, 1, out.n, stdout);
    gw_buf_clear(&out);
    return rc < 0;
}

static void convert_line(enum gw_signal signal, struct gw_slice line)
{
    struct gw_buf proto, json;
    struct gw_err err = {""};
    int rc;

    gw_buf_init(&proto, MAX_BYTES);
    gw_buf_init(&json, MAX_BYTES);
    rc = gw_json_to_proto(signal, line, &limits, &proto, &err);
    if (rc == 0)
        rc = gw_proto_to_json(signal, gw_buf_slice(&proto), &json);
    if (rc == 0)
        (void)fwrite(json.p, 1, json.n, stdout);
    else
        printf("! %s", err.text);
    (void)putchar('\n');
    gw_buf_clear(&proto);
    gw_buf_clear(&json);
}

static enum gw_signal signal_of(const char *name)
{
    return strcmp(name, "traces") == 0    ? GW_TRACES
           : strcmp(name, "metrics") == 0 ? GW_METRICS
           : strcmp(name, "logs") == 0    ? GW_LOGS
                                          : 0;
}

int main(int argc, char **argv)
{
    enum gw_signal signal = argc == 3 ? signal_of(argv[1]) : 0;
    struct gw_buf in;
    char chunk[65536];
    size_t got;
    int rc = 0;

    if (!signal) {
        fputs("usage: otlp_json traces|metrics|logs proto|json|lines < in > out\n", stderr);
        return 64;
    }
    gw_buf_init(&in, MAX_BYTES);
    while ((got = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
        gw_buf_put(&in, chunk, got);
    if (strcmp(argv[2], "lines") != 0) {
        rc = convert(signal, argv[2], gw_buf_slice(&in));
    } else {
        for (size_t at = 0; at < in.n;) {
            const uint8_t *nl = memchr(in.p + at, '\n', in.n - at);
            size_t n = nl ? (size_t)(nl - in.p) - at : in.n - at;

            convert_line(signal, gw_slice_of(in.p + at, n));
            at += n + 1;
        }
    }
    gw_buf_clear(&in);
    return rc;
}
