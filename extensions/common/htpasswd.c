/* SPDX-License-Identifier: Apache-2.0 */
#include "extensions/common/htpasswd.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum { SHA1_BYTES = 20, MD5_BYTES = 16, MAX_HASH = 256, MAX_PASSWORD = 512, APR1_ROUNDS = 1000 };

static bool starts(struct gw_slice s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && memcmp(s.p, with, n) == 0;
}

bool gw_htpasswd_find(struct gw_slice text, struct gw_slice user, struct gw_slice *ret)
{
    bool found = false;

    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        struct gw_slice line = gw_slice_of(text.p, n);

        text = end ? gw_slice_of(end + 1, text.n - n - 1) : gw_slice_of(NULL, 0);
        while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
            line.n--;
        while (line.n && (*line.p == ' ' || *line.p == '\t'))
            line = gw_slice_of(line.p + 1, line.n - 1);
        if (line.n <= user.n + 1 || *line.p == '#' || line.p[user.n] != ':' || memcmp(line.p, user.p, user.n) != 0 ||
            memchr(line.p, ':', user.n))
            continue;
        *ret = gw_slice_of(line.p + user.n + 1, line.n - user.n - 1);
        found = true;
    }
    return found;
}

bool gw_htpasswd_is_slow(struct gw_slice hash)
{
    return hash.n > 3 && *hash.p == '$';
}

static bool same(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

/* ---- {SHA}, {SSHA} ---------------------------------------------------------------------------------------- */

static int base64_digit(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *d = c ? strchr(digits, c) : NULL;

    return d ? (int)(d - digits) : -1;
}

/* Returns the bytes written, at most `size`; 0 for what is no base64. */
static size_t from_base64(struct gw_slice s, uint8_t *out, size_t size)
{
    uint32_t v = 0;
    unsigned bits = 0;
    size_t n = 0;

    while (s.n && s.p[s.n - 1] == '=')
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        int d = base64_digit(s.p[i]);

        if (d < 0 || (bits >= 2 && n == size))
            return 0;
        v = v << 6 | (unsigned)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(v >> bits);
        }
    }
    return n;
}

static bool match_sha(struct gw_slice b64, struct gw_slice password, bool salted)
{
    uint8_t want[SHA1_BYTES + 64], got[EVP_MAX_MD_SIZE];
    size_t n = from_base64(b64, want, sizeof(want));
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && (salted ? n > SHA1_BYTES : n == SHA1_BYTES);

    ok = ok && EVP_DigestInit_ex(md, EVP_sha1(), NULL) && EVP_DigestUpdate(md, password.p, password.n) &&
         EVP_DigestUpdate(md, want + SHA1_BYTES, n - SHA1_BYTES) && EVP_DigestFinal_ex(md, got, NULL);
    EVP_MD_CTX_free(md);
    return ok && same(want, got, SHA1_BYTES);
}

/* ---- $apr1$ ----------------------------------------------------------------------------------------------- */

static void to64(char **p, uint32_t v, int n)
{
    static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (; n > 0; n--, v >>= 6)
        *(*p)++ = digits[v & 63];
}

/* MD5 over up to four pieces. */
static bool md5(EVP_MD_CTX *md, const struct gw_slice *pieces, unsigned n, uint8_t *out)
{
    bool ok = EVP_DigestInit_ex(md, EVP_md5(), NULL);

    for (unsigned i = 0; i < n; i++)
        ok = ok && EVP_DigestUpdate(md, pieces[i].p, pieces[i].n);
    return ok && EVP_DigestFinal_ex(md, out, NULL);
}

