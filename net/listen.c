/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/hs.h"

void gw_peer_text(const struct sockaddr_storage *sa, char *ret, size_t n)
{
    char text[INET6_ADDRSTRLEN];

    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        snprintf(ret, n, "%s:%u", text, ntohs(in->sin_port));
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) { /* a dual-stack socket's IPv4 peers keep their own form */
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof text);
            snprintf(ret, n, "%s:%u", text, ntohs(in6->sin6_port));
        } else {
            inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
            snprintf(ret, n, "[%s]:%u", text, ntohs(in6->sin6_port));
        }
    } else {
        snprintf(ret, n, "unix");
    }
}

/** "host:port", "[v6]:port", ":port". */
static int split(const char *endpoint, char *ret_host, size_t n_host, unsigned *ret_port, struct gw_err *err)
{
    const char *colon = strrchr(endpoint, ':'), *host = endpoint;
    char *end;
    unsigned long port;
    size_t n;

    if (!colon)
        return gw_fail(err, -EINVAL, "endpoint \"%s\": missing port, write host:port", endpoint);
    n = (size_t)(colon - host);
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    } else if (memchr(host, ':', n)) {
        return gw_fail(err, -EINVAL, "endpoint \"%s\": an IPv6 address needs brackets, write [host]:port", endpoint);
    }
    if (n >= n_host)
        return gw_fail(err, -EINVAL, "endpoint \"%s\": host name too long", endpoint);
    port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || port > 65535)
        return gw_fail(err, -EINVAL, "endpoint \"%s\": the port must be a number from 0 to 65535", endpoint);
    memcpy(ret_host, host, n);
    ret_host[n] = 0;
    *ret_port = (unsigned)port;
    return 0;
}

/** One listening socket. Returns the descriptor or a negative errno. */
static int listen_on(const struct sockaddr *sa, socklen_t n, bool v6_only, bool beside)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, only = v6_only, code;

    if (fd < 0)
        return -errno;
    if (sa->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (beside)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (sa->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (bind(fd, sa, n) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    code = -errno;
    close(fd);
    return code;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
        return 0;
    return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                          : ((struct sockaddr_in *)&sa)->sin_port);
}

/** Bind one address; on success it is the next of li's sockets. */
static int add_address(struct gw_listen *li, int family, const void *address, unsigned port, bool v6_only)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    int fd;

    if (family == AF_INET) {
        memcpy(&in.sin_addr, address, sizeof in.sin_addr);
        fd = listen_on((struct sockaddr *)&in, sizeof in, false, li->beside);
    } else {
        memcpy(&in6.sin6_addr, address, sizeof in6.sin6_addr);
        fd = listen_on((struct sockaddr *)&in6, sizeof in6, v6_only, li->beside);
    }
    if (fd < 0)
        return fd;
    li->fds[li->n_fds++] = fd;
    li->port = port_of(fd);
    return 0;
}

static bool is_no_family(int code)
{
    return code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL;
}

/** No host: both families on one socket, or IPv4 where there is no IPv6. */
static int open_any(struct gw_listen *li, const char *transport, unsigned port)
{
    struct in_addr any4 = {.s_addr = INADDR_ANY};
    int code;

    if (strcmp(transport, "tcp4") == 0)
        return add_address(li, AF_INET, &any4, port, false);
    code = add_address(li, AF_INET6, &in6addr_any, port, /* v6_only= */ strcmp(transport, "tcp6") == 0);
    if (is_no_family(code) && strcmp(transport, "tcp6") != 0)
        code = add_address(li, AF_INET, &any4, port, false);
    return code;
}

/** Clients resolve "localhost" to either family and not all try both: listen on both, where both exist. */
static int open_localhost(struct gw_listen *li, const char *transport, unsigned port)
{
    struct in_addr loop4 = {.s_addr = htonl(INADDR_LOOPBACK)};
    int code;

    if (strcmp(transport, "tcp6") == 0)
        return add_address(li, AF_INET6, &in6addr_loopback, port, true);
    code = add_address(li, AF_INET, &loop4, port, false);
    if (strcmp(transport, "tcp4") == 0 || (code < 0 && !is_no_family(code)))
        return code;
    if (code == 0) { /* the other family gets the port that the first one got; without it we still serve */
        unsigned got = li->port;
        int code6 = add_address(li, AF_INET6, &in6addr_loopback, got, true);

        return code6 == -EADDRINUSE && port != 0 ? code6 : 0;
    }
    return add_address(li, AF_INET6, &in6addr_loopback, port, true);
}

static int open_resolved(struct gw_listen *li, const char *transport, const char *endpoint, const char *host,
                         unsigned port, struct gw_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list, *chosen;
    int code;

    hints.ai_family = strcmp(transport, "tcp4") == 0 ? AF_INET : strcmp(transport, "tcp6") == 0 ? AF_INET6 : AF_UNSPEC;
    code = getaddrinfo(host, NULL, &hints, &list);
    if (code != 0)
        return gw_fail(err, -EINVAL, "endpoint \"%s\": host \"%s\": %s", endpoint, host, gai_strerror(code));
    chosen = list;
    for (struct addrinfo *a = list; a; a = a->ai_next)
        if (a->ai_family == AF_INET) { /* as Go does: IPv4 when a name has both */
            chosen = a;
            break;
        }
    if (chosen->ai_family == AF_INET)
        code = add_address(li, AF_INET, &((struct sockaddr_in *)chosen->ai_addr)->sin_addr, port, false);
    else
        code = add_address(li, AF_INET6, &((struct sockaddr_in6 *)chosen->ai_addr)->sin6_addr, port,
                           strcmp(transport, "tcp6") == 0);
    freeaddrinfo(list);
    return code;
}

