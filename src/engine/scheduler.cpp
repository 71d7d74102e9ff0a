#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace squish {
namespace {

/// Answer tokens for which an admitted sequence is promised pages. More would let fewer sequences
/// run than fit.
constexpr int32_t kAnswerTokensPromised = 256;

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options),
      pool_(options.page_count),
      prompt_cache_(pool_, options.prefix_cache ? options.prompt_cache_entries : 0),
      draft_policy_(options.speculation_adapts) {
  SQ_CHECK(options.batch_tokens_max >= kChunkTokens);
  SQ_CHECK(options.batch_tokens_mixed >= kChunkTokens &&
           options.batch_tokens_mixed <= options.batch_tokens_max);
  SQ_CHECK(options.sequences_max > 0);
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  SQ_CHECK(page_count_of(sequence->prompt_count + std::max(sequence->answer_count_max, 1) - 1) <=
           pool_.page_count());
  insert_by_arrival(waiting_, std::move(sequence));
}

const Step& Scheduler::schedule() {
  outcomes_.clear();
  drop_cancelled();
  admit_waiting();
  plan_rows();
  build_step();
  return step_;
}

void Scheduler::insert_by_arrival(std::vector<Owned>& list, Owned sequence) {
  const auto place = std::ranges::upper_bound(list, sequence->arrival, {},
                                              [](const Owned& s) { return s->arrival; });
  list.insert(place, std::move(sequence));
}

void Scheduler::drop_cancelled() {
  const auto drop = [this](std::vector<Owned>& list) {
    for (const Owned& sequence : list) {
      if (sequence->state->cancelled.load(std::memory_order_relaxed)) {
        finish(*sequence, FinishReason::cancelled, std::nullopt);
      }
    }
    remove_finished(list);
  };
  drop(running_);
  drop(waiting_);
}

// --- admission

void Scheduler::admit_waiting() {
  while (!waiting_.empty() && running_.size() < static_cast<size_t>(options_.sequences_max)) {
    const auto index = static_cast<ptrdiff_t>(next_waiting());
    Owned& next = waiting_[static_cast<size_t>(index)];
    int32_t available = pool_.available_count();
    for (const Owned& sequence : running_) available -= pages_missing(*sequence);
    // With nothing running it always fits: the pool holds the longest sequence.
    if (!running_.empty() && available < pages_missing(*next)) return;
    leave_queue(*next);
    const bool wants_prompt = next->embedding || next->prompt_logprobs;
    if (!wants_prompt && next->answer_count() >= next->answer_count_max) {
      finish(*next, FinishReason::length, std::nullopt);  // max_tokens is 0
    } else {
      insert_by_arrival(running_, std::move(next));
    }
    waiting_.erase(waiting_.begin() + index);
  }
}

/// Index of the request whose client has the fewest running sequences; of those, the oldest.
size_t Scheduler::next_waiting() const {
  const auto running_of = [this](const std::string& client) {
    return std::ranges::count_if(running_,
                                 [&](const Owned& sequence) { return sequence->client == client; });
  };
  size_t best = 0;
  auto best_count = running_of(waiting_[0]->client);
  for (size_t i = 1; i < waiting_.size() && best_count > 0; ++i) {
    const auto count = running_of(waiting_[i]->client);
    if (count >= best_count) continue;
    best = i;
    best_count = count;
  }
  return best;
}

/// Pages that `sequence` will want from the pool for what it has and the next part of its answer.
int32_t Scheduler::pages_missing(const Sequence& sequence) const {
  const int32_t answer_left = sequence.answer_count_max - sequence.answer_count();
  const int32_t positions =
      sequence.token_count() + std::max(1, std::min(answer_left, kAnswerTokensPromised)) - 1;
  auto held = static_cast<int32_t>(sequence.pages.size());
  if (sequence.computed % kPageTokens != 0 && !pool_.is_writable(sequence.pages.back())) --held;
  return std::max(0, page_count_of(positions) - held - shared_page_count(sequence));
}

