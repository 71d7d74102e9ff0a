#include "chat/coherence.h"

namespace squish {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Coherence, plain_prose_is_no_reason_to_object) {
  EXPECT_THAT(incoherence_of("The capital of France is Paris."), IsEmpty());
  EXPECT_THAT(incoherence_of("Blue light is scattered more than red light, so that the sky looks "
                             "blue in the daytime and the sun looks red in the evening."),
              IsEmpty());
  EXPECT_THAT(incoherence_of("パリはフランスの首都です。"), IsEmpty());
}

TEST(Coherence, three_of_the_last_six_words_as_before_are_too_many) {
  EXPECT_THAT(incoherence_of("a b c d e f a b c x y z"), HasSubstr("repeat"));
  EXPECT_THAT(incoherence_of("a b c d e f a b w x y z"), IsEmpty());
  EXPECT_THAT(incoherence_of("start a b c d e f a b c x y z"), HasSubstr("repeat"));
}

TEST(Coherence, only_the_end_counts) {
  EXPECT_THAT(incoherence_of("a a a a a a a a a a a a but then it went on to say much more"),
              IsEmpty());
}

TEST(Coherence, fewer_than_twelve_words_have_nothing_to_repeat) {
  EXPECT_THAT(incoherence_of("no no no no no no no no no no no"), IsEmpty());
  EXPECT_THAT(incoherence_of("no no no no no no no no no no no no"), HasSubstr("repeat"));
}

TEST(Coherence, texts_without_spaces_are_looked_at_by_characters) {
  std::string text = "Well ";
  for (int i = 0; i < 60; ++i) text += "1";
  EXPECT_THAT(incoherence_of(text), HasSubstr("over and over"));
  text = "あ";
  for (int i = 0; i < 30; ++i) text += "いう";
  EXPECT_THAT(incoherence_of(text), HasSubstr("over and over"));
}

TEST(Coherence, an_answer_without_a_letter_says_nothing) {
  EXPECT_THAT(incoherence_of(""), HasSubstr("nothing"));
  EXPECT_THAT(incoherence_of(" !!! ... \n"), HasSubstr("nothing"));
}

TEST(Coherence, one_answer_of_five_may_fail_and_two_may_not) {
  EXPECT_TRUE((Coherence{5, {"a"}}).is_coherent());
  EXPECT_FALSE((Coherence{5, {"a", "b"}}).is_coherent());
  EXPECT_EQ(coherence_prompts().size(), 5U);
}

}  // namespace
}  // namespace squish
