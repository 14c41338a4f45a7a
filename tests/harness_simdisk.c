/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_simdisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SECTOR = GW_SIMDISK_SECTOR };
_Static_assert(GW_SIMDISK_MAX_FILE % (SECTOR * 64) == 0, "whole words of dirty bits");

/* Not assert(): builds without it have limits, too. */
#define MUST(ok)                                                                                                       \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            (void)fprintf(stderr, "simdisk: %s:%d: %s\n", __FILE__, __LINE__, #ok);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct gw_simdisk *disk_of(struct gw_env *env)
{
    return (struct gw_simdisk *)(void *)env;
}

static struct gw_simdisk_handle *handle_of(struct gw_file *f)
{
    struct gw_simdisk_handle *h = (struct gw_simdisk_handle *)(void *)f;

    MUST(h->d);
    return h;
}

static uint64_t draw(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t *seed, uint64_t n)
{
    return draw(seed) % n;
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static bool changes(enum gw_simdisk_call call)
{
    return call == GW_SIMDISK_WRITE || call == GW_SIMDISK_SYNC || call == GW_SIMDISK_TRUNCATE ||
           call == GW_SIMDISK_ALLOCATE || call == GW_SIMDISK_RENAME || call == GW_SIMDISK_REMOVE ||
           call == GW_SIMDISK_DIR_MAKE || call == GW_SIMDISK_DIR_SYNC;
}

/* Every call begins here. making: an open that makes or empties a file. */
static int enter(struct gw_simdisk *d, enum gw_simdisk_call call, bool making)
{
    struct gw_simdisk_fault *f = &d->faults[call];
    bool change = making || changes(call);

    d->now_ns += d->tick_ns;
    d->n_calls[call]++;
    if (change) {
        d->n_changes++;
        if (d->before)
            d->before(d->arg, d, call);
    }
    if (f->error && f->nth > 0 && --f->nth == 0) {
        f->nth = --f->times ? 1 : 0;
        return f->error;
    }
    return d->read_only && change && call != GW_SIMDISK_SYNC && call != GW_SIMDISK_DIR_SYNC ? -EROFS : 0;
}

/* ---- inodes ------------------------------------------------------------------------------------------------- */

static bool is_free(const struct gw_simdisk_inode *i)
{
    return i->n_names + i->n_stored_names + i->n_pending + i->n_handles == 0;
}

static size_t n_words(size_t bytes)
{
    return (bytes + SECTOR * 64 - 1) / (SECTOR * 64);
}

/* Contents are counted: disks share what neither has written since one was made from the other. */
struct image {
    uint64_t id; /* of what it holds */
    size_t refs;
    _Alignas(16) uint8_t bytes[];
};

static uint64_t new_id(void)
{
    static _Atomic uint64_t last;

    return ++last;
}

static struct image *image_of(uint8_t *p)
{
    return (struct image *)(void *)(p - offsetof(struct image, bytes));
}

static uint8_t *image_new(size_t cap)
{
    struct image *m = malloc(sizeof(*m) + cap);

    MUST(m);
    m->refs = 1;
    m->id = new_id();
    return m->bytes;
}

static uint8_t *image_ref(uint8_t *p)
{
    if (p)
        image_of(p)->refs++;
    return p;
}

static void image_unref(uint8_t *p)
{
    if (p && --image_of(p)->refs == 0)
        free(image_of(p));
}

static size_t whole_sectors(size_t n)
{
    return (n + SECTOR - 1) / SECTOR * SECTOR;
}

/* Bytes that mean something: of the cache, or of the disk. */
static size_t extent(const struct gw_simdisk_inode *i)
{
    return whole_sectors(i->n_cached > i->n_stored ? i->n_cached : i->n_stored);
}

/* *p is about to be written. */
static void own(struct gw_simdisk_inode *i, uint8_t **p)
{
    uint8_t *old = *p;

    if (!old)
        return;
    if (image_of(old)->refs == 1) {
        image_of(old)->id = new_id();
        return;
    }
    *p = image_new(i->cap);
    memcpy(*p, old, extent(i));
    image_unref(old);
}

static uint8_t *grown(uint8_t *old, size_t n, size_t cap)
{
    uint8_t *p = image_new(cap);

    if (n)
        memcpy(p, old, n);
    memset(p + n, 0, cap - n);
    image_unref(old);
    return p;
}

static void dirty_room(struct gw_simdisk_inode *i, size_t cap)
{
    if (n_words(cap) > n_words(i->cap)) {
        i->dirty = realloc(i->dirty, n_words(cap) * 8);
        MUST(i->dirty);
        memset(i->dirty + n_words(i->cap), 0, (n_words(cap) - n_words(i->cap)) * 8);
    }
    i->cap = cap;
}

/* Room for `n` bytes, zeros where nothing was. */
static void reserve(struct gw_simdisk_inode *i, size_t n)
{
    size_t cap = i->cap ? i->cap : (size_t)SECTOR * 8;

    if (n <= i->cap)
        return;
    MUST(n <= GW_SIMDISK_MAX_FILE);
    while (cap < n)
        cap *= 2;
    i->cached = grown(i->cached, i->cap, cap);
    i->stored = grown(i->stored, i->cap, cap);
    dirty_room(i, cap);
}

static uint16_t inode_new(struct gw_simdisk *d, unsigned mode, bool is_dir)
{
    struct gw_simdisk_inode *i = d->inodes;
    struct gw_simdisk_inode old;

    while (i < d->inodes + d->n_inodes && !is_free(i))
        i++;
    if (i == d->inodes + d->n_inodes)
        MUST(d->n_inodes++ < GW_SIMDISK_FILES);
    old = *i; /* its memory is used again */
    if (old.cap)
        memset(old.dirty, 0, n_words(old.cap) * 8);
    *i = (struct gw_simdisk_inode){.cached = old.cached,
                                   .stored = old.stored,
                                   .dirty = old.dirty,
                                   .cap = old.cap,
                                   .mode = mode,
                                   .is_dir = is_dir,
                                   .changed_ns = d->now_ns + d->wall_offset_ns};
    return (uint16_t)(i - d->inodes);
}

static bool is_dirty(const struct gw_simdisk_inode *i, size_t sector)
{
    return i->dirty[sector / 64] >> (sector % 64) & 1;
}

static void keep_old(struct gw_simdisk_old_sector *list, unsigned *n, uint16_t inode, size_t sector,
                     const uint8_t *bytes)
{
    struct gw_simdisk_old_sector *o = &list[*n % GW_SIMDISK_OLD]; /* the oldest give way */

    ++*n;
    o->inode = inode;
    o->sector = (uint32_t)sector;
    memcpy(o->bytes, bytes, SECTOR);
}

/* Bytes [from, to) are about to be written. */
static void touch(struct gw_simdisk *d, uint16_t inode, size_t from, size_t to)
{
    struct gw_simdisk_inode *i = &d->inodes[inode];

    for (size_t s = from / SECTOR; s * SECTOR < to; s++) {
        if (is_dirty(i, s))
            keep_old(d->unsynced_old, &d->n_unsynced_old, inode, s, i->cached + s * SECTOR);
        i->dirty[s / 64] |= 1ull << (s % 64);
    }
}

static uint64_t used_bytes(const struct gw_simdisk *d)
{
    uint64_t n = 0;

    for (unsigned k = 0; k < d->n_inodes; k++)
        n += d->inodes[k].n_names + d->inodes[k].n_handles ? d->inodes[k].n_cached : 0;
    return n;
}

/* How much of `more` bytes the disk still has. */
static size_t room_for(const struct gw_simdisk *d, size_t more)
{
    uint64_t used;

    if (d->room_bytes == UINT64_MAX)
        return more;
    used = used_bytes(d);
    return used >= d->room_bytes ? 0 : d->room_bytes - used < more ? (size_t)(d->room_bytes - used) : more;
}

static void set_size(struct gw_simdisk *d, uint16_t inode, size_t n)
{
    struct gw_simdisk_inode *i = &d->inodes[inode];

    if (n == i->n_cached)
        return;
    reserve(i, n);
    if (n > i->n_cached) {
        size_t unstored = i->n_cached > i->n_stored ? i->n_cached : i->n_stored;

        touch(d, inode, i->n_cached, n);
        own(i, &i->cached);
        memset(i->cached + i->n_cached, 0, n - i->n_cached);
        if (unstored < n) { /* not what another file left there */
            own(i, &i->stored);
            memset(i->stored + unstored, 0, n - unstored);
        }
    }
    i->n_cached = n;
    i->size_dirty = true;
    i->changed_ns = d->now_ns + d->wall_offset_ns;
}

/* ---- names -------------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *path)
{
    uint32_t h = 2166136261u;

    for (; *path; path++)
        h = (h ^ (uint8_t)*path) * 16777619u;
    return h;
}

static struct gw_simdisk_name *find(struct gw_simdisk_name *names, unsigned n, const char *path)
{
    uint32_t h = hash_of(path);

    for (unsigned i = 0; i < n; i++)
        if (names[i].hash == h && names[i].path[0] && strcmp(names[i].path, path) == 0)
            return &names[i];
    return NULL;
}

static void set_path(char to[GW_SIMDISK_PATH], const char *path)
{
    size_t n = strlen(path);

    MUST(n < GW_SIMDISK_PATH);
    memcpy(to, path, n + 1);
}

static void name_add(struct gw_simdisk_name *names, unsigned *n, const char *path, uint16_t inode)
{
    unsigned i;

    for (i = 0; i < *n && names[i].path[0]; i++)
        ;
    if (i == *n)
        MUST((*n)++ < GW_SIMDISK_FILES);
    set_path(names[i].path, path);
    names[i].hash = hash_of(path);
    names[i].inode = inode;
}

/* One change of names, on those that are seen or on those that are stored. Counts keep inodes alive. */
static void change_names(struct gw_simdisk *d, bool stored, const struct gw_simdisk_pending *p)
{
    struct gw_simdisk_name *names = stored ? d->stored_names : d->names;
    unsigned *n = stored ? &d->n_stored_names : &d->n_names;
    const char *gone = p->call == GW_SIMDISK_RENAME ? p->to : p->path;
    struct gw_simdisk_name *old = p->call == GW_SIMDISK_DIR_MAKE ? NULL : find(names, *n, gone), *from;

    if (old) { /* removed, or written over */
        --*(stored ? &d->inodes[old->inode].n_stored_names : &d->inodes[old->inode].n_names);
        old->path[0] = 0;
    }
    if (p->call == GW_SIMDISK_REMOVE)
        return;
    from = p->call == GW_SIMDISK_RENAME ? find(names, *n, p->path) : NULL;
    if (from) {
        set_path(from->path, p->to);
        from->hash = hash_of(p->to);
        return;
    }
    /* A rename whose file was never stored under the old name stores it under the new one. */
    name_add(names, n, p->call == GW_SIMDISK_RENAME ? p->to : p->path, p->inode);
    ++*(stored ? &d->inodes[p->inode].n_stored_names : &d->inodes[p->inode].n_names);
}

static void change_name(struct gw_simdisk *d, enum gw_simdisk_call call, const char *path, const char *to,
                        uint16_t inode)
{
    struct gw_simdisk_pending *p = &d->pending[d->n_pending];

    MUST(d->n_pending++ < GW_SIMDISK_PENDING);
    p->call = call;
    p->inode = inode;
    d->inodes[inode].n_pending++;
    set_path(p->path, path);
    set_path(p->to, to);
    change_names(d, false, p);
}

/* The folder of a path, as bytes: "." for names without one. */
static struct gw_slice folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? gw_slice_of(path, (size_t)(slash - path)) : GW_SLICE(".");
}

