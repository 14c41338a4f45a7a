/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control port: POST /NAME with lines of a script; GET / tells what has happened, as JSON.
 */
#include <string.h>

#include "sink.h"

static void tell(struct gw_buf *b)
{
    gw_buf_printf(b, "{\"broken\": %llu, \"bad_requests\": %llu, \"pid\": %d, \"sinks\": {",
                  (unsigned long long)g.n_broken, (unsigned long long)g.n_bad_request, g.pid);
    for (struct sink *s = g.sinks; s; s = s->next) {
        if (s->control)
            continue;
        gw_buf_printf(b,
                      "\"%s\": {\"connections\": %llu, \"exchanges\": %llu, \"applied\": %llu, \"refused\": %llu, "
                      "\"told\": %llu, \"untold\": %llu, \"open\": %llu, \"faults\": %llu, \"script_left\": %u}%s",
                      s->name, (unsigned long long)s->n_conns, (unsigned long long)s->n_exchanges,
                      (unsigned long long)s->n_applied, (unsigned long long)s->n_rejected,
                      (unsigned long long)s->n_told, (unsigned long long)s->n_untold, (unsigned long long)s->n_open,
                      (unsigned long long)s->n_faults, s->n_turn - s->at_turn,
                      s->next && !s->next->control ? ", " : "");
    }
    gw_buf_put_str(b, "}}\n");
}

void control_answer(struct exchange *e)
{
    struct gw_err err = {0};

    e->answer.status = 200;
    if (strcmp(e->method, "POST") != 0) {
        tell(&e->answer.body);
        return;
    }
    for (struct sink *s = g.sinks; s; s = s->next)
        if (!s->control && strcmp(s->name, e->path + 1) == 0) {
            if (script_run(s, (const char *)e->in.p, e->in.n, &err) < 0) {
                e->answer.status = 400;
                gw_buf_put_str(&e->answer.body, err.text);
            }
            return;
        }
    e->answer.status = 404;
}
