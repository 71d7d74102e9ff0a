#include "compress/compress.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "compress/ldl.h"
#include "compress/memory.h"
#include "compress/output.h"
#include "compress/testing/silent.h"
#include "format/safetensors.h"
#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"
#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

namespace fs = std::filesystem;
using ::squish::testing::LoadedModel;
using ::squish::testing::SafetensorsBuilder;
using ::squish::testing::TemporaryDirectory;
using ::squish::testing::TinyModel;
using ::testing::HasSubstr;

std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(directory)) {
    out[entry.path().filename()] = read_file(entry.path(), 1 << 26).value();
  }
  return out;
}

class CompressTest : public ::testing::Test {
 protected:
  CompressOptions options(const std::string& input, std::string_view format = "int8") {
    CompressOptions out;
    out.input = input;
    out.output = directory_.file("out");
    out.format = format;
    out.evaluation_tokens = 0;
    out.calibration_tokens = 256;
    return out;
  }
  Result<Summary> run(const CompressOptions& given, int threads = 1,
                      const std::function<bool()>& cancel = never) {
    ThreadPool pool(threads);
    Silent silent;
    return compress::run(given, pool, silent, cancel);
  }
  std::string error_of(const CompressOptions& given) {
    const auto result = run(given);
    return result ? "no error" : result.error().message;
  }
  TemporaryDirectory source_;
  TemporaryDirectory directory_;
};

class EveryFamily : public CompressTest, public ::testing::WithParamInterface<std::string_view> {};

/// What 8 bits may move the logits. Routing is a choice: where two experts are nearly as good, any
/// rounding may take the other one.
double bound_of_int8(std::string_view name) {
  return name.find("moe") != std::string_view::npos || name == "mixtral" ? 0.15 : 0.03;
}

/// Relative distance of the logits over the prompt.
double distance(const std::string& a, const std::string& b, const TinyModel& tiny) {
  LoadedModel first(a, tiny.context_length());
  LoadedModel second(b, tiny.context_length());
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

TEST_P(EveryFamily, runs_from_a_hugging_face_directory_nearly_as_before) {
  const TinyModel tiny(GetParam());
  const std::string input = tiny.write_hf(source_, DType::bf16);
  for (const auto& [format, bound] :
       {std::pair{"int8", bound_of_int8(GetParam())}, {"int4", 0.4}, {"sq4", 0.4}}) {
    CompressOptions given = options(input, format);
    given.force = true;
    const auto summary = run(given);
    ASSERT_TRUE(summary.has_value()) << summary.error().message;
    EXPECT_LT(distance(input, given.output, tiny), bound) << format;
  }
}

TEST_P(EveryFamily, runs_from_gguf_with_its_own_facts_and_vocabulary) {
  const TinyModel tiny(GetParam());
  if (!tiny.has_gguf()) GTEST_SKIP() << "this network has no GGUF form";
  const std::string input = tiny.write_gguf(source_, DType::f16);
  const CompressOptions given = options(input);
  const auto summary = run(given);
  ASSERT_TRUE(summary.has_value()) << summary.error().message;
  EXPECT_LT(distance(input, given.output, tiny), bound_of_int8(GetParam()));
  ModelFiles before = ModelFiles::open(input).value();
  ModelFiles after = ModelFiles::open(given.output).value();
  EXPECT_EQ(after.architecture(), before.architecture());
  const std::string text = "Hello, world: 12 x 3";
  EXPECT_EQ(after.load_tokenizer("")->encode(text), before.load_tokenizer("")->encode(text));
  EXPECT_TRUE(after.packed->verify().has_value());
}

INSTANTIATE_TEST_SUITE_P(Tiny, EveryFamily, ::testing::ValuesIn(testing::tiny_model_names()),
                         [](const auto& one) { return std::string(one.param); });

TEST_F(CompressTest, takes_joined_matrices_apart_for_trellis_codes_and_only_for_them) {
  const TinyModel tiny("phi3");
  const std::string input = tiny.write_gguf(source_, DType::f16);
  for (const auto& [format, is_split] : {std::pair{"sq4", true}, {"int4", false}}) {
    CompressOptions given = options(input, format);
    given.force = true;
    const auto summary = run(given);
    ASSERT_TRUE(summary.has_value()) << summary.error().message;
    const ModelFiles files = ModelFiles::open(given.output).value();
    EXPECT_EQ(files.has_tensor("blk.0.attn_q.weight"), is_split) << format;
    EXPECT_EQ(files.has_tensor("blk.0.attn_qkv.weight"), !is_split) << format;
    EXPECT_EQ(files.has_tensor("blk.0.ffn_gate.weight"), is_split) << format;
    if (is_split) {
      EXPECT_EQ(files.find_tensor("blk.0.ffn_up.weight").value().dtype, DType::t4);
    }
    EXPECT_LT(distance(input, given.output, tiny), 0.4) << format;
  }
}

TEST_F(CompressTest, gives_the_same_bytes_for_any_number_of_threads) {
  const std::string input = TinyModel("qwen2").write_hf(source_, DType::bf16);
  CompressOptions given = options(input, "int4");
  given.evaluation_tokens = 64;
  ASSERT_TRUE(run(given, 1).has_value());
  const auto first = files_of(given.output);
  given.force = true;
  ASSERT_TRUE(run(given, 3).has_value());
  EXPECT_EQ(files_of(given.output), first);
}

TEST_F(CompressTest, stopped_at_any_step_goes_on_and_ends_with_the_same_bytes) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input, "int4");
  ASSERT_TRUE(run(given).has_value());
  const auto whole = files_of(given.output);
  given.output = directory_.file("again");
  for (int stop_after = 0; stop_after < 60; ++stop_after) {
    int asked = 0;
    const auto cut = run(given, 1, [&] { return asked++ >= stop_after; });
    if (cut) break;
    ASSERT_EQ(cut.error().code, ErrorCode::cancelled) << cut.error().message;
    ASSERT_FALSE(fs::exists(given.output));
    const auto done = run(given);
    ASSERT_TRUE(done.has_value()) << done.error().message;
    ASSERT_EQ(files_of(given.output), whole) << "stopped after " << stop_after;
    ASSERT_FALSE(fs::exists(partial_path(given.output)));
    fs::remove_all(given.output);
  }
}

