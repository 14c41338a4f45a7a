/* SPDX-License-Identifier: Apache-2.0 */
#include "net/client_tls.h"

#include <stdlib.h>

/* A bundle of all public roots is about 230 KB. */
enum { MAX_PEM_BYTES = 4 << 20 };

static const char *file_of(const struct gw_client_tls *tls, enum gw_pem which)
{
    const char *const files[GW_N_PEM] = {tls->ca_file, tls->cert_file, tls->key_file};

    return files[which] ? files[which] : "";
}

static const char *text_of(const struct gw_client_tls *tls, enum gw_pem which)
{
    const char *const texts[GW_N_PEM] = {tls->ca_pem, tls->cert_pem, tls->key_pem};

    return texts[which] ? texts[which] : "";
}

static int load_one(struct gw_client_pems *p, enum gw_pem which, struct gw_err *err)
{
    static const char *const names[GW_N_PEM] = {"ca", "cert", "key"};
    const char *file = file_of(p->tls, which), *text = text_of(p->tls, which);

    if (*file && *text)
        return gw_fail(err, -EINVAL, "tls: %s_file and %s_pem are both set: keep one", names[which], names[which]);
    if (*text) {
        p->text[which] = strdup(text);
        p->n[which] = strlen(text);
        return p->text[which] ? 0 : gw_fail(err, -ENOMEM, "out of memory");
    }
    if (!*file)
        return 0;
    p->changed_ns[which] = p->env->ops->file_changed_ns(p->env, file);
    return gw_env_read_file(p->env, file, MAX_PEM_BYTES, &p->text[which], &p->n[which], err);
}

int gw_client_pems_load(struct gw_client_pems *p, struct gw_env *env, const struct gw_client_tls *tls,
                        struct gw_err *err)
{
    int r = 0;

    *p = (struct gw_client_pems){.env = env, .tls = tls, .looked_ns = gw_mono_ns(env)};
    for (enum gw_pem i = 0; r == 0 && i < GW_N_PEM; i++)
        r = load_one(p, i, err);
    if (r == 0 && !p->text[GW_PEM_CERT] != !p->text[GW_PEM_KEY])
        r = gw_fail(err, -EINVAL, "tls: a client certificate needs both cert_file and key_file (or cert_pem, key_pem)");
    if (r < 0)
        gw_client_pems_clear(p);
    return r;
}

bool gw_client_pems_refresh(struct gw_client_pems *p, uint64_t now_ns)
{
    char *fresh[GW_N_PEM] = {NULL};
    size_t n[GW_N_PEM] = {0};
    uint64_t changed[GW_N_PEM] = {0};
    bool any = false, whole = true;

    if (!p->tls || !p->tls->reload_interval_ns || now_ns - p->looked_ns < p->tls->reload_interval_ns)
        return false;
    p->looked_ns = now_ns;
    for (enum gw_pem i = 0; i < GW_N_PEM; i++) {
        const char *file = file_of(p->tls, i);

        if (!*file)
            continue;
        changed[i] = p->env->ops->file_changed_ns(p->env, file);
        if (!changed[i] || changed[i] == p->changed_ns[i])
            continue;
        any = true;
        whole = gw_env_read_file(p->env, file, MAX_PEM_BYTES, &fresh[i], &n[i], NULL) == 0 && whole;
    }
    for (enum gw_pem i = 0; i < GW_N_PEM; i++) {
        if (!fresh[i])
            continue;
        if (!whole) { /* a certificate without its new key would fail every handshake */
            free(fresh[i]);
            continue;
        }
        free(p->text[i]);
        p->text[i] = fresh[i];
        p->n[i] = n[i];
        p->changed_ns[i] = changed[i];
    }
    return any && whole;
}

void gw_client_pems_clear(struct gw_client_pems *p)
{
    for (enum gw_pem i = 0; i < GW_N_PEM; i++) {
        free(p->text[i]);
        p->text[i] = NULL;
        p->n[i] = 0;
    }
}

/* The strings of the struct, so that copy and clear cannot forget one. */
enum { N_STRINGS = 9 };
static void strings_of(struct gw_client_tls *tls, const char **ret[N_STRINGS])
{
    const char **all[N_STRINGS] = {&tls->ca_file,
                                   &tls->ca_pem,
                                   &tls->cert_file,
                                   &tls->cert_pem,
                                   &tls->key_file,
                                   &tls->key_pem,
                                   &tls->server_name_override,
                                   &tls->min_version,
                                   &tls->max_version};

    memcpy(ret, all, sizeof(all));
}

int gw_client_tls_copy(struct gw_client_tls *ret, const struct gw_client_tls *from)
{
    const char **all[N_STRINGS];
    int r = 0;

    *ret = *from;
    strings_of(ret, all);
    for (unsigned i = 0; i < N_STRINGS; i++) {
        *all[i] = strdup(*all[i] ? *all[i] : "");
        if (!*all[i])
            r = -ENOMEM;
    }
    if (r < 0)
        gw_client_tls_clear(ret);
    return r;
}

void gw_client_tls_clear(struct gw_client_tls *tls)
{
    const char **all[N_STRINGS];

    strings_of(tls, all);
    for (unsigned i = 0; i < N_STRINGS; i++) {
        free((char *)*all[i]);
        *all[i] = NULL;
    }
}
