/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/component.h"
#include "pipeline/exporter.h"

bool gw_component_reads_rows(const struct gw_component *c, const void *conf)
{
    unsigned sets;

    if (c->exporter && !c->exporter->encode)
        return false;
    sets = c->reads_for ? c->reads_for(conf) : c->reads ? c->reads | c->writes : GW_C_ATTRS;
    return sets & (GW_C_ATTRS | GW_C_CHILDREN);
}
