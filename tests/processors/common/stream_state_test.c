/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/common/stream_state.h"

#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>

#include "otlp-proto/decode.h"
#include "otlp-proto/json.h"
#include "tests/harness_env.h"

#define S   UINT64_C(1000000000)
#define ALL UINT64_MAX

static const struct gw_parting by_service = {.by = GW_PART_SERVICE};

/* One life: a table of streams whose value is a number. */
struct life {
    struct gw_test_env te;
    struct gw_log_sink log;
    struct gw_ctx ctx;
    struct gw_streams st, *tables[1];
    struct gw_stream_state *state;
    uint64_t passed;
};

static struct life l;

static void put(void *arg, unsigned table, struct gw_series *s, struct gw_buf *out)
{
    (void)arg;
    (void)table;
    gw_spool_put_u64(out, *(uint64_t *)gw_series_value(s));
}

static bool take(void *arg, unsigned table, struct gw_series *s, struct gw_spool_in *in)
{
    (void)arg;
    (void)table;
    *(uint64_t *)gw_series_value(s) = gw_spool_get_u64(in);
    return !in->bad;
}

static void passed(void *arg, uint64_t partitions)
{
    (void)arg;
    l.passed |= partitions;
}

static void begin(uint64_t partitions, uint64_t settings)
{
    static const struct gw_ss_ops ops = {.put = put, .take = take, .passed = passed};

    memset(&l, 0, sizeof(l));
    gw_test_env_init(&l.te, 1);
    l.log = (struct gw_log_sink){.env = &l.te.env, .level = GW_LOG_ERROR};
    l.ctx = (struct gw_ctx){.env = &l.te.env, .id = "test", .signal = GW_METRICS, .n_workers = 1};
    l.ctx.logger.sink = &l.log;
    gw_streams_init(&l.st, &(struct gw_streams_conf){.value_bytes = 8, .max_streams = 100});
    l.tables[0] = &l.st;
    l.state = gw_ss_new(&ops, NULL, &l.ctx, l.tables, 1, &by_service, partitions, settings);
    assert_non_null(l.state);
}

static void end(void)
{
    gw_ss_end(l.state);
    gw_streams_free(&l.st);
    gw_ss_free(l.state);
    gw_test_env_clear(&l.te);
}

static uint64_t partition_of(const char *service)
{
    struct gw_value v = {.type = GW_V_STRING, .s = gw_slice_cstr(service)};

    return UINT64_C(1) << gw_partition_of_service(&v);
}

/* A point of that service and attribute, after which the value is so much. */
static void point(const char *service, int attribute, uint64_t value, uint64_t seen_ns)
{
    struct gw_batch *b = gw_batch_new(GW_METRICS);
    struct gw_limits limits = GW_LIMITS_DEFAULT;
    struct gw_err err = {""};
    struct gw_buf json, wire;
    struct gw_series *s;
    struct gw_ref at;

    gw_buf_init(&json, 1 << 16);
    gw_buf_init(&wire, 1 << 16);
    gw_buf_printf(&json,
                  "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
                  "{\"stringValue\":\"%s\"}}]},\"scopeMetrics\":[{\"scope\":{},\"metrics\":[{\"name\":\"m\",\"gauge\":"
                  "{\"dataPoints\":[{\"asInt\":\"1\",\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"%d\"}}]"
                  "}]}}]}]}]}",
                  service, attribute);
    assert_true(gw_json_to_proto(GW_METRICS, gw_buf_slice(&json), &limits, &wire, &err) >= 0);
    assert_int_equal(gw_batch_append(b, gw_buf_slice(&wire), &at), 0);
    assert_true(gw_decode(b, gw_batch_slice(b, at), &limits, NULL, &err) >= 0);
    gw_streams_begin(&l.st);
    assert_true(gw_streams_get(&l.st, b, 0, (struct gw_slice){0}, &s) <= GW_STREAM_NEW);
    *(uint64_t *)gw_series_value(s) = value;
    s->seen_ns = seen_ns;
    gw_streams_begin(&l.st);
    (void)gw_batch_unref(b);
    gw_buf_clear(&json);
    gw_buf_clear(&wire);
}