static bool has_folder(struct gw_simdisk *d, const char *path)
{
    struct gw_slice f = folder_of(path);
    char name[GW_SIMDISK_PATH];
    const struct gw_simdisk_name *n;

    MUST(f.n < sizeof(name));
    memcpy(name, f.p, f.n);
    name[f.n] = 0;
    if (strcmp(name, ".") == 0)
        return true;
    n = find(d->names, d->n_names, name);
    return n && d->inodes[n->inode].is_dir;
}

/* ---- the environment ---------------------------------------------------------------------------------------- */

static uint64_t mono_ns(struct gw_env *env)
{
    return disk_of(env)->now_ns;
}

static uint64_t wall_ns(struct gw_env *env)
{
    return disk_of(env)->now_ns + disk_of(env)->wall_offset_ns;
}

static void random_bytes(struct gw_env *env, void *ret, size_t n)
{
    uint8_t *p = ret;

    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)draw(&disk_of(env)->seed);
}

static void log_write(struct gw_env *env, const char *line, size_t n)
{
    struct gw_simdisk *d = disk_of(env);

    if (d->log)
        d->log(d->arg, line, n);
}

static int handle_new(struct gw_simdisk *d, uint16_t inode, int flags, struct gw_file **ret)
{
    struct gw_simdisk_handle *h = d->handles;

    while (h < d->handles + GW_SIMDISK_HANDLES && h->d)
        h++;
    MUST(h < d->handles + GW_SIMDISK_HANDLES);
    *h = (struct gw_simdisk_handle){.d = d, .inode = inode, .flags = flags};
    d->inodes[inode].n_handles++;
    d->n_open++;
    *ret = (struct gw_file *)(void *)h;
    return 0;
}

