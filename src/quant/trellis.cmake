# The encoder of the trellis codes: one source an instruction set for its loops, as in kernels (docs/adr/0005).
set(trellis_isa_sources trellis_avx2.cpp trellis_avx512.cpp trellis_neon.cpp)
set(trellis_flags -O3 -Wno-conversion -Wno-sign-conversion -Wno-pedantic -Wno-ignored-attributes -Wno-psabi
    -Wno-unused-function)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND trellis_flags -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(trellis_avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;${trellis_flags}")
  set_source_files_properties(trellis_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "-mavx2;-mfma;-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mavx512vnni;-mprefer-vector-width=512;${trellis_flags}")
else()
  set_source_files_properties(trellis_avx2.cpp trellis_avx512.cpp PROPERTIES COMPILE_OPTIONS "${trellis_flags}")
endif()
set_source_files_properties(trellis_neon.cpp PROPERTIES COMPILE_OPTIONS "${trellis_flags}")
set_source_files_properties(trellis_scalar.cpp PROPERTIES COMPILE_OPTIONS "-O3")
add_library(squish_quant_trellis_isa OBJECT ${trellis_isa_sources})
target_link_libraries(squish_quant_trellis_isa PRIVATE squish_flags)

set(SQUISH_QUANT_TRELLIS_SOURCES
  trellis_encode.cpp trellis_branches.cpp trellis_scalar.cpp $<TARGET_OBJECTS:squish_quant_trellis_isa>)
set(SQUISH_QUANT_TRELLIS_TESTS trellis_encode_test.cpp)

if(SQUISH_DEVELOPER_MODE)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  add_test(NAME tidy_weak_symbols_trellis COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/weak_symbols.py
    --nm ${CMAKE_NM} $<TARGET_OBJECTS:squish_quant_trellis_isa> COMMAND_EXPAND_LISTS)
  set_tests_properties(tidy_weak_symbols_trellis PROPERTIES LABELS tidy TIMEOUT 60)
endif()
