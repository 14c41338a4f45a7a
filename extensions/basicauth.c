/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User and password in the Authorization header, for receivers (htpasswd) or for exporters (client_auth).
 *
 *   extensions:
 *     basicauth/server: { htpasswd: { file: /etc/gateway/htpasswd, inline: "alice:$2y$10$..." } }
 *     basicauth/client: { client_auth: { username: alice, password_file: /run/secrets/password } }
 *
 * bcrypt takes 50 ms and more, on a worker that serves others: credentials that were found right or wrong are
 * remembered by a keyed hash (never in the clear) until the file changes, and wrong ones that cost a slow hash are
 * counted: 20 at once, two a second, then unknown credentials are refused unheard. Who was let in before is not touched
 * by that.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

#include "extensions/common/htpasswd.h"
#include "extensions/common/watched.h"
#include "pipeline/auth.h"
#include "pipeline/component.h"

enum { KEY_BYTES = 32, SLOTS = 512, MAX_CREDENTIALS = 1024, FAIL_BURST = 20 };
static const uint64_t FAIL_EVERY_NS = 500000000u;

struct conf {
    bool has_server, has_client;
    struct server_conf {
        const char *file, *inl;
    } server;
    struct client_conf {
        const char *username, *username_file, *password, *password_file;
    } client;
};

/* One remembered credential. */
struct known {
    uint8_t hash[KEY_BYTES];
    bool used, right;
};

struct self {
    const struct conf *conf;
    struct gw_env *env;
    struct gw_logger logger;
    struct gw_watched htpasswd, username, password;
    uint8_t key[KEY_BYTES];
    pthread_mutex_t lock; /* over what follows; never held over a hash */
    struct known known[SLOTS];
    uint64_t fail_debt_ns; /* token bucket of slow failures: when it would be empty again */
};

static const struct gw_field server_fields[] = {
    GW_STRING_FIELD(struct server_conf, file, "file", "", "htpasswd file, read again when it changes."),
    GW_SECRET_FIELD(struct server_conf, inl, "inline", "Lines of one; a user here goes before the same one in file."),
    {.name = "secret_provider", .type = GW_F_ANY, .flags = GW_FF_PLANNED, .help = "A provider of secrets."},
    {0},
};
static const struct gw_field client_fields[] = {
    GW_STRING_FIELD(struct client_conf, username, "username", "", "User."),
    GW_STRING_FIELD(struct client_conf, username_file, "username_file", "", "File that holds the user; goes first."),
    GW_SECRET_FIELD(struct client_conf, password, "password", "Password."),
    GW_STRING_FIELD(struct client_conf, password_file, "password_file", "",
                    "File that holds the password; goes first. Both are read again when they change."),
    {.name = "secret_provider", .type = GW_F_ANY, .flags = GW_FF_PLANNED, .help = "A provider of secrets."},
    {0},
};
static const struct gw_field fields[] = {
    GW_OPTIONAL_BLOCK_FIELD(struct conf, server, has_server, "htpasswd", server_fields, 0, "Who is let in."),
    GW_OPTIONAL_BLOCK_FIELD(struct conf, client, has_client, "client_auth", client_fields, 0, "Who we are."),
    {0},
};

static void check_conf(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const struct gw_place *at = node ? &node->place : NULL;

    if (c->has_server && c->has_client)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "only one of htpasswd or client_auth can be set");
    else if (!c->has_server && !c->has_client)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "no credential source: set htpasswd or client_auth");
    if (c->has_server && !*c->server.file && !*c->server.inl)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "htpasswd needs file or inline");
    if (c->has_client && strchr(c->client.username, ':'))
        gw_diag_add(diag, GW_DIAG_ERROR, at, "a username cannot hold a colon");
    if (c->has_client && !*c->client.username && !*c->client.username_file)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "client_auth needs username or username_file");
}

/* ---- base64 ----------------------------------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Strict: whole groups, padding only at the end. */
static bool from_base64(struct gw_slice s, uint8_t *out, size_t *ret_n)
{
    size_t n = 0, pad = s.n >= 2 && s.p[s.n - 1] == '=' ? 1 + (s.p[s.n - 2] == '=') : 0;
    uint32_t v = 0;

    if (s.n % 4 != 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const char *d = i >= s.n - pad ? digits : s.p[i] ? strchr(digits, s.p[i]) : NULL;

        if (!d)
            return false;
        v = v << 6 | (unsigned)(d - digits);
        if (i % 4 != 3)
            continue;
        out[n] = (uint8_t)(v >> 16);
        out[n + 1] = (uint8_t)(v >> 8);
        out[n + 2] = (uint8_t)v;
        n += 3;
        v = 0;
    }
    *ret_n = n - pad;
    return true;
}

