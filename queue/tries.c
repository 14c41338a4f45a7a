/* SPDX-License-Identifier: Apache-2.0 */
/* After a failure: whether it is worth another try, and when. */
#include "queue/sender_impl.h"

/* interval × (1 ± randomization_factor), and the next interval. */
static uint64_t next_pause_ns(const struct gw_edge *e, struct gw_tries *t)
{
    const struct gw_retry_settings *r = &e->conf.settings.retry;
    double unit = (double)(gw_random_u64(e->conf.env) >> 11) * 0x1p-53; /* [0, 1) */
    double pause = t->interval_ns * (1 + r->randomization_factor * (2 * unit - 1));

    t->interval_ns *= r->multiplier;
    if (t->interval_ns > (double)r->max_interval_ns)
        t->interval_ns = (double)r->max_interval_ns;
    return pause < 0 ? 0 : (uint64_t)pause;
}

/* We leave, and the sink does not answer: the journal keeps the rows for the next start, or for a successor. */
static bool goes_back(const struct gw_job *j)
{
    return j->chunk->in_log && atomic_load_explicit(&j->lane->edge->draining, memory_order_relaxed);
}

static bool over(struct gw_tries *t, const char *why)
{
    t->over = why;
    return false;
}

/* The time for trying ends only for what is nowhere but in memory. */
uint64_t gw_sender_max_elapsed_ns(const struct gw_job *j)
{
    /* On disk there is no hurry: what waits there does not take what others need. */
    return j->chunk->tab || (j->chunk->in_log && j->chunk->is_patient)
               ? 0
               : j->lane->edge->conf.settings.retry.max_elapsed_time_ns;
}

/* It was not even tried, because the sink is known to be away: no retry is counted. What runs out of time meanwhile has
 * one last try; who waits is told. */
static bool wait_for_sink(const struct gw_job *j, struct gw_tries *t, uint64_t wait_ns, uint64_t *ret_pause_ns)
{
    uint64_t now = gw_loop_now_ns(gw_lane_loop(j->lane)), most = gw_sender_max_elapsed_ns(j), end = t->first_ns + most;

    if (j->lane->edge->closing || j->cancelled || goes_back(j))
        return over(t, "shutdown");
    if (gw_chunk_is_waited_for(j->chunk))
        return over(t, "breaker_open");
    if (atomic_load_explicit(&j->lane->edge->draining, memory_order_relaxed) && wait_ns > GW_DRAIN_PAUSE_NS)
        wait_ns = GW_DRAIN_PAUSE_NS;
    t->wished = false;
    if (most && t->first_ns && now + wait_ns >= end) {
        t->last_try = now >= end;
        wait_ns = now < end ? end - now : 0;
    }
    *ret_pause_ns = wait_ns;
    return true;
}

/* The sink's own wish. A header that says ten years holds nothing up for ten years. */
static uint64_t wish_ns(const struct gw_edge *e, const struct gw_sent_info *info)
{
    uint64_t most = e->conf.settings.retry.max_retry_after_ns;

    return most && info->retry_after_ns > most ? most : info->retry_after_ns;
}

/* What an exporter with own_tries has on trial was answered, and goes on as all others do. */
static void end_trial(struct gw_job *j)
{
    j->on_trial = 0;
    gw_working_end(&j->working);
    gw_working_begin(&j->working, j->lane->edge, j->chunk->tab, /* waited_for= */ false, /* crashes= */ 0);
    gw_suspects_answered(j->lane);
}

bool gw_tries_again(struct gw_attempt *a, struct gw_tries *t, const struct gw_sent_info *info, uint64_t *ret_pause_ns)
{
    struct gw_job *j = (struct gw_job *)a;
    struct gw_edge *e = j->lane->edge;
    const struct gw_retry_settings *r = &e->conf.settings.retry;
    uint64_t now = gw_loop_now_ns(gw_lane_loop(j->lane)), most = gw_sender_max_elapsed_ns(j), pause;

    if (info->untried)
        return wait_for_sink(j, t, info->retry_after_ns, ret_pause_ns);
    if (j->on_trial > 0)
        end_trial(j);
    t->last_try = false;
    if (t->failures++ == 0)
        t->interval_ns = (double)r->initial_interval_ns;
    if (!t->first_ns)
        t->first_ns = now;
    if (e->closing || j->cancelled || goes_back(j))
        return over(t, "shutdown");
    if (!r->enabled)
        return over(t, "retry_disabled");
    if (r->max_retries && t->failures > r->max_retries)
        return over(t, "retry_exhausted");
    pause = next_pause_ns(e, t);
    if (atomic_load_explicit(&e->draining, memory_order_relaxed) && pause > GW_DRAIN_PAUSE_NS)
        pause = GW_DRAIN_PAUSE_NS;
    t->wished = wish_ns(e, info) > pause;
    if (t->wished)
        pause = wish_ns(e, info);
    if (most && now + pause > t->first_ns + most)
        return over(t, "retry_exhausted");
    if (j->chunk->deadline_ns && now + pause > j->chunk->deadline_ns) /* nobody would hear of it */
        return over(t, "deadline");
    gw_log(&e->conf.logger, GW_LOG_INFO,
           "Exporting failed. Will retry the request after interval. %s: %s (interval: %.3fs)",
           info->reason ? info->reason : "retry", info->message ? info->message : "", (double)pause / 1e9);
    *ret_pause_ns = pause;
    return true;
}
