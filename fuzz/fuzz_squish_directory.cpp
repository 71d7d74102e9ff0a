// Directories that `squish compress` wrote: whatever config.json and model.safetensors hold, every
// tensor that the reader hands out lies inside the file and has a shape that its type allows.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include <unistd.h>

#include "base/file.h"
#include "format/squish_directory.h"

namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

/// One directory a process: its two files are written anew for each input.
const std::string& directory() {
  static const std::string path = [] {
    std::string name = std::filesystem::temp_directory_path() / "squish-fuzz-XXXXXX";
    check(::mkdtemp(name.data()) != nullptr);
    std::atexit([] {
      ::unlink((directory() + "/config.json").c_str());
      ::unlink((directory() + "/model.safetensors").c_str());
      ::rmdir(directory().c_str());
    });
    return name;
  }();
  return path;
}

void write(const char* name, std::string_view text) {
  check(squish::write_file_atomic(directory() + name, squish::as_bytes(text)).has_value());
}

void check_message(const squish::Error& error) {
  check(!error.message.empty() && error.message.find('\n') == std::string::npos);
}

void read(const squish::HfDirectory& files) {
  const auto opened = squish::SquishDirectory::open(files);
  if (!opened.has_value()) {
    check_message(opened.error());
    return;
  }
  if (!*opened) return;
  const squish::SquishDirectory& packed = **opened;
  uint64_t bytes = 0;
  for (const squish::NamedTensor& named : packed.tensors()) {
    const squish::TensorView& tensor = named.tensor;
    check(tensor.shape.rank >= 1 && tensor.shape.rank <= 4);
    check(packed.find(named.name) != nullptr);
    bytes += tensor.bytes();
    check(bytes <= files.file_bytes());
  }
  const squish::Status status = packed.verify();  // reads every byte of every tensor
  if (!status) check_message(status.error());
}

}  // namespace

// config.json up to the first zero byte, then model.safetensors: its JSON header up to the next
// one, then the data. The header's length is added, so that the fuzzer need not find it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t first = input.find('\0');
  if (first == std::string_view::npos) return 0;
  const size_t second = input.find('\0', first + 1);
  if (second == std::string_view::npos) return 0;
  const std::string_view header = input.substr(first + 1, second - first - 1);
  std::string weights;
  for (size_t i = 0; i < 8; ++i) {
    weights += static_cast<char>((static_cast<uint64_t>(header.size()) >> (8 * i)) & 0xFF);
  }
  weights += header;
  weights += input.substr(second + 1);
  write("/config.json", input.substr(0, first));
  write("/model.safetensors", weights);
  const auto files = squish::HfDirectory::open(directory());
  if (files.has_value()) {
    read(*files);
  } else {
    check_message(files.error());
  }
  return 0;
}
