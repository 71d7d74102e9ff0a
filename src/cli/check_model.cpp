#include "cli/check_model.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

#include <fmt/format.h>

#include "base/strings.h"
#include "compress/roles.h"
#include "format/quality_gates.h"
#include "model/arch_table.h"
#include "tensor/formats.h"
#include "tensor/trellis.h"

namespace squish::cli {
namespace {

using compress::Role;

constexpr uint64_t kSmallModel = 1'000'000'000;
/// Below these many bits a weight a class is named. Attention is a small part of a model and the
/// part that suffers first; tables and heads are read by every token.
struct Floor {
  Role role;
  double bits;
};
constexpr std::array kFloors = {
    Floor{Role::q, 3}, Floor{Role::k, 3},    Floor{Role::v, 3},         Floor{Role::qkv, 3},
    Floor{Role::o, 3}, Floor{Role::head, 4}, Floor{Role::embedding, 3}, Floor{Role::down, 2.5}};

bool is_side_data(Role role) {
  return role == Role::other || role == Role::attention_norm || role == Role::mlp_norm ||
         role == Role::v_bias;
}

std::string class_name(Role role) {
  return is_side_data(role) ? "norms and others" : std::string(compress::name_of(role));
}

void add_tensor(const NamedTensor& named, TensorClass& out) {
  const double bits = bits_per_weight(named.tensor.dtype);
  if (out.tensors == 0 || bits < out.lowest_bits) {
    out.lowest_bits = bits;
    out.lowest_tensor = named.name;
  }
  ++out.tensors;
  out.weights += named.tensor.shape.elements();
  out.bytes += named.tensor.bytes();
  ++out.types[std::string(type_info(named.tensor.dtype).name)];
}

struct TensorScan {
  uint64_t not_finite = 0;
  uint64_t zero_rows = 0;
  bool is_constant = true;
};

/// Codes are always finite and hardly ever all zero: what can be wrong with a trellis matrix lies
/// in its scales of rows and columns.
TensorScan scan_trellis(const TensorView& matrix) {
  const TrellisLayout layout(matrix.dtype, matrix.shape[0], matrix.shape[1]);
  std::vector<float> su(layout.padded_columns());
  std::vector<float> sv(layout.padded_rows());
  decode_trellis_scales(matrix, su.data(), sv.data());
  su.resize(layout.columns);
  sv.resize(layout.rows);
  const auto is_bad = [](float value) { return !std::isfinite(value); };
  const auto bad_columns = static_cast<uint64_t>(std::count_if(su.begin(), su.end(), is_bad));
  const auto bad_rows = static_cast<uint64_t>(std::count_if(sv.begin(), sv.end(), is_bad));
  TensorScan out;
  out.not_finite = bad_rows * layout.columns + (layout.rows - bad_rows) * bad_columns;
  const bool no_columns = std::all_of(su.begin(), su.end(), [](float s) { return s == 0; });
  out.zero_rows =
      no_columns ? layout.rows : static_cast<uint64_t>(std::count(sv.begin(), sv.end(), 0.0F));
  out.is_constant = out.zero_rows == layout.rows;
  return out;
}

TensorScan scan_tensor(const TensorView& tensor, ThreadPool& pool) {
  if (is_trellis(tensor.dtype) && tensor.shape.rank == 2) return scan_trellis(tensor);
  if (is_trellis(tensor.dtype)) {  // the matrices of experts
    TensorScan all;
    for (uint64_t i = 0; tensor.shape.rank > 2 && i < tensor.shape[0]; ++i) {
      const TensorScan one = scan_tensor(tensor.slice(i), pool);
      all.not_finite += one.not_finite;
      all.zero_rows += one.zero_rows;
      all.is_constant = all.is_constant && one.is_constant;
    }
    return all;
  }
  const uint64_t rows = tensor.row_count();
  const auto length = static_cast<size_t>(tensor.row_length());
  TensorScan out;
  if (rows == 0) return out;
  std::vector<float> first(length);
  decode_row(tensor.dtype, tensor.row(0), length, first.data());
  const float sample = first[0];
  std::atomic<uint64_t> not_finite{0};
  std::atomic<uint64_t> zero_rows{0};
  std::atomic<bool> is_constant{true};
  pool.parallel_for(rows, 16, [&](size_t begin, size_t end, int /*thread*/) {
    std::vector<float> values(length);
    uint64_t bad = 0;
    uint64_t zeros = 0;
    bool same = true;
    for (size_t row = begin; row < end; ++row) {
      decode_row(tensor.dtype, tensor.row(row), length, values.data());
      bool is_zero = true;
      for (const float value : values) {
        bad += std::isfinite(value) ? 0U : 1U;
        is_zero = is_zero && value == 0;
        same = same && value == sample;
      }
      zeros += is_zero ? 1U : 0U;
    }
    not_finite += bad;
    zero_rows += zeros;
    if (!same) is_constant = false;
  });
  out.not_finite = not_finite;
  out.zero_rows = zero_rows;
  out.is_constant = is_constant;
  return out;
}

void read_values(const ModelFiles& files, const compress::RoleTable& roles, ThreadPool& pool,
                 ValueFacts& out) {
  out.were_read = true;
  for (const NamedTensor& named : files.tensors()) {
    const TensorScan scan = scan_tensor(named.tensor, pool);
    if (scan.not_finite > 0 && out.not_finite == 0) out.not_finite_tensor = named.name;
    out.not_finite += scan.not_finite;
    const Role role = roles.find(named.name).role;
    // Norms that are all 1 and rows of unused tokens are as they should be.
    if (is_side_data(role) || role == Role::embedding || role == Role::head) continue;
    out.zero_rows += scan.zero_rows;
    if (scan.is_constant && named.tensor.shape.elements() > 1)
      out.constant_tensors.emplace_back(named.name);
  }
}

void warn_of_bits(const CheckResult& result, const std::map<std::string, Role>& roles,
                  uint64_t parameters, std::vector<std::string>& out) {
  for (const TensorClass& one : result.classes) {
    const auto role = roles.find(one.name);
    if (role == roles.end()) continue;
    for (const Floor& floor : kFloors) {
      if (floor.role != role->second || one.lowest_bits >= floor.bits) continue;
      out.push_back(fmt::format(
          "{}: {} has {:.2f} bits a weight; below {:g} this part of a model costs the most "
          "quality",
          one.name, printable(one.lowest_tensor, 100), one.lowest_bits, floor.bits));
    }
  }
  if (parameters < kSmallModel && result.bits() < 3.5) {
    out.push_back(
        fmt::format("{:.2f} bits a weight for {:.0f} M parameters: models below 1 B lose "
                    "much more than large ones at so few bits",
                    result.bits(), static_cast<double>(parameters) / 1e6));
  }
}

void warn_of_values(const ValueFacts& values, CheckResult& result) {
  if (values.not_finite > 0) {
    result.is_damaged = true;
    result.warnings.push_back(fmt::format("{} weights are no numbers, the first in {}",
                                          values.not_finite,
                                          printable(values.not_finite_tensor, 100)));
  }
  for (const std::string& name : values.constant_tensors) {
    result.warnings.push_back(
        fmt::format("{}: all of its values are the same", printable(name, 100)));
  }
  if (values.zero_rows > 0) {
    result.warnings.push_back(
        fmt::format("{} rows of the layers' matrices are all zero: their outputs say nothing",
                    values.zero_rows));
  }
}

void warn_of_format(const ModelFiles& files, uint64_t parameters, std::vector<std::string>& out) {
  if (!files.packed) return;
  const BlockedPair* blocked = find_blocked(family_of_architecture(files.architecture()),
                                            parameters, files.packed->format());
  if (blocked == nullptr) return;
  out.push_back(fmt::format("{} is blocked for this model: {}; use {}", files.packed->format(),
                            blocked->reason, blocked->alternative));
}

}  // namespace

Result<CheckResult> check_model(const ModelFiles& files, uint64_t parameters, bool reads_values,
                                ThreadPool& pool) {
  SQ_TRY(const Network network, read_network(files, {}));
  const compress::RoleTable roles(network);
  std::map<std::string, TensorClass> classes;
  std::map<std::string, Role> role_of_class;
  CheckResult result;
  for (const NamedTensor& named : files.tensors()) {
    const Role role = roles.find(named.name).role;
    const std::string name = class_name(role);
    role_of_class[name] = is_side_data(role) ? Role::other : role;
    TensorClass& one = classes[name];
    one.name = name;
    add_tensor(named, one);
    result.weights += named.tensor.shape.elements();
    result.bytes += named.tensor.bytes();
  }
  for (auto& entry : classes) result.classes.push_back(std::move(entry.second));
  std::ranges::stable_sort(result.classes, std::greater{}, &TensorClass::bytes);
  warn_of_bits(result, role_of_class, parameters, result.warnings);
  warn_of_format(files, parameters, result.warnings);
  if (!reads_values) return result;
  read_values(files, roles, pool, result.values);
  warn_of_values(result.values, result);
  if (files.packed) {
    const Status verified = files.packed->verify();
    if (!verified) {
      result.is_damaged = true;
      result.warnings.push_back(verified.error().message);
    }
  }
  return result;
}

}  // namespace squish::cli
