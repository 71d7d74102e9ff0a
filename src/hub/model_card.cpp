#include "hub/model_card.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "format/json_edit.h"
#include "hub/hub_listing.h"
#include "hub/json_fields.h"

namespace squish::hub {
namespace {

using nlohmann::json;

constexpr size_t kWorstTensors = 3;
constexpr size_t kNotesMax = 20;

double number_field(const json& object, const char* key) {
  const json& value = member(object, key);
  if (!value.is_number()) return 0;
  const double number = value.get<double>();
  return std::isfinite(number) ? number : 0;
}

/// Text of strangers in a line of Markdown: nothing in it starts markup or a new line.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += ' ';
      continue;
    }
    if (std::string_view("\\`*[]<>|#").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// The same as code: backquotes would end it.
std::string code(std::string_view text) {
  return "`" + replace_all(printable(replace_invalid_utf8(text), 512), "`", "'") + "`";
}

void add_front_matter(std::string& out, const CardFacts& facts) {
  out += "---\nlibrary_name: squish\npipeline_tag: text-generation\n";
  if (!facts.base_model.empty()) {
    // A string of JSON is one of YAML.
    out += fmt::format("base_model: {}\nbase_model_relation: quantized\n",
                       json_quoted(facts.base_model));
  }
  if (!facts.license.empty()) out += fmt::format("license: {}\n", json_quoted(facts.license));
  out += "quantized: true\ntags:\n- squish\n- quantized\n";
  if (!facts.format.empty()) out += fmt::format("- {}\n", json_quoted(facts.format));
  if (facts.bits_per_weight > 0) {
    out += fmt::format("- {}\n", json_quoted(fmt::format("{:.0f}-bit", facts.bits_per_weight)));
  }
  out += "---\n\n";
}

void add_row(std::string& out, std::string_view name, const std::string& value) {
  if (!value.empty()) out += fmt::format("| {} | {} |\n", name, value);
}

void add_facts(std::string& out, const CardFacts& facts) {
  out += "| | |\n|---|---|\n";
  add_row(out, "format", plain(facts.format));
  add_row(out, "architecture", plain(facts.architecture));
  if (facts.weights > 0)
    add_row(out, "weights", fmt::format("{:.1f} M", static_cast<double>(facts.weights) / 1e6));
  if (facts.bits_per_weight > 0)
    add_row(out, "bits per weight", fmt::format("{:.3f}", facts.bits_per_weight));
  if (facts.weight_bytes > 0) {
    std::string size = human_bytes(facts.weight_bytes);
    if (facts.source_bytes > 0) {
      size += fmt::format(
          ", {:.1f} % of the source's {}",
          100 * static_cast<double>(facts.weight_bytes) / static_cast<double>(facts.source_bytes),
          human_bytes(facts.source_bytes));
    }
    add_row(out, "size of the weights", size);
  }
  add_row(out, "made from", plain(facts.source_name));
  add_row(out, "calibration", plain(facts.calibration));
  out += "\n";
}

void add_loss(std::string& out, const CardFacts& facts) {
  out += "## What was lost\n\n";
  if (!facts.lost.empty()) out += plain(facts.lost) + "\n\n";
  if (facts.held_out_tokens > 0) {
    out += fmt::format(
        "Measured beside the source on {} tokens of text that no calibration had seen: perplexity "
        "{:.3f} (source {:.3f}), KL divergence {:.4f} nats, the same likeliest token in {:.1f} % "
        "of the places.\n\n",
        facts.held_out_tokens, facts.perplexity, facts.source_perplexity, facts.kl_nats,
        100 * facts.top1_agreement);
  } else if (facts.lost.empty()) {
    out += "The loss was not measured.\n\n";
  }
  if (facts.signal_to_error_db > 0) {
    out += fmt::format("Over all coded matrices the signal stands {:.1f} dB above the error",
                       facts.signal_to_error_db);
    for (size_t i = 0; i < facts.worst_tensors.size(); ++i) {
      out += fmt::format("{}{} {:.1f} dB", i == 0 ? "; least in " : ", ",
                         code(facts.worst_tensors[i].first), facts.worst_tensors[i].second);
    }
    out += ".\n\n";
  }
  for (const std::string& note : facts.notes) out += fmt::format("- {}\n", plain(note));
  if (!facts.notes.empty()) out += "\n";
  if (facts.scores.empty()) return;
  out += "| test | score |\n|---|---|\n";
  for (const auto& [name, score] : facts.scores)
    out += fmt::format("| {} | {} |\n", plain(name), plain(score));
  out += "\n";
}

void add_usage(std::string& out, const CardFacts& facts) {
  out += "## How to run it\n\n```\n";
  if (facts.folder.empty()) {
    out += fmt::format("squish run hf:{} \"Why is the sky blue?\"\nsquish serve hf:{}\n",
                       facts.repository, facts.repository);
  } else {
    const std::string name = facts.folder.substr(facts.folder.rfind('/') + 1);
    out += fmt::format("squish run ./{} \"Why is the sky blue?\"\n", name);
  }
  out += "```\n\n";
  if (!facts.folder.empty()) {
    out += fmt::format("after downloading the folder {} of this repository. ", code(facts.folder));
  }
  out +=
      "The weights stay packed while the model runs; no Python is needed and nothing here is "
      "code.\n\n";
}

void add_gates(std::string& out, const CardFacts& facts) {
  if (facts.gates.empty()) return;
  out += "## Checked before publishing\n\n| gate | result | |\n|---|---|---|\n";
  for (const GateResult& gate : facts.gates) {
    out += fmt::format("| {} | {} | {} |\n", plain(gate.name), plain(gate.verdict),
                       plain(gate.detail));
  }
  out += "\n";
}

}  // namespace

Status read_report(std::string_view text, CardFacts& facts) {
  SQ_TRY(const json report, parse_json(text, "report.json"));
  if (!report.is_object()) return Error{ErrorCode::bad_file, "report.json: is no JSON object"};
  facts.format = text_field(report, "format");
  facts.source_name = text_field(report, "source");
  facts.source_bytes = count_field(report, "source_bytes");
  facts.weight_bytes = count_field(report, "weight_bytes");
  facts.weights = count_field(report, "weights");
  facts.bits_per_weight = number_field(report, "bits_per_weight");
  facts.signal_to_error_db = number_field(report, "mean_signal_to_error_db");
  facts.calibration = text_field(report, "calibration");
  facts.lost = text_field(report, "lost");
  const json& held_out = member(report, "held_out");
  facts.held_out_tokens = count_field(held_out, "tokens");
  facts.source_perplexity = number_field(held_out, "source_perplexity");
  facts.perplexity = number_field(held_out, "perplexity");
  facts.kl_nats = number_field(held_out, "kl_nats");
  facts.top1_agreement = number_field(held_out, "top1_agreement");
  const json& notes = member(report, "notes");
  if (!notes.is_array()) return {};
  for (const json& note : notes) {
    if (note.is_string() && facts.notes.size() < kNotesMax)
      facts.notes.push_back(note.get<std::string>());
  }
  return {};
}

Status read_stats(std::string_view text, CardFacts& facts) {
  SQ_TRY(const json stats, parse_json(text, "stats.json"));
  const json& tensors = member(stats, "tensors");
  if (!tensors.is_object()) return {};
  facts.worst_tensors.clear();
  for (const auto& [name, tensor] : tensors.items()) {
    const double decibels = number_field(tensor, "signal_to_error_db");
    if (decibels > 0) facts.worst_tensors.emplace_back(name, decibels);
  }
  std::ranges::sort(facts.worst_tensors, [](const auto& a, const auto& b) {
    return std::tie(a.second, a.first) < std::tie(b.second, b.first);
  });
  if (facts.worst_tensors.size() > kWorstTensors) facts.worst_tensors.resize(kWorstTensors);
  return {};
}

const CatalogEntry* entry_of_source(const Catalog& catalog, std::string_view source_name) {
  for (const CatalogEntry& entry : catalog.entries()) {
    for (const CatalogSource& source : entry.sources) {
      if (!source_name.empty() && to_lower(source.file.name) == to_lower(source_name))
        return &entry;
    }
  }
  return nullptr;
}

std::string make_model_card(const CardFacts& facts, const std::vector<UploadFile>& files) {
  std::string out;
  add_front_matter(out, facts);
  out += fmt::format("# {}\n\n", plain(facts.repository.substr(facts.repository.find('/') + 1)));
  out += facts.base_model.empty() ? "A language model" : plain(facts.base_model);
  // A file that somebody else made is published as it is.
  if (!facts.format.empty()) out += ", compressed by `squish compress`";
  if (facts.bits_per_weight > 0)
    out += fmt::format(", {:.2f} bits per weight", facts.bits_per_weight);
  out += ".\n\n";
  add_facts(out, facts);
  add_usage(out, facts);
  add_loss(out, facts);
  add_gates(out, facts);
  out += "## Files\n\n| file | bytes | SHA-256 |\n|---|---|---|\n";
  for (const UploadFile& file : files)
    out += fmt::format("| {} | {} | `{}` |\n", code(file.path), file.bytes, file.sha256);
  return out;
}

}  // namespace squish::hub
