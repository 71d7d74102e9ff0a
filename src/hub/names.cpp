#include "hub/names.h"

#include <array>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish::hub {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The length of "12", "1.5" at the start of `text`, 0 if there is none.
size_t number_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && is_digit(text[at])) ++at;
  if (at == 0) return 0;
  if (at + 1 < text.size() && text[at] == '.' && is_digit(text[at + 1])) {
    ++at;
    while (at < text.size() && is_digit(text[at])) ++at;
  }
  return at;
}

/// The length of a size token at the start of `text`: 135m, 1.5b, 8x7b, 30b-a3b. 0 if there is
/// none.
size_t size_length(std::string_view text) {
  size_t at = number_length(text);
  if (at == 0) return 0;
  if (at < text.size() && text[at] == 'x') {
    const size_t second = number_length(text.substr(at + 1));
    if (second == 0) return 0;
    at += 1 + second;
  }
  if (at >= text.size() || (text[at] != 'b' && text[at] != 'm')) return 0;
  ++at;
  if (text.substr(at).starts_with("-a")) {
    const size_t active = number_length(text.substr(at + 2));
    if (active > 0 && at + 2 + active < text.size() && text[at + 2 + active] == 'b')
      at += 3 + active;
  }
  const bool ends = at == text.size() || text[at] == '-' || text[at] == '_' || text[at] == '.';
  return ends ? at : 0;
}

struct SizeToken {
  size_t begin = std::string_view::npos;  // of the token; the separator is before it
  size_t length = 0;
};

/// The first size token that follows a '-', '_' or ':'.
SizeToken find_size(std::string_view lower) {
  for (size_t i = 0; i + 1 < lower.size(); ++i) {
    if (lower[i] != '-' && lower[i] != '_' && lower[i] != ':') continue;
    if (const size_t length = size_length(lower.substr(i + 1))) return {i + 1, length};
  }
  return {};
}

bool strip_suffix(std::string& text, std::string_view suffix) {
  if (text.size() <= suffix.size() || !text.ends_with(suffix)) return false;
  text.resize(text.size() - suffix.size());
  return true;
}

constexpr std::array<std::string_view, 19> kDirectorySuffixes = {
    "-bf16", "-fp16", "-fp32",       "-f16",  "-f32",      "-int2",   "-int3",
    "-int4", "-int8", "-instruct",   "-chat", "-squished", "-squish", "-mlx",
    "-gguf", "-it",   "-compressed", "-4bit", "-8bit"};
constexpr std::array<std::string_view, 26> kGgufQuants = {
    "q2_k",  "q3_k_s",  "q3_k_m",  "q3_k_l", "q4_0",  "q4_1",   "q4_k_s", "q4_k_m", "q4_k_l",
    "q5_0",  "q5_1",    "q5_k_s",  "q5_k_m", "q6_k",  "q6_k_l", "q8_0",   "iq4_nl", "iq4_xs",
    "iq3_m", "iq3_xxs", "iq2_xxs", "iq2_m",  "iq1_s", "bf16",   "f16",    "f32"};

bool strip_one_suffix(std::string& text) {
  for (const std::string_view suffix : kDirectorySuffixes) {
    if (strip_suffix(text, suffix)) return true;
  }
  for (const std::string_view quant : kGgufQuants) {
    if (strip_suffix(text, fmt::format("-{}", quant)) ||
        strip_suffix(text, fmt::format(".{}", quant)))
      return true;
  }
  return false;
}

/// "llama-3.1" is "llama3.1": the catalogue writes the generation without a dash.
void join_generation(std::string& id) {
  for (const std::string_view family : {"llama", "gemma", "phi", "qwen", "smollm"}) {
    if (id.size() > family.size() + 1 && id.starts_with(family) && id[family.size()] == '-' &&
        is_digit(id[family.size() + 1])) {
      id.erase(family.size(), 1);
      return;
    }
  }
}

Error unsafe_name(std::string_view name, const char* why) {
  return {ErrorCode::unsafe, fmt::format("file name \"{}\" {}", printable(name), why)};
}

bool is_hiding(uint32_t c) {
  return (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x2069) || c == 0xfeff || (c >= 0x80 && c < 0xa0) || c == 0x2028 ||
         c == 0x2029;
}

bool is_device_name(std::string_view name) {
  std::string stem = to_lower(name.substr(0, name.find('.')));
  if (stem == "con" || stem == "prn" || stem == "aux" || stem == "nul") return true;
  return stem.size() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")) &&
         is_digit(stem[3]);
}

