#include "cli/compress_run.h"

#include <chrono>

#include <fmt/format.h>

#include "base/strings.h"
#include "cli/compress_progress.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "compress/router.h"

namespace squish::cli {
namespace {

std::string percent_of(uint64_t part, uint64_t whole) {
  if (whole == 0) return "";
  return fmt::format("{:.0f} %", 100 * static_cast<double>(part) / static_cast<double>(whole));
}

Value summary_value(const compress::Summary& summary, double seconds) {
  Value out = Value::dict({{"event", "done"},
                           {"output", json_text(summary.output)},
                           {"bytes", json_count(summary.bytes)},
                           {"weight_bytes", json_count(summary.weight_bytes)},
                           {"source_bytes", json_count(summary.source_bytes)},
                           {"bits_per_weight", json_number(summary.bits_per_weight, 4)},
                           {"tensors_resumed", json_count(summary.tensors_resumed)},
                           {"seconds", json_number(seconds)}});
  if (summary.comparison) {
    const Comparison& c = *summary.comparison;
    out.set("held_out", Value::dict({{"tokens", json_count(c.tokens)},
                                     {"source_perplexity", json_number(c.perplexity_a, 4)},
                                     {"perplexity", json_number(c.perplexity_b, 4)},
                                     {"kl_nats", json_number(c.kl_mean, 6)},
                                     {"top1_agreement", json_number(c.top1_agreement, 4)}}));
    out.set("lost", json_text(summary.sentence));
  }
  return out;
}

void print_summary(const Context& context, const compress::Summary& summary, double seconds) {
  print(fmt::format("{} {}\n", context.terminal.paint(Role::good, "✓"), summary.output));
  Facts facts;
  facts.add("size", fmt::format("{}, {} of the source's {}", human_bytes(summary.bytes),
                                percent_of(summary.bytes, summary.source_bytes),
                                human_bytes(summary.source_bytes)));
  facts.add("bits per weight", fmt::format("{:.3f}", summary.bits_per_weight));
  if (summary.comparison) {
    const Comparison& c = *summary.comparison;
    facts.add("perplexity", fmt::format("{:.3f}, the source {:.3f} ({} tokens of held-out text)",
                                        c.perplexity_b, c.perplexity_a, c.tokens));
    facts.add("KL divergence", fmt::format("{:.4f} nats", c.kl_mean));
  }
  facts.add("time", clock_text(seconds));
  print(facts.text(context.terminal));
  if (!summary.sentence.empty()) print(summary.sentence + "\n");
  print(fmt::format("Run it: squish run {}\n", summary.output));
}

}  // namespace

Value plan_value(const compress::Preview& preview, const compress::CompressOptions& options) {
  Value::List tensors;
  for (const compress::PlannedTensor& planned : preview.plan.tensors) {
    tensors.push_back(Value::dict(
        {{"name", json_text(planned.source.name)},
         {"from", std::string(type_info(planned.source.dtype).name)},
         {"type", std::string(type_info(planned.target).name)},
         {"shape", to_string(planned.source.shape)},
         {"bytes", json_count(planned.bytes)},
         {"sensitivity_nats",
          planned.sensitivity < 0 ? Value::none() : json_number(planned.sensitivity, 6)},
         {"reason", json_text_or_null(planned.reason)}}));
  }
  return Value::dict({{"event", "plan"},
                      {"format", json_text(options.format)},
                      {"output", json_text(options.output)},
                      {"source_bytes", json_count(preview.source_bytes)},
                      {"bytes", json_count(preview.plan.file_bytes)},
                      {"bits_per_weight", json_number(preview.plan.bits_per_weight(), 4)},
                      {"peak_memory_bytes", json_count(preview.peak_memory_bytes)},
                      {"device", json_text(preview.device->description())},
                      {"peak_device_bytes", json_count(preview.peak_device_bytes)},
                      {"expected_kl_nats", json_number(compress::expected_loss(preview.plan), 5)},
                      {"tensors", Value::list(std::move(tensors))}});
}

void print_plan(const Context& context, const compress::Preview& preview,
                const compress::CompressOptions& options) {
  const double expected = compress::expected_loss(preview.plan);
  const bool is_routed = expected > 0;
  std::vector<std::string> columns = {"Tensor", "From", "To", ">Size", "Shape"};
  if (is_routed) columns.emplace_back(">Sensitivity");
  columns.emplace_back("Why");
  Table table(columns);
  for (const compress::PlannedTensor& planned : preview.plan.tensors) {
    std::vector<std::string> row = {printable(planned.source.name, 120),
                                    std::string(type_info(planned.source.dtype).name),
                                    std::string(type_info(planned.target).name),
                                    human_bytes(planned.bytes), to_string(planned.source.shape)};
    if (is_routed) {
      row.push_back(planned.sensitivity < 0 ? "" : fmt::format("{:.4f}", planned.sensitivity));
    }
    row.push_back(planned.reason);
    table.add(std::move(row));
  }
  Facts facts;
  facts.add("format", options.format);
  facts.add("output", options.output);
  facts.add("size", fmt::format("{}, {} of the source's {}", human_bytes(preview.plan.file_bytes),
                                percent_of(preview.plan.file_bytes, preview.source_bytes),
                                human_bytes(preview.source_bytes)));
  facts.add("bits per weight", fmt::format("{:.3f}", preview.plan.bits_per_weight()));
  if (is_routed) facts.add("expected KL", fmt::format("{:.3f} nats", expected));
  facts.add("peak memory", human_bytes(preview.peak_memory_bytes));
  facts.add("device", preview.device->description());
  if (preview.peak_device_bytes > 0) {
    facts.add("peak device memory", human_bytes(preview.peak_device_bytes));
  }
  print(table.text(context.terminal) + "\n" + facts.text(context.terminal));
}

Status compress_and_tell(const Context& context, const compress::CompressOptions& options,
                         bool is_json) {
  ThreadPool pool(options.threads);
  catch_interrupt();
  const auto begin = std::chrono::steady_clock::now();
  CompressProgress progress(context.terminal, is_json);
  const auto summary = compress::run(options, pool, progress, [] { return interrupted().load(); });
  progress.clear();
  if (!summary) {
    interrupted() = false;
    return summary.error();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (is_json) {
    print_json_line(summary_value(*summary, seconds.count()));
  } else {
    print_summary(context, *summary, seconds.count());
  }
  return {};
}

}  // namespace squish::cli
