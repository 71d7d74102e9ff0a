#include "base/result.h"

#include <array>
#include <cstddef>

namespace squish {
namespace {

// docs/cli.md says what the exit codes mean.
constexpr std::array kErrorTable = {
    ErrorRow{ErrorCode::invalid_argument, "invalid_argument", 2, 400},
    ErrorRow{ErrorCode::not_found, "not_found", 1, 404},
    ErrorRow{ErrorCode::bad_file, "bad_file", 1, 500},
    ErrorRow{ErrorCode::io, "io", 1, 500},
    ErrorRow{ErrorCode::unsupported, "unsupported", 1, 501},
    ErrorRow{ErrorCode::unsafe, "unsafe", 2, 403},
    ErrorRow{ErrorCode::refused, "refused", 4, 422},
    ErrorRow{ErrorCode::unreachable, "unreachable", 3, 502},
    ErrorRow{ErrorCode::unauthorized, "unauthorized", 1, 401},
    ErrorRow{ErrorCode::out_of_memory, "out_of_memory", 1, 503},
    ErrorRow{ErrorCode::busy, "busy", 1, 503},
    ErrorRow{ErrorCode::cancelled, "cancelled", 130, 499},
    ErrorRow{ErrorCode::internal, "internal", 1, 500},
};

constexpr bool table_is_in_order() {
  for (size_t i = 0; i < kErrorTable.size(); ++i) {
    if (static_cast<size_t>(kErrorTable[i].code) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order());

}  // namespace

const ErrorRow& error_row(ErrorCode code) { return kErrorTable[static_cast<size_t>(code)]; }

}  // namespace squish
