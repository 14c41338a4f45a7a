/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "exporters/elasticsearch/object.h"

/* ---- objects ------------------------------------------------------------------------------------------------ */

/* The cursor stands on the value of a member that nobody asked for. */
static int skip(struct gw_json_text *t)
{
    return gw_json_skip_value(t);
}

/* ---- texts -------------------------------------------------------------------------------------------------- */

/* Cut to what fits; UTF-8 that breaks no line of a log. Escapes are undone where they are short. */
static void put_text(char *out, size_t size, struct gw_slice raw)
{
    size_t n = 0, bad;

    for (size_t i = 0; i < raw.n && n + 1 < size; i++) {
        uint8_t c = raw.p[i];

        if (c == '\\' && i + 1 < raw.n) {
            c = raw.p[++i];
            if (c == 'u') { /* the four digits are left out: no letter of ours is written so */
                i += 4;
                c = '?';
            } else if (c != '"' && c != '\\' && c != '/') {
                c = ' ';
            }
        }
        out[n++] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
    }
    out[n] = '\0';
    while (!gw_json_is_utf8(gw_slice_of(out, n), &bad)) /* also of a character that was cut in two */
        out[bad] = '?';
}

static int read_text(struct gw_json_text *t, char *out, size_t size)
{
    struct gw_json_string s;

    if (gw_json_peek(t) != '"')
        return skip(t);
    if (gw_json_read_string(t, &s) < 0)
        return -EBADMSG;
    put_text(out, size, s.raw);
    return 0;
}

/* ---- errors ------------------------------------------------------------------------------------------------- */

static int error_member(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    struct gw_es_error *e = arg;

    if (gw_slice_is(key, "type"))
        return read_text(t, e->type, sizeof(e->type));
    if (gw_slice_is(key, "reason"))
        return read_text(t, e->reason, sizeof(e->reason));
    return skip(t);
}

/* An object, or a text alone: then it is the reason. */
static int read_error(struct gw_json_text *t, struct gw_es_error *e)
{
    if (gw_json_peek(t) == '{')
        return gw_es_read_object(t, error_member, e);
    return read_text(t, e->reason, sizeof(e->reason));
}

static int root_error_member(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    return gw_slice_is(key, "error") ? read_error(t, arg) : skip(t);
}

void gw_es_error_read(struct gw_slice body, struct gw_es_error *ret)
{
    struct gw_json_text t = {.begin = body.p, .p = body.p, .end = body.p + body.n};

    ret->type[0] = ret->reason[0] = '\0';
    (void)gw_es_read_object(&t, root_error_member, ret);
}

/* ---- items -------------------------------------------------------------------------------------------------- */

struct reading {
    struct gw_es_item item;
    struct gw_slice text; /* of the item; n == 0: none was read yet */
    gw_es_item_fn each;
    void *arg;
    uint32_t n;
    bool has_items;
};

static int read_status(struct gw_json_text *t, int *ret)
{
    struct gw_json_number n;
    uint64_t v;

    if (gw_json_peek(t) < '0' || gw_json_peek(t) > '9' || gw_json_read_number(t, &n) < 0 ||
        !gw_json_number_to_u64(&n, &v) || v < 100 || v > 599)
        return -EBADMSG;
    *ret = (int)v;
    return 0;
}

static int read_failure_store(struct gw_json_text *t, enum gw_es_failure_store *ret)
{
    char word[16] = "";
    int r = read_text(t, word, sizeof(word));

    *ret = strcmp(word, "used") == 0          ? GW_ES_STORE_USED
           : strcmp(word, "failed") == 0      ? GW_ES_STORE_FAILED
           : strcmp(word, "not_enabled") == 0 ? GW_ES_STORE_NOT_ENABLED
                                              : GW_ES_STORE_NONE;
    return r;
}

static int result_member(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    struct gw_es_item *item = arg;

    if (gw_slice_is(key, "status"))
        return read_status(t, &item->status);
    if (gw_slice_is(key, "error"))
        return read_error(t, &item->error);
    if (gw_slice_is(key, "failure_store"))
        return read_failure_store(t, &item->failure_store);
    return skip(t);
}

