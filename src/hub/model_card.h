#pragma once
// README.md of a published model: what it is, what it cost, what was checked, and how to run it.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "hub/catalog.h"
#include "hub/upload_protocol.h"

namespace squish::hub {

/// One gate that a model went through before it was published.
struct GateResult {
  std::string name;     // "checksums", "coherence"
  std::string verdict;  // "passed" or "skipped"
  std::string detail;   // one line
};

/// What a card says. Empty and 0 are not known and left out.
struct CardFacts {
  std::string repository;    // "org/repo"
  std::string folder;        // in the repository; "" = its top
  std::string base_model;    // "org/repo" on a hub
  std::string license;       // a hub's identifier: "apache-2.0"
  std::string format;        // "int4"
  std::string architecture;  // "LlamaForCausalLM"
  std::string source_name;   // what it was made from, a file's or directory's name
  uint64_t weights = 0;
  uint64_t weight_bytes = 0;
  uint64_t source_bytes = 0;
  double bits_per_weight = 0;
  std::string lost;         // the sentence of report.json
  std::string calibration;  // "awq, 8192 tokens of built-in text"
  uint64_t held_out_tokens = 0;
  double source_perplexity = 0;
  double perplexity = 0;
  double kl_nats = 0;
  double top1_agreement = 0;
  double signal_to_error_db = 0;
  /// Of stats.json: the tensors with the largest error, "name" and dB, worst first.
  std::vector<std::pair<std::string, double>> worst_tensors;
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, std::string>> scores;  // of the bill of materials
  std::vector<GateResult> gates;
};

/// Takes what report.json says into `facts`. Errors: bad_file for a text that is no JSON object.
Status read_report(std::string_view json, CardFacts& facts);
/// Takes the tensors with the largest errors out of stats.json. Errors: bad_file.
Status read_stats(std::string_view json, CardFacts& facts);
/// The catalogue's entry that was made from a file `source_name`; null when there is none.
const CatalogEntry* entry_of_source(const Catalog& catalog, std::string_view source_name);

/// The card in Markdown, with front matter in YAML. `files`: all others, with their hashes. The
/// same facts give the same text.
std::string make_model_card(const CardFacts& facts, const std::vector<UploadFile>& files);

}  // namespace squish::hub
