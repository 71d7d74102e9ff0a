// .npy and .npy.zst files: whatever the bytes, the view lies inside them and has the size of its
// shape.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/npy.h"

namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

void parse(squish::Bytes bytes) {
  const auto view = squish::parse_npy(bytes, "fuzz.npy");
  if (!view.has_value()) {
    check(view.error().message.find('\n') == std::string::npos);
    return;
  }
  check(view->data.size() == view->shape.elements() * squish::npy_type_info(view->type).bytes);
  check(view->data.size() <= bytes.size());
  for (const std::byte byte : view->data) static_cast<void>(std::to_integer<int>(byte));
  // What was read can be written: the same array comes back.
  std::string again = squish::npy_header(view->type, view->shape);
  again += squish::as_text(view->data);
  const auto second = squish::parse_npy(squish::as_bytes(again), "again.npy");
  check(second.has_value() && second->shape == view->shape && second->type == view->type);
}

}  // namespace

// The first byte chooses: the rest as a file, or as zstd data of one.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const squish::Bytes rest(reinterpret_cast<const std::byte*>(data + 1), size - 1);
  // A copy of its own size, so that reads past its end are seen.
  const std::vector<std::byte> whole(rest.begin(), rest.end());
  if (data[0] % 2 == 0) {
    parse(whole);
    return 0;
  }
  const auto unpacked = squish::unpack_zstd(whole, 1 << 20, "fuzz.npy.zst");
  if (unpacked.has_value()) parse(*unpacked);
  return 0;
}
