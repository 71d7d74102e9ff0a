#include "cli/publish_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace squish::cli {
namespace {

constexpr double kPlannedBytesPerSecond = 500e6 / 60;  // 500 MB a minute, a guess for plans

/// A cell of Markdown.
std::string cell(std::string_view text) { return replace_all(printable(text, 300), "|", "\\|"); }

std::string visibility_of(const PublishOutcome& outcome) {
  const char* name = outcome.is_private ? "private" : "public";
  return outcome.repository_is_known ? name : fmt::format("{}, if it has to be created", name);
}

bool has_card(const PublishOutcome& outcome) {
  return std::ranges::find(outcome.files, "README.md", &hub::UploadFile::path) !=
         outcome.files.end();
}

Facts facts_of(const PublishOutcome& outcome, const char* kind) {
  uint64_t bytes = 0;
  for (const hub::UploadFile& file : outcome.files) bytes += file.bytes;
  Facts facts;
  facts.add(kind, outcome.model);
  facts.add("repository",
            fmt::format("{} ({})", outcome.repository,
                        !outcome.repository_is_known ? "nobody was asked whether it exists"
                        : outcome.repository_exists  ? "exists"
                        : outcome.status == PublishStatus::planned ? "would be created"
                                                                   : "created"));
  facts.add("visibility", visibility_of(outcome));
  facts.add("files", fmt::format("{}, {}", outcome.files.size(), human_bytes(bytes)));
  if (outcome.status == PublishStatus::planned) {
    facts.add("commit", hub::commit_summary(outcome.message));
    facts.add("time", fmt::format("about {} at 500 MB a minute",
                                  clock_text(static_cast<double>(bytes) / kPlannedBytesPerSecond)));
  }
  return facts;
}

std::string plan_text(const Terminal& terminal, const PublishOutcome& outcome, const char* kind) {
  Table table({"File", ">Size", "SHA-256"});
  for (const hub::UploadFile& file : outcome.files)
    table.add({printable(file.path, 200), human_bytes(file.bytes), file.sha256.substr(0, 16)});
  std::string out = facts_of(outcome, kind).text(terminal) + "\n" + table.text(terminal);
  if (!outcome.card.empty()) out += "\nREADME.md:\n\n" + outcome.card;
  if (!has_card(outcome)) out += "\nIt has no README.md: one is made when it is sent.\n";
  return out + "\nNothing was sent (--dry-run).\n";
}

}  // namespace

std::string outcome_text(const Terminal& terminal, const PublishOutcome& outcome) {
  const std::string mark = terminal.paint(Role::good, "✓");
  switch (outcome.status) {
    case PublishStatus::planned:
      return plan_text(terminal, outcome, "model");
    case PublishStatus::published:
      return fmt::format(
          "{} {} is in {} ({} sent, {} was there)\n{}\nRun it: squish run hf:{}\n", mark,
          outcome.model, outcome.repository, human_bytes(outcome.upload.sent_bytes),
          human_bytes(outcome.upload.kept_bytes), outcome.upload.url, outcome.repository);
    case PublishStatus::unchanged:
      return fmt::format("{} {} holds these files already; nothing was sent\n", mark,
                         outcome.repository);
    case PublishStatus::skipped:
      return fmt::format("{} {} holds files already: skipped, --force sends what differs\n",
                         terminal.paint(Role::warning, "·"), outcome.repository);
    case PublishStatus::failed:
      return "";
  }
  return "";
}

std::string push_text(const Terminal& terminal, const PublishOutcome& outcome) {
  if (outcome.status == PublishStatus::planned) return plan_text(terminal, outcome, "directory");
  if (outcome.status == PublishStatus::failed) return "";
  return facts_of(outcome, "directory").text(terminal) + outcome_text(terminal, outcome);
}

Value outcome_value(const PublishOutcome& outcome) {
  Value::List files;
  for (const hub::UploadFile& file : outcome.files) {
    files.push_back(Value::dict({{"path", json_text(file.path)},
                                 {"bytes", json_count(file.bytes)},
                                 {"sha256", json_text_or_null(file.sha256)}}));
  }
  Value::List gates;
  for (const hub::GateResult& gate : outcome.facts.gates) {
    gates.push_back(Value::dict({{"gate", json_text(gate.name)},
                                 {"result", json_text(gate.verdict)},
                                 {"detail", json_text(gate.detail)}}));
  }
  return Value::dict(
      {{"event", outcome.status == PublishStatus::failed ? "failed" : "done"},
       {"status", name_of(outcome.status)},
       {"model", json_text(outcome.model)},
       {"repository", json_text_or_null(outcome.repository)},
       {"exists", outcome.repository_is_known ? Value(outcome.repository_exists) : Value::none()},
       {"visibility", outcome.is_private ? "private" : "public"},
       {"bytes", json_count(outcome.bytes)},
       {"bits_per_weight", json_number(outcome.facts.bits_per_weight, 4)},
       {"sent_bytes", json_count(outcome.upload.sent_bytes)},
       {"kept_bytes", json_count(outcome.upload.kept_bytes)},
       {"commit", json_text_or_null(outcome.upload.commit)},
       {"url", json_text_or_null(outcome.upload.url)},
       {"files", Value::list(std::move(files))},
       {"gates", Value::list(std::move(gates))},
       {"card", json_text_or_null(outcome.card)},
       {"error", outcome.error ? json_text(outcome.error->message) : Value::none()}});
}

std::string report_text(const std::vector<PublishOutcome>& outcomes) {
  std::string out =
      "# Published models\n\n| model | repository | result | bits | size | sent | gates | |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const PublishOutcome& outcome : outcomes) {
    const auto passed =
        std::ranges::count(outcome.facts.gates, "passed", &hub::GateResult::verdict);
    const double bits = outcome.facts.bits_per_weight;
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", cell(outcome.model),
                       cell(outcome.repository), name_of(outcome.status),
                       bits > 0 ? fmt::format("{:.2f}", bits) : "", human_bytes(outcome.bytes),
                       human_bytes(outcome.upload.sent_bytes),
                       outcome.facts.gates.empty()
                           ? ""
                           : fmt::format("{} of {} passed", passed, outcome.facts.gates.size()),
                       outcome.error ? cell(outcome.error->message) : outcome.upload.commit);
  }
  return out;
}

}  // namespace squish::cli
