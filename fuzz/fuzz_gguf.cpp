// GGUF files: whatever the bytes, every view that the parser hands out lies inside them.
#include <cstdint>
#include <cstdlib>

#include "format/gguf.h"

namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const squish::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto file = squish::GgufFile::parse(bytes, "fuzz.gguf");
  if (!file.has_value()) {
    check(file.error().message.find('\n') == std::string::npos);
    return 0;
  }
  for (const squish::NamedTensor& named : file->tensors()) {
    const squish::TensorView& tensor = named.tensor;
    check(tensor.data >= bytes.data() && tensor.bytes() > 0);
    check(tensor.bytes() <= static_cast<size_t>(bytes.data() + size - tensor.data));
    check(file->find_tensor(named.name) == &named.tensor);
  }
  for (const squish::GgufEntry& entry : file->metadata()) {
    check(file->find(entry.key) == &entry.value);
    (void)file->get_uint(entry.key);
    (void)file->get_int(entry.key);
    (void)file->get_float(entry.key);
    (void)file->get_bool(entry.key);
    (void)file->get_string(entry.key);
    (void)file->get_floats(entry.key);
    (void)file->get_ints(entry.key);
    (void)file->missing(entry.key, "something");
    const auto strings = file->get_strings(entry.key);
    check(!strings.has_value() || strings->size() == entry.value.count);
  }
  return 0;
}