struct gw_unix_path {
    _Atomic unsigned refs;
    char text[];
};

/** NULL without memory: then the file stays behind, and the next one who listens there takes it for stale. */
static struct gw_unix_path *unix_path_new(const char *text)
{
    struct gw_unix_path *p = malloc(sizeof *p + strlen(text) + 1);

    if (p) {
        atomic_init(&p->refs, 1);
        memcpy(p->text, text, strlen(text) + 1);
    }
    return p;
}

static void unix_path_unref(struct gw_unix_path *p)
{
    if (p && atomic_fetch_sub(&p->refs, 1) == 1) {
        unlink(p->text);
        free(p);
    }
}

/** Is somebody listening there? Otherwise the file is what a process that was killed left behind. */
static bool is_stale(const struct sockaddr_un *un, socklen_t n)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale;

    if (fd < 0)
        return false;
    stale = connect(fd, (const struct sockaddr *)un, n) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int open_unix(struct gw_listen *li, const char *path, struct gw_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n_path = strlen(path);
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n_path + (path[0] != '@'));
    int fd;

    if (n_path == 0 || n_path >= sizeof un.sun_path)
        return gw_fail(err, -EINVAL, "endpoint \"%s\": a socket path has 1 to %zu bytes", path, sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, n_path);
    if (path[0] == '@')
        un.sun_path[0] = 0; /* Linux's abstract names, spelt as Go spells them */
    fd = listen_on((struct sockaddr *)&un, n, false, false);
    if (fd == -EADDRINUSE && path[0] != '@' && is_stale(&un, n)) {
        unlink(path);
        fd = listen_on((struct sockaddr *)&un, n, false, false);
    }
    if (fd < 0)
        return fd;
    li->fds[li->n_fds++] = fd;
    if (path[0] != '@')
        li->unix_path = unix_path_new(path);
    return 0;
}

int gw_listen_open(const char *transport, const char *endpoint, bool beside, struct gw_listen *ret, struct gw_err *err)
{
    struct gw_listen li = {.beside = beside};
    struct gw_err why = {{0}};
    char host[256];
    unsigned port = 0;
    int code;

    if (!transport || !*transport)
        transport = "tcp";
    if (strcmp(transport, "unix") == 0) {
        code = open_unix(&li, endpoint, &why);
    } else if (strcmp(transport, "tcp") != 0 && strcmp(transport, "tcp4") != 0 && strcmp(transport, "tcp6") != 0) {
        return gw_fail(err, -EINVAL, "transport \"%s\": must be tcp, tcp4, tcp6 or unix", transport);
    } else {
        code = split(endpoint, host, sizeof host, &port, err);
        if (code < 0)
            return code;
        if (!*host)
            code = open_any(&li, transport, port);
        else if (strcmp(host, "localhost") == 0)
            code = open_localhost(&li, transport, port);
        else
            code = open_resolved(&li, transport, endpoint, host, port, &why);
    }
    if (code < 0) {
        gw_listen_close(&li);
        if (why.text[0])
            return gw_fail(err, code, "%s", why.text);
        return gw_fail(err, code, "cannot listen on \"%s\": %s", endpoint, strerror(-code));
    }
    *ret = li;
    return 0;
}

void gw_listen_hush(struct gw_listen *li)
{
    /* Only who begins (SYN, in byte 13 of TCP's head): a client whose last ACK is dropped has connected and sent its
     * request, and is reset when the socket is closed. */
    struct sock_filter no_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog all = {.len = sizeof(no_syn) / sizeof(no_syn[0]), .filter = no_syn};

    for (unsigned i = 0; i < li->n_fds; i++)
        (void)setsockopt(li->fds[i], SOL_SOCKET, SO_ATTACH_FILTER, &all,
                         sizeof all); /* Unix sockets have no such way */
}

void gw_listen_close(struct gw_listen *li)
{
    for (unsigned i = 0; i < li->n_fds; i++)
        close(li->fds[i]);
    li->n_fds = 0;
    unix_path_unref(li->unix_path);
    li->unix_path = NULL;
}

int gw_listen_share(struct gw_listen *li, struct gw_listen *ret)
{
    struct gw_listen to = {.port = li->port};

    for (; to.n_fds < li->n_fds; to.n_fds++) {
        to.fds[to.n_fds] = fcntl(li->fds[to.n_fds], F_DUPFD_CLOEXEC, 0);
        if (to.fds[to.n_fds] < 0) {
            int code = -errno;

            gw_listen_close(&to);
            return code;
        }
    }
    to.unix_path = li->unix_path;
    if (to.unix_path)
        atomic_fetch_add(&to.unix_path->refs, 1);
    *ret = to;
    return 0;
}

/** A wider address (0.0.0.0 after localhost) is another socket; the kernel lets both stand when both say so. */
void gw_listen_allow(struct gw_listen *li)
{
    int one = 1;

    for (unsigned i = 0; i < li->n_fds; i++)
        setsockopt(li->fds[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
}
