// A compressed directory whose matrices are trellis-coded, from the file to logits: dense and with
// experts.
#include <cmath>
#include <map>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "format/hf_directory.h"
#include "kernels/testing/random_trellis.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish {
namespace {

using testing::LoadedModel;
using testing::RandomTrellis;
using testing::SafetensorsBuilder;
using testing::TemporaryDirectory;
using testing::TinyModel;

/// Writes `name` with random codes in place of its matrices; tables and vectors as they are. A
/// tensor whose name contains `forced` is coded in any case.
std::string write_trellis_model(std::string_view name, const TemporaryDirectory& directory,
                                std::string_view forced = "-") {
  const TinyModel tiny(name);
  const TemporaryDirectory plain;
  const auto source = HfDirectory::open(tiny.write_hf(plain, DType::f32));
  EXPECT_TRUE(source.has_value());
  SafetensorsBuilder builder;
  std::string entries;
  uint32_t seed = 0;
  for (const NamedTensor& named : source->tensors()) {
    const TensorView& from = named.tensor;
    const bool is_table = named.name.find("embed") != std::string_view::npos ||
                          from.shape.rank != 2 || from.shape[0] < 2;
    const bool is_coded = !is_table || named.name.find(forced) != std::string_view::npos;
    std::vector<uint64_t> dims(from.shape.dims.begin(), from.shape.dims.begin() + from.shape.rank);
    DType dtype = from.dtype;
    std::string bytes(reinterpret_cast<const char*>(from.data), from.bytes());
    if (is_coded) {
      dtype = static_cast<DType>(static_cast<uint32_t>(DType::t2) + seed % 3);
      const RandomTrellis coded(dtype, from.shape[0], from.shape[1], ++seed);
      bytes.assign(reinterpret_cast<const char*>(coded.view().data), coded.view().bytes());
    }
    entries += fmt::format("{}\"{}\":\"{} {} {:016x}\"", entries.empty() ? "" : ",", named.name,
                           type_info(dtype).name, fmt::join(dims, "x"), hash64(as_bytes(bytes)));
    if (is_coded) dims = {bytes.size()};
    builder.add_tensor(named.name, dims, is_coded ? "U8" : "F32", bytes);
  }
  tiny.write_hf(directory, DType::f32);
  builder.write(directory.file("model.safetensors"));
  std::string config = tiny.config_json();
  config.resize(config.rfind('}'));
  directory.write("config.json",
                  config + fmt::format(R"(,"quantization_config":{{"quant_method":"squish",)"
                                       R"("format_version":1,"format":"sq3","tensors":{{{}}}}}}})",
                                       entries));
  return directory.path();
}

TEST(TrellisModel, runs_the_same_on_cpu_as_on_ref) {
  for (const std::string_view name : {"llama", "qwen3moe"}) {
    const TemporaryDirectory directory;
    const std::string path = write_trellis_model(name, directory);
    ThreadPool pool(2);
    LoadedModel ref(path);
    LoadedModel cpu(path, 0, make_cpu_backend(pool).value());
    ASSERT_NE(ref.model, nullptr) << name;
    ASSERT_NE(cpu.model, nullptr) << name;
    const std::vector<int32_t> ids = {3, 17, 5, 40, 9, 21, 2, 30};
    const std::vector<float> expected = ref.run(ids, ids.size());
    const std::vector<float> actual = cpu.run(ids, ids.size());
    double error = 0;
    double energy = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double gap = static_cast<double>(actual[i]) - static_cast<double>(expected[i]);
      error += gap * gap;
      energy += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
    }
    // Seven products in a row, each with activations rounded by about 0.6 % (-44 dB) and, in
    // prompts, weights by 0.8 % (-42 dB): 2.7 %, which norms and softmax make two to three times.
    EXPECT_LT(std::sqrt(error / energy), 0.08) << name;
    EXPECT_GT(energy, 0) << name;
  }
}

TEST(TrellisModel, a_coded_embedding_is_refused_by_name) {
  const TemporaryDirectory directory;
  const std::string path = write_trellis_model("llama", directory, "embed");
  const auto files = ModelFiles::open(path);
  ASSERT_TRUE(files.has_value());
  const auto backend = make_ref_backend();
  const auto model = Model::create(*files, *backend, {0});
  ASSERT_FALSE(model.has_value());
  EXPECT_NE(model.error().message.find("embed"), std::string::npos) << model.error().message;
  EXPECT_NE(model.error().message.find("compress it to int4"), std::string::npos);
}

}  // namespace
}  // namespace squish
