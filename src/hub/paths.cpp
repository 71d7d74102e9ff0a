#include "hub/paths.h"

#include <filesystem>
#include <vector>

#include <pwd.h>
#include <unistd.h>

#include "base/file.h"

namespace squish::hub {

Result<std::string> user_home(const Environment& environment) {
  const std::optional<std::string> home = environment.get("HOME");
  if (home.has_value() && home->front() == '/') return absolute_path(*home, "/");
  passwd entry = {};
  passwd* found = nullptr;
  std::vector<char> buffer(16 * 1024);
  if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr && found->pw_dir != nullptr && found->pw_dir[0] == '/') {
    return std::string(found->pw_dir);
  }
  return Error{ErrorCode::not_found,
               "no home directory: HOME is not an absolute path; set HOME or SQUISH_HOME"};
}

std::string absolute_path(const std::string& path, const std::string& home) {
  std::filesystem::path result = path;
  if (path == "~") result = home;
  if (path.starts_with("~/")) result = home + path.substr(1);
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(result, error);
  if (error) absolute = std::filesystem::path("/") / result;
  std::string text = absolute.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

Result<Paths> resolve_paths(const Environment& environment) {
  const Result<std::string> found_home = user_home(environment);
  const std::string user = found_home ? *found_home : std::string("/");
  const std::optional<std::string> squish_home = environment.get("SQUISH_HOME");
  if (!squish_home.has_value() && !found_home) return found_home.error();

  Paths paths;
  paths.home = squish_home ? absolute_path(*squish_home, user) : user + "/.squish";
  const std::optional<std::string> config = environment.get("SQUISH_CONFIG_DIR");
  paths.config_file = (config ? absolute_path(*config, user) : paths.home) + "/config.json";

  if (const auto models = environment.first({"SQUISH_MODELS_DIR", "SQUISH_CACHE_DIR"})) {
    paths.models = absolute_path(*models, user);
  } else {
    paths.models = paths.home + "/models";
    const bool older =
        !squish_home && !is_directory(paths.models) && is_directory(user + "/models");
    if (older) paths.models = user + "/models";
  }

  const std::optional<std::string> xdg = environment.get("XDG_CACHE_HOME");
  if (squish_home) {
    paths.cache = paths.home + "/cache";
  } else if (xdg.has_value() && xdg->front() == '/') {
    paths.cache = absolute_path(*xdg, user) + "/squish";
  } else {
    paths.cache = user + "/.cache/squish";
  }
  return paths;
}

}  // namespace squish::hub
