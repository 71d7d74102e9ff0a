#pragma once
// The parser of a safetensors header. Private to src/format.
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace squish {

/// A tensor as the header describes it; nothing is checked but the syntax and the numbers of
/// dimensions.
struct SafetensorsEntry {
  std::string_view name;
  std::string_view dtype;
  uint32_t rank = 0;
  uint64_t dims[4] = {1, 1, 1, 1};  // the first four
  uint64_t elements = 1;            // product of all, at most 2^60
  bool is_empty = false;            // a dimension is 0
  uint64_t begin = 0;               // from the start of the data section
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::deque<std::string>
      escaped;  // names and dtypes that were written with escapes; views point into them
  uint64_t data_start = 0;
};

/// `file_bytes` must outlive the result; `file` stands in errors. Errors: bad_file.
Result<SafetensorsHeader> parse_safetensors_header(Bytes file_bytes, const std::string& file);

}  // namespace squish
