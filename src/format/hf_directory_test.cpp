#include "format/hf_directory.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using testing::SafetensorsBuilder;

class HfDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override { directory_.write("config.json", R"({"model_type":"llama"})"); }
  void write_single() {
    SafetensorsBuilder builder;
    builder.add_tensor("a", {1}, {1.0F}).add_tensor("ids", {1}, "I64", "12345678");
    (void)builder.write(directory_.file("model.safetensors"));
  }
  void write_shards() {
    SafetensorsBuilder first;
    SafetensorsBuilder second;
    (void)first.add_tensor("a", {1}, {1.0F}).write(directory_.file("m-1.safetensors"));
    (void)second.add_tensor("b", {1}, {2.0F}).write(directory_.file("m-2.safetensors"));
    write_index(R"({"a":"m-1.safetensors","b":"m-2.safetensors"})");
  }
  void write_index(const std::string& map) {
    directory_.write("model.safetensors.index.json",
                     R"({"metadata":{"total_size":8},"weight_map":)" + map + "}");
  }
  std::string open_error() {
    const auto model = HfDirectory::open(directory_.path());
    return model.has_value() ? "opened" : model.error().message;
  }
  Error error() { return HfDirectory::open(directory_.path()).error(); }
  testing::TemporaryDirectory directory_;
};

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(HfDirectoryTest, a_single_file_model_opens_with_its_texts) {
  write_single();
  directory_.write("generation_config.json", "{}");
  directory_.write("tokenizer.json", "{\"model\":{}}");
  const auto model = HfDirectory::open(directory_.path());
  ASSERT_TRUE(model.has_value()) << model.error().message;
  EXPECT_EQ(model->config_json(), R"({"model_type":"llama"})");
  EXPECT_EQ(model->generation_config_json(), "{}");
  EXPECT_EQ(model->tokenizer_config_json(), std::nullopt);
  ASSERT_NE(model->tokenizer_json(), nullptr);
  EXPECT_EQ(as_text(model->tokenizer_json()->bytes()), "{\"model\":{}}");
  EXPECT_EQ(model->tokenizer_model(), nullptr);
  EXPECT_EQ(model->tensors().size(), 1U);
  EXPECT_EQ(reinterpret_cast<const float*>(model->find_tensor("a")->data)[0], 1.0F);
  EXPECT_EQ(model->shard_count(), 1U);
  EXPECT_EQ(model->file_bytes(), std::filesystem::file_size(directory_.file("model.safetensors")));
  EXPECT_GT(model->modified_ns(), 0);
  EXPECT_TRUE(model->has_tensor("ids"));
  EXPECT_CONTAINS(model->find_tensor("ids").error().message, "dtype I64 is not supported");
  EXPECT_EQ(model->find_tensor("q").error().code, ErrorCode::not_found);
}

TEST_F(HfDirectoryTest, shards_are_joined_by_their_index) {
  write_shards();
  const auto model = HfDirectory::open(directory_.path() + "/");
  ASSERT_TRUE(model.has_value()) << model.error().message;
  EXPECT_EQ(model->shard_count(), 2U);
  EXPECT_EQ(model->tensors().size(), 2U);
  EXPECT_EQ(reinterpret_cast<const float*>(model->find_tensor("b")->data)[0], 2.0F);
}

TEST_F(HfDirectoryTest, what_is_missing_is_named) {
  EXPECT_CONTAINS(open_error(), "neither model.safetensors nor model.safetensors.index.json");
  directory_.write("model-Q4.gguf", "GGUF");
  EXPECT_CONTAINS(open_error(), "holds no model.safetensors, but model-Q4.gguf; give the path");
  write_shards();
  std::filesystem::remove(directory_.file("m-2.safetensors"));
  EXPECT_CONTAINS(open_error(), "shard 2 of 2 ('m-2.safetensors') is missing");
  std::filesystem::remove(directory_.file("config.json"));
  EXPECT_CONTAINS(open_error(), "config.json is missing");
  EXPECT_EQ(HfDirectory::open(directory_.file("none")).error().code, ErrorCode::not_found);
}

TEST_F(HfDirectoryTest, pickles_are_refused) {
  directory_.write("pytorch_model.bin", "x");
  EXPECT_EQ(error().code, ErrorCode::unsupported);
  EXPECT_CONTAINS(open_error(), "PyTorch pickles (pytorch_model.bin)");
}

