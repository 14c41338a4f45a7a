/* SPDX-License-Identifier: Apache-2.0 */
#include "core/breaker.h"

#include <string.h>

static const char *const state_names[] = {"closed", "half_open", "open"};

void gw_breaker_init(struct gw_breaker *b, const struct gw_breaker_settings *how, struct gw_env *env,
                     const struct gw_logger *logger, struct gw_meter *meter, const struct gw_breaker_labels *labels)
{
    const struct gw_label both[] = {{"exporter", labels->exporter}, {"endpoint", labels->endpoint}};

    *b = (struct gw_breaker){.how = how, .env = env, .logger = logger, .endpoint = labels->endpoint};
    if (!meter || !how->enabled)
        return;
    b->state_metric = gw_meter_get(meter, GW_GAUGE, "staunch_breaker_state",
                                   "Circuit breaker of an endpoint: 0 closed, 1 half-open, 2 open.", both, 2);
    for (unsigned i = 0; i < 3; i++) {
        const struct gw_label all[] = {both[0], both[1], {"state", state_names[i]}};

        b->entered[i] = gw_meter_get(meter, GW_COUNTER, "staunch_breaker_transitions",
                                     "How often the circuit breaker of an endpoint came into a state.", all, 3);
    }
}

/* ---- states ------------------------------------------------------------------------------------------------- */

static void enter(struct gw_breaker *b, enum gw_breaker_state state, uint64_t now_ns)
{
    b->state = state;
    b->epoch++;
    b->under_way = 0;
    b->ramp = 1;
    b->in_a_row = 0;
    memset(b->parts, 0, sizeof(b->parts));
    b->part_begin_ns = now_ns;
    gw_metric_set(b->state_metric, state);
    gw_metric_add(b->entered[state], 1);
}

/* interval × U(0.75, 1.25), so that many gateways do not come back in step. */
static uint64_t jittered(struct gw_breaker *b, uint64_t ns)
{
    double unit = (double)(gw_random_u64(b->env) >> 11) * 0x1p-53; /* [0, 1) */
    uint64_t pause = (uint64_t)((double)ns * (0.75 + 0.5 * unit));

    if (pause > b->how->max_ns)
        pause = b->how->max_ns;
    return b->hurried_ns && pause > b->hurried_ns ? b->hurried_ns : pause;
}

/* Another way than the ones before, of which there were some. */
static bool is_news(struct gw_breaker *b, bool away)
{
    bool changed = away != b->was_away, news = changed && b->alike > 1;

    b->alike = changed ? 1 : b->alike + 1;
    b->was_away = away;
    return news;
}

static void set_pause(struct gw_breaker *b, enum gw_sign sign)
{
    bool again = b->state == GW_BREAKER_HALF_OPEN && b->pause_ns;

    if (!again)
        b->alike = 0;
    if (is_news(b, sign == GW_SIGN_AWAY) || !again)
        b->pause_ns = b->how->initial_ns;
    else
        b->pause_ns = b->pause_ns < b->how->max_ns / 2 ? b->pause_ns * 2 : b->how->max_ns;
    if (b->pause_ns > b->how->max_ns)
        b->pause_ns = b->how->max_ns;
}

static void open_it(struct gw_breaker *b, enum gw_sign sign, const char *why, uint64_t waited_ns, uint64_t now_ns)
{
    bool again = b->state == GW_BREAKER_HALF_OPEN;
    uint64_t pause, least;

    set_pause(b, sign);
    pause = jittered(b, b->pause_ns);
    least = pause < b->how->initial_ns ? pause : b->how->initial_ns;
    if (again)
        pause = pause > waited_ns + least ? pause - waited_ns : least;
    enter(b, GW_BREAKER_OPEN, now_ns);
    b->until_ns = now_ns + pause;
    gw_log(b->logger, again ? GW_LOG_INFO : GW_LOG_WARN, "circuit breaker of %s: open for %.1f s: %s", b->endpoint,
           (double)pause / 1e9, why ? why : "failures");
}

