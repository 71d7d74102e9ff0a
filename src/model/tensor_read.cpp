#include "model/tensor_read.h"

#include <fmt/format.h>

#include "tensor/formats.h"

namespace squish {

Result<std::vector<float>> read_vector(const ModelFiles& files, std::string_view name,
                                       uint64_t length) {
  SQ_TRY(const TensorView view, files.find_tensor(name));
  if (view.shape.elements() != length || view.row_length() != length) {
    return Error{ErrorCode::bad_file, fmt::format("{}: tensor {} is {}, expected [{}]", files.path,
                                                  name, to_string(view.shape), length)};
  }
  if (type_info(view.dtype).is_quantized) {
    return Error{ErrorCode::bad_file, fmt::format("{}: tensor {} is {}, expected f32, f16 or bf16",
                                                  files.path, name, type_info(view.dtype).name)};
  }
  std::vector<float> out(length);
  decode_row(view.dtype, view.data, length, out.data());
  return out;
}

}  // namespace squish
