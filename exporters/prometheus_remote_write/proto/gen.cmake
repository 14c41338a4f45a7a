# SPDX-License-Identifier: Apache-2.0
# protobuf-c code of remote write, from our .proto files: what tests and fuzz targets read requests with.
set(rw_in ${PROJECT_SOURCE_DIR}/exporters/prometheus_remote_write/proto)
set(rw_out ${PROJECT_BINARY_DIR}/exporters/prometheus_remote_write/gen)
file(MAKE_DIRECTORY ${rw_out})
add_custom_command(OUTPUT ${rw_out}/remote_write_1.pb-c.c ${rw_out}/remote_write_2.pb-c.c
  COMMAND ${PROTOC_C} -I ${rw_in} --c_out=${rw_out} ${rw_in}/remote_write_1.proto ${rw_in}/remote_write_2.proto
  DEPENDS ${rw_in}/remote_write_1.proto ${rw_in}/remote_write_2.proto COMMENT "protoc-c: remote write messages")
add_library(gw_remote_write_pb STATIC ${rw_out}/remote_write_1.pb-c.c ${rw_out}/remote_write_2.pb-c.c)
target_include_directories(gw_remote_write_pb SYSTEM PUBLIC ${rw_out})
target_link_libraries(gw_remote_write_pb PUBLIC PkgConfig::libprotobuf-c)
