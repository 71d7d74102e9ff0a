// squish ps, trace and quality: what a running server says about itself.
#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "cli/json.h"
#include "cli/server_client.h"
#include "cli/table.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

std::vector<OptionRow> with_client_options(std::vector<OptionRow> own) {
  own.insert(own.end(), client_options().begin(), client_options().end());
  return own;
}

std::string milliseconds(double value) { return fmt::format("{:.1f}", value); }

// --- ps

Result<int> run_ps(Context& context, const Arguments& arguments) {
  SQ_TRY(const ServerClient client, ServerClient::from(context, arguments));
  if (arguments.has("--startup")) {
    SQ_TRY(const Value profile, client.json("GET", "/v1/startup-profile"));
    if (arguments.has("--json")) {
      print_json(profile);
      return 0;
    }
    Table table({"PHASE", ">MS"});
    for (const Value& phase : items_in(profile, "entries"))
      table.add({text_in(phase, "phase"), milliseconds(number_in(phase, "elapsed_ms"))});
    print(table.empty() ? "Nothing was measured: start the server with SQUISH_TRACE_STARTUP=1\n"
                        : table.text(context.terminal));
    return 0;
  }
  SQ_TRY(const Value models, client.json("GET", "/v1/models"));
  if (arguments.has("--json")) {
    print_json(models);
    return 0;
  }
  Table table({"MODEL", ">SIZE", ">CONTEXT", ">REQUESTS", ">TOKENS"});
  for (const Value& model : items_in(models, "data")) {
    const Value* facts = model.is_dict() ? model.find("squish") : nullptr;
    const Value* loaded = facts != nullptr && facts->is_dict() ? facts->find("loaded") : nullptr;
    if (loaded == nullptr || !loaded->is_bool() || !loaded->as_bool()) continue;
    table.add({printable(text_in(model, "id")),
               human_bytes(static_cast<uint64_t>(number_in(*facts, "bytes"))),
               fmt::format("{:.0f}", number_in(*facts, "context_length")),
               fmt::format("{:.0f}", number_in(*facts, "requests")),
               fmt::format("{:.0f}", number_in(*facts, "tokens_gen"))});
  }
  print(table.empty() ? "No model is loaded\n" : table.text(context.terminal));
  return 0;
}

// --- trace

Result<int> save_chrome(const ServerClient& client, const std::string& path) {
  SQ_TRY(const std::string trace, client.request("GET", "/v1/trace?format=chrome"));
  SQ_TRY_STATUS(write_file_atomic(path, as_bytes(trace), 0644));
  talk(fmt::format("{} is written; open it at chrome://tracing or ui.perfetto.dev\n", path));
  return 0;
}

Result<int> view_spans(Context& context, const ServerClient& client) {
  SQ_TRY(const Value trace, client.json("GET", "/v1/trace"));
  const Value* on = trace.is_dict() ? trace.find("tracing_enabled") : nullptr;
  print(fmt::format("tracing={} total={:.0f}\n",
                    on != nullptr && on->is_bool() && on->as_bool() ? "ON" : "OFF",
                    number_in(trace, "total_spans")));
  if (const std::string hint = text_in(trace, "hint"); !hint.empty())
    print(printable(hint, 200) + "\n");
  Table table({"SPAN", ">MS", "STATUS"});
  for (const Value& span : items_in(trace, "slowest_spans")) {
    table.add({printable(text_in(span, "name"), 40), milliseconds(number_in(span, "duration_ms")),
               printable(text_in(span, "status"))});
  }
  if (!table.empty()) print(table.text(context.terminal));
  SQ_TRY(const Value report, client.json("GET", "/v1/obs-report"));
  for (const Value& slow : items_in(report, "bottlenecks"))
    print(fmt::format("{}: {}\n", printable(text_in(slow, "op")),
                      printable(text_in(slow, "hint"), 400)));
  return 0;
}

