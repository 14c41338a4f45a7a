/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that forgets, behind gw_env: what was written may be there after a crash, or not, or in part, until it is
 * synced. Made for millions of crashes: no allocation per call, a crash makes a second disk and leaves the first alone.
 *
 *   write ─► cached ── file_sync ──► stored            a sector = 512 bytes
 *   names ─► cached ── dir_sync ───► stored            made, renamed, removed; folders too
 *
 *   crash: names      those stored; of the calls since the last dir_sync any that do not depend on a lost one
 *          sectors    those stored; of each that was written since: as it was, as it is, anything between, torn,
 *                     zeros, garbage
 *          size       as it was, as it is, between
 *
 * A crash does not change bytes of a sector around those that were written (SQLite calls it powersafe overwrite): what
 * was synced stays when the rest of its sector is written later.
 *
 * After a sync that failed the cache says that all is clean, whatever reached the disk (as Linux does it).
 * Disks that were made from each other share contents: all of them belong to one thread. Paths are shorter than
 * GW_SIMDISK_PATH; breaking a limit ends the process.
 */
#ifndef GW_TESTS_HARNESS_SIMDISK_H
#define GW_TESTS_HARNESS_SIMDISK_H

#include "core/env.h"

enum {
    GW_SIMDISK_SECTOR = 512,
    GW_SIMDISK_PAGE = 4096, /* of direct writes */
    GW_SIMDISK_PATH = 80,
    GW_SIMDISK_FILES = 192,
    GW_SIMDISK_HANDLES = 96,
    GW_SIMDISK_PENDING = 256,
    GW_SIMDISK_MAX_FILE = 8 << 20,
};

enum gw_simdisk_call {
    GW_SIMDISK_OPEN,
    GW_SIMDISK_READ,
    GW_SIMDISK_WRITE,
    GW_SIMDISK_SYNC,
    GW_SIMDISK_TRUNCATE,
    GW_SIMDISK_ALLOCATE,
    GW_SIMDISK_SIZE,
    GW_SIMDISK_LOCK,
    GW_SIMDISK_RENAME,
    GW_SIMDISK_REMOVE,
    GW_SIMDISK_DIR_MAKE,
    GW_SIMDISK_DIR_LIST,
    GW_SIMDISK_DIR_SYNC,
    GW_SIMDISK_SPACE,
    GW_SIMDISK_N_CALLS,
};

/** The n-th call of a kind from now on fails, and `times` - 1 behind it. */
struct gw_simdisk_fault {
    int error; /* negative errno */
    uint64_t nth, times;
};

struct gw_simdisk_inode {
    unsigned n_names, n_stored_names, n_pending, n_handles; /* all zero: free */
    uint8_t *cached, *stored;
    size_t cap;
    size_t n_cached, n_stored; /* sizes */
    uint64_t *dirty;           /* bit per sector that was written since the last sync */
    bool size_dirty, is_dir, is_locked;
    unsigned mode;
    uint64_t changed_ns;
};

struct gw_simdisk_name {
    char path[GW_SIMDISK_PATH]; /* empty: free */
    uint32_t hash;
    uint16_t inode;
};

/** A call on names that no dir_sync followed yet. */
struct gw_simdisk_pending {
    enum gw_simdisk_call call; /* OPEN: made; RENAME, REMOVE, DIR_MAKE */
    char path[GW_SIMDISK_PATH], to[GW_SIMDISK_PATH];
    uint16_t inode;
};

struct gw_simdisk_old_sector {
    uint16_t inode;
    uint32_t sector;
    uint8_t bytes[GW_SIMDISK_SECTOR];
};
enum { GW_SIMDISK_OLD = 64 };

struct gw_simdisk_handle {
    struct gw_simdisk *d; /* NULL: free */
    uint16_t inode;
    int flags;
    uint64_t at;
    bool locked;
};