static void half_open(struct gw_breaker *b, uint64_t now_ns)
{
    enter(b, GW_BREAKER_HALF_OPEN, now_ns);
    gw_log(b->logger, GW_LOG_INFO, "circuit breaker of %s: half-open: one request tries whether it is back",
           b->endpoint);
}

static void close_it(struct gw_breaker *b, uint64_t now_ns)
{
    enter(b, GW_BREAKER_CLOSED, now_ns);
    b->pause_ns = 0;
    gw_log(b->logger, GW_LOG_INFO, "circuit breaker of %s: closed: it answers again", b->endpoint);
}

/* ---- the window --------------------------------------------------------------------------------------------- */

static void turn_window(struct gw_breaker *b, uint64_t now_ns)
{
    uint64_t part_ns = b->how->window_ns / GW_BREAKER_PARTS + 1, past = (now_ns - b->part_begin_ns) / part_ns;

    if (past >= GW_BREAKER_PARTS) {
        memset(b->parts, 0, sizeof(b->parts));
        b->part_begin_ns = now_ns;
        return;
    }
    for (; past > 0; past--) {
        b->part = (b->part + 1) % GW_BREAKER_PARTS;
        memset(&b->parts[b->part], 0, sizeof(b->parts[0]));
        b->part_begin_ns += part_ns;
    }
}

/* Enough calls, and enough of them failed. */
static bool fails_mostly(const struct gw_breaker *b)
{
    uint64_t calls = 0, failures = 0;

    for (unsigned i = 0; i < GW_BREAKER_PARTS; i++) {
        calls += b->parts[i].calls;
        failures += b->parts[i].failures;
    }
    return calls >= b->how->min_calls && (double)failures >= b->how->error_share * (double)calls;
}

static void count(struct gw_breaker *b, enum gw_sign sign, const char *why, uint64_t now_ns)
{
    bool failed = gw_sign_is_failure(sign);

    turn_window(b, now_ns);
    b->parts[b->part].calls++;
    b->parts[b->part].failures += failed;
    b->in_a_row = failed ? b->in_a_row + 1 : 0;
    if (failed && (b->in_a_row >= b->how->consecutive || fails_mostly(b)))
        open_it(b, sign, why, 0, now_ns);
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

bool gw_breaker_may(const struct gw_breaker *b, uint64_t now_ns)
{
    switch (b->state) {
    case GW_BREAKER_OPEN:
        return now_ns >= b->until_ns;
    case GW_BREAKER_HALF_OPEN:
        return b->under_way < b->ramp;
    case GW_BREAKER_CLOSED:
        break;
    }
    return true;
}

uint64_t gw_breaker_wait_ns(const struct gw_breaker *b, uint64_t now_ns)
{
    return b->state == GW_BREAKER_OPEN && b->until_ns > now_ns ? b->until_ns - now_ns : 0;
}

struct gw_breaker_pass gw_breaker_begin(struct gw_breaker *b, uint64_t now_ns)
{
    if (b->state == GW_BREAKER_OPEN)
        half_open(b, now_ns);
    b->under_way++;
    return (struct gw_breaker_pass){b->epoch, now_ns};
}

void gw_breaker_end(struct gw_breaker *b, struct gw_breaker_pass pass, enum gw_sign sign, const char *why,
                    uint64_t now_ns)
{
    if (!b->how->enabled || pass.epoch != b->epoch)
        return;
    b->under_way -= b->under_way > 0;
    if (sign == GW_SIGN_NONE)
        return;
    if (b->state == GW_BREAKER_CLOSED)
        count(b, sign, why, now_ns);
    else if (gw_sign_is_failure(sign))
        open_it(b, sign, why, now_ns - pass.begin_ns, now_ns);
    else if (++b->ramp > GW_BREAKER_RAMP_FULL)
        close_it(b, now_ns);
}

void gw_breaker_hurry(struct gw_breaker *b, uint64_t now_ns, uint64_t pause_ns)
{
    b->hurried_ns = pause_ns;
    if (b->state == GW_BREAKER_OPEN && b->until_ns > now_ns + pause_ns)
        b->until_ns = now_ns + pause_ns;
}
