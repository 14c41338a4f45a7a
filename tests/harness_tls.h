/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `tls` block of whatever serves: each of its keys alone, and whether the clients that it is about get in. One list
 * of cases for all components that have such a block; a component's test gives the means to open and reach it.
 */
#ifndef GW_TESTS_HARNESS_TLS_H
#define GW_TESTS_HARNESS_TLS_H

#include <stdbool.h>
#include <stdint.h>

struct gw_tls_subject {
    void *arg;
    /** Make and start it with this text as its tls block, as a flow mapping. False: it refused to start. */
    bool (*open)(void *arg, const char *tls);
    /** A connected descriptor, not blocking. */
    int (*connect)(void *arg);
    /** One turn of its loop; with ns, the clock goes on before it. */
    void (*turn)(void *arg, uint64_t ns);
    void (*close)(void *arg);
};

/** cert_file, key_file, cert_pem, key_pem, ca_file, ca_pem, include_system_ca_certs_pool: what clients are shown. */
void gw_test_tls_identity(const struct gw_tls_subject *s);
/** client_ca_file, client_ca_file_reload, reload_interval: who gets in, and when files are read again. */
void gw_test_tls_clients(const struct gw_tls_subject *s);
/** min_version, max_version, cipher_suites, include_insecure_cipher_suites, curve_preferences: how it is spoken. */
void gw_test_tls_ways(const struct gw_tls_subject *s);

#endif
