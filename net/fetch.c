/* SPDX-License-Identifier: Apache-2.0 */
/* One GET, waited for: what a configuration is read with. Not for the pipelines, which never wait. */
#include "core/buf.h"
#include "net/clients.h"
#include "net/curl_common.h"

#include <stdlib.h>
#include <strings.h>

enum { TIMEOUT_MS = 10000, MAX_REDIRECTS = 5 };

struct fetch {
    CURL *easy;
    struct gw_buf body;
    size_t max_bytes;
    char said[CURL_ERROR_SIZE];
};

static long status_of(CURL *easy)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Nothing of an error's page is wanted: a short count ends the transfer. */
static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;

    if (status_of(f->easy) != 200)
        return 0;
    gw_buf_put(&f->body, p, size * n);
    return f->body.failed || f->body.n > f->max_bytes ? 0 : size * n;
}

static void set_up(struct fetch *f, const char *url, unsigned timeout_ms)
{
    const char *bundle = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
    const char *protocols = strncasecmp(url, "https:", 6) == 0 ? "https" : "http,https";
    CURL *e = f->easy;

    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (bundle && *bundle)
        curl_easy_setopt(e, CURLOPT_CAINFO, bundle);
    if (folder && *folder)
        curl_easy_setopt(e, CURLOPT_CAPATH, folder);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "Staunch/" GW_VERSION);
    curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)f->max_bytes);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->said);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    gw_curl_env_proxy(e, url);
}

static int code_of(CURLcode code)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (code) {
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -EHOSTUNREACH;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
#pragma GCC diagnostic pop
}

/* Compression was not asked for, and a small answer that unpacks into a large one is an old trick. */
static bool is_encoded(CURL *easy)
{
    struct curl_header *h;

    return curl_easy_header(easy, "content-encoding", 0, CURLH_HEADER, -1, &h) == CURLHE_OK &&
           strcasecmp(h->value, "identity") != 0;
}

static int verdict(const struct fetch *f, CURLcode code, struct gw_err *err)
{
    long status = status_of(f->easy);

    if (code == CURLE_FILESIZE_EXCEEDED || f->body.n > f->max_bytes)
        return gw_fail(err, -E2BIG, "longer than the limit of %zu bytes", f->max_bytes);
    if (f->body.failed)
        return gw_fail(err, -ENOMEM, "out of memory");
    if (code == CURLE_TOO_MANY_REDIRECTS)
        return gw_fail(err, -EIO, "more than %d redirects", MAX_REDIRECTS);
    if (code == CURLE_UNSUPPORTED_PROTOCOL && status != 0)
        return gw_fail(err, -EIO, "redirected (status %ld) to where this may not go", status);
    if (status != 0 && status != 200 && (code == CURLE_OK || code == CURLE_WRITE_ERROR))
        return gw_fail(err, -EIO, "the server answered with status %ld", status);
    if (code != CURLE_OK)
        return gw_fail(err, code_of(code), "%s", f->said[0] ? f->said : curl_easy_strerror(code));
    if (is_encoded(f->easy))
        return gw_fail(err, -EIO, "the answer is compressed, which was not asked for");
    return 0;
}

int gw_fetch_curl_within(unsigned timeout_ms, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n,
                         struct gw_err *err)
{
    struct fetch f = {.max_bytes = max_bytes};
    int rc = gw_curl_start(err);

    if (rc < 0)
        return rc;
    f.easy = curl_easy_init();
    if (!f.easy)
        return gw_fail(err, -ENOMEM, "out of memory");
    gw_buf_init(&f.body, max_bytes + CURL_MAX_WRITE_SIZE + 1); /* one write over the limit is told from the limit */
    set_up(&f, url, timeout_ms);
    rc = verdict(&f, curl_easy_perform(f.easy), err);
    gw_buf_put_u8(&f.body, 0);
    if (rc == 0 && f.body.failed)
        rc = gw_fail(err, -ENOMEM, "out of memory");
    if (rc == 0) {
        *ret_p = (char *)gw_buf_take(&f.body, ret_n);
        *ret_n -= 1;
    }
    gw_buf_clear(&f.body);
    curl_easy_cleanup(f.easy);
    return rc;
}

int gw_fetch_curl(struct gw_env *env, const char *url, size_t max_bytes, char **ret_p, size_t *ret_n,
                  struct gw_err *err)
{
    (void)env;
    return gw_fetch_curl_within(TIMEOUT_MS, url, max_bytes, ret_p, ret_n, err);
}
