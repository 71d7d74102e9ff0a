#include "grammar/mask_engine.h"

#include <algorithm>
#include <exception>
#include <new>
#include <unordered_set>
#include <utility>
#include <variant>

#include <xgrammar/xgrammar.h>

#include "fsm_builder.h"  // of xgrammar
#include "grammar/mask_log.h"
#include "grammar_builder.h"  // of xgrammar
#include "grammar_functor.h"  // of xgrammar
#include "xgrammar_runs.h"

namespace squish {
namespace {

/// What ends the compilation that this thread is in.
thread_local const std::atomic<bool>* compiling_stop = nullptr;

class CompilingStopped : public std::exception {};

constexpr size_t kWordBits = 32;
/// White space between the parts of a JSON text; without a bound a model can fill its answer with
/// it.
constexpr int kWhitespaceMax = 16;

/// Runs `compile` behind the seam where xgrammar's exceptions and warnings become errors.
template <class Function>
auto behind_seam(const Function& compile) -> Result<decltype(compile())> {
  const MaskWarnings warnings;
  try {
    auto out = compile();
    if (!warnings.first().empty()) return Error{ErrorCode::invalid_argument, warnings.first()};
    return out;
  } catch (const CompilingStopped&) {
    return Error{ErrorCode::cancelled, "nobody waits for this grammar any more"};
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::out_of_memory, "the grammar needs more memory than there is"};
  } catch (const std::exception& exception) {
    std::string message = exception.what();
    message.erase(0, message.find_first_not_of(" \n"));
    std::ranges::replace(message, '\n', ' ');
    return Error{ErrorCode::invalid_argument, std::move(message)};
  }
}

}  // namespace

// --- the vocabulary

struct MaskVocabulary::Impl {
  xgrammar::TokenizerInfo info;
};

MaskVocabulary::MaskVocabulary(std::unique_ptr<Impl> impl, size_t model_size,
                               std::span<const TokenId> end_tokens)
    : impl_(std::move(impl)),
      model_size_(model_size),
      end_tokens_(end_tokens.begin(), end_tokens.end()) {}
MaskVocabulary::~MaskVocabulary() = default;

Result<std::shared_ptr<const MaskVocabulary>> MaskVocabulary::create(
    std::vector<std::string> texts, size_t model_size, std::span<const TokenId> end_tokens) {
  SQ_CHECK(model_size >= texts.size());
  auto info = behind_seam([&] {
    return xgrammar::TokenizerInfo(texts, xgrammar::VocabType::RAW, static_cast<int>(model_size),
                                   std::vector<int32_t>(end_tokens.begin(), end_tokens.end()));
  });
  if (!info) return Error{ErrorCode::internal, info.error().message}.at("vocabulary for grammars");
  auto impl = std::make_unique<Impl>(Impl{std::move(*info)});
  return std::shared_ptr<const MaskVocabulary>(
      new MaskVocabulary(std::move(impl), model_size, end_tokens));
}

// --- compiling

struct CompiledMask::Impl {
  xgrammar::CompiledGrammar grammar;
};

CompiledMask::CompiledMask(std::shared_ptr<const MaskVocabulary> vocabulary,
                           std::unique_ptr<Impl> impl)
    : vocabulary_(std::move(vocabulary)),
      impl_(std::move(impl)),
      bytes_(impl_->grammar.MemorySizeBytes()) {}
CompiledMask::~CompiledMask() = default;

Result<std::shared_ptr<const CompiledMask>> CompiledMask::compile(
    std::shared_ptr<const MaskVocabulary> vocabulary, MaskLanguage language,
    const std::string& text, const std::atomic<bool>* stop) {
  compiling_stop = stop;
  auto grammar = behind_seam([&] {
    // One thread: others would not report their warnings. No cache: ours is bounded and shared.
    xgrammar::GrammarCompiler compiler(vocabulary->impl_->info, 1, false);
    switch (language) {
      case MaskLanguage::json:
        return compiler.CompileJSONSchema(R"({"type":"object"})", true, std::nullopt, std::nullopt,
                                          false, kWhitespaceMax);
      case MaskLanguage::json_schema:
        return compiler.CompileJSONSchema(text, true, std::nullopt, std::nullopt, false,
                                          kWhitespaceMax);
      case MaskLanguage::regex:
        return compiler.CompileRegex(text);
      case MaskLanguage::ebnf:
        return compiler.CompileGrammar(text);
      case MaskLanguage::structural_tag:
        break;
    }
    return compiler.CompileStructuralTag(text);
  });
  compiling_stop = nullptr;
  xgrammar::squish_counts = {};
  if (!grammar) return grammar.error();
  return std::shared_ptr<const CompiledMask>(
      new CompiledMask(std::move(vocabulary), std::make_unique<Impl>(Impl{std::move(*grammar)})));
}

Status check_json_pattern(const std::string& pattern) {
  // Where this automaton is not possible, or is empty, compiling it would end in an error that does
  // not name the pattern, or in a text that cannot go on.
  const auto is_possible = behind_seam([&] {
    xgrammar::GrammarBuilder rules;  // for long repetitions, as when it is compiled
    auto built = xgrammar::RegexFSMBuilder::BuildWithForbiddenChars(
        pattern, xgrammar::GrammarFSMBuilder::JSONStringForbiddenChars(), &rules);
    if (built.IsErr()) return std::string(std::move(built).UnwrapErr().what());
    const auto automaton = std::move(built).Unwrap();
    std::unordered_set<int> reachable;
    automaton.GetReachableStates(&reachable);
    const bool has_end =
        std::ranges::any_of(reachable, [&](int state) { return automaton.IsEndState(state); });
    return std::string(has_end ? "" : "no text without quotes and backslashes matches it");
  });
  if (!is_possible) return is_possible.error();
  if (!is_possible->empty()) return Error{ErrorCode::invalid_argument, *is_possible};
  return {};
}

// --- states

struct MaskState::Impl {
  xgrammar::GrammarMatcher matcher;
};

MaskState::MaskState(std::shared_ptr<const CompiledMask> compiled)
    : compiled_(std::move(compiled)),
      impl_(std::make_unique<Impl>(Impl{xgrammar::GrammarMatcher(compiled_->impl_->grammar)})) {}
MaskState::~MaskState() = default;

void MaskState::fill(std::span<uint32_t> mask) {
  SQ_CHECK(mask.size() * kWordBits >= compiled_->vocabulary().model_size());
  std::ranges::fill(mask, 0U);
  if (has_ended()) return;
  int64_t shape = xgrammar::GetBitmaskSize(static_cast<int>(compiled_->vocabulary().model_size()));
  DLTensor tensor{};
  tensor.data = mask.data();
  tensor.device = {kDLCPU, 0};
  tensor.ndim = 1;
  tensor.dtype = xgrammar::GetBitmaskDLType();
  tensor.shape = &shape;
  // False: every token may follow, and the mask was left alone.
  if (!impl_->matcher.FillNextTokenBitmask(&tensor)) std::ranges::fill(mask, ~0U);
}

bool MaskState::accept(TokenId token) { return impl_->matcher.AcceptToken(token); }
void MaskState::rollback(int32_t count) { impl_->matcher.Rollback(count); }
bool MaskState::has_ended() const { return impl_->matcher.IsTerminated(); }

}  // namespace squish

namespace xgrammar {

/// Called by its compiler before each mask (cmake/xgrammar.cmake puts the call there).
void SquishMayStopCompiling() {
  const std::atomic<bool>* stop = squish::compiling_stop;
  if (stop != nullptr && stop->load()) throw squish::CompilingStopped();
}

}  // namespace xgrammar
