#pragma once
// Result<T>: an operating error is a value. Names follow std::expected, so that it can become an
// alias once every supported compiler has that.
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace squish {

/// What kind of failure it is. One table in result.cpp maps each to its name, exit code and HTTP
/// status.
enum class ErrorCode {
  invalid_argument,  // a flag, a field or a value that the caller can correct
  not_found,         // a file, model or name that does not exist
  bad_file,          // bytes of a file that are not what they must be
  io,                // the operating system refused: disk full, permission, short read
  unsupported,       // well formed, but not something this build can do
  unsafe,            // refused for safety
  refused,           // a gate said no: known-bad combination, quality or memory gate
  unreachable,       // a server or network that does not answer
  unauthorized,      // a key that a server does not take
  out_of_memory,
  busy,       // a queue or lock is full; try again
  cancelled,  // the user or client stopped it
  internal,   // our fault
};

struct ErrorRow {
  ErrorCode code;
  const char* name;
  int exit_code;
  int http_status;
};

/// The row of the error table for `code`. Never fails.
const ErrorRow& error_row(ErrorCode code);

/// An operating error: its kind and one line that names the thing, the value, the limit and the way
/// out.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;

  /// The same error, its message prefixed by where it happened: "where: message".
  [[nodiscard]] Error at(const std::string& where) const { return {code, where + ": " + message}; }
};

/// A value of T or an Error. Dropping one is a compile-time warning (an error in our builds).
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] T& value() & {
    SQ_CHECK(has_value());
    return std::get<0>(state_);
  }
  [[nodiscard]] const T& value() const& {
    SQ_CHECK(has_value());
    return std::get<0>(state_);
  }
  [[nodiscard]] T&& value() && {
    SQ_CHECK(has_value());
    return std::get<0>(std::move(state_));
  }
  [[nodiscard]] const Error& error() const {
    SQ_CHECK(!has_value());
    return std::get<1>(state_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// Adds a place to the error, if there is one.
  [[nodiscard]] Result at(const std::string& where) && {
    if (has_value()) return std::move(*this);
    return error().at(where);
  }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT
  [[nodiscard]] bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] const Error& error() const {
    SQ_CHECK(error_.has_value());
    return *error_;
  }
  [[nodiscard]] Status at(const std::string& where) && {
    if (has_value()) return {};
    return error_->at(where);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace squish

#define SQ_CONCAT_(a, b) a##b
#define SQ_CONCAT(a, b) SQ_CONCAT_(a, b)
#define SQ_TRY_(temporary, declaration, ...)            \
  auto temporary = (__VA_ARGS__);                       \
  if (!temporary.has_value()) return temporary.error(); \
  declaration = std::move(temporary).value()
/// SQ_TRY(const Model model, open_model(path)); returns the error to the caller if there is one.
#define SQ_TRY(declaration, ...) SQ_TRY_(SQ_CONCAT(sq_try_, __COUNTER__), declaration, __VA_ARGS__)
#define SQ_TRY_STATUS_(temporary, ...) \
  if (auto temporary = (__VA_ARGS__); !temporary.has_value()) return temporary.error()
/// SQ_TRY_STATUS(write_all(fd, bytes)); for calls that return a Status.
#define SQ_TRY_STATUS(...) SQ_TRY_STATUS_(SQ_CONCAT(sq_try_, __COUNTER__), __VA_ARGS__)
