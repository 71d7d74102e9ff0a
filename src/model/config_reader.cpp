#include "model/config_reader.h"

#include <utility>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish {

Result<ConfigReader> ConfigReader::open(const ModelFiles& files) {
  ConfigReader reader;
  reader.files_ = &files;
  reader.architecture_ = files.architecture();
  if (!reader.is_gguf()) {
    SQ_TRY(JsonConfig json, JsonConfig::parse(files.directory->config_json(),
                                              files.directory->path() + "/config.json"));
    reader.json_ = std::move(json);
  }
  return reader;
}

void ConfigReader::enter_object(std::string_view name) {
  if (json_ && json_->kind(name) == JsonKind::object) object_ = std::string(name) + ".";
}

std::string ConfigReader::gguf_key(FactKey key) const {
  return fmt::format("{}.{}", architecture_, key.gguf);
}

std::string ConfigReader::hf_path(FactKey key) const { return object_ + std::string(key.hf); }

bool ConfigReader::has(FactKey key) const {
  if (is_gguf()) return !key.gguf.empty() && files_->gguf->find(gguf_key(key)) != nullptr;
  return !key.hf.empty() && json_->has(hf_path(key));
}

Result<int> ConfigReader::get_int(FactKey key, int64_t min, int64_t max) const {
  if (!is_gguf()) {
    SQ_TRY(const int64_t value, json_->get_int(hf_path(key), {min, max}));
    return static_cast<int>(value);
  }
  const std::string name = gguf_key(key);
  const std::optional<int64_t> value = files_->gguf->get_int(name);
  if (!value) return files_->gguf->missing(name, "an integer");
  if (*value < min || *value > max) {
    return error(ErrorCode::bad_file,
                 fmt::format("{} is {}, expected {} to {}", name, *value, min, max));
  }
  return static_cast<int>(*value);
}

Result<int> ConfigReader::get_int_or(FactKey key, int fallback, int64_t min, int64_t max) const {
  if (!has(key)) return fallback;
  return get_int(key, min, max);
}

Result<double> ConfigReader::get_float(FactKey key, double min, double max) const {
  if (!is_gguf()) return json_->get_float(hf_path(key), {min, max});
  const std::string name = gguf_key(key);
  const std::optional<double> value = files_->gguf->get_float(name);
  if (!value) return files_->gguf->missing(name, "a number");
  if (!(*value >= min && *value <= max)) {  // also refuses NaN
    return error(ErrorCode::bad_file,
                 fmt::format("{} is {}, expected {} to {}", name, *value, min, max));
  }
  return *value;
}

Result<double> ConfigReader::get_float_or(FactKey key, double fallback, double min,
                                          double max) const {
  if (!has(key)) return fallback;
  return get_float(key, min, max);
}

Result<bool> ConfigReader::get_bool_or(FactKey key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!is_gguf()) return json_->get_bool(hf_path(key));
  const std::string name = gguf_key(key);
  const std::optional<bool> value = files_->gguf->get_bool(name);
  if (!value) return files_->gguf->missing(name, "a boolean");
  return *value;
}

Result<std::string> ConfigReader::get_string_or(FactKey key, std::string_view fallback) const {
  if (!has(key)) return std::string(fallback);
  if (!is_gguf()) {
    SQ_TRY(const std::string_view text, json_->get_string(hf_path(key)));
    return std::string(text);
  }
  const std::string name = gguf_key(key);
  const std::optional<std::string_view> text = files_->gguf->get_string(name);
  if (!text) return files_->gguf->missing(name, "a string");
  return std::string(*text);
}

Result<std::vector<double>> ConfigReader::get_floats(FactKey key) const {
  if (!has(key)) return std::vector<double>();
  if (!is_gguf()) return json_->get_floats(hf_path(key));
  const std::string name = gguf_key(key);
  const std::optional<std::vector<float>> values = files_->gguf->get_floats(name);
  if (!values) return files_->gguf->missing(name, "an array of numbers");
  return std::vector<double>(values->begin(), values->end());
}

Result<std::vector<int64_t>> ConfigReader::get_ints(FactKey key) const {
  if (!has(key)) return std::vector<int64_t>();
  if (!is_gguf()) return json_->get_ints(hf_path(key));
  const std::string name = gguf_key(key);
  std::optional<std::vector<int64_t>> values = files_->gguf->get_ints(name);
  if (!values) return files_->gguf->missing(name, "an array of integers");
  return std::move(*values);
}

Result<std::vector<std::string>> ConfigReader::get_strings(FactKey key) const {
  if (!has(key)) return std::vector<std::string>();
  std::vector<std::string_view> views;
  if (is_gguf()) {
    SQ_TRY(views, files_->gguf->get_strings(gguf_key(key)));
  } else {
    SQ_TRY(views, json_->get_strings(hf_path(key)));
  }
  return std::vector<std::string>(views.begin(), views.end());
}

Error ConfigReader::error(ErrorCode code, std::string_view what) const {
  const std::string name =
      is_gguf() ? files_->gguf->path() : files_->directory->path() + "/config.json";
  return {code, fmt::format("{}: {}", name, printable(what, 400))};
}

}  // namespace squish
