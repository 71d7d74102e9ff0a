// Layout: u64 header length (little-endian), the header (a JSON object, padded with spaces), the
// data.
// {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"key":
// "text"}}
#include "format/safetensors_header.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/byte_reader.h"
#include "format/checked.h"
#include "format/json_text.h"

namespace squish {
namespace {

// Names need no escapes; a file that is full of them is not a model.
constexpr uint64_t kEscapedBytesMax = limits::kMiB;
constexpr uint64_t kMetadataBytesMax = 4 * limits::kMiB;
// Without that many bytes behind it, the header is copied for simdjson to read past its end.
constexpr uint64_t kCopiedHeaderBytesMax = 16 * limits::kMiB;

class HeaderParser {
 public:
  HeaderParser(Bytes bytes, const std::string& file) : bytes_(bytes), file_(file) {}
  Result<SafetensorsHeader> parse();

 private:
  Result<std::string_view> header_text();
  Status walk(simdjson::padded_string_view text);
  Status add_metadata(simdjson::ondemand::object object);
  Status add_tensor(std::string_view name, simdjson::ondemand::object object);
  Status read_shape(simdjson::ondemand::array array, SafetensorsEntry& entry) const;
  Status read_offsets(simdjson::ondemand::array array, SafetensorsEntry& entry) const;
  Result<std::string_view> text_of(simdjson::ondemand::raw_json_string raw);
  Result<std::string_view> unescaped(simdjson::ondemand::raw_json_string raw);

  template <class... Args>
  [[nodiscard]] Error bad(fmt::format_string<Args...> format, Args&&... args) const {
    return {ErrorCode::bad_file, file_ + ": " + fmt::format(format, std::forward<Args>(args)...)};
  }
  [[nodiscard]] Error not_json(simdjson::error_code code) const {
    return bad("the header is not valid JSON: {}", simdjson::error_message(code));
  }
  [[nodiscard]] Error wrong(std::string_view name, std::string_view field,
                            std::string_view expected) const {
    return bad("{} of tensor '{}' is not {}", field, printable(name), expected);
  }

