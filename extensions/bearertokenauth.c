/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens in a header, for receivers (any of them lets in) and exporters (the first is sent).
 *
 *   extensions:
 *     bearertokenauth: { scheme: Bearer, filename: /run/secrets/tokens }   # one a line; read again when it changes
 *
 * A comparison takes the same time wherever two tokens differ, and every token is compared.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "extensions/common/watched.h"
#include "pipeline/auth.h"
#include "pipeline/component.h"

enum { MAX_HEADER_NAME = 128 };

struct conf {
    const char *header, *scheme, *token, *filename;
    struct gw_list tokens;
    bool wait_for_token_file, retry_on_failure;
};

struct self {
    const struct conf *conf;
    struct gw_logger logger;
    struct gw_watched file;
    char header[MAX_HEADER_NAME]; /* in lower case */
};

static const struct gw_field fields[] = {
    GW_STRING_FIELD(struct conf, header, "header", "Authorization", "Header that holds the token."),
    GW_STRING_FIELD(struct conf, scheme, "scheme", "Bearer", "Word before the token; \"\" for none."),
    GW_SECRET_FIELD(struct conf, token, "token", "The token."),
    {GW_FIELD_(struct conf, tokens, "tokens", GW_F_LIST, NULL, 0, 0, "Several tokens; they go before token."),
     .secret_values = true},
    GW_STRING_FIELD(struct conf, filename, "filename", "",
                    "File with one token a line, read again when it changes; goes before token and tokens."),
    GW_BOOL_FIELD(struct conf, wait_for_token_file, "wait_for_token_file", "false",
                  "Start although the file is not there yet; until it is, nobody is let in."),
    {GW_FIELD_(struct conf, retry_on_failure, "retry_on_failure", GW_F_BOOL, "false", 0, 0,
               "A file is looked at every second anyway."),
     .flags = GW_FF_NO_EFFECT},
    {0},
};

static void check_conf(const void *conf, const struct gw_node *node, struct gw_diag *diag)
{
    const struct conf *c = conf;
    const struct gw_place *at = node ? &node->place : NULL;

    if (!*c->token && c->tokens.n == 0 && !*c->filename)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "bearertokenauth needs token, tokens or filename");
    if (*c->filename && (*c->token || c->tokens.n > 0))
        gw_diag_add(diag, GW_DIAG_WARNING, at, "filename is set, so token and tokens are not used");
    if (*c->token && c->tokens.n > 0)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "either tokens or token can be set, not both");
    if (!*c->header || strlen(c->header) >= MAX_HEADER_NAME)
        gw_diag_add(diag, GW_DIAG_ERROR, at, "header must be a name of 1 to %d bytes", MAX_HEADER_NAME - 1);
}

static bool has_file(const struct conf *c)
{
    return *c->filename != '\0';
}

/* Token i, without white space around it; false behind the last one. *at walks through the file's text. */
static bool next_token(const struct conf *c, const struct gw_watched_text *file, size_t i, size_t *at,
                       struct gw_slice *ret)
{
    const char *const *list = c->tokens.items;

    if (!has_file(c)) {
        if (i >= (c->tokens.n ? c->tokens.n : 1))
            return false;
        *ret = gw_slice_cstr(c->tokens.n ? list[i] : c->token);
        return true;
    }
    while (file && *at < file->n) {
        const char *p = file->text + *at, *end = memchr(p, '\n', file->n - *at);
        size_t n = end ? (size_t)(end - p) : file->n - *at;

        *at += n + 1;
        while (n && strchr(" \t\r", *p))
            p++, n--;
        while (n && strchr(" \t\r", p[n - 1]))
            n--;
        if (n == 0)
            continue; /* an empty line is no token */
        *ret = gw_slice_of(p, n);
        return true;
    }
    return false;
}

