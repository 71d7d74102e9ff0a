# Encoders of the affine formats. One source an instruction set, as in kernels (docs/adr/0005-isa-dispatch.md); all
# give the same bits, so no multiplication may be fused with an addition.
set(affine_isa_sources affine_avx2.cpp affine_avx512.cpp affine_neon.cpp)
set(affine_exact -O3 -ffp-contract=off)
set(affine_flags ${affine_exact} -Wno-conversion -Wno-sign-conversion -Wno-pedantic -Wno-ignored-attributes -Wno-psabi
    -Wno-unused-function)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND affine_flags -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(affine_avx2 -mavx2 -mf16c)
  set_source_files_properties(affine_avx2.cpp PROPERTIES COMPILE_OPTIONS "${affine_avx2};${affine_flags}")
  set_source_files_properties(affine_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "${affine_avx2};-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mprefer-vector-width=512;${affine_flags}")
else()
  set_source_files_properties(affine_avx2.cpp affine_avx512.cpp PROPERTIES COMPILE_OPTIONS "${affine_flags}")
endif()
set_source_files_properties(affine_neon.cpp PROPERTIES COMPILE_OPTIONS "${affine_flags}")
set_source_files_properties(affine_scalar.cpp PROPERTIES COMPILE_OPTIONS "${affine_exact}")
add_library(squish_quant_isa OBJECT ${affine_isa_sources})
target_link_libraries(squish_quant_isa PRIVATE squish_flags)

set(SQUISH_QUANT_AFFINE_SOURCES
  affine_encode.cpp affine_pack.cpp affine_scalar.cpp $<TARGET_OBJECTS:squish_quant_isa>)
set(SQUISH_QUANT_AFFINE_TESTS affine_encode_test.cpp affine_pack_test.cpp)

if(SQUISH_DEVELOPER_MODE)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  add_test(NAME tidy_weak_symbols_quant COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/weak_symbols.py
    --nm ${CMAKE_NM} $<TARGET_OBJECTS:squish_quant_isa> COMMAND_EXPAND_LISTS)
  set_tests_properties(tidy_weak_symbols_quant PROPERTIES LABELS tidy TIMEOUT 60)
endif()
