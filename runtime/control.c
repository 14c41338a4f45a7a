/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call is destroyed only by its socket, its timer, or the end of the whole: never inside of what a command calls.
 *
 *   READING ─► RUNNING ─► ENDING ─► closed
 *   a line     start()    the rest is sent
 */
#include "runtime/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/yaml.h"
#include "core/buf.h"

enum { BACKLOG = 16, TREE_CHUNK = 4096, TREE_MAX = 8 << 20, SAY_BYTES = 1024, EX_USAGE = 64, EX_BUSY = 75 };
#define LINE_NS  10000000000u /* for the request */
#define REST_NS  30000000000u /* to take the last lines */
#define AGAIN_NS 1000000000u  /* out of descriptors: until the next accept */

struct gw_control_call {
    struct gw_fd fd; /* first */
    struct gw_timer timer;
    struct gw_control *ctl;
    struct gw_control_call *next;
    enum { READING, RUNNING, ENDING } state;
    const struct gw_control_command *command;
    void *own;
    struct gw_arena arena; /* of the request's tree */
    struct gw_diag diag;
    struct gw_buf in, out;
    size_t sent; /* of out */
    bool waits;  /* a write was not taken */
};

struct gw_control {
    struct gw_control_conf conf;
    struct gw_fd fd;
    struct gw_timer timer;
    struct gw_control_call *calls;
    unsigned n_calls;
    char path[GW_CONTROL_PATH_BYTES];
};

/* ---- where ------------------------------------------------------------------------------------------------ */

/* The text setting `directory` of a component, its default included. */
static const char *directory_of(const struct gw_service_component *c)
{
    const struct gw_field *f = c->type->fields ? gw_field_find(c->type->fields, "directory") : NULL;

    return f && f->type == GW_F_STRING && c->conf ? *(const char *const *)((const char *)c->conf + f->offset) : NULL;
}

bool gw_control_path(const struct gw_service *s, char path[GW_CONTROL_PATH_BYTES])
{
    int n = 0;

    if (s->runtime.control_socket && *s->runtime.control_socket)
        n = snprintf(path, GW_CONTROL_PATH_BYTES, "%s", s->runtime.control_socket);
    for (size_t i = 0; n == 0 && i < s->n_extensions; i++) {
        const char *d = s->extensions[i]->type->storage ? directory_of(s->extensions[i]) : NULL;

        if (d && *d)
            n = snprintf(path, GW_CONTROL_PATH_BYTES, "%s/control.sock", d);
    }
    return n > 0 && n < GW_CONTROL_PATH_BYTES;
}

/* ---- a call's end ----------------------------------------------------------------------------------------- */

static void destroy(struct gw_control_call *k)
{
    struct gw_control *ctl = k->ctl;

    for (struct gw_control_call **p = &ctl->calls; *p; p = &(*p)->next)
        if (*p == k) {
            *p = k->next;
            break;
        }
    ctl->n_calls--;
    gw_fd_remove(ctl->conf.loop, &k->fd);
    gw_timer_disarm(&k->timer);
    (void)close(k->fd.fd);
    gw_arena_clear(&k->arena);
    gw_diag_clear(&k->diag);
    gw_buf_clear(&k->in);
    gw_buf_clear(&k->out);
    free(k);
}

/* The client is gone, or we are. */
static void leave(struct gw_control_call *k)
{
    if (k->state == RUNNING && k->command->cancel)
        k->command->cancel(k);
    destroy(k);
}

static void on_call_timer(struct gw_timer *t)
{
    leave((struct gw_control_call *)((char *)t - offsetof(struct gw_control_call, timer)));
}

static void arm(struct gw_control_call *k, uint64_t after_ns)
{
    gw_timer_arm(k->ctl->conf.loop, &k->timer, gw_loop_now_ns(k->ctl->conf.loop) + after_ns);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static size_t pending(const struct gw_control_call *k)
{
    return k->out.n - k->sent;
}

/* What the call waits for. Nothing is written here: a call may die of that. */
static void want(struct gw_control_call *k)
{
    bool write = pending(k) > 0 || k->waits || k->out.failed || k->state == ENDING;

    (void)gw_fd_change(k->ctl->conf.loop, &k->fd, (k->state == ENDING ? 0 : GW_FD_READ) | (write ? GW_FD_WRITE : 0));
}

static void put_lines(struct gw_control_call *k, int fd, struct gw_slice text)
{
    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;

        gw_buf_put(&k->out, fd == 2 ? "2 " : "1 ", 2);
        gw_buf_put(&k->out, text.p, n);
        gw_buf_put_u8(&k->out, '\n');
        n += end != NULL;
        text = gw_slice_of(text.p + n, text.n - n);
    }
    want(k);
}

