#pragma once
// One JSON value in which calls may stand, read byte by byte.
#include <optional>
#include <string>
#include <vector>

#include "chat/json_walker.h"
#include "chat/tool_calls.h"
#include "chat/tool_set.h"

namespace squish {

/// Where calls go: numbers them and gives them their ids.
class ToolCallSink {
 public:
  void begin(const ToolDefinition& tool);
  void add(std::string_view arguments);
  void end(bool is_repaired = false);
  void whole(const ToolDefinition& tool, std::string_view arguments, bool is_repaired = false);

  /// Of the pieces that come: see ToolCallPiece::text_before.
  void set_text_before(size_t bytes) { text_before_ = bytes; }
  /// Pieces since the last take().
  std::vector<ToolCallPiece> take();
  [[nodiscard]] size_t begun() const { return begun_; }
  [[nodiscard]] size_t ended() const { return ended_; }

 private:
  std::vector<ToolCallPiece> pieces_;
  size_t begun_ = 0;
  size_t ended_ = 0;
  size_t text_before_ = 0;
};

/// Reads one value. Borrows the tools and the sink.
class ToolCallReader {
 public:
  struct Options {
    bool is_marked = false;  // a marker said that calls follow: other keys and mistakes may stand
    bool streams_arguments = true;
    const ToolDefinition* named = nullptr;  // the marker named the tool: the value is its arguments
  };
  enum class State : uint8_t { reading, done, not_a_call };

  ToolCallReader(const ToolSet& tools, ToolCallSink& sink, Options options)
      : tools_(tools), sink_(sink), options_(options) {}

  State feed(char byte);
  /// Gives out the arguments that have come since.
  void give_news();
  /// The answer ended inside the value: closes it if that fits the schema.
  void finish_cut();
  [[nodiscard]] const JsonWalker& walker() const { return walker_; }

 private:
  void open(char byte);
  void close();
  bool take_key();
  bool take_string();
  void begin_arguments(size_t begin);
  void end_arguments();
  void end_candidate();
  void take_positional();
  [[nodiscard]] bool is_in_candidate() const {
    return candidate_depth_ > 0 && walker_.depth() >= candidate_depth_;
  }

  const ToolSet& tools_;
  ToolCallSink& sink_;
  Options options_;
  JsonWalker walker_;
  std::string text_;  // so far, with control characters in strings escaped
  // The object that may be a call: the outermost one, or an element of the outermost list.
  size_t candidate_begin_ = 0;
  size_t candidate_depth_ = 0;  // depth inside of it; 0: none yet
  std::string key_;
  const ToolDefinition* tool_ = nullptr;
  bool has_call_ = false;  // the candidate's call is complete
  // Its arguments, when they are an object.
  size_t arguments_begin_ = 0;
  size_t arguments_depth_ = 0;  // depth inside of them; 0: not in them
  size_t given_ = 0;            // end of what the sink has of them
  bool is_given_ = false;       // the sink has begun the call
  size_t calls_ = 0;
  bool is_positional_ = false;  // ["name", ...: what follows are the arguments
};

/// The call that an object is. `is_marked`: without arguments it has none.
struct FoundCall {
  const ToolDefinition* tool = nullptr;
  std::string arguments;
};
std::optional<FoundCall> call_of(const Value& object, const ToolSet& tools, bool is_marked);

/// Calls as elements: <function=name><parameter=key>value</parameter></function>, or
/// name<arg_key>key</arg_key><arg_value>value</arg_value>. Values become what the schema says.
std::vector<FoundCall> element_calls(std::string_view text, const ToolSet& tools);

}  // namespace squish
