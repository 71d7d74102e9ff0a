#include "hub/upload_journal.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "hub/http.h"
#include "hub/json_fields.h"

namespace squish::hub {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr uint64_t kJournalBytesMax = 256 * limits::kMiB;

std::vector<std::pair<std::string, std::string>> read_pairs(const json& list) {
  std::vector<std::pair<std::string, std::string>> out;
  if (!list.is_array()) return out;
  for (const json& pair : list) {
    if (pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string())
      out.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
  }
  return out;
}

Error no_journal(const char* why) {
  return Error{ErrorCode::bad_file, fmt::format("the journal of the upload {}", why)};
}

}  // namespace

uint64_t UploadJournal::done_bytes() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < etags.size(); ++i) {
    if (etags[i].empty()) continue;
    const uint64_t begin = i * action.part_bytes;
    sum += std::min(action.part_bytes, bytes - std::min(bytes, begin));
  }
  return sum;
}

std::string journal_path(const std::string& directory, std::string_view repository,
                         std::string_view sha256) {
  const std::string key = fmt::format("{}\n{}", repository, sha256);
  return fmt::format("{}/{:016x}.json", directory, hash64(as_bytes(key)));
}

std::string to_text(const UploadJournal& journal) {
  json parts = json::array();
  for (size_t i = 0; i < journal.action.part_urls.size(); ++i) {
    parts.push_back(
        {journal.action.part_urls[i], i < journal.etags.size() ? journal.etags[i] : std::string()});
  }
  const json root = {{"version", kVersion},
                     {"sha256", journal.action.sha256},
                     {"bytes", journal.bytes},
                     {"part_bytes", journal.action.part_bytes},
                     {"complete", journal.action.upload_url},
                     {"parts", std::move(parts)}};
  const std::string text = one_line(root);
  return fmt::format("{}\n{:016x}\n", text, hash64(as_bytes(text)));
}

Result<UploadJournal> parse_upload_journal(std::string_view text, std::string_view sha256,
                                           uint64_t bytes) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return no_journal("is not whole");
  const std::string_view body = text.substr(0, end);
  if (text.substr(end + 1) != fmt::format("{:016x}\n", hash64(as_bytes(body))))
    return no_journal("is damaged");
  SQ_TRY(const json root, parse_json(body, "the journal of the upload"));
  if (count_field(root, "version") != kVersion) return no_journal("has another version");
  UploadJournal journal;
  journal.action.sha256 = text_field(root, "sha256");
  journal.bytes = count_field(root, "bytes");
  if (journal.action.sha256 != sha256 || journal.bytes != bytes)
    return no_journal("is of another file");
  journal.action.part_bytes = count_field(root, "part_bytes");
  journal.action.upload_url = text_field(root, "complete");
  for (const auto& [url, etag] : read_pairs(member(root, "parts"))) {
    if (!parse_url(url)) return no_journal("has a part without an address");
    journal.action.part_urls.push_back(url);
    journal.etags.push_back(etag);
  }
  const uint64_t part_bytes = journal.action.part_bytes;
  const bool is_covered =
      part_bytes > 0 && journal.action.part_urls.size() ==
                            std::max<uint64_t>(1, bytes / part_bytes + (bytes % part_bytes != 0));
  if (!is_covered || !parse_url(journal.action.upload_url))
    return no_journal("does not cover its file");
  return journal;
}

Result<UploadJournal> read_upload_journal(const std::string& path, std::string_view sha256,
                                          uint64_t bytes) {
  SQ_TRY(const std::string text, read_file(path, kJournalBytesMax));
  Result<UploadJournal> journal = parse_upload_journal(text, sha256, bytes);
  if (!journal) remove_upload_journal(path);
  return journal;
}

Status write_upload_journal(const std::string& path, const UploadJournal& journal) {
  SQ_TRY_STATUS(make_directories(std::filesystem::path(path).parent_path().string()));
  return write_file_atomic(path, as_bytes(to_text(journal)), 0600);
}

void remove_upload_journal(const std::string& path) { ::unlink(path.c_str()); }

}  // namespace squish::hub
