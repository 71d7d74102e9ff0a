#include "compress/export_gguf.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/strings.h"
#include "compress/describe.h"
#include "compress/encode.h"
#include "compress/layout.h"
#include "compress/output.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

constexpr uint64_t kAlignment = 32;  // of tensors in a GGUF file without a key that says otherwise
constexpr uint64_t kWindowBytes = 32 << 20;
constexpr uint32_t kQuantizationVersion = 2;  // of the block layouts
constexpr size_t kHeadBytes = 24;             // magic, version, two counts

/// The number that stands for "mostly this type" in general.file_type.
struct FileType {
  DType dtype;
  uint32_t number;
};
constexpr std::array kFileTypes = {
    FileType{DType::f32, 0},     FileType{DType::f16, 1},     FileType{DType::q4_0, 2},
    FileType{DType::q4_1, 3},    FileType{DType::q8_0, 7},    FileType{DType::q5_0, 8},
    FileType{DType::q5_1, 9},    FileType{DType::q2_k, 10},   FileType{DType::q3_k, 12},
    FileType{DType::q4_k, 15},   FileType{DType::q5_k, 17},   FileType{DType::q6_k, 18},
    FileType{DType::iq4_nl, 25}, FileType{DType::iq4_xs, 30}, FileType{DType::bf16, 32},
};

struct Exported {
  std::string name;
  TensorView source;
  DType target = DType::f32;
  uint64_t offset = 0;  // from the start of the data
  uint64_t bytes = 0;
  [[nodiscard]] bool is_copied() const { return source.dtype == target; }
};

template <class Number>
void append(std::string& out, Number value) {
  for (size_t i = 0; i < sizeof(Number); ++i) {
    out += static_cast<char>((static_cast<uint64_t>(value) >> (8 * i)) & 0xFF);
  }
}
void append_text(std::string& out, std::string_view text) {
  append(out, uint64_t{text.size()});
  out += text;
}
void append_uint32(std::string& out, std::string_view key, uint32_t value) {
  append_text(out, key);
  append(out, static_cast<uint32_t>(GgufType::u32));
  append(out, value);
}

bool has_gguf_id(DType dtype) { return type_info(dtype).gguf_id != kNoGgufId; }

bool is_matrix(const TensorView& tensor) {
  return tensor.shape.rank >= 2 && tensor.row_count() > 1;
}

/// `wanted`, or the next type that divides the rows.
DType fitting(DType wanted, uint64_t row_length) {
  for (const DType dtype : {wanted, DType::q8_0}) {
    if (row_length % type_info(dtype).block_weights == 0) return dtype;
  }
  return DType::f16;
}

Result<std::optional<DType>> wanted_type_of(const ExportOptions& options) {
  if (options.type.empty()) return std::optional<DType>();
  const std::optional<DType> dtype = dtype_from_name(options.type);
  if (dtype && has_gguf_id(*dtype) && !is_trellis(*dtype) && can_encode(*dtype)) return dtype;
  std::string names;
  for (const FileType& row : kFileTypes) {
    if (!can_encode(row.dtype)) continue;
    names += (names.empty() ? "" : ", ") + std::string(type_info(row.dtype).name);
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("--type is '{}', GGUF files are written with {}",
                           printable(options.type, 32), names)};
}

DType target_of(const TensorView& tensor, std::optional<DType> wanted) {
  if (!is_matrix(tensor)) return tensor.dtype;
  if (wanted) return fitting(*wanted, tensor.row_length());
  if (has_gguf_id(tensor.dtype)) return tensor.dtype;
  const bool is_small = tensor.dtype != DType::t4;  // q4_k has 4.5 bits, t4 is better than that
  return fitting(is_small ? DType::q4_k : DType::q8_0, tensor.row_length());
}