/// Pages that others are using and that `sequence` would share. Kept ones do not count: they are
/// available to anybody.
int32_t Scheduler::shared_page_count(const Sequence& sequence) const {
  if (!options_.prefix_cache || !sequence.shares_pages() || !sequence.pages.empty()) return 0;
  int32_t count = 0;
  const auto complete = static_cast<size_t>(sequence.prompt_count / kPageTokens);
  for (size_t i = 0; i < complete; ++i) {
    const auto page = pool_.find(sequence.page_keys[i], sequence.page_tokens(i));
    if (!page.has_value()) break;
    if (pool_.reference_count(*page) > 0) ++count;
  }
  return count;
}

void Scheduler::leave_queue(Sequence& sequence) {
  if (!sequence.has_left_queue) ++departed_count_;
  sequence.has_left_queue = true;
}

// --- the step

void Scheduler::build_step() {
  Batch& batch = step_.batch;
  batch.tokens.clear();
  batch.sequences.clear();
  batch.logit_rows.clear();
  batch.is_head_of_answers = true;
  batch.hidden_rows.clear();
  batch.types.clear();
  step_.samples.clear();
  step_.states.clear();
  step_.scores.clear();
  for (const Plan& plan : plans_) {
    const int32_t end = std::min(plan.end, plan.sequence->prefill_end);
    if (end <= plan.sequence->computed) continue;
    add_rows(*plan.sequence, plan.sequence->computed, end);
    if (end == plan.end) add_sample(plan);
  }
  batch.prefill_row_count = batch.tokens.size();
  for (const Plan& plan : plans_) {
    const int32_t begin = std::max(plan.sequence->computed, plan.sequence->prefill_end);
    for (int32_t position = begin; position < plan.end; ++position)
      add_rows(*plan.sequence, position, position + 1);
    if (begin < plan.end || !plan.cached_logits.empty()) add_sample(plan);
  }
  const size_t size = batch.hidden_rows.size() * options_.hidden_length;
  if (hidden_.size() < size) hidden_.resize(size);
  batch.hidden = std::span(hidden_).first(size);
}

/// Rows for positions [begin, end), as one entry of the batch.
void Scheduler::add_rows(Sequence& sequence, int32_t begin, int32_t end) {
  Batch& batch = step_.batch;
  batch.sequences.push_back({.pages = sequence.pages.data(),
                             .position = begin,
                             .row_begin = batch.tokens.size(),
                             .row_count = static_cast<size_t>(end - begin)});
  batch.tokens.insert(batch.tokens.end(), sequence.tokens.begin() + begin,
                      sequence.tokens.begin() + end);
  if (sequence.embedding) add_states(sequence, begin, end);
  if (sequence.prompt_logprobs) add_scores(sequence, begin, end);
}

/// Asks for the states of the rows added last that the embedding is made of.
void Scheduler::add_states(Sequence& sequence, int32_t begin, int32_t end) {
  Batch& batch = step_.batch;
  const EmbeddingWish& wish = *sequence.embedding;
  if (wish.second_begin > 0) {
    batch.types.resize(batch.tokens.size(), 0);
    for (int32_t p = std::max(begin, wish.second_begin); p < end; ++p)
      batch.types[batch.tokens.size() - static_cast<size_t>(end - p)] = 1;
  } else if (!batch.types.empty()) {
    batch.types.resize(batch.tokens.size(), 0);
  }
  int32_t first = begin;
  int32_t last = end;
  if (wish.pooling == Pooling::cls) last = std::min(end, 1);
  if (wish.pooling == Pooling::last) first = std::max(begin, sequence.prompt_count - 1);
  if (first >= last) return;
  step_.states.push_back({&sequence, batch.hidden_rows.size(), static_cast<size_t>(last - first)});
  const auto row_end = static_cast<int32_t>(batch.tokens.size());
  for (int32_t p = first; p < last; ++p) batch.hidden_rows.push_back(row_end - (end - p));
}

