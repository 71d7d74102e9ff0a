#include "chat/tool_calls.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "chat/tool_call_reader.h"

namespace squish {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

/// What begins calls and what ends them; without an end they go on to the end of the answer. A
/// token is left out by plain decoding in some vocabularies.
struct Marker {
  std::string_view open;
  std::string_view close;
};
constexpr std::array kMarkers = {
    Marker{"<tool_call>", "</tool_call>"},                                 // Qwen, Hermes, GLM
    Marker{"<function=", "</function>"},                                   // Qwen3-Coder, Llama 3
    Marker{"<|python_tag|>", "<|eom_id|>"},                                // Llama 3
    Marker{"[TOOL_CALLS]", ""},                                            // Mistral
    Marker{"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"},              // DeepSeek
    Marker{"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"},  // Kimi
    Marker{"<|tool_call|>", "<|/tool_call|>"},                             // Phi-4, Granite
    Marker{"<TOOLCALL>", "</TOOLCALL>"},                                   // Nemotron
};
constexpr std::array<std::string_view, 16> kMarkerTokens = {
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
    "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call|>",
};

/// Text behind a marker in which neither JSON nor an element begins: a name and a few marks.
constexpr size_t kHeaderBytesMax = 512;
constexpr std::string_view kFence = "```";
constexpr size_t kFenceWordBytesMax = 12;

/// How far a text that begins like this may be the start of calls.
struct Start {
  enum class Kind : uint8_t { none, maybe, marker, json } kind = Kind::none;
  const Marker* marker = nullptr;
  size_t bytes = 0;  // of the marker, or of the fence in front of the JSON
};

Start fence_start(std::string_view text) {
  if (!text.starts_with(kFence))
    return {kFence.starts_with(text) ? Start::Kind::maybe : Start::Kind::none};
  size_t i = kFence.size();
  while (i < text.size() && ((text[i] | 32) >= 'a' || text[i] == '_') && (text[i] | 32) <= 'z') ++i;
  if (i > kFence.size() + kFenceWordBytesMax) return {};
  i = std::min(text.find_first_not_of(kSpace, i), text.size());
  if (i == text.size()) return {Start::Kind::maybe};
  const bool is_json = text[i] == '{' || text[i] == '[';
  return {is_json ? Start::Kind::json : Start::Kind::none, nullptr, i};
}

/// `text` is not empty.
Start start_of(std::string_view text, bool takes_json) {
  bool is_possible = false;
  for (const Marker& marker : kMarkers) {
    if (text.starts_with(marker.open)) return {Start::Kind::marker, &marker, marker.open.size()};
    is_possible = is_possible || marker.open.starts_with(text);
  }
  if (is_possible && text.size() > 1) return {Start::Kind::maybe};
  if (!takes_json) return {is_possible ? Start::Kind::maybe : Start::Kind::none};
  if (text[0] == '`') return fence_start(text);
  if (text[0] == '[' && text.size() == 1) return {Start::Kind::maybe};  // or [TOOL_CALLS]
  if (text[0] == '{' || text[0] == '[') return {Start::Kind::json};
  return {is_possible ? Start::Kind::maybe : Start::Kind::none};
}

}  // namespace

std::vector<std::string_view> tool_call_marker_tokens() {
  return {kMarkerTokens.begin(), kMarkerTokens.end()};
}

void append_pieces(std::vector<ToolCallPiece>& to, std::vector<ToolCallPiece> pieces,
                   size_t text_before) {
  for (ToolCallPiece& piece : pieces) {
    piece.text_before += text_before;
    to.push_back(std::move(piece));
  }
}

void add_pieces(std::vector<ToolCallText>& calls, const std::vector<ToolCallPiece>& pieces,
                size_t text_before) {
  for (const ToolCallPiece& piece : pieces) {
    if (piece.index >= calls.size()) calls.resize(piece.index + 1);
    ToolCallText& call = calls[piece.index];
    if (!piece.id.empty()) {
      call.id = piece.id;
      call.text_before = text_before + piece.text_before;
    }
    if (!piece.name.empty()) call.name = piece.name;
    call.arguments += piece.arguments;
    call.is_complete = call.is_complete || piece.is_end;
    call.is_repaired = call.is_repaired || piece.is_repaired;
  }
}

struct ToolCallSplitter::State {
  State(std::shared_ptr<const ToolSet> set, ToolCallOptions wanted)
      : tools(std::move(set)), options(wanted) {}

  enum class Mode : uint8_t {
    text,
    header,    // behind a marker, before JSON or elements
    json,      // behind a marker
    elements,  // behind a marker
    bare,      // JSON without a marker
  };