/* The first digest: password, magic, salt, then bytes of a second one and a bit pattern of the length. */
static bool apr1_first(EVP_MD_CTX *md, struct gw_slice pw, struct gw_slice salt, uint8_t *d)
{
    struct gw_slice psp[3] = {pw, salt, pw};
    bool ok = md5(md, psp, 3, d) && EVP_DigestInit_ex(md, EVP_md5(), NULL) && EVP_DigestUpdate(md, pw.p, pw.n) &&
              EVP_DigestUpdate(md, "$apr1$", 6) && EVP_DigestUpdate(md, salt.p, salt.n);

    for (size_t left = pw.n; ok && left > 0; left -= left < MD5_BYTES ? left : MD5_BYTES)
        ok = EVP_DigestUpdate(md, d, left < MD5_BYTES ? left : MD5_BYTES);
    for (size_t bits = pw.n; ok && bits > 0; bits >>= 1)
        ok = EVP_DigestUpdate(md, bits & 1 ? (const void *)"\0" : (const void *)pw.p, 1);
    return ok && EVP_DigestFinal_ex(md, d, NULL);
}

/* Apache's MD5: https://httpd.apache.org/docs/2.4/misc/password_encryptions.html */
static bool match_apr1(struct gw_slice rest, struct gw_slice pw)
{
    const uint8_t *dollar = memchr(rest.p, '$', rest.n);
    struct gw_slice salt = gw_slice_of(rest.p, dollar ? (size_t)(dollar - rest.p) : 0);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t d[EVP_MAX_MD_SIZE];
    char text[24], *p = text;
    bool ok = md && dollar && salt.n <= 8 && rest.n - salt.n - 1 == 22 && apr1_first(md, pw, salt, d);

    for (unsigned i = 0; ok && i < APR1_ROUNDS; i++) {
        struct gw_slice digest = gw_slice_of(d, MD5_BYTES), none = {NULL, 0};
        struct gw_slice pieces[4] = {i & 1 ? pw : digest, i % 3 ? salt : none, i % 7 ? pw : none, i & 1 ? digest : pw};

        ok = md5(md, pieces, 4, d);
    }
    EVP_MD_CTX_free(md);
    if (!ok)
        return false;
    for (unsigned i = 0; i < 5; i++)
        to64(&p, (uint32_t)d[i] << 16 | (uint32_t)d[i + 6] << 8 | d[i == 4 ? 5 : i + 12], 4);
    to64(&p, d[11], 2);
    return same(text, dollar + 1, 22);
}

/* ---- crypt(3) --------------------------------------------------------------------------------------------- */

static bool match_crypt(struct gw_slice hash, struct gw_slice password)
{
    char setting[MAX_HASH], word[MAX_PASSWORD];
    struct crypt_data *data = calloc(1, sizeof(*data)); /* 32 KiB: too much for a stack */
    const char *got;
    bool ok = false;

    if (data && hash.n < sizeof(setting) && password.n < sizeof(word) && !memchr(password.p, '\0', password.n)) {
        memcpy(setting, hash.p, hash.n);
        setting[hash.n] = '\0';
        memcpy(word, password.p, password.n);
        word[password.n] = '\0';
        got = crypt_r(word, setting, data);
        ok = got && strlen(got) == hash.n && same(got, hash.p, hash.n);
        explicit_bzero(word, sizeof(word));
        explicit_bzero(data, sizeof(*data));
    }
    free(data);
    return ok;
}

bool gw_htpasswd_match(struct gw_slice hash, struct gw_slice password)
{
    if (password.n == 0)
        password.p = (const uint8_t *)"";
    if (starts(hash, "{SHA}"))
        return match_sha(gw_slice_of(hash.p + 5, hash.n - 5), password, false);
    if (starts(hash, "{SSHA}"))
        return match_sha(gw_slice_of(hash.p + 6, hash.n - 6), password, true);
    if (starts(hash, "$apr1$"))
        return match_apr1(gw_slice_of(hash.p + 6, hash.n - 6), password);
    if (gw_htpasswd_is_slow(hash))
        return match_crypt(hash, password);
    return hash.n == password.n && same(hash.p, password.p, hash.n);
}