static int file_open(struct gw_env *env, const char *path, int flags, unsigned mode, struct gw_file **ret)
{
    struct gw_simdisk *d = disk_of(env);
    struct gw_simdisk_name *n = find(d->names, d->n_names, path);
    int rc = enter(d, GW_SIMDISK_OPEN, (!n && (flags & GW_OPEN_CREATE)) || (n && (flags & GW_OPEN_TRUNCATE)));

    if (rc < 0)
        return rc;
    if (d->n_open >= d->max_open)
        return -EMFILE;
    if (d->refuses_direct && (flags & GW_OPEN_DIRECT))
        return -EINVAL;
    if (n && (flags & GW_OPEN_EXCLUSIVE))
        return -EEXIST;
    if (!n && (!(flags & GW_OPEN_CREATE) || !has_folder(d, path)))
        return -ENOENT;
    if (n && d->inodes[n->inode].is_dir)
        return -EISDIR;
    if (!n) {
        change_name(d, GW_SIMDISK_OPEN, path, "", inode_new(d, mode, false));
        n = find(d->names, d->n_names, path);
    } else if (flags & GW_OPEN_TRUNCATE) {
        set_size(d, n->inode, 0);
    }
    return handle_new(d, n->inode, flags, ret);
}

static ssize_t file_pread(struct gw_file *f, void *p, size_t n, uint64_t off)
{
    struct gw_simdisk_handle *h = handle_of(f);
    const struct gw_simdisk_inode *i = &h->d->inodes[h->inode];
    int rc = enter(h->d, GW_SIMDISK_READ, false);

    if (rc < 0)
        return rc;
    if (!(h->flags & GW_OPEN_READ))
        return -EBADF;
    if (off >= i->n_cached)
        return 0;
    if (n > i->n_cached - off)
        n = i->n_cached - (size_t)off;
    memcpy(p, i->cached + off, n);
    return (ssize_t)n;
}

/* Of what an iovec has, at most `max`; returns the bytes. */
static size_t copy_in(struct gw_simdisk *d, uint16_t inode, const struct iovec *iov, int n_iov, size_t off, size_t max)
{
    struct gw_simdisk_inode *i = &d->inodes[inode];
    size_t done = 0;

    touch(d, inode, off, off + max);
    own(i, &i->cached);
    for (int k = 0; k < n_iov && done < max; k++) {
        size_t n = iov[k].iov_len < max - done ? iov[k].iov_len : max - done;

        if (n)
            memcpy(i->cached + off + done, iov[k].iov_base, n);
        done += n;
    }
    i->changed_ns = d->now_ns + d->wall_offset_ns;
    return done;
}

/* Pages, as O_DIRECT wants them. */
static bool are_pages(const struct iovec *iov, int n_iov, uint64_t off)
{
    for (int k = 0; k < n_iov; k++)
        if (((uintptr_t)iov[k].iov_base | iov[k].iov_len) % GW_SIMDISK_PAGE != 0)
            return false;
    return off % GW_SIMDISK_PAGE == 0;
}

/* What lies there already is not written: a page that is written over with the same beginning keeps that. */
static size_t same_bytes(const struct gw_simdisk_inode *i, const struct iovec *iov, uint64_t off)
{
    const uint8_t *p = iov->iov_base;
    size_t n = 0;

    while (n < iov->iov_len && off + n < i->n_cached && i->cached[off + n] == p[n])
        n++;
    return n;
}

static ssize_t write_at(struct gw_simdisk_handle *h, const struct iovec *iov, int n_iov, uint64_t off);

static ssize_t write_directly(struct gw_simdisk_handle *h, const struct iovec *iov, int n_iov, uint64_t off)
{
    struct iovec rest = *iov;
    size_t same = same_bytes(&h->d->inodes[h->inode], iov, off);
    ssize_t n;

    MUST(n_iov == 1);
    if (!are_pages(iov, n_iov, off))
        return -EINVAL;
    rest.iov_base = (uint8_t *)rest.iov_base + same;
    rest.iov_len -= same;
    n = rest.iov_len ? write_at(h, &rest, 1, off + same) : 0;
    if (n < 0 || (size_t)n == rest.iov_len)
        return n < 0 ? n : (ssize_t)iov->iov_len;
    n = (ssize_t)((same + (size_t)n) / GW_SIMDISK_PAGE * GW_SIMDISK_PAGE);
    return n > 0 ? n : -EIO; /* short writes are of whole pages */
}