  void advance(std::string& out);
  bool advance_text(std::string& out);
  bool skip_after_call();
  void say(std::string& out, std::string_view text);
  void pass(std::string_view text);
  void enter(std::string& out, const Start& start, size_t begin);
  void feed(std::string& out, char byte);
  void feed_header(std::string& out, char byte);
  void open_json(const ToolDefinition* named, bool is_marked, char byte, std::string& out);
  void read(std::string& out, char byte);
  void end_region(std::string& out);
  void cut(std::string& out, bool may_close);
  [[nodiscard]] bool is_done() const { return options.is_single && sink.ended() > 0; }
  [[nodiscard]] bool has_closed() const {
    return !marker->close.empty() && header.ends_with(marker->close);
  }

  std::shared_ptr<const ToolSet> tools;
  ToolCallOptions options;
  ToolCallSink sink;
  Mode mode = Mode::text;
  std::string held;   // of the text: what may become the start of calls
  size_t looked = 0;  // bytes of `held` that begin nothing
  std::string space;  // white space that counts only if text follows
  bool is_after_call = false;
  bool was_fenced = false;
  std::optional<JsonWalker> data;  // in JSON that is text: no call begins in it

  // Of a region that may be calls.
  const Marker* marker = nullptr;
  std::string raw;  // all of it, with the fence in front
  std::string header;
  std::optional<ToolCallReader> reader;
  size_t calls_before = 0;
};

/// Text for the client. White space at its end waits for more.
void ToolCallSplitter::State::say(std::string& out, std::string_view text) {
  const size_t end = text.find_last_not_of(kSpace);
  if (end == std::string_view::npos) {
    space += text;
    return;
  }
  out += std::exchange(space, {});
  out += text.substr(0, end + 1);
  space = text.substr(end + 1);
  sink.set_text_before(out.size());
}

/// Behind a call: white space, the end of the fence and ends without beginning go. False when more
/// of the text is needed.
bool ToolCallSplitter::State::skip_after_call() {
  held.erase(0, std::min(held.find_first_not_of(kSpace), held.size()));
  if (held.empty()) return false;
  for (const std::string_view end :
       {std::string_view(was_fenced ? kFence : "</tool_call>"), std::string_view("</tool_call>")}) {
    if (held.starts_with(end)) {
      held.erase(0, end.size());
      return skip_after_call();
    }
    if (end.starts_with(held)) return false;
  }
  is_after_call = false;
  return true;
}

/// Follows JSON that is no call, so that nothing in it is taken for one.
void ToolCallSplitter::State::pass(std::string_view text) {
  for (const char byte : text) {
    if (!data.has_value()) return;
    if (data->feed(byte) == JsonWalker::Event::invalid || data->is_done()) data.reset();
  }
}

/// True when a region begins; its bytes have been taken out of `held`.
bool ToolCallSplitter::State::advance_text(std::string& out) {
  if (is_after_call && !skip_after_call()) return false;
  while (looked < held.size()) {
    const size_t begin = held.find_first_of("<[{`", looked);
    pass(std::string_view(held).substr(looked, std::min(begin, held.size()) - looked));
    if (begin == std::string::npos) break;
    const Start start = start_of(std::string_view(held).substr(begin), !data.has_value());
    if (start.kind == Start::Kind::none) {
      pass(std::string_view(held).substr(begin, 1));
      looked = begin + 1;
      continue;
    }
    say(out, std::string_view(held).substr(0, begin));
    held.erase(0, begin);
    looked = 0;
    if (start.kind == Start::Kind::maybe) return false;
    enter(out, start, 0);
    return true;
  }
  say(out, held);
  held.clear();
  looked = 0;
  return false;
}

void ToolCallSplitter::State::enter(std::string& out, const Start& start, size_t begin) {
  raw = held.substr(begin, start.bytes);
  held.erase(0, begin + start.bytes);
  calls_before = sink.begun();
  marker = start.marker;
  header.clear();
  was_fenced = marker == nullptr && start.bytes > 0;
  if (marker != nullptr) {
    mode = Mode::header;
    return;
  }
  const char byte = held.front();
  held.erase(0, 1);
  raw += byte;
  open_json(nullptr, false, byte, out);
}

void ToolCallSplitter::State::open_json(const ToolDefinition* named, bool is_marked, char byte,
                                        std::string& out) {
  reader.emplace(
      *tools, sink,
      ToolCallReader::Options{
          .is_marked = is_marked, .streams_arguments = options.streams_arguments, .named = named});
  mode = is_marked ? Mode::json : Mode::bare;
  read(out, byte);
}

