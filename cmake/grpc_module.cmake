# SPDX-License-Identifier: Apache-2.0
# staunch-grpc.so: grpc core behind gw_rpc_client. Self-contained (it brings its own copies of the few files of ours that it
# uses) and loaded by net/rpc_client.c when an exporter asks for it. Without grpc on the build machine there is no module.
pkg_check_modules(grpc IMPORTED_TARGET GLOBAL grpc)
if(grpc_FOUND)
  add_library(staunch-grpc MODULE net/grpc_module/client.c net/client_tls.c core/env.c core/buf.c core/status.c)
  set_target_properties(staunch-grpc PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden)
  target_include_directories(staunch-grpc PRIVATE ${PROJECT_SOURCE_DIR})
  # -lgrpc and what the client itself calls; the rest of pkg-config's list is grpc's own business.
  target_link_libraries(staunch-grpc PRIVATE gw_flags grpc gpr Threads::Threads)
  target_link_options(staunch-grpc PRIVATE -Wl,--as-needed)
  install(TARGETS staunch-grpc LIBRARY DESTINATION lib/staunch)
endif()
if(TARGET staunch-grpc)
  gw_test(net tests/net/grpc/rpc_client_test.c grpc gpr) # its server is grpc core's
  add_dependencies(net_rpc_client_test staunch-grpc)
  add_dependencies(runtime_malloc_test staunch-grpc)
endif()
