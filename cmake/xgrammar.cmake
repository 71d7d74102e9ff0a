# xgrammar's C++ core as one static library, from the sources that `./dev setup` unpacks (docs/adr/0018-grammar-engine.md).
# Not its own CMakeLists.txt: that forces -Werror and link-time optimization upon whoever includes it.
set(SQUISH_XGRAMMAR_DIR ${PROJECT_SOURCE_DIR}/.dev/sources/xgrammar CACHE PATH "Unpacked source package of xgrammar")
if(NOT EXISTS ${SQUISH_XGRAMMAR_DIR}/include/xgrammar/xgrammar.h)
  message(FATAL_ERROR "The sources of xgrammar are not in ${SQUISH_XGRAMMAR_DIR}: run `./dev setup`, which fetches them "
    "(cmake/xgrammar.txt says which), or give -DSQUISH_XGRAMMAR_DIR=<unpacked source package>")
endif()
file(GLOB_RECURSE xgrammar_sources CONFIGURE_DEPENDS ${SQUISH_XGRAMMAR_DIR}/cpp/*.cc)
list(FILTER xgrammar_sources EXCLUDE REGEX "/cpp/tvm_ffi/")

# Five places of it let answers through that do not fit, one cannot be stopped, and some take too long. A source that no longer has them ends the
# configuration: look whether the newer version is right there, and drop the correction (the tests that name each must hold).
function(squish_correct_xgrammar FILE BEFORE AFTER)
  get_property(text GLOBAL PROPERTY "squish_xgrammar_${FILE}")
  if(NOT text)
    file(READ ${SQUISH_XGRAMMAR_DIR}/cpp/${FILE} text)
  endif()
  string(FIND "${text}" "${BEFORE}" place)
  if(place EQUAL -1)
    message(FATAL_ERROR "xgrammar's ${FILE} is not the one that cmake/xgrammar.cmake corrects; see there")
  endif()
  string(REPLACE "${BEFORE}" "${AFTER}" text "${text}")
  set_property(GLOBAL PROPERTY "squish_xgrammar_${FILE}" "${text}")
endfunction()
# Texts with minLength or maxLength could have tabs and other control characters, which JSON forbids.
squish_correct_xgrammar(json_schema_converter.cc [==[{'\r', '\r'}, {'\n', '\n'}}, true]==] [==[{0, 0x1F}}, true]==])
# (ab*)? accepted "b": the way around a group led to its end, and from there back into a loop that ends there.
squish_correct_xgrammar(fsm.cc [==[  if (!ends_.empty()) {
    fsm.AddEpsilonEdge(start_, ends_.front());
  }
  return FSMWithStartEnd(fsm, start_, ends_);]==] [==[  const int around = fsm.AddState();
  fsm.AddEpsilonEdge(around, start_);
  auto ends = ends_;
  ends.push_back(around);
  return FSMWithStartEnd(fsm, around, ends);]==])
# (ab*|c){2,} accepted "ccb": every further round began at the end of one branch.
squish_correct_xgrammar(fsm_builder.cc [==[    int end_state_of_lower_bound_fsm = -1;
    for (int end = 0; end < result.NumStates(); ++end) {
      if (result.IsEndState(end)) {
        end_state_of_lower_bound_fsm = end;
        break;
      }
    }]==] [==[    int end_state_of_lower_bound_fsm = result.AddState();
    for (int end = 0; end < end_state_of_lower_bound_fsm; ++end) {
      if (result.IsEndState(end)) result.GetFsm().AddEpsilonEdge(end, end_state_of_lower_bound_fsm);
    }
    result.AddEndState(end_state_of_lower_bound_fsm);]==])
# Tokens of single bytes could write what is no UTF-8: half of a surrogate pair (ED A0 80), and in regular expressions a character with more bytes than it
# takes (E0 80 80). A range of characters is written in pieces of one length each, without the surrogates.
squish_correct_xgrammar(grammar_functor.cc [==[  constexpr uint32_t width_ends[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
  for (uint32_t width_end : width_ends) {
    if (low <= high && low <= width_end) {
      auto end = std::min(high, width_end);
      AddCharacterRange(from, to, CodepointToPackedUTF8(low), CodepointToPackedUTF8(end));
      low = end + 1;
    }
  }]==] [==[  constexpr uint32_t pieces[][2] = {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, 0x10FFFF}};
  for (const auto& piece : pieces) {
    const uint32_t begin = std::max(low, piece[0]), end = std::min(high, piece[1]);
    if (begin <= end) AddCharacterRange(from, to, CodepointToPackedUTF8(begin), CodepointToPackedUTF8(end));
  }]==])
squish_correct_xgrammar(fsm_builder.cc [==[    if (high > kMax1ByteUnicode) {
      uint32_t multi_byte_low = std::max<uint32_t>(low, kMax1ByteUnicode + 1);
      AddPackedUTF8RangeEdges(
          *fsm, from, to, CodepointToPackedUTF8(multi_byte_low), CodepointToPackedUTF8(high)
      );
    }]==] [==[    constexpr uint32_t pieces[][2] = {{0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, 0x10FFFF}};
    for (const auto& piece : pieces) {
      const uint32_t begin = std::max<uint32_t>(low, piece[0]), end = std::min<uint32_t>(high, piece[1]);
      if (begin <= end) {
        AddPackedUTF8RangeEdges(*fsm, from, to, CodepointToPackedUTF8(begin), CodepointToPackedUTF8(end));
      }
    }]==])
# Repetitions were written out up to 128 rounds, whatever a round is: (?:x{48}){0,100} is 4,800 states with a mask each. Rounds of 32 parts or more are
# counted from 256 parts on (pattern_tree.cpp writes patterns for that).
squish_correct_xgrammar(fsm_builder.cc [==[/*! \brief One entry of the regex parsing stack:]==] [==[/*! \brief Characters and classes of a part when its repetitions are written out. */
int64_t SquishParts(const RegexIR::State& state) {
  int64_t parts = 0;
  const auto add = [&](const std::vector<RegexIR::State>& states) {
    for (const auto& child : states) parts = std::min<int64_t>(parts + SquishParts(child), 1 << 20);
  };
  if (const auto* bracket = std::get_if<RegexIR::Bracket>(&state)) add(bracket->states);
  if (const auto* alternatives = std::get_if<RegexIR::Union>(&state)) add(alternatives->states);
  if (const auto* symbol = std::get_if<RegexIR::Symbol>(&state)) add(symbol->state);
  if (const auto* repeat = std::get_if<RegexIR::Repeat>(&state)) {
    add(repeat->states);
    parts *= std::max({repeat->lower_bound, repeat->upper_bound, 1});
  }
  return std::max<int64_t>(parts, 1);
}

/*! \brief One entry of the regex parsing stack:]==])
squish_correct_xgrammar(fsm_builder.cc [==[                                 : upper_bound > kLargeRepeatThreshold;]==] [==[                                 : upper_bound > kLargeRepeatThreshold;
      const int64_t squish_parts = SquishParts(std::get<RegexIR::State>(atom.item));
      is_large_repeat = is_large_repeat || (squish_parts >= 32 && squish_parts * std::max(lower_bound, upper_bound) > 256);]==])
# Patterns are known to have an automaton (check_json_pattern() in mask_engine.cpp). It was built once more here, with every repetition written out by
# copying it anew for each round: 1 s for 4,000 characters.
squish_correct_xgrammar(json_schema_converter.cc [==[  if (can_use_fsm) {
    auto fsm_result = GrammarFSMBuilder::Regex(regex, json_string);]==] [==[  if (can_use_fsm && json_string) return builder_.AddRegex(regex, json_string);
  if (can_use_fsm) {
    auto fsm_result = GrammarFSMBuilder::Regex(regex, json_string);]==])
# Numbers as automata that number_automaton.h writes: multiples of fractions, and of whole numbers within bounds, which it only warns of.
squish_correct_xgrammar(json_schema_converter.cc [==[  // Check for format
  if (spec.format.has_value()) {]==] [==[  if (spec.format.has_value() && spec.format->rfind("\x01number:", 0) == 0) {
    const char* at = spec.format->c_str() + 8;
    std::vector<int32_t> states(std::count(spec.format->begin(), spec.format->end(), ';'));
    for (size_t i = 0; i < states.size(); ++i) {
      states[i] = builder_.AddEmptyRuleWithHint(rule_name + "_number_" + std::to_string(i));
    }
    for (int32_t state : states) {
      std::vector<int32_t> cases;
      if (*at == '!') {
        cases.push_back(Empty());
        ++at;
      }
      while (*at != ';') {
        std::vector<GrammarBuilder::CharacterClassElement> characters;
        for (; *at != '>'; ++at) characters.push_back({*at, *at});
        char* end = nullptr;
        const int32_t next = states.at(std::strtol(at + 1, &end, 10));
        cases.push_back(Sequence({builder_.AddCharacterClass(characters), RuleRef(next)}));
        at = end + 1;
      }
      ++at;
      builder_.UpdateRuleBody(state, Choice(cases));
    }
    return RuleRef(states.at(0));
  }
  // Check for format
  if (spec.format.has_value()) {]==])
# Masks of a long repetition take seconds to minutes (25 ms a state at 150,000 tokens): the thread asks before each (mask_engine.cpp).
squish_correct_xgrammar(grammar_compiler.cc [==[    for (int i : reachable_states) {
      cur_stack_element.element_id = i;]==] [==[    void SquishMayStopCompiling();
    for (int i : reachable_states) {
      SquishMayStopCompiling();
      cur_stack_element.element_id = i;]==])
# The masks of a text of a length by looking at tokens instead of parsing them (xgrammar_runs.h): 20 ms a state become 1.
squish_correct_xgrammar(grammar_compiler.cc [==[      if (speculative_calculation) {
        // Optimization for tag dispatch rules.]==] [==[      if (!speculative_calculation && !has_char_budget_rules_ && squish_runs.takes(i, sorted_decoded_vocab)) {
        tmp_accepted_indices_.push_back(i);
        continue;
      }
      if (speculative_calculation) {
        // Optimization for tag dispatch rules.]==])
squish_correct_xgrammar(grammar_compiler.cc [==[  if (has_char_budget_rules_) {
    speculative_calculation = false;
  }]==] [==[  if (has_char_budget_rules_) {
    speculative_calculation = false;
  }
  SquishRuns squish_runs(grammar_, init_rule_id_, initial_state_.element_id);]==])
squish_correct_xgrammar(grammar_compiler.cc [==[#include "xgrammar/grammar.h"]==] [==[#include "xgrammar/grammar.h"
#include "xgrammar_runs.h"]==])
foreach(file grammar_compiler.cc grammar_functor.cc json_schema_converter.cc fsm.cc fsm_builder.cc)
  list(REMOVE_ITEM xgrammar_sources ${SQUISH_XGRAMMAR_DIR}/cpp/${file})
  list(APPEND xgrammar_sources ${PROJECT_BINARY_DIR}/xgrammar/${file})
  get_property(text GLOBAL PROPERTY "squish_xgrammar_${file}")
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/xgrammar/${file} CONTENT "${text}")
endforeach()
add_library(squish_xgrammar STATIC ${xgrammar_sources})
target_include_directories(squish_xgrammar SYSTEM PUBLIC ${SQUISH_XGRAMMAR_DIR}/include
  ${SQUISH_XGRAMMAR_DIR}/3rdparty/dlpack/include PRIVATE ${SQUISH_XGRAMMAR_DIR}/3rdparty/picojson
  ${SQUISH_XGRAMMAR_DIR}/cpp ${PROJECT_SOURCE_DIR}/cmake)
# XGRAMMAR_LOG_CUSTOMIZE: its messages come to src/grammar/engine_log.cpp. What it only warns of is an error here.
target_compile_definitions(squish_xgrammar PRIVATE XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0
  XGRAMMAR_LOG_CUSTOMIZE=1)
target_compile_features(squish_xgrammar PUBLIC cxx_std_17)
target_compile_options(squish_xgrammar PRIVATE -w)
if(SQUISH_SANITIZE)
  target_compile_options(squish_xgrammar PRIVATE -fsanitize=${SQUISH_SANITIZE} -fno-omit-frame-pointer)
endif()