bool gw_control_write(struct gw_control_call *k, int fd, struct gw_slice text)
{
    if (pending(k) > 0 && pending(k) + text.n > GW_CONTROL_FULL) {
        k->waits = true;
        want(k);
        return false;
    }
    put_lines(k, fd, text);
    return true;
}

void gw_control_say(struct gw_control_call *k, int fd, const char *fmt, ...)
{
    char text[SAY_BYTES];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0)
        put_lines(k, fd, gw_slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

void gw_control_end(struct gw_control_call *k, int exit_code)
{
    k->state = ENDING;
    k->own = NULL;
    k->waits = false;
    gw_buf_printf(&k->out, "= %d\n", exit_code & 0xff);
    arm(k, REST_NS);
    want(k);
}

/* False: the call is gone. */
static bool flush(struct gw_control_call *k)
{
    while (pending(k) > 0 && !k->out.failed) {
        ssize_t n = send(k->fd.fd, k->out.p + k->sent, pending(k), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0) {
            leave(k);
            return false;
        }
        k->sent += (size_t)n;
    }
    if (k->out.failed || (k->state == ENDING && pending(k) == 0)) {
        leave(k);
        return false;
    }
    if (pending(k) == 0) {
        gw_buf_reset(&k->out);
        k->sent = 0;
    }
    return true;
}

static void tell_room(struct gw_control_call *k)
{
    if (k->state != RUNNING || !k->waits || pending(k) > 0)
        return;
    k->waits = false;
    if (k->command->room)
        k->command->room(k);
}

/* ---- the request ------------------------------------------------------------------------------------------ */

static void refuse(struct gw_control_call *k, const char *why)
{
    gw_control_say(k, 2, "error: %s", why);
    gw_control_end(k, EX_USAGE);
}

static const struct gw_control_command *find(const struct gw_control *ctl, const char *name)
{
    for (const struct gw_control_command *const *c = ctl->conf.commands; *c; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

static void start(struct gw_control_call *k, struct gw_slice line)
{
    const struct gw_node *root = gw_yaml_parse(line, "request", &k->arena, &k->diag), /* of which JSON is a part */
        *name = gw_node_get(root, "command"), *args = gw_node_get(root, "args");

    if (!root || root->type != GW_NODE_MAP || line.p[0] != '{') {
        refuse(k, "the request is no JSON object");
        return;
    }
    if (!name || name->type != GW_NODE_STRING || (args && args->type != GW_NODE_MAP)) {
        refuse(k, "a request is {\"command\": a text, \"args\": an object}");
        return;
    }
    k->command = find(k->ctl, name->text);
    if (!k->command) {
        gw_control_say(k, 2, "error: this gateway knows no command \"%.64s\"", name->text);
        gw_control_end(k, EX_USAGE);
        return;
    }
    gw_timer_disarm(&k->timer);
    k->state = RUNNING;
    k->command->start(k, args);
}

static void take_line(struct gw_control_call *k)
{
    const uint8_t *end = k->in.n ? memchr(k->in.p, '\n', k->in.n) : NULL;

    if (end)
        start(k, gw_slice_of(k->in.p, (size_t)(end - k->in.p)));
    else if (k->in.failed || k->in.n >= GW_CONTROL_MAX_REQUEST)
        refuse(k, "the request is longer than 65536 bytes");
}

/* False: the call is gone. More than one line is nothing that we know of: read, and let go of. */
static bool take_bytes(struct gw_control_call *k)
{
    char bytes[4096];
    ssize_t n = recv(k->fd.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return true;
    if (n <= 0) {
        leave(k);
        return false;
    }
    if (k->state == READING) {
        gw_buf_put(&k->in, bytes, (size_t)n);
        take_line(k);
    }
    return true;
}

static void on_call(struct gw_fd *f, unsigned events)
{
    struct gw_control_call *k = (struct gw_control_call *)f;

    if ((events & GW_FD_READ) && !take_bytes(k))
        return;
    if ((events & (GW_FD_WRITE | GW_FD_ERROR)) && !flush(k))
        return;
    tell_room(k);
    want(k);
}

/* ---- the door --------------------------------------------------------------------------------------------- */

/* The mode of the socket keeps others out; this one also keeps out who got it before the mode was set. */
static bool is_ours(int fd)
{
    struct ucred who;
    socklen_t n = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && (who.uid == geteuid() || who.uid == 0);
}

static void open_call(struct gw_control *ctl, int fd)
{
    struct gw_control_call *k = calloc(1, sizeof(*k));

    if (!k) {
        (void)close(fd);
        return;
    }
    k->fd = (struct gw_fd){.fd = fd, .events = GW_FD_READ, .ready = on_call};
    k->timer.fire = on_call_timer;
    k->ctl = ctl;
    gw_arena_init(&k->arena, TREE_CHUNK, TREE_MAX);
    gw_diag_init(&k->diag);
    gw_buf_init(&k->in, GW_CONTROL_MAX_REQUEST);
    gw_buf_init(&k->out, GW_CONTROL_FULL + GW_CONTROL_MAX_WRITE);
    k->next = ctl->calls;
    ctl->calls = k;
    ctl->n_calls++;
    arm(k, LINE_NS);
    if (gw_fd_add(ctl->conf.loop, &k->fd) < 0) {
        k->fd.events = 0;
        destroy(k);
    }
}

static void turn_away(int fd)
{
    static const char busy[] = "2 error: the gateway has too many commands under way\n= 75\n";

    _Static_assert(EX_BUSY == 75, "as written above");
    (void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

static void on_door_timer(struct gw_timer *t)
{
    struct gw_control *ctl = (struct gw_control *)((char *)t - offsetof(struct gw_control, timer));

    (void)gw_fd_change(ctl->conf.loop, &ctl->fd, GW_FD_READ);
}

static void on_door(struct gw_fd *f, unsigned events)
{
    struct gw_control *ctl = (struct gw_control *)((char *)f - offsetof(struct gw_control, fd));
    int fd;

    (void)events;
    while ((fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (!is_ours(fd))
            (void)close(fd);
        else if (ctl->n_calls >= GW_CONTROL_MAX_CALLS)
            turn_away(fd);
        else
            open_call(ctl, fd);
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        (void)gw_fd_change(ctl->conf.loop, &ctl->fd, 0); /* it would be told at once again */
        gw_timer_arm(ctl->conf.loop, &ctl->timer, gw_loop_now_ns(ctl->conf.loop) + AGAIN_NS);
    }
}

/* ---- listening -------------------------------------------------------------------------------------------- */

static int address(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    (void)memcpy(ret->sun_path, path, strlen(path) + 1);
    return 0;
}

/* A socket that nobody listens on is left over from a gateway that died. */
static int take_over(const struct sockaddr_un *a)
{
    struct stat st;
    int fd, rc;

    if (lstat(a->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    rc = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN ? -EADDRINUSE : 0;
    (void)close(fd);
    return rc == 0 && unlink(a->sun_path) < 0 ? -errno : rc;
}

static int listen_at(struct gw_control *ctl)
{
    struct sockaddr_un a;
    int rc = address(ctl->path, &a);

    if (rc == 0)
        rc = take_over(&a);
    if (rc < 0)
        return rc;
    ctl->fd.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ctl->fd.fd < 0)
        return -errno;
    /* Before bind: the file never has another mode. */
    if (fchmod(ctl->fd.fd, 0600) < 0 || bind(ctl->fd.fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(ctl->fd.fd, BACKLOG) < 0) {
        rc = -errno;
        (void)close(ctl->fd.fd);
        return rc;
    }
    return 0;
}

int gw_control_new(const struct gw_control_conf *conf, struct gw_control **ret, struct gw_err *err)
{
    struct gw_control *ctl = calloc(1, sizeof(*ctl));
    int rc;

    *ret = NULL;
    if (!ctl)
        return gw_fail(err, -ENOMEM, "out of memory");
    ctl->conf = *conf;
    ctl->conf.path = ctl->path;
    ctl->timer.fire = on_door_timer;
    ctl->fd = (struct gw_fd){.fd = -1, .events = GW_FD_READ, .ready = on_door};
    (void)snprintf(ctl->path, sizeof(ctl->path), "%s", conf->path);
    rc = listen_at(ctl);
    if (rc == 0 && (rc = gw_fd_add(conf->loop, &ctl->fd)) < 0) {
        (void)close(ctl->fd.fd);
        (void)unlink(ctl->path);
    }
    if (rc < 0) {
        free(ctl);
        return gw_fail(err, rc, "control socket %s: %s", conf->path,
                       rc == -EADDRINUSE ? "another gateway answers there" : strerror(-rc));
    }
    *ret = ctl;
    return 0;
}

void gw_control_free(struct gw_control *ctl)
{
    if (!ctl)
        return;
    while (ctl->calls)
        leave(ctl->calls);
    gw_fd_remove(ctl->conf.loop, &ctl->fd);
    gw_timer_disarm(&ctl->timer);
    (void)close(ctl->fd.fd);
    (void)unlink(ctl->path);
    free(ctl);
}

/* ---- for commands ----------------------------------------------------------------------------------------- */

const struct gw_control_conf *gw_control_conf(const struct gw_control_call *k)
{
    return &k->ctl->conf;
}

void gw_control_set(struct gw_control_call *k, void *state)
{
    k->own = state;
}

void *gw_control_state(const struct gw_control_call *k)
{
    return k->own;
}

static void ping(struct gw_control_call *k, const struct gw_node *args)
{
    (void)args;
    gw_control_say(k, 1, "staunch %s, process %ld", GW_VERSION, (long)getpid());
    gw_control_end(k, 0);
}

const struct gw_control_command gw_control_ping = {.name = "ping", .start = ping};
