// squish sbom
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/verb_rows.h"
#include "compress/sbom.h"
#include "model/model_files.h"

namespace squish::cli {
namespace {

constexpr uint64_t kBillBytesMax = 64 << 20;
constexpr int kVerificationFailed = 5;

/// The content of the first SHA-256 of a component.
std::string hash_of(const Value& component) {
  const Value* hashes = find_below(component, {"hashes"});
  if (hashes == nullptr || !hashes->is_list()) return "";
  for (const Value& hash : hashes->items()) {
    if (text_below(hash, {"alg"}) == "SHA-256") return text_below(hash, {"content"});
  }
  return "";
}

Result<Value> read_json(const std::string& path) {
  SQ_TRY(const std::string text, read_file(path, kBillBytesMax));
  auto value = parse_json(text);
  if (value && value->is_dict()) return value;
  return Error{ErrorCode::bad_file, fmt::format("{}: is no JSON object", printable(path, 512))};
}

Result<Value> read_bill(const std::string& directory) {
  const std::string path = directory + "/" + compress::kSbomName;
  if (!file_exists(path)) {
    return Error{
        ErrorCode::not_found,
        fmt::format("{}: there is no {}; squish sbom create {} writes one",
                    printable(directory, 512), compress::kSbomName, printable(directory, 512))};
  }
  SQ_TRY(Value bill, read_json(path));
  if (text_below(bill, {"bomFormat"}) != "CycloneDX") {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: is no CycloneDX document", printable(path, 512))};
  }
  return bill;
}

Status write_bill(const std::string& directory, const Value& bill) {
  SQ_TRY(const std::string text,
         to_json(bill,
                 {.indented = true, .indent = "  ", .item_separator = ",", .key_separator = ": "}));
  return write_file_atomic(directory + "/" + compress::kSbomName, as_bytes(text + "\n"));
}

/// The hash of each file; the bill itself is written without a Ctrl-C in between.
Result<std::vector<std::pair<std::string, std::string>>> hash_all(const std::string& directory) {
  interrupt_ends_at_once(true);
  auto hashes = compress::hash_files(directory);
  interrupt_ends_at_once(false);
  return hashes;
}

Result<int> create(const std::string& directory, bool is_json) {
  SQ_TRY(const ModelFiles files, ModelFiles::open(directory));
  SQ_TRY(const auto hashes, hash_all(directory));
  compress::SbomFacts facts;
  facts.name = std::filesystem::path(directory).lexically_normal().filename().string();
  if (facts.name.empty()) facts.name = directory;
  facts.format = files.packed ? files.packed->format() : "safetensors";
  facts.architecture = files.architecture();
  const std::string text = compress::make_sbom(facts, hashes);
  SQ_TRY_STATUS(write_file_atomic(directory + "/" + compress::kSbomName, as_bytes(text)));
  if (is_json) {
    print(text);
  } else {
    print(fmt::format("{}/{}: {} files, composite hash {}\n", printable(directory, 512),
                      compress::kSbomName, hashes.size(), compress::composite_hash(hashes)));
  }
  return 0;
}

const Value* metrics_of(const Value& bill) {
  return find_below(
      bill, {"metadata", "component", "modelCard", "quantitativeAnalysis", "performanceMetrics"});
}

Result<int> show(const Context& context, const std::string& directory, bool is_json) {
  SQ_TRY(const Value bill, read_bill(directory));
  if (is_json) {
    print_json(bill);
    return 0;
  }
  const Value* component = find_below(bill, {"metadata", "component"});
  Facts facts;
  facts.add("name", text_below(bill, {"metadata", "component", "name"}));
  facts.add("architecture", text_below(bill, {"metadata", "component", "modelCard",
                                              "modelParameters", "modelArchitecture"}));
  facts.add("serial", text_below(bill, {"serialNumber"}));
  facts.add("hash", component == nullptr ? "" : hash_of(*component));
  print(facts.text(context.terminal));
  Table table({"Metric", ">Value", "Data"});
  if (const Value* metrics = metrics_of(bill); metrics != nullptr && metrics->is_list()) {
    for (const Value& metric : metrics->items()) {
      table.add({text_below(metric, {"type"}), text_below(metric, {"value"}),
                 text_below(metric, {"slice"})});
    }
    print("\n" + table.text(context.terminal));
  }
  return 0;
}

Result<int> verify(const std::string& directory, bool is_json) {
  SQ_TRY(const Value bill, read_bill(directory));
  SQ_TRY(const auto found, hash_all(directory));
  std::vector<std::string> problems;
  const Value* components = find_below(bill, {"components"});
  if (components == nullptr || !components->is_list()) {
    return Error{ErrorCode::bad_file, fmt::format("{}/{}: lists no files",
                                                  printable(directory, 512), compress::kSbomName)};
  }
  for (const Value& component : components->items()) {
    const std::string name = text_below(component, {"name"});
    const auto file =
        std::ranges::find_if(found, [&](const auto& pair) { return pair.first == name; });
    if (file == found.end()) {
      problems.push_back(fmt::format("{} is missing", printable(name, 200)));
    } else if (file->second != hash_of(component)) {
      problems.push_back(
          fmt::format("{} has other bytes than the bill says", printable(name, 200)));
    }
  }
  const Value* component = find_below(bill, {"metadata", "component"});
  const std::string composite = compress::composite_hash(found);
  if (problems.empty() && (component == nullptr || hash_of(*component) != composite)) {
    problems.push_back("the weights are not those that the bill lists");
  }
  if (is_json) {
    Value::List list;
    for (const std::string& problem : problems) list.push_back(json_text(problem));
    print_json(Value::dict({{"ok", problems.empty()},
                            {"composite_hash", json_text(composite)},
                            {"problems", Value::list(std::move(list))}}));
  } else if (problems.empty()) {
    print(fmt::format("all files are those of the bill; composite hash {}\n", composite));
  }
  for (const std::string& problem : problems) talk(fmt::format("✗ {}\n", problem));
  return problems.empty() ? 0 : kVerificationFailed;
}

/// The scores of a report of `squish eval` become performance metrics of the bill.
Result<int> bind_scores(const Arguments& arguments, const std::string& directory) {
  const auto path = arguments.text("--result");
  if (!path) {
    return Error{ErrorCode::invalid_argument,
                 "bind needs --result FILE, a report that squish eval --output-dir wrote"};
  }
  SQ_TRY(Value bill, read_bill(directory));
  Value::List metrics;
  const auto add = [&](const std::string& file, std::string_view prefix) -> Status {
    SQ_TRY(const Value report, read_json(file));
    const Value* scores = find_below(report, {"scores"});
    if (scores == nullptr || !scores->is_dict() || scores->size() == 0) {
      return Error{
          ErrorCode::bad_file,
          fmt::format(
              "{}: has no scores; a report of squish eval with a task of questions has some",
              printable(file, 512))};
    }
    for (const Value::Entry& entry : scores->entries()) {
      SQ_TRY(const std::string value, to_json(entry.value, {}));
      const Value* limit = find_below(report, {"limit"});
      const bool is_whole = limit == nullptr || limit->is_none();
      metrics.push_back(
          Value::dict({{"type", json_text(std::string(prefix) + entry.key.as_string())},
                       {"value", json_text(value)},
                       {"slice", json_text(is_whole ? "all questions" : "the first questions")}}));
    }
    return {};
  };
  SQ_TRY_STATUS(add(*path, ""));
  if (const auto baseline = arguments.text("--baseline")) {
    SQ_TRY_STATUS(add(*baseline, "baseline "));
  }
  const size_t count = metrics.size();
  const Value* component = find_below(bill, {"metadata", "component"});
  if (component == nullptr || !component->is_dict()) {
    return Error{ErrorCode::bad_file, fmt::format("{}/{}: has no metadata.component",
                                                  printable(directory, 512), compress::kSbomName)};
  }
  Value card = Value::dict();
  if (const Value* old = find_below(*component, {"modelCard"}); old != nullptr && old->is_dict()) {
    card = *old;
  }
  card.set("quantitativeAnalysis",
           Value::dict({{"performanceMetrics", Value::list(std::move(metrics))}}));
  Value changed = *component;
  changed.set("modelCard", std::move(card));
  Value metadata = *find_below(bill, {"metadata"});
  metadata.set("component", std::move(changed));
  bill.set("metadata", std::move(metadata));
  SQ_TRY_STATUS(write_bill(directory, bill));
  print(fmt::format("{} metrics are in {}/{}\n", count, printable(directory, 512),
                    compress::kSbomName));
  return 0;
}

Result<int> run(Context& context, const Arguments& arguments) {
  const std::string action = arguments.text("ACTION").value_or("");
  std::string directory = arguments.text("DIR").value_or("");
  while (directory.size() > 1 && directory.ends_with('/')) directory.pop_back();
  if (!is_directory(directory)) {
    return Error{ErrorCode::not_found,
                 fmt::format("{}: no such directory", printable(directory, 512))};
  }
  if (action != "bind") {
    SQ_TRY_STATUS(arguments.refuse({"--result", "--baseline"}, "is for sbom bind"));
  }
  if (action == "create") return create(directory, arguments.has("--json"));
  if (action == "show") return show(context, directory, arguments.has("--json"));
  if (action == "verify") return verify(directory, arguments.has("--json"));
  if (action == "bind") return bind_scores(arguments, directory);
  if (action == "sign") {
    return Error{ErrorCode::unsupported,
                 fmt::format("squish holds no keys; sign the bill with what you trust: gpg "
                             "--detach-sign {}/{}",
                             printable(directory, 512), compress::kSbomName)};
  }
  return Error{ErrorCode::invalid_argument,
               fmt::format("'{}' is no action of sbom; there are create, show, verify, bind",
                           printable(action, 32))};
}

}  // namespace

Verb make_sbom_verb() {
  return {
      .name = "sbom",
      .summary = "A bill of materials of a model: its files, their hashes, what was measured",
      .details =
          "  squish sbom create ./smollm2-int4      writes cyclonedx-mlbom.json (CycloneDX 1.5)\n"
          "  squish sbom verify ./smollm2-int4      exit code 5 when a file is another one\n"
          "  squish sbom bind ./smollm2-int4 --result lmeval_smollm2-int4_20260131T120000.json\n"
          "  squish sbom show ./smollm2-int4",
      .arguments = {{.name = "ACTION", .required = true, .help = "create, show, verify or bind"},
                    {.name = "DIR",
                     .required = true,
                     .completion = Completion::file,
                     .help = "a model's directory"}},
      .options = {{.flag = "--result",
                   .value = "FILE",
                   .help = "bind: a report of squish eval",
                   .completion = Completion::file},
                  {.flag = "--baseline",
                   .value = "FILE",
                   .help = "bind: the report of the model that it was made from",
                   .completion = Completion::file},
                  {.flag = "--json", .help = "the answer as a JSON object"}},
      .groups = {},
      .run = run,
  };
}

}  // namespace squish::cli
