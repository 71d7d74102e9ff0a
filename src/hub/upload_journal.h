#pragma once
// The finished parts of a multipart transfer, on disk, so that the next run sends the others only.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/upload_protocol.h"

namespace squish::hub {

/// A transfer that the hub has begun: where its parts go, and the hub's receipt of each that
/// arrived ("" for those that did not). Headers and the address of `verify` are not kept: a hub may
/// put the token there, and every run is told them anew.
struct UploadJournal {
  LfsAction action;
  uint64_t bytes = 0;
  std::vector<std::string> etags;  // [part]
  [[nodiscard]] uint64_t done_bytes() const;
};

/// "<directory>/<hash of repository and object>.json".
std::string journal_path(const std::string& directory, std::string_view repository,
                         std::string_view sha256);

/// The text of a journal: one JSON object and its XXH3.
std::string to_text(const UploadJournal& journal);
/// Errors: bad_file for anything that to_text() did not write for an object `sha256` of `bytes`
/// bytes: a half-written file, another object, another version.
Result<UploadJournal> parse_upload_journal(std::string_view text, std::string_view sha256,
                                           uint64_t bytes);

/// The journal at `path` if there is one that fits; a file that does not fit is deleted, so that
/// the transfer begins anew.
Result<UploadJournal> read_upload_journal(const std::string& path, std::string_view sha256,
                                          uint64_t bytes);
/// Written by rename, readable by its user alone: the addresses let anybody write the parts.
/// Errors: io.
Status write_upload_journal(const std::string& path, const UploadJournal& journal);
void remove_upload_journal(const std::string& path);

}  // namespace squish::hub
