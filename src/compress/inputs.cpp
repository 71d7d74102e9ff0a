#include "compress/inputs.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/hash.h"
#include "compress/encode.h"
#include "tensor/formats.h"

namespace squish::compress {

Input input_of(Role role) {
  switch (role) {
    case Role::q:
    case Role::k:
    case Role::v:
    case Role::qkv:
      return Input::attention;
    case Role::o:
      return Input::output;
    case Role::gate:
    case Role::up:
    case Role::gate_up:
    case Role::expert_gate:
    case Role::expert_up:
      return Input::mlp;
    case Role::down:
      return Input::down;
    case Role::expert_down:
      return Input::expert_down;
    case Role::head:
      return Input::head;
    case Role::embedding:
    case Role::router:
    case Role::attention_norm:
    case Role::mlp_norm:
    case Role::v_bias:
    case Role::other:
      return Input::none;
  }
  return Input::none;
}

const InputStatistics* find_statistics(const LayerStatistics& layer, Input input) {
  switch (input) {
    case Input::attention:
      return &layer.attention;
    case Input::output:
      return &layer.output;
    case Input::mlp:
      return &layer.mlp;
    case Input::down:
      return &layer.down;
    case Input::expert_down:
    case Input::head:
    case Input::none:
      return nullptr;
  }
  return nullptr;
}

InputStatistics* find_statistics(LayerStatistics& layer, Input input) {
  return const_cast<InputStatistics*>(  // NOLINT(cppcoreguidelines-pro-type-const-cast)
      find_statistics(static_cast<const LayerStatistics&>(layer), input));
}

std::vector<const PlannedTensor*> trellis_members(const Plan& plan, int layer, Input input,
                                                  uint64_t row_length) {
  std::vector<const PlannedTensor*> out;
  for (const PlannedTensor& planned : plan.tensors) {
    const Place& place = planned.source.place;
    const Shape& shape = planned.source.shape;
    const bool is_member = place.layer == layer && input_of(place.role) == input &&
                           shape[shape.rank - 1] == row_length;
    if (is_member && is_trellis(planned.target)) out.push_back(&planned);
  }
  return out;
}

Result<InputFrame> make_frame(std::span<const PlannedTensor* const> members, int layer, Input input,
                              const ModelFiles& files, InputStatistics* statistics,
                              ThreadPool& pool) {
  SQ_CHECK(!members.empty());
  const Shape& shape = members.front()->source.shape;
  const size_t length = shape[shape.rank - 1];
  const uint64_t seed =
      hash64(as_bytes(fmt::format("columns of layer {} input {}", layer, static_cast<int>(input))));
  std::vector<double> energy(length);
  AlignedBuffer<float> rows(kEnergyRows * length);
  for (const PlannedTensor* member : members) {
    SQ_TRY(const TensorView data, files.find_tensor(member->source.name));
    for (uint64_t first = 0; first < data.row_count(); first += kEnergyRows) {
      const uint64_t count = std::min<uint64_t>(kEnergyRows, data.row_count() - first);
      pool.parallel_for(count, 1, [&](size_t begin, size_t end, int) {
        for (size_t i = begin; i < end; ++i) {
          decode_row(data.dtype, data.row(first + i), length, rows.data() + i * length);
        }
      });
      add_column_energy({rows.data(), count, length, length}, energy);
      release_pages(data.row(first), count * data.row_stride_bytes());
    }
  }
  const bool is_fed = statistics != nullptr && statistics->hessian &&
                      statistics->hessian->row_count() > 0 && statistics->length == length;
  if (!is_fed) return InputFrame::plain(length, seed, energy);
  Hessian hessian = std::move(*statistics->hessian);
  statistics->hessian.reset();
  return InputFrame::create(std::move(hessian), seed, energy, pool);
}

}  // namespace squish::compress
