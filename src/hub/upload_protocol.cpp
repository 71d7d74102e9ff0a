#include "hub/upload_protocol.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/strings.h"
#include "hub/http.h"
#include "hub/json_fields.h"

namespace squish::hub {
namespace {

using nlohmann::json;

constexpr size_t kNameBytesMax = 96;
constexpr uint64_t kPartsMax = 100'000;
constexpr size_t kSummaryBytesMax = 200;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool is_repository_part(std::string_view part) {
  if (part.empty() || part.size() > kNameBytesMax) return false;
  if (part.find("--") != std::string_view::npos || part.find("..") != std::string_view::npos)
    return false;
  const auto is_edge = [](char c) { return c == '-' || c == '.'; };
  return !is_edge(part.front()) && !is_edge(part.back()) && !part.ends_with(".git") &&
         std::all_of(part.begin(), part.end(), is_name_character);
}

/// `text` with what no name may hold as single dashes, without dashes and dots at its ends.
std::string plain_name(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const char kept = is_name_character(c) ? c : '-';
    if (!out.empty() && (kept == '-' || kept == '.') && out.back() == kept) continue;
    out += kept;
  }
  const size_t begin = out.find_first_not_of("-.");
  if (begin == std::string::npos) return "";
  return out.substr(begin, out.find_last_not_of("-.") - begin + 1);
}

bool is_address(const std::string& url) { return parse_url(url).has_value(); }

/// The members of `object` that are texts.
std::vector<std::pair<std::string, std::string>> text_members(const json& object) {
  std::vector<std::pair<std::string, std::string>> out;
  if (!object.is_object()) return out;
  for (const auto& [key, value] : object.items()) {
    if (value.is_string()) out.emplace_back(key, value.get<std::string>());
  }
  return out;
}

/// Parts are members "1", "00001" ... beside "chunk_size"; what is left are headers.
Status read_parts(const UploadFile& file, LfsAction& action) {
  std::map<int64_t, std::string> parts;
  std::vector<std::pair<std::string, std::string>> headers;
  for (auto& [key, value] : action.upload_headers) {
    const auto number = parse_int(key);
    if (key == "chunk_size") {
      action.part_bytes = static_cast<uint64_t>(std::max<int64_t>(parse_int(value).value_or(0), 0));
    } else if (number && *number > 0) {
      parts[*number] = value;
    } else {
      headers.emplace_back(key, value);
    }
  }
  action.upload_headers = std::move(headers);
  if (parts.empty() && action.part_bytes == 0) return {};
  const auto refuse = [&](const std::string& why) {
    return Error{ErrorCode::bad_file,
                 fmt::format("the hub's plan for {} {}", printable(file.path), why)};
  };
  if (action.part_bytes == 0) return refuse("has parts without a size");
  const uint64_t needed = std::max<uint64_t>(
      1, file.bytes / action.part_bytes + (file.bytes % action.part_bytes == 0 ? 0 : 1));
  if (needed > kPartsMax || parts.size() != needed ||
      parts.rbegin()->first != static_cast<int64_t>(needed)) {
    return refuse(fmt::format("has {} parts of {} bytes for {}", parts.size(), action.part_bytes,
                              file.bytes));
  }
  for (auto& [number, url] : parts) {
    if (!is_address(url)) return refuse("has a part whose address is not http(s)");
    action.part_urls.push_back(std::move(url));
  }
  return {};
}

Result<LfsAction> read_action(const json& object, const UploadFile& file) {
  LfsAction action;
  action.sha256 = file.sha256;
  if (const json& error = member(object, "error"); error.is_object()) {
    return Error{
        ErrorCode::refused,
        fmt::format("the hub does not take {}: {} (code {})", printable(file.path),
                    printable(text_field(error, "message"), 160), count_field(error, "code"))};
  }
  const json& actions = member(object, "actions");
  const json& upload = member(actions, "upload");
  if (!upload.is_object()) {
    action.is_there = true;
    return action;
  }
  action.upload_url = text_field(upload, "href");
  action.upload_headers = text_members(member(upload, "header"));
  const json& verify = member(actions, "verify");
  action.verify_url = text_field(verify, "href");
  action.verify_headers = text_members(member(verify, "header"));
  if (!is_address(action.upload_url) ||
      (!action.verify_url.empty() && !is_address(action.verify_url))) {
    return Error{ErrorCode::bad_file,
                 fmt::format("the hub's plan for {} has no http(s) address", printable(file.path))};
  }
  SQ_TRY_STATUS(read_parts(file, action));
  return action;
}

}  // namespace

Status check_repository(std::string_view repository) {
  const size_t slash = repository.find('/');
  if (slash != std::string_view::npos && is_repository_part(repository.substr(0, slash)) &&
      is_repository_part(repository.substr(slash + 1))) {
    return {};
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("\"{}\" is no name of a repository; it must be org/name of letters, "
                           "digits, '-', '_' and '.', at most {} each",
                           printable(repository, 200), kNameBytesMax)};
}

