#include "evaluate/likelihood.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "evaluate/distribution.h"
#include "evaluate/sequence_reader.h"

namespace squish {
namespace {

constexpr size_t kRowsMin = 16;

/// Row `row` of a segment is asked how likely `target` is.
struct Want {
  size_t row = 0;
  size_t request = 0;  // of the batch
  TokenId target = 0;
};

/// Rows of one sequence that have to be computed: at least 2.
struct Segment {
  std::vector<int32_t> pages;
  size_t position = 0;  // of its first row
  std::vector<TokenId> tokens;
  std::vector<Want> wants;  // rows ascending
};

size_t page_count_of(size_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

/// How many tokens all requests begin with, not counting the last of each, which is never read. 0
/// rather than 1: a sequence needs two rows.
size_t shared_length(std::span<const TokenRequest> requests) {
  if (requests.size() < 2) return 0;
  const std::vector<TokenId>& first = requests[0].tokens;
  size_t shared = first.size() - 1;
  for (const TokenRequest& request : requests.subspan(1)) {
    const size_t count = std::min(shared, request.tokens.size() - 1);
    const auto end = first.begin() + static_cast<ptrdiff_t>(count);
    shared = static_cast<size_t>(std::mismatch(first.begin(), end, request.tokens.begin()).first -
                                 first.begin());
  }
  return shared < 2 ? 0 : shared;
}

/// Puts rows of many segments through the model together.
class RowPacker {
 public:
  RowPacker(Model& model, KvCache& cache, const LikelihoodOptions& options, size_t logit_rows_max,
            std::vector<Likelihood>& results)
      : model_(model),
        cache_(cache),
        options_(options),
        logit_rows_max_(logit_rows_max),
        vocabulary_(static_cast<size_t>(model.config().vocabulary_size)),
        results_(results) {}

  Status run(std::span<const Segment> segments) {
    for (const Segment& segment : segments) {
      size_t row = 0;
      while (row < segment.tokens.size()) {
        const size_t left = segment.tokens.size() - row;
        size_t count = room_for(segment, row);
        if (count < left) {
          if (!batch_.tokens.empty()) {
            SQ_TRY_STATUS(flush());
            continue;
          }
          if (left - count == 1) --count;  // no single row remains
        }
        take(segment, row, count);
        row += count;
      }
    }
    return flush();
  }

 private:
  struct Asked {
    size_t logit_row = 0;
    size_t request = 0;
    TokenId target = 0;
  };

  /// Rows of the segment from `row` on that still fit.
  [[nodiscard]] size_t room_for(const Segment& segment, size_t row) const {
    const size_t rows =
        std::min(options_.rows_at_once - batch_.tokens.size(), segment.tokens.size() - row);
    size_t logit_rows = batch_.logit_rows.size();
    size_t last_row = SIZE_MAX;
    for (const Want& want : segment.wants) {
      if (want.row < row || want.row == last_row) continue;
      if (want.row >= row + rows) break;
      if (logit_rows == logit_rows_max_) return want.row - row;
      last_row = want.row;
      ++logit_rows;
    }
    return rows;
  }

  void take(const Segment& segment, size_t row, size_t count) {
    const size_t row_begin = batch_.tokens.size();
    const auto begin = segment.tokens.begin() + static_cast<ptrdiff_t>(row);
    batch_.tokens.insert(batch_.tokens.end(), begin, begin + static_cast<ptrdiff_t>(count));
    batch_.sequences.push_back(
        {segment.pages.data(), static_cast<int32_t>(segment.position + row), row_begin, count});
    for (const Want& want : segment.wants) {
      if (want.row < row || want.row >= row + count) continue;
      const auto batch_row = static_cast<int32_t>(row_begin + want.row - row);
      if (batch_.logit_rows.empty() || batch_.logit_rows.back() != batch_row)
        batch_.logit_rows.push_back(batch_row);
      asked_.push_back({batch_.logit_rows.size() - 1, want.request, want.target});
    }
  }

  Status flush() {
    if (batch_.tokens.empty()) return {};
    batch_.prefill_row_count = batch_.tokens.size();
    const size_t count = batch_.logit_rows.size();
    logits_.resize(count * vocabulary_);
    model_.forward(batch_, cache_, logits_);
    rows_.resize(count);
    const auto work = [&](size_t begin, size_t end, int /*thread*/) {
      for (size_t i = begin; i < end; ++i) rows_[i] = distribution_of(logits_of(i));
    };
    if (options_.pool != nullptr) {
      options_.pool->parallel_for(count, 1, work);
    } else {
      work(0, count, 0);
    }
    for (const Asked& asked : asked_) {
      const Distribution& row = rows_[asked.logit_row];
      if (!row.is_valid()) {
        return Error{ErrorCode::bad_file,
                     "the model computes what is no number: its weights are damaged"};
      }
      Likelihood& result = results_[asked.request];
      const float logit = logits_of(asked.logit_row)[static_cast<size_t>(asked.target)];
      result.log_likelihood += static_cast<double>(logit) - row.log_sum;
      result.is_greedy = result.is_greedy && row.best == asked.target;
    }
    batch_ = Batch();
    asked_.clear();
    return {};
  }

  [[nodiscard]] std::span<const float> logits_of(size_t row) const {
    return std::span(logits_).subspan(row * vocabulary_, vocabulary_);
  }

  Model& model_;
  KvCache& cache_;
  const LikelihoodOptions& options_;
  size_t logit_rows_max_;
  size_t vocabulary_;
  std::vector<Likelihood>& results_;
  Batch batch_;
  std::vector<Asked> asked_;
  std::vector<float> logits_;
  std::vector<Distribution> rows_;
};

/// The segments of some groups, in a cache whose pages are handed out from 0 on.
struct Layout {
  std::vector<Segment> shared;
  std::vector<Segment> branches;
  std::vector<std::pair<int32_t, int32_t>> copies;  // pages, after the shared rows are there
  int32_t page_count = 0;
  size_t request_count = 0;

  void add_pages(std::vector<int32_t>& pages, size_t tokens) {
    while (pages.size() < page_count_of(tokens)) pages.push_back(page_count++);
  }

  void add(std::span<const TokenRequest> requests) {
    const size_t shared_count = shared_length(requests);
    Segment common;
    common.tokens.assign(requests[0].tokens.begin(),
                         requests[0].tokens.begin() + static_cast<ptrdiff_t>(shared_count));
    add_pages(common.pages, shared_count);
    for (const TokenRequest& request : requests) add_branch(request, common);
    if (shared_count == 0) return;
    std::ranges::stable_sort(common.wants, {}, &Want::row);
    shared.push_back(std::move(common));
  }

 private:
  void add_branch(const TokenRequest& request, Segment& common) {
    const std::vector<TokenId>& tokens = request.tokens;
    const size_t begin = common.tokens.size();
    const size_t index = request_count++;
    Segment branch;
    branch.position = begin;
    // Row p is asked about token p + 1.
    for (size_t p = tokens.size() - 1 - request.scored; p + 1 < tokens.size(); ++p) {
      if (p < begin) {
        common.wants.push_back({p, index, tokens[p + 1]});
      } else {
        branch.wants.push_back({p - begin, index, tokens[p + 1]});
      }
    }
    size_t row_count = tokens.size() - 1 - begin;
    if (row_count == 0) return;
    if (row_count == 1) ++row_count;  // the last token too, whose logits nobody wants
    branch.tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(begin),
                         tokens.begin() + static_cast<ptrdiff_t>(begin + row_count));
    const size_t whole_pages = begin / kPageTokens;
    branch.pages.assign(common.pages.begin(),
                        common.pages.begin() + static_cast<ptrdiff_t>(whole_pages));
    if (whole_pages < common.pages.size()) {
      copies.emplace_back(common.pages.back(), page_count);
      branch.pages.push_back(page_count++);
    }
    add_pages(branch.pages, begin + row_count);
    branches.push_back(std::move(branch));
  }
};

/// Pages that a group takes at most.
size_t page_bound(std::span<const TokenRequest> requests) {
  size_t count = page_count_of(requests[0].tokens.size());
  for (const TokenRequest& request : requests) count += page_count_of(request.tokens.size());
  return count;
}

Status check_groups(const Model& model, std::span<const std::vector<TokenRequest>> groups) {
  const auto vocabulary = static_cast<size_t>(model.config().vocabulary_size);
  for (size_t group = 0; group < groups.size(); ++group) {
    for (const TokenRequest& request : groups[group]) {
      if (request.scored == 0 || request.scored >= request.tokens.size()) {
        return Error{ErrorCode::invalid_argument,
                     fmt::format("request {}: {} of {} tokens cannot be scored; at least one must "
                                 "stand before them",
                                 group, request.scored, request.tokens.size())};
      }
      for (const TokenId token : request.tokens) {
        if (token >= 0 && static_cast<size_t>(token) < vocabulary) continue;
        return Error{ErrorCode::invalid_argument,
                     fmt::format("request {}: token {} is outside the vocabulary of {}", group,
                                 token, vocabulary)};
      }
    }
  }
  return {};
}

class GroupScorer {
 public:
  GroupScorer(Model& model, const LikelihoodOptions& options) : model_(model), options_(options) {
    const uint64_t row_bytes =
        static_cast<uint64_t>(model.config().vocabulary_size) * sizeof(float);
    logit_rows_max_ =
        std::clamp<size_t>(options.logit_bytes_max / row_bytes, kRowsMin, options.rows_at_once);
  }

