#pragma once
// The files of a model's directory before they go anywhere: which they are, whether they are what
// their checksums say, and whether one of them could run code.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/progress.h"
#include "hub/upload_protocol.h"

namespace squish::hub {

inline constexpr std::string_view kSumsName = "SHA256SUMS";

/// All regular files below `directory` but hidden ones, by name, without hashes; at most four
/// folders deep. Errors: invalid_argument for more; bad_file for what a run that was not finished
/// left (*.part, *.partial,
/// *.incomplete, *.tmp, *.lock); unsafe for links that lead out of the directory and names that are
/// no file names; io.
Result<std::vector<UploadFile>> list_publishable(const std::string& directory);

/// Looks at names and first bytes: pickles, Python, programs, scripts and archives that may hold
/// them. Errors: unsafe naming the first, and how many more there are; io.
Status scan_publishable(const std::vector<UploadFile>& files);
/// Why a file of this name that begins with `head` must not be published; empty: no objection.
std::string objection_to(std::string_view path, std::string_view head);

/// One line of SHA256SUMS.
struct SumLine {
  std::string sha256;
  std::string name;
};
/// Errors: bad_file naming the line.
Result<std::vector<SumLine>> parse_sums(std::string_view text);

/// Fills in the hash of every file, and compares those that SHA256SUMS lists. Returns how many it
/// lists; 0 without such a file. Cost: reads every file. Errors: bad_file for one that differs or
/// is missing; io; cancelled.
Result<size_t> hash_publishable(const std::string& directory, std::vector<UploadFile>& files,
                                ProgressSink& progress, const CancelFlag& cancel);

}  // namespace squish::hub
