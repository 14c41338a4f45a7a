/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GW_CORE_VERSION_H
#define GW_CORE_VERSION_H

/** Equals project(VERSION) of CMakeLists.txt; a test compares them. */
#define GW_VERSION "0.1.0"

#endif