  Bytes bytes_;
  const std::string& file_;
  simdjson::ondemand::parser parser_;
  const char* text_end_ = nullptr;
  uint64_t escaped_bytes_ = 0;
  SafetensorsHeader out_;
};

Result<std::string_view> HeaderParser::header_text() {
  if (bytes_.empty()) return bad("the file is empty, expected a safetensors model");
  ByteReader reader(bytes_);
  uint64_t length = 0;
  if (!reader.read(length)) {
    return bad("the file has {} bytes, a safetensors file has at least 10", bytes_.size());
  }
  if (length > limits::kSafetensorsHeaderBytesMax) {
    return bad("header length is {}, the limit is {}; this may not be a safetensors file", length,
               limits::kSafetensorsHeaderBytesMax);
  }
  Bytes text;
  if (!reader.take(length, text)) {
    return bad("header length is {}, but {} bytes follow it; the file is truncated or damaged",
               length, reader.left());
  }
  out_.data_start = reader.position();
  if (text.empty() || as_text(text).front() != '{')
    return bad("the header does not start with '{{'");
  const uint64_t tokens = json_tokens_bound(as_text(text));
  if (tokens > limits::kSafetensorsTokensMax) {
    return bad("the header has {} JSON tokens, the limit is {}", tokens,
               limits::kSafetensorsTokensMax);
  }
  // A tensor takes 25 tokens or more, so this is enough; pages that are not used are not committed.
  out_.entries.reserve(static_cast<size_t>(std::min(tokens / 16 + 1, limits::kTensorCountMax)));
  return as_text(text);
}

/// The text behind an opening quote. Without escapes it is a view into the file, else a copy.
Result<std::string_view> HeaderParser::text_of(simdjson::ondemand::raw_json_string raw) {
  const char* start = raw.raw();
  const auto left = static_cast<size_t>(text_end_ - start);
  const auto* quote = static_cast<const char*>(std::memchr(start, '"', left));
  if (quote == nullptr) return not_json(simdjson::UNCLOSED_STRING);
  const std::string_view text(start, static_cast<size_t>(quote - start));
  if (text.find('\\') == std::string_view::npos) return text;
  return unescaped(raw);
}

Result<std::string_view> HeaderParser::unescaped(simdjson::ondemand::raw_json_string raw) {
  const char* end = raw.raw();
  while (end < text_end_ && *end != '"') end += *end == '\\' ? 2 : 1;
  const auto length = static_cast<size_t>(end - raw.raw());
  escaped_bytes_ += length;
  if (escaped_bytes_ > kEscapedBytesMax) {
    return bad("strings with escapes take {} bytes, the limit is {}", escaped_bytes_,
               kEscapedBytesMax);
  }
  std::vector<uint8_t> buffer(length + simdjson::SIMDJSON_PADDING);
  uint8_t* out = buffer.data();
  std::string_view text;
  if (const auto error = parser_.unescape(raw, out).get(text)) return not_json(error);
  return std::string_view(out_.escaped.emplace_back(text));
}

Status HeaderParser::add_metadata(simdjson::ondemand::object object) {
  uint64_t total = 0;
  for (auto field : object) {
    simdjson::ondemand::raw_json_string raw_key;
    simdjson::ondemand::raw_json_string raw_value;
    if (const auto error = field.key().get(raw_key)) return not_json(error);
    if (field.value().get_raw_json_string().get(raw_value) != simdjson::SUCCESS) {
      return bad("__metadata__ holds something that is not a string");
    }
    SQ_TRY(const std::string_view key, text_of(raw_key));
    SQ_TRY(const std::string_view value, text_of(raw_value));
    total += key.size() + value.size() + sizeof(std::pair<std::string, std::string>);
    if (total > kMetadataBytesMax) {
      return bad("__metadata__ takes more than the limit of {} bytes", kMetadataBytesMax);
    }
    out_.metadata.emplace_back(key, value);
  }
  return {};
}

Status HeaderParser::read_shape(simdjson::ondemand::array array, SafetensorsEntry& entry) const {
  entry.rank = 0;
  for (auto element : array) {
    uint64_t dim = 0;
    if (element.get_uint64().get(dim) != simdjson::SUCCESS) {
      return wrong(entry.name, "shape", "a list of non-negative integers");
    }
    if (entry.rank < limits::kTensorRankMax) entry.dims[entry.rank] = dim;
    ++entry.rank;
    // A dimension of 0 makes a tensor of no bytes; the others must still multiply to less than
    // 2^60.
    const auto product = checked_multiply(entry.elements, std::max<uint64_t>(dim, 1));
    if (!product || *product > (uint64_t{1} << 60)) {
      return bad("the dimensions of tensor '{}' multiply to more than 2^60: dimension {} is {}",
                 printable(entry.name), entry.rank - 1, dim);
    }
    entry.elements = *product;
    entry.is_empty |= dim == 0;
  }
  if (entry.is_empty) entry.elements = 0;
  return {};
}

Status HeaderParser::read_offsets(simdjson::ondemand::array array, SafetensorsEntry& entry) const {
  uint64_t count = 0;
  for (auto element : array) {
    uint64_t offset = 0;
    if (element.get_uint64().get(offset) != simdjson::SUCCESS || count == 2) {
      return wrong(entry.name, "data_offsets", "two non-negative integers");
    }
    (count == 0 ? entry.begin : entry.end) = offset;
    ++count;
  }
  if (count != 2) return wrong(entry.name, "data_offsets", "two non-negative integers");
  return {};
}

Status HeaderParser::add_tensor(std::string_view name, simdjson::ondemand::object object) {
  SafetensorsEntry entry;
  entry.name = name;
  bool seen[3] = {};
  const auto once = [&](bool& flag, std::string_view field) -> Status {
    if (flag) return bad("{} of tensor '{}' occurs twice", field, printable(name));
    flag = true;
    return {};
  };
  for (auto field : object) {
    simdjson::ondemand::raw_json_string raw_key;
    if (const auto error = field.key().get(raw_key)) return not_json(error);
    SQ_TRY(const std::string_view key, text_of(raw_key));
    if (key == "dtype") {
      SQ_TRY_STATUS(once(seen[0], key));
      simdjson::ondemand::raw_json_string raw;
      if (field.value().get_raw_json_string().get(raw) != simdjson::SUCCESS) {
        return wrong(name, key, "a string");
      }
      SQ_TRY(entry.dtype, text_of(raw));
    } else if (key == "shape" || key == "data_offsets") {
      SQ_TRY_STATUS(once(seen[key == "shape" ? 1 : 2], key));
      simdjson::ondemand::array array;
      if (field.value().get_array().get(array) != simdjson::SUCCESS) {
        return wrong(name, key, "a list of integers");
      }
      SQ_TRY_STATUS(key == "shape" ? read_shape(array, entry) : read_offsets(array, entry));
    } else {
      return bad("tensor '{}' has the unknown field '{}'", printable(name), printable(key));
    }
  }
  for (size_t i = 0; i < 3; ++i) {
    constexpr const char* kFields[] = {"dtype", "shape", "data_offsets"};
    if (!seen[i]) return bad("{} of tensor '{}' is missing", kFields[i], printable(name));
  }
  out_.entries.push_back(entry);
  return {};
}

Status HeaderParser::walk(simdjson::padded_string_view text) {
  text_end_ = text.data() + text.size();
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (const auto error = parser_.iterate(text).get(document)) return not_json(error);
  if (const auto error = document.get_object().get(object)) return not_json(error);
  bool has_metadata = false;
  for (auto field : object) {
    simdjson::ondemand::raw_json_string raw_name;
    simdjson::ondemand::object value;
    if (const auto error = field.key().get(raw_name)) return not_json(error);
    SQ_TRY(const std::string_view name, text_of(raw_name));
    if (field.value().get_object().get(value) != simdjson::SUCCESS) {
      return bad("the header's field '{}' is not an object", printable(name));
    }
    if (name == "__metadata__") {
      if (has_metadata) return bad("__metadata__ occurs twice");
      has_metadata = true;
      SQ_TRY_STATUS(add_metadata(value));
      continue;
    }
    if (name.empty() || name.size() > limits::kTensorNameBytesMax) {
      return bad("tensor name '{}' has {} bytes, expected 1 to {}", printable(name), name.size(),
                 limits::kTensorNameBytesMax);
    }
    if (out_.entries.size() == limits::kTensorCountMax) {
      return bad("more tensors than the limit of {}", limits::kTensorCountMax);
    }
    SQ_TRY_STATUS(add_tensor(name, value));
  }
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return bad("the header is not valid JSON: something follows the closing bracket");
  }
  return {};
}

Result<SafetensorsHeader> HeaderParser::parse() {
  SQ_TRY(const std::string_view text, header_text());
  const size_t behind = bytes_.size() - 8 - text.size();
  if (behind >= simdjson::SIMDJSON_PADDING) {
    SQ_TRY_STATUS(
        walk(simdjson::padded_string_view(text.data(), text.size(), text.size() + behind)));
    return std::move(out_);
  }
  if (text.size() > kCopiedHeaderBytesMax) {
    return bad("the header of {} bytes is followed by only {} bytes of data", text.size(), behind);
  }
  // The names must outlive the copy, so they are found again at the same place of the file.
  const simdjson::padded_string copy(text);
  SQ_TRY_STATUS(walk(copy));
  for (SafetensorsEntry& entry : out_.entries) {
    for (std::string_view* view : {&entry.name, &entry.dtype}) {
      if (view->data() < copy.data() || view->data() > copy.data() + copy.size()) continue;
      *view = text.substr(static_cast<size_t>(view->data() - copy.data()), view->size());
    }
  }
  return std::move(out_);
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(Bytes file_bytes, const std::string& file) {
  return HeaderParser(file_bytes, file).parse();
}

}  // namespace squish
