#include "server/item_pages.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/includes.h"
#include "server/json_writer.h"
#include "server/response_items.h"
#include "server/responses.h"

namespace squish::server {
namespace {

constexpr int64_t kPageMax = 100;
constexpr int64_t kPageDefault = 20;

constexpr std::array kPageFields = {
    Field{.name = "limit",
          .type = FieldType::integer,
          .help = "items at most; 20 unless given",
          .minimum = 1,
          .maximum = static_cast<double>(kPageMax)},
    Field{.name = "order",
          .type = FieldType::text,
          .help = "\"desc\", the newest first, unless \"asc\""},
    Field{.name = "after",
          .type = FieldType::text,
          .help = "the id behind which the page begins: last_id of the page before"},
    kIncludeField,
};

std::string json_of(const Value& items, bool has_more) {
  const std::vector<std::string> ids = ids_of(items);
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field("object", "list")
      .key("data")
      .raw(list_json(items))
      .field("first_id", ids.empty() ? "" : ids.front())
      .field("last_id", ids.empty() ? "" : ids.back())
      .field("has_more", has_more)
      .end_object();
  return out;
}

}  // namespace

std::span<const Field> page_fields() { return kPageFields; }

Parsed<std::string> whole_page_json(const HttpRequest& request, const Value& items) {
  const Parsed<Included> included = queried_includes(request);
  if (!included) return included.error();
  return json_of(with_included(items, *included), false);
}

Parsed<std::string> page_json(const HttpRequest& request, const Value& items) {
  const Parsed<Included> included = queried_includes(request);
  if (!included) return included.error();
  const auto limit = queried_integer(request, "limit", 1, kPageMax);
  if (!limit) return limit.error();
  const std::string order = request.query_value("order").value_or("");
  if (!order.empty() && order != "asc" && order != "desc")
    return bad_field(
        "order", fmt::format("order is {}; it must be \"asc\" or \"desc\"", printable(order, 60)));
  Value::List all = items.items();
  if (order != "asc") std::ranges::reverse(all);
  auto begin = all.begin();
  if (const std::string after = request.query_value("after").value_or(""); !after.empty()) {
    begin =
        std::ranges::find_if(all, [&](const Value& item) { return text_of(item, "id") == after; });
    if (begin == all.end())
      return bad_field("after", fmt::format("after is {}, which is no item of this list",
                                            printable(after, 100)));
    ++begin;
  }
  const auto count = std::min<int64_t>(all.end() - begin, limit->value_or(kPageDefault));
  const Value page = Value::list(Value::List(begin, begin + count));
  return json_of(with_included(page, *included), begin + count != all.end());
}

}  // namespace squish::server