/* {"create": {…}}: whatever the action is called. */
static int action_member(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    (void)key;
    return gw_es_read_object(t, result_member, arg);
}

/* Nearly all items read as the one before, and so mean the same. */
static bool is_as_before(struct gw_json_text *t, const struct reading *rd)
{
    return rd->text.n && (size_t)(t->end - t->p) >= rd->text.n && memcmp(t->p, rd->text.p, rd->text.n) == 0;
}

static int read_item(struct gw_json_text *t, struct reading *rd)
{
    struct gw_es_item *item = &rd->item;
    const uint8_t *begin = t->p;
    int r;

    item->index = rd->n;
    if (is_as_before(t, rd)) {
        t->p += rd->text.n;
    } else {
        item->status = 0;
        item->failure_store = GW_ES_STORE_NONE;
        item->error.type[0] = item->error.reason[0] = '\0';
        r = gw_es_read_object(t, action_member, item);
        if (r < 0 || item->status == 0)
            return -EBADMSG;
        rd->text = gw_slice_of(begin, (size_t)(t->p - begin));
    }
    rd->n++;
    if (rd->each)
        rd->each(rd->arg, item);
    return 0;
}

static int read_items(struct gw_json_text *t, struct reading *rd)
{
    if (gw_json_peek(t) != '[' || rd->has_items)
        return -EBADMSG;
    rd->has_items = true;
    t->p++;
    gw_json_skip_space(t);
    if (gw_json_peek(t) == ']') {
        t->p++;
        return 0;
    }
    for (;;) {
        if (read_item(t, rd) < 0)
            return -EBADMSG;
        gw_json_skip_space(t);
        if (gw_json_peek(t) == ']') {
            t->p++;
            return 0;
        }
        if (gw_json_peek(t) != ',')
            return -EBADMSG;
        t->p++;
    }
}

static int answer_member(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    return gw_slice_is(key, "items") ? read_items(t, arg) : skip(t);
}

int gw_es_answer_read(struct gw_slice body, gw_es_item_fn each, void *arg, uint32_t *ret_n)
{
    struct gw_json_text t = {.begin = body.p, .p = body.p, .end = body.p + body.n};
    struct reading rd = {.each = each, .arg = arg};
    int r = gw_es_read_object(&t, answer_member, &rd);

    gw_json_skip_space(&t);
    *ret_n = rd.n;
    return r < 0 || !rd.has_items || t.p != t.end ? -EBADMSG : 0;
}

/* ---- the server --------------------------------------------------------------------------------------------- */

struct version {
    char number[32], flavor[32], distribution[32];
    bool seen;
};

static int version_member(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    struct version *v = arg;

    if (gw_slice_is(key, "number"))
        return read_text(t, v->number, sizeof(v->number));
    if (gw_slice_is(key, "build_flavor"))
        return read_text(t, v->flavor, sizeof(v->flavor));
    if (gw_slice_is(key, "distribution"))
        return read_text(t, v->distribution, sizeof(v->distribution));
    return skip(t);
}

static int info_member(struct gw_json_text *t, struct gw_slice key, void *arg)
{
    struct version *v = arg;

    if (!gw_slice_is(key, "version") || gw_json_peek(t) != '{')
        return skip(t);
    v->seen = true;
    return gw_es_read_object(t, version_member, arg);
}

void gw_es_server_read(struct gw_slice body, struct gw_es_server *ret)
{
    struct gw_json_text t = {.begin = body.p, .p = body.p, .end = body.p + body.n};
    struct version v = {0};

    *ret = (struct gw_es_server){0};
    if (gw_es_read_object(&t, info_member, &v) < 0 || !v.seen ||
        sscanf(v.number, "%u.%u", &ret->major, &ret->minor) != 2)
        return;
    ret->product = v.distribution[0] ? GW_ES_OTHER : GW_ES_ELASTICSEARCH;
    ret->serverless = strcmp(v.flavor, "serverless") == 0;
}

bool gw_es_takes_require_data_stream(const struct gw_es_server *s)
{
    return s->product == GW_ES_ELASTICSEARCH && (s->serverless || s->major > 8 || (s->major == 8 && s->minor >= 12));
}
