#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace squish {

using jinja::DictObject;
using jinja::ListObject;
using jinja::TextObject;

namespace {

template <class Object>
Object& own(std::shared_ptr<Object>& shared) {
  if (shared.use_count() > 1) shared = std::make_shared<Object>(*shared);
  return *shared;
}

}  // namespace

Value::Value(std::string text) {
  auto object = std::make_shared<TextObject>();
  object->text = std::move(text);
  state_ = TextPtr(std::move(object));
}

Value Value::list(List items) {
  auto object = std::make_shared<ListObject>();
  for (const Value& item : items) object->depth = std::max(object->depth, item.depth() + 1);
  object->items = std::move(items);
  return Value(std::move(object));
}

Value Value::dict(std::vector<std::pair<std::string, Value>> entries) {
  auto object = std::make_shared<DictObject>();
  for (auto& [key, value] : entries) object->set(Value(std::move(key)), std::move(value));
  return Value(std::move(object));
}

Value Value::big_integer(std::string digits) {
  auto object = std::make_shared<TextObject>();
  object->text = std::move(digits);
  Value value;
  value.state_ = BigInteger{std::move(object)};
  return value;
}

Value Value::object(jinja::Object& object) {
  Value value;
  value.state_ = &object;
  return value;
}

bool Value::as_bool() const {
  SQ_CHECK(is_bool());
  return std::get<bool>(state_);
}

int64_t Value::as_integer() const {
  SQ_CHECK(is_integer());
  return std::get<int64_t>(state_);
}

double Value::as_floating() const {
  SQ_CHECK(is_floating());
  return std::get<double>(state_);
}

const std::string& Value::as_string() const {
  if (kind() == Kind::big_integer) return std::get<BigInteger>(state_).digits->text;
  SQ_CHECK(is_string());
  return text().text;
}

size_t Value::size() const {
  if (is_dict()) return dict_object().entries.size();
  SQ_CHECK(is_list());
  return list_object().items.size();
}

const Value::List& Value::items() const {
  SQ_CHECK(is_list());
  return list_object().items;
}

const std::vector<Value::Entry>& Value::entries() const {
  SQ_CHECK(is_dict());
  return dict_object().entries;
}

void Value::push_back(Value item) {
  SQ_CHECK(is_list());
  ListObject& object = own(std::get<ListPtr>(state_));
  object.depth = std::max(object.depth, item.depth() + 1);
  object.items.push_back(std::move(item));
}

const Value* Value::find(std::string_view key) const {
  SQ_CHECK(is_dict());
  return dict_object().find(key);
}

void Value::set(std::string key, Value value) {
  SQ_CHECK(is_dict());
  own(std::get<DictPtr>(state_)).set(Value(std::move(key)), std::move(value));
}

uint32_t Value::depth() const {
  if (is_list()) return list_object().depth;
  if (is_dict()) return dict_object().depth;
  return 0;
}

namespace jinja {
namespace {

int rank(const Value& key) {
  switch (key.kind()) {
    case Value::Kind::undefined:
      return 0;
    case Value::Kind::none:
      return 1;
    case Value::Kind::boolean:
    case Value::Kind::integer:
    case Value::Kind::floating:
      return 2;
    case Value::Kind::big_integer:
      return 3;
    case Value::Kind::string:
      return 4;
    case Value::Kind::list:
      return 5;
    case Value::Kind::dict:
      return 6;
    case Value::Kind::object:
      return 7;
  }
  return 8;
}

/// Holds every int64_t and double exactly on x86 (64-bit significand) and AArch64 (113).
long double number_of(const Value& key) {
  if (key.is_bool()) return key.as_bool() ? 1.0L : 0.0L;
  if (key.is_integer()) return static_cast<long double>(key.as_integer());
  return static_cast<long double>(key.as_floating());
}

int compare_keys(const Value& left, const Value& right) {
  const int left_rank = rank(left);
  const int right_rank = rank(right);
  if (left_rank != right_rank) return left_rank < right_rank ? -1 : 1;
  switch (left_rank) {
    case 2: {
      const long double a = number_of(left);
      const long double b = number_of(right);
      if (std::isnan(a) || std::isnan(b))
        return static_cast<int>(std::isnan(b)) - static_cast<int>(std::isnan(a));
      return a < b ? -1 : (a > b ? 1 : 0);
    }
    case 3:
    case 4:
      return left.as_string().compare(right.as_string());
    case 5: {
      const Value::List& a = left.items();
      const Value::List& b = right.items();
      for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        if (const int order = compare_keys(a[i], b[i]); order != 0) return order;
      }
      return a.size() == b.size() ? 0 : (a.size() < b.size() ? -1 : 1);
    }
    case 7:
      return &left.as_object() == &right.as_object()
                 ? 0
                 : (&left.as_object() < &right.as_object() ? -1 : 1);
    default:
      return 0;
  }
}

}  // namespace

bool KeyLess::operator()(const Value& left, const Value& right) const {
  return compare_keys(left, right) < 0;
}

bool is_hashable(const Value& key) {
  if (key.is_dict()) return false;
  if (!key.is_list()) return true;
  // One level only: deeper tuples could share parts and cost exponential time to compare.
  return key.list_object().flavor == ListFlavor::tuple && key.depth() == 1;
}

std::optional<size_t> DictObject::position(const Value& key) const {
  if (!index.empty()) {
    const auto found = index.find(key);
    if (found == index.end()) return std::nullopt;
    return found->second;
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    if (compare_keys(entries[i].key, key) == 0) return i;
  }
  return std::nullopt;
}

const Value* DictObject::find(const Value& key) const {
  const std::optional<size_t> at = position(key);
  return at ? &entries[*at].value : nullptr;
}

const Value* DictObject::find(std::string_view key) const {
  if (!index.empty()) return find(Value(key));
  for (const Value::Entry& entry : entries) {
    if (entry.key.is_string() && entry.key.text().text == key) return &entry.value;
  }
  return nullptr;
}

void DictObject::set(Value key, Value value) {
  depth = std::max({depth, value.depth() + 1, key.depth() + 1});
  if (const std::optional<size_t> at = position(key)) {
    entries[*at].value = std::move(value);
    return;
  }
  entries.push_back({std::move(key), std::move(value)});
  if (entries.size() < kIndexFrom) return;
  if (!index.empty()) {
    index.emplace(entries.back().key, entries.size() - 1);
    return;
  }
  for (size_t i = 0; i < entries.size(); ++i) index.emplace(entries[i].key, i);
}

}  // namespace jinja
}  // namespace squish
