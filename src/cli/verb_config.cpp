// squish config
#include <fmt/format.h>

#include "base/strings.h"
#include "base/thread_pool.h"
#include "cli/verb_rows.h"
#include "hub/config.h"
#include "kernels/backend.h"

namespace squish::cli {
namespace {

Error usage(std::string message) { return Error{ErrorCode::invalid_argument, std::move(message)}; }

Result<int> get(const hub::Config& config, const std::string& key) {
  if (key.empty())
    return Error{ErrorCode::not_found, "config: get needs a KEY; `squish config show` lists all"};
  const auto value = config.get(key);
  if (!value)
    return Error{ErrorCode::not_found, fmt::format("config: {} is not set", printable(key))};
  print(*value + "\n");
  return 0;
}

/// A backend that does not exist would stop every later run. Errors: those of make_backend.
Status check_backend(const std::string& key, const std::string& value) {
  if (key != "backend") return {};
  ThreadPool pool(1);
  const auto backend = make_backend(value, pool);
  return backend ? Status() : Status(backend.error().at("config"));
}

Result<int> run(Context& context, const Arguments& arguments) {
  const std::string action = arguments.text("ACTION").value_or("show");
  const std::string key = arguments.text("KEY").value_or("");
  const auto value = arguments.text("VALUE");
  SQ_TRY(const hub::Paths paths, context.paths());
  hub::Config config = hub::Config::load(paths.config_file);
  if (!config.warning().empty())
    talk(fmt::format("{} {}\n", context.terminal.paint_talk(Role::warning, "!"), config.warning()));
  if (action == "show") {
    if (!key.empty())
      return usage("config: show takes no KEY; `squish config get KEY` prints one setting");
    print(config.show());
    return 0;
  }
  if (action == "get") {
    if (value) return usage("config: get takes one KEY");
    return get(config, key);
  }
  if (action != "set")
    return usage(fmt::format("config: '{}' is none of show, get and set", printable(action)));
  if (key.empty() || !value)
    return usage(
        "config: set needs a KEY and a VALUE, such as: squish config set default_model "
        "smollm2:135m");
  SQ_TRY_STATUS(check_backend(key, *value));
  SQ_TRY_STATUS(hub::Config::change(paths.config_file, key, *value));
  config = hub::Config::load(paths.config_file);
  talk(fmt::format("{} = {}\n", key, config.get(key).value_or("null")));
  return 0;
}

}  // namespace

Verb make_config_verb() {
  return {
      .name = "config",
      .summary = "Show and change settings",
      .details =
          "  squish config                                   all settings\n"
          "  squish config set default_model smollm2:135m\n"
          "  squish config set threads 4\n"
          "  squish config get default_model                 fails when it is not set\n"
          "\n"
          "Besides default_model, `threads`, `context` and `backend` are read: as the flags of the "
          "same names.",
      .arguments = {{.name = "ACTION",
                     .completion = Completion::config_action,
                     .help = "show (default), get or set"},
                    {.name = "KEY", .help = "a setting; parts of nested ones are joined by dots"},
                    {.name = "VALUE", .help = "true, false, a number or text"}},
      .options = {},
      .groups = {},
      .run = run,
  };
}

}  // namespace squish::cli
