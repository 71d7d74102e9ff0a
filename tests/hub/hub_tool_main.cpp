// The hub library behind a plain command line, for tests/hub/test_pull.py. Prints JSON lines on
// stdout, notes on stderr.
//   hub_tool pull SOURCE [--attempts N] [--backoff-ms N] [--stall-s N] [--retry-after-max-s N]
//   [--token T] [--force] hub_tool list | external | resolve NAME | rm NAME
#include <csignal>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/strings.h"
#include "hub/catalog.h"
#include "hub/local_scan.h"
#include "hub/paths.h"
#include "hub/pull.h"
#include "hub/resolve.h"
#include "hub/store.h"

namespace {

using namespace squish;

hub::CancelFlag g_cancel = false;

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

class PrintProgress final : public hub::ProgressSink {
 public:
  void on_progress(const hub::Progress& progress) override {
    fmt::print(
        "{{\"stage\": \"{}\", \"file\": {}, \"done\": {}, \"total\": {}, \"rate\": {:.0f}}}\n",
        hub::name_of(progress.stage), quoted(progress.file), progress.done_bytes,
        progress.total_bytes, progress.bytes_per_second);
    std::fflush(stdout);
  }
  void on_note(std::string_view line) override { fmt::print(stderr, "note: {}\n", line); }
};

int fail(const Error& error) {
  const ErrorRow& row = error_row(error.code);
  fmt::print(stderr, "error: {}: {}\n", row.name, error.message);
  return row.exit_code;
}

void print_model(const hub::LocalModel& model) {
  fmt::print(
      "{{\"id\": {}, \"path\": {}, \"kind\": \"{}\", \"origin\": \"{}\", \"bytes\": {}, \"files\": "
      "{}, \"source\": {}}}\n",
      quoted(model.id), quoted(model.path), hub::name_of(model.kind), hub::name_of(model.origin),
      model.bytes, model.files.size(), quoted(model.source));
}

int print_all(const hub::ScanResult& result) {
  for (const hub::LocalModel& model : result.models) print_model(model);
  for (const std::string& warning : result.warnings) fmt::print(stderr, "warning: {}\n", warning);
  return 0;
}

struct Arguments {
  std::vector<std::string> words;
  std::map<std::string, std::string> options;
  [[nodiscard]] int number(const std::string& name, int otherwise) const {
    const auto found = options.find(name);
    return found == options.end() ? otherwise
                                  : static_cast<int>(parse_int(found->second).value_or(otherwise));
  }
};

int run_pull(const Arguments& arguments, const hub::Paths& paths,
             const hub::Environment& environment) {
  hub::PullRequest request;
  request.source = arguments.words[1];
  request.models_directory = paths.models;
  request.force = arguments.options.contains("--force");
  if (arguments.options.contains("--token")) request.token = arguments.options.at("--token");
  request.http.attempts = arguments.number("--attempts", request.http.attempts);
  request.http.backoff_ms = arguments.number("--backoff-ms", request.http.backoff_ms);
  request.http.stall_timeout_s = arguments.number("--stall-s", request.http.stall_timeout_s);
  request.http.retry_after_max_s =
      arguments.number("--retry-after-max-s", request.http.retry_after_max_s);
  PrintProgress progress;
  const Result<hub::PulledModel> model =
      hub::pull(request, hub::Catalog::builtin(), environment, progress, g_cancel);
  if (!model) return fail(model.error());
  fmt::print(
      "{{\"pulled\": {}, \"path\": {}, \"bytes\": {}, \"source\": {}, \"already_present\": {}, "
      "\"seconds\": {:.2f}}}\n",
      quoted(model->id), quoted(model->path), model->bytes, quoted(model->source),
      model->already_present, model->seconds);
  return 0;
}

int run_remove(const std::string& name, const hub::Store& store) {
  const Result<hub::LocalModel> model = store.find(name, hub::Catalog::builtin());
  if (!model) return fail(model.error());
  const Result<hub::Removal> removal = store.plan_removal(*model);
  if (!removal) return fail(removal.error());
  const Status removed = store.remove(*removal);
  if (!removed) return fail(removed.error());
  fmt::print("{{\"removed\": {}, \"bytes\": {}}}\n", quoted(model->id), removal->bytes);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, [](int) { g_cancel = true; });
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--force") {
      arguments.options[word] = "1";
    } else if (word.starts_with("--") && i + 1 < argc) {
      arguments.options[word] = argv[++i];
    } else {
      arguments.words.push_back(word);
    }
  }
  const hub::Environment environment = hub::Environment::process();
  const Result<hub::Paths> paths = hub::resolve_paths(environment);
  if (!paths) return fail(paths.error());
  const hub::Store store(paths->models);
  const std::string verb = arguments.words.empty() ? "" : arguments.words[0];
  if (verb == "list") return print_all(store.list());
  if (verb == "external") return print_all(hub::scan_external(environment));
  if (arguments.words.size() != 2) {
    fmt::print(stderr, "usage: hub_tool pull SOURCE | resolve NAME | rm NAME | list | external\n");
    return 2;
  }
  if (verb == "pull") return run_pull(arguments, *paths, environment);
  if (verb == "rm") return run_remove(arguments.words[1], store);
  if (verb == "resolve") {
    const Result<hub::LocalModel> model =
        hub::resolve_model(arguments.words[1], store, hub::Catalog::builtin(), environment);
    if (!model) return fail(model.error());
    print_model(*model);
    return 0;
  }
  return 2;
}
