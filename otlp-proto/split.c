/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting encoded requests apart by their framing alone. A body is walked once into a list of rows, each knowing its
 * envelopes; a piece is a run of that list, written with the envelopes opened and closed as the rows change them.
 *
 *   nodes   request ◄─ resource ◄─ scope ◄─ (metric ◄─ data)      rows point at their innermost node
 */
#include <errno.h>
#include <stdlib.h>

#include "core/hash.h"
#include "otlp-proto/decode.h"
#include "otlp-proto/encode_priv.h"

enum {
    MAX_LEVELS = 4,
    FIRST_ITEMS = 256,
    ITEM_BYTES = 32, /* an item in so many bytes of a body: few rows are shorter, and lists of others never grow */
    NO_NODE = -1
};

/* An envelope: a message whose child fields are the next level. */
struct node {
    struct gw_slice message;
    int32_t parent;
    uint32_t field;               /* its number in the parent */
    uint32_t child;               /* field number of its children */
    uint32_t own;                 /* bytes of its other fields */
    uint32_t first_own, last_own; /* these, index + 1 into owns[] */
};

/* Fields of an envelope that are no children, as runs: mostly one before the children and one behind. */
struct own {
    struct gw_slice bytes;
    uint32_t next; /* index + 1 */
};

struct row {
    int32_t node;
    uint32_t next;       /* index + 1 of the next row of the same key */
    struct gw_slice raw; /* tag and length included */
};

struct cut {
    enum gw_signal signal;
    struct gw_slice body;
    struct node *nodes;
    struct row *rows;
    struct own *owns;
    size_t n_nodes, cap_nodes, n_rows, cap_rows, n_owns, cap_owns;
    size_t first_items; /* of a list */
};

static void *grown(void *p, size_t n, size_t *cap, size_t item, size_t first)
{
    size_t c = *cap ? *cap * 2 : first;

    if (n < *cap)
        return p;
    p = realloc(p, c * item);
    if (p)
        *cap = c;
    return p;
}

static int add_node(struct cut *c, struct gw_slice message, int32_t parent, uint32_t field, uint32_t child)
{
    void *p = grown(c->nodes, c->n_nodes, &c->cap_nodes, sizeof(*c->nodes),
                    c->signal == GW_METRICS ? c->first_items : FIRST_ITEMS);

    if (!p)
        return -ENOMEM;
    c->nodes = p;
    c->nodes[c->n_nodes] = (struct node){.message = message, .parent = parent, .field = field, .child = child};
    return (int)c->n_nodes++;
}

static int add_row(struct cut *c, int node, struct gw_slice raw)
{
    void *p = grown(c->rows, c->n_rows, &c->cap_rows, sizeof(*c->rows), c->first_items);

    if (!p)
        return -ENOMEM;
    c->rows = p;
    c->rows[c->n_rows++] = (struct row){.node = node, .raw = raw};
    return 0;
}

static int add_own(struct cut *c, int node, const uint8_t *from, const uint8_t *to)
{
    struct node *n = &c->nodes[node];
    struct own *last = n->last_own ? &c->owns[n->last_own - 1] : NULL;
    void *p;

    n->own += (uint32_t)(to - from);
    if (last && last->bytes.p + last->bytes.n == from) {
        last->bytes.n += (size_t)(to - from);
        return 0;
    }
    p = grown(c->owns, c->n_owns, &c->cap_owns, sizeof(*c->owns),
              c->signal == GW_METRICS ? c->first_items : FIRST_ITEMS);
    if (!p)
        return -ENOMEM;
    c->owns = p;
    c->owns[c->n_owns++] = (struct own){.bytes = gw_slice_of(from, (size_t)(to - from))};
    if (n->last_own)
        c->owns[n->last_own - 1].next = (uint32_t)c->n_owns;
    else
        n->first_own = (uint32_t)c->n_owns;
    n->last_own = (uint32_t)c->n_owns;
    return 0;
}

static bool is_data(uint32_t field)
{
    return field == 5 || field == 7 || (field >= 9 && field <= 11);
}

/* Which member of Metric.data holds: the last. 0: none. */
static int data_field_of(struct gw_slice metric, uint32_t *ret)
{
    struct gw_wire_walk w = gw_wire_walk(metric);
    struct gw_wire_field f;
    int r;

    *ret = 0;
    while ((r = gw_wire_next(&w, &f)) > 0)
        if (is_data(f.number))
            *ret = f.number;
    return r;
}

/*
 * The children of a node: rows, or nodes that the caller goes into next. Level 0 is the request, 1 a resource's
 * envelope, 2 a scope's, and for metrics 3 a Metric and 4 its data.
 */
