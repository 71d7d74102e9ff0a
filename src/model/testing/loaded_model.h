#pragma once
// A model with a backend and a cache, for tests that run it.
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "model/model.h"

namespace squish::testing {

class LoadedModel {
 public:
  /// Fails the test and leaves model null when `path` does not load.
  explicit LoadedModel(const std::string& path, int context_length = 0,
                       std::unique_ptr<Backend> backend = make_ref_backend())
      : backend_(std::move(backend)) {
    Result<ModelFiles> opened = ModelFiles::open(path);
    if (!opened) {
      ADD_FAILURE() << opened.error().message;
      return;
    }
    files = std::move(opened).value();
    Result<std::unique_ptr<Model>> created = Model::create(files, *backend_, {context_length});
    if (!created) {
      ADD_FAILURE() << created.error().message;
      return;
    }
    model = std::move(created).value();
  }

  [[nodiscard]] size_t vocabulary() const {
    return static_cast<size_t>(model->config().vocabulary_size);
  }
  [[nodiscard]] Backend& backend() { return *backend_; }

  [[nodiscard]] KvCache make_cache(int32_t page_count) const {
    const ModelConfig& config = model->config();
    const std::vector<KvLayout> layouts(static_cast<size_t>(config.layer_count),
                                        {config.kv_head_count, config.head_dim});
    Result<KvCache> cache = KvCache::create(layouts, page_count);
    SQ_CHECK(cache.has_value());
    return std::move(cache).value();
  }

  /// Runs `ids` of one sequence in chunks of `chunk` rows, as a prompt, over the pages of `table`.
  /// Logits of every row: [ids.size(), vocabulary].
  std::vector<float> run(const std::vector<int32_t>& ids, size_t chunk, KvCache& cache,
                         const std::vector<int32_t>& table) {
    std::vector<float> out(ids.size() * vocabulary());
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      const size_t count = std::min(chunk, ids.size() - begin);
      Batch batch;
      batch.tokens.assign(ids.begin() + static_cast<ptrdiff_t>(begin),
                          ids.begin() + static_cast<ptrdiff_t>(begin + count));
      batch.sequences = {{table.data(), static_cast<int32_t>(begin), 0, count}};
      batch.prefill_row_count = count;
      batch.logit_rows.resize(count);
      std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
      model->forward(batch, cache,
                     std::span(out).subspan(begin * vocabulary(), count * vocabulary()));
    }
    return out;
  }
  /// The same with a fresh cache whose pages are in order.
  std::vector<float> run(const std::vector<int32_t>& ids, size_t chunk) {
    const auto page_count = static_cast<int32_t>(ids.size() / kPageTokens + 1);
    std::vector<int32_t> table(static_cast<size_t>(page_count));
    std::iota(table.begin(), table.end(), 0);
    KvCache cache = make_cache(page_count);
    return run(ids, chunk, cache, table);
  }

  ModelFiles files;
  std::unique_ptr<Model> model;

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace squish::testing
