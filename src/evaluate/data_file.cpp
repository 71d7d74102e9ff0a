#include "evaluate/data_file.h"

#include <memory>

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"

namespace squish {
namespace {

constexpr uint64_t kDataBytesMax = 512 * limits::kMiB;  // all of HellaSwag is 12 MB

struct CloseArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

std::string_view name_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

Result<std::string> unpack(const std::string& path, std::string_view packed, uint64_t bytes_max) {
  const std::unique_ptr<archive, CloseArchive> reader(archive_read_new());
  const auto damaged = [&]() -> Error {
    const char* why = reader ? archive_error_string(reader.get()) : nullptr;
    return {ErrorCode::bad_file, fmt::format("{}: damaged gzip data ({})", name_of(path),
                                             why != nullptr ? printable(why) : "no such format")};
  };
  if (!reader || archive_read_support_filter_gzip(reader.get()) != ARCHIVE_OK ||
      archive_read_support_format_raw(reader.get()) != ARCHIVE_OK ||
      archive_read_open_memory(reader.get(), packed.data(), packed.size()) != ARCHIVE_OK) {
    return damaged();
  }
  archive_entry* entry = nullptr;
  const int opened = archive_read_next_header(reader.get(), &entry);
  if (opened == ARCHIVE_EOF) return std::string();
  // What only begins like gzip would be handed through as it is.
  if (opened != ARCHIVE_OK || archive_filter_code(reader.get(), 0) != ARCHIVE_FILTER_GZIP)
    return damaged();
  std::string out;
  std::string buffer(1 << 16, '\0');
  while (true) {
    const auto count = archive_read_data(reader.get(), buffer.data(), buffer.size());
    if (count < 0) return damaged();
    if (count == 0) return out;
    if (out.size() + static_cast<size_t>(count) > bytes_max) {
      return Error{ErrorCode::bad_file, fmt::format("{}: unpacks to more than {}", name_of(path),
                                                    human_bytes(bytes_max))};
    }
    out.append(buffer, 0, static_cast<size_t>(count));
  }
}

}  // namespace

Error DataRow::wrong(std::string_view field, std::string_view what) const {
  return {ErrorCode::bad_file, fmt::format("{}: field '{}{}' {}", place_, prefix_, field, what)};
}

Result<const Value*> DataRow::find(std::string_view field) const {
  const Value* value = value_.find(field);
  if (value == nullptr) return wrong(field, "is missing");
  return value;
}

Result<std::string> DataRow::text(std::string_view field) const {
  SQ_TRY(const Value* const value, find(field));
  if (!value->is_string()) return wrong(field, "is no text");
  return value->as_string();
}

Result<int64_t> DataRow::integer(std::string_view field) const {
  SQ_TRY(const Value* const value, find(field));
  if (value->is_integer()) return value->as_integer();
  if (value->is_string()) {
    if (const auto number = parse_int(trim(value->as_string()))) return *number;
    return wrong(
        field, fmt::format("is '{}', which is no whole number", printable(value->as_string(), 40)));
  }
  return wrong(field, "is no whole number");
}

Result<std::vector<std::string>> DataRow::texts(std::string_view field) const {
  SQ_TRY(const Value* const value, find(field));
  if (!value->is_list()) return wrong(field, "is no list");
  std::vector<std::string> out;
  for (const Value& item : value->items()) {
    if (!item.is_string()) {
      return wrong(field, fmt::format("has an element {} that is no text", out.size()));
    }
    out.push_back(item.as_string());
  }
  return out;
}

Result<DataRow> DataRow::row(std::string_view field) const {
  SQ_TRY(const Value* const value, find(field));
  if (!value->is_dict()) return wrong(field, "is no object");
  DataRow inner(*value, place_);
  inner.prefix_ = fmt::format("{}{}.", prefix_, field);
  return inner;
}

Result<size_t> DataRow::index(std::string_view field, size_t count) const {
  SQ_TRY(const int64_t number, integer(field));
  if (number < 0 || static_cast<uint64_t>(number) >= count) {
    return wrong(field, fmt::format("is {}, there are {} choices", number, count));
  }
  return static_cast<size_t>(number);
}

Result<std::string> read_text_file(const std::string& path, uint64_t bytes_max) {
  SQ_TRY(std::string text, read_file(path, bytes_max));
  if (!text.starts_with("\x1f\x8b")) return text;
  return unpack(path, text, bytes_max);
}

Status for_each_row(const std::string& path, const std::function<Status(const DataRow&)>& visit) {
  SQ_TRY(const std::string text, read_text_file(path, kDataBytesMax));
  size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (trim(line).empty()) continue;
    const std::string place = fmt::format("{}:{}", name_of(path), number);
    SQ_TRY(const Value value, parse_json(line).at(place));
    if (!value.is_dict()) return Error{ErrorCode::bad_file, place + ": is no JSON object"};
    SQ_TRY_STATUS(visit(DataRow(value, place)));
  }
  return {};
}

}  // namespace squish
