/* SPDX-License-Identifier: Apache-2.0 */
/* What forward does in a graph is told by tests/runtime/graph_test.c; here only its contract. */
#include "tests/harness.h"

#include "pipeline/component.h"
#include "pipeline/ports.h"

struct catcher {
    struct gw_ports ports;
    struct gw_view *got;
    unsigned port, times;
};

static void emit(struct gw_ports *out, unsigned port, struct gw_view *v)
{
    struct catcher *c = (struct catcher *)out;

    c->got = v;
    c->port = port;
    c->times++;
}

/*
 * Scenario    a view goes in
 * Guarantees  the same view comes out of port 0, once
 */
static void a_view_passes_as_it_is(void **state)
{
    static const struct gw_ports_ops ops = {.emit = emit};
    struct catcher c = {.ports = {.ops = &ops}};
    struct gw_view v = {0};
    bool old;
    const struct gw_component *f = gw_component_find(GW_CONNECTOR, GW_SLICE("forward"), &old);

    (void)state;
    assert_non_null(f);
    f->consume(NULL, &v, &c.ports);
    assert_ptr_equal(c.got, &v);
    assert_int_equal(c.port, 0);
    assert_int_equal(c.times, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_view_passes_as_it_is)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
