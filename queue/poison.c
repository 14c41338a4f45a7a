/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/edge_impl.h"
#include "queue/gate.h"

enum {
    STRIKES = 3,
    STRIKES_ALONE = 5, /* 1 in 20^5: what a sink that fails one request in twenty does to a body that is fine */
    OTHERS = 20,
    BLIND_HALVINGS = 6,
    MOST_HALVINGS = 1000, /* of a lane: a sink that refuses all it gets is not flooded with pieces */
    HALVINGS_A_SECOND = 50,
};

static bool can_be_halved(const struct gw_job *j)
{
    return !j->left && j->a.rows > 1 && j->a.rows == j->chunk->rows && j->lane->edge->ops->merge == GW_MERGE_OTLP;
}

void gw_poison_begin(struct gw_job *j)
{
    const struct gw_suspicion *s = &j->chunk->suspicion;

    if (!s->depth)
        return;
    j->at_gate.n_passed = s->n_passed;
    j->at_gate.n_failed = s->n_failed;
    j->at_gate.strikes = j->a.rows > 1 ? STRIKES - 1 : 1;
    j->at_gate.unsure = j->at_gate.strikes;
}

/* Since the last failure of this body others passed, and hardly any of them failed. */
static bool others_pass(const struct gw_job *j)
{
    const struct gw_gate *g = &j->lane->gate;
    uint64_t passed = g->n_passed - j->at_gate.n_passed, failed = g->n_failed - j->at_gate.n_failed;

    return passed > 0 && failed * OTHERS <= passed;
}

enum gw_poison gw_poison_failed(struct gw_job *j, enum gw_sign sign)
{
    const struct gw_gate *g = &j->lane->gate;

    if (gw_sign_is_unsure(sign)) {
        j->at_gate.unsure++;
        j->at_gate.strikes += j->at_gate.strikes == 0 || others_pass(j);
    }
    j->at_gate.n_passed = g->n_passed;
    j->at_gate.n_failed = g->n_failed;
    if (!gw_sign_is_unsure(sign))
        return GW_POISON_NO;
    if (j->at_gate.strikes >= STRIKES && can_be_halved(j))
        return GW_POISON_HALVE;
    return j->at_gate.strikes >= STRIKES_ALONE ? GW_POISON_BURY : GW_POISON_NO;
}

static bool may_halve(struct gw_gate *g, uint64_t now_ns)
{
    double more = (double)(now_ns - g->halvings_ns) * HALVINGS_A_SECOND / 1e9;

    g->halvings = g->halvings_ns && g->halvings + more < MOST_HALVINGS ? g->halvings + more : MOST_HALVINGS;
    g->halvings_ns = now_ns;
    if (g->halvings < 1)
        return false;
    g->halvings -= 1;
    return true;
}

bool gw_poison_worth_halving(struct gw_job *j, const struct gw_sent_info *info, uint64_t now_ns)
{
    const struct gw_suspicion *s = &j->chunk->suspicion;
    struct gw_gate *g = &j->lane->gate;

    if (!info->may_be_a_part || j->lane->edge->ops->own_tries || !can_be_halved(j))
        return false;
    if (g->refuses_all && g->n_passed == g->refusing_passed)
        return false;
    g->refuses_all = s->depth >= BLIND_HALVINGS && g->n_passed == s->root_passed;
    g->refusing_passed = g->n_passed;
    return !g->refuses_all && may_halve(g, now_ns);
}

struct gw_suspicion gw_poison_of_halves(const struct gw_job *j)
{
    const struct gw_suspicion *s = &j->chunk->suspicion;
    const struct gw_gate *g = &j->lane->gate;

    return (struct gw_suspicion){.depth = (uint8_t)(s->depth + 1),
                                 .root_passed = s->depth ? s->root_passed : g->n_passed,
                                 .n_passed = g->n_passed,
                                 .n_failed = g->n_failed};
}
