#include "hub/model_card.h"

namespace squish::hub {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

CardFacts measured_facts() {
  CardFacts facts;
  facts.repository = "acme/tiny-squished";
  const Status read = read_report(R"({"format": "int4", "source": "tiny", "source_bytes": 4000000,
      "weight_bytes": 1000000, "weights": 2000000, "bits_per_weight": 4.5,
      "mean_signal_to_error_db": 21.5, "calibration": "awq, 8192 tokens of built-in text",
      "held_out": {"tokens": 2048, "source_perplexity": 10.0, "perplexity": 10.5,
                   "kl_nats": 0.031, "top1_agreement": 0.93},
      "lost": "int4 costs little here", "notes": ["one | note"]})",
                                  facts);
  EXPECT_TRUE(read);
  return facts;
}

const std::vector<UploadFile> kFiles = {
    {.path = "model.safetensors", .bytes = 1000000, .sha256 = std::string(64, 'a')}};

TEST(ModelCard, begins_with_front_matter_that_names_base_model_licence_and_tags) {
  CardFacts facts = measured_facts();
  facts.base_model = "acme/tiny";
  facts.license = "apache-2.0";
  const std::string card = make_model_card(facts, kFiles);
  EXPECT_THAT(card, StartsWith("---\nlibrary_name: squish\n"));
  EXPECT_THAT(card, HasSubstr("base_model: \"acme/tiny\"\nbase_model_relation: quantized\n"));
  EXPECT_THAT(card, HasSubstr("license: \"apache-2.0\"\n"));
  EXPECT_THAT(card, HasSubstr("quantized: true\n"));
  EXPECT_THAT(card, HasSubstr("- \"int4\"\n"));
}

TEST(ModelCard, leaves_out_what_is_not_known) {
  CardFacts facts;
  facts.repository = "acme/x";
  const std::string card = make_model_card(facts, {});
  EXPECT_THAT(card, Not(HasSubstr("base_model")));
  EXPECT_THAT(card, Not(HasSubstr("license")));
  EXPECT_THAT(card, HasSubstr("The loss was not measured."));
}

TEST(ModelCard, tells_size_bits_loss_gates_hashes_and_how_to_run_it) {
  CardFacts facts = measured_facts();
  facts.gates = {{"coherence", "passed", "5 of 5 answers"}};
  const std::string card = make_model_card(facts, kFiles);
  EXPECT_THAT(card, HasSubstr("| bits per weight | 4.500 |"));
  EXPECT_THAT(card, HasSubstr("25.0 % of the source's 4.00 MB"));
  EXPECT_THAT(card, HasSubstr("int4 costs little here"));
  EXPECT_THAT(card, HasSubstr("KL divergence 0.0310 nats"));
  EXPECT_THAT(card, HasSubstr("93.0 %"));
  EXPECT_THAT(card, HasSubstr("- one \\| note"));
  EXPECT_THAT(card, HasSubstr("| coherence | passed | 5 of 5 answers |"));
  EXPECT_THAT(card,
              HasSubstr("| `model.safetensors` | 1000000 | `" + std::string(64, 'a') + "` |"));
  EXPECT_THAT(card, HasSubstr("squish run hf:acme/tiny-squished "));
}

TEST(ModelCard, text_of_strangers_starts_no_markup_and_no_line) {
  CardFacts facts;
  facts.repository = "acme/x";
  facts.lost = "a\n# b <script> [x](y)";
  facts.base_model = "a\"\nlicense: evil";
  const std::string card = make_model_card(facts, {});
  EXPECT_THAT(card, HasSubstr("a \\# b \\<script\\> \\[x\\](y)"));
  EXPECT_THAT(card, Not(HasSubstr("\nlicense: evil")));
}

TEST(ModelCard, names_the_tensors_that_lost_most) {
  CardFacts facts = measured_facts();
  ASSERT_TRUE(read_stats(R"({"tensors": {"a": {"signal_to_error_db": 30}, "norm": {},
      "b": {"signal_to_error_db": 9.25}}})",
                         facts));
  ASSERT_EQ(facts.worst_tensors.size(), 2U);
  EXPECT_EQ(facts.worst_tensors[0].first, "b");
  EXPECT_THAT(make_model_card(facts, {}), HasSubstr("least in `b` 9.2"));
}

TEST(ModelCard, the_catalogue_knows_a_source_by_its_file_name) {
  const Catalog& catalog = Catalog::builtin();
  const CatalogEntry* entry = entry_of_source(catalog, "smollm2-135m-instruct.q4_1.gguf");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->id, "smollm2:135m");
  EXPECT_EQ(entry_of_source(catalog, "nothing.gguf"), nullptr);
  EXPECT_EQ(entry_of_source(catalog, ""), nullptr);
}

TEST(ModelCard, a_report_that_is_no_object_is_refused) {
  CardFacts facts;
  EXPECT_FALSE(read_report("[]", facts));
  EXPECT_FALSE(read_report("{", facts));
}

}  // namespace
}  // namespace squish::hub
