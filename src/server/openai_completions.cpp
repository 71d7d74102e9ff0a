#include "server/openai_completions.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "server/infill.h"
#include "server/json_writer.h"
#include "server/structured_output.h"

namespace squish::server {
namespace {

constexpr std::array kCompletionFields = {
    Field{.name = "prompt",
          .type = FieldType::any,
          .required = true,
          .help = "text, a list of texts, tokens, or a list of token lists"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
    Field{.name = "suffix",
          .type = FieldType::text,
          .help = "text that follows: the answer is what belongs between, for models with tokens "
                  "for it"},
    Field{.name = "stream", .type = FieldType::boolean, .help = "send the answer as it comes"},
    Field{.name = "stream_options",
          .type = FieldType::object,
          .help = "{\"include_usage\": true} adds a last chunk with the usage"},
    Field{.name = "n",
          .type = FieldType::integer,
          .help = "answers to each prompt",
          .minimum = 1,
          .maximum = limits::kAnswersMax},
    Field{.name = "best_of",
          .type = FieldType::integer,
          .help = "answers to compute for each prompt; the n likeliest per token are returned",
          .minimum = 1,
          .maximum = limits::kAnswersMax},
    Field{.name = "stop",
          .type = FieldType::text_or_array,
          .help = "up to 64 texts that end the answer"},
    Field{.name = "logprobs",
          .type = FieldType::integer,
          .help = "log probabilities of the answer's tokens and of as many likeliest ones; with "
                  "echo also those of the prompt",
          .minimum = 0,
          .maximum = 20},
    Field{
        .name = "echo", .type = FieldType::boolean, .help = "the prompt stands before the answer"},
    Field{.name = "logit_bias",
          .type = FieldType::object,
          .help = "token id to a number from -100 to 100 that is added to its logit"},
    Field{
        .name = "user", .type = FieldType::text, .help = "requests of different users take turns"},
};

constexpr std::array kTokenizeFields = {
    Field{.name = "text", .type = FieldType::text, .help = "this, or messages"},
    Field{.name = "messages",
          .type = FieldType::array,
          .help = "a conversation, put into the model's chat template"},
    Field{.name = "tools", .type = FieldType::array, .help = "with messages"},
    Field{.name = "add_special",
          .type = FieldType::boolean,
          .help = "with text: the tokens that the model puts around a text (default true)"},
    Field{.name = "with_pieces", .type = FieldType::boolean, .help = "also the text of each token"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
};

constexpr std::array kDetokenizeFields = {
    Field{.name = "tokens", .type = FieldType::array, .required = true, .help = "token ids"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
};

bool is_token_list(const Value& value) {
  return value.is_list() && value.size() > 0 && value.items().front().is_integer();
}

ApiError prompt_error() {
  return bad_field("prompt",
                   "prompt must be a text that is not empty, a list of such texts, a list of token "
                   "ids or a list of such lists");
}

Checked add_prompt(const Value& value, std::vector<CompletionPrompt>& out) {
  if (value.is_string()) {
    if (value.as_string().empty()) return prompt_error();
    out.push_back({.text = value.as_string()});
    return Nothing{};
  }
  if (!is_token_list(value)) return prompt_error();
  auto tokens = read_tokens(value, "prompt");
  if (!tokens) return tokens.error();
  out.push_back({.tokens = std::move(tokens).value(), .is_tokens = true});
  return Nothing{};
}

Parsed<std::vector<CompletionPrompt>> read_prompts(const Value& body) {
  std::vector<CompletionPrompt> out;
  const Value* prompt = find_present(body, "prompt");
  if (prompt == nullptr) return prompt_error();
  if (!prompt->is_list() || is_token_list(*prompt)) {
    if (auto added = add_prompt(*prompt, out); !added) return added.error();
    return out;
  }
  if (prompt->size() == 0) return prompt_error();
  if (prompt->size() > static_cast<size_t>(limits::kAnswersMax))
    return bad_field("prompt", fmt::format("prompt has {} entries, the limit is {}", prompt->size(),
                                           limits::kAnswersMax));
  for (const Value& item : prompt->items()) {
    if (auto added = add_prompt(item, out); !added) return added.error();
  }
  return out;
}

Checked read_counts(const Value& body, CompletionCall& out) {
  const auto count = read_integer(body, "n", 1, limits::kAnswersMax);
  if (!count) return count.error();
  out.answer_count = static_cast<size_t>(count->value_or(1));
  const auto best = read_integer(body, "best_of", 1, limits::kAnswersMax);
  if (!best) return best.error();
  out.best_of = static_cast<size_t>(best->value_or(static_cast<int64_t>(out.answer_count)));
  if (out.best_of < out.answer_count)
    return bad_field("best_of", fmt::format("best_of is {}, less than n, which is {}", out.best_of,
                                            out.answer_count));
  const size_t total = out.best_of * out.prompts.size();
  if (total > static_cast<size_t>(limits::kAnswersMax))
    return bad_field("n", fmt::format("{} prompts with {} answers each are {}; at most {} are "
                                      "computed for one request",
                                      out.prompts.size(), out.best_of, total, limits::kAnswersMax));
  if (out.is_stream && out.best_of > out.answer_count)
    return bad_field("best_of",
                     "best_of above n cannot be streamed: which answers are best is "
                     "known at the end");
  return Nothing{};
}

Checked read_completion_logprobs(const Value& body, CompletionCall& out) {
  const Value* value = find_present(body, "logprobs");
  SamplingParams& sampling = out.options.sampling;
  if (value != nullptr && value->is_bool()) {
    sampling.logprobs = value->as_bool();
  } else {
    const auto top = read_integer(body, "logprobs", 0, 20);
    if (!top) return top.error();
    sampling.logprobs = top->has_value();
    sampling.top_logprobs = static_cast<int32_t>(top->value_or(0));
  }
  out.wants_logprobs = sampling.logprobs;
  if (sampling.logprobs && out.echo)
    out.options.prompt_logprobs = PromptLogprobsWish{.top_count = sampling.top_logprobs};
  // How likely an answer is decides among best_of.
  if (out.best_of > out.answer_count) sampling.logprobs = true;
  return Nothing{};
}

}  // namespace

std::span<const Field> completion_fields() { return kCompletionFields; }
std::span<const Field> tokenize_fields() { return kTokenizeFields; }
std::span<const Field> detokenize_fields() { return kDetokenizeFields; }

Parsed<std::vector<TokenId>> read_tokens(const Value& list, std::string_view name) {
  std::vector<TokenId> out;
  if (!list.is_list()) return bad_field(name, fmt::format("{} must be a list of token ids", name));
  out.reserve(list.size());
  for (const Value& item : list.items()) {
    if (!item.is_integer() || item.as_integer() < 0 || item.as_integer() > INT32_MAX)
      return bad_field(name,
                       fmt::format("{} has an entry at {} that is no token id", name, out.size()));
    out.push_back(static_cast<TokenId>(item.as_integer()));
  }
  return out;
}

Parsed<CompletionCall> parse_completion_call(const Value& body, const AnswerOptions& defaults) {
  CompletionCall out;
  out.options = defaults;
  auto prompts = read_prompts(body);
  if (!prompts) return prompts.error();
  out.prompts = std::move(prompts).value();
  const auto model = read_text(body, "model");
  const auto user = read_text(body, "user");
  const auto suffix = read_text(body, "suffix");
  const auto stream = read_boolean(body, "stream", false);
  const auto echo = read_boolean(body, "echo", false);
  const auto usage = read_include_usage(body);
  auto stops = read_stops(body, "stop", defaults.stops);
  if (!model) return model.error();
  if (!user) return user.error();
  if (!suffix) return suffix.error();
  if (!stream) return stream.error();
  if (!echo) return echo.error();
  if (!usage) return usage.error();
  if (!stops) return stops.error();
  out.model = model->value_or("");
  out.options.client = user->value_or("");
  out.options.stops = std::move(stops).value();
  out.suffix = suffix->value_or("");
  out.has_suffix = !out.suffix.empty();
  out.is_stream = *stream;
  out.echo = *echo;
  out.wants_usage = *usage;
  const bool has_tokens = std::ranges::any_of(out.prompts, &CompletionPrompt::is_tokens);
  if (out.has_suffix && has_tokens)
    return bad_field("suffix", "suffix needs prompts that are text, not tokens");
  for (const Checked& checked :
       {read_sampling(body, Dialect::openai, out.options.sampling),
        read_logit_bias(body, out.options.sampling), read_counts(body, out),
        read_constraint(body, out.options.constraint), read_completion_logprobs(body, out)}) {
    if (!checked) return checked.error();
  }
  return out;
}

Result<std::vector<PreparedPrompt>> prepare_completions(LoadedModel& model,
                                                        const CompletionCall& call) {
  const ChatService service(model);
  std::vector<PreparedPrompt> out;
  for (const CompletionPrompt& prompt : call.prompts) {
    if (prompt.is_tokens) {
      out.push_back({.tokens = prompt.tokens});
    } else if (call.has_suffix) {
      SQ_TRY(PreparedPrompt infill, prepare_infill(model.tokenizer(), prompt.text, call.suffix));
      out.push_back(std::move(infill));
    } else {
      SQ_TRY(PreparedPrompt plain,
             service.prepare(CompletionRequest{.prompt = prompt.text, .options = {}}));
      out.push_back(std::move(plain));
    }
    SQ_TRY_STATUS(service.add_grammar(call.options, out.back()));
  }
  return out;
}

std::vector<std::string> echo_texts(const Tokenizer& tokenizer, const CompletionCall& call) {
  std::vector<std::string> out;
  for (size_t i = 0; call.echo && i < call.prompts.size(); ++i) {
    const CompletionPrompt& prompt = call.prompts[i];
    out.push_back(prompt.is_tokens ? tokenizer.decode(prompt.tokens, false) : prompt.text);
  }
  return out;
}

}  // namespace squish::server
