#include "hub/resolve.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/strings.h"
#include "hub/local_scan.h"
#include "hub/names.h"
#include "hub/paths.h"

namespace squish::hub {

Error no_model_at(const std::string& path, std::string_view hint) {
  struct stat info{};
  const std::string shown = printable(path, 512);
  if (::stat(path.c_str(), &info) == 0) {
    return {
        ErrorCode::bad_file,
        fmt::format("{}: is a device, FIFO or socket; a model is a file or a directory", shown)};
  }
  if (errno == ENOENT || errno == ENOTDIR)
    return {ErrorCode::not_found, fmt::format("{}: no such file or directory{}", shown, hint)};
  return {ErrorCode::io, fmt::format("{}: cannot be looked at: {}", shown, std::strerror(errno))};
}

namespace {

/// A path that a person gave, as a model.
Result<LocalModel> model_at_path(const std::string& path) {
  LocalModel model;
  if (file_exists(path)) {
    model.path = path;
    model.files = {path};
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0) {
      model.bytes = static_cast<uint64_t>(info.st_size);
      model.modified_s = info.st_mtim.tv_sec;
    }
    model.id = id_of_directory(base_name(path));
    model.family = family_of_name(model.id);
    return model;
  }
  if (!is_directory(path)) return no_model_at(path, "");
  ScanResult found = models_in_directory(path, "/");
  if (found.models.empty()) {
    const std::string why = found.warnings.empty() ? "" : "; " + found.warnings.front();
    return Error{
        ErrorCode::not_found,
        fmt::format("{}: holds no model (a .gguf file, or config.json with .safetensors files){}",
                    printable(path, 512), why)};
  }
  if (found.models.size() > 1) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{}: holds {} models; name one of them, such as {}", printable(path, 512),
                    found.models.size(), printable(found.models[0].path, 512))};
  }
  model = std::move(found.models.front());
  model.id = id_of_directory(base_name(absolute_path(path, "/")));
  model.family = family_of_name(model.id);
  return model;
}

/// The name without space around it. Errors: invalid_argument.
Result<std::string> trimmed_name(std::string_view name) {
  const std::string_view out = trim(name);
  if (out.find('\0') != std::string_view::npos)
    return Error{ErrorCode::invalid_argument, "the model name has a NUL byte"};
  return std::string(out);
}

/// The store's models, then those of other programs.
Result<LocalModel> known_model(std::string_view text, const Store& store, const Catalog& catalog,
                               const Environment& environment) {
  Result<LocalModel> found = store.find(text, catalog);
  if (found || found.error().code != ErrorCode::not_found) return found;
  const ScanResult elsewhere = scan_external(environment);
  const std::string lower = to_lower(text);
  for (const LocalModel& model : elsewhere.models) {
    if (to_lower(model.id) == lower || to_lower(model.id) == lower + ":latest") return model;
  }
  // Without its prefix another program's model is taken only when the catalogue does not mean
  // something else.
  if (!catalog.find(text)) {
    for (const LocalModel& model : elsewhere.models) {
      if (to_lower(model.id.substr(model.id.find(':') + 1)) == lower) return model;
    }
  }
  return found;
}

}  // namespace

Result<LocalModel> find_model(std::string_view name, const Store& store, const Catalog& catalog,
                              const Environment& environment) {
  SQ_TRY(const std::string text, trimmed_name(name));
  return known_model(text, store, catalog, environment);
}

Result<LocalModel> resolve_model(std::string_view name, const Store& store, const Catalog& catalog,
                                 const Environment& environment) {
  SQ_TRY(const std::string text, trimmed_name(name));
  const bool external =
      text.starts_with("ollama:") || text.starts_with("lmstudio:") || text.starts_with("hf-cache:");
  const bool remote = text.starts_with("hf:") || text.starts_with("pypi:");
  const bool pathlike = !external && !remote &&
                        (text.find('/') != std::string::npos || text.starts_with(".") ||
                         text.starts_with("~") || text.ends_with(".gguf"));
  const Result<std::string> home = user_home(environment);
  const std::string path = absolute_path(text, home ? *home : "/");
  if (pathlike && (file_exists(path) || is_directory(path))) return model_at_path(path);

  Result<LocalModel> found = known_model(text, store, catalog, environment);
  if (found || found.error().code != ErrorCode::not_found) return found;
  if (!pathlike && (file_exists(path) || is_directory(path))) return model_at_path(path);
  if (remote) {
    return Error{ErrorCode::not_found,
                 fmt::format("{} is not on this machine; get it with: squish pull {}",
                             printable(text, 200), printable(text, 200))};
  }
  if (pathlike) return no_model_at(path, "; for a model of the hub: squish pull hf:org/repo");
  return found;
}

}  // namespace squish::hub
