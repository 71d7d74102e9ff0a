#pragma once
// Where things lie on disk. Pure: nothing is created here.
#include <string>

#include "base/result.h"
#include "hub/environment.h"

namespace squish::hub {

/// Absolute paths without a slash at the end.
struct Paths {
  std::string home;         // $SQUISH_HOME, else ~/.squish
  std::string config_file;  // $SQUISH_CONFIG_DIR/config.json, else <home>/config.json
  std::string models;       // see resolve_paths
  std::string cache;        // files that can be rebuilt: prepared vocabularies, KV blocks
};

/// models: $SQUISH_MODELS_DIR, else $SQUISH_CACHE_DIR (alias), else <home>/models if it exists,
/// else the older
///   ~/models if that exists and SQUISH_HOME is not set, else <home>/models.
/// cache: <home>/cache when SQUISH_HOME is set (it moves the whole footprint), else
/// $XDG_CACHE_HOME/squish
///   (absolute values only, as XDG demands), else ~/.cache/squish.
/// A leading "~/" is the user's home; a relative path is taken from the current directory.
/// Errors: invalid_argument when neither HOME nor the user database names a home directory and it
/// is needed.
Result<Paths> resolve_paths(const Environment& environment);

/// The user's home directory: $HOME if absolute, else the user database. Errors: not_found.
Result<std::string> user_home(const Environment& environment);
/// `path` with a leading "~/" replaced and made absolute; no symlink is resolved.
std::string absolute_path(const std::string& path, const std::string& home);

}  // namespace squish::hub
