/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/harness.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void gw_hex(const char *text, uint8_t **ret_p, size_t *ret_n)
{
    uint8_t *p = malloc(strlen(text) / 2 + 1);
    size_t n = 0;
    char pair[3] = "";

    assert_non_null(p);
    for (const char *s = text; *s; s++) {
        if (isspace((unsigned char)*s))
            continue;
        pair[0] = s[0];
        pair[1] = s[1];
        p[n++] = (uint8_t)strtoul(pair, NULL, 16);
        s++;
    }
    *ret_p = p;
    *ret_n = n;
}
