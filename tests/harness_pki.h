/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate authority and certificates of it, made on the spot, for tests of TLS. */
#ifndef GW_TESTS_HARNESS_PKI_H
#define GW_TESTS_HARNESS_PKI_H

struct gw_pki_cert {
    char *cert_pem, *key_pem;
    void *x509, *key; /* OpenSSL's */
};

/** name: CN and DNS name; issuer NULL: a self-signed authority. Owner: free with gw_pki_free. */
struct gw_pki_cert gw_pki_new(const char *name, const struct gw_pki_cert *issuer);
/** The same, but it may sign, too: between an authority and its certificates. */
struct gw_pki_cert gw_pki_new_between(const char *name, const struct gw_pki_cert *issuer);
void gw_pki_free(struct gw_pki_cert *c);

#endif
