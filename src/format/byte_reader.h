#pragma once
// A cursor over untrusted bytes: every read is checked, little-endian.
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/file.h"

namespace squish {

static_assert(std::endian::native == std::endian::little, "files are read in place");

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}

  [[nodiscard]] size_t position() const { return position_; }
  [[nodiscard]] size_t left() const { return bytes_.size() - position_; }

  /// False, and nothing read, when fewer bytes are left.
  template <class T>
  [[nodiscard]] bool read(T& out) {
    static_assert(std::is_arithmetic_v<T>);
    if (left() < sizeof(T)) return false;
    std::memcpy(&out, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }
  [[nodiscard]] bool take(uint64_t count, Bytes& out) {
    if (left() < count) return false;
    out = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return true;
  }

 private:
  Bytes bytes_;
  size_t position_ = 0;
};

}  // namespace squish
