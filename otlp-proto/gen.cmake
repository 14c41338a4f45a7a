# SPDX-License-Identifier: Apache-2.0
add_library(gw_otlp_pb INTERFACE)
target_link_libraries(gw_otlp_pb INTERFACE PkgConfig::libprotobuf-c)
