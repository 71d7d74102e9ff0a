// The program: global flags, then the verb. Everything else is in the verbs.
#include <clocale>
#include <cstring>
#include <exception>
#include <new>

#include <fmt/format.h>
#include <langinfo.h>
#include <signal.h>

#include "base/log.h"
#include "base/strings.h"
#include "cli/context.h"
#include "cli/help.h"
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
      if (count == words.size())
        return Error{ErrorCode::invalid_argument, "--log-level needs a value, such as debug"};
      flags.log_level = words[count++];
    } else if (word.starts_with("--log-level=")) {
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

Result<int> run_verb(const Verb& verb, const std::vector<std::string>& words, GlobalFlags flags) {
  if (flags.help) {
    print(verb_help(Terminal::detect(make_environment(flags.offline), flags.no_color), verb));
    return 0;
  }
  const std::vector<OptionRow> options = options_of(verb);
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
  return error_row(error.code).exit_code;
}

int run(int count, char** words) {
  startup_trace();
  // A reader that leaves early ends the program silently; transfers ignore the signal while they
  // last.
  signal(SIGPIPE, SIG_DFL);
  catch_interrupt();
  set_utf8_locale();
  const Result<int> code = dispatch({words + 1, words + count});
  return code ? code.value() : report(code.error());
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
