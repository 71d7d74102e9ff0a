#include "hub/names.h"

namespace squish::hub {
namespace {

TEST(NormalizeName, puts_the_size_behind_a_colon_and_drops_the_quantisation) {
  EXPECT_EQ(normalize_name("Qwen3-8B-INT4"), "qwen3:8b");
  EXPECT_EQ(normalize_name("  SmolLM2_135M "), "smollm2:135m");
  EXPECT_EQ(normalize_name("qwen2.5-1.5b"), "qwen2.5:1.5b");
  EXPECT_EQ(normalize_name("qwen3-30b-a3b"), "qwen3:30b-a3b");
  EXPECT_EQ(normalize_name("mixtral-8x7b-bf16"), "mixtral:8x7b");
}

TEST(NormalizeName, keeps_what_has_a_colon_or_no_size) {
  EXPECT_EQ(normalize_name("Qwen3:8B-int4"), "qwen3:8b-int4");
  EXPECT_EQ(normalize_name("qwen3"), "qwen3");
  EXPECT_EQ(normalize_name("phi-4"), "phi-4");
  EXPECT_EQ(normalize_name(""), "");
  EXPECT_EQ(normalize_name("7b"), "7b");
}

TEST(IdOfDirectory, reads_the_model_from_a_directory_name) {
  EXPECT_EQ(id_of_directory("Llama-3.1-8B-Instruct-bf16"), "llama3.1:8b");
  EXPECT_EQ(id_of_directory("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf"), "llama3.1:8b");
  EXPECT_EQ(id_of_directory("gemma-3-270m.Q4_K_M"), "gemma3:270m");
  EXPECT_EQ(id_of_directory("SmolLM2-135M-Instruct.Q4_1"), "smollm2:135m");
  EXPECT_EQ(id_of_directory("Qwen2.5-Coder-0.5B-Instruct.Q4_K_M"), "qwen2.5-coder:0.5b");
  EXPECT_EQ(id_of_directory("Qwen3-8B-int4"), "qwen3:8b");
  EXPECT_EQ(id_of_directory("Qwen3-30B-A3B-Q4_K_M"), "qwen3:30b-a3b");
  EXPECT_EQ(id_of_directory("gemma-3-4b-it-int4"), "gemma3:4b");
}

TEST(IdOfDirectory, keeps_a_version_behind_the_size) {
  EXPECT_EQ(id_of_directory("Mistral-7B-Instruct-v0.3-Q4_K_M"), "mistral:7b-v0.3");
}

TEST(IdOfDirectory, survives_odd_names) {
  for (const char* name : {"", "-", ":", "----", "7b", "-bf16", "a-7b-", ".gguf", "\xff\xfe"}) {
    EXPECT_LE(id_of_directory(name).size(), std::string_view(name).size()) << name;
  }
}

TEST(ParameterCount, reads_sizes) {
  EXPECT_EQ(parameter_count("135m"), 135e6);
  EXPECT_EQ(parameter_count("1.5b"), 1.5e9);
  EXPECT_EQ(parameter_count("8x7b"), 56e9);
  EXPECT_EQ(parameter_count("30b-a3b"), 30e9);
  EXPECT_EQ(parameter_count("big"), 0);
  EXPECT_EQ(parameter_count("8x"), 0);
  EXPECT_EQ(size_of_name("qwen3:0.6b"), "0.6b");
  EXPECT_EQ(size_of_name("phi-4"), "");
}

TEST(CheckFileName, accepts_the_names_of_real_models) {
  for (const char* name : {"SmolLM2-135M-Instruct.Q4_1.gguf", "model-00001-of-00002.safetensors",
                           "tokenizer.json", "Модель.gguf", "a b.gguf", "x..y.gguf"}) {
    EXPECT_TRUE(check_file_name(name)) << name;
  }
}

TEST(CheckFileName, refuses_every_hostile_name) {
  const std::vector<std::string> names = {"",
                                          ".",
                                          "..",
                                          ".hidden",
                                          "../x",
                                          "a/b",
                                          "/etc/passwd",
                                          "..\\x",
                                          "a\\b",
                                          "C:x",
                                          "x:stream",
                                          std::string("a\0b", 3),
                                          "a\nb",
                                          "a\x7f",
                                          "a\x1b[2J",
                                          "x.",
                                          "x ",
                                          "nul",
                                          "NUL.gguf",
                                          "com1.txt",
                                          "LPT9",
                                          "a\xe2\x80\xae"
                                          "b",
                                          "a\xe2\x80\x8b"
                                          "b",
                                          "\xff",
                                          "\xc0\xaf",
                                          std::string(201, 'a')};
  for (const std::string& name : names) {
    const Status status = check_file_name(name);
    ASSERT_FALSE(status) << name;
    EXPECT_EQ(status.error().code, ErrorCode::unsafe);
    EXPECT_EQ(status.error().message.find('\n'), std::string::npos);
  }
}

TEST(CheckRelativePath, allows_folders_and_hidden_names_but_no_way_out) {
  EXPECT_TRUE(check_relative_path("Q4_K_M/model-00001-of-00002.gguf"));
  EXPECT_TRUE(check_relative_path(".gitattributes"));
  for (const char* path :
       {"", "/a", "a/", "a//b", "../a", "a/../../b", "a/./b", "a/b\\c", "a/C:b"}) {
    EXPECT_FALSE(check_relative_path(path)) << path;
  }
  std::string deep = "a";
  for (int i = 0; i < 20; ++i) deep += "/a";
  EXPECT_FALSE(check_relative_path(deep));
}

}  // namespace
}  // namespace squish::hub
