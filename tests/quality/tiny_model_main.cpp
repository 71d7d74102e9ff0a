// write_tiny_model NAME FILE: a tiny network (see src/model/testing/tiny_model.h) as GGUF, q8_0.
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "base/file.h"
#include "base/result.h"
#include "model/testing/tiny_model.h"

int main(int argc, char** argv) {
  using namespace squish;
  if (argc != 3) {
    fmt::print(stderr, "usage: write_tiny_model NAME FILE\n");
    return 2;
  }
  const testing::TinyModel tiny(argv[1]);
  const testing::TemporaryDirectory directory;
  const auto bytes = read_file(tiny.write_gguf(directory, DType::q8_0), uint64_t{1} << 30);
  if (!bytes) {
    fmt::print(stderr, "{}\n", bytes.error().message);
    return 1;
  }
  const Status written = write_file_atomic(argv[2], as_bytes(*bytes));
  if (!written) {
    fmt::print(stderr, "{}\n", written.error().message);
    return 1;
  }
  return 0;
}
