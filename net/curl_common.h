/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: what all users of libcurl share. */
#ifndef GW_NET_CURL_COMMON_H
#define GW_NET_CURL_COMMON_H

#include <curl/curl.h>

#include "core/status.h"

/** libcurl's own start, once a thread. Errors: -ENOMEM. */
int gw_curl_start(struct gw_err *err);
/** host[:port] of a URL, behind a user and a password. */
struct gw_slice gw_curl_authority(const char *url);
/** The proxy of the environment variables for this URL, as Go chooses it. */
void gw_curl_env_proxy(CURL *easy, const char *url);

#endif
