// Models through the npy directory format and back.
#include <cmath>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "compress/compress.h"
#include "compress/export_npy.h"
#include "compress/import_npy.h"
#include "compress/testing/silent.h"
#include "format/testing/temporary_directory.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish::compress {
namespace {

namespace fs = std::filesystem;
using ::squish::testing::LoadedModel;
using ::squish::testing::TemporaryDirectory;
using ::squish::testing::TinyModel;
using ::testing::HasSubstr;

class NpyModel : public ::testing::Test {
 protected:
  Result<NpyExportSummary> pack(const std::string& input, std::string_view format, int zstd = 0) {
    SQ_TRY(const ModelFiles files, ModelFiles::open(input));
    NpyExportOptions options;
    options.format = format;
    options.zstd_level = zstd;
    options.force = true;
    ThreadPool pool(2);
    Silent silent;
    return export_npy(files, npy(), options, pool, silent, never);
  }
  Result<Summary> compress_it(std::string_view format = "int8") {
    CompressOptions options;
    options.input = npy();
    options.output = directory_.file("out");
    options.format = format;
    options.calibrate = false;
    options.evaluation_tokens = 0;
    options.force = true;
    ThreadPool pool(2);
    Silent silent;
    return compress::run(options, pool, silent, never);
  }
  /// Relative distance of the logits of the compressed directory from those of `input`.
  double distance(const std::string& input, const TinyModel& tiny) {
    LoadedModel first(input, tiny.context_length());
    LoadedModel second(directory_.file("out"), tiny.context_length());
    const std::vector<float> expected = first.run(tiny.prompt(), 64);
    const std::vector<float> actual = second.run(tiny.prompt(), 64);
    double error = 0;
    double energy = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      error += std::pow(static_cast<double>(expected[i]) - static_cast<double>(actual[i]), 2);
      energy += std::pow(static_cast<double>(expected[i]), 2);
    }
    return std::sqrt(error / energy);
  }
  [[nodiscard]] std::string npy() const { return directory_.file("npy"); }
  TemporaryDirectory source_;
  TemporaryDirectory directory_;
};

TEST_F(NpyModel, comes_back_from_every_kind_of_codes) {
  const TinyModel tiny("llama");
  const std::string input = tiny.write_hf(source_, DType::bf16);
  for (const auto& [format, bound] : {std::pair<std::string_view, double>{"fp16", 0.03},
                                      {"int8", 0.04},
                                      {"int4", 0.35},
                                      {"int3", 0.8}}) {
    const auto packed = pack(input, format);
    ASSERT_TRUE(packed.has_value()) << packed.error().message;
    const auto summary = compress_it();
    ASSERT_TRUE(summary.has_value()) << summary.error().message;
    EXPECT_LT(distance(input, tiny), bound) << format;
    EXPECT_FALSE(fs::exists(directory_.file("out.unpacked")));
  }
}

TEST_F(NpyModel, from_gguf_keeps_the_facts_and_the_vocabulary) {
  const TinyModel tiny("llama");
  const std::string input = tiny.write_gguf(source_, DType::f16);
  ASSERT_TRUE(pack(input, "int8").has_value());
  const auto summary = compress_it();
  ASSERT_TRUE(summary.has_value()) << summary.error().message;
  EXPECT_LT(distance(input, tiny), 0.04);
  ModelFiles files = ModelFiles::open(directory_.file("out")).value();
  EXPECT_TRUE(files.gguf != nullptr);
  EXPECT_TRUE(files.load_tokenizer("").has_value());
}

TEST_F(NpyModel, sqint2_counts_its_kinds_and_comes_back) {
  const TinyModel tiny("llama");
  const std::string input = tiny.write_hf(source_, DType::bf16);
  const auto packed = pack(input, "sqint2");
  ASSERT_TRUE(packed.has_value()) << packed.error().message;
  size_t tensors = 0;
  for (const auto& [kind, count] : packed->tensors) tensors += count;
  EXPECT_EQ(tensors, ModelFiles::open(input).value().tensors().size());
  const auto summary = compress_it();
  ASSERT_TRUE(summary.has_value()) << summary.error().message;
}

TEST_F(NpyModel, compressed_arrays_give_the_same_weights) {
  const TinyModel tiny("llama");
  const std::string input = tiny.write_hf(source_, DType::bf16);
  ASSERT_TRUE(pack(input, "int4").has_value());
  ASSERT_TRUE(compress_it().has_value());
  const std::string plain = read_file(directory_.file("out/model.safetensors"), 1 << 26).value();
  ASSERT_TRUE(pack(input, "int4", 3).has_value());
  ASSERT_TRUE(compress_it().has_value());
  EXPECT_EQ(read_file(directory_.file("out/model.safetensors"), 1 << 26).value(), plain);
}

