/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment file that somebody wrote to. The input is a list of edits of a small sound log: bytes changed, cut, records
 * and commits added whose CRCs are right, so that what lies behind them is reached. It must start, be read to its end,
 * take a commit, and start again with the same numbers; each consumer's counts add up.
 */
#include <stdio.h>
#include <stdlib.h>

#include "log/crc32c.h"
#include "log/impl.h"
#include "tests/harness_simdisk.h"

#define SEGMENT "q/00000000000000000001.log"

enum { MAX_FILE = 64 << 10 };

static struct gw_simdisk disk;
static uint8_t sound[MAX_FILE], file[MAX_FILE];
static size_t n_sound, n_file;
static uint8_t uuid[GW_LF_UUID];

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "log_fuzz: %s\n", what);
    abort();
}

static struct gw_log *open_log(void)
{
    static struct gw_log_files_conf conf;
    struct gw_log *log = NULL;
    struct gw_err err = {""};
    int rc;

    conf = (struct gw_log_files_conf){.env = &disk.env, .dir = "q", .segment_bytes = MAX_FILE, .reserve_bytes = 1};
    rc = gw_log_files_open(&conf, &log, &err);
    must(rc == 0 || rc == -EPROTONOSUPPORT, err.text);
    return log;
}

static void done(struct gw_log_commit *c, int rc)
{
    (void)c;
    must(rc == 0 || rc == -EINVAL || rc == -E2BIG, "a commit failed");
}

static void commit(struct gw_log *log, struct gw_log_commit c)
{
    c.done = done;
    gw_log_submit(log, &c);
    (void)gw_log_work(log);
}

static void make_sound_log(void)
{
    struct gw_log_frame f = {.rows = 3, .meta = GW_SLICE("m"), .body = GW_SLICE("some bytes of a body")};
    struct gw_log_settle s = {.seq = 1, .last_seq = 1};
    struct gw_log_position p = {.partition = 2, .next_seq = 1, .note = GW_SLICE("note")};
    struct gw_log_producer producer;
    struct gw_log *log;
    uint8_t *bytes;
    uint32_t id;

    gw_simdisk_init(&disk, 1);
    log = open_log();
    must(gw_log_consumer_open(log, "c", GW_LOG_FROM_FIRST, &id) == 0, "consumer");
    must(gw_log_producer(log, "p", &producer) == 0, "producer");
    s.consumer = p.consumer = id;
    for (unsigned i = 0; i < 4; i++)
        commit(log, (struct gw_log_commit){.frames = &f, .n_frames = 1});
    commit(log, (struct gw_log_commit){.settles = &s, .n_settles = 1, .positions = &p, .n_positions = 1});
    memcpy(uuid, ((struct gw_lf *)log)->uuid, sizeof(uuid));
    gw_log_close(log);
    bytes = gw_simdisk_bytes(&disk, SEGMENT, &n_sound);
    memcpy(sound, bytes, n_sound);
    gw_simdisk_clear(&disk);
}

/* ---- edits ------------------------------------------------------------------------------------------------- */

struct in {
    const uint8_t *p;
    size_t n;
};

static uint64_t take(struct in *in, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n && in->n > 0; i++, in->p++, in->n--)
        v |= (uint64_t)*in->p << (8 * i);
    return v;
}

static size_t group; /* where the records that were added begin */
static uint32_t heads_crc, n_records;

static void add_record(struct in *in, uint8_t kind, const uint8_t *body, size_t n)
{
    struct gw_lf_record r = {.kind = kind, .n_body = (uint32_t)n, .body_crc = gw_crc32c(0, body, n)};
    uint8_t *p = file + n_file;

    if (n_file % 8 || n_file + GW_LF_HEAD + gw_lf_pad(n) > sizeof(file))
        return;
    r.seq = 4 + take(in, 1);
    r.row = 12 + take(in, 1);
    r.rows = kind == GW_LF_FRAME ? (uint32_t)take(in, 1) : 0;
    r.topic = (uint16_t)take(in, 1);
    gw_lf_write_record(p, &r, gw_lf_salt(uuid, 1), n_file);
    if (kind != GW_LF_END) {
        heads_crc = gw_crc32c(heads_crc, p, GW_LF_HEAD_CHECKED);
        n_records++;
    }
    memset(p + GW_LF_HEAD, 0, gw_lf_pad(n));
    memcpy(p + GW_LF_HEAD, body, n);
    n_file += GW_LF_HEAD + gw_lf_pad(n);
}

