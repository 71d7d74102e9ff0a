# SQUISH_KERNELS_ONLY: base (without hashes), tensor and kernels, for a target whose libraries are not installed.
# fmt needs only its headers, and GoogleTest is built from the sources that Debian's googletest package installs: both
# are there for any target, so that no foreign architecture has to be added to the package manager.
find_path(SQUISH_FMT_HEADERS fmt/format.h PATHS /usr/include REQUIRED NO_CMAKE_FIND_ROOT_PATH NO_CACHE)
# A folder with fmt alone: /usr/include itself would bring the build machine's C library.
set(fmt_only ${PROJECT_BINARY_DIR}/headers)
file(MAKE_DIRECTORY ${fmt_only})
file(CREATE_LINK ${SQUISH_FMT_HEADERS}/fmt ${fmt_only}/fmt SYMBOLIC)
add_library(fmt::fmt INTERFACE IMPORTED GLOBAL)
target_include_directories(fmt::fmt INTERFACE ${fmt_only})
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)

if(SQUISH_DEVELOPER_MODE)
  find_path(SQUISH_GTEST_SOURCES googlemock/CMakeLists.txt PATHS /usr/src/googletest REQUIRED
            NO_CMAKE_FIND_ROOT_PATH NO_CACHE)
  set(INSTALL_GTEST OFF)
  add_subdirectory(${SQUISH_GTEST_SOURCES} ${PROJECT_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
  foreach(library gtest gtest_main gmock)
    target_compile_options(${library} PRIVATE -w)  # not our code, and g++ 12 warns falsely of it
  endforeach()
endif()
