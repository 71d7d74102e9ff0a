#include <gmock/gmock.h>

#include "server/responses.h"

namespace squish::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// One letter a message: s(ystem), u(ser), a(ssistant), t(ool).
std::vector<std::vector<size_t>> steps_of(std::string_view letters, size_t newest = 0) {
  std::vector<ChatMessage> messages;
  for (const char letter : letters) {
    messages.push_back({.role = letter == 's'   ? "system"
                                : letter == 'u' ? "user"
                                : letter == 'a' ? "assistant"
                                                : "tool"});
  }
  return truncation_steps(messages, newest);
}

TEST(ResponsesTruncation, whole_turns_go_from_the_oldest_on) {
  EXPECT_THAT(steps_of("suauau"), ElementsAre(ElementsAre(1, 2), ElementsAre(3, 4)));
}

TEST(ResponsesTruncation, instructions_and_the_newest_input_stay) {
  EXPECT_THAT(steps_of("su"), IsEmpty());
  EXPECT_THAT(steps_of("susuu", 2), ElementsAre(ElementsAre(1)));
}

TEST(ResponsesTruncation, a_call_goes_with_its_results) {
  EXPECT_THAT(steps_of("uattatau"),
              ElementsAre(ElementsAre(1, 2, 3), ElementsAre(4, 5), ElementsAre(0, 6)));
}

TEST(ResponsesTruncation, old_calls_of_the_turn_that_still_runs_go_but_not_its_question) {
  EXPECT_THAT(steps_of("suatatat"), ElementsAre(ElementsAre(2, 3), ElementsAre(4, 5)));
}

TEST(ResponsesTruncation, results_in_the_newest_input_keep_their_call) {
  EXPECT_THAT(steps_of("uauatt", 1), ElementsAre(ElementsAre(0, 1)));
}

TEST(ResponsesTruncation, answers_without_a_question_go_one_by_one) {
  EXPECT_THAT(steps_of("saau"), ElementsAre(ElementsAre(1), ElementsAre(2)));
}

}  // namespace
}  // namespace squish::server
