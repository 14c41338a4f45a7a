/* SPDX-License-Identifier: Apache-2.0 */
#include "log/flight.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/hash.h"

/* The file: two parts of PART bytes, each written at once: suspects, and whose rows the last crash was about. */
enum { PART = 4096, N_PARTS = 2, VERSION = 1, MAX_OPEN = 16, SUSPECTS = 0, CRASH = 1 };
enum { CONDEMNED = 1 };

struct record {
    uint64_t log, first_seq, last_seq, time_ns;
    uint32_t consumer, first_row, rows;
    uint16_t partition, flags;
    uint32_t signal, crashes;
    uint32_t pad[2];
};

struct part {
    char magic[8];
    uint64_t check; /* of what follows, to the end of the part */
    uint32_t version, kind, n, pad[9];
    struct record records[GW_FLIGHT_SUSPECTS];
};
_Static_assert(sizeof(struct record) == 64 && sizeof(struct part) == PART, "the format");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format");

static const char magic[8] = {'G', 'W', 'F', 'L', 'I', 'G', 'H', 'T'};

enum state { FREE, BUSY, OUT };

struct slot {
    _Atomic uint32_t state; /* enum state */
    uint32_t scope, home, crashes;
    struct gw_flight_rows rows;
};

struct suspect {
    struct gw_flight_suspect s;
    bool used;
};

struct gw_flight {
    struct gw_flight_conf conf;
    struct gw_file *file; /* NULL: it cannot be used */
    pthread_mutex_t lock; /* of suspects */
    struct suspect suspects[GW_FLIGHT_SUSPECTS];
    struct part out;             /* for writing suspects */
    struct part crash;           /* for the handler, which has no room of its own */
    _Atomic(const void *) trial; /* who has it */
    _Atomic uint32_t hint;
    struct slot slots[GW_FLIGHT_SLOTS];
};

static _Atomic(struct gw_flight *) open_flights[MAX_OPEN];
static _Atomic uint32_t last_scope;
static _Thread_local struct {
    uint32_t scope, home;
} here;

/* ---- what is under way ------------------------------------------------------------------------------------ */

uint32_t gw_flight_scope(void)
{
    uint32_t s;

    do
        s = atomic_fetch_add_explicit(&last_scope, 1, memory_order_relaxed) + 1;
    while (s == GW_FLIGHT_UNKNOWN || s == (uint32_t)GW_FLIGHT_NOTHING);
    return s;
}

uint32_t gw_flight_enter(uint32_t scope)
{
    uint32_t before = here.scope;

    here.scope = scope;
    return before;
}

void gw_flight_thread(uint32_t home)
{
    here.home = home;
}