/* "<scheme> <token>", or the token alone. */
static bool is_token(const struct conf *c, struct gw_slice given, struct gw_slice token)
{
    size_t n = strlen(c->scheme), skip = n ? n + 1 : 0;

    if (given.n != skip + token.n || (n && (memcmp(given.p, c->scheme, n) != 0 || given.p[n] != ' ')))
        return false;
    return CRYPTO_memcmp(given.p + skip, token.p, token.n) == 0;
}

static int check(void *self, const struct gw_header_source *hs, struct gw_identity *ret, struct gw_err *err)
{
    struct self *s = self;
    struct gw_watched_text *file;
    struct gw_slice given, token;
    bool known = false;
    size_t at = 0;

    (void)ret;
    if (!hs->get(hs, gw_slice_cstr(s->header), &given) || given.n == 0)
        return gw_fail(err, -EACCES, "missing or empty header %s", s->header);
    file = gw_watched_get(&s->file);
    for (size_t i = 0; next_token(s->conf, file, i, &at, &token); i++)
        known |= is_token(s->conf, given, token);
    gw_watched_put(file);
    return known ? 0 : gw_fail(err, -EACCES, "scheme or token does not match");
}

static int header(void *self, const char **ret_name, struct gw_buf *out, struct gw_err *err)
{
    struct self *s = self;
    struct gw_watched_text *file = gw_watched_get(&s->file);
    struct gw_slice token;
    size_t at = 0;
    int rc = 0;

    if (!next_token(s->conf, file, 0, &at, &token))
        rc = gw_fail(err, -ENOENT, "%s holds no token", s->conf->filename);
    else if (memchr(token.p, '\0', token.n))
        rc = gw_fail(err, -EINVAL, "the token holds a zero byte");
    if (rc == 0) {
        gw_buf_put_str(out, s->conf->scheme);
        if (*s->conf->scheme)
            gw_buf_put_u8(out, ' ');
        gw_buf_put_slice(out, token);
        *ret_name = s->header;
        rc = out->failed ? gw_fail(err, -ENOMEM, "no room for a token") : 0;
    }
    gw_watched_put(file);
    return rc;
}

static int create(void **ret_self, const struct gw_ctx *ctx, const void *conf, struct gw_err *err)
{
    struct self *s = calloc(1, sizeof(*s));

    if (!s)
        return gw_fail(err, -ENOMEM, "out of memory");
    s->conf = conf;
    s->logger = ctx->logger;
    for (size_t i = 0; s->conf->header[i] && i + 1 < sizeof(s->header); i++)
        s->header[i] = (char)(s->conf->header[i] >= 'A' && s->conf->header[i] <= 'Z' ? s->conf->header[i] | 32
                                                                                     : s->conf->header[i]);
    gw_watched_init(&s->file, ctx->env, &s->logger, has_file(s->conf) ? s->conf->filename : "");
    *ret_self = s;
    return 0;
}

static int start(void *self, struct gw_err *err)
{
    struct self *s = self;
    int rc = gw_watched_read(&s->file, err);

    if (rc < 0 && s->conf->wait_for_token_file) {
        gw_log(&s->logger, GW_LOG_WARN, "waiting for the token file: %s", err ? err->text : "");
        return 0;
    }
    return rc;
}

static int open_local(void *self, struct gw_loop *loop, struct gw_intake *intake, void **ret_local, struct gw_err *err)
{
    struct self *s = self;

    (void)intake;
    (void)err;
    gw_watched_arm(&s->file, loop);
    *ret_local = s;
    return 0;
}

static void close_local(void *local)
{
    struct self *s = local;

    if (s)
        gw_watched_disarm(&s->file);
}

static void destroy(void *self)
{
    struct self *s = self;

    if (!s)
        return;
    gw_watched_clear(&s->file);
    free(s);
}

static const struct gw_auth_ops auth_ops = {.check = check, .header = header};

const struct gw_component gw_extension_bearertokenauth = {
    .kind = GW_EXTENSION,
    .name = "bearertokenauth",
    .summary = "Tokens in a header, asked for and sent.",
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
