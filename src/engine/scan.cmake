# The sampler's passes over logits: one source a width of vectors, as in kernels (docs/adr/0005-isa-dispatch.md). All
# give the same bits, so no multiplication may be fused with an addition.
set(scan_isa_sources vector_scan_portable.cpp vector_scan_avx2.cpp vector_scan_avx512.cpp)
set(scan_flags -O3 -ffp-contract=off -Wno-conversion -Wno-sign-conversion -Wno-double-promotion -Wno-pedantic
    -Wno-ignored-attributes -Wno-psabi -Wno-unused-function)
set_source_files_properties(${scan_isa_sources} PROPERTIES COMPILE_OPTIONS "${scan_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(vector_scan_avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;${scan_flags}")
  set_source_files_properties(vector_scan_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "-mavx512f;-mavx512dq;-mavx512bw;-mavx512vl;-mprefer-vector-width=512;${scan_flags}")
endif()
add_library(squish_engine_isa OBJECT ${scan_isa_sources})
target_link_libraries(squish_engine_isa PRIVATE squish_flags)

set(SQUISH_ENGINE_SCAN_SOURCES vector_scan.cpp $<TARGET_OBJECTS:squish_engine_isa>)

if(SQUISH_DEVELOPER_MODE)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  add_test(NAME tidy_weak_symbols_engine COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/weak_symbols.py
    --nm ${CMAKE_NM} $<TARGET_OBJECTS:squish_engine_isa> COMMAND_EXPAND_LISTS)
  set_tests_properties(tidy_weak_symbols_engine PROPERTIES LABELS tidy TIMEOUT 60)
endif()
