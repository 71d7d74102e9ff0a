#pragma once
// Value: the dynamic, JSON-like data that chat templates read. Messages, tools and template
// arguments are built as Values.
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace squish {

namespace jinja {
struct TextObject;
struct ListObject;
struct DictObject;
class Object;
}  // namespace jinja

/// A value with value semantics: copies share storage until one of them is changed. Dicts keep
/// insertion order. Threads: distinct Values may be used from distinct threads, also where they
/// share storage; one Value may not be changed while another thread reads it. Accessors
/// (as_string(), items(), ...) abort on the wrong kind: look at kind() first.
class Value {
 public:
  /// `object` and the list flavors other than list exist only inside a running template.
  enum class Kind : uint8_t {
    undefined,
    none,
    boolean,
    integer,
    big_integer,  // an integer of JSON outside int64_t, kept as its digits
    floating,
    string,
    list,
    dict,
    object,
  };
  using List = std::vector<Value>;

  Value() = default;                                          // undefined
  Value(std::nullptr_t) : state_(None{}) {}                   // NOLINT
  Value(bool value) : state_(value) {}                        // NOLINT
  Value(double value) : state_(value) {}                      // NOLINT
  Value(std::string text);                                    // NOLINT
  Value(std::string_view text) : Value(std::string(text)) {}  // NOLINT
  Value(const char* text) : Value(std::string(text)) {}       // NOLINT
  template <std::signed_integral Integer>
  Value(Integer value) : state_(static_cast<int64_t>(value)) {}  // NOLINT
  template <class Pointer>
  Value(Pointer*) = delete;  // would become a bool

  static Value none() { return nullptr; }
  static Value list(List items = {});
  static Value dict(std::vector<std::pair<std::string, Value>> entries = {});
  /// `digits`: an optional '-' and decimal digits.
  static Value big_integer(std::string digits);

  [[nodiscard]] Kind kind() const { return static_cast<Kind>(state_.index()); }
  [[nodiscard]] bool is_undefined() const { return kind() == Kind::undefined; }
  [[nodiscard]] bool is_none() const { return kind() == Kind::none; }
  [[nodiscard]] bool is_bool() const { return kind() == Kind::boolean; }
  [[nodiscard]] bool is_integer() const { return kind() == Kind::integer; }
  [[nodiscard]] bool is_floating() const { return kind() == Kind::floating; }
  [[nodiscard]] bool is_string() const { return kind() == Kind::string; }
  [[nodiscard]] bool is_list() const { return kind() == Kind::list; }
  [[nodiscard]] bool is_dict() const { return kind() == Kind::dict; }

  [[nodiscard]] bool as_bool() const;
  [[nodiscard]] int64_t as_integer() const;
  [[nodiscard]] double as_floating() const;
  /// The text, or the digits of a big_integer. Valid while this Value or a copy of it lives
  /// unchanged.
  [[nodiscard]] const std::string& as_string() const;

  /// Elements of a list or entries of a dict.
  [[nodiscard]] size_t size() const;
  [[nodiscard]] const List& items() const;
  void push_back(Value item);

  struct Entry;
  [[nodiscard]] const std::vector<Entry>& entries() const;
  /// The value of `key`, or nullptr. Valid until the dict changes.
  [[nodiscard]] const Value* find(std::string_view key) const;
  [[nodiscard]] bool contains(std::string_view key) const { return find(key) != nullptr; }
  /// Replaces the value of `key` in its place, or appends the entry.
  void set(std::string key, Value value);

  // For the template engine.
  struct None {};
  struct Undefined {
    std::shared_ptr<const std::string> why;  // the message that using it gives; may be empty
  };
  struct BigInteger {
    std::shared_ptr<const jinja::TextObject> digits;
  };
  using TextPtr = std::shared_ptr<const jinja::TextObject>;
  using ListPtr = std::shared_ptr<jinja::ListObject>;
  using DictPtr = std::shared_ptr<jinja::DictObject>;
  explicit Value(Undefined undefined) : state_(std::move(undefined)) {}
  explicit Value(TextPtr text) : state_(std::move(text)) {}
  explicit Value(ListPtr list) : state_(std::move(list)) {}
  explicit Value(DictPtr dict) : state_(std::move(dict)) {}
  static Value object(jinja::Object& object);
  [[nodiscard]] const Undefined& undefined() const { return std::get<Undefined>(state_); }
  [[nodiscard]] const jinja::TextObject& text() const { return *std::get<TextPtr>(state_); }
  [[nodiscard]] const jinja::ListObject& list_object() const { return *std::get<ListPtr>(state_); }
  [[nodiscard]] const jinja::DictObject& dict_object() const { return *std::get<DictPtr>(state_); }
  [[nodiscard]] jinja::Object& as_object() const { return *std::get<jinja::Object*>(state_); }
  /// Levels of lists and dicts: 0 for a scalar, 1 for a list of scalars.
  [[nodiscard]] uint32_t depth() const;

 private:
  // In the order of Kind.
  std::variant<Undefined, None, bool, int64_t, BigInteger, double, TextPtr, ListPtr, DictPtr,
               jinja::Object*>
      state_;
};

struct Value::Entry {
  Value key;
  Value value;
};

/// The JSON text as a Value; objects keep the order of their keys, of equal keys the last value
/// counts. Errors: bad_file when it is not one JSON value, is not UTF-8 or nests deeper than
/// limits::kJsonDepthMax.
Result<Value> parse_json(std::string_view text);
/// What `keys` lead to from one dict to the next; null where there is no such.
const Value* find_below(const Value& value, std::initializer_list<std::string_view> keys);
/// The text there; empty where there is none.
std::string text_below(const Value& value, std::initializer_list<std::string_view> keys);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool indented = false;  // one line per element, each level led by `indent`
  std::string indent = "";
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
/// JSON text, byte for byte as Python's json.dumps. Errors: invalid_argument for what JSON cannot
/// say (undefined, template objects) and past 64 MiB of text.
Result<std::string> to_json(const Value& value, const JsonStyle& style = {});

namespace jinja {

/// Bytes that a running template counts against its memory limit while an object lives. A copy is
/// not counted.
struct MemoryCharge {
  MemoryCharge() = default;
  MemoryCharge(const MemoryCharge&) {}
  MemoryCharge& operator=(const MemoryCharge&) = delete;
  ~MemoryCharge() {
    if (live != nullptr) *live -= bytes;
  }
  uint64_t* live = nullptr;
  uint64_t bytes = 0;
};

struct TextObject {
  std::string text;
  bool markup =
      false;  // marked safe: what is added to it is HTML-escaped, as by Python's markupsafe
  MemoryCharge charge;
};

/// What a list is in Python. An iterator can be walked once: `consumed` moves, for all copies.
enum class ListFlavor : uint8_t { list, tuple, keys, values, items, range, iterator };

/// Marks the (grouper, list) tuples of groupby, which have attributes of these names.
constexpr std::string_view kGroupLabel = "group";

struct ListObject {
  Value::List items;
  ListFlavor flavor = ListFlavor::list;
  uint32_t depth = 1;
  mutable size_t consumed = 0;
  mutable std::shared_ptr<const Error>
      failure;        // of an iterator: what taking the element after the last gives
  std::string label;  // of a range: how it prints; of a tuple of groupby: kGroupLabel
  MemoryCharge charge;
};

/// Order of dict keys among themselves; not Python's <. 1, 1.0 and True are the same key.
struct KeyLess {
  bool operator()(const Value& left, const Value& right) const;
};

struct DictObject {
  std::vector<Value::Entry> entries;
  std::map<Value, size_t, KeyLess> index;  // filled from kIndexFrom entries on
  uint32_t depth = 1;
  MemoryCharge charge;

  static constexpr size_t kIndexFrom = 12;  // below, a scan is faster than a tree
  [[nodiscard]] std::optional<size_t> position(const Value& key) const;
  [[nodiscard]] const Value* find(const Value& key) const;
  [[nodiscard]] const Value* find(std::string_view key) const;
  void set(Value key, Value value);
};

/// What a Python dict takes as a key here: scalars, strings, objects and tuples of those.
bool is_hashable(const Value& key);

/// repr(float): the shortest digits that read back as `value`.
std::string float_repr(double value);

}  // namespace jinja
}  // namespace squish
