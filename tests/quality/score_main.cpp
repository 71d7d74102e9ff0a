// Scores given tokens with a model: what scripts/quality.py compares with other implementations.
//   score_tokens MODEL [--backend ref|cpu] [--threads N]  < jobs   (JSON lines)
//     {"tokens": [..], "decode_from": 20}   -> {"logprobs": [..], "best": [..], "gap": [..]}
//       (rows from 20 on by the arithmetic of decode steps; without it all are a prompt's)
//     {"text": ".."}                        -> {"tokens": [..]}
//     {"perplexity": "file", "context": 512, "tokens_max": 20000} -> {"perplexity": ..,
//     "standard_error": ..}
#include <cstdio>
#include <iostream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/cpu_count.h"
#include "base/limits.h"
#include "evaluate/perplexity.h"
#include "model/model_files.h"

namespace {

using namespace squish;
using nlohmann::json;

int fail(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return error_row(error.code).exit_code;
}

Result<json> answer(const json& job, Model& model, const Tokenizer& tokenizer) {
  if (job.contains("tokens")) {
    SQ_TRY(const std::vector<TokenScore> scores,
           score_tokens(model, job["tokens"].get<std::vector<TokenId>>(),
                        job.value("decode_from", SIZE_MAX)));
    json out = {{"logprobs", json::array()}, {"best", json::array()}, {"gap", json::array()}};
    for (const TokenScore& score : scores) {
      out["logprobs"].push_back(score.logprob);
      out["best"].push_back(score.best);
      out["gap"].push_back(score.best_logprob - score.second_logprob);
    }
    return out;
  }
  if (job.contains("text"))
    return json{{"tokens", tokenizer.encode(job["text"].get<std::string>())}};
  SQ_TRY(const std::string text,
         read_file(job.at("perplexity").get<std::string>(), limits::kPromptBytesMax));
  const std::vector<TokenId> tokens = tokenizer.encode(text);
  const bool adds_bos = !tokens.empty() && tokenizer.bos() == tokens.front();
  SQ_TRY(const PerplexityResult result,
         perplexity(model, tokens, adds_bos ? tokenizer.bos() : std::nullopt,
                    {.context = job.value("context", size_t{512}),
                     .tokens_max = job.value("tokens_max", size_t{0})}));
  return json{{"perplexity", result.perplexity},
              {"standard_error", result.standard_error},
              {"scored", result.scored_tokens},
              {"chunks", result.chunks}};
}

}  // namespace

int main(int argc, char** argv) {
  std::string backend_name;
  int threads = compute_thread_count();
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--backend") backend_name = argv[i + 1];
    if (std::string_view(argv[i]) == "--threads") threads = std::atoi(argv[i + 1]);
  }
  if (argc < 2)
    return fail({ErrorCode::invalid_argument,
                 "usage: score_tokens MODEL [--backend B] [--threads N] < jobs"});
  ThreadPool pool(threads);
  auto backend = make_backend(backend_name, pool);
  if (!backend) return fail(backend.error());
  auto files = ModelFiles::open(argv[1]);
  if (!files) return fail(files.error());
  auto tokenizer = files->load_tokenizer();
  if (!tokenizer) return fail(tokenizer.error());
  auto model = Model::create(*files, **backend);
  if (!model) return fail(model.error());
  for (std::string line; std::getline(std::cin, line);) {
    const json job = json::parse(line, nullptr, false);
    if (job.is_discarded())
      return fail({ErrorCode::invalid_argument, "a job is not JSON: " + line.substr(0, 80)});
    auto result = answer(job, **model, *tokenizer);
    if (!result) return fail(result.error());
    fmt::print("{}\n", result->dump());
    std::fflush(stdout);
  }
  return 0;
}
