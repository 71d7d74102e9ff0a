// Splitting, joining lines and replacing: what str methods and filters share.
#include <algorithm>

#include <fmt/format.h>

#include "text/jinja_string_methods.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    size_t next = i + point.bytes;
    if (is_line_break(point.value)) {
      if (point.value == '\r' && next < text.size() && text[next] == '\n') ++next;
      lines.push_back(text.substr(start, (keep_ends ? next : i) - start));
      start = next;
    }
    i = next;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

Result<std::string> replace_text(Runtime& runtime, std::string_view text, std::string_view from,
                                 std::string_view to, int64_t count) {
  SQ_TRY_STATUS(runtime.work_on_text(text.size()));
  uint64_t left = count < 0 ? UINT64_MAX : static_cast<uint64_t>(count);
  std::string out;
  size_t position = 0;
  if (from.empty()) {  // before each code point, and at the end
    for (; left > 0; --left) {
      SQ_TRY_STATUS(runtime.work_on_text(to.size()));
      SQ_TRY_STATUS(runtime.reserve(out.size() + to.size()));
      out += to;
      if (position >= text.size()) return out;
      const size_t bytes = code_point_at(text, position).bytes;
      out += text.substr(position, bytes);
      position += bytes;
    }
    return out.append(text.substr(position));
  }
  for (; left > 0; --left) {
    const size_t found = find_text(text, from, position);
    if (found == std::string_view::npos) break;
    SQ_TRY_STATUS(runtime.work_on_text(to.size()));
    SQ_TRY_STATUS(runtime.reserve(out.size() + to.size() + text.size()));
    out += text.substr(position, found - position);
    out += to;
    position = found + from.size();
  }
  return out.append(text.substr(position));
}

Result<Value> pieces_to_list(Runtime& runtime, const Value& self,
                             const std::vector<std::string_view>& pieces, ListFlavor flavor) {
  SQ_TRY_STATUS(runtime.work(pieces.size()));
  Value::List items;
  for (const std::string_view piece : pieces) {
    SQ_TRY(Value item, runtime.text(std::string(piece), self.text().markup));
    items.push_back(std::move(item));
  }
  return runtime.list(std::move(items), flavor);
}

namespace {

std::vector<std::string_view> split_at_space(std::string_view text, uint64_t splits,
                                             bool from_right) {
  std::vector<std::string_view> pieces;
  text = strip_space(text, !from_right, from_right);
  while (!text.empty()) {
    if (splits-- == 0) {
      pieces.push_back(text);
      break;
    }
    if (from_right) {
      size_t start = text.size();
      while (start > 0 && strip_space(text.substr(0, start), false, true).size() == start) {
        do --start;
        while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80);
      }
      pieces.push_back(text.substr(start));
      text = strip_space(text.substr(0, start), false, true);
    } else {
      size_t end = 0;
      while (end < text.size() && !is_space(code_point_at(text, end).value))
        end += code_point_at(text, end).bytes;
      pieces.push_back(text.substr(0, end));
      text = strip_space(text.substr(end), true, false);
    }
  }
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Result<std::vector<std::string_view>> split_at(Runtime& runtime, std::string_view text,
                                               std::string_view separator, uint64_t splits,
                                               bool from_right) {
  std::vector<std::string_view> pieces;
  if (!from_right) {
    size_t start = 0;
    for (; splits > 0; --splits) {
      const size_t found = find_text(text, separator, start);
      if (found == std::string_view::npos) break;
      pieces.push_back(text.substr(start, found - start));
      start = found + separator.size();
    }
    pieces.push_back(text.substr(start));
    return pieces;
  }
  for (; splits > 0; --splits) {
    const size_t found = text.rfind(separator);
    if (found == std::string_view::npos) break;
    // rfind compares the separator at each place it passes.
    SQ_TRY_STATUS(runtime.work((text.size() - found) * separator.size() / 32));
    pieces.push_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  pieces.push_back(text);
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

}  // namespace

Result<Value> split_text(Runtime& runtime, const Value& self, const Value* separator,
                         int64_t splits_max, bool from_right) {
  const std::string& text = self.as_string();
  const uint64_t splits = splits_max < 0 ? UINT64_MAX : static_cast<uint64_t>(splits_max);
  SQ_TRY_STATUS(runtime.work(text.size() / 8));
  if (separator == nullptr || separator->is_none()) {
    return pieces_to_list(runtime, self, split_at_space(text, splits, from_right));
  }
  if (separator->is_undefined()) return undefined_error(*separator);
  if (!separator->is_string())
    return template_error(fmt::format("must be str or None, not {}", type_name(*separator)));
  if (separator->as_string().empty()) return template_error("empty separator");
  if (from_right)
    SQ_TRY_STATUS(
        runtime.work(std::min(text.size(), separator->as_string().size()) * text.size() / 64));
  SQ_TRY(const std::vector<std::string_view> pieces,
         split_at(runtime, text, separator->as_string(), splits, from_right));
  return pieces_to_list(runtime, self, pieces);
}

}  // namespace squish::jinja