TEST_F(CompressTest, gives_the_same_trellis_codes_for_any_threads_and_interruptions) {
  for (const std::string_view network : {"qwen2", "qwen2moe"}) {
    TemporaryDirectory source;
    const std::string input = TinyModel(network).write_hf(source, DType::bf16);
    CompressOptions given = options(input, "sq2");
    given.force = true;
    ASSERT_EQ(error_of(given), "no error");
    const auto whole = files_of(given.output);
    for (const int stop_after : {1, 8, 21}) {
      fs::remove_all(given.output);
      int asked = 0;
      const auto cut = run(given, 1, [&] { return asked++ >= stop_after; });
      ASSERT_FALSE(cut.has_value()) << stop_after;
      ASSERT_EQ(cut.error().code, ErrorCode::cancelled) << cut.error().message;
      const auto done = run(given, 3);
      ASSERT_TRUE(done.has_value()) << done.error().message;
      EXPECT_EQ(files_of(given.output), whole) << network << " stopped after " << stop_after;
    }
  }
}

TEST_F(CompressTest, with_feedback_loses_less_than_without) {
  const TinyModel tiny("llama");
  const std::string input = tiny.write_hf(source_, DType::bf16);
  CompressOptions given = options(input, "sq3");
  given.calibration_tokens = 2048;
  ASSERT_TRUE(run(given, 2).has_value());
  const std::string report = read_file(given.output + "/report.json", 1 << 16).value();
  EXPECT_THAT(report, HasSubstr("ldlq, 2048 tokens of built-in text"));
  const auto signal = [&] {
    const std::string text = read_file(given.output + "/report.json", 1 << 16).value();
    return std::stod(text.substr(text.find("mean_signal_to_error_db") + 26));
  };
  const double fed = signal();
  given.calibrate = false;
  given.force = true;
  ASSERT_TRUE(run(given, 2).has_value());
  EXPECT_GT(fed, signal() + 1);
  EXPECT_LT(distance(input, given.output, tiny), 1.0);
}

