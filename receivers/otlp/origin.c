/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a request comes from: credentials, tenant, metadata. Asked once a request, before its body. The meta of the
 * last request of a peer is kept: while nothing differs the next one shares it.
 */
#include <strings.h>

#include "core/hash.h"
#include "receivers/otlp/otlp.h"

enum { TENANT_BYTES = 128, MAX_PAIRS = 260 };

bool gw_otlp_find_header(const struct gw_hs_head *d, const char *name, struct gw_slice *ret)
{
    size_t n = strlen(name);

    for (unsigned i = 0; i < d->n_headers; i++)
        if (d->headers[i].name.n == n && memcmp(d->headers[i].name.p, name, n) == 0) {
            *ret = d->headers[i].value;
            return true;
        }
    return false;
}

/* ---- what an authenticator sees --------------------------------------------------------------------------- */

struct source {
    struct gw_header_source hs;
    const struct gw_hs_head *head;
    const struct gw_list *params;
    struct gw_buf *text;
};

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void unescape(struct gw_buf *b, struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            gw_buf_put_u8(b, (uint8_t)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2])));
            i += 2;
        } else {
            gw_buf_put_u8(b, s.p[i] == '+' ? ' ' : s.p[i]);
        }
    }
}

/* First value of a query parameter. */
static bool find_param(const struct source *so, struct gw_slice name, struct gw_slice *ret)
{
    struct gw_slice q = so->head->query;

    while (q.n > 0) {
        const uint8_t *amp = memchr(q.p, '&', q.n);
        struct gw_slice one = gw_slice_of(q.p, amp ? (size_t)(amp - q.p) : q.n);
        const uint8_t *eq = one.n ? memchr(one.p, '=', one.n) : NULL;

        if (eq && (size_t)(eq - one.p) == name.n && memcmp(one.p, name.p, name.n) == 0) {
            size_t at = so->text->n;

            if (so->text->cap - at < one.n) /* growing would move what was found before */
                return false;
            unescape(so->text, gw_slice_of(eq + 1, one.n - name.n - 1));
            *ret = gw_slice_of(so->text->p + at, so->text->n - at);
            return true;
        }
        q = amp ? gw_slice_of(amp + 1, q.n - one.n - 1) : gw_slice_of(NULL, 0);
    }
    return false;
}

static bool get(const struct gw_header_source *hs, struct gw_slice name, struct gw_slice *ret)
{
    const struct source *so = (const struct source *)(const void *)hs;
    const char *const *params = so->params->items;

    for (size_t i = 0; i < so->params->n; i++)
        if (name.n == strlen(params[i]) && strncasecmp(params[i], (const char *)name.p, name.n) == 0 &&
            find_param(so, gw_slice_cstr(params[i]), ret))
            return true;
    for (unsigned i = 0; i < so->head->n_headers; i++)
        if (gw_slice_eq(so->head->headers[i].name, name)) {
            *ret = so->head->headers[i].value;
            return true;
        }
    return false;
}

static int ask(struct gw_otlp_door *d, const struct gw_hs_head *head, struct gw_err *err)
{
    struct gw_otlp_local *l = d->l;
    struct source so = {{get}, head, &d->shared->e->auth.request_params, &l->text};

    gw_buf_reset(&l->text);
    gw_buf_reset(&l->identity.text);
    l->identity.n_pairs = 0;
    if (!d->auth.ops)
        return 0;
    if (so.params->n > 0 && gw_buf_reserve(&l->text, 4 * head->query.n + 64) < 0)
        return gw_fail(err, -ENOMEM, "no memory for a request's parameters");
    return d->auth.ops->check(d->auth.self, &so.hs, &l->identity, err);
}

/* ---- tenant and metadata ---------------------------------------------------------------------------------- */

