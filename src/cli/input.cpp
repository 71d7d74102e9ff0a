#include "cli/input.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/strings.h"
#include "cli/context.h"
#include "cli/term.h"

namespace squish::cli {
namespace {

constexpr int kPatienceMs = 1000;

}  // namespace

std::optional<std::string> read_line() {
  std::string line;
  while (!interrupted()) {
    char byte = 0;
    const ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return line.empty() ? std::nullopt : std::optional(line);
    if (byte == '\n') return line;
    line += byte;
    if (line.size() >= limits::kPromptBytesMax) return line;
  }
  return std::nullopt;
}

Result<std::string> read_stdin() {
  pollfd entry{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (poll(&entry, 1, kPatienceMs) == 0) talk("reading standard input until it ends\n");
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
    if (interrupted()) return Error{ErrorCode::cancelled, "interrupted"};
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return Error{ErrorCode::io, fmt::format("standard input: {}", std::strerror(errno))};
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > limits::kPromptBytesMax) {
      return Error{ErrorCode::refused, fmt::format("standard input has more than {}; shorten it",
                                                   human_bytes(limits::kPromptBytesMax))};
    }
  }
}

}  // namespace squish::cli