static void add_commit(struct in *in)
{
    struct gw_lf_commit c = {.group_bytes = n_file - group, .n_records = n_records, .heads_crc = heads_crc};
    uint8_t body[GW_LF_COMMIT_BODY];

    c.synced = take(in, 1) & 1 ? n_file : 0;
    c.chain = (uint32_t)take(in, 1);
    gw_lf_write_commit(body, &c);
    add_record(in, GW_LF_END, body, sizeof(body));
    group = n_file;
    heads_crc = n_records = 0;
}

static void edit(struct in *in)
{
    uint8_t what = (uint8_t)take(in, 1);
    size_t at = n_file ? (size_t)take(in, 2) % n_file : 0, n;

    switch (what % 6) {
    case 0:
        if (at < n_file)
            file[at] ^= (uint8_t)(1 + take(in, 1));
        break;
    case 1:
        n = (size_t)take(in, 1);
        for (size_t i = 0; i < n && at + i < n_file; i++)
            file[at + i] = (uint8_t)take(in, 1);
        break;
    case 2:
        n_file = at & ~(size_t)7;
        group = n_file;
        heads_crc = n_records = 0;
        break;
    case 3:
        n = (size_t)take(in, 1);
        n = n < in->n ? n : in->n;
        {
            const uint8_t *body = in->p;
            uint8_t kind = (uint8_t)(1 + what / 6 % 12);

            in->p += n;
            in->n -= n;
            add_record(in, kind == GW_LF_END ? GW_LF_SETTLE : kind, body, n);
        }
        break;
    case 4:
        add_commit(in);
        break;
    default: /* a header's CRC becomes right */
        at &= ~(size_t)7;
        if (at + GW_LF_HEAD <= n_file)
            gw_lf_put32(file + at + 60, gw_crc32c(0, file + at, 60));
        break;
    }
}

/* ---- and what comes of it ---------------------------------------------------------------------------------- */

static void use(struct gw_log *log)
{
    struct gw_log_frame f = {.rows = 1, .body = GW_SLICE("new")};
    struct gw_log_settle s = {0};
    struct gw_log_stats st;
    struct gw_log_reader *r;
    struct gw_log_entry e;

    must(gw_log_consumer_open(log, "c", GW_LOG_FROM_FIRST, &s.consumer) == 0, "the consumer cannot be opened");
    must(gw_log_reader_new(log, &(struct gw_log_reader_conf){.consumer = s.consumer}, &r) == 0, "no reader");
    while (gw_log_next(r, &e) > 0)
        s.last_seq = e.frame.seq;
    gw_log_reader_free(r);
    commit(log, (struct gw_log_commit){.frames = &f, .n_frames = 1, .sync = true});
    gw_log_stats(log, &st);
    if (st.end_seq > 0)
        s.last_seq = st.end_seq - 1;
    commit(log, (struct gw_log_commit){.settles = &s, .n_settles = 1});
    must(gw_lf_state_adds_up(&((struct gw_lf *)log)->state), "counts do not add up");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct in in = {data, size};
    struct gw_log_stats before, after;
    struct gw_log *log;

    if (n_sound == 0)
        make_sound_log();
    memcpy(file, sound, n_sound);
    n_file = group = n_sound;
    heads_crc = n_records = 0;
    while (in.n > 0)
        edit(&in);
    gw_simdisk_init(&disk, 1);
    gw_simdisk_put(&disk, SEGMENT, file, n_file);
    log = open_log();
    if (log) {
        must(gw_lf_state_adds_up(&((struct gw_lf *)log)->state), "counts do not add up");
        use(log);
        gw_log_stats(log, &before);
        gw_log_close(log);
        log = open_log();
        must(log != NULL, "it does not start again");
        gw_log_stats(log, &after);
        must(after.end_seq == before.end_seq && after.end_row == before.end_row, "another end");
        must(after.lost_rows == before.lost_rows, "other losses");
        gw_log_close(log);
    }
    gw_simdisk_clear(&disk);
    return 0;
}
