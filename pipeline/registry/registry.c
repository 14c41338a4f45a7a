/* SPDX-License-Identifier: Apache-2.0 */
/* The list of components. Nobody edits it: components.def is included twice, to declare the symbols and to list them.
 */
#include "pipeline/component.h"

#define GW(kind, name) extern const struct gw_component gw_##kind##_##name;
#include "components.def"
#undef GW

#define GW(kind, name) &gw_##kind##_##name,
const struct gw_component *const gw_components[] = {
#include "components.def"
    NULL,
};
#undef GW

static bool has_alias(const struct gw_component *c, struct gw_slice name)
{
    for (const char *const *a = c->aliases; a && *a; a++)
        if (gw_slice_is(name, *a))
            return true;
    return false;
}

const struct gw_component *gw_component_find(enum gw_kind kind, struct gw_slice name, bool *ret_deprecated)
{
    for (const struct gw_component *const *c = gw_components; *c; c++) {
        if ((*c)->kind != kind)
            continue;
        if (gw_slice_is(name, (*c)->name) || has_alias(*c, name)) {
            *ret_deprecated = !gw_slice_is(name, (*c)->name);
            return *c;
        }
    }
    return NULL;
}

const char *gw_kind_name(enum gw_kind kind)
{
    static const char *const names[GW_N_KINDS] = {"receiver", "processor", "connector", "exporter", "extension"};

    return names[kind];
}
