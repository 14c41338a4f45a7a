/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/replay.h"

#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

#include "net/loop.h"
#include "tests/harness_logs.h"

#define S 1000000000ull

static const struct gw_sent_info OK = {.sent = GW_SENT_OK};

static const char yaml[] = "receivers: { scripted: }\n"
                           "exporters: { scripted: { sending_queue: { wait_for_result: true, queue_size: 100 },\n"
                           "    retry_on_failure: { enabled: false } } }\n"
                           "connectors: { journal/j: { storage: file_storage } }\n"
                           "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                           "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n"
                           "    logs/out: { receivers: [scripted], exporters: [scripted] }\n"
                           "    traces/out: { receivers: [scripted], exporters: [scripted] }\n";

static char said[4000];
static int code;

static void say(void *arg, int fd, const char *line)
{
    size_t n = strlen(said);

    (void)arg;
    (void)snprintf(said + n, sizeof(said) - n, "%d %s\n", fd, line);
}

static void ended(void *arg, int exit_code)
{
    (void)arg;
    code = exit_code;
}

static void turn(struct gw_test_engine *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gw_test_logs_turn(t, 1, 1000000);
}

/* Ten requests of two rows, a second apart: positions 0 to 9, names 0, 1, 10, 11, …, 91.
 * They go in by way of an engine without the pipelines behind, so that the sink sees none of them. */
static void fill(struct gw_test_engine *t)
{
    static const char in[] = "receivers: { scripted: }\n"
                             "connectors: { journal/j: { storage: file_storage } }\n"
                             "service:\n  extensions: [file_storage]\n  dead_letters: { to: none }\n  pipelines:\n"
                             "    logs/in: { receivers: [scripted], exporters: [journal/j] }\n";

    gw_test_logs_begin(1);
    gw_test_logs_engine(t, in, 1);
    for (unsigned i = 0; i < 10; i++) {
        gw_test_engine_send(gw_test_engine_door(t, "scripted", 0), GW_LOGS, 10 * i, 2, i);
        turn(t, 4);
        gw_test_logs_turn(t, 1, S - 4000000);
    }
    (void)gw_test_engine_close(t);
    gw_test_logs_engine(t, yaml, 2);
    said[0] = 0;
    code = -1;
}

static struct gw_replay *start(struct gw_test_engine *t, const char *from, const char *to, const char *speed)
{
    struct gw_replay_conf conf = {.journal = "journal/j",
                                  .into = "logs/out",
                                  .engine = t->engine,
                                  .env = &t->te.env,
                                  .loop = t->loop,
                                  .say = say,
                                  .ended = ended};
    struct gw_err err = {""};
    struct gw_replay *r;

    assert_int_equal(gw_replay_parse_point(from, gw_wall_ns(&t->te.env), &conf.range.from), 0);
    assert_int_equal(gw_replay_parse_point(to, gw_wall_ns(&t->te.env), &conf.range.to), 0);
    assert_int_equal(gw_replay_parse_speed(speed, &conf.speed), 0);
    if (gw_replay_start(&conf, &r, &err) < 0)
        fail_msg("%s", err.text);
    return r;
}

static unsigned receive(struct gw_test_engine *t, uint64_t *ret, unsigned cap)
{
    struct gw_test_sink *s = gw_test_engine_sink(t, "scripted");
    unsigned n = 0;

    for (unsigned i = 0; i < 8; i++) {
        turn(t, 4);
        while (s->n_waiting) {
            n += gw_test_names(GW_LOGS, s->waiting[0]->body, ret + n, cap - n);
            gw_test_sink_answer(s, &OK);
        }
    }
    return n;
}

static void end(struct gw_test_engine *t)
{
    assert_int_equal(gw_test_engine_close(t), 0);
    gw_test_logs_end();
}

/*
 * Scenario    a range by position, by time, and all of it, at full speed
 * Guarantees  exactly its rows, in order; the last word says how many
 */
static void a_range_goes_into_a_pipeline(void **state)
{
    static const struct {
        const char *from, *to;
        unsigned first, n;
    } cases[] = {{"", "", 0, 10}, {"3", "7", 3, 4}, {"8", "", 8, 2}, {"", "1", 0, 1}, {"-4500ms", "-1500ms", 6, 3},
                 {"20", "", 0, 0}};
    struct gw_test_engine t;
    uint64_t names[32];
    char last[100];

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fill(&t);
        (void)start(&t, cases[i].from, cases[i].to, "max");
        assert_int_equal(receive(&t, names, 32), 2 * cases[i].n);
        for (unsigned k = 0; k < 2 * cases[i].n; k++)
            assert_int_equal(names[k], 10 * (cases[i].first + k / 2) + k % 2);
        assert_int_equal(code, 0);
        (void)snprintf(last, sizeof(last), "1 replayed %u rows of %u frames into logs/out", 2 * cases[i].n, cases[i].n);
        assert_non_null(strstr(said, last));
        end(&t);
    }
}

/*
 * Scenario    rows that came in a second apart, at speed 1 and at speed 10
 * Guarantees  they go out a second apart, and a tenth of a second; progress is told, with what is to go
 */
static void speed_is_that_of_the_rows(void **state)
{
    struct gw_test_engine t;
    uint64_t came_ns[10];

    (void)state;
    for (unsigned speed = 1; speed <= 10; speed += 9) {
        struct gw_test_sink *s;

        fill(&t);
        s = gw_test_engine_sink(&t, "scripted");
        (void)start(&t, "", "", speed == 1 ? "1" : "10");
        for (unsigned i = 0, polls = 0; i < 10; polls++) {
            assert_true(polls < 4000);
            gw_test_logs_turn(&t, 1, 5000000);
            if (!s->n_waiting)
                continue;
            came_ns[i++] = t.te.now_ns;
            gw_test_sink_answer(s, &OK);
        }
        for (unsigned i = 1; i < 10; i++)
            assert_in_range((came_ns[i] - came_ns[0]) / 1000000, i * 1000 / speed - 20, i * 1000 / speed + 20);
        turn(&t, 8);
        assert_int_equal(code, 0);
        if (speed == 1)
            assert_non_null(strstr(said, "to go"));
        end(&t);
    }
}

