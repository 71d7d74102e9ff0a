#pragma once
// What a client is told when something fails, in the words of its dialect.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace squish::server {

/// Whose wire format a route speaks.
enum class Dialect : uint8_t { plain, openai, ollama, anthropic };

struct ApiError {
  int status = 400;
  std::string message = {};
  std::string code = {};   // "model_not_found"; empty: none
  std::string param = {};  // the field that is wrong; empty: none
  int retry_after_s = 0;   // 0: no Retry-After
};

/// A field of the request that cannot be used.
inline ApiError bad_field(std::string_view name, std::string message) {
  return {.status = 400,
          .message = std::move(message),
          .code = "invalid_value",
          .param = std::string(name)};
}

/// Errors of the layers below, with the HTTP status of their table where a client can do something
/// with it: a prompt that is too long is 400 context_length_exceeded, a full queue 429.
ApiError to_api_error(const Error& error);

/// The error as clients of `dialect` know it: Ollama's say 503 for a full queue.
ApiError in_dialect(Dialect dialect, ApiError error);

/// The body of the answer. `request_id` is used by the dialects that have a place for it.
std::string error_body(Dialect dialect, const ApiError& error, std::string_view request_id);
/// The error object as it stands inside a stream that has begun: one line of JSON.
std::string stream_error(Dialect dialect, const ApiError& error, std::string_view request_id);

/// A value or what to tell the client.
template <class T>
class [[nodiscard]] Parsed {
 public:
  using value_type = T;
  Parsed(T value) : value_(std::move(value)) {}                          // NOLINT
  Parsed(ApiError error) : error_(std::move(error)), is_error_(true) {}  // NOLINT
  [[nodiscard]] bool has_value() const { return !is_error_; }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] T& value() & { return value_; }
  [[nodiscard]] const T& value() const& { return value_; }
  [[nodiscard]] T&& value() && { return std::move(value_); }
  [[nodiscard]] const ApiError& error() const { return error_; }
  T& operator*() & { return value_; }
  const T& operator*() const& { return value_; }
  T* operator->() { return &value_; }
  const T* operator->() const { return &value_; }

 private:
  T value_ = {};
  ApiError error_ = {};
  bool is_error_ = false;
};

/// Nothing, or what to tell the client.
struct Nothing {};
using Checked = Parsed<Nothing>;

}  // namespace squish::server
