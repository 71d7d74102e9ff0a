#include "cli/eval_report.h"

#include <cmath>

#include <fmt/format.h>

#include "base/strings.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace squish::cli {
namespace {

std::vector<Metric> metrics_of(const Task& task) {
  if (!task.has_norm) return {Metric::acc};
  return {Metric::acc, Metric::acc_norm, Metric::acc_bytes};
}

Value interval_value(Interval interval, int digits) {
  return Value::list({json_number(interval.low, digits), json_number(interval.high, digits)});
}

std::string percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

std::string percent_interval(Interval interval) {
  return fmt::format("{:.1f} to {:.1f}", 100 * interval.low, 100 * interval.high);
}

std::string difference_text(const PairedShares& pair) {
  const Interval interval = pair.interval();
  return fmt::format("{:+.2f} ({:+.1f} to {:+.1f}), p {:.3f}", 100 * pair.difference(),
                     100 * interval.low, 100 * interval.high, pair.p_value());
}

void add_rows(const TaskOutcome& outcome, Table& table) {
  for (const Metric metric : metrics_of(*outcome.task)) {
    if (metric == Metric::acc_bytes) continue;  // in the JSON only
    const Accuracy found = accuracy(outcome.answers, metric);
    std::vector<std::string> cells = {
        std::string(outcome.task->name), std::string(name_of(metric)), percent(found.share()),
        percent_interval(wilson_interval(found.hits, found.count)), fmt::format("{}", found.count)};
    if (outcome.baseline) {
      cells.push_back(percent(accuracy(*outcome.baseline, metric).share()));
      cells.push_back(difference_text(compare_answers(outcome.answers, *outcome.baseline, metric)));
    }
    table.add(std::move(cells));
  }
}

std::string tasks_text(const Terminal& terminal, const EvalReport& report) {
  std::vector<std::string> columns = {"Task", "Metric", ">Share", "95 %", ">Questions"};
  if (report.baseline) {
    columns.emplace_back(">Baseline");
    columns.emplace_back("Difference in points (95 %), McNemar");
  }
  Table table(columns);
  for (const TaskOutcome& outcome : report.tasks) add_rows(outcome, table);
  return table.empty() ? "" : table.text(terminal);
}

std::string perplexity_text(const PerplexityResult& result) {
  return fmt::format("{:.4f} (95 %: {:.3f} to {:.3f})", result.perplexity, result.interval.low,
                     result.interval.high);
}

std::string text_text(const Terminal& terminal, const TextOutcome& text) {
  Facts facts;
  facts.add("text",
            fmt::format("{}: {} tokens scored in {} chunks of {}, the second half of each",
                        text.file, text.model.scored_tokens, text.model.chunks, text.context));
  facts.add("perplexity", perplexity_text(text.model));
  if (text.baseline) facts.add("of the baseline", perplexity_text(*text.baseline));
  if (text.pair) {
    const Comparison& pair = *text.pair;
    facts.add("ratio", fmt::format("{:.4f} (95 %: {:.4f} to {:.4f})", std::exp(pair.log_ratio),
                                   std::exp(pair.log_ratio_interval.low),
                                   std::exp(pair.log_ratio_interval.high)));
    facts.add("KL divergence",
              fmt::format("{:.5f} nats (95 %: {:.5f} to {:.5f}); median {:.5f}, 99 % below {:.3f}, "
                          "largest {:.2f}",
                          pair.kl_mean, pair.kl_interval.low, pair.kl_interval.high, pair.kl_median,
                          pair.kl_p99, pair.kl_max));
    facts.add("same token",
              fmt::format("{} (95 %: {}) of positions have the same first choice",
                          percent(pair.top1_agreement), percent_interval(pair.top1_interval)));
  }
  return facts.text(terminal);
}

Value accuracy_values(std::span<const QuestionAnswer> answers, const Task& task) {
  Value out = Value::dict();
  for (const Metric metric : metrics_of(task)) {
    const Accuracy found = accuracy(answers, metric);
    const std::string name(name_of(metric));
    out.set(name, json_number(found.share(), 6));
    out.set(name + "_stderr", json_number(share_standard_error(found.hits, found.count), 6));
    out.set(name + "_interval", interval_value(wilson_interval(found.hits, found.count), 6));
  }
  return out;
}

Value pair_value(const PairedShares& pair) {
  return Value::dict({{"difference", json_number(pair.difference(), 6)},
                      {"interval", interval_value(pair.interval(), 6)},
                      {"mcnemar_p", json_number(pair.p_value(), 6)},
                      {"both_right", json_count(pair.both)},
                      {"only_model_right", json_count(pair.only_first)},
                      {"only_baseline_right", json_count(pair.only_second)},
                      {"both_wrong", json_count(pair.neither)}});
}

Value task_value(const TaskOutcome& outcome) {
  Value out = Value::dict({{"file", json_text(outcome.file)},
                           {"questions", json_count(outcome.answers.size())},
                           {"complete", outcome.answers.size() == outcome.question_count},
                           {"seconds", json_number(outcome.seconds)}});
  const Value own = accuracy_values(outcome.answers, *outcome.task);
  for (const Value::Entry& entry : own.entries()) out.set(entry.key.as_string(), entry.value);
  if (!outcome.baseline) return out;
  Value baseline = accuracy_values(*outcome.baseline, *outcome.task);
  baseline.set("questions", json_count(outcome.baseline->size()));
  out.set("baseline", std::move(baseline));
  Value differences = Value::dict();
  for (const Metric metric : metrics_of(*outcome.task)) {
    differences.set(std::string(name_of(metric)),
                    pair_value(compare_answers(outcome.answers, *outcome.baseline, metric)));
  }
  out.set("paired", std::move(differences));
  return out;
}

Value perplexity_value(const PerplexityResult& result) {
  return Value::dict({{"perplexity", json_number(result.perplexity, 6)},
                      {"stderr", json_number(result.standard_error, 6)},
                      {"interval", interval_value(result.interval, 6)},
                      {"scored_tokens", json_count(result.scored_tokens)},
                      {"chunks", json_count(result.chunks)}});
}

Value text_value(const TextOutcome& text) {
  Value out = perplexity_value(text.model);
  out.set("file", json_text(text.file));
  out.set("context", json_count(text.context));
  out.set("text_tokens", json_count(text.text_tokens));
  out.set("bos", text.has_bos);
  out.set("complete", text.model.is_complete);
  out.set("seconds", json_number(text.seconds));
  if (text.baseline) out.set("baseline", perplexity_value(*text.baseline));
  if (text.pair) {
    const Comparison& pair = *text.pair;
    out.set("paired",
            Value::dict({{"log_ratio", json_number(pair.log_ratio, 6)},
                         {"log_ratio_interval", interval_value(pair.log_ratio_interval, 6)},
                         {"kl_mean", json_number(pair.kl_mean, 8)},
                         {"kl_interval", interval_value(pair.kl_interval, 8)},
                         {"kl_median", json_number(pair.kl_median, 8)},
                         {"kl_p99", json_number(pair.kl_p99, 6)},
                         {"kl_max", json_number(pair.kl_max, 6)},
                         {"top1_agreement", json_number(pair.top1_agreement, 6)},
                         {"top1_interval", interval_value(pair.top1_interval, 6)}}));
  }
  return out;
}

Value subject_value(const EvalSubject& subject) {
  return Value::dict({{"model", json_text(subject.id)},
                      {"model_path", json_text(subject.path)},
                      {"bytes", json_count(subject.bytes)},
                      {"quantization", json_text(subject.quantization)},
                      {"bits_per_weight", json_number(subject.bits_per_weight, 4)}});
}

}  // namespace