  /// How many groups from the start of `groups` go through together: at least one.
  Result<size_t> count_together(std::span<const std::vector<TokenRequest>> groups) {
    if (!cache_) {
      SQ_TRY(cache_, make_kv_cache(model_, 1));
      const size_t page_bytes = std::max<size_t>(1, cache_->page_bytes());
      pages_max_ = std::clamp<size_t>(options_.kv_bytes_max / page_bytes, 1, 1 << 20);
    }
    size_t count = 0;
    size_t rows = 0;
    size_t pages = 0;
    for (; count < groups.size(); ++count) {
      if (groups[count].empty()) continue;
      const size_t more = page_bound(groups[count]);
      if (pages > 0 && (pages + more > pages_max_ || rows >= options_.rows_at_once)) break;
      pages += more;
      rows += groups[count][0].tokens.size();
    }
    const size_t wanted = std::max(pages, pages_max_);
    if (static_cast<size_t>(cache_->page_count()) < wanted) {
      cache_.reset();
      SQ_TRY(cache_, make_kv_cache(model_, wanted));
    }
    return count;
  }

  Result<std::vector<Likelihood>> score(std::span<const std::vector<TokenRequest>> groups) {
    Layout layout;
    for (const std::vector<TokenRequest>& group : groups) {
      if (!group.empty()) layout.add(group);
    }
    std::vector<Likelihood> results(layout.request_count);
    RowPacker packer(model_, *cache_, options_, logit_rows_max_, results);
    SQ_TRY_STATUS(packer.run(layout.shared));
    for (const auto& [from, to] : layout.copies) cache_->copy_page(from, to);
    SQ_TRY_STATUS(packer.run(layout.branches));
    return results;
  }

 private:
  Model& model_;
  const LikelihoodOptions& options_;
  size_t logit_rows_max_ = 0;
  size_t pages_max_ = 0;
  std::optional<KvCache> cache_;
};

}  // namespace

Status score_groups(
    Model& model, std::span<const std::vector<TokenRequest>> groups,
    const LikelihoodOptions& options,
    const std::function<bool(size_t group, std::span<const Likelihood> results)>& on_group) {
  SQ_CHECK(options.rows_at_once >= kRowsMin);
  SQ_TRY_STATUS(check_groups(model, groups));
  GroupScorer scorer(model, options);
  for (size_t begin = 0; begin < groups.size();) {
    SQ_TRY(const size_t count, scorer.count_together(groups.subspan(begin)));
    const auto part = groups.subspan(begin, count);
    SQ_TRY(const std::vector<Likelihood> results, scorer.score(part));
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t size = part[i].size();
      if (!on_group(begin + i, std::span(results).subspan(at, size))) return {};
      at += size;
    }
    begin += count;
  }
  return {};
}

}  // namespace squish
