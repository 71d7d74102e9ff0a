#include "text/go_template.h"

#include <gtest/gtest.h>

#include "text/chat_template.h"

namespace squish {
namespace {

Value message(const char* role, const char* content) {
  return Value::dict({{"role", role}, {"content", content}});
}

/// What the template makes of the messages; an error's message when it has one.
std::string rendered(std::string_view source, Value::List messages, Value extra = Value::dict(),
                     Value tools = Value()) {
  const auto jinja = go_template_to_jinja(source);
  if (!jinja) return "error: " + jinja.error().message;
  const auto parsed = ChatTemplate::parse(*jinja);
  if (!parsed) return "error: " + parsed.error().message + "\n" + *jinja;
  ChatTemplate::Input input;
  input.messages = Value::list(std::move(messages));
  input.extra = std::move(extra);
  input.tools = std::move(tools);
  const auto text = parsed->render(input);
  return text ? *text : "error: " + text.error().message + "\n" + *jinja;
}

const Value::List kTalk = {message("system", "Be brief."), message("user", "Hi"),
                           message("assistant", "Hello."), message("user", "Who are you?")};

TEST(GoTemplate, is_told_apart_from_jinja) {
  EXPECT_TRUE(is_go_template("{{ .System }}"));
  EXPECT_TRUE(is_go_template("x {{- if .Prompt }}y{{ end }}"));
  EXPECT_TRUE(is_go_template("{{ $x := 1 }}"));
  EXPECT_FALSE(is_go_template("{% for m in messages %}{{ m.content }}{% endfor %}"));
  EXPECT_FALSE(is_go_template("{{ messages[0].content }}"));
  EXPECT_FALSE(is_go_template("plain text"));
}

TEST(GoTemplate, without_messages_is_rendered_turn_by_turn_up_to_the_response) {
  const char* source =
      "{{ if .System }}<|system|>{{ .System }}<|end|>\n{{ end }}"
      "{{ if .Prompt }}<|user|>{{ .Prompt }}<|end|>\n{{ end }}<|assistant|>{{ .Response "
      "}}<|end|>\n";
  EXPECT_EQ(rendered(source, kTalk),
            "<|system|>Be brief.<|end|>\n<|user|>Hi<|end|>\n<|assistant|>Hello.<|end|>\n"
            "<|user|>Who are you?<|end|>\n<|assistant|>");
}

TEST(GoTemplate, without_a_response_gets_it_at_the_end) {
  EXPECT_EQ(rendered("[{{ .Prompt }}]", kTalk), "[Hi]Hello.[Who are you?]");
}

TEST(GoTemplate, ranges_over_messages_with_index_and_trim_marks) {
  const char* source =
      "{{- range $i, $_ := .Messages }}\n"
      "{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
      "{{- if eq .Role \"user\" }}<u>{{ .Content }}</u>\n"
      "{{ else if eq .Role \"assistant\" }}<a>{{ .Content }}</a>\n"
      "{{ end }}\n"
      "{{- if $last }}<a>{{ end }}\n"
      "{{- end }}";
  EXPECT_EQ(rendered(source, kTalk), "<u>Hi</u>\n<a>Hello.</a>\n<u>Who are you?</u>\n<a>");
}

TEST(GoTemplate, knows_the_system_text_beside_messages) {
  EXPECT_EQ(rendered("{{ .System }}|{{ range .Messages }}{{ .Role }},{{ end }}", kTalk),
            "Be brief.|system,user,assistant,user,");
}

TEST(GoTemplate, lists_tools_and_calls) {
  const Value function = Value::dict({{"name", "f"}, {"arguments", Value::dict({{"x", 1}})}});
  Value call = message("assistant", "");
  call.set("tool_calls", Value::list({Value::dict({{"function", function}})}));
  const Value tools = Value::list({Value::dict({{"type", "function"}, {"function", function}})});
  const char* source =
      "{{ if .Tools }}{{ range .Tools }}{{ . }};{{ json .Function.Name }};{{ end }}{{ end }}"
      "{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Name }}:"
      "{{ .Function.Arguments }}{{ end }}{{ end }}";
  EXPECT_EQ(rendered(source, {call}, Value::dict(), tools),
            R"({"type":"function","function":{"name":"f","arguments":{"x":1}}};"f";f:{"x":1})");
}

TEST(GoTemplate, has_fields_for_infilling_and_thinking) {
  const char* source =
      "{{ if .Suffix }}<p>{{ .Prompt }}<s>{{ .Suffix }}<m>{{ else if .Messages }}chat"
      "{{ if and .IsThinkSet (not .Think) }} quiet{{ end }}{{ end }}";
  EXPECT_EQ(rendered(source, {message("user", "ab")}, Value::dict({{"suffix", "ef"}})),
            "<p>ab<s>ef<m>");
  EXPECT_EQ(rendered(source, {message("user", "ab")}), "chat");
  EXPECT_EQ(rendered(source, {message("user", "ab")}, Value::dict({{"enable_thinking", false}})),
            "chat quiet");
}

TEST(GoTemplate, keeps_variables_over_the_end_of_a_block) {
  const char* source =
      "{{ $n := 0 }}{{ range $i, $m := .Messages }}{{ if eq $m.Role \"user\" \"tool\" }}"
      "{{ $n = $i }}{{ end }}{{ end }}last={{ $n }}";
  EXPECT_EQ(rendered(source, kTalk), "last=3");
}

TEST(GoTemplate, takes_text_as_it_is) {
  EXPECT_EQ(rendered("{% raw 'x' \\n %}\n{{ range .Messages }}{{ end }}{# no #}\n", kTalk),
            "{% raw 'x' \\n %}\n{# no #}\n");
  EXPECT_EQ(
      rendered("a {{- /* }} a remark */ -}} b{{ range .Messages }}{{ break }}{{ end }}", kTalk),
      "ab");
  EXPECT_EQ(
      rendered("{{ with .Suffix }}<{{ . }}>{{ else }}none{{ end }}{{ .Messages | len }}", kTalk),
      "none4");
}

TEST(GoTemplate, names_what_is_wrong_with_its_line) {
  EXPECT_EQ(rendered("\n{{ .Nothing }}", kTalk),
            "error: template: line 2: the field .Nothing is not known");
  EXPECT_EQ(rendered("{{ if .System }}", kTalk), "error: template: line 1: an end is missing");
  EXPECT_EQ(rendered("{{ end }}", kTalk), "error: template: line 1: end without if, range or with");
  EXPECT_EQ(rendered("{{ .System", kTalk), "error: template: line 1: the action has no }}");
  EXPECT_EQ(rendered("{{ $x }}", kTalk), "error: template: line 1: the variable $x is not defined");
  EXPECT_EQ(rendered("{{ printf \"%s\" .System }}", kTalk),
            "error: template: line 1: printf with 2 arguments is not known");
  EXPECT_EQ(rendered("{{ template \"x\" }}", kTalk),
            "error: template: line 1: template is not supported");
}

}  // namespace
}  // namespace squish