Result<int> view_report(Context& context, const ServerClient& client) {
  SQ_TRY(const Value report, client.json("GET", "/v1/obs-report"));
  print(fmt::format("status={}\n", printable(text_in(report, "status"))));
  for (const Value& slow : items_in(report, "bottlenecks")) {
    print(fmt::format("{}  p99 {} ms of {:.0f}: {}\n", printable(text_in(slow, "op")),
                      milliseconds(number_in(slow, "p99_ms")), number_in(slow, "n_samples"),
                      printable(text_in(slow, "hint"), 400)));
  }
  Table table({"OPERATION", ">N", ">MEAN MS", ">P50 MS", ">P99 MS"});
  const Value* profile = report.is_dict() ? report.find("profile") : nullptr;
  if (profile != nullptr && profile->is_dict()) {
    for (const Value::Entry& row : profile->entries()) {
      table.add({printable(row.key.as_string()),
                 fmt::format("{:.0f}", number_in(row.value, "n_samples")),
                 milliseconds(number_in(row.value, "mean_ms")),
                 milliseconds(number_in(row.value, "p50_ms")),
                 milliseconds(number_in(row.value, "p99_ms"))});
    }
  }
  if (!table.empty()) print(table.text(context.terminal));
  return 0;
}

Result<int> run_trace(Context& context, const Arguments& arguments) {
  SQ_TRY(const ServerClient client, ServerClient::from(context, arguments));
  const std::string action = arguments.text("ACTION").value_or("view");
  if (action != "view") SQ_TRY_STATUS(arguments.refuse({"--chrome"}, "is for trace view"));
  if (action == "view") {
    if (const auto path = arguments.text("--chrome")) return save_chrome(client, *path);
    return view_spans(context, client);
  }
  if (action == "obs") return view_report(context, client);
  if (action == "reset") {
    SQ_TRY(const Value answer, client.json("DELETE", "/v1/trace"));
    print(printable(text_in(answer, "message"), 200) + "\n");
    return 0;
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("trace: '{}' is none of view, reset and obs", printable(action))};
}

// --- quality

Result<int> run_quality(Context& context, const Arguments& arguments) {
  SQ_TRY(const ServerClient client, ServerClient::from(context, arguments));
  SQ_TRY(const auto window, arguments.integer("--window", 60, 86'400));
  const std::string model = arguments.text("--model").value_or("");
  SQ_TRY(const Value report,
         client.json("GET", fmt::format("/v1/quality?window={}&model={}", window.value_or(3600),
                                        percent_encode(model))));
  if (arguments.has("--json")) {
    print_json(report);
    return 0;
  }
  Table table({"MODEL", ">REQUESTS", ">ERRORS", ">P50 MS", ">P95 MS", ">TTFT P50 MS", ">TOK/S"});
  for (const Value& row : items_in(report, "models")) {
    table.add(
        {printable(text_in(row, "model_id")), fmt::format("{:.0f}", number_in(row, "n_requests")),
         fmt::format("{:.0f}", number_in(row, "n_errors")),
         milliseconds(number_in(row, "latency_p50")), milliseconds(number_in(row, "latency_p95")),
         milliseconds(number_in(row, "ttft_p50")),
         milliseconds(number_in(row, "tokens_per_sec_p50"))});
  }
  print(table.empty() ? "No request in that time\n" : table.text(context.terminal));
  return 0;
}

}  // namespace

Verb make_ps_verb() {
  return {.name = "ps",
          .summary = "Models that a running server has loaded",
          .options = with_client_options(
              {{.flag = "--json", .help = "the server's list as JSON, loaded or not"},
               {.flag = "--startup", .help = "where the time of its start went"}}),
          .run = run_ps};
}

Verb make_trace_verb() {
  return {.name = "trace",
          .summary = "What a running server spends its time on",
          .details =
              "  squish trace                    the slowest spans, and what to do about them\n"
              "  squish trace view --chrome t.json\n"
              "  squish trace obs                times of every operation\n"
              "  squish trace reset              forget the spans\n"
              "\n"
              "Spans are kept by a server that was started with --trace. The exit code is 3 when "
              "no server answers.",
          .arguments = {{.name = "ACTION", .help = "view (default), obs or reset"}},
          .options = with_client_options({{.flag = "--chrome",
                                           .value = "FILE",
                                           .help = "with view: all spans for chrome://tracing",
                                           .completion = Completion::file}}),
          .run = run_trace};
}

Verb make_quality_verb() {
  return {.name = "quality",
          .summary = "Errors and latencies of a running server, by model",
          .options = with_client_options(
              {{.flag = "--window", .value = "S", .help = "seconds to look back on (default 3600)"},
               {.flag = "--model", .value = "NAME", .help = "only this one"},
               {.flag = "--json", .help = "as JSON"}}),
          .run = run_quality};
}

}  // namespace squish::cli