static ssize_t write_at(struct gw_simdisk_handle *h, const struct iovec *iov, int n_iov, uint64_t off)
{
    struct gw_simdisk *d = h->d;
    struct gw_simdisk_inode *i = &d->inodes[h->inode];
    int rc = enter(d, GW_SIMDISK_WRITE, false);
    size_t n = 0, end;

    if (rc < 0)
        return rc;
    if (!(h->flags & GW_OPEN_WRITE))
        return -EBADF;
    MUST(n_iov >= 0 && n_iov <= 1024); /* IOV_MAX */
    for (int k = 0; k < n_iov; k++)
        n += iov[k].iov_len;
    if (n == 0)
        return 0;
    if (n > 1 && d->short_permille && below(&d->seed, 1000) < d->short_permille)
        n = 1 + below(&d->seed, n - 1);
    end = (size_t)off + n;
    if (end > i->n_cached) {
        size_t more = end - i->n_cached, room = room_for(d, more);

        if (room < more && end - more + room <= off)
            return -ENOSPC;
        n -= more - room;
        set_size(d, h->inode, (size_t)off + n);
    }
    return (ssize_t)copy_in(d, h->inode, iov, n_iov, (size_t)off, n);
}

static ssize_t file_pwritev(struct gw_file *f, const struct iovec *iov, int n_iov, uint64_t off)
{
    struct gw_simdisk_handle *h = handle_of(f);

    return h->flags & GW_OPEN_DIRECT ? write_directly(h, iov, n_iov, off) : write_at(h, iov, n_iov, off);
}

static ssize_t file_writev(struct gw_file *f, const struct iovec *iov, int n_iov)
{
    struct gw_simdisk_handle *h = handle_of(f);
    ssize_t n = write_at(h, iov, n_iov, h->flags & GW_OPEN_APPEND ? h->d->inodes[h->inode].n_cached : h->at);

    if (n > 0)
        h->at = h->flags & GW_OPEN_APPEND ? h->d->inodes[h->inode].n_cached : h->at + (uint64_t)n;
    return n;
}

static int64_t file_size(struct gw_file *f)
{
    struct gw_simdisk_handle *h = handle_of(f);
    int rc = enter(h->d, GW_SIMDISK_SIZE, false);

    return rc < 0 ? rc : (int64_t)h->d->inodes[h->inode].n_cached;
}

static void forget_unsynced(struct gw_simdisk *d, uint16_t inode)
{
    unsigned n = d->n_unsynced_old < GW_SIMDISK_OLD ? d->n_unsynced_old : GW_SIMDISK_OLD, kept = 0;

    for (unsigned k = 0; k < n; k++) {
        if (d->unsynced_old[k].inode == inode)
            continue;
        if (kept != k)
            d->unsynced_old[kept] = d->unsynced_old[k];
        kept++;
    }
    d->n_unsynced_old = kept;
}

/* failed: only some of it got there, and nobody will try the rest again. */
static void store(struct gw_simdisk *d, uint16_t inode, bool failed)
{
    struct gw_simdisk_inode *i = &d->inodes[inode];

    for (size_t w = 0; w < n_words(i->cap); w++)
        for (; i->dirty[w]; i->dirty[w] &= i->dirty[w] - 1) {
            size_t s = w * 64 + (size_t)__builtin_ctzll(i->dirty[w]);

            if (failed && below(&d->seed, 2))
                continue;
            own(i, &i->stored);
            keep_old(d->synced_old, &d->n_synced_old, inode, s, i->stored + s * SECTOR);
            memcpy(i->stored + s * SECTOR, i->cached + s * SECTOR, SECTOR);
        }
    if (!failed || below(&d->seed, 2))
        i->n_stored = i->n_cached;
    i->size_dirty = false;
    forget_unsynced(d, inode);
}

static int file_sync(struct gw_file *f)
{
    struct gw_simdisk_handle *h = handle_of(f);
    int rc = enter(h->d, GW_SIMDISK_SYNC, false);

    store(h->d, h->inode, rc < 0);
    return rc;
}

static int file_truncate(struct gw_file *f, uint64_t bytes)
{
    struct gw_simdisk_handle *h = handle_of(f);
    int rc = enter(h->d, GW_SIMDISK_TRUNCATE, false);

    if (rc < 0)
        return rc;
    if (!(h->flags & GW_OPEN_WRITE))
        return -EBADF;
    set_size(h->d, h->inode, (size_t)bytes);
    return 0;
}

static int file_allocate(struct gw_file *f, uint64_t off, uint64_t bytes)
{
    struct gw_simdisk_handle *h = handle_of(f);
    const struct gw_simdisk_inode *i = &h->d->inodes[h->inode];
    int rc = enter(h->d, GW_SIMDISK_ALLOCATE, false);
    size_t end = (size_t)(off + bytes);

    if (rc < 0)
        return rc;
    if (!(h->flags & GW_OPEN_WRITE))
        return -EBADF;
    if (end <= i->n_cached)
        return 0;
    if (room_for(h->d, end - i->n_cached) < end - i->n_cached)
        return -ENOSPC;
    set_size(h->d, h->inode, end);
    return 0;
}

static void file_forget(struct gw_file *f, uint64_t off, uint64_t bytes)
{
    const struct gw_simdisk_handle *h = handle_of(f);

    (void)off;
    h->d->n_forgotten += bytes;
}

static void file_ahead(struct gw_file *f, uint64_t off, uint64_t bytes)
{
    struct gw_simdisk *d = handle_of(f)->d;

    d->n_ahead += bytes;
    d->ahead_to = off + bytes;
}

