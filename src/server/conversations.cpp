// OpenAI's /v1/conversations: items that responses read and add to. They lie with the responses.
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "server/json_writer.h"
#include "server/random_id.h"
#include "server/response_items.h"
#include "server/responses.h"
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

/// The items of the body as they are kept. Errors: 400 for what /v1/responses could not read; 404
/// for references to nothing.
Parsed<Value> read_items(ResponseStore& store, const Value& body, bool is_needed) {
  const Value* items = find_present(body, "items");
  if (items == nullptr && !is_needed) return Value::list();
  if (items == nullptr || !items->is_list())
    return bad_field("items", "items must be a list of items");
  if (items->size() > limits::kMessagesMax)
    return bad_field("items", fmt::format("items has {} entries, the limit is {}", items->size(),
                                          limits::kMessagesMax));
  auto resolved = resolve_items(store, *items, Value(), "items");
  if (!resolved) return resolved.error();
  ItemReader reader;
  for (size_t i = 0; i < resolved->size(); ++i) {
    auto checked = reader.add(resolved->items()[i], fmt::format("items[{}]", i));
    if (!checked) return checked.error();
  }
  return kept_items(*resolved);
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
    auto items = read_items(exchange.services().responses, body, false);
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
    made.item_ids = ids_of(*items);
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
    ResponseStore& store = exchange.services().responses;
    auto items = read_items(store, body, true);
    if (!items) return items.error();
    const Status kept = store.update(id, [&](StoredResponse& conversation) -> Status {
      conversation.conversation =
          joined_lists(std::move(conversation.conversation), list_json(*items));
      conversation.item_ids = ids_of(*items);
      return {};
    });
    if (!kept) return conversation_error(kept.error(), id);
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
