#pragma once
// The directory in which a pull gathers its files until the model is whole.
#include <string>

#include "base/result.h"
#include "hub/pull_lock.h"
#include "hub/store.h"

namespace squish::hub {

/// <models>/.partial/<name>.<kind>, locked against a second pull of <name>. Kept on disk unless
/// installed.
class Staging {
 public:
  /// `name` must pass check_file_name. Errors: unsafe when a link or file lies where a directory
  /// must; busy; io.
  static Result<Staging> open(const std::string& models_directory, const std::string& name,
                              const std::string& kind);

  [[nodiscard]] const std::string& directory() const { return directory_; }

  /// Deletes what is not in the record, writes the record, and puts the directory in the place of
  /// <models>/<name>, whose old content goes. Leftovers of other kinds go as well. Returns the
  /// final directory. Errors: io; refused when something that we did not pull lies there.
  Result<std::string> install(const ModelRecord& record);

 private:
  Staging(PullLock lock, std::string models, std::string name, std::string directory)
      : lock_(std::move(lock)),
        models_(std::move(models)),
        name_(std::move(name)),
        directory_(std::move(directory)) {}
  PullLock lock_;
  std::string models_;
  std::string name_;
  std::string directory_;
};

/// Whether <models>/<name> may be taken by a pull of `source`: free, or pulled by us from it or
/// under the id `id`.
bool is_ours(const std::string& models_directory, const std::string& name,
             const std::string& source, const std::string& id);

}  // namespace squish::hub
