/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include "tests/net/hs_rig.h"

#ifndef __has_feature
#define __has_feature(x) 0 /* gcc says it with a macro */
#endif

static struct rig rig;
static struct client client;

static int set_up(void **state)
{
    struct gw_err err = {{0}};

    (void)state;
    rig_init(&rig);
    if (rig_start(&rig, &err) < 0)
        fail_msg("%s", err.text);
    client_attach(&client, rig_connect(&rig));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_close(&client);
    rig_stop(&rig);
    return 0;
}

/* Scenario: one gRPC-shaped request with 19 KB of body.
 * Guarantees: the handler hears its head, every byte, its end, and that it is gone; the client hears status, body,
 * trailers. */
static void a_request_is_heard_whole_and_answered_with_trailers(void **state)
{
    int32_t id = client_post(&client, "/ok?x=1", 19000);

    (void)state;
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(rig.heard.n_heads, 1);
    assert_string_equal(rig.heard.method, "POST");
    assert_string_equal(rig.heard.path, "/ok");
    assert_string_equal(rig.heard.query, "x=1");
    assert_string_equal(rig.heard.authority, "host:1");
    assert_int_equal(rig.heard.n_headers, 2);
    assert_string_equal(rig.heard.header, "trailers");
    assert_int_equal(rig.heard.n_body, 19000);
    assert_true(rig.heard.http2);
    assert_false(rig.heard.tls);
    assert_memory_equal(rig.heard.peer, "127.0.0.1:", 10);
    assert_int_equal(client_answer(&client, id)->status, 200);
    assert_int_equal(client_answer(&client, id)->n_body, 5);
    assert_int_equal(client_answer(&client, id)->grpc_status, 0);
    assert_int_equal(client_answer(&client, id)->error, 0);
    talk(&rig, &client, 2);
    assert_int_equal(rig.heard.n_gone, 1);
}

/* Segments with data that came in, from the kernel's struct tcp_info, which is longer than the C library's. */
static uint32_t segments_in(int fd)
{
    enum { DATA_SEGS_IN_AT = 152 };
    uint8_t info[DATA_SEGS_IN_AT + sizeof(uint32_t)];
    socklen_t n = sizeof info;
    uint32_t segments;

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &n), 0);
    assert_int_equal(n, sizeof info);
    memcpy(&segments, info + DATA_SEGS_IN_AT, sizeof segments);
    return segments;
}

static void answer_now(struct gw_timer *t)
{
    (void)t;
    rig_answer(&rig);
}

/* Scenario: the turn that reads the first 64 KB of a body also reads a request, which is answered later in it.
 * Guarantees: the window and the answer are one write: each costs the peer a wake. */
static void windows_go_with_the_answer(void **state)
{
    struct gw_timer after = {.fire = answer_now};
    uint32_t before;

    (void)state;
    talk(&rig, &client, 3);
    before = segments_in(client.fd);
    client_post(&client, "/ok", 80000);
    client_post(&client, "/later", 0);
    client_send_whole(&client);
    gw_timer_arm(rig.loop, &after, 1);
    talk(&rig, &client, 1);
    assert_int_equal(rig.heard.n_body, 65535);
    assert_true(client.windows[0] > 0);
    assert_true(client_answer(&client, 3)->closed);
    assert_int_equal(segments_in(client.fd), before + 1);
    talk_until_closed(&rig, &client, 2);
    assert_int_equal(rig.heard.n_body, 80000);
}

/* Scenario: sixteen bodies with a first window of 1000 bytes come in one turn, by turns; the clients read nothing.
 * Guarantees: that turn gives each its window; all come whole. */
static void bodies_that_come_together_get_a_window_each(void **state)
{
    enum { N = 16, FIRST = 1000 };

    (void)state;
    rig_stop(&rig);
    rig.conf.initial_window_bytes = FIRST;
    assert_int_equal(rig_start(&rig, NULL), 0);
    client_close(&client);
    client_attach(&client, rig_connect(&rig));
    talk(&rig, &client, 5);
    for (unsigned i = 0; i < N; i++)
        client_post(&client, "/ok", N * 3 * FIRST); /* all are fed from it */
    client_send_whole(&client);
    rig_turn(&rig, 1);
    assert_int_equal(rig.heard.n_body, N * FIRST);
    client_recv(&client);
    for (unsigned i = 0; i < N; i++)
        assert_true(client.windows[i] > 0);
    talk_until_closed(&rig, &client, N);
    assert_int_equal(rig.heard.n_body, N * 3 * FIRST);
}

/* Scenario: a body fills its window and is reset, and a request follows, in the same turn; twenty times.
 * Guarantees: the connection's window comes back, or there were none for the last ones. */
