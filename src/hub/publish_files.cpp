#include "hub/publish_files.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"
#include "format/squish_directory.h"
#include "hub/download.h"
#include "hub/hub_listing.h"
#include "hub/local_model.h"
#include "hub/names.h"

namespace squish::hub {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFilesMax = 20'000;
constexpr int kFoldersMax = 4;
constexpr size_t kHeadBytes = 256;
constexpr size_t kWindow = 8 << 20;

bool ends_with_any(std::string_view text, std::initializer_list<std::string_view> endings) {
  return std::ranges::any_of(endings, [&](std::string_view e) { return text.ends_with(e); });
}

bool is_unfinished(std::string_view name) {
  return ends_with_any(name, {".part", ".part.json", ".partial", ".incomplete", ".tmp", ".lock"});
}

Status add_file(const std::string& directory, const fs::directory_entry& entry,
                std::vector<UploadFile>& out) {
  const std::string path = entry.path().string();
  UploadFile file;
  file.path = path.substr(directory.size() + 1);
  file.disk_path = path;
  SQ_TRY_STATUS(check_relative_path(file.path).at(directory));
  if (is_unfinished(file.path)) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: {} is from a run that did not end; let it end, or delete that",
                             printable(directory, 512), printable(file.path))};
  }
  std::error_code error;
  if (entry.is_symlink(error) && real_path_under(path, directory).empty()) {
    return Error{ErrorCode::unsafe,
                 fmt::format("{}: {} is a link that leads out of the directory; put the file there",
                             printable(directory, 512), printable(file.path))};
  }
  if (!entry.is_regular_file(error)) return {};
  file.bytes = entry.file_size(error);
  if (error) {
    return Error{ErrorCode::io, fmt::format("{}: {}", printable(path, 512), error.message())};
  }
  out.push_back(std::move(file));
  return {};
}

/// An array of plain numbers: the header of numpy's format names no objects, which are pickles.
bool is_plain_npy(std::string_view head) {
  return head.starts_with("\x93NUMPY") && head.find("'descr'") != std::string_view::npos &&
         head.find("|O") == std::string_view::npos && head.find("'O") == std::string_view::npos;
}

}  // namespace

Result<std::vector<UploadFile>> list_publishable(const std::string& directory) {
  std::vector<UploadFile> files;
  std::error_code error;
  fs::recursive_directory_iterator it(directory, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(".") || name.ends_with("~")) {
      it.disable_recursion_pending();
      continue;
    }
    if (it.depth() >= kFoldersMax && it->is_directory(error)) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("{}: {} lies more than {} folders deep; publish a directory that "
                               "holds one model",
                               printable(directory, 512), printable(name, 200), kFoldersMax)};
    }
    SQ_TRY_STATUS(add_file(directory, *it, files));
    if (files.size() > kFilesMax) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("{}: more than {} files; publish a directory that holds one model",
                               printable(directory, 512), kFilesMax)};
    }
  }
  if (error) {
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot list: {}", printable(directory, 512), error.message())};
  }
  std::ranges::sort(files, {}, &UploadFile::path);
  return files;
}

std::string objection_to(std::string_view path, std::string_view head) {
  constexpr std::array<std::string_view, 6> kPrograms = {
      "\x7f"
      "ELF",
      "MZ",
      "\xcf\xfa\xed\xfe",
      "\xce\xfa\xed\xfe",
      "\xca\xfe\xba\xbe",
      "#!"};
  const std::string lower = to_lower(path);
  if (ends_with_any(lower, {".exe", ".dll", ".so", ".dylib", ".sh", ".bat", ".cmd", ".ps1", ".pyc",
                            ".pyo", ".jar"})) {
    return "a program or a script";
  }
  if (lower.ends_with(".safetensors")) return "";  // begins with a length, which may be any bytes
  for (const std::string_view magic : kPrograms) {
    if (head.starts_with(magic)) return "begins as a program or a script does";
  }
  if (head.size() >= 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5)
    return "a pickle, which can run code when it is loaded";
  if (head.starts_with("PK\x03\x04") && !lower.ends_with(".npz"))
    return "an archive, which may hold a pickle";
  const bool is_gguf = head.starts_with("GGUF");
  if (base_name(path) == kGgufMetadataName) return is_gguf ? "" : "is not what its name says";
  if (lower.ends_with(".npy") && is_plain_npy(head)) return "";
  // The names that the scan of a pull knows; weights beside them make none of them harmless here.
  HubListing listing;
  listing.files.push_back({std::string(path), 0, {}, {}});
  const ScanReport report = scan_listing(listing);
  if (report.findings.empty()) return "";
  const std::string& finding = report.findings.front();
  const size_t colon = finding.rfind(": ");
  std::string why = colon == std::string::npos ? finding : finding.substr(colon + 2);
  return why.substr(0, why.find(';'));
}

