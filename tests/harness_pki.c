/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness_pki.h"

#include "tests/harness.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *bio_text(BIO *bio)
{
    char *p, *text;
    long n = BIO_get_mem_data(bio, &p);

    text = strndup(p, (size_t)n);
    BIO_free(bio);
    assert_non_null(text);
    return text;
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static struct gw_pki_cert make(const char *name, const struct gw_pki_cert *issuer, bool signs)
{
    static long serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *n = X509_get_subject_name(x);
    BIO *cert = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_mem());
    char san[200];

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->x509) : n);
    add_extension(x, issuer ? issuer->x509 : x, NID_basic_constraints, signs ? "critical,CA:TRUE" : "CA:FALSE");
    snprintf(san, sizeof(san), "DNS:%s", name);
    add_extension(x, issuer ? issuer->x509 : x, NID_subject_alt_name, san);
    assert_true(X509_sign(x, issuer ? issuer->key : key, EVP_sha256()) > 0);
    PEM_write_bio_X509(cert, x);
    PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL);
    return (struct gw_pki_cert){.cert_pem = bio_text(cert), .key_pem = bio_text(pem), .x509 = x, .key = key};
}

struct gw_pki_cert gw_pki_new(const char *name, const struct gw_pki_cert *issuer)
{
    return make(name, issuer, issuer == NULL);
}

struct gw_pki_cert gw_pki_new_between(const char *name, const struct gw_pki_cert *issuer)
{
    return make(name, issuer, true);
}

void gw_pki_free(struct gw_pki_cert *c)
{
    free(c->cert_pem);
    free(c->key_pem);
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}
