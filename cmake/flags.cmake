# SPDX-License-Identifier: Apache-2.0
option(GW_WERROR "Warnings are errors" ON)
set(GW_SANITIZE "" CACHE STRING "address;undefined | thread | (empty)")

option(GW_FUZZ "Build libFuzzer programs (needs clang)" OFF)
if(GW_FUZZ) # here, before any target: the libraries' coverage guides the fuzzer
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

add_library(gw_flags INTERFACE)
target_compile_options(gw_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough -Wswitch-enum
  -fno-common -fno-strict-aliasing $<$<BOOL:${GW_WERROR}>:-Werror>)
add_compile_definitions(_GNU_SOURCE)
add_compile_definitions(GW_VERSION="${PROJECT_VERSION}")

# Two hundred test programs of 20 MB each: GNU ld takes three times as long.
find_program(GW_MOLD mold)
if(GW_SANITIZE AND GW_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
if(GW_SANITIZE)
  string(REPLACE ";" "," s "${GW_SANITIZE}")
  add_compile_options(-fsanitize=${s} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${s})
else()
  add_compile_options(-fstack-protector-strong $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()
