// The program: global flags, then the verb. Everything else is in the verbs.
#include <algorithm>
#include <clocale>
#include <cstring>
#include <exception>
#include <new>

#include <fcntl.h>
#include <fmt/format.h>
#include <langinfo.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strings.h"
#include "cli/context.h"
#include "cli/help.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/revision.h"
#include "cli/verb.h"
#include "cli/welcome.h"
#include "hub/catalog.h"

namespace squish::cli {
namespace {

struct GlobalFlags {
  bool help = false;
  bool version = false;
  bool no_color = false;
  bool offline = false;
  std::string log_level;
};

/// Takes the flags before the verb off `words`. Errors: an unknown flag.
Status take_global_flags(std::vector<std::string>& words, GlobalFlags& flags) {
  size_t count = 0;
  while (count < words.size() && words[count].starts_with('-')) {
    const std::string word = words[count++];
    if (word == "--help" || word == "-h") {
      flags.help = true;
    } else if (word == "--version" || word == "-V") {
      flags.version = true;
    } else if (word == "--no-color") {
      flags.no_color = true;
    } else if (word == "--offline") {
      flags.offline = true;
    } else if (word == "--log-level") {
      if (count == words.size() || words[count].empty())
        return Error{ErrorCode::invalid_argument, "--log-level needs a value, such as debug"};
      flags.log_level = words[count++];
    } else if (word.starts_with("--log-level=") && word.size() > std::strlen("--log-level=")) {
      flags.log_level = word.substr(std::strlen("--log-level="));
    } else {
      constexpr std::string_view kNames[] = {"--help", "--version", "--log-level", "--no-color",
                                             "--offline"};
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("unknown flag {} before the verb{}; `squish --help` lists verbs and flags",
                      printable(word), hub::did_you_mean(nearest(word, kNames)))};
    }
  }
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count));
  return {};
}

/// The environment of this process, with --offline as if SQUISH_OFFLINE were set.
hub::Environment make_environment(bool offline) {
  const hub::Environment process = hub::Environment::process();
  if (!offline) return process;
  return hub::Environment([process](const std::string& name) -> std::optional<std::string> {
    if (name == "SQUISH_OFFLINE") return "1";
    return process.get(name);
  });
}

Error unknown_verb(const std::string& word) {
  const std::vector<std::string_view> names = verb_names();
  return Error{ErrorCode::invalid_argument,
               fmt::format("'{}' is no verb of squish{}; `squish --help` lists them",
                           printable(word), hub::did_you_mean(nearest(word, names)))};
}

/// Known before the words are parsed: wrong usage is answered in JSON, too.
bool asks_for_json(const Verb& verb, const std::vector<std::string>& words) {
  const auto end = std::ranges::find(words, "--");
  return std::find(words.begin(), end, "--json") != end &&
         std::ranges::find(verb.options, "--json", &OptionRow::flag) != verb.options.end();
}

Result<int> run_verb(const Verb& verb, const std::vector<std::string>& words, GlobalFlags flags) {
  if (flags.help) {
    print(verb_help(Terminal::detect(make_environment(flags.offline), flags.no_color), verb));
    return 0;
  }
  const std::vector<OptionRow> options = options_of(verb);
  if (asks_for_json(verb, words))
    expect_json(verb.events ? JsonOutput::events : JsonOutput::document);
  SQ_TRY(const Arguments arguments,
         parse_arguments(verb.name, verb.arguments, options, std::span(words).subspan(1)));
  flags.no_color = flags.no_color || arguments.has("--no-color");
  flags.offline = flags.offline || arguments.has("--offline");
  if (const auto level = arguments.text("--log-level")) flags.log_level = *level;
  if (!flags.log_level.empty()) SQ_TRY_STATUS(log::set_level(flags.log_level));
  Context context(make_environment(flags.offline), flags.no_color);
  log::set_json(context.environment.flag("SQUISH_LOG_JSON"));
  if (arguments.has("--help")) {
    print(verb_help(context.terminal, verb));
    return 0;
  }
  if (verb.writes_files) finish_without_readers();
  return verb.run(context, arguments);
}

Result<int> dispatch(std::vector<std::string> words) {
  GlobalFlags flags;
  SQ_TRY_STATUS(take_global_flags(words, flags));
  if (flags.version) {
    print(fmt::format("squish {}\n", kVersion));
    return 0;
  }
  if (words.empty()) {
    Context context(make_environment(flags.offline), flags.no_color);
    print(flags.help ? overview(context.terminal) : welcome(context));
    return 0;
  }
  const Verb* verb = find_verb(words.front());
  if (verb == nullptr) return unknown_verb(words.front());
  return run_verb(*verb, words, flags);
}

/// Text has UTF-8 everywhere: where the locale says otherwise, line editing and widths would break
/// it.
void set_utf8_locale() {
  const char* set = std::setlocale(LC_CTYPE, "");
  if (set == nullptr || std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
    std::setlocale(LC_CTYPE, "C.UTF-8");
}

int report(const Error& error) {
  const Terminal terminal = Terminal::detect(hub::Environment::process(), false);
  if (error.code == ErrorCode::cancelled && interrupted()) {
    talk("interrupted\n");
  } else {
    print_error(terminal, error.message);
  }
  print_json_failure(error);
  return error_row(error.code).exit_code;
}

/// Where the caller closed one of the three, the next file would get its number: a line meant for
/// people would end up in a model. Reading gives the end of the input, writing to standard output
/// an error.
void open_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    const int opened = open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != fd) return;  // no /dev/null: as before
  }
}

/// Only calls that are safe in a signal handler.
void on_lost_page(int number, siginfo_t* info, void* /*context*/) {
  if (info->si_code != BUS_ADRERR) {
    signal(number, SIG_DFL);
    raise(number);
    return;
  }
  constexpr std::string_view kLine =
      "\n✗ a model's file became shorter while it was in use, or its disk failed: run the command "
      "again when the file is whole (`squish check` reads all of it)\n";
  const ssize_t ignored = write(STDERR_FILENO, kLine.data(), kLine.size());
  static_cast<void>(ignored);
  _exit(error_row(ErrorCode::io).exit_code);
}

/// Weights are mapped: a page beyond the end of a file that was cut short meanwhile is a SIGBUS.
void catch_lost_pages() {
  struct sigaction action{};
  action.sa_sigaction = on_lost_page;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

int run(int count, char** words) {
  startup_trace();
  open_standard_descriptors();
  catch_lost_pages();
  // A file at the size limit (ulimit -f) is an error of a write, not the end of the program.
  signal(SIGXFSZ, SIG_IGN);
  // A reader that leaves early ends the program silently; transfers ignore the signal while they
  // last.
  signal(SIGPIPE, SIG_DFL);
  catch_interrupt();
  set_utf8_locale();
  const Result<int> code = dispatch({words + 1, words + count});
  return code ? exit_code_of_work(code.value()) : report(code.error());
}

}  // namespace
}  // namespace squish::cli

int main(int argument_count, char** arguments) {
  using namespace squish;
  try {
    return cli::run(argument_count, arguments);
  } catch (const std::bad_alloc&) {
    return cli::report(Error{ErrorCode::out_of_memory,
                             "out of memory; a smaller model or a shorter --context needs less"});
  } catch (const std::exception& error) {
    return cli::report(
        Error{ErrorCode::internal,
              fmt::format("unexpected: {}; --log-level debug tells more", error.what())});
  }
}