/// If the plan reaches the last token, the sequence gets a token from the row added last, or from
/// the cached logits; with a draft, from the row before it and those of the draft.
void Scheduler::add_sample(const Plan& plan) {
  const Sequence& sequence = *plan.sequence;
  if (plan.end < sequence.token_count() || sequence.embedding) return;
  if (sequence.answer_count() >= sequence.answer_count_max) return;  // only the prompt is wanted
  Batch& batch = step_.batch;
  const int32_t draft_count = plan.sequence->draft_count;
  step_.samples.push_back({plan.sequence, batch.logit_rows.size(), plan.cached_logits,
                           static_cast<size_t>(draft_count)});
  if (!plan.cached_logits.empty()) return;
  const auto row_count = static_cast<int32_t>(batch.tokens.size());
  for (int32_t row = row_count - 1 - draft_count; row < row_count; ++row)
    batch.logit_rows.push_back(row);
}

// --- commit

std::span<Outcome> Scheduler::commit(const Step& step, std::span<Result<Sample>> samples,
                                     std::span<const float> logits) {
  SQ_CHECK(samples.size() >= step.samples.size());
  for (const Plan& plan : plans_) {
    plan.sequence->computed = plan.end - plan.sequence->draft_count;
    tell_scores(*plan.sequence);
    register_pages(*plan.sequence);
  }
  const size_t row_count = step.batch.logit_rows.size();
  const size_t vocabulary_size = row_count == 0 ? 0 : logits.size() / row_count;
  size_t taken = 0;
  for (const StepSample& entry : step.samples) {
    Sequence& sequence = *entry.sequence;
    if (options_.prefix_cache && sequence.answer_count() == 0 && entry.cached_logits.empty()) {
      const auto tail = sequence.prompt_tail();
      prompt_cache_.insert(sequence.prompt_key, tail, tail.empty() ? -1 : sequence.pages.back(),
                           logits.subspan(entry.logit_row * vocabulary_size, vocabulary_size));
    }
    taken += append_all(entry, samples.subspan(taken));
  }
  SQ_CHECK(taken == samples.size());
  for (const StepStates& states : step.states) pool_states(states);
  finish_embeddings();
  finish_scored();
  plans_.clear();
  remove_finished(running_);
  return outcomes_;
}

/// In the order of positions, in double: the same sum in whatever chunks it comes.
void Scheduler::pool_states(const StepStates& states) {
  const size_t length = options_.hidden_length;
  std::vector<double>& pooled = states.sequence->pooled;
  pooled.resize(length, 0.0);
  for (size_t row = states.begin; row < states.begin + states.count; ++row) {
    for (size_t i = 0; i < length; ++i)
      pooled[i] += static_cast<double>(step_.batch.hidden[row * length + i]);
  }
}

void Scheduler::finish_embeddings() {
  for (const Plan& plan : plans_) {
    Sequence& sequence = *plan.sequence;
    if (!sequence.embedding || sequence.computed < sequence.prompt_count) continue;
    const double count = sequence.embedding->pooling == Pooling::mean
                             ? static_cast<double>(sequence.prompt_count)
                             : 1.0;
    std::vector<float>& out = sequence.state->embedding;
    out.clear();
    out.reserve(sequence.pooled.size());
    for (const double sum : sequence.pooled) out.push_back(static_cast<float>(sum / count));
    finish(sequence, FinishReason::stop, std::nullopt);
  }
}

bool StepSample::goes_on(size_t index, const Result<Sample>& sample) const {
  if (index >= draft_count || !sample || sequence->is_end_token(sample->token)) return false;
  return sample->token == sequence->tokens[sequence->tokens.size() - draft_count + index];
}

/// Appends what the rows of one sequence gave; returns how many samples that were.
size_t Scheduler::append_all(const StepSample& entry, std::span<Result<Sample>> samples) {
  Sequence& sequence = *entry.sequence;
  size_t count = 1;
  while (entry.goes_on(count - 1, samples[count - 1])) ++count;
  sequence.drop_draft();
  sequence.drafted_total += static_cast<int32_t>(entry.draft_count);
  sequence.accepted_total += static_cast<int32_t>(count) - 1;
  for (size_t i = 0; i < count && !sequence.is_finished; ++i) {
    if (i > 0) ++sequence.computed;  // the guess before it was right: its keys and values stay
    append(sequence, samples[i], i + 1 == count);
  }
  if (entry.draft_count > 0) settle_draft(sequence, entry.draft_count, count - 1);
  return count;
}

