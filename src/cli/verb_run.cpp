// squish run: one answer, or a conversation when there is a terminal and no prompt.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/answer.h"
#include "cli/chat_loop.h"
#include "cli/input.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

constexpr int kExitInterrupted = 130;

/// Words and piped text, joined by a line break. Empty when there are neither.
Result<std::string> read_prompt(const Context& context, const Arguments& arguments) {
  std::string prompt = fmt::format("{}", fmt::join(arguments.all("PROMPT"), " "));
  if (context.terminal.input_is_terminal()) return prompt;
  SQ_TRY(std::string piped, read_stdin());
  if (piped.ends_with('\n')) piped.pop_back();
  if (piped.ends_with('\r')) piped.pop_back();
  if (piped.empty()) return prompt;
  return prompt.empty() ? piped : prompt + "\n" + piped;
}

Result<PreparedPrompt> prepare(const Context& context, const Arguments& arguments,
                               const LoadedModel& model, const ChatService& service,
                               const std::string& prompt, const ChatFlags& flags) {
  bool is_plain = arguments.has("--no-template");
  if (!is_plain) {
    SQ_TRY(const ChatTemplate* const chat_template, model.chat_template());
    is_plain = chat_template == nullptr;
    if (is_plain) {
      talk(
          fmt::format("{} this model has no chat template: it continues the text (--no-template "
                      "says so without this note)\n",
                      context.terminal.paint_talk(Role::warning, "·")));
    }
  }
  if (is_plain) {
    if (flags.system || flags.think) {
      return Error{
          ErrorCode::invalid_argument,
          "--system, --think and --no-think are for the chat template, and none is used here"};
    }
    return service.prepare(CompletionRequest{.prompt = prompt, .options = {}});
  }
  ChatRequest request;
  if (flags.system) request.messages.push_back({.role = "system", .content = *flags.system});
  request.messages.push_back({.role = "user", .content = replace_invalid_utf8(prompt)});
  request.think = flags.think;
  return service.prepare(request);
}

void print_json_answer(const hub::LocalModel& local, const Answer& answer,
                       const AnswerOptions& options, double load_ms) {
  const RequestStats& stats = answer.stats;
  const Value stop =
      answer.stop_index ? json_text(options.stops[*answer.stop_index]) : Value::none();
  print_json(Value::dict({
      {"model", json_text(local.id)},
      {"text", json_text(answer.text)},
      {"reasoning", json_text_or_null(answer.reasoning)},
      {"finish_reason", std::string(to_string(answer.finish))},
      {"stop", stop},
      {"usage", Value::dict({{"prompt_tokens", stats.prompt_tokens},
                             {"cached_tokens", stats.cached_tokens},
                             {"completion_tokens", stats.generated_tokens},
                             {"total_tokens", stats.prompt_tokens + stats.generated_tokens}})},
      {"timings",
       Value::dict({{"load_ms", json_number(load_ms)},
                    {"queue_ms", json_number(stats.queue_ms)},
                    {"prefill_ms", json_number(stats.prefill_ms)},
                    {"decode_ms", json_number(stats.decode_ms)},
                    {"time_to_first_token_ms", json_number(stats.queue_ms + stats.prefill_ms)},
                    {"tokens_per_second", json_number(decode_rate(stats))}})},
      {"token_hash", token_hash(answer.tokens)},
  }));
}

Result<int> answer_once(Context& context, const Arguments& arguments, const hub::LocalModel& local,
                        LoadedModel& model, const std::string& prompt, const ChatFlags& flags) {
  const AnswerOptions& options = flags.options;
  SQ_TRY_STATUS(check_bias_tokens(options, model.config()));
  const double load_ms = startup_trace().total_ms();
  const ChatService service(model);
  SQ_TRY(PreparedPrompt prepared, prepare(context, arguments, model, service, prompt, flags));
  SQ_TRY(ChatStream stream, service.start(std::move(prepared), options));
  const bool as_json = arguments.has("--json");
  SQ_TRY(const Answer answer,
         receive_answer(context, stream, as_json ? Show::nothing : Show::stream));
  if (answer.was_interrupted) {
    talk("\ninterrupted\n");
    print_json_failure({ErrorCode::cancelled, "interrupted"});
    // At once: the engine may be in a step of seconds, and nothing has to be saved.
    _exit(kExitInterrupted);
  }
  if (as_json) {
    print_json_answer(local, answer, options, load_ms);
  } else if (!answer.text.ends_with('\n')) {
    print("\n");
  }
  const Terminal& terminal = context.terminal;
  if (arguments.has("--verbose")) {
    talk(terminal.paint_talk(
        Role::faint,
        fmt::format("model      {} ({})\nbackend    {}\nload       {:.1f} ms\n{}", local.id,
                    local.path, model.backend().description(), load_ms, details_of(answer))));
  }
  talk(terminal.paint_talk(Role::faint, summary_of(answer, model.engine().context_tokens())) +
       "\n");
  return 0;
}

Result<int> run(Context& context, const Arguments& arguments) {
  // Flags are checked before anything slow.
  SQ_TRY(const ChatFlags flags, read_chat_flags(arguments));
  SQ_TRY(const std::string prompt, read_prompt(context, arguments));
  const bool has_prompt = prompt.find_first_not_of(" \t\r\n") != std::string::npos;
  if (!has_prompt && (!context.terminal.input_is_terminal() || arguments.has("--json"))) {
    return Error{ErrorCode::invalid_argument,
                 "run: there is no prompt; give it as words after the model or on standard input, "
                 "or chat on a terminal"};
  }
  if (!has_prompt && arguments.has("--no-template")) {
    return Error{ErrorCode::invalid_argument,
                 "run: --no-template needs a prompt, whose text it continues"};
  }
  // Before a model is fetched or loaded for nothing.
  if (const auto checked = load_options(context, arguments); !checked) return checked.error();
  SQ_TRY(const hub::LocalModel local, choose_model(context, arguments.text("MODEL").value_or("")));
  SQ_TRY(const std::unique_ptr<LoadedModel> model,
         load_model(context, arguments, local, startup_trace()));
  if (!has_prompt) return chat_loop(context, local, *model, flags);
  return answer_once(context, arguments, local, *model, prompt, flags);
}

}  // namespace

Verb make_run_verb() {
  return {
      .name = "run",
      .summary = "Answer a prompt, or chat when there is none",
      .details =
          "  squish run                                chat with the default model\n"
          "  squish run smollm2:135m \"Why is the sky blue?\"\n"
          "  git diff | squish run qwen2.5-coder:1.5b \"Write a commit message for this:\"\n"
          "  squish run ./model.gguf --temperature 0 --json \"2 + 2 =\"\n"
          "\n"
          "The answer goes to standard output, its figures to standard error. A model that is in "
          "the catalogue\n"
          "but not on this machine is fetched first.",
      .arguments =
          {{.name = "MODEL",
            .completion = Completion::model,
            .help = "a name (squish models), a path, hf:org/repo; without it the default model"},
           {.name = "PROMPT",
            .many = true,
            .help = "the question; piped text follows it on a new line"}},
      .options = {{.flag = "--json",
                   .help = "one JSON object with text, finish reason, usage and timings"},
                  {.flag = "--no-template",
                   .help = "continue the prompt as plain text, without the model's chat template"},
                  {.flag = "--verbose",
                   .short_flag = "-v",
                   .help = "timings in detail on standard error"}},
      .groups = {OptionGroup::dialog, OptionGroup::sampling, OptionGroup::load},
      .run = run,
  };
}

}  // namespace squish::cli
