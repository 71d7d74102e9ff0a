#include "engine/testing/fake_model.h"

#include <cstring>
#include <limits>

namespace squish::testing {
namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15U;
  return hash ^ (hash >> 29);
}

}  // namespace

/// What a row leaves in its place of the page. A page has 256 bytes for each of its tokens.
struct FakeModel::Record {
  int32_t token = 0;
  int32_t position = 0;
  int32_t kind = 0;  // 0: row of a prompt chunk, 1: single row
};

FakeModel::FakeModel(const FakeModelOptions& options) : options_(options) {
  config_.architecture = "fake";
  config_.layer_count = 1;
  config_.kv_head_count = 1;
  config_.head_dim = 8;
  config_.vocabulary_size = options.vocabulary_size;
  config_.context_length = options.context_length;
}

void FakeModel::expect(bool condition, const char* what) {
  if (!condition && complaint_.empty()) complaint_ = what;
}

/// The promises of model.h and of scheduler.h about a batch.
void FakeModel::check(const Batch& batch) {
  size_t row = 0;
  for (const SequenceRows& rows : batch.sequences) {
    expect(rows.row_begin == row, "rows with a gap");
    expect(rows.row_count > 0, "an entry without rows");
    row += rows.row_count;
    if (rows.row_begin < batch.prefill_row_count) {
      expect(rows.position % kPageTokens == 0, "a chunk that starts inside a page");
      expect(rows.row_count > 1, "a chunk of one row");
      expect(row <= batch.prefill_row_count, "an entry of both kinds");
    } else {
      expect(rows.row_count == 1, "a decode entry of several rows");
    }
  }
  expect(row == batch.tokens.size(), "tokens without a sequence");
  for (size_t i = 0; i < batch.logit_rows.size(); ++i) {
    expect(batch.logit_rows[i] >= 0 && static_cast<size_t>(batch.logit_rows[i]) < row,
           "a logit row outside the batch");
    expect(i == 0 || batch.logit_rows[i - 1] < batch.logit_rows[i], "logit rows out of order");
  }
}

void FakeModel::forward(const Batch& batch, KvCache& kv, std::span<float> logits) {
  if (before_forward) before_forward();
  check(batch);
  rows_computed += batch.tokens.size();
  rows_max = std::max(rows_max, batch.tokens.size());
  const KvLayer layer = kv.layer(0);
  const auto place = [&](const SequenceRows& rows, int32_t position) {
    const auto page = static_cast<size_t>(rows.pages[position / kPageTokens]);
    expect(page < static_cast<size_t>(kv.page_count()), "a page outside the cache");
    return layer.data + page * layer.layout.page_bytes() +
           static_cast<size_t>(position % kPageTokens) * sizeof(Record);
  };
  // As a layer does: all keys and values of the batch are written before any row attends.
  for (const SequenceRows& rows : batch.sequences) {
    for (size_t i = 0; i < rows.row_count; ++i) {
      const int32_t position = rows.position + static_cast<int32_t>(i);
      const Record record{batch.tokens[rows.row_begin + i], position, rows.row_count == 1 ? 1 : 0};
      std::memcpy(place(rows, position), &record, sizeof(record));
    }
  }
  size_t next = 0;
  for (const SequenceRows& rows : batch.sequences) {
    for (; next < batch.logit_rows.size(); ++next) {
      const auto row = static_cast<size_t>(batch.logit_rows[next]);
      if (row >= rows.row_begin + rows.row_count) break;
      const int32_t position = rows.position + static_cast<int32_t>(row - rows.row_begin);
      uint64_t hash = 1;
      Record record;
      for (int32_t p = 0; p <= position; ++p) {
        std::memcpy(&record, place(rows, p), sizeof(record));
        expect(record.position == p, "a page that holds other positions");
        hash = mix(mix(hash, static_cast<uint64_t>(record.token)),
                   static_cast<uint64_t>(record.position));
        if (options_.tells_kinds_apart) hash = mix(hash, static_cast<uint64_t>(record.kind));
      }
      const size_t size = static_cast<size_t>(options_.vocabulary_size);
      for (size_t token = 0; token < size; ++token) {
        const auto bits = static_cast<double>(mix(hash, token) >> 40);
        logits[next * size + token] = static_cast<float>(bits / (1 << 24) * 8 - 4);
        if (record.token == nan_token)
          logits[next * size + token] = std::numeric_limits<float>::quiet_NaN();
      }
    }
  }
  expect(next == batch.logit_rows.size(), "a logit row of no sequence");
}

}  // namespace squish::testing
