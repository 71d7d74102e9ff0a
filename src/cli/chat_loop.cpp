#include "cli/chat_loop.h"

#include <array>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "cli/answer.h"
#include "cli/conversation.h"
#include "cli/line_editor.h"
#include "hub/catalog.h"

namespace squish::cli {
namespace {

constexpr int64_t kHistoryMax = 100'000;
constexpr std::string_view kFence = "\"\"\"";

enum class Next { go_on, leave };

class ChatLoop {
 public:
  ChatLoop(Context& context, LoadedModel& model, Conversation conversation, AnswerOptions options,
           std::string history_file)
      : context_(context),
        terminal_(context.terminal),
        model_(model),
        service_(model),
        conversation_(std::move(conversation)),
        options_(std::move(options)),
        editor_(context.terminal, std::move(history_file)) {}

  Result<int> run(const hub::LocalModel& local);

 private:
  struct Command {
    std::string_view name;
    std::string_view help;
    Next (ChatLoop::*call)(std::string_view rest);
  };
  static std::span<const Command> commands();

  /// A message, several lines put together. Nothing at the end of the input.
  std::optional<std::string> read_message();
  std::optional<std::string> read_fenced(std::string text);
  Next take(const std::string& message);
  /// One question and its answer. Errors are shown; the question is then taken back.
  void answer(const std::string& message);
  Result<Answer> receive(PreparedPrompt prompt);
  void note(Role role, std::string_view text) const;
  [[nodiscard]] std::string prompt_text(std::string_view sign) const;

  Next help(std::string_view rest);
  Next clear(std::string_view rest);
  Next system(std::string_view rest);
  Next save(std::string_view rest);
  Next stats(std::string_view rest);
  Next quit(std::string_view rest);