Result<std::string> repository_of(std::string_view organization, std::string_view directory_name,
                                  std::string_view format) {
  std::string name = plain_name(directory_name);
  const std::string ending = "-" + std::string(format);
  if (!format.empty() && to_lower(name).ends_with(to_lower(ending)))
    name.resize(name.size() - ending.size());
  const std::string end =
      format.empty() || format == "int4" ? "-squished" : "-squished-" + plain_name(format);
  if (name.size() + end.size() > kNameBytesMax) name.resize(kNameBytesMax - end.size());
  name = plain_name(name);
  if (name.empty()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("\"{}\" makes no name of a repository; name one with --to hf:org/name",
                             printable(directory_name))};
  }
  std::string repository = fmt::format("{}/{}{}", organization, name, end);
  SQ_TRY_STATUS(check_repository(repository));
  return repository;
}

std::string commit_summary(std::string_view message) {
  std::string out;
  for (const char c : replace_invalid_utf8(message)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  out = std::string(trim(out));
  if (out.size() <= kSummaryBytesMax) return out;
  out.resize(kSummaryBytesMax);
  out.resize(out.size() - incomplete_utf8_suffix(out));
  return out;
}

std::string create_repository_body(std::string_view repository, bool is_private) {
  const size_t slash = repository.find('/');
  return one_line({{"type", "model"},
                   {"organization", repository.substr(0, slash)},
                   {"name", repository.substr(slash + 1)},
                   {"private", is_private}});
}

std::string preupload_body(const std::vector<UploadFile>& files,
                           const std::vector<std::string>& samples) {
  json list = json::array();
  for (size_t i = 0; i < files.size(); ++i) {
    list.push_back({{"path", files[i].path},
                    {"size", files[i].bytes},
                    {"sample", to_base64(i < samples.size() ? samples[i] : std::string())}});
  }
  return one_line({{"files", std::move(list)}});
}

Result<std::map<std::string, bool>> parse_preupload(std::string_view text) {
  SQ_TRY(const json root, parse_json(text, "the hub's answer before the upload"));
  const json& files = member(root, "files");
  if (!files.is_array()) {
    return Error{ErrorCode::bad_file, "the hub's answer before the upload lists no files"};
  }
  std::map<std::string, bool> out;
  for (const json& file : files) {
    const std::string path = text_field(file, "path");
    if (!path.empty()) out[path] = text_field(file, "uploadMode") == "lfs";
  }
  return out;
}

std::string lfs_batch_body(const std::vector<UploadFile>& files, std::string_view revision) {
  json objects = json::array();
  for (const UploadFile& file : files)
    objects.push_back({{"oid", file.sha256}, {"size", file.bytes}});
  return one_line({{"operation", "upload"},
                   {"transfers", {"basic", "multipart"}},
                   {"hash_algo", "sha256"},
                   {"ref", {{"name", revision}}},
                   {"objects", std::move(objects)}});
}

Result<std::vector<LfsAction>> parse_lfs_batch(std::string_view text,
                                               const std::vector<UploadFile>& files) {
  SQ_TRY(const json root, parse_json(text, "the hub's plan for large files"));
  const json& objects = member(root, "objects");
  if (!objects.is_array())
    return Error{ErrorCode::bad_file, "the hub's plan for large files lists no objects"};
  std::map<std::string, const json*> by_hash;
  for (const json& object : objects) by_hash.emplace(text_field(object, "oid"), &object);
  std::vector<LfsAction> out;
  for (const UploadFile& file : files) {
    const auto found = by_hash.find(file.sha256);
    if (found == by_hash.end()) {
      return Error{ErrorCode::bad_file,
                   fmt::format("the hub's plan for large files lacks {}", printable(file.path))};
    }
    SQ_TRY(LfsAction action, read_action(*found->second, file));
    out.push_back(std::move(action));
  }
  return out;
}

std::string completion_body(std::string_view sha256, const std::vector<std::string>& etags) {
  json parts = json::array();
  for (size_t i = 0; i < etags.size(); ++i)
    parts.push_back({{"partNumber", i + 1}, {"etag", etags[i]}});
  return one_line({{"oid", sha256}, {"parts", std::move(parts)}});
}

std::string verify_body(const UploadFile& file) {
  return one_line({{"oid", file.sha256}, {"size", file.bytes}});
}

CommitBody::CommitBody(std::string_view message, std::string_view description,
                       std::string_view parent) {
  json value = {{"summary", commit_summary(message)}, {"description", description}};
  if (!parent.empty()) value["parentCommit"] = parent;
  text_ = one_line({{"key", "header"}, {"value", std::move(value)}}) + "\n";
}

void CommitBody::add_regular(std::string_view path, std::string_view content) {
  text_ += one_line(
      {{"key", "file"},
       {"value", {{"path", path}, {"encoding", "base64"}, {"content", to_base64(content)}}}});
  text_ += '\n';
}

void CommitBody::add_lfs(const UploadFile& file) {
  text_ += one_line(
      {{"key", "lfsFile"},
       {"value",
        {{"path", file.path}, {"algo", "sha256"}, {"oid", file.sha256}, {"size", file.bytes}}}});
  text_ += '\n';
}

Result<CommitAnswer> parse_commit_answer(std::string_view text) {
  SQ_TRY(const json root, parse_json(text, "the hub's answer to the commit"));
  CommitAnswer answer{text_field(root, "commitOid"), text_field(root, "commitUrl")};
  const bool is_commit = answer.commit.size() == 40 &&
                         answer.commit.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_commit) answer.commit.clear();
  return answer;
}

}  // namespace squish::hub
