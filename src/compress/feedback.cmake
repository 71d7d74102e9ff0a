# Error feedback on the Hessian of the inputs, for the trellis codes; on the processor, and on a GPU (docs/adr/0031-cuda.md).
set(SQUISH_COMPRESS_FEEDBACK_SOURCES ldl.cpp input_frame.cpp trellis_stripe.cpp trellis_feedback.cpp
  trellis_device_cpu.cpp trellis_device_cuda.cpp)
set(SQUISH_COMPRESS_FEEDBACK_LIBRARIES)
set(SQUISH_COMPRESS_FEEDBACK_TESTS ldl_test.cpp trellis_feedback_test.cpp trellis_device_test.cpp)
# Products and sums of the feedback are not fused where the compiler could: the kernel does the same, bit for bit.
set_source_files_properties(trellis_stripe.cpp PROPERTIES COMPILE_OPTIONS "-ffp-contract=off")
if(SQUISH_CUDA OR (SQUISH_NVCC AND SQUISH_DEVELOPER_MODE))
  squish_fatbin(OUTPUT code_rows.fatbin SOURCE cuda/code_rows.cu DEPENDS
    ${PROJECT_SOURCE_DIR}/src/quant/cuda/trellis_search.cuh ${PROJECT_SOURCE_DIR}/src/quant/cuda/trellis_job.h)
endif()
if(SQUISH_CUDA)
  set_source_files_properties(cuda/code_rows_image.cpp PROPERTIES
    OBJECT_DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/code_rows.fatbin
    COMPILE_DEFINITIONS "SQUISH_CODE_ROWS_FATBIN=\"${CMAKE_CURRENT_BINARY_DIR}/code_rows.fatbin\"")
  list(APPEND SQUISH_COMPRESS_FEEDBACK_SOURCES cuda/code_rows_image.cpp)
else()
  list(APPEND SQUISH_COMPRESS_FEEDBACK_SOURCES cuda/no_code_rows_image.cpp)
  if(SQUISH_NVCC AND SQUISH_DEVELOPER_MODE)
    add_custom_target(cuda_kernels ALL DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/code_rows.fatbin)
  endif()
endif()
