#include "hub/staging.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"
#include "hub/names.h"

namespace squish::hub {
namespace {

namespace fs = std::filesystem;

/// Makes `path` a real directory of ours. A link there could lead our writes anywhere.
Status make_real_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return {};
  const int number = errno;
  struct stat info = {};
  if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
  if (number == EEXIST) {
    return Error{ErrorCode::unsafe,
                 fmt::format("{}: is a link or a file where a directory must be; remove it",
                             printable(path, 512))};
  }
  return Error{ErrorCode::io, fmt::format("{}: cannot create the directory: {}",
                                          printable(path, 512), std::strerror(number))};
}

Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot open: {}", printable(path, 512), std::strerror(errno))};
  ::fsync(fd);
  ::close(fd);
  return {};
}

Status rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return Error{ErrorCode::io, fmt::format("{}: cannot rename to {}: {}", printable(from, 512),
                                          printable(to, 512), std::strerror(errno))};
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator iterator(directory, error);
  for (const fs::directory_iterator end; !error && iterator != end; iterator.increment(error)) {
    names.push_back(iterator->path().filename().string());
  }
  return names;
}

}  // namespace

Result<Staging> Staging::open(const std::string& models_directory, const std::string& name,
                              const std::string& kind) {
  SQ_TRY_STATUS(check_file_name(name));
  SQ_TRY_STATUS(make_directories(models_directory));
  const std::string partial = models_directory + "/.partial";
  SQ_TRY_STATUS(make_real_directory(models_directory + "/.locks"));
  SQ_TRY_STATUS(make_real_directory(partial));
  SQ_TRY(PullLock lock, PullLock::acquire(models_directory, name));
  std::string directory = partial + "/" + name + "." + kind;
  SQ_TRY_STATUS(make_real_directory(directory));
  return Staging(std::move(lock), models_directory, name, std::move(directory));
}

Result<std::string> Staging::install(const ModelRecord& record) {
  for (const std::string& name : names_in(directory_)) {
    const bool wanted = std::any_of(record.files.begin(), record.files.end(),
                                    [&](const StoredFile& file) { return file.name == name; });
    std::error_code ignored;
    if (!wanted) fs::remove_all(directory_ + "/" + name, ignored);
  }
  SQ_TRY_STATUS(write_record(directory_, record));
  SQ_TRY_STATUS(sync_directory(directory_));
  const std::string target = models_ + "/" + name_;
  struct stat info = {};
  if (::lstat(target.c_str(), &info) == 0) {
    const Result<ModelRecord> old = read_record(target);
    if (S_ISLNK(info.st_mode) || !old) {
      return Error{ErrorCode::refused,
                   fmt::format("{}: exists and was not pulled by squish; rename or remove it",
                               printable(target, 512))};
    }
    // Aside first, so that a crash leaves either the old or the new one, and a remnant that is
    // never listed.
    const std::string aside = models_ + "/.partial/" + name_ + ".replaced";
    std::error_code ignored;
    fs::remove_all(aside, ignored);
    SQ_TRY_STATUS(rename_path(target, aside));
  }
  SQ_TRY_STATUS(rename_path(directory_, target));
  SQ_TRY_STATUS(sync_directory(models_));
  for (const std::string& name : names_in(models_ + "/.partial")) {
    const size_t dot = name.rfind('.');
    std::error_code ignored;
    if (dot != std::string::npos && name.substr(0, dot) == name_)
      fs::remove_all(models_ + "/.partial/" + name, ignored);
  }
  return target;
}

bool is_ours(const std::string& models_directory, const std::string& name,
             const std::string& source, const std::string& id) {
  struct stat info = {};
  const std::string target = models_directory + "/" + name;
  if (::lstat(target.c_str(), &info) != 0) return true;
  const Result<ModelRecord> record = read_record(target);
  return S_ISDIR(info.st_mode) && record && (record->source == source || record->id == id);
}

}  // namespace squish::hub
