// Routes that tell how the server works: traces, durations, quality, the machine.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"
#include "server/json_writer.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr double kBytesPerGb = 1e9;
constexpr int64_t kWindowMin_s = 60;
constexpr int64_t kWindowMax_s = 86'400;

/// Resident memory now, not its maximum.
double resident_mb() {
  const auto text = read_file("/proc/self/statm", 4096);
  if (!text) return 0;
  const std::string_view rest =
      std::string_view(*text).substr(std::min(text->find(' ') + 1, text->size()));
  const auto pages = parse_int(rest.substr(0, rest.find(' ')));
  return pages ? static_cast<double>(*pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6
               : 0;
}

std::string sys_stats_json() {
  std::array<double, 3> load{};
  if (::getloadavg(load.data(), 3) != 3) load = {};
  std::error_code error;
  const auto disk = std::filesystem::space("/", error);
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("load_avg");
  for (const double value : load) json.number(value);
  json.end_array().field("process_rss_mb", resident_mb()).field("pid", ::getpid());
  if (!error && disk.capacity > 0) {
    const auto total = static_cast<double>(disk.capacity);
    const auto free = static_cast<double>(disk.available);
    json.field("disk_total_gb", total / kBytesPerGb)
        .field("disk_free_gb", free / kBytesPerGb)
        .field("disk_used_pct", 100 * (1 - free / total));
  }
  json.end_object();
  return out;
}

/// A number of the query. Errors: 400 naming it.
Parsed<std::optional<double>> query_number(const Exchange& exchange, std::string_view name,
                                           double minimum, double maximum) {
  const auto text = exchange.request().query_value(name);
  if (!text) return std::optional<double>();
  const auto number = parse_double(*text);
  if (number && *number >= minimum && *number <= maximum) return number;
  return bad_field(name, fmt::format("{} is {}; it must be a number from {} to {}", name,
                                     printable(*text, 60), minimum, maximum));
}

}  // namespace

asio::awaitable<void> handle_model_status(Exchange& exchange, const Value& /*body*/) {
  const Services& services = exchange.services();
  const auto loaded = services.models.loaded();
  const std::string error = services.models.last_load_error();
  std::string out;
  JsonWriter json(out);
  json.begin_object()
      .field("load_mode", services.options.load_mode)
      .field("model_loaded", !loaded.empty());
  if (loaded.empty()) {
    json.null_field("model").null_field("load_time_s");
  } else {
    json.field("model", loaded.front().local.id)
        .field("load_time_s", loaded.front().load_ms / 1000);
  }
  if (error.empty()) {
    json.null_field("load_error");
  } else {
    json.field("load_error", error);
  }
  json.end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_sys_stats(Exchange& exchange, const Value& /*body*/) {
  const std::string out = co_await exchange.offload([] { return sys_stats_json(); });
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_debug_info(Exchange& exchange, const Value& /*body*/) {
  const ServerOptions& options = exchange.services().options;
  utsname system{};
  ::uname(&system);
  std::string out;
  JsonWriter json(out);
  json.begin_object()
      .field("version", options.version)
      .field("platform", fmt::format("{} {} {}", system.sysname, system.release, system.machine))
      .field("pid", ::getpid())
      .field("api_keys", options.access.keys.size())
      .object_field("cli_flags");
  for (const auto& [flag, value] : options.flags) json.field(flag, value);
  json.end_object().end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_trace(Exchange& exchange, const Value& /*body*/) {
  const Services& services = exchange.services();
  const std::string format = exchange.request().query_value("format").value_or("json");
  if (format != "json" && format != "chrome") {
    co_await exchange.fail(bad_field(
        "format", fmt::format("format is {}; it must be json or chrome", printable(format, 60))));
    co_return;
  }
  const std::string out = co_await exchange.offload([&] {
    const Tracer& tracer = services.observer.tracer;
    return format == "chrome" ? tracer.chrome_json(services.options.version)
                              : tracer.summary_json();
  });
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_trace_reset(Exchange& exchange, const Value& /*body*/) {
  exchange.services().observer.tracer.clear();
  co_await exchange.reply_json(R"({"ok":true,"message":"all spans are forgotten"})");
}

asio::awaitable<void> handle_report(Exchange& exchange, const Value& /*body*/) {
  const auto threshold = query_number(exchange, "threshold_ms", 0, 1e9);
  if (!threshold) {
    co_await exchange.fail(threshold.error());
    co_return;
  }
  const Observer& observer = exchange.services().observer;
  const std::string out = report_json(observer.profiler, observer.tracer, threshold->value_or(0));
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_startup(Exchange& exchange, const Value& /*body*/) {
  const Services& services = exchange.services();
  std::vector<StartupTrace::Phase> phases = services.startup;
  double total = 0;
  for (const StartupTrace::Phase& phase : phases) total += phase.ms;
  std::string out;
  JsonWriter json(out);
  const auto write = [&json](std::string_view name, const auto& list) {
    json.array_field(name);
    for (const StartupTrace::Phase& phase : list) {
      json.begin_object()
          .field("phase", phase.name)
          .field("label", phase.name)
          .field("elapsed_ms", phase.ms)
          .end_object();
    }
    json.end_array();
  };
  json.begin_object()
      .field("enabled", services.options.profiles_start)
      .field("total_ms", total)
      .field("phase_count", phases.size())
      .object_field("phases");
  for (const StartupTrace::Phase& phase : phases) json.field(phase.name, phase.ms);
  json.end_object();
  write("entries", phases);
  std::ranges::stable_sort(phases, std::greater<>(), &StartupTrace::Phase::ms);
  if (phases.size() > 5) phases.resize(5);
  write("slowest_5", phases);
  json.end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_quality(Exchange& exchange, const Value& /*body*/) {
  const auto window = query_number(exchange, "window", 0, 1e9);
  if (!window) {
    co_await exchange.fail(window.error());
    co_return;
  }
  const auto seconds =
      std::clamp(static_cast<int64_t>(window->value_or(3600)), kWindowMin_s, kWindowMax_s);
  const std::string model = exchange.request().query_value("model").value_or("");
  const std::string out = exchange.services().observer.quality.report_json(seconds, model);
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