TEST_F(HfDirectoryTest, shard_names_that_leave_the_directory_are_unsafe) {
  for (const char* name : {"../m-1.safetensors", "/etc/x.safetensors", "sub/m.safetensors", "..",
                           "", "m-1.bin", "a\\\\b.safetensors", "a\\u0000.safetensors"}) {
    write_index(std::string("{\"a\":\"") + name + "\"}");
    EXPECT_EQ(error().code, ErrorCode::unsafe) << name;
    EXPECT_CONTAINS(open_error(), "weight_map names the shard '");
  }
}

TEST_F(HfDirectoryTest, an_index_that_does_not_fit_its_shards_is_refused) {
  write_shards();
  write_index(R"({"a":"m-2.safetensors","b":"m-2.safetensors"})");
  EXPECT_CONTAINS(open_error(),
                  "weight_map puts tensor 'a' into 'm-2.safetensors', which does not hold it");
  write_index(R"({"a":5})");
  EXPECT_CONTAINS(open_error(), "weight_map.a is 5, expected a string");
  write_index("{}");
  EXPECT_CONTAINS(open_error(), "weight_map names 0 shards");
  write_index("[]");
  EXPECT_CONTAINS(open_error(), "weight_map is an array");
  directory_.write("model.safetensors.index.json", "{}");
  EXPECT_CONTAINS(open_error(), "weight_map is missing");
}

TEST_F(HfDirectoryTest, a_tensor_in_two_shards_is_refused) {
  write_shards();
  SafetensorsBuilder second;
  second.add_tensor("b", {1}, {2.0F}).add_tensor("a", {1}, {3.0F});
  (void)second.write(directory_.file("m-2.safetensors"));
  EXPECT_CONTAINS(open_error(), "tensor 'a' is in two shards");
}

TEST_F(HfDirectoryTest, a_fifo_in_place_of_a_file_is_refused_at_once) {
  write_single();
  ASSERT_EQ(::mkfifo(directory_.file("tokenizer.json").c_str(), 0600), 0);
  EXPECT_CONTAINS(open_error(), "tokenizer.json: is a FIFO");
}

TEST_F(HfDirectoryTest, texts_together_meet_their_limit) {
  write_single();
  directory_.write("generation_config.json", std::string(5 << 20, ' '));
  EXPECT_EQ(open_error(), "opened");
  directory_.write("tokenizer_config.json", std::string(5 << 20, ' '));
  EXPECT_CONTAINS(open_error(), "tokenizer_config.json: 5242880 bytes, the limit is");
}

TEST_F(HfDirectoryTest, the_chat_template_comes_from_the_first_place_that_has_one) {
  write_single();
  const auto chat_template = [&] {
    return HfDirectory::open(directory_.path())->chat_template().value().value_or("none");
  };
  EXPECT_EQ(chat_template(), "none");
  directory_.write("tokenizer_config.json",
                   R"({"model_max_length":1000000000000000019884624838656})");
  EXPECT_EQ(chat_template(), "none");
  directory_.write(
      "tokenizer_config.json",
      R"({"chat_template":[{"name":"rag","template":"r"},{"name":"default","template":"d"}]})");
  EXPECT_EQ(chat_template(), "d");
  directory_.write("tokenizer_config.json", R"({"chat_template":"{{ a }}\n"})");
  EXPECT_EQ(chat_template(), "{{ a }}\n");
  directory_.write("chat_template.json", R"({"chat_template":"j"})");
  EXPECT_EQ(chat_template(), "j");
  directory_.write("chat_template.jinja", "file");
  EXPECT_EQ(chat_template(), "file");
}

TEST_F(HfDirectoryTest, a_chat_template_of_a_wrong_type_is_an_error) {
  write_single();
  directory_.write("tokenizer_config.json", R"({"chat_template":5})");
  const auto text = HfDirectory::open(directory_.path())->chat_template();
  ASSERT_FALSE(text.has_value());
  EXPECT_CONTAINS(text.error().message,
                  "tokenizer_config.json: chat_template is 5, expected a string");
}

}  // namespace
}  // namespace squish
