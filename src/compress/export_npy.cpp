#include "compress/export_npy.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"
#include "base/strings.h"
#include "compress/describe.h"
#include "compress/encode.h"
#include "compress/npy_route.h"
#include "compress/output.h"
#include "compress/source.h"
#include "format/quality_gates.h"
#include "model/arch_table.h"
#include "quant/group_affine.h"
#include "quant/sqint2.h"
#include "tensor/formats.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

namespace fs = std::filesystem;

constexpr size_t kGroup4 = 32;
constexpr size_t kGroup8 = 64;

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(T)};
}

Shape shape2(uint64_t rows, uint64_t columns) { return {{rows, columns, 1, 1}, 2}; }

uint64_t planned_bytes(const TensorView& source, NpyKind kind) {
  const uint64_t rows = source.row_count();
  const uint64_t columns = source.row_length();
  const uint64_t count = rows * columns;
  switch (kind) {
    case NpyKind::int4:
    case NpyKind::int4_old:
      return count / 2 + 8 * rows * (columns / quant::fitting_group(columns, kGroup4));
    case NpyKind::int3:
      return count + 8 * rows * (columns / quant::fitting_group(columns, kGroup4));
    case NpyKind::int8:
      return count + 4 * rows * (columns / quant::fitting_group(columns, kGroup8));
    case NpyKind::sqint2: {
      const quant::Sqint2Options options;
      const uint64_t padded = (columns + options.group - 1) / options.group * options.group;
      const auto sparse = static_cast<uint64_t>(
          std::llround(options.sparse_fraction * static_cast<double>(rows * padded)));
      return rows * padded / 4 + 8 * rows * (padded / options.group) +
             2 * options.rank * (rows + padded) + 10 * sparse + 128;
    }
    case NpyKind::plain:
      return count * (source.shape.rank >= 2 ? 2 : 4);
  }
  return 0;
}

/// Codes of an odd number of columns have no whole bytes; such a matrix stays at 16 bits.
NpyKind fitting_kind(NpyKind kind, const TensorView& source) {
  const bool is_packed = kind == NpyKind::int4 || kind == NpyKind::int3;
  return is_packed && source.row_length() % 2 != 0 ? NpyKind::plain : kind;
}

class Writer {
 public:
  Writer(std::string directory, int zstd_level, ThreadPool& pool)
      : directory_(std::move(directory)), level_(zstd_level), pool_(pool) {}

  Status write(const NpyPlanned& planned, NpyExportSummary& summary);

 private:
  Status array(std::string_view suffix, NpyType type, const Shape& shape, Bytes data) {
    return write_npy(fmt::format("{}/tensors/{}{}.npy", directory_, key_, suffix), type, shape,
                     data, level_);
  }
  Status write_groups(const quant::GroupCodes& codes, NpyKind kind);
  Status write_sqint2(const quant::Sqint2Matrix& matrix);
  Status write_plain(const NpyPlanned& planned, const std::vector<float>& weights);
  void measure(const std::vector<float>& wanted, const std::vector<float>& coded,
               NpyExportSummary& summary) const;

  std::string directory_;
  int level_;
  ThreadPool& pool_;
  std::string key_;
  quant::RotationCache rotations_;
};

std::vector<float> read_tensor(const TensorView& source, ThreadPool& pool) {
  const size_t length = source.row_length();
  std::vector<float> out(source.row_count() * length);
  if (is_trellis(source.dtype)) {
    const uint64_t rows = source.shape[source.shape.rank - 2];
    const TrellisLayout layout(source.dtype, rows, length);
    for (uint64_t i = 0; i < source.row_count() / rows; ++i) {
      decode_trellis({source.data + i * layout.bytes, source.dtype, shape2(rows, length)},
                     out.data() + i * rows * length);
    }
    return out;
  }
  pool.parallel_for(source.row_count(), 8, [&](size_t begin, size_t end, int) {
    for (size_t r = begin; r < end; ++r) {
      decode_row(source.dtype, source.row(r), length, out.data() + r * length);
    }
  });
  release_pages(source.row(0), source.row_count() * source.row_stride_bytes());
  return out;
}

std::vector<float> decode_groups(const quant::GroupCodes& codes, bool is_signed) {
  std::vector<float> out(codes.rows * codes.columns);
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t group =
        i / codes.columns * (codes.columns / codes.group) + i % codes.columns / codes.group;
    const float code = is_signed ? static_cast<float>(static_cast<int8_t>(codes.codes[i]))
                                 : static_cast<float>(codes.codes[i]);
    out[i] = codes.scales[group] * code + (codes.offsets.empty() ? 0.0F : codes.offsets[group]);
  }
  return out;
}

