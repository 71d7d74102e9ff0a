// What the prompts must be stands in lm-eval's task files; tests/quality/test_lm_eval.py holds all
// of them against the package itself.
#include "evaluate/task.h"

#include <array>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "evaluate/data_file.h"
#include "evaluate/python_random.h"
#include "evaluate/task_rows.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

using squish::testing::TemporaryDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// printf '{"a": 1}\n{"a": 2}\n' | gzip -9n
constexpr std::array<unsigned char, 34> kTwoRows = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56,
    0x4a, 0x54, 0xb2, 0x52, 0x30, 0xac, 0xe5, 0xaa, 0x06, 0x33, 0x8c, 0x6a,
    0xb9, 0x00, 0xce, 0x32, 0xde, 0xc1, 0x12, 0x00, 0x00, 0x00};

class TaskData : public ::testing::Test {
 protected:
  TemporaryDirectory directory;

  std::string write(const std::string& name, std::string_view text) {
    const std::string path = directory.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  Result<std::vector<Question>> questions(std::string_view task, QuestionOptions options = {}) {
    return read_questions(*find_task(task).value(), directory.path(), options);
  }
  std::string error(std::string_view task, QuestionOptions options = {}) {
    const auto result = questions(task, options);
    return result.has_value() ? "no error" : result.error().message;
  }
};

TEST(PythonRandom, draws_what_python_draws) {
  PythonRandom random(1234);
  EXPECT_THAT(random.sample(500, 5), ElementsAre(494, 398, 225, 59, 3));
  EXPECT_THAT(random.sample(500, 5), ElementsAre(46, 466, 482, 480, 413));
  PythonRandom small(1234);  // a copied population, also with a larger table for more draws
  EXPECT_THAT(small.sample(10, 5), ElementsAre(7, 1, 0, 9, 4));
  EXPECT_THAT(small.sample(30, 8), ElementsAre(1, 21, 22, 2, 3, 24, 11, 7));
  EXPECT_THAT(small.sample(100, 8), ElementsAre(2, 3, 44, 82, 79, 61, 78, 59));
  EXPECT_THAT(PythonRandom(0).sample(2376, 3), ElementsAre(1577, 1722, 165));
  EXPECT_THAT(PythonRandom((uint64_t{1} << 40) + 7).sample(70000, 3),
              ElementsAre(62380, 32878, 16613));
  PythonRandom long_run(5);  // past the 624 words of its state
  for (int i = 0; i < 300; ++i) long_run.sample(1000, 4);
  EXPECT_THAT(long_run.sample(1000, 4), ElementsAre(233, 472, 610, 444));
  EXPECT_TRUE(PythonRandom(1).sample(0, 0).empty());
}

TEST_F(TaskData, rows_are_read_plain_and_packed) {
  std::vector<int64_t> seen;
  const auto collect = [&](const DataRow& row) -> Status {
    SQ_TRY(const int64_t value, row.integer("a"));
    seen.push_back(value);
    return {};
  };
  ASSERT_TRUE(
      for_each_row(write("a.jsonl", "{\"a\": 1}\n\n  \r\n{\"a\": \"2\"}"), collect).has_value());
  EXPECT_THAT(seen, ElementsAre(1, 2));
  seen.clear();
  const std::string packed(reinterpret_cast<const char*>(kTwoRows.data()), kTwoRows.size());
  ASSERT_TRUE(for_each_row(write("b.jsonl.gz", packed), collect).has_value());
  EXPECT_THAT(seen, ElementsAre(1, 2));
  // Cut within the compressed rows.
  const auto cut = for_each_row(write("b.jsonl.gz", packed.substr(0, 20)), collect);
  ASSERT_FALSE(cut.has_value());
  EXPECT_EQ(cut.error().code, ErrorCode::bad_file);
  EXPECT_THAT(cut.error().message, HasSubstr("b.jsonl.gz"));
}

TEST_F(TaskData, a_bad_row_is_named_by_file_line_and_field) {
  write("arc_easy_test.jsonl",
        "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 1}\n\n"
        "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 2}\n");
  EXPECT_EQ(error("arc_easy"), "arc_easy_test.jsonl:3: field 'gold' is 2, there are 2 choices");
  const auto arc = [&](const std::string& row) {
    write("arc_easy_test.jsonl", row);
    return error("arc_easy");
  };
  EXPECT_EQ(arc("{\"choices\": [\"a\", \"b\"], \"gold\": 1}"),
            "arc_easy_test.jsonl:1: field 'question' is missing");
  EXPECT_EQ(arc("{\"question\": 5, \"choices\": [\"a\", \"b\"], \"gold\": 1}"),
            "arc_easy_test.jsonl:1: field 'question' is no text");
  EXPECT_EQ(arc("{\"question\": \"q\", \"choices\": [\"a\", 7], \"gold\": 1}"),
            "arc_easy_test.jsonl:1: field 'choices' has an element 1 that is no text");
  EXPECT_EQ(arc("{\"question\": \"q\", \"choices\": [\"a\"], \"gold\": 0}"),
            "arc_easy_test.jsonl:1: field 'choices' has 1 choices, at least 2 are needed");
  EXPECT_EQ(arc("{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": -1}"),
            "arc_easy_test.jsonl:1: field 'gold' is -1, there are 2 choices");
  EXPECT_EQ(arc("{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": \"x\"}"),
            "arc_easy_test.jsonl:1: field 'gold' is 'x', which is no whole number");
  EXPECT_EQ(
      arc("{\"question\": \"q\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\"]}, "
          "\"answerKey\": \"A\"}"),
      "arc_easy_test.jsonl:1: field 'choices.label' has 1 elements, 'text' has 2");
  EXPECT_EQ(arc("{\"question\": \"q\", \"choices\": {\"text\": [\"a\", \"b\"], \"label\": [\"A\", "
                "\"B\"]}, \"answerKey\": \"C\"}"),
            "arc_easy_test.jsonl:1: field 'answerKey' is 'C', which is none of the labels");
  EXPECT_THAT(arc("[1]"), StartsWith("arc_easy_test.jsonl:1: is no JSON object"));
  EXPECT_THAT(arc("{\"question\": "), StartsWith("arc_easy_test.jsonl:1: "));
  EXPECT_THAT(arc("\n\n"), HasSubstr("has no question in it"));
}

TEST_F(TaskData, a_missing_file_is_named_with_the_way_out) {
  const auto result = questions("piqa");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::not_found);
  EXPECT_THAT(result.error().message, HasSubstr("piqa_plain_text.validation"));
  EXPECT_THAT(result.error().message, HasSubstr("--data"));
  const auto unknown = find_task("arc");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_THAT(unknown.error().message, HasSubstr("arc_challenge"));
}