static int walk_node(struct cut *c, int node, unsigned level)
{
    bool metrics = c->signal == GW_METRICS, leaf = level == (metrics ? 4 : 2);
    struct gw_wire_walk w = gw_wire_walk(c->nodes[node].message);
    uint32_t child = c->nodes[node].child;
    struct gw_wire_field f;
    int r;

    while ((r = gw_wire_next(&w, &f)) > 0) {
        uint32_t grandchild = level == 0 || (level == 1) ? 2 : 1;

        if (f.number != child) {
            r = level == 0 ? 0 : add_own(c, node, f.at, w.p);
            if (r < 0)
                return r;
            continue;
        }
        if (f.wire != GW_LEN)
            return -EBADMSG;
        if (leaf) {
            r = add_row(c, node, gw_slice_of(f.at, (size_t)(w.p - f.at)));
        } else {
            if (metrics && level == 2 && (r = data_field_of(f.val, &grandchild)) < 0)
                return r;
            r = add_node(c, f.val, node, f.number, grandchild);
        }
        if (r < 0)
            return r;
        if (!leaf && (r = walk_node(c, r, level + 1)) < 0) /* five levels at most */
            return r;
    }
    return r;
}

static int cut_open(struct cut *c, enum gw_signal signal, struct gw_slice body)
{
    int r;

    *c = (struct cut){.signal = signal, .body = body, .first_items = FIRST_ITEMS + body.n / ITEM_BYTES};
    if (body.n >= 1u << 31)
        return -E2BIG;
    r = add_node(c, body, NO_NODE, 0, 1);
    return r < 0 ? r : walk_node(c, 0, 0);
}

static void cut_close(struct cut *c)
{
    free(c->nodes);
    free(c->rows);
    free(c->owns);
}

int gw_count_rows(enum gw_signal signal, struct gw_slice bytes, uint32_t *ret_rows)
{
    struct gw_wire_walk w[MAX_LEVELS + 1];
    uint32_t child[MAX_LEVELS + 1] = {1, 2, 2, 0, 1}, rows = 0;
    unsigned level = 0, leaf = signal == GW_METRICS ? 4 : 2;
    struct gw_wire_field f;
    int r;

    w[0] = gw_wire_walk(bytes);
    for (;;) {
        r = gw_wire_next(&w[level], &f);
        if (r < 0)
            return r;
        if (r == 0) {
            if (level-- == 0)
                break;
            continue;
        }
        if (f.number != child[level])
            continue;
        if (f.wire != GW_LEN)
            return -EBADMSG;
        if (level == leaf) {
            rows++;
            continue;
        }
        if (level == 2 && (r = data_field_of(f.val, &child[3])) < 0)
            return r;
        w[++level] = gw_wire_walk(f.val);
    }
    *ret_rows = rows;
    return 0;
}

/* ---- writing pieces ----------------------------------------------------------------------------------------- */

struct piece {
    struct cut *c;
    struct gw_buf buf;
    struct gw_enc e;
    int32_t open[MAX_LEVELS]; /* nodes, outermost first; the request itself is not among them */
    size_t at[MAX_LEVELS];
    unsigned n_open;
    uint32_t rows;
};

/* A piece may be all of the body. */
static int buf_make(struct piece *p)
{
    gw_buf_init(&p->buf, p->c->body.n + 4096);
    return gw_buf_reserve(&p->buf, p->buf.max_bytes);
}

static void piece_begin(struct piece *p)
{
    gw_buf_reset(&p->buf);
    gw_enc_begin(&p->e, NULL, &p->buf, 4096);
    p->n_open = p->rows = 0;
}

static void piece_close_to(struct piece *p, unsigned n)
{
    while (p->n_open > n) {
        p->n_open--;
        gw_enc_close(&p->e, p->at[p->n_open], p->c->nodes[p->open[p->n_open]].message.n);
    }
}

/* Nodes of a row, outermost first, without the request. */
static unsigned path_of(const struct cut *c, int32_t node, int32_t *ret)
{
    unsigned n = 0;

    for (int32_t i = node; c->nodes[i].parent != NO_NODE; i = c->nodes[i].parent)
        n++;
    for (unsigned k = n; k > 0; k--, node = c->nodes[node].parent)
        ret[k - 1] = node;
    return n;
}