Status scan_publishable(const std::vector<UploadFile>& files) {
  size_t count = 0;
  std::string first;
  for (const UploadFile& file : files) {
    std::string head = file.text.substr(0, kHeadBytes);
    if (!file.disk_path.empty()) {
      SQ_TRY(const MappedFile map, MappedFile::open(file.disk_path));
      head = as_text(map.bytes().first(std::min(kHeadBytes, map.bytes().size())));
    }
    const std::string objection = objection_to(file.path, head);
    if (objection.empty()) continue;
    if (count++ == 0) first = fmt::format("{}: {}", printable(file.path), objection);
  }
  if (count == 0) return {};
  return Error{ErrorCode::unsafe,
               fmt::format("{}{}; nothing was sent, remove what is no part of the model", first,
                           count > 1 ? fmt::format(" (and {} more)", count - 1) : "")};
}

Result<std::vector<SumLine>> parse_sums(std::string_view text) {
  std::vector<SumLine> out;
  size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const bool is_one = line.size() > 66 && line[64] == ' ' && (line[65] == ' ' || line[65] == '*');
    const std::string sum = to_lower(line.substr(0, std::min<size_t>(64, line.size())));
    if (!is_one || sum.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return Error{ErrorCode::bad_file,
                   fmt::format("{}: line {} is no \"<sha256>  <name>\"", kSumsName, number)};
    }
    std::string_view name = line.substr(66);
    if (name.starts_with("./")) name.remove_prefix(2);
    out.push_back({sum, std::string(name)});
  }
  return out;
}

Result<size_t> hash_publishable(const std::string& directory, std::vector<UploadFile>& files,
                                ProgressSink& progress, const CancelFlag& cancel) {
  for (UploadFile& file : files) {
    ProgressMeter meter(progress, Stage::verify, file.path, file.bytes);
    Sha256 sha;
    if (file.disk_path.empty()) {
      sha.update(as_bytes(file.text));
    } else {
      SQ_TRY(const MappedFile map, MappedFile::open(file.disk_path));
      const Bytes bytes = map.bytes();
      file.bytes = bytes.size();
      for (size_t at = 0; at < bytes.size(); at += kWindow) {
        if (cancel.load()) return Error{ErrorCode::cancelled, "interrupted; nothing was sent"};
        sha.update(bytes.subspan(at, std::min(kWindow, bytes.size() - at)));
        if (bytes.size() > kWindow) meter.update(std::min(at + kWindow, bytes.size()));
      }
    }
    file.sha256 = sha.finish();
  }
  const auto sums = std::ranges::find(files, kSumsName, &UploadFile::path);
  if (sums == files.end()) return size_t{0};
  SQ_TRY(const std::string text, read_file(sums->disk_path, 16 * limits::kMiB));
  SQ_TRY(const std::vector<SumLine> lines, parse_sums(text).at(directory));
  for (const SumLine& line : lines) {
    const auto file = std::ranges::find(files, line.name, &UploadFile::path);
    if (file != files.end() && file->sha256 == line.sha256) continue;
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: {} {}; nothing was sent, compress the model again",
                             printable(directory, 512), printable(line.name, 200),
                             file == files.end() ? "is missing, though SHA256SUMS lists it"
                                                 : "has other bytes than SHA256SUMS says")};
  }
  return lines.size();
}

}  // namespace squish::hub