TEST_F(TaskData, both_forms_of_arc_give_the_same_question) {
  write("arc_easy_test.jsonl",
        "{\"question\": \"Why?\", \"choices\": [\"so\", \"då\"], \"gold\": 1}\n"
        "{\"question\": \"Why?\", \"choices\": {\"text\": [\"so\", \"då\"], \"label\": [\"1\", "
        "\"2\"]}, \"answerKey\": \"2\"}");
  const auto result = questions("arc_easy");
  ASSERT_TRUE(result.has_value()) << result.error().message;
  ASSERT_EQ(result->size(), 2U);
  for (const Question& question : *result) {
    ASSERT_EQ(question.requests.size(), 2U);
    EXPECT_EQ(question.requests[0].context, "Question: Why?\nAnswer:");
    EXPECT_EQ(question.requests[1].continuation, " då");
    EXPECT_EQ(question.gold, 1U);
    EXPECT_THAT(question.characters, ElementsAre(2, 2));
    EXPECT_THAT(question.bytes, ElementsAre(2, 3));
  }
}

TEST_F(TaskData, winogrande_scores_the_end_of_the_sentence_after_each_option) {
  write("winogrande.jsonl",
        "{\"sentence\": \"Ann met Bea and _ was glad .\", \"option1\": \"Ann\", \"option2\": "
        "\"Bea\", \"answer\": \"2\"}");
  const auto result = questions("winogrande");
  ASSERT_TRUE(result.has_value()) << result.error().message;
  const Question& question = result->front();
  EXPECT_EQ(question.requests[0].context, "Ann met Bea and Ann");
  EXPECT_EQ(question.requests[1].context, "Ann met Bea and Bea");
  EXPECT_EQ(question.requests[0].continuation, " was glad .");
  EXPECT_EQ(question.requests[1].continuation, " was glad .");
  EXPECT_EQ(question.gold, 1U);
  write("winogrande.jsonl", "{\"sentence\": \"no blank\", \"option1\": \"a\", \"option2\": \"b\"}");
  EXPECT_EQ(error("winogrande"), "winogrande.jsonl:1: field 'sentence' has no _ to fill");
}