Status Writer::write_groups(const quant::GroupCodes& codes, NpyKind kind) {
  const Shape side = shape2(codes.rows, codes.columns / codes.group);
  if (kind == NpyKind::int8) {
    SQ_TRY_STATUS(
        array("__q", NpyType::i8, shape2(codes.rows, codes.columns), bytes_of(codes.codes)));
    return array("__s", NpyType::f32, side, bytes_of(codes.scales));
  }
  if (kind == NpyKind::int3) {
    SQ_TRY_STATUS(
        array("__q3", NpyType::u8, shape2(codes.rows, codes.columns), bytes_of(codes.codes)));
    SQ_TRY_STATUS(array("__s3", NpyType::f32, side, bytes_of(codes.scales)));
    return array("__z3", NpyType::f32, side, bytes_of(codes.offsets));
  }
  std::vector<uint8_t> packed(codes.codes.size() / 2);
  for (size_t i = 0; i < packed.size(); ++i) {
    packed[i] = static_cast<uint8_t>(codes.codes[2 * i] | (codes.codes[2 * i + 1] << 4));
  }
  SQ_TRY_STATUS(
      array("__q4a", NpyType::u8, shape2(codes.rows, codes.columns / 2), bytes_of(packed)));
  SQ_TRY_STATUS(array("__s4a", NpyType::f32, side, bytes_of(codes.scales)));
  return array("__z4a", NpyType::f32, side, bytes_of(codes.offsets));
}

Status Writer::write_sqint2(const quant::Sqint2Matrix& m) {
  const quant::Sqint2Options& options = m.options;
  const Shape side = shape2(m.rows, m.padded / options.group);
  SQ_TRY_STATUS(
      array("__sqint2_idx", NpyType::u8, shape2(m.rows, m.padded / 4), bytes_of(m.indices)));
  SQ_TRY_STATUS(array("__sqint2_scales", NpyType::f32, side, bytes_of(m.scales)));
  SQ_TRY_STATUS(array("__sqint2_zp", NpyType::f32, side, bytes_of(m.zeros)));
  const std::array<double, 16> meta = quant::sqint2_meta(m);
  SQ_TRY_STATUS(array("__sqint2_meta", NpyType::f64, {{16, 1, 1, 1}, 1},
                      {reinterpret_cast<const std::byte*>(meta.data()), sizeof(meta)}));
  const auto factor = [&](std::string_view suffix, const std::vector<float>& values,
                          const Shape& shape) -> Status {
    if (options.factors_are_f32) return array(suffix, NpyType::f32, shape, bytes_of(values));
    std::vector<uint16_t> halves(values.size());
    std::ranges::transform(values, halves.begin(), f16_from_float);
    return array(suffix, NpyType::f16, shape, bytes_of(halves));
  };
  if (!m.left.empty()) {
    SQ_TRY_STATUS(factor("__sqint2_L", m.left, shape2(m.rows, options.rank)));
    SQ_TRY_STATUS(factor("__sqint2_R", m.right, shape2(options.rank, m.padded)));
  }
  if (m.sparse_values.empty()) return {};
  const Shape list = {{m.sparse_values.size(), 1, 1, 1}, 1};
  SQ_TRY_STATUS(array("__sqint2_srows", NpyType::i32, list, bytes_of(m.sparse_rows)));
  SQ_TRY_STATUS(array("__sqint2_scols", NpyType::i32, list, bytes_of(m.sparse_columns)));
  return array("__sqint2_svals", NpyType::f16, list, bytes_of(m.sparse_values));
}

/// Matrices as f16; vectors as f32, which is exact for every source.
Status Writer::write_plain(const NpyPlanned& planned, const std::vector<float>& weights) {
  const Shape& shape = planned.source.shape;
  if (shape.rank < 2) return array("__pt", NpyType::f32, shape, bytes_of(weights));
  std::vector<uint16_t> halves(weights.size());
  std::ranges::transform(weights, halves.begin(), f16_from_float);
  return array("__pt", NpyType::f16, shape, bytes_of(halves));
}

void Writer::measure(const std::vector<float>& wanted, const std::vector<float>& coded,
                     NpyExportSummary& summary) const {
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto value = static_cast<double>(wanted[i]);
    const double gap = value - static_cast<double>(coded[i]);
    summary.error += gap * gap;
    summary.energy += value * value;
  }
}

Status Writer::write(const NpyPlanned& planned, NpyExportSummary& summary) {
  key_ = npy_key(planned.name);
  const TensorView& source = planned.source;
  const std::vector<float> weights = read_tensor(source, pool_);
  const size_t rows = source.row_count();
  const size_t columns = source.row_length();
  SQ_TRY_STATUS(quant::check_finite(weights, columns));
  std::vector<int64_t> dims;
  dims.reserve(source.shape.rank);
  for (uint32_t i = 0; i < source.shape.rank; ++i) {
    dims.push_back(static_cast<int64_t>(source.shape[i]));
  }
  SQ_TRY_STATUS(array("__shape", NpyType::i64, {{dims.size(), 1, 1, 1}, 1}, bytes_of(dims)));
  if (planned.kind == NpyKind::plain) return write_plain(planned, weights);
  if (planned.kind == NpyKind::sqint2) {
    SQ_TRY(const quant::Sqint2Matrix matrix,
           quant::encode_sqint2(weights, rows, columns, {}, rotations_, &pool_));
    SQ_TRY(const std::vector<float> coded, quant::decode_sqint2(matrix, rotations_, &pool_));
    measure(weights, coded, summary);
    return write_sqint2(matrix);
  }
  const bool is_int8 = planned.kind == NpyKind::int8;
  const size_t group = quant::fitting_group(columns, is_int8 ? kGroup8 : kGroup4);
  const int bits = planned.kind == NpyKind::int3 ? 3 : 4;
  SQ_TRY(const quant::GroupCodes codes,
         is_int8 ? quant::encode_groups_int8(weights, rows, columns, group, &pool_)
                 : quant::encode_groups(weights, rows, columns, group, bits, &pool_));
  measure(weights, decode_groups(codes, is_int8), summary);
  return write_groups(codes, planned.kind);
}