static void what_came_before_a_reset_is_given_back(void **state)
{
    int32_t id;

    (void)state;
    talk(&rig, &client, 3);
    for (unsigned i = 0; i < 20; i++) {
        id = client_post(&client, "/ok", 80000);
        client_send(&client);
        nghttp2_submit_rst_stream(client.ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        id = client_post(&client, "/ok", 1000);
        client_send_whole(&client);
        talk_until_closed(&rig, &client, 2 * i + 2);
        assert_int_equal(client_answer(&client, id)->status, 200);
        assert_int_equal(rig.heard.n_body, (i + 1) * (65535 + 1000));
    }
}

/* Scenario: a body is over when its turn ends, but not answered; another is answered in the turn that reads its first
 * part. Guarantees: neither gets a window. */
static void who_has_ended_or_is_answered_gets_no_window(void **state)
{
    struct gw_timer after = {.fire = answer_now};

    (void)state;
    talk(&rig, &client, 3);
    client_post(&client, "/later", 60000);
    client_send_whole(&client);
    talk(&rig, &client, 2);
    assert_int_equal(rig.heard.n_ends, 1);
    assert_int_equal(client.windows[0], 0);
    client_post(&client, "/early", 80000);
    client_send_whole(&client);
    gw_timer_arm(rig.loop, &after, 1);
    talk(&rig, &client, 2);
    assert_int_equal(rig.heard.n_body, 60000 + 65535);
    assert_int_equal(client_answer(&client, 3)->status, 200);
    assert_int_equal(client.windows[1], 0);
}

/* Scenario: a request is answered and over; then 400 times its stream is reset.
 * Guarantees: each counts against the peer, as for any other stream that is not there: it is cut. */
static void resets_of_the_last_stream_are_counted_when_it_is_over(void **state)
{
    static const uint8_t reset[13] = {0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8};

    (void)state;
    client_post(&client, "/ok", 1000);
    talk_until_closed(&rig, &client, 1);
    talk(&rig, &client, 2);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(send(client.fd, reset, sizeof reset, MSG_NOSIGNAL), sizeof reset);
    talk(&rig, &client, 20);
    assert_int_equal(client.n_goaways, 1);
    assert_int_equal(client.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Scenario: a client that sends frames as large as it may, a request of 65,000 bytes.
 * Guarantees: it is one frame, told as one. */
static void a_frame_may_be_as_large_as_the_first_window(void **state)
{
    (void)state;
    talk(&rig, &client, 3);
    assert_int_equal(nghttp2_session_get_remote_settings(client.ng, NGHTTP2_SETTINGS_MAX_FRAME_SIZE), 65536);
    client.large_frames = true;
    client_post(&client, "/ok", 65000);
    client_send_whole(&client);
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(rig.heard.n_body, 65000);
    assert_int_equal(rig.heard.n_chunks, 1);
    client_post(&client, "/ok", 1000 * 1000);
    talk_until_closed(&rig, &client, 2);
    assert_int_equal(rig.heard.n_body, 1065000);
}

/* Scenario: a request of 60 KB that is there as a whole.
 * Guarantees: it is told frame by frame, not in smaller pieces; no window is opened for it, its answer is all that is
 * said; of the connection's window it gives back what it took. */
static void a_body_that_is_there_is_told_frame_by_frame(void **state)
{
    uint32_t before;

    (void)state;
    talk(&rig, &client, 3);
    before = segments_in(client.fd);
    client_post(&client, "/ok", 60000);
    client_send_whole(&client);
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(rig.heard.n_body, 60000);
    assert_int_equal(rig.heard.n_chunks, 4);
    assert_int_equal(rig.heard.max_chunk, 16384);
    assert_int_equal(client.windows[0], 0);
    assert_int_equal(segments_in(client.fd), before + 1);
    for (unsigned i = 1; i < 40; i++) { /* more than the connection's window, 1 MiB, in all */
        client_post(&client, "/ok", 60000);
        talk_until_closed(&rig, &client, i + 1);
    }
    assert_int_equal(rig.heard.n_body, 40 * 60000);
    assert_int_equal(client.n_closed, 40);
}

/* Scenario: an answer with trailers and no body.
 * Guarantees: it is one header block (Trailers-Only), and the stream ends cleanly. */
static void an_answer_without_a_body_is_trailers_only(void **state)
{
    int32_t id = client_post(&client, "/overload", 100);

    (void)state;
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(client_answer(&client, id)->status, 200);
    assert_int_equal(client_answer(&client, id)->grpc_status, 14);
    assert_int_equal(client_answer(&client, id)->n_body, 0);
}

/* Scenario: the handler refuses at the head; the client would like to send 10 MB.
 * Guarantees: the answer arrives whole, RST_STREAM(NO_ERROR) 100 ms later; no byte of the body is told, no window is
 * opened; the connection goes on with the next request. A body that fits the first window needs no reset. */
static void a_refusal_at_the_head_takes_nothing_of_the_body(void **state)
{
    int32_t id = client_post(&client, "/refuse", 10 * 1000 * 1000), id2;

    (void)state;
    talk(&rig, &client, 20);
    assert_int_equal(client_answer(&client, id)->status, 413);
    assert_false(client_answer(&client, id)->closed);
    rig.fake.mono_ns += 102 * MS;
    talk(&rig, &client, 5);
    assert_true(client_answer(&client, id)->closed);
    assert_int_equal(client_answer(&client, id)->error, NGHTTP2_NO_ERROR);
    assert_true(client.body_left >= 10 * 1000 * 1000 - 65535);
    assert_int_equal(client.windows[0], 0);
    id2 = client_post(&client, "/refuse", 30000);
    talk_until_closed(&rig, &client, 2);
    assert_int_equal(client_answer(&client, id2)->status, 413);
    assert_int_equal(client.body_left, 0);
    id2 = client_post(&client, "/ok", 5000);
    talk_until_closed(&rig, &client, 3);
    assert_int_equal(client_answer(&client, id2)->status, 200);
    assert_int_equal(rig.heard.n_body, 5000);
}

/* Scenario: bodies of 19 KB and of 8 MB.
 * Guarantees: the small one needs no window, the large one gets its window raised, never over 1 MiB at a time. */
static void a_window_grows_only_for_a_body_that_needs_it(void **state)
{
    (void)state;
    client_post(&client, "/ok", 19000);
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(client.windows[0], 0);
    client_post(&client, "/ok", 8 * 1000 * 1000);
    talk_until_closed(&rig, &client, 2);
    assert_int_equal(rig.heard.n_body, 8 * 1000 * 1000 + 19000);
    assert_true(client.windows[1] > 1024 * 1024);
    assert_true(nghttp2_session_get_remote_window_size(client.ng) <= 16 * 1024 * 1024);
}

/* Scenario: a body of 300 KB while the handler has no memory; half a second later it has.
 * Guarantees: the peer gets no more than its first window, neither of the stream nor of the connection; it gets the
 * rest as soon as there is memory. */
static void windows_wait_for_memory(void **state)
{
    (void)state;
    rig.heard.no_room = true;
    client_post(&client, "/ok", 300 * 1000);
    talk(&rig, &client, 30);
    assert_int_equal(rig.heard.n_body, 65535);
    assert_int_equal(rig.heard.asked_bytes, 65535);
    for (unsigned i = 0; i < 20; i++) {
        rig.fake.mono_ns += 25 * MS;
        talk(&rig, &client, 3);
    }
    assert_int_equal(rig.heard.n_body, 65535);
    assert_int_equal(client.windows[0], 0);
    rig.heard.no_room = false;
    rig.fake.mono_ns += 25 * MS;
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(rig.heard.n_body, 300 * 1000);
    assert_int_equal(client_answer(&client, 1)->status, 200);
}

/* Scenario: the handler never has memory; a body of 300 KB; then forty more, each reset while it is held; a small one.
 * Guarantees: a second brings one window more, and none larger than the first; what was held of the connection's window
 * comes back, or the last ones would find none. */
static void a_window_waits_for_a_second_at_most(void **state)
{
    int32_t id;

    (void)state;
    rig.heard.no_room = true;
    client_post(&client, "/ok", 300 * 1000);
    for (unsigned i = 1; i <= 4; i++) {
        talk(&rig, &client, 30);
        assert_int_equal(rig.heard.n_body, i * 65535);
        assert_int_equal(client.windows[0], (i - 1) * 65535);
        rig.fake.mono_ns += 1005 * MS;
    }
    talk(&rig, &client, 30);
    assert_int_equal(rig.heard.n_body, 300 * 1000);
    talk_until_closed(&rig, &client, 1);
    for (unsigned i = 0; i < 40; i++) {
        id = client_post(&client, "/ok", 300 * 1000);
        talk(&rig, &client, 6);
        assert_int_equal(rig.heard.n_body, 300 * 1000 + (i + 1) * 65535);
        nghttp2_submit_rst_stream(client.ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        talk(&rig, &client, 2);
    }
    id = client_post(&client, "/ok", 1000);
    talk_until_closed(&rig, &client, 42);
    assert_int_equal(client_answer(&client, id)->status, 200);
}

/* Scenario: no memory; forty bodies of 300 KB are answered while they are held, then a small one comes.
 * Guarantees: an answer gives back what was held of the connection's window, or the last ones would find none. */
static void an_answer_frees_what_was_held(void **state)
{
    int32_t id;

    (void)state;
    rig.heard.no_room = true;
    for (unsigned i = 1; i <= 40; i++) {
        id = client_post(&client, "/early", 300 * 1000);
        talk(&rig, &client, 6);
        assert_int_equal(rig.heard.n_body, i * 65535);
        rig_answer(&rig);
        rig.fake.mono_ns += 25 * MS;
        talk(&rig, &client, 3);
        assert_int_equal(client_answer(&client, id)->status, 200);
        rig.fake.mono_ns += 102 * MS;
        talk_until_closed(&rig, &client, i);
    }
    id = client_post(&client, "/ok", 1000);
    talk_until_closed(&rig, &client, 41);
    assert_int_equal(client_answer(&client, id)->status, 200);
}

/* Scenario: bodies that come in steps of 10 s: 20 KB each, and 1 KB each, less than 1 KiB a second.
 * Guarantees: the first one is heard to its end; the second one is reset after body_idle_timeout and what its bytes are
 * worth, though it never stands still for long. */
static void a_body_that_trickles_is_reset(void **state)
{
    int32_t id;
    unsigned n;

    (void)state;
    client.body_step = 20 * 1000;
    id = client_post(&client, "/ok", 400 * 1000);
    for (n = 0; n < 40 && !client.n_closed; n++) {
        talk(&rig, &client, 10);
        rig.fake.mono_ns += 10 * SECOND;
        client_step(&client, id);
    }
    assert_int_equal(client_answer(&client, id)->status, 200);
    client.body_step = 1000;
    client.body_sent = false;
    id = client_post(&client, "/ok", 40 * 1000);
    for (n = 0; n < 40 && client.n_closed < 2; n++) {
        talk(&rig, &client, 10);
        rig.fake.mono_ns += 10 * SECOND;
        client_step(&client, id);
    }
    assert_int_equal(n, 5);
    assert_int_equal(client_answer(&client, id)->error, NGHTTP2_CANCEL);
}

/* Scenario: an answer is given in a later turn, by name; then the name is used again.
 * Guarantees: it arrives; a name whose stream is gone finds nothing. */
static void an_answer_may_come_later_and_its_name_dies_with_the_stream(void **state)
{
    int32_t id = client_post(&client, "/later", 10);

    (void)state;
    talk(&rig, &client, 10);
    assert_int_equal(rig.heard.n_ends, 1);
    assert_int_equal(client.n_closed, 0);
    assert_non_null(gw_hs_find(rig.server, rig.heard.later));
    rig_answer(&rig);
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(client_answer(&client, id)->grpc_status, 0);
    talk(&rig, &client, 2);
    assert_null(gw_hs_find(rig.server, rig.heard.later));
}

/* Scenario: an answer that is left open: hours of nothing, pushes, an end with a trailer, a push after it.
 * Guarantees: each push is told at once, time does not end it, the trailer comes last, what is late is refused. */
static void an_answer_left_open_goes_on_until_its_end(void **state)
{
    const struct gw_header status = {GW_SLICE("grpc-status"), GW_SLICE("7")};
    int32_t id = client_post(&client, "/stream", 10);
    struct gw_hs_stream *s;

    (void)state;
    talk(&rig, &client, 10);
    assert_int_equal(client_answer(&client, id)->status, 200);
    assert_int_equal(client_answer(&client, id)->n_body, 5);
    for (unsigned i = 0; i < 3; i++) {
        rig.fake.mono_ns += 3000 * SECOND;
        talk(&rig, &client, 5);
        s = gw_hs_find(rig.server, rig.heard.later);
        assert_non_null(s);
        assert_int_equal(gw_hs_push(s, GW_SLICE("more")), 0);
        talk(&rig, &client, 5);
        assert_int_equal(client_answer(&client, id)->n_body, 5 + 4 * (i + 1));
    }
    assert_int_equal(gw_hs_push(s, GW_SLICE("last")), 0);
    gw_hs_end(s, &status, 1);
    assert_int_equal(gw_hs_push(s, GW_SLICE("late")), -EPIPE);
    gw_hs_end(s, &status, 1);
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(client_answer(&client, id)->n_body, 5 + 4 * 4);
    assert_int_equal(client_answer(&client, id)->grpc_status, 7);
    assert_int_equal(client_answer(&client, id)->error, 0);
}

/* Scenario: the peer gives an open answer no window; much is pushed; time passes.
 * Guarantees: no more than GW_HS_PUSH_BYTES are kept, and the stream is reset for standing still. */
static void an_open_answer_that_stalls_is_bounded_and_reset(void **state)
{
    static const nghttp2_settings_entry no_window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    static uint8_t piece[1000];
    struct gw_hs_stream *s;
    unsigned n = 0;

    (void)state;
    nghttp2_submit_settings(client.ng, NGHTTP2_FLAG_NONE, &no_window, 1);
    client_post(&client, "/stream", 10);
    talk(&rig, &client, 10);
    s = gw_hs_find(rig.server, rig.heard.later);
    assert_non_null(s);
    while (gw_hs_push(s, gw_slice_of(piece, sizeof piece)) == 0)
        n++;
    assert_int_equal(n, (GW_HS_PUSH_BYTES - 5) / sizeof piece);
    rig.fake.mono_ns += 31 * SECOND;
    talk(&rig, &client, 5);
    assert_int_equal(rig.heard.n_gone, 1);
    assert_false(client.eof);
}

/* Scenario: the peer leaves while a request waits for its answer.
 * Guarantees: gone is told once, the name finds nothing, and the server has no connection any more. */
static void a_peer_that_leaves_takes_its_streams_along(void **state)
{
    (void)state;
    client_post(&client, "/later", 10);
    talk(&rig, &client, 10);
    shutdown(client.fd, SHUT_RDWR);
    rig_turn(&rig, 5);
    assert_int_equal(rig.heard.n_gone, 1);
    assert_null(gw_hs_find(rig.server, rig.heard.later));
    assert_true(gw_hs_server_is_idle(rig.server));
}

/* Scenario: the client resets one stream before its answer.
 * Guarantees: gone is told; other streams and the connection live on. */
static void a_reset_by_the_client_ends_one_stream_only(void **state)
{
    int32_t id = client_post(&client, "/later", 10), id2;

    (void)state;
    talk(&rig, &client, 10);
    nghttp2_submit_rst_stream(client.ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    talk(&rig, &client, 5);
    assert_int_equal(rig.heard.n_gone, 1);
    id2 = client_post(&client, "/ok", 10);
    talk_until_closed(&rig, &client, 2);
    assert_int_equal(client_answer(&client, id2)->grpc_status, 0);
}

/** A DATA frame of five bytes, past the client's nghttp2, which would never send it. */
static void send_data(int32_t id)
{
    const uint8_t frame[] = {0, 0, 5, NGHTTP2_DATA, 0, 0, 0, 0, (uint8_t)id, 'h', 'e', 'l', 'l', 'o'};

    assert_int_equal(send(client.fd, frame, sizeof frame, 0), sizeof frame);
}

/* Scenario: DATA for a stream that the client has reset, together with the reset and after it; then for one that it has
 * ended and that was answered.
 * Guarantees: the first ones cost tokens and are no reason to end the connection; the last one is: STREAM_CLOSED. */
static void data_for_streams_that_are_over_is_answered(void **state)
{
    int32_t id = client_post(&client, "/later", 10), id2;

    (void)state;
    talk(&rig, &client, 10);
    nghttp2_submit_rst_stream(client.ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    client_send(&client);
    send_data(id);
    talk(&rig, &client, 5);
    send_data(id);
    talk(&rig, &client, 5);
    assert_int_equal(client.n_goaways, 0);
    id2 = client_post(&client, "/ok", 10);
    talk_until_closed(&rig, &client, 2);
    assert_int_equal(client_answer(&client, id2)->grpc_status, 0);
    talk(&rig, &client, 2);
    send_data(id2);
    talk(&rig, &client, 5);
    assert_int_equal(client.goaway_code, NGHTTP2_STREAM_CLOSED);
    assert_true(client.eof);
}

/* Scenario: 101 headers; then a header of 20 KB.
 * Guarantees: 431, the handler hears nothing, the connection lives. */
static void too_many_or_too_large_headers_are_answered_with_431(void **state)
{
    static char names[120][8], big[20001];
    nghttp2_nv nva[124] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/ok"), NV(":authority", "h")};
    int32_t id;

    (void)state;
    for (unsigned i = 0; i < 101; i++) {
        snprintf(names[i], sizeof names[i], "x%u", i);
        nva[4 + i] = (nghttp2_nv)NV(names[i], "v");
    }
    id = nghttp2_submit_request(client.ng, NULL, nva, 105, NULL, NULL);
    talk_until_closed(&rig, &client, 1);
    assert_int_equal(client_answer(&client, id)->status, 431);
    memset(big, 'x', sizeof big - 1);
    nva[4] = (nghttp2_nv)NV("big", big);
    id = nghttp2_submit_request(client.ng, NULL, nva, 5, NULL, NULL);
    talk_until_closed(&rig, &client, 2);
    assert_int_equal(client_answer(&client, id)->status, 431);
    assert_int_equal(rig.heard.n_heads, 0);
    id = nghttp2_submit_request(client.ng, NULL, nva, 4, NULL, NULL);
    talk_until_closed(&rig, &client, 3);
    assert_int_equal(client_answer(&client, id)->status, 200);
}

/* Scenario: quiesce while one request waits for its answer and another one is on its way.
 * Guarantees: GOAWAY with the highest number first; the one on its way is served; then GOAWAY with the last number;
 * the waiting one is answered before the connection ends. */
static void quiescing_takes_two_steps_and_loses_nothing(void **state)
{
    int32_t waiting = client_post(&client, "/later", 10), late;

    (void)state;
    talk(&rig, &client, 10);
    gw_hs_server_quiesce(rig.server);
    late = client_post(&client, "/ok", 10);
    client_send(&client);
    rig_turn(&rig, 1);
    client_recv(&client);
    assert_int_equal(client.n_goaways, 1);
    assert_int_equal(client.goaway_last, 0x7fffffff);
    talk(&rig, &client, 10);
    assert_int_equal(client.n_goaways, 2);
    assert_int_equal(client.goaway_last, late);
    assert_int_equal(client.goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(client_answer(&client, late)->grpc_status, 0);
    assert_false(client.eof);
    rig_answer(&rig);
    talk(&rig, &client, 10);
    assert_int_equal(client_answer(&client, waiting)->grpc_status, 0);
    assert_true(client.eof);
    close(dup(client.fd));
    shutdown(client.fd, SHUT_RDWR);
    rig_turn(&rig, 5);
    assert_true(gw_hs_server_is_idle(rig.server));
    assert_int_equal(rig_connect(&rig), -ECONNREFUSED);
}

/* Scenario: a client sends PINGs 10 s apart with no stream open, as a misconfigured keepalive does.
 * Guarantees: the third one over the allowance ends the connection with too_many_pings, as grpc-go's servers do. */
static void pings_that_come_too_often_end_the_connection(void **state)
{
    unsigned n = 0;

    (void)state;
    talk(&rig, &client, 5);
    for (; n < 10 && !client.eof; n++) {
        nghttp2_submit_ping(client.ng, NGHTTP2_FLAG_NONE, NULL);
        talk(&rig, &client, 5);
        rig.fake.mono_ns += 10 * SECOND;
    }
    assert_int_equal(n, 4);
    assert_int_equal(client.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(client.goaway_text, "too_many_pings");
}

/* Scenario: nothing comes from the peer for two hours; it answers the PING, then it does not.
 * Guarantees: a PING is sent after keepalive_time, and the connection is cut after keepalive_timeout without an answer.
 */
static void a_silent_peer_is_pinged_and_cut_when_it_does_not_answer(void **state)
{
    (void)state;
    talk(&rig, &client, 5);
    rig.fake.mono_ns += 7201 * SECOND;
    talk(&rig, &client, 5); /* answers */
    rig.fake.mono_ns += 30 * SECOND;
    talk(&rig, &client, 5);
    assert_false(client.eof);
    rig.fake.mono_ns += 7201 * SECOND;
    rig_turn(&rig, 3);
    rig.fake.mono_ns += 21 * SECOND;
    rig_turn(&rig, 3);
    assert_true(gw_hs_server_is_idle(rig.server));
}

/* Scenario: a body stops in the middle for 31 s.
 * Guarantees: the stream is reset, gone is told, the connection lives. */
static void a_body_that_stops_is_reset(void **state)
{
    int32_t id = client_post(&client, "/ok", 10 * 1000 * 1000);

    (void)state;
    client_send(&client);
    rig_turn(&rig, 10); /* all that the first window lets through */
    assert_true(rig.heard.n_body > 0);
    rig.fake.mono_ns += 31 * SECOND;
    rig_turn(&rig, 3);
    assert_int_equal(rig.heard.n_gone, 1);
    client_recv(&client);
    assert_int_equal(client_answer(&client, id)->error, NGHTTP2_CANCEL);
}

/* Scenario: the client sends its preface and nothing else; another one not even that.
 * Guarantees: both are cut after header_timeout. */
static void a_connection_that_says_nothing_is_cut(void **state)
{
    int fd = rig_connect(&rig);

    (void)state;
    rig_turn(&rig, 3);
    assert_false(gw_hs_server_is_idle(rig.server));
    assert_int_equal(send(client.fd, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN, 0), NGHTTP2_CLIENT_MAGIC_LEN);
    rig_turn(&rig, 3);
    rig.fake.mono_ns += 10 * SECOND + 2 * MS;
    rig_turn(&rig, 3);
    assert_true(gw_hs_server_is_idle(rig.server));
    close(fd);
}

/* Scenario: answers of 1 MiB to 40 requests, and a client that reads nothing.
 * Guarantees: what we hold beyond the answers themselves is bounded by the window; when nothing moves for 30 s it ends.
 */
static void a_client_that_reads_nothing_is_cut(void **state)
{
    (void)state;
    talk(&rig, &client, 5);
    client.reads_nothing = true;
    for (unsigned i = 0; i < 40; i++)
        client_post(&client, "/big", 0);
    talk(&rig, &client, 20);
    assert_int_equal(rig.heard.n_ends, 40);
    rig.fake.mono_ns += 31 * SECOND;
    talk(&rig, &client, 5);
    assert_int_equal(rig.heard.n_open, 0);
}

/* Scenario: a client whose window is 0 asks ten times and never opens it.
 * Guarantees: the stalled streams are reset after body_idle_timeout, the connection lives. */
static void streams_that_the_peer_stalls_are_reset(void **state)
{
    nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};

    (void)state;
    nghttp2_submit_settings(client.ng, NGHTTP2_FLAG_NONE, &none, 1);
    talk(&rig, &client, 5);
    for (unsigned i = 0; i < 10; i++)
        client_post(&client, "/ok", 0);
    talk(&rig, &client, 10);
    assert_int_equal(rig.heard.n_ends, 10);
    assert_int_equal(rig.heard.n_open, 10);
    rig.fake.mono_ns += 31 * SECOND;
    talk(&rig, &client, 5);
    assert_int_equal(rig.heard.n_open, 0);
    assert_int_equal(client_answer(&client, 1)->error, NGHTTP2_CANCEL);
    assert_false(client.eof);
}

/* Scenario: read_timeout is 10 s; a body comes in drops, one every 5 s.
 * Guarantees: the request is reset although its body never stops. */
static void read_timeout_is_for_the_whole_request(void **state)
{
    (void)state;
    rig_stop(&rig);
    rig.conf.read_timeout_ns = 10 * SECOND;
    assert_int_equal(rig_start(&rig, NULL), 0);
    client_close(&client);
    client_attach(&client, rig_connect(&rig));
    client_post(&client, "/ok", 100 * 1000 * 1000);
    for (unsigned i = 0; i < 3; i++) {
        client_send(&client);
        rig_turn(&rig, 5);
        rig.fake.mono_ns += 5 * SECOND;
        assert_int_equal(rig.heard.n_gone, 0);
        client_recv(&client);
    }
    rig_turn(&rig, 5);
    assert_int_equal(rig.heard.n_gone, 1);
    assert_int_equal(rig.heard.n_ends, 0);
}

/* Scenario: the client asks with "expect: 100-continue", once for what is admitted, once for what is refused.
 * Guarantees: 100 comes for the first only. */
static void an_expectation_is_met_only_when_the_body_is_wanted(void **state)
{
    nghttp2_nv nva[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/ok"), NV(":authority", "h"),
                        NV("expect", "100-continue")};
    nghttp2_data_provider body = {.read_callback = client_read_body};

    (void)state;
    client.body_left = 100000; /* more than the first window: the answer proves nothing yet */
    *client_answer(&client, 1) = (struct answer){0};
    nghttp2_submit_request(client.ng, NULL, nva, 5, &body, NULL);
    client_send(&client);
    rig_turn(&rig, 3);
    client_recv(&client);
    assert_int_equal(client_answer(&client, 1)->status, 100);
    nva[2] = (nghttp2_nv)NV(":path", "/refuse");
    client.body_left += 100000;
    *client_answer(&client, 3) = (struct answer){0};
    nghttp2_submit_request(client.ng, NULL, nva, 5, &body, NULL);
    client_send(&client);
    rig_turn(&rig, 3);
    client_recv(&client);
    assert_int_equal(client_answer(&client, 3)->status, 413);
}

/* Scenario: max_concurrent_streams is 3; five requests that wait for their answers.
 * Guarantees: the peer is told 3, and the handler has three at a time. */
static void max_concurrent_streams_has_an_effect(void **state)
{
    (void)state;
    rig_stop(&rig);
    rig.conf.max_concurrent_streams = 3;
    assert_int_equal(rig_start(&rig, NULL), 0);
    client_close(&client);
    client_attach(&client, rig_connect(&rig));
    talk(&rig, &client, 5);
    assert_int_equal(nghttp2_session_get_remote_settings(client.ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 3);
    for (unsigned i = 0; i < 5; i++)
        client_post(&client, "/later", 0);
    talk(&rig, &client, 10);
    assert_int_equal(rig.heard.n_open, 3);
}

/* Scenario: max_connection_age is an hour with ten minutes of grace; a request is open all the time.
 * Guarantees: GOAWAY after 54 to 66 minutes, cut after the grace. */
static void an_old_connection_is_asked_to_leave_then_cut(void **state)
{
    struct client old;
    uint64_t t0;

    (void)state;
    rig_stop(&rig);
    rig.conf.max_connection_age_ns = 3600 * SECOND;
    rig.conf.max_connection_age_grace_ns = 600 * SECOND;
    rig.conf.keepalive_time_ns = 0;
    assert_int_equal(rig_start(&rig, NULL), 0);
    client_attach(&old, rig_connect(&rig));
    client_post(&old, "/later", 0);
    talk(&rig, &old, 5);
    t0 = rig.fake.mono_ns;
    while (old.n_goaways == 0 && rig.fake.mono_ns < t0 + 7200 * SECOND) {
        rig.fake.mono_ns += 60 * SECOND;
        talk(&rig, &old, 3);
    }
    assert_in_range((unsigned)((rig.fake.mono_ns - t0) / SECOND), 3240, 3960 + 60);
    rig.fake.mono_ns += 590 * SECOND;
    talk(&rig, &old, 3);
    assert_false(old.eof);
    rig.fake.mono_ns += 20 * SECOND;
    talk(&rig, &old, 3);
    assert_true(gw_hs_server_is_idle(rig.server));
    client_close(&old);
}

static long rss_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

/* Scenario: 1000 connections make one request of 19 KB each, then they are idle.
 * Guarantees: an idle connection holds at most 32 KiB of the process, the test's own clients apart. */
static void an_idle_connection_holds_little_memory(void **state)
{
    enum { N = 1000 };
    static int fds[N];
    struct client c;
    long before, per;

    (void)state;
    client_post(&client, "/ok", 19000);
    talk_until_closed(&rig, &client, 1);
    before = rss_kib();
    for (unsigned i = 0; i < N; i++) {
        client_attach(&c, rig_connect(&rig));
        client_post(&c, "/ok", 19000);
        talk_until_closed(&rig, &c, 1);
        assert_int_equal(client_answer(&c, 1)->grpc_status, 0);
        fds[i] = c.fd;
        nghttp2_session_del(c.ng);
    }
    rig_turn(&rig, 3);
    per = (rss_kib() - before) * 1024 / N;
    print_message("an idle HTTP/2 connection: %ld bytes\n", per);
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
    assert_true(per <= 32 * 1024);
#endif
    for (unsigned i = 0; i < N; i++)
        close(fds[i]);
    rig_turn(&rig, 50);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_request_is_heard_whole_and_answered_with_trailers),
        CASE(windows_go_with_the_answer),
        CASE(bodies_that_come_together_get_a_window_each),
        CASE(who_has_ended_or_is_answered_gets_no_window),
        CASE(what_came_before_a_reset_is_given_back),
        CASE(a_body_that_is_there_is_told_frame_by_frame),
        CASE(resets_of_the_last_stream_are_counted_when_it_is_over),
        CASE(a_frame_may_be_as_large_as_the_first_window),
        CASE(an_answer_without_a_body_is_trailers_only),
        CASE(a_refusal_at_the_head_takes_nothing_of_the_body),
        CASE(a_window_grows_only_for_a_body_that_needs_it),
        CASE(windows_wait_for_memory),
        CASE(a_window_waits_for_a_second_at_most),
        CASE(an_answer_frees_what_was_held),
        CASE(a_body_that_trickles_is_reset),
        CASE(an_answer_may_come_later_and_its_name_dies_with_the_stream),
        CASE(an_answer_left_open_goes_on_until_its_end),
        CASE(an_open_answer_that_stalls_is_bounded_and_reset),
        CASE(a_peer_that_leaves_takes_its_streams_along),
        CASE(a_reset_by_the_client_ends_one_stream_only),
        CASE(data_for_streams_that_are_over_is_answered),
        CASE(too_many_or_too_large_headers_are_answered_with_431),
        CASE(quiescing_takes_two_steps_and_loses_nothing),
        CASE(pings_that_come_too_often_end_the_connection),
        CASE(a_silent_peer_is_pinged_and_cut_when_it_does_not_answer),
        CASE(a_body_that_stops_is_reset),
        CASE(a_connection_that_says_nothing_is_cut),
        CASE(a_client_that_reads_nothing_is_cut),
        CASE(streams_that_the_peer_stalls_are_reset),
        CASE(read_timeout_is_for_the_whole_request),
        CASE(an_expectation_is_met_only_when_the_body_is_wanted),
        CASE(max_concurrent_streams_has_an_effect),
        CASE(an_old_connection_is_asked_to_leave_then_cut),
        CASE(an_idle_connection_holds_little_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