TEST(Hellaswag, text_is_cleaned_as_its_task_says) {
  EXPECT_EQ(clean_hellaswag("  a [title] b "), "a. b");
  EXPECT_EQ(clean_hellaswag("a [step] b"), "a b");
  EXPECT_EQ(clean_hellaswag("a [x [y] z] b"), "a z] b");
  EXPECT_EQ(clean_hellaswag("a [x\ny] b"), "a [x\ny] b");
  EXPECT_EQ(clean_hellaswag("a    b"), "a  b") << "one pass";
  EXPECT_EQ(clean_hellaswag("open ["), "open [");
}

TEST_F(TaskData, mmlu_names_the_subject_and_limits_within_it) {
  std::string rows;
  for (const char* subject : {"world_history", "world_history", "virology"}) {
    rows += std::string("{\"question\": \" What? \", \"subject\": \"") + subject +
            "\", \"choices\": [\"w\", \"x\", \"y\", \"z\"], \"answer\": 3}\n";
  }
  write("mmlu.test.jsonl", rows);
  const auto result = questions("mmlu", {.limit = 1});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  ASSERT_EQ(result->size(), 2U);
  EXPECT_EQ((*result)[0].requests[0].context,
            "The following are multiple choice questions (with answers) about world history.\n\n"
            "What?\nA. w\nB. x\nC. y\nD. z\nAnswer:");
  EXPECT_EQ((*result)[0].requests[3].continuation, " D");
  EXPECT_EQ((*result)[1].row, 2U);
}

TEST_F(TaskData, examples_stand_before_the_question_and_never_are_it) {
  std::string rows;
  for (int i = 0; i < 6; ++i) {
    rows += "{\"goal\": \"g" + std::to_string(i) +
            "\", \"sol1\": \"yes\", \"sol2\": \"no\", \"label\": " + std::to_string(i % 2) + "}\n";
  }
  write("piqa.jsonl", rows);
  const auto result = questions("piqa", {.examples = 2});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  for (size_t i = 0; i < 6; ++i) {
    const std::string& context = (*result)[i].requests[0].context;
    const std::string own = "Question: g" + std::to_string(i) + "\nAnswer:";
    EXPECT_TRUE(context.ends_with(own)) << context;
    EXPECT_EQ(context.find(own), context.size() - own.size()) << "the question is no example";
    EXPECT_EQ(std::count(context.begin(), context.end(), '\n'), 7) << context;
    EXPECT_TRUE(context.find("Answer: yes\n\n") != std::string::npos ||
                context.find("Answer: no\n\n") != std::string::npos);
  }
  EXPECT_NE((*questions("piqa", {.examples = 2, .seed = 5}))[0].requests[0].context,
            (*result)[0].requests[0].context);
  EXPECT_EQ(error("piqa", {.examples = 6}), "piqa: --fewshot 6 needs 7 rows, there are 6");
}

}  // namespace
}  // namespace squish
