/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `staunch dlq recent`: the last records of each reason to drop some.
 *
 *   component validate, pipeline traces, reason trace_id:
 *   2026-01-02T03:04:05.678Z {"resourceSpans":[…]}
 */
#include "otlp-proto/json.h"
#include "runtime/control_commands.h"
#include "runtime/dlq.h"
#include "runtime/engine.h"
#include "runtime/samples.h"

enum { MAX_BYTES = 16 << 20 }; /* 2048 records of 4 KiB as JSON, escaped */

struct page {
    struct gw_buf out;
    struct gw_sample_reason last;
};

static void put_body(struct gw_buf *out, enum gw_signal signal, const struct gw_sample *s)
{
    struct gw_buf json;

    gw_buf_init(&json, MAX_BYTES);
    if (s->whole_bytes == s->body.n && gw_proto_to_json(signal, s->body, &json) == 0)
        gw_dlq_put_escaped(out, gw_buf_slice(&json));
    else
        gw_dlq_put_escaped(out, s->body);
    gw_buf_clear(&json);
    if (s->whole_bytes > s->body.n)
        gw_buf_printf(out, " (the first of %llu bytes)", (unsigned long long)s->whole_bytes);
}

static void put_sample(void *arg, const struct gw_sample_reason *why, const struct gw_sample *s)
{
    struct page *p = arg;

    if (why->reason != p->last.reason) { /* a ring has its texts in one place */
        gw_buf_put_str(&p->out, p->last.reason ? "\ncomponent " : "component ");
        gw_dlq_put_escaped(&p->out, gw_slice_cstr(why->component));
        if (*why->pipeline) {
            gw_buf_put_str(&p->out, ", pipeline ");
            gw_dlq_put_escaped(&p->out, gw_slice_cstr(why->pipeline));
        }
        gw_buf_printf(&p->out, ", %s, reason ", gw_signal_name(why->signal));
        gw_dlq_put_escaped(&p->out, gw_slice_cstr(why->reason));
        gw_buf_put_str(&p->out, ":\n");
        p->last = *why;
    }
    gw_dlq_put_time(&p->out, s->wall_ns);
    gw_buf_put_u8(&p->out, ' ');
    put_body(&p->out, why->signal, s);
    gw_buf_put_u8(&p->out, '\n');
}

static void start(struct gw_control_call *call, const struct gw_node *args)
{
    struct page p = {.last = {.reason = NULL}};

    (void)args;
    gw_buf_init(&p.out, MAX_BYTES);
    gw_samples_each(gw_engine_samples(gw_control_conf(call)->engine), put_sample, &p);
    if (p.out.n)
        (void)gw_control_write(call, 1, gw_buf_slice(&p.out));
    else
        gw_control_say(call, 1, "nothing was dropped since the start");
    gw_buf_clear(&p.out);
    gw_control_end(call, 0);
}

const struct gw_control_command gw_control_dlq_recent = {.name = "dlq-recent", .start = start};
