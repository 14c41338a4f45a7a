/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_RUNTIME_DEMO_H
#define GW_RUNTIME_DEMO_H

#include "pipeline/service.h"

/** Add a `demo` receiver with its defaults to every pipeline that has receivers. Errors: -ENOMEM, -EEXIST when there is
 * one. */
int gw_demo_add(struct gw_service *s, struct gw_err *err);

#endif
