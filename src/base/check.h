#pragma once
// Programmer errors abort; operating errors are values (base/result.h).

namespace squish {

/// Logs `condition` with its place and aborts. Never returns. Thread-safe.
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace squish

/// Stays in release builds. Must not be reachable from the bytes of a file, a socket or a flag.
#define SQ_CHECK(condition) \
  (static_cast<bool>(condition) ? void() : ::squish::check_failed(#condition, __FILE__, __LINE__))

/// For inner loops: compiled out when NDEBUG is defined.
#ifdef NDEBUG
#define SQ_DCHECK(condition) static_cast<void>(0)
#else
#define SQ_DCHECK(condition) SQ_CHECK(condition)
#endif
