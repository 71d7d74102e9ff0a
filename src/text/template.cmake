# Chat templates: the Jinja engine and the layer on top of it.
find_package(simdjson REQUIRED)
set(SQUISH_TEXT_TEMPLATE_SOURCES
  jinja_value.cpp jinja_json.cpp jinja_unicode.cpp
  jinja_lexer.cpp jinja_parser.cpp jinja_parser_expression.cpp jinja_parser_postfix.cpp jinja_scope.cpp
  jinja_runtime.cpp jinja_compare.cpp jinja_repr.cpp jinja_arguments.cpp jinja_operators.cpp jinja_access.cpp
  jinja_format.cpp jinja_format_braces.cpp
  jinja_methods.cpp jinja_string_methods.cpp jinja_string_split.cpp
  jinja_filters_text.cpp jinja_filters_sequence.cpp jinja_filters_order.cpp jinja_tests.cpp
  jinja_globals.cpp jinja_interpreter.cpp jinja_loop.cpp jinja_evaluate.cpp
  chat_template.cpp go_template_lexer.cpp go_template.cpp)
set(SQUISH_TEXT_TEMPLATE_LIBRARIES simdjson::simdjson)
set(SQUISH_TEXT_TEMPLATE_TESTS
  jinja_value_test.cpp jinja_language_test.cpp jinja_limits_test.cpp chat_template_test.cpp go_template_test.cpp)
