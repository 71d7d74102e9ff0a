#pragma once
// Rows of text in columns.
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/term.h"

namespace squish::cli {

class Table {
 public:
  /// `columns`: their headings. A heading that starts with '>' is set to the right.
  explicit Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Headings in `strong`, the first column in `name`. On a terminal the last column is cut to its
  /// width.
  [[nodiscard]] std::string text(const Terminal& terminal) const;

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// "name   value" lines, the names in one column.
class Facts {
 public:
  /// Left out when `value` is empty.
  void add(std::string name, std::string value);
  [[nodiscard]] std::string text(const Terminal& terminal) const;

 private:
  std::vector<std::pair<std::string, std::string>> rows_;
};

/// "2 f32, 3 q4_k".
std::string counts_text(const std::map<std::string, size_t>& counts);

}  // namespace squish::cli
