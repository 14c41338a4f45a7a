/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of a component under test, from YAML, as the product reads them. */
#ifndef GW_TESTS_HARNESS_SETTINGS_H
#define GW_TESTS_HARNESS_SETTINGS_H

#include "tests/harness.h"

#include "pipeline/component.h"

/** Where they go, and what is said about them. The arena and the diagnosis are made here, and the caller's to clear. */
struct gw_test_settings {
    struct gw_arena *arena;
    struct gw_diag *diag;
    char *said;
    size_t said_bytes;
};
/** The component of that name; *ret_conf is malloced. Mistakes are in to->diag, and as text in to->said. */
const struct gw_component *gw_test_configure(enum gw_kind kind, const char *name, const char *yaml,
                                             const struct gw_test_settings *to, void **ret_conf);

#endif
