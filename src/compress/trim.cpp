#include "compress/trim.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "compress/describe.h"
#include "compress/output.h"
#include "compress/roles.h"
#include "compress/source.h"
#include "compress/unpacked.h"
#include "format/json_config.h"
#include "format/json_edit.h"
#include "format/squish_directory.h"
#include "model/arch_table.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

/// Rows of a tensor, or some of them, with all columns or some of them.
class Selection final : public PackedMatrix {
 public:
  explicit Selection(const TensorView& source) : source_(source) {}
  std::vector<uint64_t> kept_rows;     // empty: all
  std::vector<uint64_t> kept_columns;  // empty: all

  [[nodiscard]] uint64_t rows() const override {
    return kept_rows.empty() ? source_.row_count() : kept_rows.size();
  }
  [[nodiscard]] uint64_t columns() const override {
    return kept_columns.empty() ? source_.row_length() : kept_columns.size();
  }
  void decode(uint64_t row, float* out) const override {
    const std::byte* data = source_.row(kept_rows.empty() ? row : kept_rows[row]);
    if (kept_columns.empty()) {
      decode_row(source_.dtype, data, source_.row_length(), out);
      return;
    }
    std::vector<float> whole(source_.row_length());
    decode_row(source_.dtype, data, source_.row_length(), whole.data());
    for (size_t i = 0; i < kept_columns.size(); ++i) out[i] = whole[kept_columns[i]];
  }

 private:
  TensorView source_;
};

Status check_options(const TrimOptions& options) {
  if (!(options.threshold > 0 && options.threshold < 1)) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("--threshold is {}, expected a share above 0 and below 1", options.threshold)};
  }
  if (options.group_size == 0 || options.group_size % 8 != 0) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--group-size is {}, expected a multiple of 8", options.group_size)};
  }
  return {};
}

Status check_network(const ModelFiles& files, const Network& network) {
  const std::string where = printable(files.path, 512);
  if (network.config.moe.expert_count > 0) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: a mixture of experts has no one width to cut", where)};
  }
  if (!network.names.gate_up.empty()) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("{}: gate and up are one tensor, which this verb does not cut", where)};
  }
  return {};
}

/// Sum of |w| of each group of rows.
std::vector<double> group_magnitudes(const TensorView& up, uint64_t group_size, ThreadPool& pool) {
  std::vector<double> rows(up.row_count());
  pool.parallel_for(rows.size(), 8, [&](size_t begin, size_t end, int) {
    std::vector<float> row(up.row_length());
    for (size_t r = begin; r < end; ++r) {
      decode_row(up.dtype, up.row(r), row.size(), row.data());
      double sum = 0;
      for (const float value : row) sum += std::fabs(static_cast<double>(value));
      rows[r] = sum;
    }
  });
  std::vector<double> out(rows.size() / group_size);
  for (size_t r = 0; r < rows.size(); ++r) out[r / group_size] += rows[r];
  return out;
}

std::vector<uint64_t> kept_neurons(const std::vector<bool>& groups, uint64_t group_size) {
  std::vector<uint64_t> out;
  for (uint64_t i = 0; i < groups.size() * group_size; ++i) {
    if (groups[i / group_size]) out.push_back(i);
  }
  return out;
}

std::string dtype_of(const TensorView& view) {
  if (type_info(view.dtype).is_quantized) return "F16";
  return view.dtype == DType::f32 ? "F32" : view.dtype == DType::f16 ? "F16" : "BF16";
}

/// BF16 of a cut matrix would be rounded to F16 on the way: it is written as F32, which holds it.
UnpackedItem make_item(const NamedTensor& named, std::unique_ptr<Selection> selection) {
  UnpackedItem item;
  item.name = std::string(named.name);
  item.dtype = dtype_of(named.tensor);
  const bool is_whole = selection == nullptr;
  const Shape& shape = named.tensor.shape;
  item.dims.assign(shape.dims.begin(), shape.dims.begin() + shape.rank);
  if (is_whole && !type_info(named.tensor.dtype).is_quantized) {
    item.bytes = named.tensor.bytes();
    item.plain = {named.tensor.data, item.bytes};
    return item;
  }
  if (is_whole) selection = std::make_unique<Selection>(named.tensor);
  if (item.dtype == "BF16") item.dtype = "F32";
  if (!is_whole) item.dims = {selection->rows(), selection->columns()};
  const uint64_t count =
      std::accumulate(item.dims.begin(), item.dims.end(), uint64_t{1}, std::multiplies<>());
  item.bytes = count * (item.dtype == "F32" ? sizeof(float) : sizeof(uint16_t));
  std::shared_ptr<Selection> shared = std::move(selection);
  item.open = [shared]() -> Result<std::unique_ptr<PackedMatrix>> {
    return std::unique_ptr<PackedMatrix>(std::make_unique<Selection>(*shared));
  };
  return item;
}

std::vector<UnpackedItem> items_of(const ModelFiles& files, const Network& network,
                                   const TrimPlan& plan, uint64_t group_size) {
  const RoleTable roles(network);
  std::vector<UnpackedItem> items;
  for (const NamedTensor& named : files.tensors()) {
    if (named.tensor.shape.elements() == 0) continue;
    const Place place = roles.find(named.name);
    std::unique_ptr<Selection> selection;
    if (place.role == Role::gate || place.role == Role::up || place.role == Role::down) {
      const auto& groups = plan.kept[static_cast<size_t>(place.layer)];
      selection = std::make_unique<Selection>(named.tensor);
      (place.role == Role::down ? selection->kept_columns : selection->kept_rows) =
          kept_neurons(groups, group_size);
    }
    items.push_back(make_item(named, std::move(selection)));
  }
  return items;
}