static int file_lock(struct gw_file *f)
{
    struct gw_simdisk_handle *h = handle_of(f);
    struct gw_simdisk_inode *i = &h->d->inodes[h->inode];
    int rc = enter(h->d, GW_SIMDISK_LOCK, false);

    if (rc < 0)
        return rc;
    if (i->is_locked && !h->locked)
        return -EWOULDBLOCK;
    i->is_locked = h->locked = true;
    return 0;
}

static void file_close(struct gw_file *f)
{
    struct gw_simdisk_handle *h;

    if (!f)
        return;
    h = handle_of(f);
    if (h->locked)
        h->d->inodes[h->inode].is_locked = false;
    h->d->inodes[h->inode].n_handles--;
    h->d->n_open--;
    h->d = NULL;
}

static int file_rename(struct gw_env *env, const char *from, const char *to)
{
    struct gw_simdisk *d = disk_of(env);
    const struct gw_simdisk_name *n;
    int rc = enter(d, GW_SIMDISK_RENAME, false);

    n = find(d->names, d->n_names, from);
    if (rc < 0)
        return rc;
    if (!n || !has_folder(d, to))
        return -ENOENT;
    change_name(d, GW_SIMDISK_RENAME, from, to, n->inode);
    return 0;
}

static int file_remove(struct gw_env *env, const char *path)
{
    struct gw_simdisk *d = disk_of(env);
    const struct gw_simdisk_name *n;
    int rc = enter(d, GW_SIMDISK_REMOVE, false);

    n = find(d->names, d->n_names, path);
    if (rc < 0)
        return rc;
    if (!n)
        return -ENOENT;
    change_name(d, GW_SIMDISK_REMOVE, path, "", n->inode);
    return 0;
}

static int dir_make(struct gw_env *env, const char *path, unsigned mode)
{
    struct gw_simdisk *d = disk_of(env);
    int rc = enter(d, GW_SIMDISK_DIR_MAKE, false);

    if (rc < 0)
        return rc;
    if (find(d->names, d->n_names, path))
        return -EEXIST;
    if (!has_folder(d, path))
        return -ENOENT;
    change_name(d, GW_SIMDISK_DIR_MAKE, path, "", inode_new(d, mode, true));
    return 0;
}

static int dir_list(struct gw_env *env, const char *path, void (*each)(void *arg, const char *name), void *arg)
{
    struct gw_simdisk *d = disk_of(env);
    const struct gw_simdisk_name *n = find(d->names, d->n_names, path);
    int rc = enter(d, GW_SIMDISK_DIR_LIST, false);

    if (rc < 0)
        return rc;
    if (strcmp(path, ".") != 0 && !n)
        return -ENOENT;
    for (unsigned i = 0; i < d->n_names; i++) {
        const char *p = d->names[i].path, *slash = strrchr(p, '/');

        if (p[0] && gw_slice_is(folder_of(p), path))
            each(arg, slash ? slash + 1 : p);
    }
    return 0;
}

static int dir_sync(struct gw_env *env, const char *path)
{
    struct gw_simdisk *d = disk_of(env);
    int rc = enter(d, GW_SIMDISK_DIR_SYNC, false);
    unsigned kept = 0;

    if (rc < 0)
        return rc;
    if (strcmp(path, ".") != 0 && !find(d->names, d->n_names, path))
        return -ENOENT;
    for (unsigned i = 0; i < d->n_pending; i++) {
        const struct gw_simdisk_pending *p = &d->pending[i];

        if (gw_slice_is(folder_of(p->path), path) ||
            (p->call == GW_SIMDISK_RENAME && gw_slice_is(folder_of(p->to), path))) {
            change_names(d, true, p);
            d->inodes[p->inode].n_pending--;
        } else if (kept++ != i) {
            d->pending[kept - 1] = *p;
        }
    }
    d->n_pending = kept;
    return 0;
}

static int disk_space(struct gw_env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct gw_simdisk *d = disk_of(env);
    int rc = enter(d, GW_SIMDISK_SPACE, false);
    uint64_t used = used_bytes(d);

    (void)path;
    if (rc < 0)
        return rc;
    *ret_total = d->room_bytes == UINT64_MAX ? 1ull << 40 : d->room_bytes;
    *ret_free = used < *ret_total ? *ret_total - used : 0;
    return 0;
}

static int path_mode(struct gw_env *env, const char *path, unsigned *ret_mode)
{
    struct gw_simdisk *d = disk_of(env);
    const struct gw_simdisk_name *n = find(d->names, d->n_names, path);
    const struct gw_simdisk_inode *i = n ? &d->inodes[n->inode] : NULL;

    if (!i && strcmp(path, ".") != 0)
        return -ENOENT;
    *ret_mode = i ? i->mode | (i->is_dir ? S_IFDIR : S_IFREG) : S_IFDIR | 0700;
    return 0;
}

static uint64_t file_changed_ns(struct gw_env *env, const char *path)
{
    struct gw_simdisk *d = disk_of(env);
    const struct gw_simdisk_name *n = find(d->names, d->n_names, path);

    return n ? d->inodes[n->inode].changed_ns : 0;
}

static const struct gw_env_ops simdisk_ops = {
    .mono_ns = mono_ns,
    .wall_ns = wall_ns,
    .random = random_bytes,
    .log_write = log_write,
    .file_open = file_open,
    .file_pread = file_pread,
    .file_writev = file_writev,
    .file_pwritev = file_pwritev,
    .file_size = file_size,
    .file_sync = file_sync,
    .file_truncate = file_truncate,
    .file_allocate = file_allocate,
    .file_forget = file_forget,
    .file_ahead = file_ahead,
    .file_lock = file_lock,
    .file_close = file_close,
    .file_rename = file_rename,
    .file_remove = file_remove,
    .dir_make = dir_make,
    .dir_list = dir_list,
    .dir_sync = dir_sync,
    .disk_space = disk_space,
    .path_mode = path_mode,
    .file_changed_ns = file_changed_ns,
};

