#pragma once
// Copying a model that lies elsewhere on this machine into the models directory.
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/progress.h"
#include "hub/store.h"

namespace squish::hub {

/// The files that make up the model at `path`: a .gguf file (with the other parts when it is one of
/// a split set), or a directory with one model. Pickles and other programs' files are left out.
/// Errors: not_found; unsupported for other kinds of files; invalid_argument for a directory with
/// several models.
Result<std::vector<std::string>> files_to_import(const std::string& path);

/// Copies one file into `directory` as `name`, hashing it on the way. Errors: bad_file, io,
/// cancelled.
Result<StoredFile> copy_file(const std::string& from, const std::string& directory,
                             const std::string& name, ProgressSink& progress,
                             const CancelFlag& cancel);
/// Copies each under its own name.
Result<std::vector<StoredFile>> copy_files(const std::vector<std::string>& files,
                                           const std::string& directory, ProgressSink& progress,
                                           const CancelFlag& cancel);

}  // namespace squish::hub