struct gw_simdisk {
    struct gw_env env; /* hand &d->env to the code under test */
    struct gw_env_ops ops;
    uint64_t seed, now_ns, wall_offset_ns, tick_ns; /* tick: the clock moves with every call */
    /** Before every call that changes what a crash may leave; may crash the disk into another one. */
    void (*before)(void *arg, struct gw_simdisk *d, enum gw_simdisk_call call);
    void (*log)(void *arg, const char *line, size_t n); /* lines of the code under test; NULL: nobody listens */
    void *arg;
    uint64_t n_calls[GW_SIMDISK_N_CALLS], n_changes;
    struct gw_simdisk_fault faults[GW_SIMDISK_N_CALLS];
    uint64_t n_forgotten; /* bytes */
    uint64_t n_ahead;     /* bytes that will be read soon, as was told; the last of them end at ahead_to */
    uint64_t ahead_to;
    unsigned short_permille; /* writes that end early */
    bool read_only;          /* -EROFS */
    bool refuses_direct;     /* -EINVAL */
    uint64_t room_bytes;     /* of the disk */
    unsigned max_open;       /* handles: -EMFILE beyond */
    unsigned n_open;

    struct gw_simdisk_inode inodes[GW_SIMDISK_FILES];
    struct gw_simdisk_name names[GW_SIMDISK_FILES], stored_names[GW_SIMDISK_FILES];
    struct gw_simdisk_pending pending[GW_SIMDISK_PENDING];
    struct gw_simdisk_handle handles[GW_SIMDISK_HANDLES];
    struct gw_simdisk_old_sector unsynced_old[GW_SIMDISK_OLD]; /* of dirty sectors: what was there between */
    struct gw_simdisk_old_sector synced_old[GW_SIMDISK_OLD];   /* what syncs wrote over */
    unsigned n_names, n_stored_names, n_pending, n_unsynced_old, n_synced_old, n_inodes;
};

/** Clocks as gw_test_env has them; no limits, no faults. The folder "." is there. */
void gw_simdisk_init(struct gw_simdisk *d, uint64_t seed);
void gw_simdisk_clear(struct gw_simdisk *d);

/** How likely which fate is, in 1/1000, per dirty sector; what is left over is as it is or as it was. All zero: lost.
 */
struct gw_simdisk_crash {
    unsigned keep_permille;  /* of the rest: as it is */
    unsigned names_permille; /* of the calls on names: took effect */
    unsigned between_permille, torn_permille, zero_permille, garbage_permille;
};
/** A mixture drawn by the seed: often all or nothing, sometimes the worst. */
struct gw_simdisk_crash gw_simdisk_any_crash(uint64_t *seed);
/** The power fails: `to` becomes what the next start finds. Handles and faults of `from` do not come along. */
void gw_simdisk_power_cut(struct gw_simdisk *to, const struct gw_simdisk *from, const struct gw_simdisk_crash *how,
                          uint64_t *seed);
/** The process dies: all calls took effect, and what was not synced is still not. */
void gw_simdisk_kill(struct gw_simdisk *to, const struct gw_simdisk *from);

enum gw_simdisk_damage {
    GW_SIMDISK_BIT,         /* one flips */
    GW_SIMDISK_ZEROS,       /* a sector reads as zeros */
    GW_SIMDISK_GARBAGE,     /* … as garbage */
    GW_SIMDISK_MISDIRECTED, /* … as another sector of the disk: written to the wrong place, or twice */
    GW_SIMDISK_STALE,       /* … as before the last sync that wrote it, where that is known */
    GW_SIMDISK_N_DAMAGES,
};
/** What lies on the disk changes. False: there is nothing to damage. */
bool gw_simdisk_damage(struct gw_simdisk *d, enum gw_simdisk_damage what, uint64_t *seed);

/** Contents as a program sees them; NULL: no such file. Writable: file surgery. */
uint8_t *gw_simdisk_bytes(struct gw_simdisk *d, const char *path, size_t *ret_n);
/** The same number: the same contents, maybe of another length, on whatever disk. 0: no such file, or an empty one. */
uint64_t gw_simdisk_image(struct gw_simdisk *d, const char *path);
/** Make a file, stored. */
void gw_simdisk_put(struct gw_simdisk *d, const char *path, const void *p, size_t n);
/** Paths of all files below the folder, in some fixed order. Returns how many. */
unsigned gw_simdisk_list(const struct gw_simdisk *d, const char *folder, const char **ret, unsigned max);
/** Nothing is open, locked or pending. */
bool gw_simdisk_is_quiet(const struct gw_simdisk *d);
/** A number that follows from all that a program can see of the disk. */
uint64_t gw_simdisk_hash(const struct gw_simdisk *d);

#endif
