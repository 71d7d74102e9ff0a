#pragma once
// What every part of a running template shares: limits, and Python's rules for truth, text,
// equality, order, iteration.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "text/jinja_value.h"

namespace squish::jinja {

struct RenderLimits {
  uint64_t steps_max = limits::kTemplateStepsMax;
  uint64_t output_bytes_max = limits::kTemplateOutputBytesMax;
  uint64_t memory_bytes_max = limits::kTemplateMemoryBytesMax;
  uint32_t depth_max =
      limits::kTemplateDepthMax;  // of macro calls, and of lists and dicts in each other
};

class Runtime;
struct CallArguments;

/// Something with identity that templates call or assign to: macro, namespace, method, loop. Owned
/// by the Runtime.
class Object {
 public:
  enum class Kind : uint8_t { function, method, macro, name_space, loop, cycler, joiner };
  explicit Object(Kind kind) : kind_(kind) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
  [[nodiscard]] Kind kind() const { return kind_; }

  /// object.name; nothing if there is none.
  virtual Result<std::optional<Value>> attribute(Runtime& runtime, const std::string& name);
  /// object.method(arguments), or object(arguments) if `method` is empty.
  virtual Result<Value> invoke(Runtime& runtime, std::string_view method,
                               const CallArguments& arguments);

 protected:
  /// The method `name` of this object as a value.
  Result<std::optional<Value>> own_method(Runtime& runtime, const std::string& name);

 private:
  Kind kind_;
};

/// namespace(...): the one thing a template can change.
struct NamespaceObject : Object {
  NamespaceObject() : Object(Kind::name_space) {}
  Result<std::optional<Value>> attribute(Runtime& runtime, const std::string& name) override;
  /// Errors: names that begin with '_', memory.
  Status assign(Runtime& runtime, const std::string& name, Value value);
  DictObject attributes;
};

/// value.name, where name is a method of Python's type of value, or of a template object.
struct MethodObject : Object {
  MethodObject() : Object(Kind::method) {}
  Result<Value> invoke(Runtime& runtime, std::string_view method,
                       const CallArguments& arguments) override;
  Value subject;
  std::string name;
};

/// Counters of one render. Everything that allocates or loops goes through it. One thread only.
class Runtime {
 public:
  explicit Runtime(const RenderLimits& limits) : limits_(limits) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Counts `steps` of work: an expression, an element visited, 32 bytes of text looked at.
  Status work(uint64_t steps) {
    steps_ += steps;
    if (steps_ <= limits_.steps_max) return {};
    return steps_error();
  }
  Status work_on_text(uint64_t bytes) { return work(bytes / 32 + 1); }
  /// Whether `bytes` more would fit; ask before building something large.
  Status reserve(uint64_t bytes) {
    if (bytes <= limits_.memory_bytes_max && live_bytes_ <= limits_.memory_bytes_max - bytes)
      return {};
    return memory_error();
  }

  // New values, counted while they live.
  Result<Value> text(std::string text, bool markup = false);
  Result<Value> list(Value::List items, ListFlavor flavor = ListFlavor::list);
  Result<Value> dict(std::shared_ptr<DictObject> dict);
  /// What a generator of Python would give: `failure` comes after the last item.
  Result<Value> iterator(Value::List items, const Status& failure = {});
  template <class Type>
  Result<Type*> object() {
    SQ_TRY_STATUS(hold(sizeof(Type) + 32));
    auto owned = std::make_unique<Type>();
    Type* raw = owned.get();
    objects_.push_back(std::move(owned));
    return raw;
  }

  /// Counts bytes until the render ends, or until release().
  Status hold(uint64_t bytes) {
    SQ_TRY_STATUS(reserve(bytes));
    live_bytes_ += bytes;
    return {};
  }
  void release(uint64_t bytes) { live_bytes_ -= bytes; }

  [[nodiscard]] const RenderLimits& limits() const { return limits_; }

 private:
  [[nodiscard]] Error steps_error() const;
  [[nodiscard]] Error memory_error() const;
  Status charge(MemoryCharge& charge, uint64_t bytes);

  RenderLimits limits_;
  uint64_t steps_ = 0;
  uint64_t live_bytes_ = 0;
  std::vector<std::unique_ptr<Object>> objects_;
};

Error template_error(std::string message);
/// What using an undefined value gives.
Error undefined_error(const Value& undefined);
/// "str", "dict", "NoneType": the name of Python's type.
std::string type_name(const Value& value);

bool is_true(const Value& value);
/// str(value).
Result<std::string> to_text(Runtime& runtime, const Value& value);
/// repr(value), appended.
Status append_repr(Runtime& runtime, std::string& out, const Value& value);
/// repr(text) of a str.
std::string quoted(std::string_view text);
Result<bool> equal(Runtime& runtime, const Value& left, const Value& right);
/// left < right.
Result<bool> less(Runtime& runtime, const Value& left, const Value& right);
/// item in container.
Result<bool> contains(Runtime& runtime, const Value& container, const Value& item);
/// list(value): the elements, the keys of a dict, the characters of a string. Consumes an iterator.
Result<Value::List> iterate(Runtime& runtime, const Value& value);
/// len(value).
Result<int64_t> length(const Value& value);
/// Work that looking at `value` once may cost, for text and flat lists.
uint64_t weight(const Value& value);

/// Stable sort by Python's <. `keys[i]` orders `items[i]`.
Result<Value::List> sorted(Runtime& runtime, Value::List items, const Value::List& keys,
                           bool reverse);

/// & < > ' " as HTML entities; text that is markup stays.
Result<std::string> escaped(Runtime& runtime, const Value& value);

/// The first place of `needle` in `text` from `from`; npos if none. Linear time.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);

}  // namespace squish::jinja
