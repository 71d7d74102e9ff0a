#include "model/pooling.h"

#include <array>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/json_config.h"

namespace squish {
namespace {

Error unsupported(const std::string& where, std::string_view what) {
  return {ErrorCode::unsupported, fmt::format("{}: {}", printable(where, 512), what)};
}

/// The text of a file of the directory; nothing when it is not there.
Result<std::optional<std::string>> read_beside(const std::string& path) {
  auto text = read_file(path, limits::kConfigBytesMax);
  if (text) return std::optional<std::string>(std::move(text).value());
  if (text.error().code == ErrorCode::not_found) return std::optional<std::string>();
  return text.error();
}

/// The folder of the pooling module; "1_Pooling" when there is no list of modules.
Result<std::string> pooling_folder(const std::string& directory) {
  const std::string path = directory + "/modules.json";
  SQ_TRY(const std::optional<std::string> text, read_beside(path));
  std::string folder = "1_Pooling";
  if (!text) return folder;
  // The file is a list, JsonConfig wants an object.
  SQ_TRY(const JsonConfig json, JsonConfig::parse("{\"modules\":" + *text + "}", path));
  for (size_t i = 0; i < json.count("modules"); ++i) {
    SQ_TRY(const std::string_view type, json.get_string(fmt::format("modules.{}.type", i)));
    const std::string_view kind = type.substr(type.rfind('.') + 1);
    if (kind == "Transformer" || kind == "Normalize") continue;
    if (kind != "Pooling") {
      return unsupported(path, fmt::format("module '{}' is not supported; supported are "
                                           "Transformer, Pooling, Normalize",
                                           printable(type)));
    }
    SQ_TRY(const std::string_view named, json.get_string_or(fmt::format("modules.{}.path", i), ""));
    // A name out of a file: it must stay inside the directory.
    if (named.empty() || named.starts_with('.') || named.find('/') != std::string_view::npos) {
      return Error{ErrorCode::unsafe,
                   fmt::format("{}: the pooling module lies in '{}', expected a plain folder name",
                               printable(path, 512), printable(named))};
    }
    folder = named;
  }
  return folder;
}

Result<Pooling> read_directory(const std::string& directory) {
  SQ_TRY(const std::string folder, pooling_folder(directory));
  const std::string path = fmt::format("{}/{}/config.json", directory, folder);
  SQ_TRY(const std::optional<std::string> text, read_beside(path));
  if (!text) return Pooling::mean;
  SQ_TRY(const JsonConfig json, JsonConfig::parse(*text, path));
  constexpr std::array<std::pair<std::string_view, Pooling>, 3> kKnown = {
      {{"cls_token", Pooling::cls}, {"mean_tokens", Pooling::mean}, {"lasttoken", Pooling::last}}};
  std::optional<Pooling> found;
  for (const std::string_view key : json.keys("")) {
    constexpr std::string_view kPrefix = "pooling_mode_";
    if (!key.starts_with(kPrefix)) continue;
    SQ_TRY(const bool is_on, json.get_bool_or(key, false));
    if (!is_on) continue;
    std::optional<Pooling> named;
    for (const auto& [name, pooling] : kKnown) {
      if (key.substr(kPrefix.size()) == name) named = pooling;
    }
    if (!named || found) {
      return unsupported(path, fmt::format("{} is not supported{}; supported is one of "
                                           "pooling_mode_mean_tokens, _cls_token, _lasttoken",
                                           printable(key), found ? " beside another" : ""));
    }
    found = named;
  }
  return found.value_or(Pooling::mean);
}

Result<Pooling> read_gguf(const GgufFile& gguf) {
  const std::string key = fmt::format("{}.pooling_type", gguf.architecture());
  const std::optional<uint64_t> type = gguf.get_uint(key);
  constexpr std::array kTypes = {Pooling::mean, Pooling::mean, Pooling::cls, Pooling::last};
  if (!type) return Pooling::mean;
  if (*type < kTypes.size()) return kTypes[*type];
  return unsupported(gguf.path(),
                     fmt::format("{} is {}; supported are 0 to {}", key, *type, kTypes.size() - 1));
}

}  // namespace

std::string_view to_string(Pooling pooling) {
  constexpr std::array<std::string_view, 3> kNames = {"mean", "cls", "last"};
  return kNames[static_cast<size_t>(pooling)];
}

Result<Pooling> read_pooling(const ModelFiles& files) {
  if (files.gguf) return read_gguf(*files.gguf);
  return read_directory(files.path);
}

}  // namespace squish
