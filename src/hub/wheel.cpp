#include "hub/wheel.h"

#include <memory>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include "base/strings.h"
#include "hub/names.h"

namespace squish::hub {
namespace {

constexpr int kEntriesMax = 100'000;
constexpr size_t kPieceBytes = 1024 * 1024;

struct CloseArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, CloseArchive>;

Error damaged(const std::string& path, archive* reader) {
  const char* detail = archive_error_string(reader);
  return {ErrorCode::bad_file,
          fmt::format("{}: cannot be unpacked: {}", printable(base_name(path), 120),
                      detail == nullptr ? "unknown reason" : printable(detail, 120))};
}

Result<Reader> open_zip(const std::string& path) {
  Reader reader(archive_read_new());
  if (reader == nullptr) return Error{ErrorCode::out_of_memory, "libarchive cannot start"};
  archive_read_support_format_zip_seekable(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), 64 * 1024) != ARCHIVE_OK)
    return damaged(path, reader.get());
  return reader;
}

/// Calls `visit` with each regular file; it returns true to stop there.
Status each_file(const std::string& path, archive* reader,
                 const std::function<bool(const WheelEntry&)>& visit) {
  for (int count = 0; count < kEntriesMax; ++count) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader, &entry);
    if (status == ARCHIVE_EOF) return {};
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return damaged(path, reader);
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || archive_entry_filetype(entry) != AE_IFREG ||
        archive_entry_size(entry) < 0)
      continue;
    if (visit({name, static_cast<uint64_t>(archive_entry_size(entry))})) return {};
  }
  return Error{ErrorCode::bad_file, fmt::format("{}: has more than {} entries",
                                                printable(base_name(path), 120), kEntriesMax)};
}

}  // namespace

Result<WheelEntry> largest_entry(const std::string& wheel_path) {
  SQ_TRY(const Reader reader, open_zip(wheel_path));
  WheelEntry largest;
  SQ_TRY_STATUS(each_file(wheel_path, reader.get(), [&](const WheelEntry& entry) {
    if (largest.name.empty() || entry.bytes > largest.bytes) largest = entry;
    return false;
  }));
  if (largest.name.empty())
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: holds no file", printable(base_name(wheel_path), 120))};
  return largest;
}

Status read_entry(const std::string& wheel_path, const WheelEntry& wanted,
                  const std::function<Status(Bytes)>& sink) {
  SQ_TRY(const Reader reader, open_zip(wheel_path));
  bool found = false;
  SQ_TRY_STATUS(each_file(wheel_path, reader.get(), [&](const WheelEntry& entry) {
    found = entry.name == wanted.name && entry.bytes == wanted.bytes;
    return found;
  }));
  if (!found)
    return Error{ErrorCode::bad_file, fmt::format("{}: changed while it was read",
                                                  printable(base_name(wheel_path), 120))};
  std::vector<std::byte> piece(kPieceBytes);
  uint64_t total = 0;
  for (;;) {
    const la_ssize_t got = archive_read_data(reader.get(), piece.data(), piece.size());
    if (got < 0) return damaged(wheel_path, reader.get());
    if (got == 0) break;
    total += static_cast<uint64_t>(got);
    if (total > wanted.bytes) break;
    SQ_TRY_STATUS(sink({piece.data(), static_cast<size_t>(got)}));
  }
  if (total != wanted.bytes) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: unpacks to another size than the {} bytes it declares",
                             printable(base_name(wheel_path), 120), wanted.bytes)};
  }
  return {};
}

}  // namespace squish::hub
