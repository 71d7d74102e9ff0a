// Bytes of the network: any of them must become a request or a 4xx, the same however they are cut,
// and nothing after a failure is read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/http_parser.h"

namespace {

struct Outcome {
  int failure = 0;
  bool has_header = false;
  bool is_done = false;
  size_t used = 0;
  std::string path;
  std::string body;

  bool operator==(const Outcome&) const = default;
};

Outcome parse(std::string_view bytes, size_t piece) {
  squish::server::HttpParser parser;
  Outcome out;
  std::string input;
  size_t given = 0;
  while (!parser.is_done() && !parser.failure().has_value()) {
    const size_t used = parser.feed(input);
    if (used > input.size()) std::abort();
    input.erase(0, used);
    out.used += used;
    if (parser.has_header() && !parser.failure().has_value() && !out.has_header) {
      out.has_header = true;
      out.path = parser.take_header().path;
      continue;
    }
    if (used > 0) continue;
    if (given == bytes.size()) break;
    const size_t count = std::min(piece, bytes.size() - given);
    input.append(bytes, given, count);
    given += count;
  }
  if (parser.failure().has_value()) {
    out.failure = parser.failure()->status;
    if (out.failure < 400 || out.failure > 505) std::abort();
    if (parser.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n") != 0) std::abort();
    // How far it read before it gave up depends on the pieces.
    out.used = 0;
    out.has_header = false;
    out.path.clear();
    return out;
  }
  out.is_done = parser.is_done();
  if (out.is_done) out.body = parser.take_body();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = parse(bytes, SIZE_MAX);
  // A huge header is refused by what has come of it: only small inputs are alike in all cuts.
  if (size < 4096 && parse(bytes, 1) != whole) std::abort();
  return 0;
}
