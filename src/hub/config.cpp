#include "hub/config.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "hub/json_fields.h"

namespace squish::hub {
namespace {

using nlohmann::json;

/// Numbers that are not among the defaults: absent, the program chooses. Without the table "1"
/// would become true.
struct CountRow {
  std::string_view key;
  int64_t minimum;
  int64_t maximum;
};
constexpr std::array kCounts = {CountRow{"threads", 0, limits::kThreadsMax},
                                CountRow{"context", 0, INT32_MAX}};

constexpr size_t kKeyPartsMax = 16;
constexpr size_t kKeyBytesMax = 256;

json defaults() {
  return {
      {"default_model", nullptr},
      {"host", "127.0.0.1"},
      {"port", 11435},
      {"api_key", "squish"},
      {"auto_compress", true},
      {"whatsapp",
       {{"verify_token", ""}, {"app_secret", ""}, {"access_token", ""}, {"phone_number_id", ""}}},
      {"signal", {{"account", ""}, {"socket", "127.0.0.1:7583"}}}};
}

/// Text that says what a value of the kind of `known` must be; empty when `value` may stand in its
/// place.
const char* mismatch(const json& known, const json& value) {
  if (known.is_null()) return value.is_null() || value.is_string() ? "" : "a string or null";
  if (known.is_string()) return value.is_string() ? "" : "a string";
  if (known.is_boolean()) return value.is_boolean() ? "" : "true or false";
  if (known.is_number_integer()) {
    const bool is_port = value.is_number_integer() && value >= 1 && value <= 65535;
    return is_port ? "" : "an integer from 1 to 65535";
  }
  if (known.is_object()) return value.is_object() ? "" : "an object";
  return "";
}

/// Lays `over` on `base`; a known key whose value has the wrong type keeps its default and is named
/// in `warning`.
void merge(json& base, const json& over, const std::string& prefix, std::string& warning) {
  for (const auto& [key, value] : over.items()) {
    const auto known = base.find(key);
    if (known == base.end()) {
      base[key] = value;
      continue;
    }
    if (known->is_object() && value.is_object()) {
      merge(*known, value, prefix + key + ".", warning);
      continue;
    }
    const std::string_view wanted = mismatch(*known, value);
    if (wanted.empty()) {
      *known = value;
    } else if (warning.empty()) {
      warning = fmt::format("{} must be {}, the default {} is used", printable(prefix + key),
                            wanted, known->dump());
    }
  }
}

Result<std::vector<std::string>> key_parts(std::string_view key) {
  const auto refuse = [&](const char* why) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("config key \"{}\" {}; keys look like host or signal.socket",
                             printable(key), why)};
  };
  if (key.size() > kKeyBytesMax || !is_valid_utf8(key)) return refuse("is too long or not UTF-8");
  std::vector<std::string> parts;
  for (const std::string_view part : split(key, '.')) {
    if (part.empty()) return refuse("has an empty part");
    parts.emplace_back(part);
  }
  if (parts.size() > kKeyPartsMax) return refuse("has more than 16 parts");
  return parts;
}

json coerce(std::string_view text) {
  const std::string lower = to_lower(text);
  if (lower == "true" || lower == "yes" || lower == "1") return true;
  if (lower == "false" || lower == "no" || lower == "0") return false;
  if (const auto integer = parse_int(text)) return *integer;
  if (const auto number = parse_double(text); number.has_value() && json(*number).dump() != "null")
    return *number;
  return std::string(text);
}

/// `text` as the value of `key`. Errors: invalid_argument for what the key cannot take.
Result<json> value_of(std::string_view key, std::string_view text) {
  const auto row = std::ranges::find(kCounts, key, &CountRow::key);
  if (row == kCounts.end()) return coerce(text);
  const auto number = parse_int(text);
  if (number && *number >= row->minimum && *number <= row->maximum) return json(*number);
  return Error{ErrorCode::invalid_argument,
               fmt::format("config {} must be a whole number from {} (automatic) to {}, not \"{}\"",
                           key, row->minimum, row->maximum, printable(text))};
}

const json* find(const json& root, std::string_view key) {
  const auto parts = key_parts(key);
  if (!parts) return nullptr;
  const json* node = &root;
  for (const std::string& part : *parts) {
    if (!node->is_object()) return nullptr;
    const auto next = node->find(part);
    if (next == node->end()) return nullptr;
    node = &*next;
  }
  return node;
}

}  // namespace