TEST(CalibrationTokens, are_four_for_each_column_of_the_widest_trellis_matrix) {
  Plan plan;
  const auto add = [&](Role role, uint64_t columns, DType target) {
    PlannedTensor planned;
    planned.source.shape = Shape{.dims = {128, columns, 1, 1}, .rank = 2};
    planned.source.place.role = role;
    planned.target = target;
    plan.tensors.push_back(planned);
  };
  plan.options.calibration = Calibration::feedback;
  add(Role::q, 896, DType::t2);
  EXPECT_EQ(calibration_tokens_for(plan), 8192) << "at least";
  add(Role::down, 4864, DType::t2);
  EXPECT_EQ(calibration_tokens_for(plan), 4 * 4864);
  add(Role::down, 18'944, DType::i3);
  EXPECT_EQ(calibration_tokens_for(plan), 4 * 4864) << "no Hessian of that one";
  add(Role::down, 18'944, DType::t2);
  EXPECT_EQ(calibration_tokens_for(plan), 32'768) << "at most";
  plan.options.calibration = Calibration::awq;
  EXPECT_EQ(calibration_tokens_for(plan), 8192);
}

TEST_F(CompressTest, tells_the_memory_of_hessians_before_the_first_write) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input, "sq3");
  const uint64_t fed = preview(given)->peak_memory_bytes;
  given.calibrate = false;
  EXPECT_GT(fed, preview(given)->peak_memory_bytes + Hessian::bytes_for(64));
}

TEST_F(CompressTest, does_again_what_was_changed_behind_its_back) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input);
  ASSERT_TRUE(run(given).has_value());
  const auto whole = files_of(given.output);
  fs::remove_all(given.output);
  int asked = 0;
  ASSERT_FALSE(run(given, 1, [&] { return asked++ >= 12; }).has_value());
  const std::string weights = partial_path(given.output) + "/model.safetensors";
  std::string bytes = read_file(weights, 1 << 26).value();
  for (size_t at = 4096; at < bytes.size(); at += 50) bytes[at] = static_cast<char>(bytes[at] ^ 1);
  ASSERT_TRUE(write_file_atomic(weights, as_bytes(bytes)).has_value());
  ASSERT_TRUE(run(given).has_value());
  EXPECT_EQ(files_of(given.output), whole);
}

TEST_F(CompressTest, of_another_format_does_not_go_on_with_what_lies_there) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input);
  int asked = 0;
  ASSERT_FALSE(run(given, 1, [&] { return asked++ >= 12; }).has_value());
  given.format = "int4";
  EXPECT_THAT(error_of(given), HasSubstr("--restart"));
  given.restart = true;
  EXPECT_TRUE(run(given).has_value());
}

TEST_F(CompressTest, leaves_an_output_that_is_there_unless_told) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input);
  ASSERT_TRUE(run(given).has_value());
  EXPECT_THAT(error_of(given), HasSubstr("--force"));
  given.force = true;
  EXPECT_TRUE(run(given).has_value());
  fs::remove_all(given.output);
  ASSERT_TRUE(make_directories(given.output).has_value());
  directory_.write("out/precious.txt", "letters");
  EXPECT_THAT(error_of(given), HasSubstr("no model"));
  EXPECT_TRUE(file_exists(given.output + "/precious.txt"));
}

TEST_F(CompressTest, refuses_what_is_compressed_already) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input);
  ASSERT_TRUE(run(given).has_value());
  given.input = given.output;
  given.output = directory_.file("second");
  EXPECT_THAT(error_of(given), HasSubstr("compressed already (int8)"));
}

TEST_F(CompressTest, needs_a_vocabulary) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  fs::remove(input + "/tokenizer.json");
  EXPECT_THAT(error_of(options(input)), HasSubstr("tokenizer.json"));
  EXPECT_FALSE(fs::exists(directory_.file("out.partial")));
}

TEST_F(CompressTest, needs_weights_of_the_shape_that_the_configuration_says) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  std::string config = read_file(input + "/config.json", 1 << 20).value();
  const size_t at = config.find("\"intermediate_size\": 96");
  ASSERT_NE(at, std::string::npos);
  config.replace(at, 23, "\"intermediate_size\": 64");
  source_.write("config.json", config);
  EXPECT_THAT(error_of(options(input)), HasSubstr("mlp."));
}

/// A tiny model with some weights set to `value`.
std::string write_spoilt(const TemporaryDirectory& directory, std::string_view tensor, float value,
                         bool all) {
  const TinyModel tiny("llama");
  const std::string path = tiny.write_hf(directory, DType::f32);
  std::string file = read_file(path + "/model.safetensors", 1 << 26).value();
  const auto parsed = SafetensorsFile::parse(as_bytes(file), "x");
  const TensorView view = parsed->find_tensor(tensor).value();
  const auto begin = static_cast<size_t>(reinterpret_cast<const char*>(view.data) - file.data());
  const size_t count = all ? view.shape.elements() : 1;
  std::string spoilt = file;
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(spoilt.data() + begin + (all ? i : 130) * sizeof(float), &value, sizeof(value));
  }
  directory.write("model.safetensors", spoilt);
  return path;
}

