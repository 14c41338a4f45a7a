/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/elasticsearch/object.h"

#include <errno.h>

int gw_es_read_object(struct gw_json_text *t, gw_es_member_fn each, void *arg)
{
    struct gw_json_string key;
    int r;

    gw_json_skip_space(t);
    if (gw_json_peek(t) != '{')
        return -EBADMSG;
    t->p++;
    gw_json_skip_space(t);
    if (gw_json_peek(t) == '}') {
        t->p++;
        return 0;
    }
    for (;;) {
        gw_json_skip_space(t);
        if (gw_json_peek(t) != '"' || gw_json_read_string(t, &key) < 0)
            return -EBADMSG;
        gw_json_skip_space(t);
        if (gw_json_peek(t) != ':')
            return -EBADMSG;
        t->p++;
        gw_json_skip_space(t);
        r = each(t, key.raw, arg);
        if (r != 0)
            return r;
        gw_json_skip_space(t);
        if (gw_json_peek(t) == '}') {
            t->p++;
            return 0;
        }
        if (gw_json_peek(t) != ',')
            return -EBADMSG;
        t->p++;
    }
}
