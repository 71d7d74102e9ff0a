#include "base/log.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"

namespace squish::log {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"trace",   "debug", "info",
                                                    "warning", "error", "critical"};
constexpr int kOff = static_cast<int>(kNames.size());
std::atomic<int> minimum{static_cast<int>(Level::warning)};
std::atomic<bool> as_json{false};

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

Status set_level(std::string_view name) {
  if (name == "off") {
    minimum = kOff;
    return {};
  }
  if (name == "warn") name = "warning";
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) {
      minimum = static_cast<int>(i);
      return {};
    }
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("--log-level: '{}' is not a level; use trace, debug, info, warning, "
                           "error, critical or off",
                           printable(name))};
}

void set_json(bool json) { as_json = json; }

void write(Level level, std::string_view logger, std::string_view message) {
  if (static_cast<int>(level) < minimum.load(std::memory_order_relaxed)) return;
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::string_view name = kNames[static_cast<size_t>(level)];
  const std::string line =
      as_json.load(std::memory_order_relaxed)
          ? fmt::format(
                "{{\"ts\":{:.6f},\"level\":\"{}\",\"logger\":\"squish.{}\",\"message\":{}}}\n", now,
                name, logger, json_string(replace_invalid_utf8(message)))
          : fmt::format("squish.{}: {}: {}\n", logger, name, message);
  // One write call a line, so that lines of several threads do not mix.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace squish::log
