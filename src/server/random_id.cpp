#include "server/random_id.h"

#include <random>

#include <fmt/format.h>

namespace squish::server {

std::string random_hex(size_t digits) {
  static thread_local std::mt19937_64 generator((uint64_t{std::random_device{}()} << 32) |
                                                std::random_device{}());
  std::string out;
  while (out.size() < digits) out += fmt::format("{:016x}", generator());
  out.resize(digits);
  return out;
}

}  // namespace squish::server