TEST_F(CompressTest, names_the_first_weight_that_is_no_number) {
  constexpr std::string_view kName = "model.layers.0.mlp.up_proj.weight";
  CompressOptions given =
      options(write_spoilt(source_, kName, std::numeric_limits<float>::quiet_NaN(), false));
  EXPECT_THAT(error_of(given), HasSubstr("up_proj.weight holds NaN at row 2, column 2"));
  given.input = write_spoilt(source_, kName, std::numeric_limits<float>::infinity(), false);
  given.restart = true;
  EXPECT_THAT(error_of(given), HasSubstr("an infinity at row 2, column 2"));
  EXPECT_FALSE(fs::exists(given.output));
}

TEST_F(CompressTest, says_when_weights_are_too_large_for_the_type) {
  const CompressOptions given =
      options(write_spoilt(source_, "model.layers.0.mlp.up_proj.weight", 1e30F, false));
  EXPECT_THAT(error_of(given), HasSubstr("--passthrough"));
}

TEST_F(CompressTest, codes_zero_and_constant_tensors_exactly) {
  for (const float value : {0.0F, 0.5F}) {
    CompressOptions given =
        options(write_spoilt(source_, "model.layers.1.mlp.up_proj.weight", value, true), "int4");
    given.calibrate = false;
    given.force = true;
    given.restart = true;
    ASSERT_TRUE(run(given).has_value());
    const ModelFiles files = ModelFiles::open(given.output).value();
    const TensorView view = files.find_tensor("model.layers.1.mlp.up_proj.weight").value();
    std::vector<float> row(view.row_length());
    for (uint64_t i = 0; i < view.row_count(); ++i) {
      decode_row(view.dtype, view.row(i), row.size(), row.data());
      for (const float weight : row) ASSERT_EQ(weight, value);
    }
  }
}

TEST_F(CompressTest, compares_with_the_source_and_gates_on_it) {
  const std::string input = TinyModel("qwen2").write_hf(source_, DType::bf16);
  CompressOptions given = options(input);
  given.evaluation_tokens = 128;
  const auto summary = run(given);
  ASSERT_TRUE(summary.has_value()) << summary.error().message;
  ASSERT_TRUE(summary->comparison.has_value());
  EXPECT_GE(summary->comparison->tokens, 100U);
  EXPECT_GT(summary->comparison->kl_mean, 0);
  EXPECT_NE(summary->sentence, "");
  EXPECT_THAT(files_of(given.output).at("report.json"), HasSubstr("\"kl_nats\""));
  given.output = directory_.file("gated");
  given.kl_max = 0.0;
  const auto refused = run(given);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::refused);
  EXPECT_FALSE(fs::exists(given.output));
  given.kl_max = 10.0;
  EXPECT_TRUE(run(given).has_value());
}

TEST_F(CompressTest, deletes_the_source_only_when_asked_and_after_the_end) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input);
  const auto before = files_of(input);
  ASSERT_TRUE(run(given).has_value());
  EXPECT_EQ(files_of(input), before);
  given.output = directory_.file("second");
  given.delete_source = true;
  int asked = 0;
  ASSERT_FALSE(run(given, 1, [&] { return asked++ >= 12; }).has_value());
  EXPECT_EQ(files_of(input), before);
  ASSERT_TRUE(run(given).has_value());
  EXPECT_FALSE(file_exists(input + "/model.safetensors"));
  EXPECT_TRUE(file_exists(input + "/config.json"));
}

TEST_F(CompressTest, lists_checksums_of_every_file) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  const CompressOptions given = options(input);
  ASSERT_TRUE(run(given).has_value());
  const auto files = files_of(given.output);
  for (const auto& [name, content] : files) {
    if (name != "SHA256SUMS") {
      EXPECT_THAT(files.at("SHA256SUMS"), HasSubstr("  " + name + "\n"));
    }
    EXPECT_THAT(content.substr(0, 1), ::testing::Ne(""));
  }
}

TEST_F(CompressTest, calibrates_on_the_user_s_text) {
  const std::string input = TinyModel("llama").write_hf(source_, DType::bf16);
  CompressOptions given = options(input, "int4");
  given.calibration_path = directory_.write("mine.txt", std::string(2000, 'a') + " words of mine");
  EXPECT_TRUE(run(given).has_value());
  given.output = directory_.file("second");
  given.calibration_path = directory_.write("empty.txt", " \n");
  EXPECT_THAT(error_of(given), HasSubstr("no text"));
  given.calibration_path = directory_.file("absent.txt");
  EXPECT_THAT(error_of(given), HasSubstr("absent.txt"));
}

}  // namespace
}  // namespace squish::compress
