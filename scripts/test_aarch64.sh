#!/usr/bin/env bash
# Builds base, tensor and kernels for AArch64 and runs their tests under qemu's user mode, which has the dot product and
# int8 matrix instructions whatever this machine is. ctest calls it (label aarch64).
#
#   scripts/test_aarch64.sh [BUILD_DIRECTORY]
#
# Exit status: that of the tests, or 77 (skipped) where a tool is missing. SQUISH_TEST_QUICK=1, the default, leaves out
# the largest shapes: qemu takes about ten times as long. SQUISH_TEST_QUICK= (empty) runs all.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/aarch64}

for tool in aarch64-linux-gnu-g++ qemu-aarch64 ninja cmake; do
  if ! command -v "$tool" > /dev/null; then
    echo "skipped: $tool is not installed (Debian packages g++-aarch64-linux-gnu, qemu-user, ninja-build, cmake)"
    exit 77
  fi
done
if [[ ! -e /usr/src/googletest/googlemock/CMakeLists.txt ]]; then
  echo "skipped: the sources of GoogleTest are not installed (Debian package googletest)"
  exit 77
fi

cmake --preset aarch64 -B "$build" > /dev/null
cmake --build "$build" --target squish_tensor_test squish_kernels_test

if [[ ${SQUISH_TEST_QUICK-1} ]]; then
  export SQUISH_TEST_QUICK=1
  filter=-*odd_shape/scalar:*long_prompt*/scalar  # portable code, which the machine's own run covers
else
  unset SQUISH_TEST_QUICK
  filter=*
fi
run=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
"${run[@]}" "$build/src/tensor/squish_tensor_test" --gtest_brief=1
"${run[@]}" "$build/src/kernels/squish_kernels_test" --gtest_filter="$filter"