static void piece_open(struct piece *p, int32_t node)
{
    const struct node *n = &p->c->nodes[node];

    p->open[p->n_open] = node;
    p->at[p->n_open++] = gw_enc_open(&p->e, n->field, n->message.n);
    for (uint32_t i = n->first_own; i; i = p->c->owns[i - 1].next)
        gw_enc_put(&p->e, p->c->owns[i - 1].bytes.p, p->c->owns[i - 1].bytes.n);
}

static void piece_add(struct piece *p, const struct row *row)
{
    int32_t path[MAX_LEVELS];
    unsigned n = path_of(p->c, row->node, path), same = 0;

    while (same < p->n_open && same < n && p->open[same] == path[same])
        same++;
    piece_close_to(p, same);
    for (; same < n; same++)
        piece_open(p, path[same]);
    gw_enc_put(&p->e, row->raw.p, row->raw.n);
    p->rows++;
}

/* At most so many bytes would a row add: itself and the envelopes that are not open, five bytes for each length. */
static size_t piece_cost(const struct piece *p, const struct row *row)
{
    int32_t path[MAX_LEVELS];
    unsigned n = path_of(p->c, row->node, path);
    size_t cost = row->raw.n;

    for (unsigned i = 0; i < n; i++)
        if (i >= p->n_open || p->open[i] != path[i])
            cost += p->c->nodes[path[i]].own + 6;
    return cost;
}

static int piece_finish(struct piece *p, struct gw_slice *ret)
{
    int r;

    piece_close_to(p, 0);
    r = gw_enc_finish(&p->e);
    *ret = gw_buf_slice(&p->buf);
    return r;
}

/* Bytes that the piece would have when it were closed now, or a little more: lengths may still shrink. */
static size_t piece_bytes(const struct piece *p)
{
    return p->e.rc < 0 ? 0 : (size_t)(p->e.p - p->buf.p);
}

static int flush(struct piece *p, gw_piece_fn piece, void *arg)
{
    uint32_t rows = p->rows;
    struct gw_slice s;
    int r = piece_finish(p, &s);

    if (r == 0)
        r = piece(arg, s, rows);
    piece_begin(p);
    return r < 0 ? r : 0;
}

static int split(struct cut *c, uint32_t max_rows, size_t max_bytes, gw_piece_fn piece, void *arg)
{
    struct piece p = {.c = c};
    int r = buf_make(&p);

    piece_begin(&p);
    for (size_t i = 0; r == 0 && i < c->n_rows; i++) {
        bool full = max_rows && p.rows == max_rows;

        if (!full && max_bytes && p.rows)
            full = piece_bytes(&p) + piece_cost(&p, &c->rows[i]) > max_bytes;
        if (full)
            r = flush(&p, piece, arg);
        piece_add(&p, &c->rows[i]);
    }
    if (r == 0 && p.rows)
        r = flush(&p, piece, arg);
    gw_buf_clear(&p.buf);
    return r;
}

int gw_split(enum gw_signal signal, struct gw_slice body, uint32_t max_rows, size_t max_bytes, gw_piece_fn piece,
             void *arg)
{
    struct cut c;
    int r = cut_open(&c, signal, body);

    if (r == 0) {
        bool fits = (!max_rows || c.n_rows <= max_rows) && (!max_bytes || body.n <= max_bytes);

        if (!fits)
            r = split(&c, max_rows, max_bytes, piece, arg);
        else if (c.n_rows)
            r = piece(arg, body, (uint32_t)c.n_rows);
    }
    cut_close(&c);
    return r < 0 ? r : 0;
}

/* ---- by key ------------------------------------------------------------------------------------------------- */

/* Rows of one key are a list; keys stand in the order of their first row; slots of the table are index + 1. */
struct group {
    struct gw_slice key;
    uint64_t hash;
    uint32_t first, last; /* rows, index + 1 */
};

struct groups {
    struct group *items;
    uint32_t *slots;
    size_t n, cap, n_slots;
};