/// Why one part of a path may not be written; nullptr when it may.
const char* fault_of_part(std::string_view name) {
  if (name.empty()) return "has an empty part";
  if (name == "." || name == "..") return "leaves the directory";
  if (name.size() > 200) return "is longer than 200 bytes";
  if (!is_valid_utf8(name)) return "is not UTF-8";
  for (size_t i = 0; i < name.size();) {
    const DecodedCodePoint point = decode_utf8(name.substr(i));
    const uint32_t c = point.code_point;
    if (c < 0x20 || c == 0x7f) return "has a control character";
    if (c == '/' || c == '\\' || c == ':') return "has a separator or a drive letter";
    if (is_hiding(c)) return "has a character that hides or reverses text";
    i += static_cast<size_t>(point.bytes);
  }
  if (name.back() == '.' || name.back() == ' ') return "ends with a dot or a space";
  if (is_device_name(name)) return "is the name of a device on Windows";
  return nullptr;
}

}  // namespace

std::string normalize_name(std::string_view name) {
  std::string lower = to_lower(trim(name));
  if (lower.find(':') != std::string::npos) return lower;
  for (const std::string_view quant :
       {"int2", "int3", "int4", "int8", "q4", "q8", "bf16", "fp16", "fp32"}) {
    if (strip_suffix(lower, fmt::format("-{}", quant)) ||
        strip_suffix(lower, fmt::format("_{}", quant)))
      break;
  }
  const SizeToken size = find_size(lower);
  if (size.length > 0 && size.begin + size.length == lower.size() && size.begin > 1)
    lower[size.begin - 1] = ':';
  return lower;
}

std::string id_of_directory(std::string_view directory) {
  std::string id = to_lower(trim(directory));
  strip_suffix(id, ".gguf");
  while (strip_one_suffix(id)) {
  }
  if (id.starts_with("meta-llama")) id.erase(0, 5);
  join_generation(id);
  const SizeToken size = find_size(id);
  if (size.length == 0 || size.begin < 2) return id;
  id[size.begin - 1] = ':';
  // What follows the size is dropped only when it is a training suffix ("mistral-7b-instruct-v0.3"
  // keeps "-v0.3").
  std::string rest = id.substr(size.begin + size.length);
  for (const std::string_view word : {"-instruct", "-chat", "-it"}) {
    if (rest.starts_with(word) && (rest.size() == word.size() || rest[word.size()] == '-'))
      rest.erase(0, word.size());
  }
  id.resize(size.begin + size.length);
  return id + rest;
}

std::string size_of_name(std::string_view name) {
  const std::string lower = to_lower(name);
  const SizeToken size = find_size(lower);
  if (size.length > 0) return lower.substr(size.begin, size.length);
  return size_length(lower) == lower.size() ? lower : std::string();
}

double parameter_count(std::string_view size) {
  const size_t first = number_length(size);
  if (first == 0 || first >= size.size()) return 0;
  double count = parse_double(size.substr(0, first)).value_or(0);
  size_t at = first;
  if (size[at] == 'x') {
    const size_t second = number_length(size.substr(at + 1));
    count *= parse_double(size.substr(at + 1, second)).value_or(0);
    at += 1 + second;
  }
  if (at >= size.size()) return 0;
  if (size[at] == 'b') return count * 1e9;
  return size[at] == 'm' ? count * 1e6 : 0;
}

std::string family_of_name(std::string_view name) {
  const std::string lower = to_lower(name);
  for (const std::string_view family : {"deepseek", "mixtral", "smollm", "qwen", "llama", "gemma",
                                        "phi", "mistral", "falcon", "vicuna", "alpaca", "olmo"}) {
    if (lower.find(family) != std::string::npos) return std::string(family);
  }
  return {};
}

Status check_file_name(std::string_view name) {
  if (const char* fault = fault_of_part(name)) return unsafe_name(name, fault);
  if (name.front() == '.') return unsafe_name(name, "is hidden");
  return {};
}

Status check_relative_path(std::string_view path) {
  if (path.find('\0') != std::string_view::npos)
    return unsafe_name(path, "has a control character");
  const auto parts = split(path, '/');
  if (parts.size() > 16) return unsafe_name(path, "has more than 16 parts");
  for (const std::string_view part : parts) {
    if (const char* fault = fault_of_part(part)) return unsafe_name(path, fault);
  }
  return {};
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace squish::hub