/* What is remembered, in the order of its values. */
static const char *text(void)
{
    static char out[400];
    size_t n = 0;

    out[0] = 0;
    for (uint64_t v = 0; v < 100; v++)
        for (const struct gw_series *sc = l.st.all.first; sc; sc = sc->next)
            for (const struct gw_series *m = gw_streams_first(sc); m; m = m->next)
                for (struct gw_series *s = gw_streams_first(m); s; s = s->next)
                    if (*(uint64_t *)gw_series_value(s) == v)
                        n += (size_t)snprintf(out + n, sizeof(out) - n, "%u@%u ", (unsigned)v,
                                              (unsigned)(s->seen_ns / S));
    return out;
}

static size_t save(bool whole, struct gw_buf *out)
{
    size_t before = out->n;
    uint64_t oldest;

    assert_int_equal(gw_ss_save(l.state, whole, out, &oldest), GW_DONE);
    assert_true(oldest == UINT64_MAX); /* no row has to come again */
    return out->n - before;
}

static void restore(const struct gw_buf *record, uint64_t stream)
{
    const struct gw_keep_owner of = {.stream = stream};

    assert_int_equal(gw_ss_restore(l.state, gw_buf_slice(record), &of), 0);
}

/*
 * Scenario    streams come, change, are silent and are forgotten, with a record after each; the first is a whole one
 * Guarantees  a record has what has changed and nothing else, a known stream without its key; who reads them has all of
 * it, and its first record is as if it had been there from the beginning
 */
static void what_has_changed_is_written(void **state)
{
    struct gw_buf out[4], whole;
    uint64_t partitions;
    size_t n;

    (void)state;
    begin(ALL, 0);
    for (unsigned i = 0; i < 4; i++)
        gw_buf_init(&out[i], 1 << 16);
    gw_buf_init(&whole, 1 << 16);
    gw_ss_advance(l.state, 100 * S, false);
    (void)gw_ss_due(l.state, 60 * S, &partitions);
    assert_true(save(true, &out[0]) > 0);
    assert_int_equal(save(false, &whole), 0);
    point("shop", 1, 10, 100 * S);
    point("shop", 2, 20, 100 * S);
    point("cart", 1, 30, 100 * S);
    assert_true(save(false, &out[1]) > 150);
    point("shop", 1, 11, 110 * S);
    n = save(false, &out[2]);
    assert_int_equal(n, 9 + 1 + 4 + 8 + 4 + 8); /* 'F'; 'V', number, seen, length, value */
    gw_ss_advance(l.state, 180 * S, false);
    assert_int_equal(gw_ss_forget_stale(l.state, 60 * S, 75 * S), GW_DONE); /* seen before 105 */
    assert_string_equal(text(), "11@110 ");
    assert_true(save(false, &out[3]) > 0);
    end();

    begin(ALL, 0);
    for (unsigned i = 0; i < 4; i++) {
        restore(&out[i], 7);
        if (i == 1)
            assert_string_equal(text(), "10@100 20@100 30@100 ");
    }
    assert_string_equal(text(), "11@110 ");
    assert_true(l.passed == ALL);
    gw_ss_advance(l.state, 190 * S, false);
    assert_int_equal(gw_ss_due(l.state, 60 * S, &partitions), 0);
    assert_true(save(true, &whole) > 0);
    end();
    begin(ALL, 0);
    restore(&whole, 8);
    assert_string_equal(text(), "11@110 ");
    end();
    for (unsigned i = 0; i < 4; i++)
        gw_buf_clear(&out[i]);
    gw_buf_clear(&whole);
}

/*
 * Scenario    what one worker wrote is read by two others, which have a part of the partitions each; later both parts,
 * at different places, by one; and by one of other settings Guarantees  each takes what is its; a newer whole record
 * takes the place of an older one, of its partitions alone; time is by partition, and has passed for those alone for
 * which it has; other settings: nothing
 */
