#pragma once
// One log, to stderr and, where one is set, a file: `level` from --log-level, JSON lines with
// SQUISH_LOG_JSON=1.
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish::log {

enum class Level { trace, debug, info, warning, error, critical };

/// Accepts the names above and "warn", "off". Errors: invalid_argument with the accepted names.
Status set_level(std::string_view name);
/// Lines become {"ts","level","logger","message"}.
void set_json(bool json);

/// Lines of `minimum` and above go to the end of this file, too, with their time, whatever the
/// level of stderr. Made with mode 0600; at 10 MiB it becomes "<path>.1". It is opened for each
/// line (20 us), so it may be moved away at any time. Call once, before other threads log.
void set_file(std::string path, Level minimum);

/// Thread-safe. `logger` is the part after "squish.", e.g. "engine".
void write(Level level, std::string_view logger, std::string_view message);
inline void debug(std::string_view logger, std::string_view message) {
  write(Level::debug, logger, message);
}
inline void info(std::string_view logger, std::string_view message) {
  write(Level::info, logger, message);
}
inline void warning(std::string_view logger, std::string_view message) {
  write(Level::warning, logger, message);
}
inline void error(std::string_view logger, std::string_view message) {
  write(Level::error, logger, message);
}

}  // namespace squish::log