TEST_F(NpyModel, without_a_configuration_says_what_to_copy) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  ASSERT_TRUE(pack(input, "int8").has_value());
  fs::remove(npy() + "/config.json");
  const auto summary = compress_it();
  ASSERT_FALSE(summary.has_value());
  EXPECT_THAT(summary.error().message, HasSubstr("copy it and the tokenizer files"));
}

TEST_F(NpyModel, does_not_replace_what_is_no_npy_directory) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  ASSERT_TRUE(make_directories(npy() + "/precious").has_value());
  const auto packed = pack(input, "int8");
  ASSERT_FALSE(packed.has_value());
  EXPECT_THAT(packed.error().message, HasSubstr("it is no npy directory"));
  EXPECT_TRUE(fs::exists(npy() + "/precious"));
}

TEST_F(NpyModel, refuses_an_unknown_kind_with_the_list) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  const auto packed = pack(input, "int5");
  ASSERT_FALSE(packed.has_value());
  EXPECT_THAT(packed.error().message, HasSubstr("sqint2, int4, int3, int8, fp16"));
}

/// Arrays of a coded matrix, changed one by one: each is refused by one line that names the tensor.
TEST_F(NpyModel, a_damaged_sqint2_tensor_is_refused_by_name) {
  TinyModel tiny("llama");
  const std::string input = tiny.write_hf(source_, DType::bf16);
  ASSERT_TRUE(pack(input, "int8").has_value());
  // The tiny networks have fewer than four layers, so that the rule gives them no sqint2: a tensor
  // that claims to be one by a header alone.
  const NpyDirectory directory = NpyDirectory::open(npy()).value();
  const auto entry = std::ranges::find_if(
      directory.entries(), [](const NpyDirectory::Entry& e) { return e.kind == NpyKind::int8; });
  ASSERT_NE(entry, directory.entries().end());
  const auto path = [&](std::string_view suffix) {
    return fmt::format("{}/tensors/{}{}.npy", npy(), entry->key, suffix);
  };
  const NpyTensor tensor = directory.load(*entry).value();
  const uint64_t rows = tensor.rows();
  const uint64_t columns = tensor.columns();
  fs::remove(path("__q"));
  fs::remove(path("__s"));
  const uint64_t padded = (columns + 31) / 32 * 32;
  const auto write = [&](std::string_view suffix, NpyType type, uint64_t a, uint64_t b,
                         size_t element) {
    const std::vector<std::byte> zeros(a * b * element);
    ASSERT_TRUE(write_npy(path(suffix), type, {{a, b, 1, 1}, 2}, zeros).has_value());
  };
  const auto write_meta = [&](std::array<double, 16> meta) {
    ASSERT_TRUE(write_npy(path("__sqint2_meta"), NpyType::f64, {{16, 1, 1, 1}, 1},
                          {reinterpret_cast<const std::byte*>(meta.data()), sizeof(meta)})
                    .has_value());
  };
  write("__sqint2_idx", NpyType::u8, rows, padded / 4, 1);
  write("__sqint2_scales", NpyType::f32, rows, padded / 32, 4);
  write("__sqint2_zp", NpyType::f32, rows, padded / 32, 4);
  const std::array<double, 16> good = {
      1, static_cast<double>(columns), static_cast<double>(rows), 32, 42, 2, 1, 1, 16, 16, 0.01};
  write_meta(good);
  ASSERT_TRUE(compress_it().has_value()) << "zeros are a matrix, too";
  const auto refused = [&](const std::string& what) {
    const auto summary = compress_it();
    ASSERT_FALSE(summary.has_value()) << what;
    EXPECT_THAT(summary.error().message, HasSubstr(what));
    EXPECT_THAT(summary.error().message, HasSubstr(entry->name));
  };
  std::array<double, 16> meta = good;
  for (const double version : {0.5, 2.0}) {
    meta[0] = version;
    write_meta(meta);
    refused("version");
  }
  meta = good;
  meta[3] = 64;
  write_meta(meta);
  refused("do not fit the header");
  meta = good;
  meta[1] += 32;
  write_meta(meta);
  refused("__sqint2_meta says");
  write_meta(good);
  write("__sqint2_scales", NpyType::f16, rows, padded / 32, 2);
  refused("__sqint2_scales is f16, expected f32");
  write("__sqint2_scales", NpyType::f32, rows, padded / 32, 4);
  write("__sqint2_L", NpyType::f16, rows, 16, 2);
  refused("its companions are there");
  write("__sqint2_R", NpyType::f16, 8, padded, 2);
  refused("factors do not fit");
}

}  // namespace
}  // namespace squish::compress
