#include "text/jinja_globals.h"

#include <array>
#include <ctime>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"

namespace squish::jinja {

Result<std::optional<Value>> Object::attribute(Runtime&, const std::string&) {
  return std::optional<Value>();
}

Result<Value> Object::invoke(Runtime&, std::string_view, const CallArguments&) {
  return template_error(
      fmt::format("'{} object' is not callable", type_name(Value::object(*this))));
}

Result<std::optional<Value>> Object::own_method(Runtime& runtime, const std::string& name) {
  SQ_TRY(MethodObject * method, runtime.object<MethodObject>());
  method->subject = Value::object(*this);
  method->name = name;
  return std::optional<Value>(Value::object(*method));
}

Result<Value> MethodObject::invoke(Runtime& runtime, std::string_view,
                                   const CallArguments& arguments) {
  if (subject.kind() == Value::Kind::object)
    return subject.as_object().invoke(runtime, name, arguments);
  return call_method(runtime, subject, name, arguments);
}

Result<std::optional<Value>> NamespaceObject::attribute(Runtime&, const std::string& name) {
  const Value* found = attributes.find(std::string_view(name));
  return found == nullptr ? std::optional<Value>() : std::optional<Value>(*found);
}

Status NamespaceObject::assign(Runtime& runtime, const std::string& name, Value value) {
  if (name.starts_with('_')) {
    return template_error(fmt::format(
        "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '{}'.",
        printable(name, 60)));
  }
  if (!attributes.find(std::string_view(name)))
    SQ_TRY_STATUS(runtime.hold(sizeof(Value::Entry) + 96 + name.size()));
  attributes.set(Value(name), std::move(value));
  return {};
}

Result<Value> FunctionObject::invoke(Runtime& runtime, std::string_view,
                                     const CallArguments& arguments) {
  return run(runtime, *this, arguments);
}

namespace {

/// cycler(...): gives its items in turn.
struct CyclerObject : Object {
  CyclerObject() : Object(Kind::cycler) {}
  Result<std::optional<Value>> attribute(Runtime& runtime, const std::string& name) override {
    if (name == "current") return std::optional<Value>(items[position]);
    if (name == "next" || name == "reset") return own_method(runtime, name);
    return std::optional<Value>();
  }
  Result<Value> invoke(Runtime& runtime, std::string_view method,
                       const CallArguments& arguments) override {
    if (method.empty()) return Object::invoke(runtime, method, arguments);
    if (method == "reset") {
      position = 0;
      return Value::none();
    }
    const Value item = items[position];
    position = (position + 1) % items.size();
    return item;
  }
  Value::List items;
  size_t position = 0;
};

/// joiner(separator): nothing at the first call, then the separator.
struct JoinerObject : Object {
  JoinerObject() : Object(Kind::joiner) {}
  Result<Value> invoke(Runtime&, std::string_view, const CallArguments&) override {
    return std::exchange(used, true) ? separator : Value("");
  }
  Value separator;
  bool used = false;
};

Result<Value> range(Runtime& runtime, const FunctionObject&, const CallArguments& arguments) {
  constexpr uint64_t kRangeMax = 100'000;  // the bound of Jinja's sandbox
  SQ_TRY(const BoundArguments bound,
         BoundArguments::bind(arguments, "range", "/start,stop=,step="));
  SQ_TRY(int64_t start, bound.integer(0, 0));
  SQ_TRY(int64_t stop, bound.integer(1, 0));
  SQ_TRY(const int64_t step, bound.integer(2, 1));
  if (bound[1] == nullptr) stop = std::exchange(start, 0);
  if (step == 0) return template_error("range() arg 3 must not be zero");
  const bool empty = step > 0 ? start >= stop : start <= stop;
  const uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                     : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride =
      step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  const uint64_t count = empty ? 0 : (distance - 1) / stride + 1;
  if (count > kRangeMax) {
    return template_error(fmt::format(
        "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", kRangeMax));
  }
  SQ_TRY_STATUS(runtime.work(count));
  Value::List items;
  for (uint64_t i = 0; i < count; ++i) items.emplace_back(start + static_cast<int64_t>(i) * step);
  SQ_TRY(const Value list, runtime.list(std::move(items), ListFlavor::range));
  auto labeled = std::make_shared<ListObject>(list.list_object());
  labeled->label = step == 1 ? fmt::format("range({}, {})", start, stop)
                             : fmt::format("range({}, {}, {})", start, stop, step);
  return Value(std::move(labeled));
}

/// dict(mapping or pairs, **entries).
Result<std::shared_ptr<DictObject>> make_dict(Runtime& runtime, const CallArguments& arguments) {
  auto dict = std::make_shared<DictObject>();
  if (arguments.positional.size() > 1) return template_error("dict expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional.front();
    if (source.is_dict()) {
      SQ_TRY_STATUS(runtime.work(source.size()));
      for (const Value::Entry& entry : source.entries()) dict->set(entry.key, entry.value);
    } else {
      SQ_TRY(const Value::List pairs, iterate(runtime, source));
      for (const Value& pair : pairs) {
        SQ_TRY(const Value::List parts, iterate(runtime, pair));
        if (parts.size() != 2) return template_error("dictionary update sequence needs pairs");
        if (!is_hashable(parts[0]))
          return template_error(fmt::format("unhashable type: '{}'", type_name(parts[0])));
        dict->set(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [key, value] : arguments.keywords) dict->set(Value(key), value);
  return dict;
}

Result<Value> dict(Runtime& runtime, const FunctionObject&, const CallArguments& arguments) {
  SQ_TRY(std::shared_ptr<DictObject> object, make_dict(runtime, arguments));
  return runtime.dict(std::move(object));
}

Result<Value> name_space(Runtime& runtime, const FunctionObject&, const CallArguments& arguments) {
  SQ_TRY(const std::shared_ptr<DictObject> attributes, make_dict(runtime, arguments));
  SQ_TRY(NamespaceObject * object, runtime.object<NamespaceObject>());
  for (const Value::Entry& entry : attributes->entries) {
    if (!entry.key.is_string()) continue;  // cannot be reached by a name
    SQ_TRY_STATUS(object->assign(runtime, entry.key.as_string(), entry.value));
  }
  return Value::object(*object);
}

Result<Value> cycler(Runtime& runtime, const FunctionObject&, const CallArguments& arguments) {
  if (arguments.positional.empty()) return template_error("at least one item has to be provided");
  SQ_TRY(CyclerObject * object, runtime.object<CyclerObject>());
  object->items = arguments.positional;
  return Value::object(*object);
}

Result<Value> joiner(Runtime& runtime, const FunctionObject&, const CallArguments& arguments) {
  SQ_TRY(const BoundArguments bound, BoundArguments::bind(arguments, "joiner", "sep="));
  SQ_TRY(JoinerObject * object, runtime.object<JoinerObject>());
  object->separator = bound[0] == nullptr ? Value(", ") : *bound[0];
  return Value::object(*object);
}

Result<Value> raise_exception(Runtime& runtime, const FunctionObject&,
                              const CallArguments& arguments) {
  SQ_TRY(const BoundArguments bound, BoundArguments::bind(arguments, "raise_exception", "message"));
  SQ_TRY(const std::string message, to_text(runtime, *bound[0]));
  return template_error(replace_all(message.substr(0, 4096), "\n", " "));
}

Result<Value> strftime_now(Runtime& runtime, const FunctionObject& self,
                           const CallArguments& arguments) {
  SQ_TRY(const BoundArguments bound, BoundArguments::bind(arguments, "strftime_now", "format"));
  SQ_TRY(const std::string format, bound.string(0, ""));
  if (format.find('\0') != std::string::npos) return template_error("embedded null character");
  const std::time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(self.now));
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(
      self.now - std::chrono::floor<std::chrono::seconds>(self.now));
  std::tm local{};
  localtime_r(&seconds, &local);
  // A time without zone: Python prints %z and %Z as nothing, and adds %f.
  std::string plain;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      plain += format[i];
      continue;
    }
    const char directive = format[++i];
    if (directive == 'z' || directive == 'Z') continue;
    if (directive == 'f') {
      plain += fmt::format("{:06}", micros.count());
    } else {
      plain += '%';
      plain += directive;
    }
  }
  if (plain.empty()) return Value("");
  constexpr size_t kTimeBytesMax = 16 * 1024;
  std::string out(kTimeBytesMax, '\0');
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const size_t size = std::strftime(out.data(), out.size(), (plain + " ").c_str(), &local);
#pragma GCC diagnostic pop
  if (size == 0)
    return template_error(
        fmt::format("strftime_now: the text is longer than {} bytes", kTimeBytesMax));
  out.resize(size - 1);  // the space that tells an empty result from a failure
  return runtime.text(replace_invalid_utf8(out));
}

struct GlobalRow {
  std::string_view name;
  Result<Value> (*run)(Runtime& runtime, const FunctionObject& self,
                       const CallArguments& arguments);
};
constexpr std::array kGlobals = {
    GlobalRow{"namespace", name_space},
    GlobalRow{"raise_exception", raise_exception},
    GlobalRow{"strftime_now", strftime_now},
    GlobalRow{"range", range},
    GlobalRow{"dict", dict},
    GlobalRow{"cycler", cycler},
    GlobalRow{"joiner", joiner},
};

}  // namespace

Result<Value> global_function(Runtime& runtime, std::string_view name,
                              std::chrono::system_clock::time_point now) {
  for (const GlobalRow& row : kGlobals) {
    if (row.name != name) continue;
    SQ_TRY(FunctionObject * function, runtime.object<FunctionObject>());
    function->run = row.run;
    function->now = now;
    return Value::object(*function);
  }
  return Value();
}

}  // namespace squish::jinja