Status write_sidecars(const ModelFiles& files, const std::string& directory) {
  if (files.directory) {
    for (const std::string& name : sidecar_files(files.path)) {
      SQ_TRY(const MappedFile map, MappedFile::open(files.path + "/" + name));
      SQ_TRY_STATUS(write_file_atomic(directory + "/" + name, map.bytes()));
    }
  }
  if (files.gguf) {
    const std::string metadata = make_gguf_metadata(*files.gguf);
    SQ_TRY_STATUS(write_file_atomic(directory + "/" + kGgufMetadataName, as_bytes(metadata)));
  }
  SQ_TRY(const std::string config, make_plain_config(files));
  return write_file_atomic(directory + "/config.json", as_bytes(config));
}

Status check_output(const std::string& output, bool force) {
  std::error_code error;
  if (!fs::exists(output, error)) return {};
  if (force && NpyDirectory::is_one(output)) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} exists already; {}", printable(output, 512),
                           NpyDirectory::is_one(output)
                               ? "replace it with --force or name another --output"
                               : "it is no npy directory, so name another --output")};
}

}  // namespace

Result<std::vector<NpyPlanned>> plan_npy(const ModelFiles& files, std::string_view format) {
  const auto names = npy_format_names();
  if (std::ranges::find(names, format) == names.end()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("no kind of npy directory is called '{}'; there are {}",
                             printable(format, 32), fmt::join(names, ", "))};
  }
  SQ_TRY(const Network network, read_network(files, {}));
  uint64_t parameters = 0;
  for (const NamedTensor& named : files.tensors()) parameters += named.tensor.shape.elements();
  SQ_TRY_STATUS(
      check_blocked(family_of_architecture(network.config.architecture), parameters, format));
  std::vector<NpyPlanned> out;
  for (const NamedTensor& named : files.tensors()) {
    if (named.tensor.shape.elements() == 0) continue;
    NpyPlanned planned{std::string(named.name), named.tensor,
                       npy_kind(format, named.name, named.tensor.shape, network.config.layer_count),
                       0};
    planned.kind = fitting_kind(planned.kind, named.tensor);
    planned.bytes = planned_bytes(named.tensor, planned.kind);
    out.push_back(std::move(planned));
  }
  return out;
}

Result<NpyExportSummary> export_npy(const ModelFiles& files, const std::string& given,
                                    const NpyExportOptions& options, ThreadPool& pool,
                                    ProgressSink& progress, const std::function<bool()>& cancel) {
  SQ_TRY(const std::vector<NpyPlanned> plan, plan_npy(files, options.format));
  const std::string output = output_path(given);
  SQ_TRY_STATUS(check_output(output, options.force));
  SQ_TRY(const OutputLock lock, OutputLock::acquire(output));
  const std::string partial = partial_path(output);
  std::error_code error;
  fs::remove_all(partial, error);
  SQ_TRY_STATUS(make_directories(partial + "/tensors"));
  SQ_TRY_STATUS(write_sidecars(files, partial));
  NpyExportSummary summary;
  uint64_t total = 0;
  for (const NpyPlanned& planned : plan) total += planned.bytes;
  std::vector<std::pair<std::string, std::string>> names;
  Writer writer(partial, options.zstd_level, pool);
  for (const NpyPlanned& planned : plan) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted"};
    progress.on_progress("encode", planned.name, summary.bytes, total);
    const Status status = writer.write(planned, summary);
    if (!status) return status.error().at(fmt::format("tensor {}", printable(planned.name)));
    summary.bytes += planned.bytes;
    ++summary.tensors[std::string(name_of(planned.kind))];
    names.emplace_back(planned.name, npy_key(planned.name));
  }
  SQ_TRY_STATUS(finish_npy_directory(partial, names));
  const std::string old = output + ".old";
  if (fs::exists(output, error)) {
    fs::remove_all(old, error);
    fs::rename(output, old, error);
  }
  if (!error) fs::rename(partial, output, error);
  if (error) {
    return Error{ErrorCode::io, fmt::format("{}: cannot be put in place: {}",
                                            printable(output, 512), error.message())};
  }
  fs::remove_all(old, error);
  return summary;
}

}  // namespace squish::compress
