#include "chat/tool_call_reader.h"

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish {
namespace {

constexpr std::array<std::string_view, 3> kArgumentKeys = {"arguments", "parameters", "input"};
/// What else an object may have that is a call: more of it would be somebody's data.
constexpr std::array<std::string_view, 5> kOtherKeys = {"name", "id", "type", "function", "index"};

bool is_argument_key(std::string_view key) {
  return std::ranges::find(kArgumentKeys, key) != kArgumentKeys.end();
}

bool is_call_key(std::string_view key) {
  return is_argument_key(key) || std::ranges::find(kOtherKeys, key) != kOtherKeys.end();
}

std::string make_call_id() {
  static thread_local std::mt19937_64 generator((uint64_t{std::random_device{}()} << 32) |
                                                std::random_device{}());
  return fmt::format("call_{:012x}", generator() & 0xFFFF'FFFF'FFFFU);
}

std::string compact_json(const Value& value) {
  auto text = to_json(value, {.item_separator = ",", .key_separator = ":"});
  return text ? std::move(text).value() : "{}";  // parsed JSON always has a text
}

/// The text of an element's value, as the schema's type of that parameter wants it.
Value element_value(std::string_view text, const Value& schema, const std::string& key) {
  const Value* properties = schema.is_dict() ? schema.find("properties") : nullptr;
  const Value* property =
      properties != nullptr && properties->is_dict() ? properties->find(key) : nullptr;
  const Value plain(text);
  const bool has_type = property != nullptr && property->is_dict() && property->contains("type");
  if (has_type && fits_schema(plain, *property)) return plain;
  if (const auto parsed = parse_json(text); parsed) return *parsed;
  const std::string lower = to_lower(trim(text));
  if (lower == "true" || lower == "false") return lower == "true";
  if (lower == "none") return Value::none();
  return plain;
}

/// `text` without the line break after its tag and the one before the next.
std::string_view without_outer_breaks(std::string_view text) {
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

/// What stands between `open` and `close` from `from` on, which moves behind it. A missing `close`
/// ends before `stop` or at the end.
std::optional<std::string_view> between(std::string_view text, size_t& from, std::string_view open,
                                        std::string_view close, std::string_view stop) {
  const size_t begin = text.find(open, from);
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t inside = begin + open.size();
  size_t end = text.find(close, inside);
  if (const size_t other = text.find(stop, inside); other < end) {
    from = other;
    return text.substr(inside, other - inside);
  }
  end = std::min(end, text.size());
  from = std::min(end + close.size(), text.size());
  return text.substr(inside, end - inside);
}

FoundCall function_element(std::string_view body, const ToolDefinition& tool) {
  Value arguments = Value::dict();
  size_t from = 0;
  while (const auto parameter = between(body, from, "<parameter=", "</parameter>", "<parameter=")) {
    const size_t name_end = parameter->find('>');
    if (name_end == std::string_view::npos) continue;
    const std::string key(trim(parameter->substr(0, name_end)));
    const std::string_view value = without_outer_breaks(parameter->substr(name_end + 1));
    arguments.set(key, element_value(value, tool.parameters, key));
  }
  return {&tool, compact_json(arguments)};
}

FoundCall key_value_elements(std::string_view body, const ToolDefinition& tool) {
  Value arguments = Value::dict();
  size_t from = 0;
  while (const auto key = between(body, from, "<arg_key>", "</arg_key>", "<arg_value>")) {
    const auto value = between(body, from, "<arg_value>", "</arg_value>", "<arg_key>");
    if (!value) break;
    const std::string name(trim(*key));
    arguments.set(name, element_value(without_outer_breaks(*value), tool.parameters, name));
  }
  return {&tool, compact_json(arguments)};
}

}  // namespace

void ToolCallSink::begin(const ToolDefinition& tool) {
  pieces_.push_back(
      {.index = begun_++, .id = make_call_id(), .name = tool.name, .text_before = text_before_});
}

void ToolCallSink::add(std::string_view arguments) {
  if (arguments.empty()) return;
  if (pieces_.empty() || pieces_.back().index + 1 != begun_ || pieces_.back().is_end)
    pieces_.push_back({.index = begun_ - 1, .text_before = text_before_});
  pieces_.back().arguments += arguments;
}

void ToolCallSink::end(bool is_repaired) {
  if (pieces_.empty() || pieces_.back().index + 1 != begun_)
    pieces_.push_back({.index = begun_ - 1, .text_before = text_before_});
  pieces_.back().is_end = true;
  pieces_.back().is_repaired = is_repaired;
  ++ended_;
}

void ToolCallSink::whole(const ToolDefinition& tool, std::string_view arguments, bool is_repaired) {
  begin(tool);
  add(arguments);
  end(is_repaired);
}

std::vector<ToolCallPiece> ToolCallSink::take() { return std::exchange(pieces_, {}); }

ToolCallReader::State ToolCallReader::feed(char byte) {
  const bool in_string = walker_.in_string();
  append_json_byte(text_, byte, in_string);
  bool is_possible = true;
  switch (walker_.feed(byte)) {
    case JsonWalker::Event::open:
      open(byte);
      break;
    case JsonWalker::Event::close:
      close();
      break;
    case JsonWalker::Event::key_end:
      is_possible = take_key();
      break;
    case JsonWalker::Event::string_end:
      is_possible = take_string();
      break;
    case JsonWalker::Event::other:
      break;
    case JsonWalker::Event::invalid:
      is_possible = calls_ > 0 || is_given_;
      break;
  }
  // In front of an element of the outermost list only these may stand.
  if (!in_string && candidate_depth_ == 0 && !walker_.brackets().empty()) {
    constexpr std::string_view kBetween = " \t\r\n,[]{}\"";
    if (kBetween.find(byte) == std::string_view::npos && calls_ == 0 && walker_.depth() == 1)
      is_possible = false;
  }
  if (!is_possible && !options_.is_marked) return State::not_a_call;
  if (!walker_.is_done()) return State::reading;
  if (calls_ == 0) take_positional();
  return calls_ > 0 || options_.is_marked ? State::done : State::not_a_call;
}

void ToolCallReader::open(char byte) {
  const std::string& brackets = walker_.brackets();
  const bool in_lists =
      brackets.find_first_not_of('[') >= brackets.size() - 1;  // but for the new one
  const bool is_doubled = brackets == "{{" && tool_ == nullptr && key_.empty();
  if (is_positional_) return;
  if (byte == '{' && arguments_depth_ == 0 && (in_lists || is_doubled)) {
    candidate_begin_ = text_.size() - 1;
    candidate_depth_ = brackets.size();
    key_.clear();
    tool_ = options_.named;
    has_call_ = false;
    if (tool_ != nullptr) begin_arguments(candidate_begin_);
    return;
  }
  if (byte == '{' && candidate_depth_ > 0 && brackets.size() == candidate_depth_ + 1 &&
      tool_ != nullptr && !has_call_ && arguments_depth_ == 0 && is_argument_key(key_)) {
    begin_arguments(text_.size() - 1);
  }
}

void ToolCallReader::begin_arguments(size_t begin) {
  arguments_begin_ = begin;
  given_ = begin;
  arguments_depth_ = walker_.depth();
  if (!options_.streams_arguments) return;
  is_given_ = true;
  sink_.begin(*tool_);
}

void ToolCallReader::give_news() {
  if (!is_given_) return;
  sink_.add(std::string_view(text_).substr(given_));
  given_ = text_.size();
}

void ToolCallReader::end_arguments() {
  arguments_depth_ = 0;
  if (is_given_) {
    give_news();
    sink_.end();
    is_given_ = false;
  } else {
    const std::string_view arguments = std::string_view(text_).substr(arguments_begin_);
    if (!parse_json(arguments)) return;
    sink_.whole(*tool_, arguments);
  }
  has_call_ = true;
  ++calls_;
}

void ToolCallReader::close() {
  if (arguments_depth_ > 0 && walker_.depth() < arguments_depth_) end_arguments();
  if (candidate_depth_ > 0 && walker_.depth() < candidate_depth_) end_candidate();
}

void ToolCallReader::end_candidate() {
  candidate_depth_ = 0;
  if (has_call_ || options_.named != nullptr) return;
  const auto object = parse_json(std::string_view(text_).substr(candidate_begin_));
  if (!object) return;
  if (const auto call = call_of(*object, tools_, options_.is_marked); call) {
    sink_.whole(*call->tool, call->arguments);
    ++calls_;
  }
}

/// False when an object with such a key is no call.
bool ToolCallReader::take_key() {
  if (candidate_depth_ == 0 || walker_.depth() != candidate_depth_) return true;
  key_ = walker_.text();
  return has_call_ || options_.named != nullptr || is_call_key(key_);
}

bool ToolCallReader::take_string() {
  const std::string& text = walker_.text();
  if (candidate_depth_ == 0) {
    // ["name", ...
    if (is_positional_) return true;
    is_positional_ = tools_.find(text) != nullptr;
    return calls_ > 0 || is_positional_;
  }
  if (walker_.depth() != candidate_depth_ || key_ != "name" || options_.named != nullptr)
    return true;
  tool_ = tools_.find(text);
  return tool_ != nullptr;
}

void ToolCallReader::take_positional() {
  const auto list = parse_json(text_);
  if (!list || !list->is_list()) return;
  const Value* items = &*list;
  while (items->size() == 1 && items->items()[0].is_list()) items = &items->items()[0];
  if (items->size() != 2 || !items->items()[0].is_string() || !items->items()[1].is_dict()) return;
  const ToolDefinition* tool = tools_.find(items->items()[0].as_string());
  if (tool == nullptr) return;
  sink_.whole(*tool, compact_json(items->items()[1]));
  ++calls_;
}

void ToolCallReader::finish_cut() {
  if (is_given_) {
    give_news();
    const std::string_view cut = std::string_view(text_).substr(arguments_begin_);
    const auto closed = close_json(cut);
    if (!closed || !closed->starts_with(cut)) return;
    const auto value = parse_json(*closed);
    if (!value || !fits_schema(*value, tool_->parameters)) return;
    sink_.add(std::string_view(*closed).substr(cut.size()));
    sink_.end(true);
    return;
  }
  if (candidate_depth_ == 0 || has_call_) return;
  const auto closed = close_json(std::string_view(text_).substr(candidate_begin_));
  const auto object = closed ? parse_json(*closed) : Result<Value>(Value());
  if (!object || !object->is_dict()) return;
  if (options_.named != nullptr) {
    if (fits_schema(*object, options_.named->parameters))
      sink_.whole(*options_.named, *closed, true);
    return;
  }
  const auto call = call_of(*object, tools_, options_.is_marked);
  if (!call) return;
  const auto arguments = parse_json(call->arguments);
  if (arguments && fits_schema(*arguments, call->tool->parameters))
    sink_.whole(*call->tool, call->arguments, true);
}

std::optional<FoundCall> call_of(const Value& object, const ToolSet& tools, bool is_marked) {
  if (!object.is_dict()) return std::nullopt;
  if (const Value* function = object.find("function"); function != nullptr && function->is_dict())
    return call_of(*function, tools, is_marked);
  const Value* name = object.find("name");
  if (name == nullptr || !name->is_string()) return std::nullopt;
  const ToolDefinition* tool = tools.find(name->as_string());
  if (tool == nullptr) return std::nullopt;
  const Value* arguments = nullptr;
  for (const std::string_view key : kArgumentKeys) {
    if (arguments == nullptr) arguments = object.find(key);
  }
  if (arguments == nullptr && !is_marked) return std::nullopt;
  if (arguments == nullptr || arguments->is_none()) return FoundCall{tool, "{}"};
  if (arguments->is_string()) {
    const std::string& text = arguments->as_string();
    if (trim(text).empty()) return FoundCall{tool, "{}"};
    const auto parsed = parse_json(text);
    if (!parsed || !parsed->is_dict()) return std::nullopt;
    return FoundCall{tool, text};
  }
  if (!arguments->is_dict()) return std::nullopt;
  return FoundCall{tool, compact_json(*arguments)};
}

std::vector<FoundCall> element_calls(std::string_view text, const ToolSet& tools) {
  std::vector<FoundCall> out;
  size_t from = 0;
  while (const auto function = between(text, from, "<function=", "</function>", "<function=")) {
    const size_t name_end = function->find('>');
    if (name_end == std::string_view::npos) continue;
    const ToolDefinition* tool = tools.find(trim(function->substr(0, name_end)));
    if (tool != nullptr) out.push_back(function_element(function->substr(name_end + 1), *tool));
  }
  if (!out.empty() || text.find("<arg_key>") == std::string_view::npos) return out;
  from = 0;
  while (const auto body = between(text, from, "<tool_call>", "</tool_call>", "<tool_call>")) {
    const ToolDefinition* tool = tools.find(trim(body->substr(0, body->find("<arg_key>"))));
    if (tool != nullptr) out.push_back(key_value_elements(*body, *tool));
  }
  return out;
}

}  // namespace squish
