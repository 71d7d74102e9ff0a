#pragma once
// Splits an answer into what the model thinks, between <think> and </think>, and what it says.
#include <cstdint>
#include <string>
#include <string_view>

namespace squish {

/// Takes an answer in pieces. Only a <think> at the very start counts (after white space): later
/// ones are text.
class ReasoningSplitter {
 public:
  /// `starts_thinking`: the prompt ends with an open <think>.
  explicit ReasoningSplitter(bool starts_thinking)
      : state_(starts_thinking ? State::thinking : State::start) {}

  struct Output {
    std::string reasoning;
    std::string text;
  };
  /// What is certain now; up to 8 bytes and white space at seams are held back.
  Output push(std::string_view piece);
  /// The end of the answer: the rest.
  Output flush();
  /// What comes next is still thought, as far as one can tell.
  [[nodiscard]] bool is_thinking() const { return state_ == State::thinking; }

 private:
  enum class State : uint8_t { start, thinking, seam, answer };
  void advance(Output& out);

  State state_;
  bool is_first_thought_ = true;  // line breaks before the first thought go
  std::string held_;
};

}  // namespace squish