struct Config::State {
  std::string file;
  json root = defaults();
  std::string warning;
  bool corrupt = false;
};

Config::Config() : state_(std::make_unique<State>()) {}
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;
Config::~Config() = default;

Config Config::load(const std::string& file) {
  Config config;
  State& state = *config.state_;
  state.file = file;
  const Result<std::string> text = read_file(file, limits::kConfigBytesMax);
  if (!text) {
    if (text.error().code == ErrorCode::not_found) return config;
    state.corrupt = true;
    state.warning = text.error().message + "; the default settings are used";
    return config;
  }
  const Result<json> parsed = parse_json(*text, file);
  if (!parsed || !parsed->is_object()) {
    state.corrupt = true;
    state.warning = (parsed ? file + ": is not a JSON object" : parsed.error().message) +
                    "; the default settings are used until it is repaired or removed";
    return config;
  }
  merge(state.root, *parsed, "", state.warning);
  if (!state.warning.empty()) state.warning = file + ": " + state.warning;
  return config;
}

const std::string& Config::warning() const { return state_->warning; }

std::optional<std::string> Config::get(std::string_view key) const {
  const json* node = find(state_->root, key);
  if (node == nullptr || node->is_null()) return std::nullopt;
  if (node->is_string()) return node->get<std::string>();
  return node->dump(2, ' ', false, json::error_handler_t::replace);
}

std::optional<std::string> Config::text(std::string_view key) const {
  const json* node = find(state_->root, key);
  if (node == nullptr || !node->is_string()) return std::nullopt;
  return node->get<std::string>();
}

std::optional<int64_t> Config::integer(std::string_view key) const {
  const json* node = find(state_->root, key);
  if (node == nullptr || !node->is_number_integer()) return std::nullopt;
  return node->get<int64_t>();
}

std::optional<bool> Config::boolean(std::string_view key) const {
  const json* node = find(state_->root, key);
  if (node == nullptr || !node->is_boolean()) return std::nullopt;
  return node->get<bool>();
}

Status Config::set(std::string_view key, std::string_view value) {
  SQ_TRY(const std::vector<std::string> parts, key_parts(key));
  if (!is_valid_utf8(value)) return Error{ErrorCode::invalid_argument, "config value is not UTF-8"};
  SQ_TRY(json converted, value_of(key, value));
  static const json kDefaults = defaults();
  if (const json* known = find(kDefaults, key)) {
    if (known->is_string()) converted = std::string(value);
    if (known->is_null())
      converted = value.empty() || value == "null" ? json() : json(std::string(value));
    if (known->is_number_integer() && converted.is_boolean())
      converted = converted.get<bool>() ? 1 : 0;
    const std::string_view wanted = mismatch(*known, converted);
    if (!wanted.empty()) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("config {} must be {}, not \"{}\"", printable(key), wanted,
                               printable(value))};
    }
  }
  json* node = &state_->root;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    json& next = (*node)[parts[i]];
    if (next.is_null()) next = json::object();
    if (!next.is_object()) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("config key {}: \"{}\" holds a value, not an object", printable(key),
                               printable(parts[i]))};
    }
    node = &next;
  }
  (*node)[parts.back()] = std::move(converted);
  return {};
}

Status Config::change(const std::string& file, std::string_view key, std::string_view value) {
  const std::string directory = std::filesystem::path(file).parent_path().string();
  SQ_TRY_STATUS(make_directories(directory));
  // On the directory, so that no lock file stays beside the settings.
  const int lock = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock >= 0) ::flock(lock, LOCK_EX);  // file systems without locks do without
  Config config = load(file);
  Status status = config.set(key, value);
  if (status) status = config.save();
  if (lock >= 0) ::close(lock);
  return status;
}

Status Config::save() const {
  if (state_->corrupt) {
    return Error{ErrorCode::refused,
                 state_->file + ": is corrupt and would be overwritten; repair or remove it first"};
  }
  SQ_TRY_STATUS(make_directories(std::filesystem::path(state_->file).parent_path().string()));
  return write_file_atomic(state_->file, as_bytes(show()), 0600);
}

std::string Config::show() const {
  return state_->root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace squish::hub
