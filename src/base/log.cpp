#include "base/log.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strings.h"

namespace squish::log {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"trace",   "debug", "info",
                                                    "warning", "error", "critical"};
constexpr int kOff = static_cast<int>(kNames.size());
std::atomic<int> minimum{static_cast<int>(Level::warning)};
std::atomic<bool> as_json{false};

constexpr off_t kFileBytesMax = 10 << 20;
std::string& file_path() {
  static std::string path;
  return path;
}
std::atomic<int> file_minimum{kOff};

/// One write call a line: lines of several threads and processes do not mix.
void append_to_file(const std::string& line) {
  const std::string& path = file_path();
  struct stat facts{};
  if (::stat(path.c_str(), &facts) == 0 && facts.st_size > kFileBytesMax)
    ::rename(path.c_str(), (path + ".1").c_str());
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;  // a log that cannot be written ends no server
  [[maybe_unused]] const ssize_t written = ::write(file, line.data(), line.size());
  ::close(file);
}

/// 2026-11-27T08:00:00.123Z
std::string utc_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", std::string_view(text.data(), length), ms % 1000);
}

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

void set_file(std::string path, Level least) {
  file_path() = std::move(path);
  file_minimum = static_cast<int>(least);
}

void write(Level level, std::string_view logger, std::string_view message) {
  const bool to_stderr = static_cast<int>(level) >= minimum.load(std::memory_order_relaxed);
  const bool to_file = static_cast<int>(level) >= file_minimum.load(std::memory_order_relaxed);
  if (!to_stderr && !to_file) return;
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::string_view name = kNames[static_cast<size_t>(level)];
  const bool is_json = as_json.load(std::memory_order_relaxed);
  const std::string line =
      is_json ? fmt::format(
                    "{{\"ts\":{:.6f},\"level\":\"{}\",\"logger\":\"squish.{}\",\"message\":{}}}\n",
                    now, name, logger, json_string(replace_invalid_utf8(message)))
              : fmt::format("squish.{}: {}: {}\n", logger, name, message);
  if (to_file) append_to_file(is_json ? line : utc_now() + " " + line);
  if (!to_stderr) return;
  // One write call a line, so that lines of several threads do not mix.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace squish::log
