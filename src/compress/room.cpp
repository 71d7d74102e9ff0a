#include "compress/room.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/strings.h"
#include "compress/output.h"
#include "tensor/dtype.h"

namespace squish::compress {
namespace {

constexpr uint64_t kWorkBytes = 2'000'000'000;  // of a run, besides the pages of both models
constexpr uint64_t kDiskReserve = 64 << 20;     // small files, and what others write meanwhile
constexpr uint32_t kPlainBits = 16;

uint64_t add(uint64_t a, uint64_t b) {
  return a > std::numeric_limits<uint64_t>::max() - b ? std::numeric_limits<uint64_t>::max()
                                                      : a + b;
}

/// bytes * numerator / denominator, rounded up. A listing may claim any size.
uint64_t scaled(uint64_t bytes, double numerator, double denominator) {
  const double out = static_cast<double>(bytes) * numerator / denominator + 1;
  return out < 1.8e19 ? static_cast<uint64_t>(out) : std::numeric_limits<uint64_t>::max();
}

/// The file system that `path` is or will be on. Nothing where nobody says.
std::optional<dev_t> device_of(std::string path) {
  struct stat info = {};
  while (::stat(path.c_str(), &info) != 0) {
    const std::string parent = std::filesystem::path(path).parent_path().string();
    if (parent == path || path.empty()) return std::nullopt;
    path = parent.empty() ? "." : parent;
  }
  return info.st_dev;
}

Status check_one(const std::string& path, uint64_t bytes, const char* what) {
  SQ_TRY(const uint64_t free_bytes, free_disk_bytes(path));
  const uint64_t needed = add(bytes, kDiskReserve);
  if (free_bytes >= needed) return {};
  return Error{
      ErrorCode::io,
      fmt::format("{}: {} {}, {} is free there; make room, or name other places with "
                  "--models-dir and --output",
                  printable(path, 512), what, human_bytes(needed), human_bytes(free_bytes))};
}

}  // namespace

Room room_for(const ListedModel& model, const FormatRow& format, uint64_t memory_bytes) {
  Room room;
  room.source_bytes = model.weight_bytes;
  if (model.packed_bits > 0) {
    room.source_bytes = scaled(model.weight_bytes, kPlainBits, model.packed_bits);
    room.unpacked_bytes = room.source_bytes;
  }
  room.peak_bytes = add(add(room.source_bytes, room.source_bytes), kWorkBytes);
  if (room.peak_bytes > memory_bytes) room.reading = Reading::by_layers;
  const std::optional<DType> linear = dtype_from_name(format.linear);
  const double bits = linear ? bits_per_weight(*linear) : kPlainBits;
  room.result_bytes = scaled(room.source_bytes, bits, kPlainBits);
  return room;
}

Status check_disk(const DiskNeeds& needs) {
  const auto source = device_of(needs.source);
  if (source && source == device_of(needs.output)) {
    return check_one(needs.source, add(needs.source_bytes, needs.output_bytes),
                     "source and result take");
  }
  SQ_TRY_STATUS(check_one(needs.source, needs.source_bytes, "the source takes"));
  return check_one(needs.output, needs.output_bytes, "the result takes");
}

}  // namespace squish::compress
