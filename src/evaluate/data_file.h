#pragma once
// JSON lines, plain or compressed with gzip: what benchmarks are published as.
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja_value.h"

namespace squish {

/// One line of a data file, with fields that are asked for by name. Errors of its methods are
/// bad_file and name the file, the line and the field.
class DataRow {
 public:
  DataRow(const Value& value, std::string place) : value_(value), place_(std::move(place)) {}

  [[nodiscard]] bool has(std::string_view field) const { return value_.find(field) != nullptr; }
  /// "arc_easy_test.jsonl:17"
  [[nodiscard]] const std::string& place() const { return place_; }
  [[nodiscard]] Result<std::string> text(std::string_view field) const;
  /// An integer, or text that is one ("3").
  [[nodiscard]] Result<int64_t> integer(std::string_view field) const;
  /// A list of texts.
  [[nodiscard]] Result<std::vector<std::string>> texts(std::string_view field) const;
  /// The row inside `field`, which is an object.
  [[nodiscard]] Result<DataRow> row(std::string_view field) const;
  /// An integer from 0 to count - 1.
  [[nodiscard]] Result<size_t> index(std::string_view field, size_t count) const;
  /// "PLACE: field 'FIELD' WHAT".
  [[nodiscard]] Error wrong(std::string_view field, std::string_view what) const;

 private:
  [[nodiscard]] Result<const Value*> find(std::string_view field) const;
  const Value& value_;
  std::string place_;
  std::string prefix_;  // "choices." inside another row
};

/// The text of a file of at most `bytes_max` bytes, unpacked when it is gzip. Errors: those of
/// read_file(); bad_file for a damaged archive and for more than `bytes_max` unpacked bytes.
Result<std::string> read_text_file(const std::string& path, uint64_t bytes_max);

/// Calls `visit` for each line that is not blank. Errors: as read_text_file(); bad_file naming the
/// line that is no JSON object; what `visit` returns.
Status for_each_row(const std::string& path, const std::function<Status(const DataRow&)>& visit);

}  // namespace squish
