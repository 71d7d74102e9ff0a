// safetensors files: whatever the bytes, every view that the parser hands out lies inside them.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "format/safetensors.h"

namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

void parse(squish::Bytes bytes) {
  const auto file = squish::SafetensorsFile::parse(bytes, "fuzz.safetensors");
  if (!file.has_value()) {
    check(file.error().message.find('\n') == std::string::npos);
    return;
  }
  for (const squish::NamedTensor& named : file->tensors()) {
    const squish::TensorView& tensor = named.tensor;
    check(tensor.data >= bytes.data());
    check(tensor.bytes() <= static_cast<size_t>(bytes.data() + bytes.size() - tensor.data));
    check(file->find_tensor(named.name).has_value());
  }
  for (const squish::UnusableTensor& unusable : file->unusable()) {
    check(file->has_tensor(unusable.name) && !unusable.reason().empty());
    check(!file->find_tensor(unusable.name).has_value());
  }
}

}  // namespace

// The first input byte chooses: the rest as a whole file, or as a header whose length and data are
// added (so that the fuzzer reaches the JSON without finding the length field).
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const squish::Bytes rest(reinterpret_cast<const std::byte*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    // A copy of its own size, so that reads past its end are seen.
    const std::vector<std::byte> whole(rest.begin(), rest.end());
    parse(whole);
    return 0;
  }
  const uint64_t length = rest.size();
  const auto* head = reinterpret_cast<const std::byte*>(&length);
  std::vector<std::byte> whole(head, head + sizeof length);
  whole.insert(whole.end(), rest.begin(), rest.end());
  whole.resize(whole.size() + data[0]);
  parse(whole);
  return 0;
}
