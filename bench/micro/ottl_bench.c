/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a condition costs, asked of every span of 64 distinct requests of 100 spans with 14 attributes each, and what it
 * costs to read the attribute alone, by hand. One JSON line a case: nanoseconds of CPU a span, the least of some
 * rounds. CASE=text picks.
 */
#include "bench/micro/micro.h"
#include "ottl/ottl.h"

static const struct {
    const char *name, *text;
} cases[] = {
    {"true", "true"},
    {"name ==", "name == \"GET /checkout\""},
    {"kind ==", "kind == SPAN_KIND_SERVER"},
    {"status and kind", "status.code == STATUS_CODE_ERROR or kind == SPAN_KIND_CLIENT"},
    {"attribute ==", "attributes[\"http.request.method\"] == \"POST\""},
    {"attribute >=", "attributes[\"http.response.status_code\"] >= 500"},
    {"attribute missing", "attributes[\"not.there\"] != nil"},
    {"resource attribute ==", "resource.attributes[\"service.name\"] == \"cart\""},
    {"IsMatch name", "IsMatch(name, \"^(GET|POST) /check\")"},
    {"IsMatch attribute", "IsMatch(attributes[\"url.path\"], \"/api/v[0-9]+/\")"},
    {"duration", "end_time - start_time > Duration(\"5s\")"},
    {"IsRootSpan", "IsRootSpan()"},
    {"Concat", "Concat([name, attributes[\"http.request.method\"]], \"-\") == \"x\""},
    {"of five", "(attributes[\"http.response.status_code\"] >= 500 or status.code == STATUS_CODE_ERROR) and "
                "not IsMatch(name, \"^/health\") and resource.attributes[\"service.name\"] != \"test\""},
};

static struct gw_ottl *condition;
static struct gw_arena arena;

static uint64_t ask(struct micro_set *set)
{
    uint64_t n = 0;
    bool is;

    for (unsigned i = 0; i < set->n; i++) {
        struct gw_view v;

        gw_view_init(&v, set->batches[i], &arena);
        for (uint32_t row = 0; row < set->batches[i]->n_rows; row++) {
            micro_check(gw_ottl_test(condition, &v, row, row, &is, NULL) == 0, "test");
            n += is;
        }
        gw_view_clear(&v);
        gw_arena_reset(&arena, 1 << 20);
    }
    return n;
}

/* The floor: the same attribute, looked for and compared without a condition. */
static uint64_t by_hand(struct micro_set *set)
{
    uint64_t n = 0;
    struct gw_value value;

    for (unsigned i = 0; i < set->n; i++) {
        struct gw_view v;

        gw_view_init(&v, set->batches[i], &arena);
        for (uint32_t row = 0; row < set->batches[i]->n_rows; row++)
            n += gw_view_attr_get(&v, GW_OWN_ROW, row, GW_SLICE("http.request.method"), &value) &&
                 value.type == GW_V_STRING && gw_slice_is(value.s, "POST");
        gw_view_clear(&v);
    }
    return n;
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "bench/payloads";
    struct gw_env *env = gw_env_real_new();
    struct micro_set set;

    micro_load(&set, dir, "traces100", GW_TRACES);
    gw_arena_init(&arena, 64 << 10, 64 << 20);
    micro_run("by hand: attribute ==", &set, by_hand);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gw_ottl_fault fault = {0};

        micro_check(gw_ottl_condition_new(gw_slice_cstr(cases[i].text), GW_OTTL_SPAN, env, &condition, &fault) == 0,
                    fault.text);
        micro_run(cases[i].name, &set, ask);
        gw_ottl_free(condition);
    }
    gw_arena_clear(&arena);
    gw_env_real_free(env);
    return 0;
}
