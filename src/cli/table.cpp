#include "cli/table.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace squish::cli {
namespace {

std::string align(std::string_view text, int columns, bool right) {
  if (!right) return fit(text, columns);
  const int room = columns - display_width(text);
  return std::string(static_cast<size_t>(std::max(0, room)), ' ') + std::string(text);
}

std::string without_spaces_at_the_end(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

std::string Table::text(const Terminal& terminal) const {
  constexpr int kGap = 2;
  std::vector<bool> right;
  std::vector<std::string> headings;
  std::vector<int> widths;
  for (const std::string& column : columns_) {
    right.push_back(column.starts_with('>'));
    headings.push_back(right.back() ? column.substr(1) : column);
    widths.push_back(display_width(headings.back()));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  if (terminal.output_is_terminal()) {
    int used = 0;
    for (size_t i = 0; i + 1 < widths.size(); ++i) used += widths[i] + kGap;
    widths.back() =
        std::max(display_width(headings.back()), std::min(widths.back(), terminal.width() - used));
  }
  const auto line = [&](const std::vector<std::string>& cells, bool is_heading) {
    std::string out;
    for (size_t i = 0; i < cells.size(); ++i) {
      std::string cell = align(cells[i], widths[i], right[i]);
      if (i + 1 == cells.size()) cell = without_spaces_at_the_end(std::move(cell));
      if (is_heading) {
        out += terminal.paint(Role::strong, cell);
      } else {
        out += i == 0 ? terminal.paint(Role::name, cell) : cell;
      }
      if (i + 1 < cells.size()) out += std::string(kGap, ' ');
    }
    return without_spaces_at_the_end(std::move(out)) + '\n';
  };
  std::string out = line(headings, true);
  for (const auto& row : rows_) out += line(row, false);
  return out;
}

void Facts::add(std::string name, std::string value) {
  if (!value.empty()) rows_.emplace_back(std::move(name), std::move(value));
}

std::string Facts::text(const Terminal& terminal) const {
  int width = 0;
  for (const auto& [name, value] : rows_) width = std::max(width, display_width(name));
  std::string out;
  for (const auto& [name, value] : rows_) {
    out += fmt::format("{}  {}\n", terminal.paint(Role::accent, fit(name, width)), value);
  }
  return out;
}

std::string counts_text(const std::map<std::string, size_t>& counts) {
  std::vector<std::string> parts;
  parts.reserve(counts.size());
  for (const auto& [kind, count] : counts) parts.push_back(fmt::format("{} {}", count, kind));
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace squish::cli