void ToolCallSplitter::State::read(std::string& out, char byte) {
  const ToolCallReader::State state = reader->feed(byte);
  if (state == ToolCallReader::State::reading) return;
  reader->give_news();
  const JsonWalker walker = reader->walker();
  reader.reset();
  if (mode == Mode::json) {
    header.clear();
    mode = Mode::header;
    return;
  }
  if (state == ToolCallReader::State::not_a_call && !walker.is_done() && walker.depth() > 0) {
    // A byte that cannot stand there ended it; a key or name of something else goes on.
    JsonWalker again;
    bool is_valid = true;
    for (const char c : std::string_view(raw).substr(was_fenced ? raw.find_first_of("{[") : 0))
      is_valid = again.feed(c) != JsonWalker::Event::invalid && is_valid;
    if (is_valid) data = again;
  }
  end_region(out);
}

void ToolCallSplitter::State::feed_header(std::string& out, char byte) {
  header += byte;
  if (has_closed()) {
    end_region(out);
    return;
  }
  const std::string_view before = std::string_view(header).substr(0, header.size() - 1);
  const bool is_blank = trim(before).empty() || trim(before) == ";" || trim(before) == ",";
  if (byte == '{' || (byte == '[' && is_blank)) {
    open_json(is_blank ? nullptr : tools->find_last_in(before), true, byte, out);
    return;
  }
  if (header.ends_with("<parameter=") || header.ends_with("<arg_key>")) {
    mode = Mode::elements;
    return;
  }
  if (header.size() > kHeaderBytesMax && sink.begun() == calls_before) end_region(out);
}

void ToolCallSplitter::State::feed(std::string& out, char byte) {
  raw += byte;
  switch (mode) {
    case Mode::header:
      feed_header(out, byte);
      break;
    case Mode::json:
    case Mode::bare:
      read(out, byte);
      break;
    case Mode::elements:
      header += byte;
      if (has_closed()) end_region(out);
      break;
    case Mode::text:
      break;
  }
}

/// All of the region has been seen: calls, or text after all.
void ToolCallSplitter::State::end_region(std::string& out) {
  mode = Mode::text;
  reader.reset();
  if (sink.begun() == calls_before && marker != nullptr) {
    for (const FoundCall& call : element_calls(raw, *tools)) {
      if (!is_done()) sink.whole(*call.tool, call.arguments);
    }
  }
  if (sink.begun() == calls_before) {
    say(out, raw);
    was_fenced = false;
  } else {
    is_after_call = true;
    space.clear();
  }
  raw.clear();
  header.clear();
}

void ToolCallSplitter::State::advance(std::string& out) {
  while (!held.empty() && !is_done()) {
    if (mode == Mode::text) {
      if (!advance_text(out)) break;
      continue;
    }
    size_t used = 0;
    const std::string bytes = std::exchange(held, {});
    while (used < bytes.size() && mode != Mode::text && !is_done()) feed(out, bytes[used++]);
    held = bytes.substr(used);
  }
  if (reader.has_value()) reader->give_news();
}

/// The answer ends here.
void ToolCallSplitter::State::cut(std::string& out, bool may_close) {
  if (mode == Mode::text) {
    if (is_after_call) skip_after_call();
    say(out, std::exchange(held, {}));
    if (!is_after_call) out += space;
    return;
  }
  if (reader.has_value() && may_close) reader->finish_cut();
  if (sink.begun() == calls_before && mode == Mode::json) {
    // A string that never ends may have hidden the end of the marker.
    const size_t close = marker->close.empty() ? std::string::npos : raw.find(marker->close);
    if (close != std::string::npos && close + marker->close.size() < raw.size()) {
      const std::string rest = raw.substr(close + marker->close.size());
      raw.resize(close + marker->close.size());
      end_region(out);
      held = rest;
      advance(out);
      cut(out, may_close);
      return;
    }
  }
  end_region(out);
  if (!is_after_call) out += space;
}

ToolCallSplitter::ToolCallSplitter(std::shared_ptr<const ToolSet> tools, ToolCallOptions options)
    : state_(std::make_unique<State>(std::move(tools), options)) {}
ToolCallSplitter::~ToolCallSplitter() = default;
ToolCallSplitter::ToolCallSplitter(ToolCallSplitter&&) noexcept = default;
ToolCallSplitter& ToolCallSplitter::operator=(ToolCallSplitter&&) noexcept = default;

ToolCallSplitter::Output ToolCallSplitter::push(std::string_view piece) {
  Output out;
  if (is_done()) return out;
  state_->held += piece;
  state_->sink.set_text_before(0);
  state_->advance(out.text);
  out.calls = state_->sink.take();
  return out;
}

ToolCallSplitter::Output ToolCallSplitter::flush(bool may_close) {
  Output out;
  if (is_done()) return out;
  state_->sink.set_text_before(0);
  state_->cut(out.text, may_close);
  out.calls = state_->sink.take();
  return out;
}

bool ToolCallSplitter::is_done() const { return state_->is_done(); }

}  // namespace squish
