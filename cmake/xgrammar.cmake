# xgrammar's C++ core as one static library, from the sources that `./dev setup` unpacks (docs/adr/0018-grammar-engine.md).
# Not its own CMakeLists.txt: that forces -Werror and link-time optimization upon whoever includes it.
set(SQUISH_XGRAMMAR_DIR ${PROJECT_SOURCE_DIR}/.dev/sources/xgrammar CACHE PATH "Unpacked source package of xgrammar")
if(NOT EXISTS ${SQUISH_XGRAMMAR_DIR}/include/xgrammar/xgrammar.h)
  message(FATAL_ERROR "The sources of xgrammar are not in ${SQUISH_XGRAMMAR_DIR}: run `./dev setup`, which fetches them "
    "(cmake/xgrammar.txt says which), or give -DSQUISH_XGRAMMAR_DIR=<unpacked source package>")
endif()
file(GLOB_RECURSE xgrammar_sources CONFIGURE_DEPENDS ${SQUISH_XGRAMMAR_DIR}/cpp/*.cc)
list(FILTER xgrammar_sources EXCLUDE REGEX "/cpp/tvm_ffi/")
add_library(squish_xgrammar STATIC ${xgrammar_sources})
target_include_directories(squish_xgrammar SYSTEM PUBLIC ${SQUISH_XGRAMMAR_DIR}/include
  ${SQUISH_XGRAMMAR_DIR}/3rdparty/dlpack/include PRIVATE ${SQUISH_XGRAMMAR_DIR}/3rdparty/picojson)
# XGRAMMAR_LOG_CUSTOMIZE: its messages come to src/grammar/engine_log.cpp. What it only warns of is an error here.
target_compile_definitions(squish_xgrammar PRIVATE XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0
  XGRAMMAR_LOG_CUSTOMIZE=1)
target_compile_features(squish_xgrammar PUBLIC cxx_std_17)
target_compile_options(squish_xgrammar PRIVATE -w)
if(SQUISH_SANITIZE)
  target_compile_options(squish_xgrammar PRIVATE -fsanitize=${SQUISH_SANITIZE} -fno-omit-frame-pointer)
endif()
