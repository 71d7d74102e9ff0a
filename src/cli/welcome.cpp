#include "cli/welcome.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "cli/revision.h"
#include "engine/engine_options.h"
#include "hub/catalog.h"

namespace squish::cli {
namespace {

/// The largest chat model of the catalogue whose file takes at most this share of memory: room for
/// the KV cache and for everything else that runs here.
constexpr double kMemoryShare = 0.4;

const hub::CatalogEntry* suggestion(uint64_t memory_bytes) {
  const hub::CatalogEntry* best = nullptr;
  for (const hub::CatalogEntry& entry : hub::Catalog::builtin().entries()) {
    if (!entry.chat ||
        static_cast<double>(entry.bytes) > kMemoryShare * static_cast<double>(memory_bytes))
      continue;
    if (best == nullptr || entry.bytes > best->bytes) best = &entry;
  }
  return best;
}

}  // namespace

std::string welcome(Context& context) {
  const Terminal& terminal = context.terminal;
  std::string out = fmt::format("{} {}: run language models on your own machine\n\n",
                                terminal.gradient("squish"), kVersion);
  size_t count = 0;
  if (const auto store = context.store()) count = store.value().list().models.size();
  if (count == 0) {
    out += "No model is on this machine yet.\n\n";
  } else {
    out += fmt::format("{} model{} on this machine.\n\n", count, count == 1 ? "" : "s");
  }
  const auto row = [&](const std::string& command, const std::string& text) {
    out += fmt::format("  {}{}\n", terminal.paint(Role::accent, fit(command, 32)), text);
  };
  row("squish run", count == 0 ? fmt::format("get {} and chat", hub::kDefaultModel)
                               : "chat, or answer: squish run MODEL \"prompt\"");
  const uint64_t memory = machine_memory_bytes();
  if (const hub::CatalogEntry* entry = suggestion(memory)) {
    row(fmt::format("squish run {}", entry->id),
        fmt::format("{} ({}), fits the {} of memory here", entry->name, human_bytes(entry->bytes),
                    human_bytes(memory)));
  }
  row("squish models", "what is here");
  row("squish catalog", "what can be pulled by name");
  row("squish --help", "all verbs and flags");
  return out;
}

}  // namespace squish::cli
