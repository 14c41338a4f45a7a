/* SPDX-License-Identifier: Apache-2.0 */
/* Exporters with a queue on disk, the dead letter port of the first one, and the books that all of them keep. */
#ifndef GW_TESTS_LETTERS_RIG_H
#define GW_TESTS_LETTERS_RIG_H

#include "queue/held.h"
#include "tests/queue/durable_rig.h"

static const struct gw_sent_info NO = {.sent = GW_SENT_PERMANENT, .reason = "http_400", .message = "bad"};

struct port {
    struct gw_test_sink *sink;
    struct gw_edge *edge;
    struct gw_books books;
    bool on_disk; /* set before it is opened: its queue has a log of its own */
    struct gw_log *log;
    struct gw_wal *wal;
};

/* After the rig is set up, and before it is started. */
static void keep_books(struct rig *r, struct port *p)
{
    *p = (struct port){0};
    assert_int_equal(gw_books_init(&p->books, 0), 0);
    r->books = &p->books;
}

static void put_on_disk(struct rig *r, struct port *p)
{
    struct gw_log_sim_conf log = {.env = &r->te.env, .retention = {.until_settled = true}};
    struct gw_wal_conf wal = {.env = &r->te.env, .signal = GW_LOGS, .memory = &r->memory, .meter = r->meter};

    assert_int_equal(gw_log_sim_open(&log, &p->log), 0);
    wal.log = p->log;
    assert_int_equal(gw_wal_new(&wal, &p->wal), 0);
    assert_int_equal(gw_wal_add_edge(p->wal, p->edge, NULL), 0);
    gw_edge_set_own_wal(p->edge, GW_LOGS, p->wal);
}

/* A queue for so many letters, behind the started rig's first exporter. */
static void open_port(struct rig *r, struct port *p, uint64_t letters)
{
    struct gw_edge_conf conf = {.env = &r->te.env,
                                .component = &gw_test_exporter,
                                .id = "letters",
                                .signals = GW_LOGS,
                                .settings = r->settings,
                                .meter = r->meter,
                                .memory = &r->memory,
                                .book = find_book,
                                .arg = r};
    struct gw_err err;

    assert_int_equal(gw_test_exporter.create((void **)&p->sink, NULL, NULL, &err), 0);
    conf.self = p->sink;
    if (!p->on_disk)
        conf.settings.queue.storage = "";
    conf.settings.queue.queue_size = letters;
    assert_int_equal(gw_edge_new(&conf, &p->edge), 0);
    if (p->on_disk)
        put_on_disk(r, p);
    assert_int_equal(gw_edge_open(p->edge, r->loop, NULL), 0);
    assert_int_equal(gw_edge_add_dead_letter(r->edges[0], p->edge), 0);
}

/* After the exporters before it are closed. */
static void close_port(struct port *p)
{
    gw_edge_close(p->edge);
    if (p->on_disk)
        (void)gw_log_work(p->log);
    gw_edge_free(p->edge);
    if (p->on_disk) {
        gw_wal_free(p->wal);
        gw_log_close(p->log);
    }
    free(p->sink);
    p->edge = NULL;
}

/* Of one exporter, whose log has a book of its own. */
static void sum_up(const struct gw_cut *c, const char *id, uint64_t *ret_in, uint64_t *ret_out)
{
    *ret_in = *ret_out = 0;
    for (size_t i = 0; i < c->n_books; i++)
        for (unsigned page = 0; strcmp(c->books[i]->component, id) == 0 && page < c->n_pages; page++)
            for (enum gw_entry e = GW_E_IN; e < GW_N_ENTRIES; e++)
                *(e <= GW_E_CREATED ? ret_in : ret_out) += *gw_cut_cell(c, c->books[i], page, e);
}

/* The ledger at this moment, when nothing moves: what came in is what has become of it, and what is held. */
static void must_balance(struct rig *r, struct port *p)
{
    struct gw_cut *c = gw_cut_new(&p->books, 0, 0);

    assert_non_null(c);
    c->number = 1;
    for (unsigned i = 0; i < r->n_edges; i++)
        gw_cut_rest(c, r->edges[i]);
    if (p->edge)
        gw_cut_rest(c, p->edge);
    gw_wal_cut_rest(r->wal, c);
    if (p->edge && p->on_disk)
        gw_wal_cut_rest(p->wal, c);
    assert_int_equal(atomic_load(&c->nameless), 0);
    for (size_t i = 0; i < c->n_books; i++) {
        const char *id = c->books[i]->component;
        uint64_t in, out;

        sum_up(c, id, &in, &out);
        if (in != out)
            fail_msg("%s: %llu came in, %llu are known", id, (unsigned long long)in, (unsigned long long)out);
    }
    gw_cut_free(c);
}

/* Of a rig in which nothing is held any more. */
static void tear_all_down(struct rig *r, struct port *p)
{
    for (unsigned i = 0; i < r->n_edges; i++) {
        assert_int_equal(counts(r, i).held, 0);
        assert_true(gw_edge_is_empty(r->edges[i]));
        gw_edge_close(r->edges[i]);
    }
    must_balance(r, p);
    if (p->edge)
        close_port(p);
    tear_down(r);
    gw_books_clear(&p->books);
}

static inline uint64_t dropped(struct rig *r, const char *reason)
{
    const struct gw_label l[] = {
        {"component", "a"}, {"pipeline", r->books ? "logs" : ""}, {"signal", "logs"}, {"reason", reason}};

    return gw_meter_get(r->meter, GW_COUNTER, "staunch_dropped_items", "", l, 4)->value;
}

/* The exporters stop first, then the port; the ledger balances with what they leave behind. */
static inline void stop(struct rig *r, struct port *p)
{
    for (unsigned i = 0; i < r->n_edges; i++)
        gw_edge_close(r->edges[i]);
    (void)gw_log_work(r->log);
    must_balance(r, p);
    if (p->edge)
        close_port(p);
    end(r, STOP);
}

/* A new process: its books begin with what the log knows. */
static inline void start_again(struct rig *r, struct port *p)
{
    stop(r, p);
    gw_books_clear(&p->books);
    keep_books(r, p);
    start(r);
    turn(r);
    pass(r, 2 * S); /* what waits for a batch */
    must_balance(r, p);
}

/* The sink is away for these rows, and has the others of its oldest attempt. `said`: how many rows it says these are.
 */
static inline void answer_in_part(struct rig *r, uint64_t left_bits, uint32_t said, bool says_which)
{
    struct gw_attempt *a = r->sinks[0]->waiting[0];
    struct gw_rows rows = {&left_bits, a->rows, (uint32_t)__builtin_popcountll(left_bits)};
    struct gw_sent_info part = AWAY;
    struct gw_buf left;

    gw_buf_init(&left, 65536);
    assert_int_equal(gw_rows_extract(GW_LOGS, a->body, &rows, &left), 0);
    part.left = gw_buf_slice(&left);
    part.left_rows = said;
    part.left_bits = says_which ? &left_bits : NULL;
    gw_test_sink_answer(r->sinks[0], &part);
    gw_buf_clear(&left);
}

#endif
