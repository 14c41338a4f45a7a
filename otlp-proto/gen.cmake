# SPDX-License-Identifier: Apache-2.0
# protobuf-c code from our .proto files: the oracle of the decoder's tests, and messages off the hot path (health checks,
# error details). protoc-c 1.4 refuses proto3 `optional`, so it reads a copy in which each such field is a oneof of one
# member: the same bytes on the wire.
find_program(PROTOC_C protoc-c REQUIRED)
set(pb_in ${PROJECT_BINARY_DIR}/otlp-proto/in)
set(pb_out ${PROJECT_BINARY_DIR}/otlp-proto/gen)
file(MAKE_DIRECTORY ${pb_out})
file(GLOB_RECURSE pb_files CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/otlp-proto otlp-proto/*.proto)
set(pb_sources "")
set(pb_copies "")
foreach(f IN LISTS pb_files)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS otlp-proto/${f})
  file(READ otlp-proto/${f} text)
  string(REGEX REPLACE "optional ([a-z0-9_.]+) ([a-z0-9_]+) = ([0-9]+);" "oneof _\\2 { \\1 \\2 = \\3; }" text "${text}")
  file(CONFIGURE OUTPUT ${pb_in}/${f} CONTENT "${text}" @ONLY)
  list(APPEND pb_copies ${pb_in}/${f})
  string(REGEX REPLACE "\\.proto$" "" base ${f})
  list(APPEND pb_sources ${pb_out}/${base}.pb-c.c)
endforeach()
add_custom_command(OUTPUT ${pb_sources}
  COMMAND ${PROTOC_C} -I ${pb_in} --c_out=${pb_out} ${pb_copies}
  DEPENDS ${pb_copies} COMMENT "protoc-c: OTLP messages")

# Generated code is not held to our warnings, and neither are its headers.
add_library(gw_otlp_pb STATIC ${pb_sources})
target_include_directories(gw_otlp_pb SYSTEM PUBLIC ${pb_out})
target_link_libraries(gw_otlp_pb PUBLIC PkgConfig::libprotobuf-c)
