#pragma once
// Bytes to a request, in whatever pieces they come, within the limits of base/limits.h. Boost.Beast
// reads the grammar; what a request may cost is decided here.
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http_message.h"

namespace squish::server {

/// Why a request cannot be read. The connection ends after the answer: where the next request would
/// begin is not known.
struct HttpFailure {
  int status = 400;
  std::string message;
};

/// One request. Feed it until is_done(), then make a new one. One thread.
class HttpParser {
 public:
  HttpParser();
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  /// Reads from the front of `bytes` and returns how many were used; never goes past the end of the
  /// request. The first call that completes the header stops there. 0 with no failure: more bytes
  /// are needed. After a failure() nothing more is read.
  size_t feed(std::string_view bytes);
  /// After has_header(): bodies of up to `bytes` are read, instead of limits::kHttpBodyBytesMax.
  void allow_body(uint64_t bytes) { body_bytes_max_ = bytes; }
  /// What has come of the body and was not taken yet, for bodies too large to be held.
  std::string take_piece();
  /// What the header says, 0 when it does not.
  [[nodiscard]] uint64_t body_bytes() const;
  [[nodiscard]] bool has_header() const;
  [[nodiscard]] bool is_done() const;
  /// Something of the request has been read.
  [[nodiscard]] bool has_begun() const;
  [[nodiscard]] const std::optional<HttpFailure>& failure() const { return failure_; }

  /// Line and headers. After has_header(); once. The body is empty.
  HttpRequest take_header();
  /// After is_done(); once.
  std::string take_body();

 private:
  struct State;
  void fail(int status, std::string message);
  void fail_body();
  void check_header();
  std::unique_ptr<State> state_;
  std::optional<HttpFailure> failure_;
  uint64_t body_bytes_max_;
  uint64_t body_bytes_taken_ = 0;  // by take_piece()
};

}  // namespace squish::server
