/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/renew.h"

#include <stdlib.h>

#include "config/load.h"
#include "runtime/demo.h"

enum { MAX_TEXT_BYTES = 64 << 20 };
static const uint64_t WATCH_NS = 1000000000u, TEND_NS = 20000000u;

enum outcome { SUCCESS, FAILURE, UNCHANGED, N_OUTCOMES };

struct gw_renew {
    struct gw_renew_conf conf;
    struct gw_hook hook;
    struct gw_timer tend, watch;
    uint64_t seen;   /* the stamp of the last look */
    bool is_put_off; /* earlier configurations have to go first */
    struct gw_metric *outcomes[N_OUTCOMES], *last, *leaving;
};

/* ---- what a running process keeps ------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_resource(const struct gw_telemetry *a, const struct gw_telemetry *b)
{
    if (a->resource.n != b->resource.n || a->no_instance_id != b->no_instance_id)
        return false;
    for (size_t i = 0; i < a->resource.n; i++)
        if (!same_text(a->resource.entries[i].key, b->resource.entries[i].key) ||
            !same_text(a->resource.entries[i].value, b->resource.entries[i].value))
            return false;
    return true;
}

static bool same_reader(const struct gw_telemetry *a, const struct gw_telemetry *b)
{
    return a->metrics_on == b->metrics_on && same_text(a->metrics_host, b->metrics_host) &&
           a->metrics_port == b->metrics_port && a->without_scope_info == b->without_scope_info &&
           a->without_units == b->without_units && a->without_type_suffix == b->without_type_suffix &&
           (a->metrics_level == GW_LEVEL_NONE) == (b->metrics_level == GW_LEVEL_NONE);
}

static void not_now(const struct gw_renew *r, const char *setting)
{
    struct gw_log_site site = {0};

    gw_log_at(r->conf.logger, GW_LOG_WARN, &site, "service::%s: the change takes effect with the next start", setting);
}

static void take_rest(struct gw_renew *r, const struct gw_service *old, const struct gw_service *s)
{
    r->conf.sink->level = s->telemetry.log_level;
    if (old->runtime.memory_limit_mib != s->runtime.memory_limit_mib)
        gw_engine_limit_memory(r->conf.engine, s->runtime.memory_limit_mib << 20);
    if (old->runtime.workers != s->runtime.workers)
        not_now(r, "runtime::workers");
    if (!same_text(old->runtime.control_socket, s->runtime.control_socket))
        not_now(r, "runtime::control_socket");
    if (old->telemetry.log_json != s->telemetry.log_json)
        not_now(r, "telemetry::logs::encoding");
    if (!same_resource(&old->telemetry, &s->telemetry))
        not_now(r, "telemetry::resource");
    if (!same_reader(&old->telemetry, &s->telemetry))
        not_now(r, "telemetry::metrics");
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Each line of its own: all mistakes are wanted, however many there are. */
static void say_lines(const struct gw_renew *r, enum gw_log_level level, const char *why, const struct gw_buf *lines)
{
    struct gw_slice rest = gw_buf_slice(lines);

    while (rest.n) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        struct gw_log_site site = {0};

        if (n)
            gw_log_at(r->conf.logger, level, &site, "%s: %.*s", why, (int)n, (const char *)rest.p);
        n += end != NULL;
        rest = gw_slice_of(rest.p + n, rest.n - n);
    }
}

static bool is_same(const struct gw_service *a, const struct gw_service *b)
{
    struct gw_buf x, y;
    bool same;

    gw_buf_init(&x, MAX_TEXT_BYTES);
    gw_buf_init(&y, MAX_TEXT_BYTES);
    gw_yaml_write(&x, a->root);
    gw_yaml_write(&y, b->root);
    same = !x.failed && !y.failed && gw_slice_eq(gw_buf_slice(&x), gw_buf_slice(&y));
    gw_buf_clear(&x);
    gw_buf_clear(&y);
    return same;
}

static int take(struct gw_renew *r, const char *why, struct gw_run_configuration *c, enum outcome *ret)
{
    const struct gw_engine_source to = {c->service, c->release, c->arg};
    const struct gw_service *old = gw_engine_service(r->conf.engine);
    uint64_t began_ns = gw_mono_ns(r->conf.env);
    struct gw_err err = {""};
    int rc = 0;

    if (is_same(old, c->service)) {
        c->release(c->arg);
        *ret = UNCHANGED;
        gw_log(r->conf.logger, GW_LOG_INFO, "%s: the configuration is the same as before", why);
        return 0;
    }
    if (r->conf.options->demo)
        rc = gw_demo_add(c->service, &err);
    if (rc < 0)
        c->release(c->arg);
    else
        rc = gw_engine_reload(r->conf.engine, &to, &err);
    *ret = rc < 0 ? FAILURE : SUCCESS;
    if (rc < 0) {
        gw_log(r->conf.logger, GW_LOG_ERROR, "%s: %s; going on with the configuration from before", why, err.text);
        return rc;
    }
    take_rest(r, old, c->service);
    gw_metric_set(r->last, gw_wall_ns(r->conf.env) / 1000000000u);
    gw_log(r->conf.logger, GW_LOG_INFO, "%s: done in %.1f ms", why, (double)(gw_mono_ns(r->conf.env) - began_ns) / 1e6);
    return 0;
}