/*
 * Scenario    the sink says "later", then takes it; then never
 * Guarantees  it goes again, and nothing overtakes it; what is refused for good is told, and the exit code is not 0
 */
static void a_refused_request_goes_again(void **state)
{
    static const struct gw_sent_info later = {.sent = GW_SENT_RETRY, .reason = "busy"};
    static const struct gw_sent_info never = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "no"};
    struct gw_test_engine t;
    struct gw_test_sink *s;
    uint64_t names[32];

    (void)state;
    fill(&t);
    s = gw_test_engine_sink(&t, "scripted");
    (void)start(&t, "", "", "max");
    turn(&t, 6);
    assert_int_equal(s->n_waiting, 1);
    gw_test_sink_answer(s, &later);
    turn(&t, 6);
    assert_int_equal(s->n_waiting, 0);
    gw_test_logs_turn(&t, 1, 6 * S);
    assert_int_equal(receive(&t, names, 32), 20);
    for (unsigned k = 0; k < 20; k++)
        assert_int_equal(names[k], 10 * (k / 2) + k % 2);
    assert_int_equal(code, 0);
    end(&t);

    fill(&t);
    (void)start(&t, "2", "3", "max");
    turn(&t, 6);
    for (s = gw_test_engine_sink(&t, "scripted"); s->n_waiting; turn(&t, 4)) /* narrowed down to single rows */
        gw_test_sink_answer(s, &never);
    turn(&t, 10);
    assert_int_equal(code, 69);
    assert_non_null(strstr(said, "2 a request was refused for good"));
    end(&t);
}

/*
 * Scenario    the client leaves in the middle; the gateway stops in the middle; names that there are not
 * Guarantees  nothing more goes in, nothing leaks, nobody is told any more; an error that says which there are
 */
static void it_can_be_left_at_any_time(void **state)
{
    struct gw_replay_conf conf = {.journal = "journal/x", .into = "logs/out", .say = say, .ended = ended};
    struct gw_err err = {""};
    struct gw_test_engine t;
    struct gw_replay *r;
    uint64_t names[32];

    (void)state;
    fill(&t);
    r = start(&t, "", "5", "1");
    turn(&t, 6);
    gw_replay_cancel(r);
    assert_int_equal(receive(&t, names, 32), 2);
    gw_test_logs_turn(&t, 1, 3 * S);
    assert_int_equal(receive(&t, names, 32), 0);
    assert_int_equal(code, -1);
    end(&t);

    fill(&t);
    r = start(&t, "", "", "max");
    turn(&t, 6);
    (void)gw_engine_stop(t.engine);
    gw_replay_cancel(r);
    (void)gw_test_engine_close(&t);
    gw_test_logs_end();

    fill(&t);
    conf.engine = t.engine;
    conf.env = &t.te.env;
    conf.loop = t.loop;
    assert_int_equal(gw_replay_start(&conf, &r, &err), -ENOENT);
    assert_non_null(strstr(err.text, "there are journal/j"));
    conf.journal = "journal/j";
    conf.into = "logs/x";
    assert_int_equal(gw_replay_start(&conf, &r, &err), -ENOENT);
    assert_non_null(strstr(err.text, "logs/in, logs/out"));
    end(&t);
}

/*
 * Scenario    points and speeds as people write them
 * Guarantees  read, or refused
 */
static void points_are_read_as_people_write_them(void **state)
{
    static const char *const wrong[] = {"x", "-", "@", "@12345678901234", "2026-13-01", "1.5", "12345678901234567890"};
    struct gw_replay_point p;
    double speed;

    (void)state;
    assert_int_equal(gw_replay_parse_point("", 0, &p), 0);
    assert_int_equal(p.kind, GW_REPLAY_EDGE);
    assert_int_equal(gw_replay_parse_point("17", 0, &p), 0);
    assert_int_equal(p.kind, GW_REPLAY_POSITION);
    assert_int_equal(p.at, 17);
    assert_int_equal(gw_replay_parse_point("-2h", 3 * 3600 * S, &p), 0);
    assert_int_equal(p.kind, GW_REPLAY_TIME);
    assert_int_equal(p.at, 3600 * S);
    assert_int_equal(gw_replay_parse_point("@1767323045", 0, &p), 0);
    assert_int_equal(p.at, 1767323045 * S);
    assert_int_equal(gw_replay_parse_point("2026-01-02T03:04:05Z", 0, &p), 0);
    assert_int_equal(p.at, 1767323045 * S);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (gw_replay_parse_point(wrong[i], 0, &p) == 0)
            fail_msg("%s", wrong[i]);
    assert_int_equal(gw_replay_parse_speed("max", &speed), 0);
    assert_true(speed == 0);
    assert_int_equal(gw_replay_parse_speed("2.5", &speed), 0);
    assert_true(speed == 2.5);
    assert_int_equal(gw_replay_parse_speed("0", &speed), -EINVAL);
    assert_int_equal(gw_replay_parse_speed("nan", &speed), -EINVAL);
    assert_int_equal(gw_replay_parse_speed("10x", &speed), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_goes_into_a_pipeline),         cmocka_unit_test(speed_is_that_of_the_rows),
        cmocka_unit_test(a_refused_request_goes_again),         cmocka_unit_test(it_can_be_left_at_any_time),
        cmocka_unit_test(points_are_read_as_people_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
