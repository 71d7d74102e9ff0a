#pragma once
// Hashes by OpenSSL (SHA-256: files) and xxHash (XXH3-64: caches and tensors).
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"

namespace squish {

/// Streaming SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(Bytes bytes);
  /// 64 lower-case hexadecimal digits. Call once.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Streaming XXH3-64: the same number as hash64() of all bytes.
class StreamHash64 {
 public:
  StreamHash64();
  ~StreamHash64();
  StreamHash64(const StreamHash64&) = delete;
  StreamHash64& operator=(const StreamHash64&) = delete;
  void update(Bytes bytes);
  [[nodiscard]] uint64_t finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// XXH3-64 of `bytes`.
uint64_t hash64(Bytes bytes, uint64_t seed = 0);

/// RFC 4648 with padding, by OpenSSL, too.
std::string to_base64(std::string_view bytes);

}  // namespace squish
