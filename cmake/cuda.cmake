# nvcc makes machine code for GPUs, which becomes bytes of the program (docs/adr/0031-cuda.md). The rest is ordinary C++:
# no CUDA language of CMake, no CUDA library. Developers' builds without SQUISH_CUDA compile the kernels, too, where
# `./dev setup` put nvcc; nothing but the compiler's verdict comes of that.
find_program(SQUISH_NVCC nvcc PATHS ${PROJECT_SOURCE_DIR}/.dev/cuda/nvidia/cu13/bin NO_DEFAULT_PATH
  DOC "CUDA's compiler, 13.0 or newer")
if(SQUISH_CUDA)
  find_program(SQUISH_NVCC nvcc PATHS /usr/local/cuda/bin)
  if(NOT SQUISH_NVCC)
    message(FATAL_ERROR "SQUISH_CUDA: there is no nvcc in .dev/cuda or on the PATH: run `./dev setup cuda`, which fetches it "
      "(cmake/cuda.txt says which), or give -DSQUISH_NVCC=<path>")
  endif()
endif()

# squish_fatbin(OUTPUT name.fatbin SOURCE name.cu DEPENDS headers): in the current binary folder. Ampere and Ada, Hopper,
# Blackwell; what comes later compiles the PTX when it loads it. No product is fused with a sum but by name.
function(squish_fatbin)
  cmake_parse_arguments(F "" "OUTPUT;SOURCE" "DEPENDS" ${ARGN})
  set(codes)
  foreach(arch 80 90 100 120)
    list(APPEND codes -gencode arch=compute_${arch},code=sm_${arch})
  endforeach()
  list(APPEND codes -gencode arch=compute_90,code=compute_90)
  add_custom_command(OUTPUT ${F_OUTPUT}
    COMMAND ${SQUISH_NVCC} -std=c++20 -O3 -fmad=false -Werror all-warnings -I ${PROJECT_SOURCE_DIR}/src ${codes}
      -fatbin -o ${CMAKE_CURRENT_BINARY_DIR}/${F_OUTPUT} ${CMAKE_CURRENT_SOURCE_DIR}/${F_SOURCE}
    MAIN_DEPENDENCY ${F_SOURCE} DEPENDS ${F_DEPENDS} COMMENT "Compiling ${F_SOURCE} for GPUs" VERBATIM)
endfunction()