/// Metadata, then a description of every tensor, padded to where the data begins.
std::string make_header(const GgufFile& metadata, const std::vector<Exported>& tensors) {
  std::string out = make_gguf_metadata(metadata);
  uint64_t count = 0;
  for (size_t i = 0; i < 8; ++i) {
    count |= static_cast<uint64_t>(static_cast<uint8_t>(out[16 + i])) << (8 * i);
  }
  std::array<uint64_t, kDTypeCount> bytes = {};
  for (const Exported& tensor : tensors)
    bytes.at(static_cast<size_t>(tensor.target)) += tensor.bytes;
  const auto common = std::max_element(bytes.begin(), bytes.end()) - bytes.begin();
  for (const FileType& row : kFileTypes) {
    if (static_cast<size_t>(row.dtype) != static_cast<size_t>(common)) continue;
    append_uint32(out, "general.file_type", row.number);
    ++count;
  }
  append_uint32(out, "general.quantization_version", kQuantizationVersion);
  ++count;
  std::string head = out.substr(0, 8);
  append(head, uint64_t{tensors.size()});
  append(head, count);
  out.replace(0, kHeadBytes, head);
  for (const Exported& tensor : tensors) {
    const Shape& shape = tensor.source.shape;
    append_text(out, tensor.name);
    append(out, shape.rank);
    for (size_t i = shape.rank; i-- > 0;) append(out, shape[i]);  // innermost first
    append(out, type_info(tensor.target).gguf_id);
    append(out, tensor.offset);
  }
  out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
  return out;
}

class Writer {
 public:
  Writer(WeightFile& file, uint64_t data_begin, ThreadPool& pool,
         const std::function<bool()>& cancel)
      : file_(file), data_begin_(data_begin), pool_(pool), cancel_(cancel) {}

  Status write(const Exported& tensor) {
    if (tensor.is_copied()) return copy(tensor);
    if (is_trellis(tensor.source.dtype)) return write_trellis(tensor);
    const TensorView& source = tensor.source;
    const size_t length = source.row_length();
    return write_rows(tensor, 0, source.row_count(), [&](uint64_t row, float* out) {
      decode_row(source.dtype, source.row(row), length, out);
    });
  }

 private:
  Status copy(const Exported& tensor) {
    for (uint64_t at = 0; at < tensor.bytes; at += kWindowBytes) {
      if (cancel_()) return Error{ErrorCode::cancelled, "interrupted"};
      const uint64_t count = std::min(kWindowBytes, tensor.bytes - at);
      SQ_TRY_STATUS(
          file_.write(data_begin_ + tensor.offset + at, {tensor.source.data + at, count}));
    }
    return {};
  }

  template <class Read>
  Status write_rows(const Exported& tensor, uint64_t first, uint64_t rows, const Read& read) {
    const size_t length = tensor.source.row_length();
    const size_t packed = row_bytes(tensor.target, length);
    const uint64_t step =
        std::min(rows, std::max<uint64_t>(1, kWindowBytes / (length * sizeof(float))));
    AlignedBuffer<float> window(step * length);
    AlignedBuffer<std::byte> out(step * packed);
    for (uint64_t row = 0; row < rows; row += step) {
      if (cancel_()) return Error{ErrorCode::cancelled, "interrupted"};
      const uint64_t count = std::min(step, rows - row);
      pool_.parallel_for(count, 1, [&](size_t begin, size_t end, int) {
        for (size_t i = begin; i < end; ++i) read(row + i, window.data() + i * length);
      });
      Status status =
          encode_rows_as(tensor.target, window.data(), count, length, nullptr, out.data(), pool_);
      if (!status) return status.error().at(fmt::format("tensor {}", printable(tensor.name)));
      SQ_TRY_STATUS(file_.write(data_begin_ + tensor.offset + (first + row) * packed,
                                {out.data(), count * packed}));
    }
    return {};
  }

