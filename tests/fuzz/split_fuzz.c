/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting any bytes apart; the first byte picks the signal, the second the size of pieces. It never crashes; pieces
 * keep to their limits and hold all rows between them, whichever way the request is cut.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct sum {
    enum gw_signal signal;
    uint32_t max_rows, rows, pieces;
    size_t max_bytes;
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "split_fuzz: %s\n", what);
    abort();
}

static int piece(void *arg, struct gw_slice s, uint32_t rows)
{
    struct sum *sum = arg;
    uint32_t counted = 0;

    check(gw_count_rows(sum->signal, s, &counted) == 0, "a piece that is no request");
    check(counted == rows && rows > 0, "rows of a piece miscounted");
    check(!sum->max_rows || rows <= sum->max_rows, "a piece of too many rows");
    check(!sum->max_bytes || rows == 1 || s.n <= sum->max_bytes, "a piece of too many bytes");
    sum->rows += rows;
    sum->pieces++;
    return 0;
}

static int keyed(void *arg, struct gw_slice key, struct gw_slice s, const uint32_t *row_of, uint32_t rows)
{
    (void)key;
    for (uint32_t i = 1; i < rows; i++)
        check(row_of[i] > row_of[i - 1], "rows of a piece out of order");
    return piece(arg, s, rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const enum gw_signal signals[] = {GW_TRACES, GW_LOGS, GW_METRICS};
    struct gw_slice bytes;
    uint32_t rows = 0;
    struct sum sum;
    int ok;

    if (n < 2)
        return 0;
    bytes = gw_slice_of(data + 2, n - 2);
    sum = (struct sum){.signal = signals[data[0] % 3], .max_rows = data[1] % 5};
    ok = gw_count_rows(sum.signal, bytes, &rows);
    check(gw_split(sum.signal, bytes, sum.max_rows, 0, piece, &sum) == ok, "split and count disagree");
    check(ok < 0 || sum.rows == rows, "split lost rows");
    sum = (struct sum){.signal = sum.signal, .max_bytes = data[1]};
    check(gw_split(sum.signal, bytes, 0, sum.max_bytes, piece, &sum) == ok, "split by bytes and count disagree");
    check(ok < 0 || sum.rows == rows, "split by bytes lost rows");
    sum = (struct sum){.signal = sum.signal};
    if (gw_split_by_resource(sum.signal, bytes, keyed, &sum) == 0)
        check(sum.rows == rows, "split by resource lost rows");
    sum = (struct sum){.signal = sum.signal};
    if (sum.signal != GW_METRICS && gw_split_by_trace(sum.signal, bytes, keyed, &sum) == 0)
        check(sum.rows == rows, "split by trace lost rows");
    return 0;
}
