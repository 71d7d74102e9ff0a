// squish catalog, search
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/verb_rows.h"
#include "hub/catalog.h"
#include "hub/store.h"

namespace squish::cli {
namespace {

Value texts(const std::vector<std::string>& all) {
  Value::List items;
  items.reserve(all.size());
  for (const std::string& text : all) items.push_back(json_text(text));
  return Value::list(std::move(items));
}

Value to_json_value(const hub::CatalogEntry& entry, bool is_local) {
  std::vector<std::string> sources;
  sources.reserve(entry.sources.size());
  for (const hub::CatalogSource& source : entry.sources) sources.push_back(source.reference);
  return Value::dict({{"id", json_text(entry.id)},
                      {"name", json_text(entry.name)},
                      {"params", json_text(entry.params)},
                      {"context", json_count(entry.context)},
                      {"bytes", json_count(entry.bytes)},
                      {"license", json_text(entry.license)},
                      {"chat", entry.chat},
                      {"aliases", texts(entry.aliases)},
                      {"tags", texts(entry.tags)},
                      {"sources", texts(sources)},
                      {"local", is_local}});
}

bool matches(const hub::CatalogEntry& entry, const std::string& needle) {
  const auto has = [&](std::string_view text) {
    return to_lower(text).find(needle) != std::string::npos;
  };
  return has(entry.id) || has(entry.name) || has(entry.params) ||
         std::ranges::any_of(entry.tags, has) || std::ranges::any_of(entry.aliases, has);
}

Result<int> print_entries(Context& context, const Arguments& arguments,
                          const std::vector<const hub::CatalogEntry*>& entries) {
  if (arguments.has("--json"))
    SQ_TRY_STATUS(arguments.refuse({"--ids"}, "and --json exclude each other"));
  if (arguments.has("--ids")) {
    for (const hub::CatalogEntry* entry : entries) print(entry->id + "\n");
    return 0;
  }
  SQ_TRY(const hub::Store store, context.store());
  std::vector<std::string> local;
  for (const hub::LocalModel& model : store.list().models) local.push_back(model.id);
  const auto is_local = [&](const hub::CatalogEntry& entry) {
    return std::ranges::find(local, entry.id) != local.end();
  };
  if (arguments.has("--json")) {
    Value::List items;
    for (const hub::CatalogEntry* entry : entries)
      items.push_back(to_json_value(*entry, is_local(*entry)));
    print_json(Value::list(std::move(items)));
    return 0;
  }
  Table table({"Model", ">Params", ">Size", ">Context", "Here", "Licence", "Tags"});
  for (const hub::CatalogEntry* entry : entries) {
    std::vector<std::string> tags = entry->tags;
    if (!entry->chat) tags.emplace_back("base model");
    table.add({entry->id, entry->params, human_bytes(entry->bytes),
               fmt::format("{}", entry->context), is_local(*entry) ? "✓" : "", entry->license,
               fmt::format("{}", fmt::join(tags, ", "))});
  }
  print(table.text(context.terminal));
  return 0;
}

Result<int> list_catalog(Context& context, const Arguments& arguments) {
  std::vector<const hub::CatalogEntry*> entries;
  const auto tag = arguments.text("--tag");
  for (const hub::CatalogEntry& entry : hub::Catalog::builtin().entries()) {
    if (!tag || std::ranges::find(entry.tags, to_lower(*tag)) != entry.tags.end())
      entries.push_back(&entry);
  }
  if (entries.empty() && tag) {
    return Error{ErrorCode::not_found,
                 fmt::format("catalog: no model has the tag '{}'; `squish catalog` shows all tags",
                             printable(*tag))};
  }
  return print_entries(context, arguments, entries);
}

Result<int> search(Context& context, const Arguments& arguments) {
  const std::string needle =
      to_lower(trim(fmt::format("{}", fmt::join(arguments.all("TEXT"), " "))));
  std::vector<const hub::CatalogEntry*> entries;
  for (const hub::CatalogEntry& entry : hub::Catalog::builtin().entries()) {
    if (matches(entry, needle)) entries.push_back(&entry);
  }
  if (entries.empty() && !arguments.has("--json") && !arguments.has("--ids")) {
    talk(fmt::format(
        "nothing in the catalogue has '{}'; `squish pull hf:org/repo` gets any model of the hub\n",
        printable(needle)));
    return 0;
  }
  return print_entries(context, arguments, entries);
}

std::vector<OptionRow> list_options() {
  return {{.flag = "--json", .help = "a JSON list"},
          {.flag = "--ids", .help = "one name per line, for scripts"}};
}

}  // namespace

Verb make_catalog_verb() {
  Verb verb{
      .name = "catalog",
      .summary = "List the models that can be pulled by a short name",
      .details = {},
      .arguments = {},
      .options = list_options(),
      .groups = {},
      .run = list_catalog,
  };
  verb.options.push_back({.flag = "--tag", .value = "TAG", .help = "only those with this tag"});
  return verb;
}

Verb make_search_verb() {
  return {
      .name = "search",
      .summary = "Search the catalogue",
      .details = {},
      .arguments = {{.name = "TEXT",
                     .required = true,
                     .many = true,
                     .help = "part of a name, a tag or a size"}},
      .options = list_options(),
      .groups = {},
      .run = search,
  };
}

}  // namespace squish::cli