uint32_t gw_flight_begin(struct gw_flight *f, const struct gw_flight_rows *rows, uint32_t scope, uint32_t home,
                         unsigned crashes)
{
    uint32_t from = f && f->file ? atomic_load_explicit(&f->hint, memory_order_relaxed) : 0;

    for (uint32_t k = 0; f && f->file && k < GW_FLIGHT_SLOTS; k++) {
        uint32_t i = (from + k) % GW_FLIGHT_SLOTS, is_free = FREE;
        struct slot *s = &f->slots[i];

        if (!atomic_compare_exchange_strong_explicit(&s->state, &is_free, BUSY, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        s->scope = scope;
        s->home = home;
        s->crashes = crashes;
        s->rows = *rows;
        atomic_store_explicit(&s->state, OUT, memory_order_release);
        atomic_store_explicit(&f->hint, i + 1, memory_order_relaxed);
        return i + 1;
    }
    return 0;
}

void gw_flight_end(struct gw_flight *f, uint32_t slot)
{
    if (f && slot)
        atomic_store_explicit(&f->slots[slot - 1].state, FREE, memory_order_release);
}

bool gw_flight_take_trial(struct gw_flight *f, const void *who)
{
    const void *nobody = NULL;

    return !f || atomic_compare_exchange_strong(&f->trial, &nobody, who) || nobody == who;
}

void gw_flight_end_trial(struct gw_flight *f, const void *who)
{
    if (f)
        (void)atomic_compare_exchange_strong(&f->trial, &who, NULL);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static uint64_t check_of(const struct part *p)
{
    size_t from = offsetof(struct part, version);

    return gw_hash_stable(gw_slice_of((const uint8_t *)p + from, sizeof(*p) - from));
}

/* Also from a handler of signals: a hash and a system call. */
static int write_part(struct gw_flight *f, struct part *p, uint32_t kind)
{
    const struct iovec iov = {p, sizeof(*p)};
    ssize_t put;

    memcpy(p->magic, magic, sizeof(magic));
    p->version = VERSION;
    p->kind = kind;
    p->check = check_of(p);
    put = f->conf.env->ops->file_pwritev(f->file, &iov, 1, (uint64_t)kind * PART);
    return put < 0 ? (int)put : put == (ssize_t)sizeof(*p) ? 0 : -EIO;
}

static struct record record_of(const struct gw_flight_rows *r, bool condemned, unsigned crashes, int sig)
{
    return (struct record){.log = r->log,
                           .first_seq = r->first_seq,
                           .last_seq = r->last_seq,
                           .time_ns = r->time_ns,
                           .consumer = r->consumer,
                           .first_row = r->first_row,
                           .rows = r->rows,
                           .partition = r->partition,
                           .flags = condemned ? CONDEMNED : 0,
                           .crashes = crashes,
                           .signal = (uint32_t)sig};
}

static bool is_accused(const struct slot *s)
{
    if (here.scope != GW_FLIGHT_UNKNOWN)
        return s->scope == here.scope;
    return here.home == GW_FLIGHT_UNKNOWN || s->home == GW_FLIGHT_UNKNOWN || s->home == here.home;
}

static bool is_out(const struct slot *s)
{
    return atomic_load_explicit(&s->state, memory_order_acquire) == OUT;
}

static unsigned count_accused(const struct gw_flight *f)
{
    unsigned n = 0;

    for (unsigned i = 0; i < GW_FLIGHT_SLOTS; i++)
        n += is_out(&f->slots[i]) && is_accused(&f->slots[i]);
    return n;
}

/* Those on trial first: the file has room for the others only if they are few. */
static void accuse(struct gw_flight *f, int sig, bool on_trial, bool is_certain)
{
    struct part *p = &f->crash;

    for (unsigned i = 0; i < GW_FLIGHT_SLOTS && p->n < GW_FLIGHT_SUSPECTS; i++) {
        const struct slot *s = &f->slots[i];

        if (is_out(s) && (s->crashes > 0) == on_trial && is_accused(s))
            p->records[p->n++] =
                record_of(&s->rows, s->crashes >= 2 || (s->crashes == 1 && is_certain), s->crashes + 1, sig);
    }
}

void gw_flight_crashed(int sig)
{
    bool is_certain;

    if (here.scope == (uint32_t)GW_FLIGHT_NOTHING ||
        (here.scope == GW_FLIGHT_UNKNOWN && here.home == (uint32_t)GW_FLIGHT_NOTHING))
        return;
    for (unsigned i = 0; i < MAX_OPEN; i++) {
        struct gw_flight *f = atomic_load(&open_flights[i]);

        if (!f)
            continue;
        is_certain = here.scope != GW_FLIGHT_UNKNOWN || count_accused(f) == 1;
        accuse(f, sig, /* on_trial= */ true, is_certain);
        accuse(f, sig, /* on_trial= */ false, is_certain);
        if (f->crash.n)
            (void)write_part(f, &f->crash, CRASH);
    }
}

/* ---- suspects --------------------------------------------------------------------------------------------- */

static void write_suspects(struct gw_flight *f)
{
    struct part *p = &f->out;
    int rc;

    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < GW_FLIGHT_SUSPECTS; i++)
        if (f->suspects[i].used)
            p->records[p->n++] = record_of(&f->suspects[i].s.rows, f->suspects[i].s.condemned, f->suspects[i].s.crashes,
                                           f->suspects[i].s.signal);
    rc = write_part(f, p, SUSPECTS);
    if (rc < 0)
        gw_log(&f->conf.logger, GW_LOG_WARN, "%s: %s: who is under suspicion is not remembered", f->conf.path,
               strerror(-rc));
}

static bool is_same(const struct gw_flight_rows *a, const struct gw_flight_rows *b)
{
    return a->log == b->log && a->consumer == b->consumer && a->partition == b->partition &&
           a->first_seq == b->first_seq && a->last_seq == b->last_seq && a->first_row == b->first_row &&
           a->rows == b->rows && a->time_ns == b->time_ns;
}

/* False: no room. */
static bool add(struct gw_flight *f, const struct record *r)
{
    bool condemned = r->flags & CONDEMNED;
    const struct gw_flight_rows rows = {.log = r->log,
                                        .first_seq = r->first_seq,
                                        .last_seq = r->last_seq,
                                        .time_ns = r->time_ns,
                                        .consumer = r->consumer,
                                        .first_row = r->first_row,
                                        .rows = r->rows,
                                        .partition = r->partition};
    struct suspect *to = NULL;

    if (rows.last_seq < rows.first_seq)
        return true;
    for (unsigned i = 0; i < GW_FLIGHT_SUSPECTS; i++) {
        struct suspect *s = &f->suspects[i];

        if ((s->used && is_same(&s->s.rows, &rows)) || (!s->used && !to))
            to = s;
        if (s->used && to == s)
            break;
    }
    if (!to)
        return false;
    *to = (struct suspect){{.rows = rows,
                            .id = (uint32_t)(to - f->suspects) + 1,
                            .signal = (int)r->signal,
                            .crashes = r->crashes,
                            .condemned = condemned},
                           true};
    return true;
}

unsigned gw_flight_suspects(struct gw_flight *f, uint64_t log, uint32_t consumer, struct gw_flight_suspect *ret,
                            unsigned max)
{
    unsigned n = 0;

    if (!f)
        return 0;
    (void)pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < GW_FLIGHT_SUSPECTS; i++) {
        const struct gw_flight_suspect *s = &f->suspects[i].s;

        if (f->suspects[i].used && s->rows.log == log && s->rows.consumer == consumer && n++ < max)
            ret[n - 1] = *s;
    }
    (void)pthread_mutex_unlock(&f->lock);
    return n;
}

void gw_flight_acquit(struct gw_flight *f, uint32_t id)
{
    if (!f || id == 0 || id > GW_FLIGHT_SUSPECTS)
        return;
    (void)pthread_mutex_lock(&f->lock);
    if (f->suspects[id - 1].used) {
        f->suspects[id - 1].used = false;
        write_suspects(f);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

static bool is_part(const struct part *p, uint32_t kind)
{
    return memcmp(p->magic, magic, sizeof(magic)) == 0 && p->version == VERSION && p->kind == kind &&
           p->n <= GW_FLIGHT_SUSPECTS && p->check == check_of(p);
}

static bool is_blank(const struct part *p)
{
    static const struct part zeros;

    return memcmp(p, &zeros, sizeof(zeros)) == 0;
}

/* 1: read. 0: there is nothing, or something damaged. Errors: -EBADMSG it is no flight record; of the disk. */
static int read_part(struct gw_flight *f, uint32_t kind, struct part *ret)
{
    ssize_t got = f->conf.env->ops->file_pread(f->file, ret, sizeof(*ret), (uint64_t)kind * PART);
    int rc;

    if (got < 0)
        return (int)got;
    memset((uint8_t *)ret + got, 0, sizeof(*ret) - (size_t)got);
    if (is_part(ret, kind))
        return 1;
    rc = is_blank(ret) || memcmp(ret->magic, magic, sizeof(magic)) == 0 ? 0 : -EBADMSG;
    if (rc == 0 && !is_blank(ret))
        gw_log(&f->conf.logger, GW_LOG_WARN, "%s: damaged: what crashed the gateway before is not known any more",
               f->conf.path);
    memset(ret, 0, sizeof(*ret));
    return rc;
}

static const char *name_of(int sig)
{
    const char *name = sigabbrev_np(sig);

    return name ? name : "?";
}

static void take_over(struct gw_flight *f)
{
    const struct part *p = &f->crash;
    unsigned n_condemned = 0, n_lost = 0;

    for (unsigned i = 0; i < p->n; i++) {
        n_condemned += p->records[i].flags & CONDEMNED;
        n_lost += !add(f, &p->records[i]);
    }
    if (p->n == 0)
        return;
    gw_log(
        &f->conf.logger, GW_LOG_ERROR,
        "the gateway crashed (SIG%s) while it worked on %u batches of its logs: %u are sent alone now, %u will not be "
        "tried again",
        name_of((int)p->records[0].signal), p->n, p->n - n_condemned, n_condemned);
    if (n_lost)
        gw_log(&f->conf.logger, GW_LOG_WARN, "%u suspects more than can be remembered", n_lost);
}

static int read_all(struct gw_flight *f)
{
    struct part *p = &f->out;
    int rc = read_part(f, SUSPECTS, p), crash;

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < p->n; i++)
        (void)add(f, &p->records[i]);
    crash = read_part(f, CRASH, &f->crash);
    if (crash < 0)
        return crash;
    take_over(f);
    memset(&f->crash, 0, sizeof(f->crash));
    if (rc > 0 && crash == 0)
        return 0;
    write_suspects(f);
    return write_part(f, &f->crash, CRASH);
}

static int open_file(struct gw_flight *f)
{
    const struct gw_env_ops *ops = f->conf.env->ops;
    int rc = ops->file_open(f->conf.env, f->conf.path, GW_OPEN_READ | GW_OPEN_WRITE | GW_OPEN_CREATE, 0600, &f->file);
    int64_t size = rc == 0 ? ops->file_size(f->file) : 0;

    if (rc == 0 && size > N_PARTS * PART)
        rc = -EBADMSG;
    return rc == 0 ? read_all(f) : rc;
}

/* The first that is `from` becomes `to`. */
static void replace(struct gw_flight *from, struct gw_flight *to)
{
    for (unsigned i = 0; i < MAX_OPEN; i++) {
        struct gw_flight *expected = from;

        if (atomic_compare_exchange_strong(&open_flights[i], &expected, to))
            return;
    }
}

int gw_flight_open(const struct gw_flight_conf *conf, struct gw_flight **ret)
{
    struct gw_flight *f = calloc(1, sizeof(*f));
    int rc;

    if (!f)
        return -ENOMEM;
    f->conf = *conf;
    (void)pthread_mutex_init(&f->lock, NULL);
    rc = open_file(f);
    if (rc < 0) {
        gw_log(&conf->logger, GW_LOG_WARN,
               "%s: %s: it is left as it is, and rows that crash the gateway will not be found", conf->path,
               rc == -EBADMSG ? "this is no flight record" : strerror(-rc));
        conf->env->ops->file_close(f->file);
        f->file = NULL;
        memset(f->suspects, 0, sizeof(f->suspects));
    }
    memset(&f->crash, 0, sizeof(f->crash));
    if (f->file)
        replace(NULL, f);
    *ret = f;
    return 0;
}

void gw_flight_close(struct gw_flight *f)
{
    if (!f)
        return;
    if (f->file) {
        replace(f, NULL);
        f->conf.env->ops->file_close(f->file);
    }
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

uint64_t gw_flight_log(const char *kind, const char *name, const uint8_t uuid[16])
{
    struct gw_buf b;
    uint64_t h;

    gw_buf_init(&b, 4096);
    gw_buf_printf(&b, "%s/%s/", kind, name);
    gw_buf_put(&b, uuid, 16);
    h = gw_hash_stable(gw_buf_slice(&b));
    gw_buf_clear(&b);
    return h;
}