static int renew(struct gw_renew *r, const char *why, enum outcome *ret)
{
    const struct gw_run_options *o = r->conf.options;
    struct gw_run_configuration c;
    struct gw_buf mistakes;
    int rc;

    gw_buf_init(&mistakes, MAX_TEXT_BYTES);
    rc = o->again(o->arg, &c, &mistakes);
    say_lines(r, rc < 0 ? GW_LOG_ERROR : GW_LOG_WARN, why, &mistakes);
    gw_buf_clear(&mistakes);
    if (rc == 0)
        return take(r, why, &c, ret);
    *ret = FAILURE;
    gw_log(r->conf.logger, GW_LOG_ERROR, "%s: the configuration is not taken; going on with the one from before", why);
    return rc;
}

static void watch(struct gw_renew *r)
{
    if (r->conf.options->again && gw_engine_service(r->conf.engine)->runtime.watch_config)
        gw_timer_arm(r->conf.loop, &r->watch, gw_loop_now_ns(r->conf.loop) + WATCH_NS);
    else
        gw_timer_disarm(&r->watch);
}

int gw_renew_now(struct gw_renew *r, const char *why)
{
    const struct gw_run_options *o = r->conf.options;
    enum outcome outcome;
    int rc;

    if (!o->again) {
        gw_log(r->conf.logger, GW_LOG_WARN, "%s: this configuration cannot be read again", why);
        return -ENOTSUP;
    }
    rc = renew(r, why, &outcome);
    gw_metric_add(r->outcomes[outcome], 1);
    r->is_put_off = rc == -EBUSY;
    watch(r);
    gw_loop_again(r->conf.loop); /* the hook looks after what leaves */
    return rc;
}

/* ---- in time ---------------------------------------------------------------------------------------------- */

static void on_turn(struct gw_hook *h)
{
    struct gw_renew *r = (struct gw_renew *)((char *)h - offsetof(struct gw_renew, hook));
    unsigned n;

    gw_engine_tend(r->conf.engine);
    n = gw_engine_n_leaving(r->conf.engine);
    gw_metric_set(r->leaving, n);
    if (n && !gw_timer_is_armed(&r->tend))
        gw_timer_arm(r->conf.loop, &r->tend, gw_loop_now_ns(r->conf.loop) + TEND_NS);
}

static void on_tend(struct gw_timer *t)
{
    (void)t; /* the turn's hook looks */
}

/* A file is taken when it has been the same for two looks: whoever writes it may not be done. */
static void on_watch(struct gw_timer *t)
{
    struct gw_renew *r = (struct gw_renew *)((char *)t - offsetof(struct gw_renew, watch));
    const struct gw_run_options *o = r->conf.options;
    uint64_t stamp = o->stamp(o->arg, /* as_read= */ false);
    bool changed = r->is_put_off || stamp != o->stamp(o->arg, /* as_read= */ true);

    if (changed && stamp == r->seen)
        (void)gw_renew_now(r, "a file of the configuration has changed");
    r->seen = stamp;
    watch(r);
}

int gw_renew_new(const struct gw_renew_conf *conf, struct gw_renew **ret)
{
    static const char *const outcomes[N_OUTCOMES] = {"success", "failure", "unchanged"};
    struct gw_renew *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->conf = *conf;
    for (unsigned i = 0; i < N_OUTCOMES; i++) {
        const struct gw_label l = {"outcome", outcomes[i]};

        r->outcomes[i] = gw_meter_get(conf->meter, GW_COUNTER, "staunch_reload",
                                      "Configurations that were read while running, by what came of them.", &l, 1);
    }
    r->last = gw_meter_get(conf->meter, GW_GAUGE, "staunch_reload_last_success",
                           "When the configuration that runs was taken, in seconds since 1970.", NULL, 0);
    r->leaving = gw_meter_get(conf->meter, GW_GAUGE, "staunch_reload_leaving",
                              "Earlier configurations of which something is still under way.", NULL, 0);
    gw_metric_set(r->last, gw_wall_ns(conf->env) / 1000000000u);
    r->hook.run = on_turn;
    r->tend.fire = on_tend;
    r->watch.fire = on_watch;
    gw_loop_add_hook(conf->loop, &r->hook);
    watch(r);
    *ret = r;
    return 0;
}

void gw_renew_free(struct gw_renew *r)
{
    if (!r)
        return;
    gw_timer_disarm(&r->tend);
    gw_timer_disarm(&r->watch);
    gw_loop_remove_hook(r->conf.loop, &r->hook);
    free(r);
}
