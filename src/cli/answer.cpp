#include "cli/answer.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "base/strings.h"
#include "chat/stop_matcher.h"

namespace squish::cli {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(100);  // how late Ctrl-C may be seen

/// C0 and C1 controls but line break and tab: a model must not move the cursor or set the title.
std::string without_controls(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const DecodedCodePoint point = decode_utf8(text.substr(i));
    const uint32_t code = point.code_point;
    const bool is_control =
        (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7F && code < 0xA0);
    if (is_control) {
      append_utf8(out, 0xFFFD);
    } else {
      out += text.substr(i, static_cast<size_t>(point.bytes));
    }
    i += static_cast<size_t>(point.bytes);
  }
  return out;
}

void show_piece(const Terminal& terminal, const ChatDelta& delta) {
  if (!delta.reasoning.empty() && terminal.talk_is_terminal()) {
    talk(terminal.paint_talk(Role::faint, without_controls(delta.reasoning)));
  }
  if (delta.text.empty()) return;
  print(terminal.output_is_terminal() ? without_controls(delta.text) : delta.text);
}

Result<LogitBias> parse_bias(const std::string& text) {
  const size_t equals = text.find('=');
  const auto token = parse_int(text.substr(0, equals));
  const auto bias =
      equals == std::string::npos ? std::nullopt : parse_double(text.substr(equals + 1));
  if (!token || !bias || *token < 0 || *token > INT32_MAX) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "--logit-bias is '{}'; it must be a token id, '=' and a number, such as 1234=-100",
            printable(text))};
  }
  return LogitBias{.token = static_cast<TokenId>(*token), .bias = static_cast<float>(*bias)};
}

}  // namespace

Result<Answer> receive_answer(const Context& context, ChatStream& stream, Show show) {
  Answer answer;
  bool was_thinking = false;
  while (!stream.finished()) {
    if (interrupted()) {
      answer.was_interrupted = true;
      answer.finish = FinishReason::cancelled;
      return answer;
    }
    const auto delta = stream.next(kPollInterval);
    if (!delta) continue;
    for (const TokenEvent& event : delta->tokens) answer.tokens.push_back(event.token);
    answer.reasoning += delta->reasoning;
    answer.text += delta->text;
    if (show == Show::stream) {
      if (was_thinking && !delta->text.empty() && context.terminal.talk_is_terminal()) talk("\n\n");
      show_piece(context.terminal, *delta);
      was_thinking = (was_thinking || !delta->reasoning.empty()) && delta->text.empty();
    }
    if (!delta->finish) continue;
    if (delta->error) return *delta->error;
    answer.finish = *delta->finish;
    answer.stop_index = delta->stop_index;
  }
  answer.stats = stream.stats();
  return answer;
}

double decode_rate(const RequestStats& stats) {
  if (stats.generated_tokens < 2 || stats.decode_ms <= 0) return 0;
  return (stats.generated_tokens - 1) / (stats.decode_ms / 1000);
}

std::string summary_of(const Answer& answer, int32_t context_tokens) {
  const RequestStats& stats = answer.stats;
  std::string out = fmt::format("{} token{}, {:.1f} tok/s, time to first token {:.0f} ms",
                                stats.generated_tokens, stats.generated_tokens == 1 ? "" : "s",
                                decode_rate(stats), stats.queue_ms + stats.prefill_ms);
  if (answer.finish == FinishReason::length) {
    const bool is_full = stats.prompt_tokens + stats.generated_tokens >= context_tokens;
    out += is_full ? fmt::format("; cut: the context of {} tokens is full, --context raises it",
                                 context_tokens)
                   : "; cut by --max-tokens";
  }
  return out;
}

std::string details_of(const Answer& answer) {
  const RequestStats& stats = answer.stats;
  const int32_t computed = stats.prompt_tokens - stats.cached_tokens;
  const double rate = stats.prefill_ms > 0 ? computed / (stats.prefill_ms / 1000) : 0;
  return fmt::format(
      "prompt     {} tokens, {} of them from the cache\n"
      "prefill    {:.1f} ms, {:.1f} tok/s (queued {:.1f} ms before)\n"
      "decode     {:.1f} ms, {:.1f} tok/s\n"
      "finish     {}\n"
      "tokens     {}\n",
      stats.prompt_tokens, stats.cached_tokens, stats.prefill_ms, rate, stats.queue_ms,
      stats.decode_ms, decode_rate(stats), to_string(answer.finish), token_hash(answer.tokens));
}

std::string token_hash(const std::vector<TokenId>& tokens) {
  return fmt::format("{:016x}", hash64(std::as_bytes(std::span(tokens))));
}

Result<AnswerOptions> answer_options(const Arguments& arguments) {
  AnswerOptions options;
  for (const ParameterInfo& info : sampling_parameters()) {
    if (info.flag.empty()) continue;
    if (const auto value = arguments.text(info.flag))
      SQ_TRY_STATUS(options.sampling.set(info.flag, *value));
  }
  for (const std::string& text : arguments.all("--logit-bias")) {
    SQ_TRY(const LogitBias bias, parse_bias(text));
    options.sampling.logit_bias.push_back(bias);
  }
  options.stops = arguments.all("--stop");
  if (const auto matcher = StopMatcher::create(options.stops); !matcher)
    return matcher.error().at("--stop");
  SQ_TRY_STATUS(options.sampling.validate(0, "--logit-bias"));
  return options;
}

Status check_bias_tokens(const AnswerOptions& options, const ModelConfig& config) {
  return options.sampling.validate(static_cast<int32_t>(config.vocabulary_size), "--logit-bias");
}

Result<std::optional<bool>> think_option(const Arguments& arguments) {
  const bool yes = arguments.has("--think");
  const bool no = arguments.has("--no-think");
  if (yes && no)
    return Error{ErrorCode::invalid_argument, "--think and --no-think exclude each other"};
  if (!yes && !no) return std::optional<bool>();
  return std::optional<bool>(yes);
}

}  // namespace squish::cli
