/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control_client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/json_writer.h"
#include "runtime/control.h"

enum { READ_BYTES = 65536, LINE_MAX_BYTES = GW_CONTROL_FULL + GW_CONTROL_MAX_WRITE };

static int dial(const char *path, struct gw_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, rc;

    if (strlen(path) >= sizeof(a.sun_path))
        return gw_fail(err, -ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes", path,
                       sizeof(a.sun_path) - 1);
    (void)memcpy(a.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return gw_fail(err, -errno, "socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    rc = -errno;
    (void)close(fd);
    return gw_fail(err, rc, "%s: %s", path,
                   rc == -ENOENT || rc == -ECONNREFUSED ? "no gateway runs with this configuration" : strerror(-rc));
}

static int send_all(int fd, struct gw_slice s)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        s = gw_slice_of(s.p + n, s.n - (size_t)n);
    }
    return 0;
}

static int send_request(int fd, const struct gw_control_request *rq)
{
    struct gw_buf b;
    int rc;

    gw_buf_init(&b, GW_CONTROL_MAX_REQUEST);
    gw_buf_put_str(&b, "{\"command\": ");
    gw_json_put_string(&b, gw_slice_cstr(rq->command));
    gw_buf_put_str(&b, ", \"args\": ");
    gw_buf_put_slice(&b, rq->args.n ? rq->args : GW_SLICE("{}"));
    gw_buf_put_str(&b, "}\n");
    rc = b.failed ? -E2BIG : send_all(fd, gw_buf_slice(&b));
    gw_buf_clear(&b);
    return rc;
}

/* The exit code of "= 12", or -EPROTO. */
static int exit_code(struct gw_slice line)
{
    int code = 0;

    if (line.n < 3 || line.n > 5 || line.p[1] != ' ')
        return -EPROTO;
    for (size_t i = 2; i < line.n; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return -EPROTO;
        code = code * 10 + (line.p[i] - '0');
    }
    return code <= 255 ? code : -EPROTO;
}

/* -EAGAIN: no end yet. */
static int take_line(const struct gw_control_request *rq, struct gw_slice line)
{
    if (line.n > 0 && line.p[0] == '=')
        return exit_code(line);
    if (line.n < 2 || (line.p[0] != '1' && line.p[0] != '2') || line.p[1] != ' ')
        return -EPROTO;
    rq->line(rq->arg, line.p[0] - '0', gw_slice_of(line.p + 2, line.n - 2));
    return -EAGAIN;
}

/* All whole lines; what is left of them moves to the front. */
static int take_lines(const struct gw_control_request *rq, struct gw_buf *in, size_t before)
{
    size_t at = 0, from = before;
    int rc = -EAGAIN;

    while (rc == -EAGAIN) {
        const uint8_t *end = from < in->n ? memchr(in->p + from, '\n', in->n - from) : NULL;

        if (!end)
            break;
        rc = take_line(rq, gw_slice_of(in->p + at, (size_t)(end - in->p) - at));
        at = from = (size_t)(end - in->p) + 1;
    }
    if (at > 0) {
        (void)memmove(in->p, in->p + at, in->n - at);
        in->n -= at;
    }
    return rc;
}

static int read_answer(int fd, const struct gw_control_request *rq)
{
    struct gw_buf in;
    int rc = -EAGAIN;

    gw_buf_init(&in, LINE_MAX_BYTES);
    while (rc == -EAGAIN) {
        size_t before = in.n;
        ssize_t n;

        if (gw_buf_reserve(&in, READ_BYTES) < 0) {
            rc = -EPROTO; /* no gateway writes such lines */
            break;
        }
        n = recv(fd, in.p + in.n, READ_BYTES, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : -ECONNRESET;
            break;
        }
        in.n += (size_t)n;
        rc = take_lines(rq, &in, before);
    }
    gw_buf_clear(&in);
    return rc;
}

int gw_control_ask(const struct gw_control_request *rq, struct gw_err *err)
{
    int fd = dial(rq->path, err), rc;

    if (fd < 0)
        return fd;
    rc = send_request(fd, rq);
    if (rc == 0 || rc == -EPIPE) /* a gateway that hangs up at once may have said why */
        rc = read_answer(fd, rq);
    (void)close(fd);
    if (rc == -ECONNRESET)
        return gw_fail(err, rc, "%s: the gateway ended before the command did", rq->path);
    if (rc == -EPROTO)
        return gw_fail(err, rc, "%s: what answers there is no gateway of this version", rq->path);
    return rc < 0 ? gw_fail(err, rc, "%s: %s", rq->path, strerror(-rc)) : rc;
}
