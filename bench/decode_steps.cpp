// A fixed piece of work for instruction counts: an engine with a tiny network of known weights
// reads a prompt and makes tokens, greedily, on one thread. `./dev instructions` runs it under
// callgrind, which counts only what happens inside steps().
//   decode_steps [ISA]     prints the tokens' hash
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "base/hash.h"
#include "engine/engine.h"
#include "format/testing/temporary_directory.h"
#include "kernels/backend.h"
#include "model/model.h"
#include "model/testing/tiny_model.h"

using namespace squish;

namespace {

constexpr size_t kPromptTokens = 48;
constexpr int32_t kAnswerTokens = 96;
constexpr int kSequences = 3;

Request made_up_request(int number) {
  Request request;
  for (size_t i = 0; i < kPromptTokens; ++i) {
    const auto at = static_cast<int32_t>(i) + 1;
    request.tokens.push_back((at * at * 31 + number * 17) % 250);
  }
  request.sampling.temperature = 0;
  request.sampling.ignore_eos = true;
  request.sampling.speculate = false;  // how many are guessed depends on the clock
  request.sampling.max_tokens = kAnswerTokens;
  return request;
}

}  // namespace

/// One answer alone, then three at a time; the name is what callgrind looks for.
extern "C" __attribute__((noinline)) void steps(Engine& engine, std::vector<TokenId>& tokens) {
  for (const int count : {1, kSequences}) {
    std::vector<RequestHandle> handles;
    for (int i = 0; i < count; ++i)
      handles.push_back(engine.submit(made_up_request(i + 10 * count)).value());
    while (!engine.idle()) engine.step();
    for (RequestHandle& handle : handles) {
      while (const auto event = handle.try_next()) {
        if (!event->is_terminal()) tokens.push_back(event->token);
      }
    }
  }
}

int main(int argc, char** argv) {
  ThreadPool pool(1);
  auto backend = make_cpu_backend(pool, argc > 1 ? argv[1] : "");
  if (!backend) {
    fmt::print(stderr, "{}\n", backend.error().message);
    return 1;
  }
  const testing::TemporaryDirectory directory;
  const std::string path = testing::TinyModel("llama").write_gguf(directory, DType::q8_0);
  const ModelFiles files = ModelFiles::open(path).value();
  const auto model = Model::create(files, **backend).value();
  EngineOptions options;
  options.prefix_cache = false;
  const auto engine = Engine::create(*model, options).value();
  std::vector<TokenId> tokens;
  steps(*engine, tokens);
  fmt::print("{} tokens, {:016x}, {}\n", tokens.size(),
             hash64(std::as_bytes(std::span<const TokenId>(tokens))), (*backend)->description());
  const size_t expected = kAnswerTokens * (1 + kSequences);
  return tokens.size() == expected ? 0 : 1;
}
