#include "engine/testing/fake_model.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace squish::testing {
namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15U;
  return hash ^ (hash >> 29);
}

float value_of(uint64_t hash, size_t index) {
  const auto bits = static_cast<double>(mix(hash, index) >> 40);
  return static_cast<float>(bits / (1 << 24) * 8 - 4);
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
  config_.hidden = kHidden;
  config_.name = "fake";
  config_.encoder.is_encoder = options.is_encoder;
  config_.encoder.has_score = options.is_encoder;
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
      expect(rows.row_count > 1 || options_.is_encoder, "a chunk of one row");
      expect(rows.position == 0 || !options_.is_encoder, "a part of an encoder's text");
      expect(row <= batch.prefill_row_count, "an entry of both kinds");
    } else {
      expect(rows.row_count == 1, "a decode entry of several rows");
    }
  }
  expect(row == batch.tokens.size(), "tokens without a sequence");
  expect(!options_.is_encoder || batch.prefill_row_count == row,
         "an encoder's text as single rows");
  expect(batch.hidden.size() == batch.hidden_rows.size() * kHidden, "no room for the states");
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
  /// A hash of what the row at `position` sees; `seen` gets the record it saw last.
  const auto look_back = [&](const SequenceRows& rows, int32_t position, Record& seen) {
    uint64_t hash = 1;
    const int32_t last = options_.is_encoder ? static_cast<int32_t>(rows.row_count) - 1 : position;
    for (int32_t p = 0; p <= last; ++p) {
      std::memcpy(&seen, place(rows, p), sizeof(seen));
      expect(seen.position == p, "a page that holds other positions");
      hash =
          mix(mix(hash, static_cast<uint64_t>(seen.token)), static_cast<uint64_t>(seen.position));
      if (options_.tells_kinds_apart) hash = mix(hash, static_cast<uint64_t>(seen.kind));
    }
    return options_.is_encoder ? mix(hash, static_cast<uint64_t>(position)) : hash;
  };
  size_t next = 0;
  size_t next_state = 0;
  for (const SequenceRows& rows : batch.sequences) {
    Record record;
    const auto end = static_cast<int32_t>(rows.row_begin + rows.row_count);
    const auto position_of = [&](int32_t row) {
      return rows.position + row - static_cast<int32_t>(rows.row_begin);
    };
    for (; next < batch.logit_rows.size() && batch.logit_rows[next] < end; ++next) {
      const uint64_t hash = look_back(rows, position_of(batch.logit_rows[next]), record);
      const size_t size = static_cast<size_t>(options_.vocabulary_size);
      for (size_t token = 0; token < size; ++token) {
        logits[next * size + token] = record.token == nan_token
                                          ? std::numeric_limits<float>::quiet_NaN()
                                          : value_of(hash, token);
      }
    }
    for (; next_state < batch.hidden_rows.size() && batch.hidden_rows[next_state] < end;
         ++next_state) {
      const int32_t row = batch.hidden_rows[next_state];
      uint64_t hash = look_back(rows, position_of(row), record);
      if (!batch.types.empty())
        hash = mix(hash, static_cast<uint64_t>(batch.types[static_cast<size_t>(row)]));
      std::array<float, kHidden> state{};
      for (size_t i = 0; i < kHidden; ++i) state[i] = value_of(hash, i);
      std::ranges::copy(state, batch.hidden.begin() + static_cast<ptrdiff_t>(next_state * kHidden));
      states_[state] = hash;
    }
  }
  expect(next_state == batch.hidden_rows.size(), "a state row of no sequence");
  expect(next == batch.logit_rows.size(), "a logit row of no sequence");
}

void FakeModel::logits_of(std::span<const float> hidden, size_t row_count,
                          std::span<float> logits) {
  const auto size = static_cast<size_t>(options_.vocabulary_size);
  expect(hidden.size() == row_count * kHidden, "states of another size");
  expect(logits.size() == row_count * size, "no room for the logits");
  logit_rows_max = std::max(logit_rows_max, row_count);
  for (size_t row = 0; row < row_count; ++row) {
    std::array<float, kHidden> state{};
    std::ranges::copy(hidden.subspan(row * kHidden, kHidden), state.begin());
    const auto found = states_.find(state);
    expect(found != states_.end(), "a state that was not given out");
    if (found == states_.end()) continue;
    for (size_t token = 0; token < size; ++token)
      logits[row * size + token] = value_of(found->second, token);
  }
}

float FakeModel::score(std::span<const float> hidden) { return hidden[0] + 2 * hidden[1]; }

}  // namespace squish::testing
