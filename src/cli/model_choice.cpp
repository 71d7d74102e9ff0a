#include "cli/model_choice.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "cli/input.h"
#include "cli/npy_output.h"
#include "cli/progress.h"
#include "cli/pull_model.h"
#include "hub/catalog.h"
#include "hub/hub_listing.h"
#include "hub/resolve.h"

namespace squish::cli {
namespace {

constexpr uint64_t kAskBytes = 1'000'000'000;  // larger downloads are asked about

/// Whether `name` says itself where the model can be fetched.
bool is_source(std::string_view name) {
  return hub::is_hf_reference(name) || name.starts_with("pypi:");
}

/// False when the person says no.
bool confirm_download(const Context& context, const std::string& name, uint64_t bytes) {
  if (bytes <= kAskBytes || !context.terminal.input_is_terminal() ||
      !context.terminal.talk_is_terminal())
    return true;
  talk(fmt::format("{} is not on this machine. Download {}? [Y/n] ", name, human_bytes(bytes)));
  const std::string answer = to_lower(trim(read_line().value_or("n")));
  return answer.empty() || answer == "y" || answer == "yes";
}

Result<hub::LocalModel> pull_and_find(Context& context, const hub::Store& store,
                                      const std::string& name, uint64_t bytes) {
  if (context.environment.flag("SQUISH_OFFLINE")) {
    return Error{
        ErrorCode::unsupported,
        fmt::format(
            "{} is not on this machine, and SQUISH_OFFLINE (or --offline) forbids fetching it",
            printable(name))};
  }
  if (!confirm_download(context, name, bytes))
    return Error{ErrorCode::cancelled, "nothing was downloaded"};
  const std::string size = bytes > 0 ? fmt::format(" ({})", human_bytes(bytes)) : "";
  talk(fmt::format("{} is not on this machine yet: getting it{}\n", printable(name), size));
  ProgressLine progress(context.terminal);
  SQ_TRY(const hub::PulledModel pulled, pull_model(context, {.source = name}, progress));
  progress.clear();
  return hub::resolve_model(pulled.id, store, hub::Catalog::builtin(), context.environment);
}

/// The name that is meant when none is given; empty when this machine has no model.
Result<std::string> default_name(Context& context, const hub::Store& store) {
  if (const auto name = context.environment.get("SQUISH_MODEL")) return *name;
  SQ_TRY(const hub::Config* const config, context.config());
  auto name = store.default_model(config->text("default_model").value_or(""));
  if (!name && name.error().code == ErrorCode::not_found) return std::string();
  return name;
}

/// A flag, else an environment variable, else a key of the settings, as text; with the name of the
/// place it is from.
struct Setting {
  std::string text;
  std::string place;
};

Result<Setting> find_setting(Context& context, const Arguments& arguments, std::string_view flag,
                             const std::string& variable, std::string_view key) {
  if (const auto text = arguments.text(flag)) return Setting{*text, std::string(flag)};
  if (const auto text = context.environment.get(variable)) return Setting{*text, variable};
  SQ_TRY(const hub::Config* const config, context.config());
  if (const auto text = config->get(key))
    return Setting{*text, fmt::format("{} of config.json", key)};
  return Setting{};
}

Result<int> to_count(const Setting& setting, int maximum) {
  if (setting.text.empty()) return 0;
  const auto number = parse_int(trim(setting.text));
  if (number && *number >= 0 && *number <= maximum) return static_cast<int>(*number);
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} is '{}'; it must be a whole number from 0 (automatic) to {}",
                           setting.place, printable(setting.text), maximum)};
}

}  // namespace

StartupTrace& startup_trace() {
  static StartupTrace trace;
  return trace;
}

Result<hub::LocalModel> find_local_model(Context& context, const std::string& given) {
  SQ_TRY(hub::LocalModel model, find_stored_model(context, given));
  return runnable(context, std::move(model));
}

Result<hub::LocalModel> find_stored_model(Context& context, const std::string& given) {
  SQ_TRY(const hub::Store store, context.store());
  std::string name = given;
  if (name.empty()) {
    SQ_TRY(name, default_name(context, store));
  }
  if (name.empty()) {
    return Error{ErrorCode::not_found,
                 fmt::format("there is no model on this machine; `squish pull {}` gets a small one",
                             hub::kDefaultModel)};
  }
  return hub::resolve_model(name, store, hub::Catalog::builtin(), context.environment);
}

Result<hub::LocalModel> choose_model(Context& context, const std::string& given) {
  SQ_TRY(const hub::Store store, context.store());
  std::string name = given;
  if (name.empty()) {
    SQ_TRY(name, default_name(context, store));
  }
  if (name.empty()) name = hub::kDefaultModel;
  auto model = hub::resolve_model(name, store, hub::Catalog::builtin(), context.environment);
  if (model) return runnable(context, std::move(*model));
  if (model.error().code != ErrorCode::not_found) return model;
  if (const auto entry = hub::Catalog::builtin().find(name)) {
    return pull_and_find(context, store, entry.value()->id, entry.value()->bytes);
  }
  if (is_source(name)) return pull_and_find(context, store, name, 0);
  return model;
}

Result<LoadOptions> load_options(Context& context, const Arguments& arguments) {
  LoadOptions options;
  SQ_TRY(const Setting threads,
         find_setting(context, arguments, "--threads", "SQUISH_THREADS", "threads"));
  SQ_TRY(options.threads, to_count(threads, limits::kThreadsMax));
  SQ_TRY(const Setting length,
         find_setting(context, arguments, "--context", "SQUISH_CONTEXT", "context"));
  SQ_TRY(options.engine.context_tokens, to_count(length, INT32_MAX));
  SQ_TRY(const Setting backend,
         find_setting(context, arguments, "--backend", "SQUISH_BACKEND", "backend"));
  options.backend = backend.text;
  options.isa = arguments.text("--isa").value_or("");
  return options;
}

Result<std::unique_ptr<LoadedModel>> load_model(Context& context, const Arguments& arguments,
                                                const hub::LocalModel& model, StartupTrace& trace) {
  SQ_TRY(LoadOptions options, load_options(context, arguments));
  // One conversation at a time: pages for one sequence are enough, and the prefix cache keeps the
  // turns before.
  options.engine.sequences_max = 1;
  options.engine.speculation = !arguments.has("--no-speculation");
  trace.mark("choose model");
  SQ_TRY(std::unique_ptr<LoadedModel> loaded, LoadedModel::open(model.path, options, &trace));
  if (context.environment.flag("SQUISH_TRACE_STARTUP")) talk(trace.report());
  return loaded;
}

}  // namespace squish::cli
