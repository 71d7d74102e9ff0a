#include "compress/formats.h"

#include <array>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/strings.h"
#include "format/quality_gates.h"
#include "tensor/dtype.h"

namespace squish::compress {
namespace {

// Sizes of the 2-bit presets: docs/adr/0015-container.md. Embeddings are looked up by row, which
// trellis tiles do not allow, so they take i3.
constexpr std::array kTable = {
    FormatRow{.name = "int8",
              .summary = "8.5 bits, no visible loss",
              .linear = "q8_0",
              .calibration = Calibration::none},
    FormatRow{.name = "int4",
              .summary = "5.0 bits: 4-bit codes with a scale and an offset for 32 weights",
              .linear = "q4_1",
              .calibration = Calibration::awq},
    FormatRow{.name = "int4x",
              .summary = "4.5 bits: 4-bit codes with 6-bit scales",
              .linear = "q4_k",
              .calibration = Calibration::awq},
    FormatRow{.name = "int3",
              .summary = "3.4 bits; keys, values, embedding and head at 5.0",
              .linear = "i3",
              .kv = "q4_1",
              .embedding = "q4_1",
              .tied = "q4_1",
              .head = "q4_1",
              .calibration = Calibration::awq},
    FormatRow{.name = "mixed_attn",
              .summary = "attention at 16 bits, the rest as int4",
              .linear = "q4_1",
              .attention = "keep",
              .calibration = Calibration::awq},
    FormatRow{.name = "mixed_3_4",
              .summary = "3.4 bits; v and down of critical layers, embedding and head at 5.0",
              .linear = "i3",
              .embedding = "q4_1",
              .tied = "q4_1",
              .head = "q4_1",
              .critical = "q4_1",
              .calibration = Calibration::awq},
    FormatRow{.name = "mixed_3_6",
              .summary = "3.4 bits; v and down of critical layers, embedding and head at 6.6",
              .linear = "i3",
              .embedding = "q6_k",
              .tied = "q6_k",
              .head = "q6_k",
              .critical = "q6_k",
              .calibration = Calibration::awq},
    FormatRow{.name = "mixed_4_6",
              .summary = "4.5 bits; v and down of critical layers, embedding and head at 6.6",
              .linear = "q4_k",
              .embedding = "q6_k",
              .tied = "q6_k",
              .head = "q6_k",
              .critical = "q6_k",
              .calibration = Calibration::awq},
    FormatRow{.name = "mixed_2_6",
              .summary = "2.03 bits on a trellis; v and down of critical layers at 6.6",
              .linear = "t2",
              .embedding = "i3",
              .tied = "q4_1",
              .head = "t4",
              .critical = "q6_k",
              .calibration = Calibration::feedback},
    FormatRow{.name = "sq4",
              .summary = "4.03 bits on a trellis",
              .linear = "t4",
              .embedding = "q4_1",
              .tied = "q4_1",
              .head = "t4",
              .calibration = Calibration::feedback},
    FormatRow{.name = "sq3",
              .summary = "3.03 bits on a trellis; keys and values at 4.03",
              .linear = "t3",
              .kv = "t4",
              .embedding = "i3",
              .tied = "q4_1",
              .head = "t4",
              .calibration = Calibration::feedback},
    FormatRow{.name = "sq2",
              .summary = "2.03 bits on a trellis; under half of int4's file",
              .linear = "t2",
              .kv = "t4",
              .boundary = "t3",
              .embedding = "i3",
              .tied = "i3",
              .head = "t3",
              .calibration = Calibration::feedback},
    FormatRow{.name = "sq2-xs",
              .summary = "as sq2, the first and last layers at 2.03 bits too",
              .linear = "t2",
              .kv = "t4",
              .embedding = "i3",
              .tied = "i3",
              .head = "t3",
              .calibration = Calibration::feedback},
    FormatRow{.name = "mixed",
              .summary = "types chosen tensor by tensor for --target-bits or --target-size",
              .linear = "t2",
              .embedding = "i3",
              .tied = "i3",
              .calibration = Calibration::feedback,
              .is_routed = true,
              .needs_target = true},
};

constexpr std::array<std::string_view, 4> kForeign = {"astc", "hybrid", "aqlm", "nf4"};

}  // namespace

std::span<const FormatRow> format_table() { return kTable; }

Result<const FormatRow*> find_format(std::string_view name) {
  for (const FormatRow& row : kTable) {
    if (row.name == name) return &row;
  }
  SQ_TRY_STATUS(check_blocked("", 0, name));
  for (const std::string_view foreign : kForeign) {
    if (name == foreign) {
      return Error{ErrorCode::unsupported,
                   fmt::format("format {} is not written by squish; int4 is the nearest", name)};
    }
  }
  std::string names;
  for (const FormatRow& row : kTable) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return Error{ErrorCode::invalid_argument,
               fmt::format("no format is called '{}'; there are {}", printable(name, 32), names)};
}

bool may_use_trellis(const FormatRow& format) {
  const std::optional<DType> linear = dtype_from_name(format.linear);
  return linear && !type_info(*linear).has_rows;
}

bool is_critical_layer(int layer, int layer_count) {
  const int eighth = layer_count / 8;
  return layer < eighth || layer >= 7 * layer_count / 8 || (layer - eighth) % 3 == 2;
}

bool is_boundary_layer(int layer, int layer_count) {
  return layer_count < 4 || layer < 2 || layer >= layer_count - 2;
}

}  // namespace squish::compress
