/* SPDX-License-Identifier: Apache-2.0 */
/* Other settings while it runs: how long rows stay, and how much of them is in memory. */
#include "connectors/journal/journal.h"

static bool same_names(const struct gw_list *a, const struct gw_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(((const char *const *)a->items)[i], ((const char *const *)b->items)[i]) != 0)
            return false;
    return true;
}

/* The first of those that a restart is needed for; NULL: none. */
static const char *fixed(const struct journal_settings *a, const struct journal_settings *b)
{
    if (strcmp(a->storage, b->storage) != 0)
        return "storage";
    if (a->partition_by != b->partition_by)
        return "partition_by";
    if (!same_names(&a->attributes, &b->attributes))
        return "attributes";
    if (a->partitions != b->partitions)
        return "partitions";
    return a->start != b->start ? "start" : NULL;
}

int gw_journal_renew(void *self, const void *conf, bool take, struct gw_err *err)
{
    const struct journal_settings *s = conf;
    struct journal *j = self;
    const char *no = fixed(&j->conf, s);

    if (no)
        return gw_fail(err, -ENOTSUP, "%s can only be changed by a restart", no);
    if (!take)
        return 0;
    atomic_store(&j->in_flight_bytes, s->in_flight_bytes);
    atomic_store(&j->head_bytes, s->head_bytes);
    atomic_store(&j->live_bytes, s->live_bytes);
    atomic_store(&j->in_order, s->in_order);
    gw_journal_retain(j, &s->retention);
    gw_journal_dedup_renew(j, &s->dedup);
    return 0;
}
