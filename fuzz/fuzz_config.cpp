// JSON configurations: the whole document is walked through every getter.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "format/json_config.h"

namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

void read_all(const squish::JsonConfig& config, const std::string& path, int depth) {
  const bool is_present = config.has(path);
  check(config.get_int(path).has_value() <= is_present);
  check(config.get_string(path).has_value() <= is_present);
  (void)config.get_float(path, {0.0, 1.0});
  (void)config.get_bool(path);
  (void)config.get_ints(path, {0, 100});
  (void)config.get_floats(path);
  (void)config.get_strings(path);
  (void)config.get_string_pairs(path);
  if (depth == 3) return;
  const std::string prefix = path.empty() ? "" : path + ".";
  const auto keys = config.keys(path);
  for (size_t i = 0; i < keys.size() && i < 16; ++i) {
    // Below the top, a parent's key that contains a dot cannot be spelled as a path.
    check(depth > 0 || config.kind(keys[i]) != squish::JsonKind::absent);
    read_all(config, prefix + std::string(keys[i]), depth + 1);
  }
  if (config.kind(path) != squish::JsonKind::array) return;
  for (size_t i = 0; i < config.count(path) && i < 16; ++i) {
    read_all(config, prefix + std::to_string(i), depth + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config =
      squish::JsonConfig::parse({reinterpret_cast<const char*>(data), size}, "fuzz.json");
  if (!config.has_value()) {
    check(config.error().message.find('\n') == std::string::npos);
    return 0;
  }
  read_all(*config, "", 0);
  return 0;
}
