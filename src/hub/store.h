#pragma once
// The models directory: what is in it, which path a name means, and removal.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/catalog.h"
#include "hub/local_model.h"

namespace squish::hub {

/// One file of a pulled model, as recorded.
struct StoredFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;
};

/// `.squish.json` in a pulled model's directory. It is the last thing written: without it a pull is
/// not done.
struct ModelRecord {
  std::string id;
  std::string source;     // "hf:org/repo:file", "pypi:package{1..4}", "file:<path>"
  std::string revision;   // the commit on the hub when known
  std::string pulled_at;  // "2026-11-24T10:00:00Z"
  std::vector<StoredFile> files;
};
inline constexpr std::string_view kRecordName = ".squish.json";
/// Errors: not_found; bad_file when a field or a file name is not what it must be.
Result<ModelRecord> read_record(const std::string& directory);
Status write_record(const std::string& directory, const ModelRecord& record);

/// Whether `wanted` names the source `recorded`: equal, or both on the hub with the same repository
/// and revision and `wanted` has no file, the same file name, or that file's quantisation.
bool is_same_source(const std::string& recorded, const std::string& wanted);

struct Removal {
  std::vector<std::string>
      paths;  // what goes: one directory, or the files of a model that lies beside others
  uint64_t bytes = 0;
};

/// Reads the disk on every call; keeps nothing. Thread-safe.
class Store {
 public:
  explicit Store(std::string models_directory) : root_(std::move(models_directory)) {}
  [[nodiscard]] const std::string& root() const { return root_; }

  /// Complete models only: an unfinished pull is never among them. A missing directory holds none.
  /// Sorted by id. Cost: one readdir and some stats per model directory.
  [[nodiscard]] ScanResult list() const;

  /// The local model that `name` means: its id, its directory or file name (any case), its source,
  /// or, through the catalogue, an alias. A directory beats a compressed sibling; of those int4,
  /// int3, int8, int2 in this order. Errors: not_found, naming `squish pull X` when the catalogue
  /// knows it and up to three local suggestions.
  [[nodiscard]] Result<LocalModel> find(std::string_view name, const Catalog& catalog) const;

  /// What `rm` would delete. Errors: as find; refused for anything outside the models directory.
  [[nodiscard]] Result<Removal> plan_removal(const LocalModel& model) const;
  /// Deletes it, never following a link out of the models directory. Errors: io, refused.
  Status remove(const Removal& removal) const;

  /// The model that is meant when none is named: `configured` if not empty, else the only local
  /// model, else the one modified last. Errors: not_found with the command that gets the default
  /// model.
  [[nodiscard]] Result<std::string> default_model(const std::string& configured) const;

 private:
  std::string root_;
};

}  // namespace squish::hub