/* ---- disks -------------------------------------------------------------------------------------------------- */

void gw_simdisk_init(struct gw_simdisk *d, uint64_t seed)
{
    memset(d, 0, sizeof(*d));
    d->ops = simdisk_ops;
    d->env.ops = &d->ops;
    d->seed = seed;
    d->now_ns = 1000000000u;
    d->wall_offset_ns = 1767323045678000000u - 1000000000u;
    d->room_bytes = UINT64_MAX;
    d->max_open = GW_SIMDISK_HANDLES;
}

void gw_simdisk_clear(struct gw_simdisk *d)
{
    for (unsigned i = 0; i < d->n_inodes; i++) {
        image_unref(d->inodes[i].cached);
        image_unref(d->inodes[i].stored);
        free(d->inodes[i].dirty);
    }
    memset(d, 0, sizeof(*d));
}

/* An empty disk with the clock of `from`, and its own memory still. */
static void begin_as(struct gw_simdisk *to, const struct gw_simdisk *from)
{
    for (unsigned i = 0; i < to->n_inodes; i++) {
        to->inodes[i].n_names = to->inodes[i].n_stored_names = 0;
        to->inodes[i].n_pending = to->inodes[i].n_handles = 0;
        to->inodes[i].is_locked = to->inodes[i].size_dirty = false;
    }
    if (to->n_open)
        memset(to->handles, 0, sizeof(to->handles));
    memset(to->n_calls, 0, sizeof(to->n_calls));
    memset(to->faults, 0, sizeof(to->faults));
    to->n_names = to->n_stored_names = to->n_pending = to->n_unsynced_old = to->n_synced_old = to->n_open = 0;
    to->n_changes = 0;
    to->short_permille = 0;
    to->read_only = false;
    to->room_bytes = from->room_bytes;
    to->max_open = from->max_open;
    to->now_ns = from->now_ns;
    to->wall_offset_ns = from->wall_offset_ns;
    to->tick_ns = from->tick_ns;
}

/* Inode k of `to` with the contents of `from`, shared, and all of its sectors clean. */
static struct gw_simdisk_inode *inode_as(struct gw_simdisk *to, unsigned k, const struct gw_simdisk_inode *from,
                                         uint8_t *cached, uint8_t *stored)
{
    struct gw_simdisk_inode *i = &to->inodes[k];

    if (to->n_inodes <= k)
        to->n_inodes = k + 1;
    (void)image_ref(cached); /* first: it may be the same */
    (void)image_ref(stored);
    image_unref(i->cached);
    image_unref(i->stored);
    i->cached = cached;
    i->stored = stored;
    dirty_room(i, from->cap);
    if (i->cap)
        memset(i->dirty, 0, n_words(i->cap) * 8);
    i->mode = from->mode;
    i->is_dir = from->is_dir;
    i->changed_ns = from->changed_ns;
    i->size_dirty = false;
    return i;
}

void gw_simdisk_kill(struct gw_simdisk *to, const struct gw_simdisk *from)
{
    begin_as(to, from);
    for (unsigned k = 0; k < from->n_inodes; k++) {
        const struct gw_simdisk_inode *f = &from->inodes[k];
        struct gw_simdisk_inode *i;

        if (f->n_names + f->n_stored_names + f->n_pending == 0)
            continue;
        i = inode_as(to, k, f, f->cached, f->stored);
        if (f->cap)
            memcpy(i->dirty, f->dirty, n_words(f->cap) * 8);
        i->n_cached = f->n_cached;
        i->n_stored = f->n_stored;
        i->size_dirty = f->size_dirty;
        i->n_names = f->n_names;
        i->n_stored_names = f->n_stored_names;
        i->n_pending = f->n_pending;
    }
    memcpy(to->names, from->names, from->n_names * sizeof(from->names[0]));
    memcpy(to->stored_names, from->stored_names, from->n_stored_names * sizeof(from->names[0]));
    memcpy(to->pending, from->pending, from->n_pending * sizeof(from->pending[0]));
    to->n_names = from->n_names;
    to->n_stored_names = from->n_stored_names;
    to->n_pending = from->n_pending;
}

struct gw_simdisk_crash gw_simdisk_any_crash(uint64_t *seed)
{
    static const uint16_t keeps[] = {0, 0, 1000, 1000, 100, 500, 500, 900};
    struct gw_simdisk_crash how = {.keep_permille = keeps[below(seed, 8)], .names_permille = keeps[below(seed, 8)]};

    if (below(seed, 3) == 0) {
        how.between_permille = (unsigned)below(seed, 300);
        how.torn_permille = (unsigned)below(seed, 200);
        how.zero_permille = (unsigned)below(seed, 200);
        how.garbage_permille = (unsigned)below(seed, 200);
    }
    return how;
}

static void fill_garbage(uint8_t *p, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = draw(seed);

        memcpy(p + i, &v, n - i < 8 ? n - i : 8);
    }
}

/* Some content that the sector had since the last sync, or its newest. */
static const uint8_t *between(const struct gw_simdisk *d, unsigned inode, size_t sector, uint64_t *seed)
{
    unsigned n = d->n_unsynced_old < GW_SIMDISK_OLD ? d->n_unsynced_old : GW_SIMDISK_OLD, n_found = 0;
    const uint8_t *any = d->inodes[inode].cached + sector * SECTOR;

    for (unsigned k = 0; k < n; k++)
        if (d->unsynced_old[k].inode == inode && d->unsynced_old[k].sector == sector && below(seed, ++n_found) == 0)
            any = d->unsynced_old[k].bytes;
    return any;
}

