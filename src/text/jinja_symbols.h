#pragma once
// The names of one scope while jinja_scope.cpp decides what they mean.
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "text/jinja_ast.h"

namespace squish::jinja {

inline Error error_at(int line, std::string_view what) {
  return {ErrorCode::bad_file, fmt::format("line {}: {}", line, what)};
}

/// The names of one scope that have a slot, shared by all states of its analysis.
struct NameTable {
  std::vector<std::string> names;  // by slot
  std::unordered_map<std::string, uint32_t> slots;
};

/// Past this an if, which copies the state of all names, would be slow. The largest count in the
/// templates seen is 61.
inline constexpr size_t kNamesPerScopeMax = 2048;

/// What is known of the names of one scope at one point of its analysis.
class Symbols {
 public:
  Symbols(const Symbols* parent, Scope& scope) : parent_(parent), scope_(&scope) {}

  [[nodiscard]] std::optional<Reference> find(const std::string& name) const {
    uint32_t up = 0;
    for (const Symbols* level = this; level != nullptr; level = level->parent_, ++up) {
      if (const std::optional<uint32_t> slot = level->slot_of(name)) return Reference{up, *slot};
    }
    return std::nullopt;
  }

  uint32_t declare_parameter(const std::string& name) {
    const uint32_t slot = define(name, State(Scope::LoadKind::parameter));
    states_[slot].stored = true;
    return slot;
  }

  void store(const std::string& name) {
    std::optional<uint32_t> slot = slot_of(name);
    if (!slot) slot = define(name, outer_or(name, Scope::LoadKind::undefined));
    states_[*slot].stored = true;
  }

  void load(const std::string& name) {
    if (!find(name)) define(name, State(Scope::LoadKind::context));
  }

  /// Joins what the branches of an if have seen: a name that only some of them store starts as it
  /// was outside.
  void merge(std::initializer_list<const Symbols*> branches) {
    std::vector<bool> stored_before(table_->names.size());
    for (size_t slot = 0; slot < states_.size(); ++slot) stored_before[slot] = states_[slot].stored;
    states_.resize(table_->names.size());
    for (const Symbols* branch : branches) {
      for (size_t slot = 0; slot < branch->states_.size(); ++slot) {
        const State& seen = branch->states_[slot];
        if (!seen.known) continue;
        const bool stored = states_[slot].stored || seen.stored;
        states_[slot] = seen;
        states_[slot].stored = stored;
      }
    }
    for (size_t slot = 0; slot < states_.size(); ++slot) {
      if (!states_[slot].stored || stored_before[slot]) continue;
      State joined = outer_or(table_->names[slot], Scope::LoadKind::context);
      joined.known = true;
      joined.stored = true;
      states_[slot] = joined;
    }
  }

  /// Writes the result to the scope.
  [[nodiscard]] Status finish() const {
    if (too_many()) {
      return error_at(1, fmt::format("more than {} variables in one scope", kNamesPerScopeMax));
    }
    scope_->slot_count = static_cast<uint32_t>(table_->names.size());
    for (uint32_t slot = 0; slot < states_.size(); ++slot) {
      const State& state = states_[slot];
      if (state.kind != Scope::LoadKind::context && state.kind != Scope::LoadKind::alias) continue;
      Scope::Load load{.slot = slot, .kind = state.kind, .name = {}, .source = state.source};
      if (state.kind == Scope::LoadKind::context) load.name = table_->names[slot];
      scope_->loads.push_back(std::move(load));
    }
    return {};
  }

  void mark_captured() const {
    for (const Symbols* level = this; level != nullptr; level = level->parent_)
      level->scope_->captured = true;
  }
  [[nodiscard]] bool too_many() const { return table_->names.size() > kNamesPerScopeMax; }

 private:
  struct State {
    State() = default;
    explicit State(Scope::LoadKind load, Reference from = {}) : kind(load), source(from) {}
    Scope::LoadKind kind = Scope::LoadKind::undefined;
    bool known = false;
    bool stored = false;
    Reference source;
  };

  [[nodiscard]] std::optional<uint32_t> slot_of(const std::string& name) const {
    const auto found = table_->slots.find(name);
    if (found == table_->slots.end() || found->second >= states_.size()) return std::nullopt;
    if (!states_[found->second].known) return std::nullopt;
    return found->second;
  }

  [[nodiscard]] State outer_or(const std::string& name, Scope::LoadKind otherwise) const {
    if (parent_ != nullptr) {
      if (std::optional<Reference> outer = parent_->find(name)) {
        ++outer->up;
        return State(Scope::LoadKind::alias, *outer);
      }
    }
    return State(otherwise);
  }

  uint32_t define(const std::string& name, State state) {
    const auto [entry, added] =
        table_->slots.try_emplace(name, static_cast<uint32_t>(table_->names.size()));
    if (added) table_->names.push_back(name);
    const uint32_t slot = entry->second;
    if (slot >= states_.size()) states_.resize(slot + 1);
    state.known = true;
    state.stored = states_[slot].stored;
    states_[slot] = state;
    return slot;
  }

  const Symbols* parent_;
  Scope* scope_;
  std::shared_ptr<NameTable> table_ = std::make_shared<NameTable>();
  std::vector<State> states_;  // by slot
};

}  // namespace squish::jinja
