# SPDX-License-Identifier: Apache-2.0
# A program whose allocations are counted and can be made to fail: tests/harness_malloc.h.
function(gw_wrap_malloc target)
  target_link_options(${target} PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc)
endfunction()

# Fuzz targets: tests/fuzz/<what>_fuzz.c with LLVMFuzzerTestOneInput, corpus in tests/fuzz/corpus/<what>/.
# With GW_FUZZ (clang) they are libFuzzer programs build/fuzz_<what>; otherwise each is linked with a driver that
# replays the corpus, and is a test.
file(GLOB fuzzers CONFIGURE_DEPENDS tests/fuzz/*_fuzz.c)
if(GW_FUZZ) # libFuzzer's own allocations pass here: they are no news
  set_source_files_properties(tests/harness_malloc.c PROPERTIES COMPILE_OPTIONS "-fno-sanitize=fuzzer-no-link")
endif()
foreach(f IN LISTS fuzzers)
  get_filename_component(name ${f} NAME_WE)
  string(REPLACE "_fuzz" "" what ${name})
  add_executable(fuzz_${what} ${f})
  target_link_libraries(fuzz_${what} PRIVATE gw_runtime gw_otlp_pb gw_remote_write_pb gw_flags)
  if(what STREQUAL log) # its files lie in memory
    target_sources(fuzz_${what} PRIVATE tests/harness_simdisk.c)
  endif()
  if(what MATCHES "^(bulk|compress|decode|yaml)$") # these fail allocations as well
    target_sources(fuzz_${what} PRIVATE tests/harness_malloc.c)
    gw_wrap_malloc(fuzz_${what})
  endif()
  if(GW_FUZZ)
    target_compile_options(fuzz_${what} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${what} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${what} PRIVATE tests/fuzz/replay.c)
    add_test(NAME fuzz/${what} COMMAND fuzz_${what} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${what})
    set_tests_properties(fuzz/${what} PROPERTIES ENVIRONMENT "${GW_TEST_ENVIRONMENT}")
  endif()
endforeach()

foreach(t log_malloc_test queue_durable_malloc_test queue_parts_malloc_test queue_settling_malloc_test otlp-proto_malloc_test runtime_metrics_test runtime_out_of_memory_test exporters_elasticsearch_test exporters_common_starved_test
        exporters_prometheus_remote_write_malloc_test exporters_prometheus_remote_write_sending_malloc_test
        processors_tail_sampling_policy_malloc_test processors_tail_sampling_sampler_malloc_test ottl_malloc_test)
  if(TARGET ${t})
    gw_wrap_malloc(${t})
  endif()
endforeach()

# Micro-benchmarks: bench/micro/<what>_bench.c, one JSON line a case.
file(GLOB benches CONFIGURE_DEPENDS bench/micro/*_bench.c)
foreach(f IN LISTS benches)
  get_filename_component(name ${f} NAME_WE)
  if(name STREQUAL shuffle_bench) # a whole engine: with what its tests have for that
    add_executable(${name} ${f})
    target_link_libraries(${name} PRIVATE gw_harness gw_flags)
    continue()
  endif()
  add_executable(${name} ${f} tests/harness_malloc.c)
  target_link_libraries(${name} PRIVATE gw_runtime gw_otlp_pb gw_remote_write_pb gw_flags)
  gw_wrap_malloc(${name})
endforeach()

# OTLP requests between JSON and protobuf, for people and for the tests.
add_executable(otlp_json tools/otlp_json.c)
target_link_libraries(otlp_json PRIVATE gw_otlp-proto gw_flags)

# docs/reference, from the settings tables: `ninja reference` writes it, a test compares.
add_executable(describe tools/describe.c)
target_link_libraries(describe PRIVATE gw_runtime gw_flags)
add_custom_target(reference COMMAND ${PROJECT_SOURCE_DIR}/tools/reference.sh ${PROJECT_BINARY_DIR} DEPENDS describe)
add_test(NAME docs/reference COMMAND ${PROJECT_SOURCE_DIR}/tools/reference.sh ${PROJECT_BINARY_DIR} --check)

# Every example configuration is valid.
file(GLOB examples CONFIGURE_DEPENDS config/examples/*.yaml)
foreach(f IN LISTS examples)
  get_filename_component(name ${f} NAME_WE)
  add_test(NAME examples/${name} COMMAND ${PROJECT_SOURCE_DIR}/tests/example.sh $<TARGET_FILE:staunch> ${f})
endforeach()

# What the house checks of itself.
add_test(NAME house/arrows COMMAND ${PROJECT_SOURCE_DIR}/tools/arrows.py ${PROJECT_SOURCE_DIR})
add_test(NAME house/sizes COMMAND ${PROJECT_SOURCE_DIR}/tools/sizes.py ${PROJECT_SOURCE_DIR})
add_test(NAME house/settings COMMAND ${PROJECT_SOURCE_DIR}/tools/effects.py ${PROJECT_SOURCE_DIR})
add_test(NAME house/headers COMMAND ${PROJECT_SOURCE_DIR}/tools/headers.sh ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})

# Scripts whose answers come from outside: the Python that tools/python.sh keeps has the published OTLP messages.
function(gw_oracle_test name)
  string(JOIN "' '" args ${ARGN})
  add_test(NAME ${name} COMMAND bash -c "exec \"$(tools/python.sh)\" '${args}'" WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()
gw_oracle_test(otlp-proto/descriptors tools/check-proto-descriptors.py --allow-missing)
gw_oracle_test(otlp-proto/oracle tests/otlp-proto/oracle.py $<TARGET_FILE:otlp-proto_decode_test>)
gw_oracle_test(otlp-proto/json_oracle tests/otlp-proto/json_oracle.py $<TARGET_FILE:otlp_json>)
