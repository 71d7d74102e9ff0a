#include "text/pretokenize_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>

#include <fmt/format.h>
#include <pcre2.h>

#include "base/strings.h"

namespace squish::text {

namespace {
constexpr uint32_t kMatchSteps = 1'000'000;
constexpr size_t kPatternBytesMax = 64 * 1024;
}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(const std::string& pattern) {
  if (pattern.size() > kPatternBytesMax) {
    return Error{ErrorCode::unsupported,
                 fmt::format("regular expression of {} bytes; at most {} are accepted",
                             pattern.size(), kPatternBytesMax)};
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Oniguruma's ^ and $ always mean lines, hence MULTILINE; it has no other default that differs
  // here.
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_MULTILINE;
  Regex regex;
  regex.code_ = std::make_unique<Code>();
  regex.code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                    options, &error, &offset, nullptr);
  if (regex.code_->code == nullptr) {
    std::array<PCRE2_UCHAR, 160> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return Error{ErrorCode::unsupported,
                 fmt::format("regular expression '{}' at byte {}: {}", printable(pattern), offset,
                             reinterpret_cast<const char*>(text.data()))};
  }
  pcre2_jit_compile(regex.code_->code, PCRE2_JIT_COMPLETE);
  regex.code_->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(regex.code_->context, kMatchSteps);
  pcre2_set_heap_limit(regex.code_->context, 16 * 1024);  // KiB
  return regex;
}

Regex::Scratch::Scratch(const Regex& regex)
    : match_data_(pcre2_match_data_create_from_pattern(regex.code_->code, nullptr)) {}
Regex::Scratch::~Scratch() { pcre2_match_data_free(static_cast<pcre2_match_data*>(match_data_)); }

std::optional<std::pair<size_t, size_t>> Regex::search(std::string_view text, size_t from,
                                                       Scratch& scratch) const {
  auto* const data = static_cast<pcre2_match_data*>(scratch.match_data_);
  if (data == nullptr || from >= text.size()) return std::nullopt;
  const auto* const subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const uint32_t options = PCRE2_NOTEMPTY;
  int found = pcre2_match(code_->code, subject, text.size(), from, options, data, code_->context);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
    found = pcre2_match(code_->code, subject, text.size(), from, options | PCRE2_NO_JIT, data,
                        code_->context);
  }
  if (found < 0) return std::nullopt;
  const PCRE2_SIZE* const span = pcre2_get_ovector_pointer(data);
  if (span[0] < from || span[1] <= span[0] || span[1] > text.size()) return std::nullopt;
  return std::pair{static_cast<size_t>(span[0]), static_cast<size_t>(span[1])};
}

}  // namespace squish::text