static void partitions_change_hands(void **state)
{
    uint64_t shop = partition_of("shop"), cart = partition_of("cart"), partitions;
    struct gw_buf first, second;

    (void)state;
    assert_true(shop != cart);
    gw_buf_init(&first, 1 << 16);
    gw_buf_init(&second, 1 << 16);
    begin(ALL, 0);
    gw_ss_advance(l.state, 100 * S, false);
    (void)gw_ss_due(l.state, 60 * S, &partitions);
    point("shop", 1, 10, 100 * S);
    point("cart", 1, 30, 100 * S);
    (void)save(true, &first);
    end();
    begin(shop, 0);
    restore(&first, 1);
    assert_string_equal(text(), "10@100 ");
    gw_ss_advance(l.state, 130 * S, false);
    point("shop", 2, 20, 130 * S);
    assert_int_equal(gw_ss_due(l.state, 60 * S, &partitions), 120 * S);
    assert_true(partitions == shop);
    gw_ss_done(l.state, 120 * S);
    (void)save(true, &second);
    end();
    begin(ALL, 0);
    restore(&first, 1);
    l.passed = 0;
    restore(&second, 2);
    assert_string_equal(text(), "10@100 20@130 30@100 ");
    assert_true(l.passed == shop);
    gw_ss_advance(l.state, 125 * S, false);
    assert_int_equal(gw_ss_due(l.state, 60 * S, &partitions), 120 * S);
    assert_true(partitions == ~shop);
    end();
    begin(ALL, 1);
    restore(&first, 1);
    assert_string_equal(text(), "");
    end();
    gw_buf_clear(&first);
    gw_buf_clear(&second);
}

/*
 * Scenario    records that end somewhere, or in which a byte is another one
 * Guarantees  they are refused or mean something else, and nothing else happens
 */
static void damaged_records_do_no_harm(void **state)
{
    const struct gw_keep_owner of = {.stream = 1};
    struct gw_buf out;
    uint8_t was;

    (void)state;
    gw_buf_init(&out, 1 << 16);
    begin(ALL, 0);
    gw_ss_advance(l.state, 100 * S, false);
    point("shop", 1, 10, 100 * S);
    (void)save(true, &out);
    end();
    for (size_t n = 0; n < out.n; n++) {
        begin(ALL, 0);
        (void)gw_ss_restore(l.state, gw_slice_of(out.p, n), &of);
        end();
        was = out.p[n];
        out.p[n] ^= 0x55;
        begin(ALL, 0);
        (void)gw_ss_restore(l.state, gw_buf_slice(&out), &of);
        end();
        out.p[n] = was;
    }
    begin(ALL, 0);
    assert_int_equal(gw_ss_restore(l.state, gw_slice_of(out.p, out.n - 1), &of), -EBADMSG);
    end();
    gw_buf_clear(&out);
}

/*
 * Scenario    a worker's streams would not fit a record any more
 * Guarantees  there is none more, until some are gone
 */
static void what_does_not_fit_a_record_is_refused(void **state)
{
    uint64_t partitions;

    (void)state;
    begin(ALL, 0);
    gw_ss_advance(l.state, 100 * S, false);
    (void)gw_ss_due(l.state, 60 * S, &partitions);
    l.state->max_bytes = 100;
    point("shop", 1, 10, 100 * S);
    assert_false(l.state->watch.is_full);
    point("shop", 2, 20, 100 * S);
    assert_true(l.state->watch.is_full);
    gw_ss_advance(l.state, 400 * S, false);
    assert_int_equal(gw_ss_forget_stale(l.state, 60 * S, S), GW_DONE);
    assert_string_equal(text(), "");
    assert_false(l.state->watch.is_full);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_changed_is_written),
        cmocka_unit_test(partitions_change_hands),
        cmocka_unit_test(damaged_records_do_no_harm),
        cmocka_unit_test(what_does_not_fit_a_record_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