static void crash_sector(uint8_t *to, const struct gw_simdisk *d, unsigned inode, size_t s,
                         const struct gw_simdisk_crash *how, uint64_t *seed)
{
    const struct gw_simdisk_inode *i = &d->inodes[inode];
    const uint8_t *new = i->cached + s *SECTOR, *old = i->stored + s *SECTOR;
    unsigned fate = (unsigned)below(seed, 1000), limit = how->between_permille;

    if (fate < limit) {
        memcpy(to, between(d, inode, s, seed), SECTOR);
    } else if (fate < (limit += how->torn_permille)) {
        size_t n = below(seed, SECTOR);

        memcpy(to, new, n);
        memcpy(to + n, old + n, SECTOR - n);
    } else if (fate < limit + how->zero_permille + how->garbage_permille) {
        size_t a = 0, b = SECTOR;

        while (a < SECTOR && new[a] == old[a])
            a++;
        while (b > a && new[b - 1] == old[b - 1])
            b--;
        memcpy(to, old, SECTOR);
        if (fate < limit + how->zero_permille)
            memset(to + a, 0, b - a);
        else
            fill_garbage(to + a, b - a, seed);
    } else {
        memcpy(to, below(seed, 1000) < how->keep_permille ? new : old, SECTOR);
    }
}

static size_t crash_size(const struct gw_simdisk_inode *i, const struct gw_simdisk_crash *how, uint64_t *seed)
{
    if (!i->size_dirty || i->n_cached == i->n_stored)
        return i->n_stored;
    if (i->n_cached > i->n_stored && below(seed, 8) == 0)
        return i->n_stored + below(seed, i->n_cached - i->n_stored + 1);
    return below(seed, 1000) < how->keep_permille ? i->n_cached : i->n_stored;
}

/* Which of the pending names reach the disk: not those that stand on one that does not. */
static void crash_names(struct gw_simdisk *to, const struct gw_simdisk *from, const struct gw_simdisk_crash *how,
                        uint64_t *seed)
{
    bool lost[GW_SIMDISK_PENDING];
    bool in_order = below(seed, 2); /* a journal: what comes behind a lost one is lost as well */

    memcpy(to->stored_names, from->stored_names, from->n_stored_names * sizeof(from->names[0]));
    to->n_stored_names = from->n_stored_names;
    for (unsigned k = 0; k < from->n_pending; k++) {
        const struct gw_simdisk_pending *p = &from->pending[k];

        lost[k] = below(seed, 1000) >= how->names_permille || (in_order && k > 0 && lost[k - 1]);
        for (unsigned j = 0; j < k && !lost[k]; j++) {
            const struct gw_simdisk_pending *q = &from->pending[j];

            lost[k] = lost[j] && (p->inode == q->inode || strcmp(p->path, q->path) == 0 ||
                                  (p->to[0] && strcmp(p->to, q->path) == 0) ||
                                  (q->to[0] && (strcmp(q->to, p->path) == 0 || strcmp(q->to, p->to) == 0)) ||
                                  (q->call == GW_SIMDISK_DIR_MAKE && gw_slice_is(folder_of(p->path), q->path)));
        }
        if (!lost[k])
            change_names(to, true, p);
    }
    memcpy(to->names, to->stored_names, to->n_stored_names * sizeof(to->names[0]));
    to->n_names = to->n_stored_names;
    for (unsigned k = 0; k < to->n_names; k++) { /* a folder that is not there has nothing in it */
        struct gw_slice folder = folder_of(to->names[k].path);
        bool there = gw_slice_is(folder, ".");

        for (unsigned j = 0; j < to->n_names && !there; j++)
            there = gw_slice_is(folder, to->names[j].path);
        if (!there)
            to->names[k].path[0] = to->stored_names[k].path[0] = 0;
    }
}

static bool is_clean(const struct gw_simdisk_inode *i)
{
    uint64_t any = i->size_dirty;

    for (size_t w = 0; w < n_words(i->cap); w++)
        any |= i->dirty[w];
    return any == 0;
}

/* `to` holds what was stored. */
static void crash_contents(uint8_t *to, const struct gw_simdisk *from, unsigned inode, size_t n,
                           const struct gw_simdisk_crash *how, uint64_t *seed)
{
    const struct gw_simdisk_inode *f = &from->inodes[inode];

    for (size_t w = 0; w < n_words(n); w++)
        for (uint64_t left = f->dirty[w]; left; left &= left - 1) {
            size_t s = w * 64 + (size_t)__builtin_ctzll(left);

            if (s * SECTOR < n)
                crash_sector(to + s * SECTOR, from, inode, s, how, seed);
        }
    /* What lies behind an end is nobody's: it must not come back when the file grows. */
    if (n % SECTOR)
        memset(to + n, 0, SECTOR - n % SECTOR);
}

