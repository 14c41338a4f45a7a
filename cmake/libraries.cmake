# SPDX-License-Identifier: Apache-2.0
# Libraries that the house stands on, all from the distribution.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(m libnghttp2 libssl libcrypto libcurl rdkafka libfyaml libdeflate libisal libzstd zlib libprotobuf-c liblz4 libpcre2-8)
  pkg_check_modules(${m} REQUIRED IMPORTED_TARGET GLOBAL ${m})
endforeach()

pkg_check_modules(h2o_evloop REQUIRED IMPORTED_TARGET GLOBAL libh2o-evloop)
add_library(gw_h2o INTERFACE)
target_link_libraries(gw_h2o INTERFACE PkgConfig::h2o_evloop PkgConfig::libssl PkgConfig::libcrypto)
target_compile_definitions(gw_h2o INTERFACE H2O_USE_LIBUV=0)
# h2o's own headers are not clean under our warnings.
target_compile_options(gw_h2o INTERFACE -isystem /usr/include/h2o)

find_library(SNAPPY snappy REQUIRED)
find_library(CRYPT crypt REQUIRED)
add_library(gw_compression INTERFACE)
target_link_libraries(gw_compression INTERFACE PkgConfig::libdeflate PkgConfig::libisal PkgConfig::libzstd
  PkgConfig::zlib PkgConfig::liblz4 ${SNAPPY})

find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
add_library(gw_xxhash INTERFACE)
target_include_directories(gw_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE})
find_library(CMOCKA cmocka REQUIRED)
