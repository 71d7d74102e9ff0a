// OpenAI's /v1/conversations: items that responses read and add to. They lie with the responses.
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "server/json_writer.h"
#include "server/random_id.h"
#include "server/response_store.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr std::array kCreateFields = {
    Field{.name = "items",
          .type = FieldType::array,
          .help = "what stands at its beginning, as items of /v1/responses"},
    Field{.name = "metadata", .type = FieldType::object, .help = "kept and given back"},
};
constexpr std::array kItemFields = {
    Field{.name = "items", .type = FieldType::array, .required = true, .help = "what is added"},
};

ApiError conversation_error(const Error& error, const std::string& id) {
  ApiError out = to_api_error(error);
  if (error.code != ErrorCode::not_found) return out;
  out.message = fmt::format("there is no conversation {}", printable(id, 100));
  out.code = "conversation_not_found";
  return out;
}

/// The items of the body with ids. Errors: 400.
Parsed<Value> read_items(const Value& body, bool is_needed) {
  Value out = Value::list();
  const Value* items = find_present(body, "items");
  if (items == nullptr && !is_needed) return out;
  if (items == nullptr || !items->is_list())
    return bad_field("items", "items must be a list of items");
  if (items->size() > limits::kMessagesMax)
    return bad_field("items", fmt::format("items has {} entries, the limit is {}", items->size(),
                                          limits::kMessagesMax));
  for (const Value& item : items->items()) {
    if (!item.is_dict()) return bad_field("items", "each of items must be an object");
    Value with_id = item;
    if (find_present(item, "type") == nullptr) with_id.set("type", "message");
    if (find_present(item, "id") == nullptr) with_id.set("id", "item_" + random_hex(24));
    out.push_back(std::move(with_id));
  }
  return out;
}

std::string json_of(const Value& value, std::string_view otherwise) {
  auto text = to_json(value);
  return text ? std::move(text).value() : std::string(otherwise);
}

std::string items_json(const std::string& items) {
  std::string out;
  const auto list = parse_json(items);
  const auto id_of = [&](size_t index) -> std::string {
    if (!list || !list->is_list() || index >= list->size()) return "";
    const Value* id = find_present(list->items()[index], "id");
    return id != nullptr && id->is_string() ? id->as_string() : "";
  };
  const size_t count = list && list->is_list() ? list->size() : 0;
  JsonWriter json(out);
  json.begin_object().field("object", "list").key("data").raw(items).field("has_more", false);
  json.field("first_id", id_of(0)).field("last_id", id_of(count == 0 ? 0 : count - 1)).end_object();
  return out;
}

/// "conv_1" and "items" of "conv_1/items".
std::pair<std::string, std::string> split_argument(const std::string& argument) {
  const size_t slash = argument.find('/');
  if (slash == std::string::npos) return {argument, ""};
  return {argument.substr(0, slash), argument.substr(slash + 1)};
}

ApiError unknown_part(const std::string& argument) {
  return {.status = 404,
          .message = fmt::format("there is no /v1/conversations/{} with this method",
                                 printable(argument, 100)),
          .code = "unknown_url"};
}

/// Replies with what `work`, on a worker thread, says.
template <class Work>
asio::awaitable<void> reply_with(Exchange& exchange, Work work) {
  const Parsed<std::string> done = co_await exchange.offload(std::move(work));
  if (done) {
    co_await exchange.reply_json(*done);
  } else {
    co_await exchange.fail(done.error());
  }
}

}  // namespace

std::span<const Field> conversation_fields() { return kCreateFields; }
std::span<const Field> conversation_item_fields() { return kItemFields; }

asio::awaitable<void> handle_conversations(Exchange& exchange, const Value& body) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    auto items = read_items(body, false);
    if (!items) return items.error();
    const Value* metadata = find_present(body, "metadata");
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    StoredResponse made;
    made.id = "conv_" + random_hex(32);
    JsonWriter(made.body)
        .begin_object()
        .field("id", made.id)
        .field("object", "conversation")
        .field("created_at", std::chrono::duration_cast<std::chrono::seconds>(now).count())
        .key("metadata")
        .raw(metadata != nullptr ? json_of(*metadata, "{}") : "{}")
        .end_object();
    made.input = "[]";
    made.conversation = json_of(*items, "[]");
    if (const Status put = exchange.services().responses.put(made); !put)
      return to_api_error(put.error());
    return made.body;
  });
}

asio::awaitable<void> handle_get_conversation(Exchange& exchange, const Value& /*body*/) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const auto [id, part] = split_argument(exchange.path_argument());
    if (!part.empty() && part != "items") return unknown_part(exchange.path_argument());
    const auto found = exchange.services().responses.get(id);
    if (!found) return conversation_error(found.error(), id);
    return part.empty() ? found->body : items_json(found->conversation);
  });
}

asio::awaitable<void> handle_add_to_conversation(Exchange& exchange, const Value& body) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const auto [id, part] = split_argument(exchange.path_argument());
    if (part != "items") return unknown_part(exchange.path_argument());
    auto items = read_items(body, true);
    if (!items) return items.error();
    ResponseStore& store = exchange.services().responses;
    auto found = store.get(id);
    if (!found) return conversation_error(found.error(), id);
    auto all = parse_json(found->conversation);
    if (!all) return to_api_error(all.error());
    for (const Value& item : items->items()) all->push_back(item);
    found->conversation = json_of(*all, "[]");
    if (const Status put = store.put(*found); !put) return to_api_error(put.error());
    return items_json(json_of(*items, "[]"));
  });
}

asio::awaitable<void> handle_delete_conversation(Exchange& exchange, const Value& /*body*/) {
  co_await reply_with(exchange, [&]() -> Parsed<std::string> {
    const std::string& id = exchange.path_argument();
    if (const Status gone = exchange.services().responses.remove(id); !gone)
      return conversation_error(gone.error(), id);
    return fmt::format(R"({{"id":"{}","object":"conversation.deleted","deleted":true}})", id);
  });
}

}  // namespace squish::server
