// squish models, rm
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"
#include "cli/input.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/verb_rows.h"
#include "hub/catalog.h"
#include "hub/local_scan.h"
#include "hub/store.h"

namespace squish::cli {
namespace {

std::string day_text(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (seconds <= 0 || localtime_r(&time, &parts) == nullptr) return "";
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

Value to_json_value(const hub::LocalModel& model) {
  return Value::dict({{"id", json_text(model.id)},
                      {"path", json_text(model.path)},
                      {"kind", name_of(model.kind)},
                      {"origin", name_of(model.origin)},
                      {"bytes", json_count(model.bytes)},
                      {"modified", model.modified_s},
                      {"source", json_text_or_null(model.source)},
                      {"sha256", json_text_or_null(model.sha256)},
                      {"family", json_text_or_null(model.family)},
                      {"params", json_text_or_null(model.params)}});
}

void print_tables(const Terminal& terminal, const std::vector<hub::LocalModel>& models) {
  Table own({"Model", ">Size", "Kind", "Changed", "Source"});
  Table external({"Other programs' models", ">Size", "Kind", "Changed", "From"});
  for (const hub::LocalModel& model : models) {
    const bool is_own = model.origin == hub::Origin::squish;
    (is_own ? own : external)
        .add({model.id, human_bytes(model.bytes), name_of(model.kind), day_text(model.modified_s),
              is_own ? model.source : std::string(name_of(model.origin))});
  }
  std::string out;
  if (!own.empty()) out += own.text(terminal);
  if (!external.empty()) out += (own.empty() ? "" : "\n") + external.text(terminal);
  print(out);
}

/// "No models" is wrong of a place that cannot be looked into. Errors: invalid_argument for a file,
/// io.
Status check_readable(const std::string& root) {
  if (file_exists(root)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: is a file; SQUISH_MODELS_DIR and SQUISH_HOME name directories",
                             printable(root, 512))};
  }
  if (::access(root.c_str(), R_OK | X_OK) == 0 || errno == ENOENT) return {};
  return Error{ErrorCode::io,
               fmt::format("{}: cannot be read: {}", printable(root, 512), std::strerror(errno))};
}

Result<int> list_models(Context& context, const Arguments& arguments) {
  if (arguments.has("--json"))
    SQ_TRY_STATUS(arguments.refuse({"--ids"}, "and --json exclude each other"));
  SQ_TRY(const hub::Store store, context.store());
  hub::ScanResult found = store.list();
  hub::ScanResult external = hub::scan_external(context.environment);
  found.models.insert(found.models.end(), external.models.begin(), external.models.end());
  found.warnings.insert(found.warnings.end(), external.warnings.begin(), external.warnings.end());
  if (found.models.empty()) SQ_TRY_STATUS(check_readable(store.root()));
  if (arguments.has("--ids")) {
    for (const hub::LocalModel& model : found.models) print(model.id + "\n");
    return 0;
  }
  for (const std::string& warning : found.warnings) {
    talk(fmt::format("{} {}\n", context.terminal.paint_talk(Role::warning, "!"),
                     printable(warning, 300)));
  }
  if (arguments.has("--json")) {
    Value::List models;
    for (const hub::LocalModel& model : found.models) models.push_back(to_json_value(model));
    print_json(Value::list(std::move(models)));
    return 0;
  }
  if (found.models.empty()) {
    talk(fmt::format("no models in {}; `squish pull {}` gets a small one\n", store.root(),
                     hub::kDefaultModel));
    return 0;
  }
  print_tables(context.terminal, found.models);
  return 0;
}

Result<int> remove_model(Context& context, const Arguments& arguments) {
  SQ_TRY(const hub::Store store, context.store());
  SQ_TRY(const hub::LocalModel model,
         store.find(*arguments.text("MODEL"), hub::Catalog::builtin()));
  SQ_TRY(const hub::Removal removal, store.plan_removal(model));
  const bool is_dry = arguments.has("--dry-run");
  for (const std::string& path : removal.paths)
    print(fmt::format("{} {}\n", is_dry ? "would delete" : "deleting", path));
  print(fmt::format("{} in all\n", human_bytes(removal.bytes)));
  if (is_dry) return 0;
  if (!arguments.has("--yes")) {
    if (!context.terminal.input_is_terminal()) {
      return Error{ErrorCode::invalid_argument,
                   "rm: there is no terminal to ask on; --yes deletes without a question"};
    }
    talk("Type yes to delete: ");
    if (read_line().value_or("") != "yes") return Error{ErrorCode::io, "rm: nothing was deleted"};
  }
  SQ_TRY_STATUS(store.remove(removal));
  print(fmt::format("{} {} is deleted\n", context.terminal.paint(Role::good, "✓"), model.id));
  return 0;
}

}  // namespace

Verb make_models_verb() {
  return {
      .name = "models",
      .aliases = {"list", "ls"},
      .summary = "List the models on this machine, those of other programs too",
      .details = {},
      .arguments = {},
      .options = {{.flag = "--json", .help = "a JSON list"},
                  {.flag = "--ids", .help = "one name per line, for scripts"}},
      .groups = {},
      .run = list_models,
  };
}

Verb make_remove_verb() {
  return {
      .name = "rm",
      .aliases = {"remove"},
      .summary = "Delete a model",
      .details =
          "Only what lies in the models directory is ever deleted. On a terminal the word yes is "
          "asked for.",
      .arguments = {{.name = "MODEL",
                     .required = true,
                     .completion = Completion::model,
                     .help = "a name of `squish models`"}},
      .options = {{.flag = "--yes", .short_flag = "-y", .help = "do not ask"},
                  {.flag = "--dry-run", .short_flag = "-n", .help = "only say what would go"}},
      .groups = {},
      .run = remove_model,
  };
}

}  // namespace squish::cli
