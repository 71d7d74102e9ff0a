#pragma once
// What is done, on disk, so that a run that was killed goes on where it was.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::compress {

/// One finished tensor. Everything that report.json says of it is here, so that a run in several
/// parts writes the same report as one in a single part.
struct JournalEntry {
  std::string name;
  uint64_t bytes = 0;
  uint64_t hash = 0;
  double error = 0;
  double energy = 0;
  uint64_t zero_rows = 0;
  double awq_exponent = -1;  // of the group that scaled it; below 0: none
};

/// An append-only text file: a line that names the run, then a line a tensor. One writer.
class Journal {
 public:
  /// Opens or starts the journal of the run that `run_hash` stands for. A torn last line, as a
  /// crash leaves it, is cut off. Errors: refused when it belongs to another run (another source,
  /// format or version), naming the way out; bad_file; io.
  static Result<Journal> open(const std::string& path, uint64_t run_hash);
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;
  ~Journal();

  [[nodiscard]] const std::map<std::string, JournalEntry, std::less<>>& entries() const {
    return entries_;
  }
  /// Forgets an entry in memory: its payload proved wrong. It is written again when redone.
  void forget(std::string_view name);
  /// Appends and syncs. The payloads must be on disk before. Errors: io.
  Status append(const std::vector<JournalEntry>& entries);

 private:
  Journal() = default;
  Status read(const std::string& text, uint64_t run_hash);
  int fd_ = -1;
  std::string path_;
  std::map<std::string, JournalEntry, std::less<>> entries_;
};

/// A line without its newline; parse gives nothing for a line that is not whole.
std::string to_line(const JournalEntry& entry);
std::optional<JournalEntry> parse_line(std::string_view line);

}  // namespace squish::compress
