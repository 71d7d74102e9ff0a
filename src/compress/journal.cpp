#include "compress/journal.h"

#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"

namespace squish::compress {
namespace {

constexpr std::string_view kMagic = "squish-journal 1";
constexpr uint64_t kBytesMax = 64 * limits::kMiB;  // 24,000 tensors with the longest names: 30 MiB

std::optional<uint64_t> parse_hex(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string first_line(uint64_t run_hash) { return fmt::format("{} {:016x}", kMagic, run_hash); }

Error io_error(const std::string& path, const char* action) {
  const int number = errno;
  return {ErrorCode::io,
          fmt::format("{}: cannot {}: {}", printable(path, 512), action, std::strerror(number))};
}

}  // namespace

// Floating values as the bits they have, and a hash of the line at its end: what was cut or changed
// is not taken for an entry.
std::string to_line(const JournalEntry& entry) {
  std::string line =
      fmt::format("{:x} {:016x} {:016x} {:016x} {:x} {:016x} {}", entry.bytes, entry.hash,
                  std::bit_cast<uint64_t>(entry.error), std::bit_cast<uint64_t>(entry.energy),
                  entry.zero_rows, std::bit_cast<uint64_t>(entry.awq_exponent), entry.name);
  return fmt::format("{:016x} {}", hash64(as_bytes(line)), line);
}

std::optional<JournalEntry> parse_line(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view rest = line.substr(space + 1);
  if (parse_hex(line.substr(0, space)) != hash64(as_bytes(rest))) return std::nullopt;
  uint64_t numbers[6] = {};
  std::string_view left = rest;
  for (uint64_t& number : numbers) {
    const size_t end = left.find(' ');
    if (end == std::string_view::npos) return std::nullopt;
    const std::optional<uint64_t> value = parse_hex(left.substr(0, end));
    if (!value) return std::nullopt;
    number = *value;
    left.remove_prefix(end + 1);
  }
  JournalEntry entry;
  entry.name = std::string(left);
  entry.bytes = numbers[0];
  entry.hash = numbers[1];
  entry.error = std::bit_cast<double>(numbers[2]);
  entry.energy = std::bit_cast<double>(numbers[3]);
  entry.zero_rows = numbers[4];
  entry.awq_exponent = std::bit_cast<double>(numbers[5]);
  return entry;
}

Journal::Journal(Journal&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      entries_(std::move(other.entries_)) {}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

Status Journal::read(const std::string& text, uint64_t run_hash) {
  size_t kept = 0;
  bool is_first = true;
  while (true) {
    const size_t end = text.find('\n', kept);
    if (end == std::string::npos) break;
    const std::string_view line = std::string_view(text).substr(kept, end - kept);
    if (is_first) {
      if (line != first_line(run_hash)) {
        return Error{ErrorCode::refused,
                     fmt::format("{}: left by a run with another source, format or version of "
                                 "squish; run it again as it was, or start over with --restart",
                                 printable(path_, 512))};
      }
      is_first = false;
    } else {
      const std::optional<JournalEntry> entry = parse_line(line);
      if (!entry) break;  // everything behind it is as doubtful
      entries_[entry->name] = *entry;
    }
    kept = end + 1;
  }
  if (::ftruncate(fd_, static_cast<off_t>(kept)) != 0) return io_error(path_, "cut");
  if (::lseek(fd_, 0, SEEK_END) < 0) return io_error(path_, "seek in");
  if (!is_first) return {};
  const std::string line = first_line(run_hash) + "\n";
  if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return io_error(path_, "write");
  }
  return ::fsync(fd_) == 0 ? Status() : Status(io_error(path_, "sync"));
}

Result<Journal> Journal::open(const std::string& path, uint64_t run_hash) {
  Journal journal;
  journal.path_ = path;
  journal.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (journal.fd_ < 0) return io_error(path, "open");
  SQ_TRY(const std::string text, read_file(path, kBytesMax));
  SQ_TRY_STATUS(journal.read(text, run_hash));
  return journal;
}

void Journal::forget(std::string_view name) {
  const auto found = entries_.find(name);
  if (found != entries_.end()) entries_.erase(found);
}

Status Journal::append(const std::vector<JournalEntry>& entries) {
  std::string text;
  for (const JournalEntry& entry : entries) {
    text += to_line(entry) + "\n";
    entries_[entry.name] = entry;
  }
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(fd_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return io_error(path_, "write");
    done += static_cast<size_t>(count);
  }
  return ::fdatasync(fd_) == 0 ? Status() : Status(io_error(path_, "sync"));
}

}  // namespace squish::compress
