# SPDX-License-Identifier: Apache-2.0
# The fault sink and the sender with ids: tools of tests, no part of the product.
file(GLOB src CONFIGURE_DEPENDS tests/faultsink/*.c)
list(FILTER src EXCLUDE REGEX "(sender|late_writes)\\.c$")
add_executable(faultsink ${src})
target_link_libraries(faultsink PRIVATE gw_net gw_flags)
add_executable(faultsend tests/faultsink/sender.c)
target_link_libraries(faultsend PRIVATE gw_core PkgConfig::libnghttp2 gw_flags)
gw_oracle_test(faultsink/sink tests/faultsink/sink_test.py $<TARGET_FILE:faultsink> $<TARGET_FILE:faultsend>)
# A gateway that acknowledges before it writes: what the kill -9 rig has to find.
add_library(late_writes MODULE tests/faultsink/late_writes.c)
target_link_libraries(late_writes PRIVATE gw_flags Threads::Threads ${CMAKE_DL_LIBS})
