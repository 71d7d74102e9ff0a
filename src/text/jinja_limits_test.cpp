// What a template cannot do: each limit ends it with one line that names the limit and the line of
// the template.
#include <chrono>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace squish::jinja {
namespace {

/// The output, or "error: " and the message.
std::string run(std::string_view source, const RenderLimits& limits = {}) {
  const Result<Program> program = parse_template(source);
  if (!program) return "error: " + program.error().message;
  const Value variables = Value::dict({{"text", "abc"}, {"list", Value::list({1, 2, 3})}});
  RenderInput input;
  input.variables = &variables.dict_object();
  input.limits = limits;
  const Result<std::string> text = render(program.value(), input);
  return text ? text.value() : "error: " + text.error().message;
}

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(TemplateLimits, source_bytes) {
  const std::string source(limits::kTemplateBytesMax + 1, 'x');
  EXPECT_EQ(run(source), "error: the template has 1048577 bytes; at most 1048576 are read");
  EXPECT_EQ(run(std::string(limits::kTemplateBytesMax, 'x')).size(), limits::kTemplateBytesMax);
}

TEST(TemplateLimits, steps) {
  const std::string source =
      "a\n{% for i in range(1000) %}{% for j in range(1000) %}{{ i }}{% endfor %}{% endfor %}";
  EXPECT_EQ(run(source, {.steps_max = 10'000}),
            "error: line 2: the template runs for more than 10000 steps");
}

TEST(TemplateLimits, steps_stop_an_endless_template_within_seconds) {
  const auto start = std::chrono::steady_clock::now();
  const std::string source =
      "{% macro a(n) %}{{ b(n) }}{{ b(n) }}{% endmacro %}{% macro b(n) %}{% if n %}{{ a(n - 1) "
      "}}{% endif %}"
      "{% endmacro %}{{ a(26) }}";
  EXPECT_EQ(run(source), "error: line 1: the template runs for more than 20000000 steps");
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(60));  // 0.5 s, unless sanitized
}

TEST(TemplateLimits, output_bytes) {
  EXPECT_EQ(run("\n\n{{ 'x' * 2000 }}", {.output_bytes_max = 1000}),
            "error: line 3: the output is larger than 1000 bytes");
  EXPECT_EQ(run("{% for i in range(300) %}{{ text }}{% endfor %}", {.output_bytes_max = 899}),
            "error: line 1: the output is larger than 899 bytes");
  EXPECT_EQ(
      run("{% for i in range(300) %}{{ text }}{% endfor %}", {.output_bytes_max = 900}).size(),
      900U);
}

TEST(TemplateLimits, memory_bytes) {
  const RenderLimits limits = {.memory_bytes_max = 1'000'000};
  const std::string error = "error: line 1: the template needs more than 1000000 bytes of memory";
  for (const char* source :
       {"{{ 'ab' * 999999999 }}", "{{ [1] * 999999999 }}", "{{ '%999999999d' % 1 }}",
        "{{ '{:999999999}'.format(1) }}", "{{ text.center(999999999) }}",
        "{{ text|indent(999999999) }}", "{{ list|batch(999999999, 0)|list }}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor "
        "%}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor "
        "%}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor "
        "%}",
        "{{ ('a' * 9999).replace('a', 'b' * 9999) }}", "{{ ('a' * 9999)|replace('', 'b' * 9999) }}",
        "{{ ('b' * 9999).join('a' * 9999) }}", "{{ ('a' * 99999)|list|length }}"}) {
    EXPECT_EQ(run(source, limits), error) << source;
  }
}

TEST(TemplateLimits, memory_is_given_back) {
  // 1,000 strings of 10 kB, one at a time.
  const std::string source = "{% for i in range(1000) %}{% set x = 'a' * 10000 %}{% endfor %}ok";
  EXPECT_EQ(run(source, {.memory_bytes_max = 200'000}), "ok");
}

TEST(TemplateLimits, depth_of_macro_calls) {
  const std::string source = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}\n{{ f(0) }}";
  EXPECT_EQ(run(source, {.depth_max = 50}),
            "error: line 1: macro calls nest deeper than 50 levels");
  EXPECT_TRUE(run(source).starts_with("error: line 1: ")) << run(source);
}

TEST(TemplateLimits, depth_of_values) {
  const std::string source =
      "{% set n = namespace(x=[]) %}{% for i in range(999) %}{% set n.x = [n.x] %}{% endfor %}";
  EXPECT_EQ(run(source), "error: line 1: lists and dicts nest deeper than 200 levels");
}

TEST(TemplateLimits, depth_of_recursive_loops) {
  const std::string source = "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}";
  EXPECT_EQ(run(source, {.depth_max = 50}), "error: line 1: a loop recurses deeper than 50 levels");
}

TEST(TemplateLimits, depth_of_the_source) {
  EXPECT_EQ(run("{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}"),
            "error: line 1: nested deeper than 200 levels");
  EXPECT_EQ(run("{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}"),
            "error: line 1: nested deeper than 200 levels");
  EXPECT_EQ(run("{{ " + repeated("not ", 5000) + "1 }}"),
            "error: line 1: nested deeper than 200 levels");
  EXPECT_EQ(run("{{ " + repeated("-", 5000) + "1 }}"),
            "error: line 1: nested deeper than 200 levels");
  EXPECT_EQ(run("{{ " + repeated("1 if 1 else ", 5000) + "1 }}"),
            "error: line 1: nested deeper than 200 levels");
  EXPECT_EQ(run(repeated("{% if 1 %}", 5000)), "error: line 1: nested deeper than 200 levels");
}

TEST(TemplateLimits, length_of_one_expression) {
  const std::string error = "error: line 1: an expression of more than 1000 chained operations";
  EXPECT_EQ(run("{{ 1" + repeated(" + 1", 300) + " }}"), "301");
  EXPECT_EQ(run("{{ 1" + repeated(" + 1", 5000) + " }}"), error);
  EXPECT_EQ(run("{{ text" + repeated("|upper", 5000) + " }}"), error);
  EXPECT_EQ(run("{{ text" + repeated(".a", 5000) + " }}"), error);
  EXPECT_EQ(run("{{ text" + repeated("[0]", 5000) + " }}"), error);
  EXPECT_EQ(run("{{ text" + repeated("()", 5000) + " }}"), error);
  EXPECT_EQ(run("{{ 1" + repeated(" or 1", 5000) + " }}"), error);
}

TEST(TemplateLimits, variables_of_one_scope) {
  std::string source;
  for (int i = 0; i < 3000; ++i) source += fmt::format("{{{{ v{} }}}}", i);
  EXPECT_EQ(run(source), "error: line 1: more than 2048 variables in one scope");
}

TEST(TemplateLimits, shared_parts_do_not_make_work_exponential) {
  const std::string build =
      "{% set n = namespace(a=[], b=[]) %}{% for i in range(99) %}{% set n.a = [n.a, n.a] %}"
      "{% set n.b = [n.b, n.b] %}{% endfor %}";
  const RenderLimits limits = {.steps_max = 100'000, .memory_bytes_max = 1'000'000};
  EXPECT_TRUE(run(build + "{{ n.a == n.b }}", limits)
                  .starts_with("error: line 1: the template runs for more"));
  EXPECT_TRUE(run(build + "{{ n.a < n.b }}", limits)
                  .starts_with("error: line 1: the template runs for more"));
  EXPECT_TRUE(run(build + "{{ n.a }}", limits).starts_with("error: line 1: the template "));
  EXPECT_TRUE(run(build + "{{ {n.a: 1} }}", limits).starts_with("error: line 1: unhashable type"));
}

TEST(TemplateLimits, a_namespace_may_hold_itself) {
  EXPECT_EQ(
      run("{% set n = namespace() %}{% set n.me = n %}{% set n.l = [n] %}{{ n.me.l[0].me == n }}"),
      "True");
}

TEST(TemplateLimits, a_loop_object_kept_after_its_loop_is_harmless) {
  const std::string keep =
      "{% set n = namespace() %}{% macro m() %}{% for i in list if i > 1 %}{% set n.l = loop %}{% "
      "endfor %}{% endmacro %}"
      "{{ m() }}";
  EXPECT_EQ(run(keep + "{{ n.l.index }}{{ n.l.last }}"), "2True");
  EXPECT_TRUE(run(keep + "{{ n.l(list) }}").starts_with("error: line 1: "))
      << run(keep + "{{ n.l(list) }}");
}

TEST(TemplateLimits, an_error_names_the_innermost_line) {
  EXPECT_EQ(run("a\n{% if 1 %}\n{{ 1 +\n'a' }}\n{% endif %}"),
            "error: line 3: unsupported operand type(s) for +: 'int' and 'str'");
  EXPECT_EQ(run("\n{% macro m() %}\n\n{{ nope.x }}{% endmacro %}\n{{ m() }}"),
            "error: line 4: 'nope' is undefined");
}

TEST(TemplateLimits, text_that_is_not_utf8_is_refused) {
  EXPECT_EQ(run("a\xff"), "error: the text is not valid UTF-8");
}

}  // namespace
}  // namespace squish::jinja