/// Tokens without an alternative come after the last sample only: before it they are samples, too.
void Scheduler::append(Sequence& sequence, Result<Sample>& sample, bool is_last) {
  if (!sample) {
    finish(sequence, FinishReason::error, sample.error());
    return;
  }
  if (sequence.is_end_token(sample->token)) {
    finish(sequence, FinishReason::stop, std::nullopt);
    if (!sequence.sampling.logprobs) return;
    TokenEvent& end = outcomes_.back().event;
    end.token = sample->token;
    end.logprob = sample->logprob;
    end.top = std::move(sample->top);
    return;
  }
  if (sequence.answer_count() == 0) sequence.first_token = Clock::now();
  add_token(sequence, {.token = sample->token,
                       .logprob = sample->logprob,
                       .top = std::move(sample->top),
                       .finish = {},
                       .error = {}});
  if (sequence.constraint != nullptr && is_last) follow_constraint(sequence);
}

/// The next token of the answer; the last one ends it.
void Scheduler::add_token(Sequence& sequence, TokenEvent event) {
  const TokenId token = event.token;
  sequence.tokens.push_back(token);
  sequence.mask_is_current = false;
  outcomes_.push_back({sequence.state, std::move(event)});
  if (sequence.constraint != nullptr && !sequence.constraint->accept(token)) {
    finish(sequence, FinishReason::error,
           Error{ErrorCode::internal,
                 fmt::format("token {} was drawn though the constraint does not allow it", token)});
  } else if (sequence.answer_count() >= sequence.answer_count_max) {
    finish(sequence, FinishReason::length, std::nullopt);
  }
}

void Scheduler::finish(Sequence& sequence, FinishReason reason, std::optional<Error> error) {
  if (sequence.is_finished) return;
  sequence.is_finished = true;
  sequence.drop_draft();
  leave_queue(sequence);
  const auto milliseconds = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
  };
  const Clock::time_point now = Clock::now();
  const Clock::time_point started = sequence.was_started ? sequence.started : now;
  const Clock::time_point first = sequence.answer_count() > 0 ? sequence.first_token : now;
  sequence.state->stats = {.prompt_tokens = sequence.prompt_count,
                           .cached_tokens = sequence.cached_count,
                           .generated_tokens = sequence.answer_count(),
                           .drafted_tokens = sequence.drafted_total,
                           .accepted_tokens = sequence.accepted_total,
                           .preemptions = sequence.preemptions,
                           .queue_ms = milliseconds(sequence.submitted, started),
                           .prefill_ms = milliseconds(started, first),
                           .decode_ms = milliseconds(first, now)};
  outcomes_.push_back(
      {sequence.state,
       {.token = -1, .logprob = 0, .top = {}, .finish = reason, .error = std::move(error)}});
  if (reason != FinishReason::error) register_rest(sequence);  // of a failed step nothing is known
  release_pages(sequence);
}

void Scheduler::remove_finished(std::vector<Owned>& list) {
  std::erase_if(list, [](const Owned& sequence) { return sequence->is_finished; });
}

std::span<Outcome> Scheduler::finish_all(FinishReason reason, const std::optional<Error>& error) {
  plans_.clear();
  for (std::vector<Owned>* list : {&running_, &waiting_}) {
    for (const Owned& sequence : *list) finish(*sequence, reason, error);
    list->clear();
  }
  return outcomes_;
}

bool Scheduler::is_consistent() const {
  if (!pool_.is_consistent()) return false;
  std::vector<int32_t> references(static_cast<size_t>(pool_.page_count()));
  for (const Owned& sequence : running_) {
    if (static_cast<int32_t>(sequence->pages.size()) != page_count_of(sequence->computed))
      return false;
    for (const int32_t page : sequence->pages) ++references[static_cast<size_t>(page)];
  }
  if (!std::ranges::all_of(waiting_, [](const Owned& sequence) { return sequence->pages.empty(); }))
    return false;
  for (int32_t page = 0; page < pool_.page_count(); ++page) {
    if (pool_.reference_count(page) != references[static_cast<size_t>(page)]) return false;
  }
  return true;
}

}  // namespace squish