  Status write_trellis(const Exported& tensor) {
    const Shape& shape = tensor.source.shape;
    const uint64_t rows = shape[shape.rank - 2];
    const size_t length = shape[shape.rank - 1];
    const TrellisLayout layout(tensor.source.dtype, rows, length);
    AlignedBuffer<float> whole(rows * length);
    for (uint64_t index = 0; index < tensor.source.row_count() / rows; ++index) {
      decode_trellis({tensor.source.data + index * layout.bytes, tensor.source.dtype,
                      Shape{{rows, length, 1, 1}, 2}},
                     whole.data());
      SQ_TRY_STATUS(write_rows(tensor, index * rows, rows, [&](uint64_t row, float* out) {
        std::copy_n(whole.data() + row * length, length, out);
      }));
    }
    return {};
  }

  WeightFile& file_;
  uint64_t data_begin_;
  ThreadPool& pool_;
  const std::function<bool()>& cancel_;
};

/// `header`, then what `write` adds, under another name until it is whole. Nothing is left of a
/// file that could not be finished.
Status write_whole(const std::string& path, const std::string& header, uint64_t bytes,
                   const std::function<Status(WeightFile&)>& write) {
  const std::string partial = path + ".partial";
  std::remove(partial.c_str());  // an older one may have other bytes in the gaps
  const auto run = [&]() -> Status {
    SQ_TRY(WeightFile file, WeightFile::open(partial, bytes));
    SQ_TRY_STATUS(file.write(0, as_bytes(header)));
    SQ_TRY_STATUS(write(file));
    SQ_TRY_STATUS(read_back_from_disk(partial));
    if (std::rename(partial.c_str(), path.c_str()) == 0) return {};
    return Error{ErrorCode::io, fmt::format("{}: cannot be put in place: {}", printable(path, 512),
                                            std::strerror(errno))};
  };
  Status status = run();
  if (!status) std::remove(partial.c_str());
  return status;
}

}  // namespace

Result<ExportSummary> export_gguf(const ModelFiles& files, const std::string& given,
                                  const ExportOptions& options, ThreadPool& pool,
                                  ProgressSink& progress, const std::function<bool()>& cancel) {
  if (!files.gguf) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: was not made from a GGUF file, so that the facts and the "
                             "vocabulary that GGUF wants are not in it; pull or convert the source "
                             "as GGUF and compress that",
                             printable(files.path, 512))};
  }
  SQ_TRY(const std::optional<DType> wanted, wanted_type_of(options));
  if (files.gguf->architecture() == "phi3" && files.has_tensor("blk.0.ffn_gate.weight")) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: its joined matrices were taken apart for trellis codes, and GGUF "
                             "programs want this family's joined; export the source, or compress "
                             "it to int4 or int8 and export that",
                             printable(files.path, 512))};
  }
  SQ_TRY(const std::string path, file_to_replace(given));
  if (!options.force && file_exists(path)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} exists already; replace it with --force or name another file",
                             printable(path, 512))};
  }
  // Two runs would write one .partial, and either could put the other's bytes in place.
  SQ_TRY(const OutputLock lock, OutputLock::acquire(path));
  std::vector<Exported> tensors;
  ExportSummary summary;
  uint64_t data_bytes = 0;
  for (const NamedTensor& named : files.tensors()) {
    Exported tensor = {std::string(named.name), named.tensor, target_of(named.tensor, wanted)};
    tensor.offset = data_bytes;
    tensor.bytes = tensor_bytes(tensor.target, named.tensor.shape);
    data_bytes += (tensor.bytes + kAlignment - 1) / kAlignment * kAlignment;
    summary.copied += tensor.is_copied() ? 1U : 0U;
    tensors.push_back(std::move(tensor));
  }
  const std::string header = make_header(*files.gguf, tensors);
  summary.tensors = tensors.size();
  summary.bytes = header.size() + data_bytes;
  const auto write = [&](WeightFile& file) -> Status {
    Writer writer(file, header.size(), pool, cancel);
    for (const Exported& tensor : tensors) {
      progress.on_progress("export", tensor.name, tensor.offset, data_bytes);
      SQ_TRY_STATUS(writer.write(tensor));
    }
    return {};
  };
  SQ_TRY_STATUS(write_whole(path, header, summary.bytes, write));
  return summary;
}

}  // namespace squish::compress