static int groups_grow(struct groups *g)
{
    size_t n_slots = g->n_slots ? g->n_slots * 2 : 2 * FIRST_ITEMS;
    uint32_t *slots = calloc(n_slots, sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < g->n; i++) {
        size_t at = g->items[i].hash & (n_slots - 1);

        while (slots[at])
            at = (at + 1) & (n_slots - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(g->slots);
    g->slots = slots;
    g->n_slots = n_slots;
    return 0;
}

static int groups_add(struct groups *g, struct row *rows, uint32_t row, struct gw_slice key)
{
    uint64_t hash = gw_hash_table(key);
    size_t at;
    void *p;

    if (g->n * 2 >= g->n_slots && groups_grow(g) < 0)
        return -ENOMEM;
    for (at = hash & (g->n_slots - 1); g->slots[at]; at = (at + 1) & (g->n_slots - 1)) {
        struct group *i = &g->items[g->slots[at] - 1];

        if (i->hash == hash && gw_slice_eq(i->key, key)) {
            rows[i->last - 1].next = row + 1;
            i->last = row + 1;
            return 0;
        }
    }
    p = grown(g->items, g->n, &g->cap, sizeof(*g->items), FIRST_ITEMS);
    if (!p)
        return -ENOMEM;
    g->items = p;
    g->items[g->n++] = (struct group){.key = key, .hash = hash, .first = row + 1, .last = row + 1};
    g->slots[at] = (uint32_t)g->n;
    return 0;
}

/* The last field of that number, or nothing: the message was walked by nobody yet. */
static int find_field(struct gw_slice message, uint32_t number, struct gw_slice *ret)
{
    struct gw_wire_walk w = gw_wire_walk(message);
    struct gw_wire_field f;
    int r;

    *ret = gw_slice_of(message.p, 0);
    while ((r = gw_wire_next(&w, &f)) > 0)
        if (f.number == number && f.wire == GW_LEN)
            *ret = f.val;
    return r;
}

/* As find_field, in what an envelope holds besides its children: there may be many of those. */
static int find_own(const struct cut *c, const struct node *node, uint32_t number, struct gw_slice *ret)
{
    struct gw_slice found = gw_slice_of(node->message.p, 0);
    int r = 0;

    for (uint32_t i = node->first_own; i && r == 0; i = c->owns[i - 1].next) {
        r = find_field(c->owns[i - 1].bytes, number, ret);
        if (ret->n)
            found = *ret;
    }
    *ret = found;
    return r;
}

/* The message inside a row's field. */
static struct gw_slice row_message(const struct row *row)
{
    struct gw_wire_walk w = gw_wire_walk(row->raw);
    struct gw_wire_field f;

    return gw_wire_next(&w, &f) > 0 ? f.val : gw_slice_of(row->raw.p, 0);
}

static int key_of(const struct cut *c, const struct row *row, bool by_trace, struct gw_slice *ret)
{
    int32_t path[MAX_LEVELS];

    if (by_trace) {
        int r = find_field(row_message(row), c->signal == GW_TRACES ? 1 : 9, ret);

        if (ret->n != 16)
            ret->n = 0;
        return r;
    }
    (void)path_of(c, row->node, path);
    return find_own(c, &c->nodes[path[0]], 1, ret);
}

static int keyed_pieces(struct cut *c, const struct groups *g, gw_keyed_piece_fn piece, void *arg)
{
    uint32_t *row_of = malloc((c->n_rows + 1) * sizeof(*row_of));
    struct piece p = {.c = c};
    int r = row_of ? buf_make(&p) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < g->n; i++) {
        struct gw_slice s;

        piece_begin(&p);
        for (uint32_t row = g->items[i].first; row; row = c->rows[row - 1].next) {
            row_of[p.rows] = row - 1;
            piece_add(&p, &c->rows[row - 1]);
        }
        r = piece_finish(&p, &s);
        if (r == 0)
            r = piece(arg, g->items[i].key, s, row_of, p.rows);
    }
    gw_buf_clear(&p.buf);
    free(row_of);
    return r;
}

static int split_by(enum gw_signal signal, struct gw_slice body, bool by_trace, gw_keyed_piece_fn piece, void *arg)
{
    struct groups g = {0};
    struct gw_slice key = {NULL, 0};
    int32_t node = NO_NODE;
    struct cut c;
    int r = cut_open(&c, signal, body);

    for (size_t i = 0; r == 0 && i < c.n_rows; i++) {
        if (by_trace || c.rows[i].node != node) /* rows of a node have its resource */
            r = key_of(&c, &c.rows[i], by_trace, &key);
        node = c.rows[i].node;
        if (r == 0)
            r = groups_add(&g, c.rows, (uint32_t)i, key);
    }
    if (r == 0)
        r = keyed_pieces(&c, &g, piece, arg);
    free(g.items);
    free(g.slots);
    cut_close(&c);
    return r < 0 ? r : 0;
}

int gw_split_by_trace(enum gw_signal signal, struct gw_slice body, gw_keyed_piece_fn piece, void *arg)
{
    if (signal == GW_METRICS)
        return -EINVAL;
    return split_by(signal, body, true, piece, arg);
}

int gw_split_by_resource(enum gw_signal signal, struct gw_slice body, gw_keyed_piece_fn piece, void *arg)
{
    return split_by(signal, body, false, piece, arg);
}