static int find_tenant(struct gw_otlp_door *d, const struct gw_hs_head *head, struct gw_slice *ret, struct gw_err *err)
{
    const struct gw_otlp_tenant *t = &d->l->o->conf->tenant;
    const struct gw_identity *id = &d->l->identity;

    *ret = gw_slice_cstr(t->def);
    if (*t->from_auth)
        for (unsigned i = 0; i < id->n_pairs; i++)
            if (gw_slice_is(id->pairs[i].key, t->from_auth)) {
                *ret = id->pairs[i].value;
                goto found;
            }
    if (*t->from_header) {
        for (unsigned i = 0; i < head->n_headers; i++)
            if (head->headers[i].name.n == strlen(t->from_header) &&
                strncasecmp((const char *)head->headers[i].name.p, t->from_header, head->headers[i].name.n) == 0) {
                *ret = head->headers[i].value;
                goto found;
            }
    }
found:
    if (ret->n > TENANT_BYTES)
        return gw_fail(err, -EINVAL, "tenant is longer than %d bytes", TENANT_BYTES);
    return 0;
}

/* What differs from request to request would keep every request apart from the next. */
static bool is_kept(struct gw_slice name)
{
    static const char *const left_out[] = {"content-length", "connection", "keep-alive",  "transfer-encoding", "te",
                                           "expect",         "date",       "grpc-timeout"};

    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
        if (gw_slice_is(name, left_out[i]))
            return false;
    return true;
}

static uint32_t put_pairs(struct gw_otlp_door *d, const struct gw_hs_head *head, struct gw_meta_pair *pairs)
{
    uint32_t n = 0;
    bool host = false;

    if (!d->shared->e->include_metadata)
        return 0;
    for (unsigned i = 0; i < head->n_headers && n < MAX_PAIRS - 1; i++) {
        if (!is_kept(head->headers[i].name))
            continue;
        host |= gw_slice_is(head->headers[i].name, "host");
        pairs[n++] = (struct gw_meta_pair){head->headers[i].name, head->headers[i].value};
    }
    if (head->authority.n && !host)
        pairs[n++] =
            (struct gw_meta_pair){d->shared->grpc ? GW_SLICE(":authority") : GW_SLICE("host"), head->authority};
    return n;
}

static bool same_pairs(const struct gw_meta_pair *a, const struct gw_meta_pair *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!gw_slice_eq(a[i].key, b[i].key) || !gw_slice_eq(a[i].value, b[i].value))
            return false;
    return true;
}

static bool is_same(const struct gw_meta *m, const struct gw_meta *want)
{
    return m && m->transport == want->transport && m->n_pairs == want->n_pairs && m->n_auth == want->n_auth &&
           gw_slice_eq(m->peer, want->peer) && gw_slice_eq(m->tenant, want->tenant) &&
           same_pairs(m->pairs, want->pairs, m->n_pairs) && same_pairs(m->auth, want->auth, m->n_auth);
}

int gw_otlp_origin(struct gw_otlp_door *d, const struct gw_hs_head *head, struct gw_meta **ret, struct gw_err *err)
{
    struct gw_meta_pair pairs[MAX_PAIRS];
    struct gw_meta want = {.peer = head->peer, .transport = d->shared->grpc ? "grpc" : "http", .pairs = pairs};
    struct gw_meta **kept = &d->l->metas[gw_hash_table(head->peer) % GW_OTLP_METAS];
    int rc = ask(d, head, err);

    if (rc < 0)
        return rc;
    rc = find_tenant(d, head, &want.tenant, err);
    if (rc < 0)
        return rc;
    want.n_pairs = put_pairs(d, head, pairs);
    want.n_auth = d->l->identity.n_pairs;
    want.auth = d->l->identity.pairs;
    if (!is_same(*kept, &want)) {
        struct gw_meta *m = gw_meta_new(&want);

        if (!m)
            return gw_fail(err, -ENOMEM, "no memory for a request's metadata");
        (void)gw_meta_unref(*kept);
        *kept = m;
    }
    *ret = gw_meta_ref(*kept);
    return 0;
}