  Context& context_;
  const Terminal& terminal_;
  LoadedModel& model_;
  ChatService service_;
  Conversation conversation_;
  AnswerOptions options_;
  LineEditor editor_;
  Answer last_;
  int answer_count_ = 0;
  int64_t token_count_ = 0;
};

std::span<const ChatLoop::Command> ChatLoop::commands() {
  static constexpr std::array kCommands = {
      Command{"/help", "these commands", &ChatLoop::help},
      Command{"/clear", "forget the conversation, keep the system message", &ChatLoop::clear},
      Command{"/system", "TEXT sets the system message; alone shows it; \"\" removes it",
              &ChatLoop::system},
      Command{"/save", "FILE writes the conversation: JSON for .json, else Markdown",
              &ChatLoop::save},
      Command{"/stats", "speed and size of the last answer and of the conversation",
              &ChatLoop::stats},
      Command{"/quit", "leave; also /exit, quit, exit and Ctrl-D", &ChatLoop::quit},
      Command{"/exit", "", &ChatLoop::quit},
  };
  return kCommands;
}

void ChatLoop::note(Role role, std::string_view text) const {
  talk(terminal_.paint_talk(role, text) + "\n");
}

/// The colour stands between \1 marks, so that libedit knows the width of the rest.
std::string ChatLoop::prompt_text(std::string_view sign) const {
  const std::string painted = terminal_.paint(Role::name, sign);
  if (painted == sign) return std::string(sign) + " ";
  const size_t begin = painted.find(sign);
  return fmt::format("\1{}\1{}\1{}\1 ", painted.substr(0, begin), sign,
                     painted.substr(begin + sign.size()));
}

std::optional<std::string> ChatLoop::read_fenced(std::string text) {
  while (true) {
    const InputLine line = editor_.read(prompt_text("…"));
    if (line.kind == InputLine::Kind::end) return text;
    if (line.kind != InputLine::Kind::text) return std::string();
    const size_t end = line.text.find(kFence);
    text += "\n" + line.text.substr(0, end);
    if (end != std::string::npos) return text;
  }
}

std::optional<std::string> ChatLoop::read_message() {
  std::string message;
  while (true) {
    const InputLine line = editor_.read(prompt_text(message.empty() ? "❯" : "…"));
    if (line.kind == InputLine::Kind::end || line.kind == InputLine::Kind::interrupted_empty) {
      if (line.kind == InputLine::Kind::interrupted_empty && !message.empty()) return std::string();
      return message.empty() ? std::nullopt : std::optional(message);
    }
    if (line.kind == InputLine::Kind::interrupted_text) return std::string();
    const std::string_view start = trim(line.text);
    if (message.empty() && start.starts_with(kFence)) {
      const std::string_view rest = start.substr(kFence.size());
      const size_t end = rest.find(kFence);
      if (end != std::string_view::npos) return std::string(rest.substr(0, end));
      auto fenced = read_fenced(std::string(rest));
      if (fenced && fenced->starts_with('\n')) fenced->erase(0, 1);
      return fenced;
    }
    if (!line.text.ends_with('\\')) return message + line.text;
    message += line.text.substr(0, line.text.size() - 1) + "\n";
  }
}

Result<int> ChatLoop::run(const hub::LocalModel& local) {
  if (terminal_.input_is_terminal()) {
    note(Role::faint,
         fmt::format("{}, {}, context {} tokens. /help lists commands, Ctrl-D leaves.", local.id,
                     model_.backend().description(), model_.engine().context_tokens()));
  }
  while (true) {
    const auto message = read_message();
    if (!message) {
      if (terminal_.input_is_terminal()) talk("goodbye\n");
      return 0;
    }
    if (trim(*message).empty()) continue;
    editor_.remember(*message);
    if (take(*message) == Next::leave) return 0;
  }
}

Next ChatLoop::take(const std::string& message) {
  const std::string_view text = trim(message);
  if (text == "quit" || text == "exit") return Next::leave;
  if (text.starts_with('/') && text.find('\n') == std::string_view::npos) {
    const std::string_view word = text.substr(0, text.find(' '));
    for (const Command& command : commands()) {
      if (command.name == word) return (this->*command.call)(trim(text.substr(word.size())));
    }
    // A path such as /etc/hosts is a message; a word that looks like a command is not.
    if (word.find('/', 1) == std::string_view::npos) {
      std::vector<std::string_view> names;
      for (const Command& command : commands()) names.push_back(command.name);
      note(Role::warning, fmt::format("{} is no command{}; /help lists them", printable(word),
                                      hub::did_you_mean(nearest(word, names))));
      return Next::go_on;
    }
  }
  answer(message);
  return Next::go_on;
}

Result<Answer> ChatLoop::receive(PreparedPrompt prompt) {
  SQ_TRY(ChatStream stream, service_.start(std::move(prompt), options_));
  SQ_TRY(Answer answer, receive_answer(context_, stream, Show::stream));
  if (!answer.was_interrupted) return answer;
  // The engine ends the answer after the step that it is in; Ctrl-C once more, until then, ends the
  // program.
  stream.cancel();
  while (!stream.finished()) {
    stream.next(std::chrono::milliseconds(100));
  }
  answer.stats = stream.stats();
  interrupted() = false;
  return answer;
}

void ChatLoop::answer(const std::string& message) {
  conversation_.add("user", replace_invalid_utf8(message));
  auto fitted = conversation_.fit(service_, model_.engine().context_tokens());
  if (!fitted) {
    print_error(terminal_, fitted.error().message);
    conversation_.drop_last();
    return;
  }
  if (fitted->dropped_messages > 0) {
    note(Role::warning,
         fmt::format("forgot the oldest {} messages: {} tokens are more than fit with an answer "
                     "into the context "
                     "of {} (--context raises it), or more messages than --max-history allows",
                     fitted->dropped_messages, fitted->tokens_before,
                     model_.engine().context_tokens()));
  }
  auto received = receive(std::move(fitted->prompt));
  if (!received) {
    print_error(terminal_, received.error().message);
    conversation_.drop_last();
    return;
  }
  last_ = std::move(received).value();
  print(last_.text.ends_with('\n') ? "\n" : "\n\n");
  ++answer_count_;
  token_count_ += last_.stats.generated_tokens;
  if (last_.was_interrupted) note(Role::warning, "stopped");
  if (last_.finish == FinishReason::length)
    note(Role::warning, summary_of(last_, model_.engine().context_tokens()));
  if (last_.text.empty()) {
    conversation_.drop_last();
  } else {
    conversation_.add("assistant", last_.text);
  }
}

Next ChatLoop::help(std::string_view /*rest*/) {
  for (const Command& command : commands()) {
    if (!command.help.empty())
      print(fmt::format("  {}{}\n", terminal_.paint(Role::accent, fit(command.name, 10)),
                        command.help));
  }
  print(
      "  A line that ends with \\ goes on in the next one; so does everything between two \"\"\".\n"
      "  Ctrl-C stops an answer; at an empty prompt it leaves.\n");
  return Next::go_on;
}

Next ChatLoop::clear(std::string_view /*rest*/) {
  conversation_.clear();
  note(Role::faint, "the conversation is forgotten");
  return Next::go_on;
}

Next ChatLoop::system(std::string_view rest) {
  if (rest.empty()) {
    print(conversation_.system().empty() ? "there is no system message\n"
                                         : conversation_.system() + "\n");
    return Next::go_on;
  }
  conversation_.set_system(rest == "\"\"" ? std::string() : replace_invalid_utf8(rest));
  note(Role::faint, rest == "\"\"" ? "the system message is removed" : "the system message is set");
  return Next::go_on;
}

Next ChatLoop::save(std::string_view rest) {
  if (rest.empty()) {
    note(Role::warning, "/save needs a FILE, such as /save talk.md");
    return Next::go_on;
  }
  const Status saved = conversation_.save(std::string(rest));
  if (!saved) {
    print_error(terminal_, saved.error().message);
  } else {
    note(Role::faint, fmt::format("{} messages are saved in {}", conversation_.messages().size(),
                                  printable(rest)));
  }
  return Next::go_on;
}

Next ChatLoop::stats(std::string_view /*rest*/) {
  if (answer_count_ == 0) {
    print("no answers yet\n");
    return Next::go_on;
  }
  print(fmt::format("{}{} answers, {} tokens; the context has room for {}\n", details_of(last_),
                    answer_count_, token_count_, model_.engine().context_tokens()));
  return Next::go_on;
}

Next ChatLoop::quit(std::string_view /*rest*/) { return Next::leave; }

}  // namespace

Result<ChatFlags> read_chat_flags(const Arguments& arguments) {
  ChatFlags flags;
  SQ_TRY(flags.options, answer_options(arguments));
  SQ_TRY(flags.think, think_option(arguments));
  SQ_TRY(const auto history, arguments.integer("--max-history", 1, kHistoryMax));
  flags.history_max = static_cast<int>(history.value_or(kHistoryDefaultMax));
  if (const auto system = arguments.text("--system")) flags.system = replace_invalid_utf8(*system);
  return flags;
}

Result<int> chat_loop(Context& context, const hub::LocalModel& local, LoadedModel& model,
                      const ChatFlags& flags) {
  SQ_TRY_STATUS(check_bias_tokens(flags.options, model.config()));
  SQ_TRY(const ChatTemplate* const chat_template, model.chat_template());
  if (chat_template == nullptr) {
    return Error{
        ErrorCode::unsupported,
        fmt::format(
            "{} has no chat template (a base model): it continues text, it does not converse; use "
            "squish run {} --no-template \"The beginning of a text\"",
            local.id, local.id)};
  }
  SQ_TRY(const hub::Paths paths, context.paths());
  const bool keeps_history = make_directories(paths.home).has_value();
  Conversation conversation(flags.system.value_or(""), flags.history_max, flags.think);
  // --think where there is no switch must fail now, not at the first question.
  if (flags.think && chat_template->thinking_variable().empty()) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "{}: its chat template has no switch for thinking; leave out --think and --no-think",
            local.id)};
  }
  ChatLoop loop(context, model, std::move(conversation), flags.options,
                keeps_history ? paths.home + "/chat_history" : std::string());
  return loop.run(local);
}

}  // namespace squish::cli
