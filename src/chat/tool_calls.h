#pragma once
// Finds the calls of tools in what a model says, in every form that open models write them, while
// the text is still coming.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/tool_set.h"

namespace squish {

/// A piece of a call. The first one of a call has id and name, the last one is_end; what they have
/// of `arguments` is in order the text of one JSON object.
struct ToolCallPiece {
  size_t index = 0;       // of the call in its answer: 0, 1, 2 ...
  std::string id = {};    // "call_0123456789ab"
  std::string name = {};  // a declared tool's
  std::string arguments = {};
  bool is_end = false;
  bool is_repaired = false;  // with is_end: the arguments were cut and have been closed
  size_t text_before = 0;    // bytes of the text that it came with which stand before it
};

/// The texts around calls that are tokens of their own in some vocabularies, such as
/// "[TOOL_CALLS]": they have to be decoded, not left out, where calls are looked for.
std::vector<std::string_view> tool_call_marker_tokens();

struct ToolCallOptions {
  /// Arguments are given out as they come. A call whose arguments are then cut off and cannot be
  /// closed so that they fit its schema stays without end; otherwise such a call is text.
  bool streams_arguments = true;
  bool is_single = false;  // nothing counts after the first call: is_done()
};

/// Splits an answer into text and calls. Forms: <tool_call> (also never closed; with JSON, with
/// <function=name> and parameters, with <arg_key>), <|python_tag|>, [TOOL_CALLS] in its three
/// versions, the markers of DeepSeek, Kimi, Phi and Nemotron, fenced JSON, JSON alone and JSON in
/// prose. A call is an object with a name and arguments (parameters, input; an object or its JSON
/// as a string), a list of those, or ["name", {...}]; doubled brackets count once. What does not
/// name a declared tool is text.
///
/// Only what may still become a call is held back: behind a marker all of it, elsewhere JSON as
/// long as its keys are those of a call. White space at the seams is dropped. One thread. Cost: a
/// few steps a byte.
class ToolCallSplitter {
 public:
  ToolCallSplitter(std::shared_ptr<const ToolSet> tools, ToolCallOptions options);
  ~ToolCallSplitter();
  ToolCallSplitter(ToolCallSplitter&&) noexcept;
  ToolCallSplitter& operator=(ToolCallSplitter&&) noexcept;

  struct Output {
    std::string text;
    std::vector<ToolCallPiece> calls;
  };
  Output push(std::string_view piece);
  /// The end of the answer: what was held back. With `may_close` JSON that was cut becomes a call
  /// when it can be closed so that it fits the tool's schema.
  Output flush(bool may_close = true);
  /// With is_single: the call is complete.
  [[nodiscard]] bool is_done() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A whole call.
struct ToolCallText {
  std::string id = {};
  std::string name = {};
  std::string arguments = {};
  bool is_complete = false;
  bool is_repaired = false;
  size_t text_before = 0;  // bytes of the answer's text that stand before it
};
/// Adds pieces to the calls they belong to. `text_before`: bytes of the answer's text before the
/// text that they came with.
void add_pieces(std::vector<ToolCallText>& calls, const std::vector<ToolCallPiece>& pieces,
                size_t text_before);

/// Appends `pieces`, whose text comes behind `text_before` bytes of what `to` came with.
void append_pieces(std::vector<ToolCallPiece>& to, std::vector<ToolCallPiece> pieces,
                   size_t text_before);

/// Calls `on_text` with the parts of `text` and `on_call` with `calls`, pieces or whole ones, in
/// the order in which the model said them.
template <class Calls, class OnText, class OnCall>
void for_each_part(std::string_view text, const Calls& calls, OnText on_text, OnCall on_call) {
  size_t told = 0;
  for (const auto& call : calls) {
    if (call.text_before > told) on_text(text.substr(told, call.text_before - told));
    told = std::max(told, call.text_before);
    on_call(call);
  }
  if (told < text.size()) on_text(text.substr(told));
}

}  // namespace squish
