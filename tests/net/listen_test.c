/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/hs.h"

/* A connect that does not wait: 0, or the errno. */
static int dial(const struct sockaddr_storage *to, socklen_t n, int *ret_fd)
{
    *ret_fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(*ret_fd >= 0);
    if (connect(*ret_fd, (const struct sockaddr *)to, n) < 0 && errno != EINPROGRESS)
        return errno;
    return poll(&(struct pollfd){.fd = *ret_fd, .events = POLLOUT}, 1, 0) == 1 ? 0 : EINPROGRESS;
}

/*
 * Scenario    one client comes before the door is hushed, one after; then the first is accepted
 * Guarantees  the first gets in and can be heard; the second is neither let in nor reset: its handshake is not answered
 */
static void a_hushed_door_lets_nobody_in_and_resets_nobody(void **state)
{
    struct sockaddr_storage to;
    socklen_t n = sizeof to;
    struct gw_listen li = {0};
    struct gw_err err = {""};
    int before, after, in;
    char c = 0;

    (void)state;
    assert_int_equal(gw_listen_open("tcp", "127.0.0.1:0", /* beside= */ false, &li, &err), 0);
    assert_int_equal(getsockname(li.fds[0], (struct sockaddr *)&to, &n), 0);
    assert_int_equal(dial(&to, n, &before), 0);
    gw_listen_hush(&li);
    assert_int_equal(dial(&to, n, &after), EINPROGRESS);
    in = accept4(li.fds[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(in >= 0);
    assert_int_equal(accept4(li.fds[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), -1);
    assert_int_equal(errno, EAGAIN);
    gw_listen_close(&li);
    assert_int_equal(write(before, "x", 1), 1);
    assert_int_equal(read(in, &c, 1), 1);
    assert_int_equal(c, 'x');
    assert_int_equal(poll(&(struct pollfd){.fd = after, .events = POLLIN}, 1, 0), 0);
    close(before);
    close(after);
    close(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_hushed_door_lets_nobody_in_and_resets_nobody)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