void gw_simdisk_power_cut(struct gw_simdisk *to, const struct gw_simdisk *from, const struct gw_simdisk_crash *how,
                          uint64_t *seed)
{
    begin_as(to, from);
    crash_names(to, from, how, seed);
    for (unsigned k = 0; k < to->n_inodes; k++)
        to->inodes[k].n_names = to->inodes[k].n_stored_names = 0;
    for (unsigned k = 0; k < to->n_names; k++) {
        unsigned inode = to->names[k].inode;
        const struct gw_simdisk_inode *f = &from->inodes[inode];
        struct gw_simdisk_inode *i;
        size_t n;

        if (!to->names[k].path[0])
            continue;
        n = crash_size(f, how, seed);
        i = inode_as(to, inode, f, f->stored, f->stored);
        i->n_cached = f->n_cached;
        i->n_stored = f->n_stored;
        if (!is_clean(f)) {
            own(i, &i->cached);
            crash_contents(i->cached, from, inode, n, how, seed);
            image_unref(i->stored);
            i->stored = image_ref(i->cached);
        }
        i->n_cached = i->n_stored = n;
        i->n_names = i->n_stored_names = 1;
    }
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

/* A sector of some file that has any; NULL: there is none. */
static const uint8_t *any_sector(const struct gw_simdisk *d, uint64_t *seed, uint16_t *ret_inode, size_t *ret_sector)
{
    size_t n = 0, pick;

    for (unsigned k = 0; k < d->n_names; k++)
        n += d->names[k].path[0] ? (d->inodes[d->names[k].inode].n_cached + SECTOR - 1) / SECTOR : 0;
    if (n == 0)
        return NULL;
    pick = below(seed, n);
    for (unsigned k = 0;; k++) {
        const struct gw_simdisk_inode *i = &d->inodes[d->names[k].inode];
        size_t here = d->names[k].path[0] ? (i->n_cached + SECTOR - 1) / SECTOR : 0;

        if (pick < here) {
            *ret_inode = d->names[k].inode;
            *ret_sector = pick;
            return i->cached + pick * SECTOR;
        }
        pick -= here;
    }
}

/* What the sector held before a sync that wrote it. */
static bool stale_sector(const struct gw_simdisk *d, uint64_t *seed, uint16_t *ret_inode, size_t *ret_sector,
                         uint8_t bytes[SECTOR])
{
    unsigned n_old = d->n_synced_old < GW_SIMDISK_OLD ? d->n_synced_old : GW_SIMDISK_OLD;
    const struct gw_simdisk_old_sector *o;

    if (n_old == 0)
        return false;
    o = &d->synced_old[below(seed, n_old)];
    if (d->inodes[o->inode].n_names == 0 || (size_t)o->sector * SECTOR >= d->inodes[o->inode].n_cached)
        return false;
    *ret_inode = o->inode;
    *ret_sector = o->sector;
    memcpy(bytes, o->bytes, SECTOR);
    return true;
}

bool gw_simdisk_damage(struct gw_simdisk *d, enum gw_simdisk_damage what, uint64_t *seed)
{
    uint8_t bytes[SECTOR];
    uint16_t inode, other_inode;
    size_t sector, other_sector;
    const uint8_t *p = any_sector(d, seed, &inode, &sector);
    struct gw_simdisk_inode *i;

    if (!p)
        return false;
    memcpy(bytes, p, SECTOR);
    switch (what) {
    case GW_SIMDISK_BIT:
        bytes[below(seed, SECTOR)] ^= (uint8_t)(1u << below(seed, 8));
        break;
    case GW_SIMDISK_ZEROS:
        memset(bytes, 0, SECTOR);
        break;
    case GW_SIMDISK_GARBAGE:
        fill_garbage(bytes, SECTOR, seed);
        break;
    case GW_SIMDISK_MISDIRECTED:
        memcpy(bytes, any_sector(d, seed, &other_inode, &other_sector), SECTOR);
        break;
    case GW_SIMDISK_STALE:
    case GW_SIMDISK_N_DAMAGES:
        if (!stale_sector(d, seed, &inode, &sector, bytes))
            return false;
        break;
    }
    i = &d->inodes[inode];
    own(i, &i->cached);
    own(i, &i->stored);
    memcpy(i->cached + sector * SECTOR, bytes, SECTOR);
    memcpy(i->stored + sector * SECTOR, bytes, SECTOR);
    return true;
}

/* ---- from outside ------------------------------------------------------------------------------------------- */

uint8_t *gw_simdisk_bytes(struct gw_simdisk *d, const char *path, size_t *ret_n)
{
    const struct gw_simdisk_name *n = find(d->names, d->n_names, path);
    struct gw_simdisk_inode *i;

    if (!n)
        return NULL;
    i = &d->inodes[n->inode];
    *ret_n = i->n_cached;
    reserve(i, 1);
    own(i, &i->cached);
    return i->cached;
}

uint64_t gw_simdisk_image(struct gw_simdisk *d, const char *path)
{
    const struct gw_simdisk_name *n = find(d->names, d->n_names, path);
    const struct gw_simdisk_inode *i = n ? &d->inodes[n->inode] : NULL;

    return i && i->cached ? image_of(i->cached)->id : 0;
}

void gw_simdisk_put(struct gw_simdisk *d, const char *path, const void *p, size_t n)
{
    struct gw_simdisk_name *name = find(d->names, d->n_names, path);
    struct gw_simdisk_inode *i;

    if (!name) {
        change_name(d, GW_SIMDISK_OPEN, path, "", inode_new(d, 0600, false));
        change_names(d, true, &d->pending[--d->n_pending]);
        d->inodes[d->pending[d->n_pending].inode].n_pending--;
        name = find(d->names, d->n_names, path);
    }
    i = &d->inodes[name->inode];
    set_size(d, name->inode, n);
    if (n) {
        touch(d, name->inode, 0, n);
        own(i, &i->cached);
        memcpy(i->cached, p, n);
    }
    if (i->cap)
        store(d, name->inode, false);
}

unsigned gw_simdisk_list(const struct gw_simdisk *d, const char *folder, const char **ret, unsigned max)
{
    unsigned n = 0;

    for (unsigned k = 0; k < d->n_names; k++)
        if (d->names[k].path[0] && gw_slice_is(folder_of(d->names[k].path), folder) && n < max)
            ret[n++] = d->names[k].path;
    return n;
}

bool gw_simdisk_is_quiet(const struct gw_simdisk *d)
{
    for (unsigned k = 0; k < d->n_inodes; k++)
        if (d->inodes[k].is_locked)
            return false;
    return d->n_open == 0;
}

uint64_t gw_simdisk_hash(const struct gw_simdisk *d)
{
    uint64_t h = 0;

    for (unsigned k = 0; k < d->n_names; k++) {
        const struct gw_simdisk_inode *i = &d->inodes[d->names[k].inode];
        uint64_t one = d->names[k].hash;

        if (!d->names[k].path[0])
            continue;
        for (size_t b = 0; b < i->n_cached; b++)
            one = (one ^ i->cached[b]) * 1099511628211u;
        h += draw(&one); /* whatever the order of names */
    }
    return h;
}