Metric main_metric(const Task& task) { return task.has_norm ? Metric::acc_norm : Metric::acc; }

std::string report_text(const Terminal& terminal, const EvalReport& report) {
  std::string out = tasks_text(terminal, report);
  if (report.text) {
    if (!out.empty()) out += '\n';
    out += text_text(terminal, *report.text);
  }
  return out;
}

Value report_value(const EvalReport& report) {
  Value out = subject_value(report.model);
  out.set("backend", json_text(report.backend));
  out.set("timestamp", json_text(report.timestamp));
  out.set("limit", report.limit == 0 ? Value::none() : json_count(report.limit));
  out.set("fewshot", json_count(report.examples));
  out.set("seed", json_count(report.seed));
  out.set("complete", report.is_complete);
  if (report.baseline) out.set("baseline", subject_value(*report.baseline));
  Value scores = Value::dict();
  Value results = Value::dict();
  for (const TaskOutcome& outcome : report.tasks) {
    const Accuracy found = accuracy(outcome.answers, main_metric(*outcome.task));
    scores.set(std::string(outcome.task->name), json_number(100 * found.share(), 4));
    results.set(std::string(outcome.task->name), task_value(outcome));
  }
  if (report.text) results.set("wikitext2", text_value(*report.text));
  out.set("scores", std::move(scores));
  out.set("raw_results", std::move(results));
  out.set("elapsed_s", json_number(report.seconds));
  return out;
}

std::string report_file_name(const EvalReport& report) {
  std::string name;
  for (const char c : report.model.id) {
    const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
    name += is_plain ? c : '-';
  }
  std::string time = replace_all(replace_all(report.timestamp, "-", ""), ":", "");
  if (time.ends_with('Z')) time.pop_back();
  return fmt::format("lmeval_{}_{}.json", name.empty() ? "model" : name.substr(0, 100), time);
}

}  // namespace squish::cli