Status write_facts(const ModelFiles& files, const Network& network, uint64_t inner,
                   const std::vector<UnpackedItem>& items, const std::string& directory) {
  if (files.gguf) {
    const std::string key = files.architecture() + ".feed_forward_length";
    const GgufValue* value = files.gguf->find(key);
    if (value == nullptr || value->type == GgufType::array) {
      return Error{ErrorCode::unsupported,
                   fmt::format("{}: {} is not one number", printable(files.path, 512), key)};
    }
    const std::string metadata = make_gguf_metadata(*files.gguf, key, static_cast<uint32_t>(inner));
    SQ_TRY_STATUS(write_file_atomic(directory + "/" + kGgufMetadataName, as_bytes(metadata)));
    ModelConfig config = network.config;
    config.feed_forward = static_cast<int>(inner);
    SQ_TRY(const std::string text,
           with_json_member(config_of_gguf(config), "quantization_config",
                            unpacked_quantization_config(items), "config.json"));
    return write_file_atomic(directory + "/config.json", as_bytes(text));
  }
  const std::string where = files.path + "/config.json";
  SQ_TRY(const std::string plain, make_plain_config(files));
  SQ_TRY(const JsonConfig json, JsonConfig::parse(plain, where));
  if (!json.has("intermediate_size")) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("{}: intermediate_size is not at the top of it", printable(where, 512))};
  }
  SQ_TRY(const std::string text,
         with_json_member(plain, "intermediate_size", std::to_string(inner), where));
  return write_file_atomic(directory + "/config.json", as_bytes(text));
}

}  // namespace

Result<TrimPlan> plan_trim(const ModelFiles& files, const TrimOptions& options, ThreadPool& pool) {
  SQ_TRY_STATUS(check_options(options));
  SQ_TRY(const Network network, read_network(files, {}));
  SQ_TRY_STATUS(check_network(files, network));
  TrimPlan plan;
  plan.inner_before = static_cast<uint64_t>(network.config.feed_forward);
  const uint64_t groups = plan.inner_before / options.group_size;
  if (groups * options.group_size != plan.inner_before) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the {} neurons of a layer are not whole groups of {}; choose another "
                             "--group-size",
                             plan.inner_before, options.group_size)};
  }
  const auto cut = std::max<uint64_t>(
      1, static_cast<uint64_t>(std::llround(static_cast<double>(groups) * options.threshold)));
  if (cut >= groups) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--threshold {} cuts {} of {} groups, nothing would be left",
                             options.threshold, cut, groups)};
  }
  plan.inner_after = (groups - cut) * options.group_size;
  const RoleTable roles(network);
  plan.kept.resize(network.config.layers.size());
  plan.magnitude_lost.resize(plan.kept.size());
  for (const NamedTensor& named : files.tensors()) {
    const Place place = roles.find(named.name);
    if (place.role != Role::up) continue;
    if (!type_info(named.tensor.dtype).has_rows) {
      return Error{ErrorCode::unsupported,
                   fmt::format("{}: {} is a trellis code, whose rows cannot be cut; trim the model "
                               "that it was made from",
                               printable(files.path, 512), printable(named.name))};
    }
    const std::vector<double> magnitudes = group_magnitudes(named.tensor, options.group_size, pool);
    std::vector<size_t> order(groups);
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order,
                             [&](size_t a, size_t b) { return magnitudes[a] < magnitudes[b]; });
    auto& kept = plan.kept[static_cast<size_t>(place.layer)];
    kept.assign(groups, true);
    double lost = 0;
    for (uint64_t i = 0; i < cut; ++i) {
      kept[order[i]] = false;
      lost += magnitudes[order[i]];
    }
    const double all = std::accumulate(magnitudes.begin(), magnitudes.end(), 0.0);
    plan.magnitude_lost[static_cast<size_t>(place.layer)] = all > 0 ? lost / all : 0;
  }
  for (const UnpackedItem& item : items_of(files, network, plan, options.group_size)) {
    plan.bytes_after += item.bytes;
  }
  return plan;
}

Status write_trimmed(const ModelFiles& files, const TrimPlan& plan, const TrimOptions& options,
                     const std::string& given, ThreadPool& pool,
                     const std::function<bool()>& cancel) {
  const std::string output = output_path(given);
  std::error_code error;
  if (std::filesystem::exists(output, error)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} exists already; name another --output", printable(output, 512))};
  }
  SQ_TRY(const Network network, read_network(files, {}));
  SQ_TRY(const OutputLock lock, OutputLock::acquire(output));
  const std::string partial = partial_path(output);
  SQ_TRY_STATUS(remove_directory(partial));
  SQ_TRY_STATUS(make_directories(partial));
  std::vector<UnpackedItem> items = items_of(files, network, plan, options.group_size);
  SQ_TRY_STATUS(write_unpacked(items, partial, pool, cancel));
  for (const std::string& name : sidecar_files(files.directory ? files.path : "")) {
    SQ_TRY(const MappedFile map, MappedFile::open(files.path + "/" + name));
    SQ_TRY_STATUS(write_file_atomic(partial + "/" + name, map.bytes()));
  }
  SQ_TRY_STATUS(write_facts(files, network, plan.inner_after, items, partial));
  return publish(partial, output, false);
}

}  // namespace squish::compress
