/* SPDX-License-Identifier: Apache-2.0 */
#include "net/curl_common.h"
#include "core/slice.h"

#include <stdlib.h>
#include <strings.h>

int gw_curl_start(struct gw_err *err)
{
    static _Thread_local bool ready;

    /* Counted by libcurl itself and safe between threads since 7.84. */
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return gw_fail(err, -ENOMEM, "libcurl cannot start");
    ready = true;
    return 0;
}

struct gw_slice gw_curl_authority(const char *url)
{
    const char *p = strstr(url, "://"), *at;
    size_t n;

    p = p ? p + 3 : url;
    n = strcspn(p, "/?#");
    at = memrchr(p, '@', n);
    return at ? gw_slice_of(at + 1, n - (size_t)(at + 1 - p)) : gw_slice_of(p, n);
}

/** Go takes the upper-case name too, which curl leaves out for http, and never sends loopback through a proxy. */
void gw_curl_env_proxy(CURL *easy, const char *url)
{
    struct gw_slice host = gw_curl_authority(url);
    const char *upper = getenv("HTTP_PROXY");

    if ((host.n >= 9 && memcmp(host.p, "localhost", 9) == 0) || (host.n >= 4 && memcmp(host.p, "127.", 4) == 0) ||
        (host.n >= 5 && memcmp(host.p, "[::1]", 5) == 0)) {
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        return;
    }
    if (upper && *upper && !getenv("http_proxy") && strncasecmp(url, "http://", 7) == 0)
        curl_easy_setopt(easy, CURLOPT_PROXY, upper);
}