static void put_base64(struct gw_buf *b, struct gw_slice s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        size_t n = s.n - i < 3 ? s.n - i : 3;
        uint32_t v = (uint32_t)s.p[i] << 16 | (n > 1 ? (uint32_t)s.p[i + 1] << 8 : 0) | (n > 2 ? s.p[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
                        n > 2 ? digits[v & 63] : '='};

        gw_buf_put(b, four, 4);
    }
}

/* ---- server ----------------------------------------------------------------------------------------------- */

static bool keyed_hash(const struct self *s, uint64_t generation, struct gw_slice credentials, uint8_t *out)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) && EVP_DigestUpdate(md, s->key, sizeof(s->key)) &&
              EVP_DigestUpdate(md, &generation, sizeof(generation)) &&
              EVP_DigestUpdate(md, credentials.p, credentials.n) && EVP_DigestFinal_ex(md, out, NULL);

    EVP_MD_CTX_free(md);
    return ok;
}

static struct known *slot_of(struct self *s, const uint8_t *hash)
{
    return &s->known[(hash[0] | hash[1] << 8) % SLOTS];
}

/* 1 right, 0 wrong, -1 not seen yet. */
static int recall(struct self *s, const uint8_t *hash)
{
    const struct known *k = slot_of(s, hash);
    int r;

    pthread_mutex_lock(&s->lock);
    r = k->used && CRYPTO_memcmp(k->hash, hash, KEY_BYTES) == 0 ? k->right : -1;
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void remember(struct self *s, const uint8_t *hash, bool right)
{
    struct known *k = slot_of(s, hash);

    pthread_mutex_lock(&s->lock);
    if (right || !k->used || !k->right) { /* a wrong guess does not push a right one out */
        memcpy(k->hash, hash, KEY_BYTES);
        k->used = true;
        k->right = right;
    }
    pthread_mutex_unlock(&s->lock);
}

/* May another slow hash be tried? */
static bool may_try(struct self *s)
{
    uint64_t now = gw_mono_ns(s->env);
    bool yes;

    pthread_mutex_lock(&s->lock);
    yes = s->fail_debt_ns <= now + (FAIL_BURST - 1) * FAIL_EVERY_NS;
    pthread_mutex_unlock(&s->lock);
    return yes;
}

static void charge_failure(struct self *s)
{
    uint64_t now = gw_mono_ns(s->env);

    pthread_mutex_lock(&s->lock);
    s->fail_debt_ns = (s->fail_debt_ns > now ? s->fail_debt_ns : now) + FAIL_EVERY_NS;
    pthread_mutex_unlock(&s->lock);
}

static int verify(struct self *s, const struct gw_watched_text *file, struct gw_slice user, struct gw_slice password,
                  const uint8_t *hash, struct gw_err *err)
{
    struct gw_slice want;
    bool slow, right;

    if (!gw_htpasswd_find(gw_slice_cstr(s->conf->server.inl), user, &want) &&
        !(file && gw_htpasswd_find(gw_slice_of(file->text, file->n), user, &want)))
        return gw_fail(err, -EACCES, "invalid credentials");
    slow = gw_htpasswd_is_slow(want);
    if (slow && !may_try(s))
        return gw_fail(err, -EACCES, "too many wrong passwords in a short time");
    right = gw_htpasswd_match(want, password);
    if (slow)
        remember(s, hash, right);
    if (slow && !right)
        charge_failure(s);
    return right ? 0 : gw_fail(err, -EACCES, "invalid credentials");
}

static void identify(struct gw_identity *ret, struct gw_slice user, struct gw_slice raw)
{
    if (gw_buf_reserve(&ret->text, user.n + raw.n) < 0)
        return; /* let in without a name: nothing is granted by it */
    gw_buf_put_slice(&ret->text, user);
    gw_buf_put_slice(&ret->text, raw);
    ret->pairs[0] = (struct gw_meta_pair){GW_SLICE("username"), gw_slice_of(ret->text.p, user.n)};
    ret->pairs[1] = (struct gw_meta_pair){GW_SLICE("raw"), gw_slice_of(ret->text.p + user.n, raw.n)};
    ret->n_pairs = 2;
}

static int check_credentials(struct self *s, struct gw_slice raw, struct gw_identity *ret, struct gw_err *err)
{
    uint8_t plain[MAX_CREDENTIALS], hash[EVP_MAX_MD_SIZE], *colon;
    struct gw_watched_text *file;
    struct gw_slice user;
    size_t n = 0;
    int rc, seen;

    if (raw.n == 0 || raw.n > sizeof(plain) || !from_base64(raw, plain, &n) || !(colon = memchr(plain, ':', n)))
        return gw_fail(err, -EACCES, "invalid authorization format");
    user = gw_slice_of(plain, (size_t)(colon - plain));
    file = gw_watched_get(&s->htpasswd);
    if (!keyed_hash(s, file ? file->generation : 0, gw_slice_of(plain, n), hash)) {
        gw_watched_put(file);
        return gw_fail(err, -EACCES, "no memory to check credentials");
    }
    seen = recall(s, hash);
    if (seen >= 0)
        rc = seen ? 0 : gw_fail(err, -EACCES, "invalid credentials");
    else
        rc = verify(s, file, user, gw_slice_of(colon + 1, n - user.n - 1), hash, err);
    if (rc == 0)
        identify(ret, user, raw);
    explicit_bzero(plain, sizeof(plain));
    gw_watched_put(file);
    return rc;
}

static int check(void *self, const struct gw_header_source *hs, struct gw_identity *ret, struct gw_err *err)
{
    struct self *s = self;
    struct gw_slice value;

    if (!s->conf->has_server)
        return gw_fail(err, -EACCES, "this extension has no htpasswd: it cannot let anyone in");
    if (!hs->get(hs, GW_SLICE("authorization"), &value) || value.n == 0)
        return gw_fail(err, -EACCES, "no basic auth provided");
    if (value.n < 6 || strncasecmp((const char *)value.p, "Basic ", 6) != 0)
        return gw_fail(err, -EACCES, "invalid authorization scheme prefix");
    return check_credentials(s, gw_slice_of(value.p + 6, value.n - 6), ret, err);
}

/* ---- client ----------------------------------------------------------------------------------------------- */

/* What a file holds, without the line end that editors put behind it; else the setting. */
static void put_value(struct gw_buf *b, struct gw_watched *w, const char *setting)
{
    struct gw_watched_text *t = gw_watched_get(w);
    size_t n = t ? t->n : 0;

    while (n && strchr("\r\n \t", t->text[n - 1]))
        n--;
    if (t)
        gw_buf_put(b, t->text, n);
    else
        gw_buf_put_str(b, setting);
    gw_watched_put(t);
}

static int header(void *self, const char **ret_name, struct gw_buf *out, struct gw_err *err)
{
    struct self *s = self;
    struct gw_buf plain;
    size_t n_user;

    if (!s->conf->has_client)
        return gw_fail(err, -EINVAL, "this extension has no client_auth: it cannot speak for anyone");
    gw_buf_init(&plain, MAX_CREDENTIALS);
    put_value(&plain, &s->username, s->conf->client.username);
    n_user = plain.n;
    gw_buf_put_u8(&plain, ':');
    put_value(&plain, &s->password, s->conf->client.password);
    if (plain.failed || memchr(plain.p, ':', plain.n) != plain.p + n_user) {
        gw_buf_clear(&plain);
        return gw_fail(err, -EINVAL, "credentials are too long, or the username holds a colon");
    }
    gw_buf_put_str(out, "Basic ");
    put_base64(out, gw_buf_slice(&plain));
    explicit_bzero(plain.p, plain.n);
    gw_buf_clear(&plain);
    *ret_name = "authorization";
    return out->failed ? gw_fail(err, -ENOMEM, "no room for credentials") : 0;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->env = ctx->env;
    s->logger = ctx->logger;
    pthread_mutex_init(&s->lock, NULL);
    ctx->env->ops->random(ctx->env, s->key, sizeof(s->key));
    gw_watched_init(&s->htpasswd, ctx->env, &s->logger, s->conf->has_server ? s->conf->server.file : "");
    gw_watched_init(&s->username, ctx->env, &s->logger, s->conf->has_client ? s->conf->client.username_file : "");
    gw_watched_init(&s->password, ctx->env, &s->logger, s->conf->has_client ? s->conf->client.password_file : "");
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct self *s = self;
    int rc = gw_watched_read(&s->htpasswd, err);

    if (rc == 0)
        rc = gw_watched_read(&s->username, err);
    if (rc == 0)
        rc = gw_watched_read(&s->password, err);
    return rc;
}

static int open_local(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err)
{
    struct self *s = self;

    (void)intake;
    (void)err;
    gw_watched_arm(&s->htpasswd, loop);
    gw_watched_arm(&s->username, loop);
    gw_watched_arm(&s->password, loop);
    *ret_local = s;
    return 0;
}

static void close_local(void *local)
{
    struct self *s = local;

    if (!s)
        return;
    gw_watched_disarm(&s->htpasswd);
    gw_watched_disarm(&s->username);
    gw_watched_disarm(&s->password);
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_watched_clear(&s->htpasswd);
    gw_watched_clear(&s->username);
    gw_watched_clear(&s->password);
    pthread_mutex_destroy(&s->lock);
    explicit_bzero(s->key, sizeof(s->key));
    free(s);
}

static const struct gw_auth_ops auth_ops = {.check = check, .header = header};

const struct gw_component gw_extension_basicauth = {
    .kind = GW_EXTENSION,
    .name = "basicauth",
    .summary = "User and password, asked for (htpasswd) or sent.",
    .fields = fields,
    .conf_size = sizeof(struct conf),
    .check = check_conf,
    .create = create,
    .start = start,
    .destroy = destroy,
    .open = open_local,
    .close = close_local,
    .auth = &auth_ops,
};
