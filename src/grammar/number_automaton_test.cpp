// Every text of a few digits against arithmetic.
#include "grammar/number_automaton.h"

#include <cstdlib>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace squish {
namespace {

Decimal decimal(double number) { return decimal_of(Value(number)).value(); }

NumberBounds between(std::optional<double> least, std::optional<double> most) {
  NumberBounds out;
  if (least) out.least = decimal(*least);
  if (most) out.most = decimal(*most);
  return out;
}

bool accepts(const std::string& automaton, const std::string& text) {
  std::vector<std::string> states;
  for (size_t begin = 0; begin < automaton.size();) {
    const size_t end = automaton.find(';', begin);
    states.push_back(automaton.substr(begin, end - begin));
    begin = end + 1;
  }
  size_t at = 0;
  for (const char c : text) {
    const std::string& ways = states.at(at);
    size_t begin = ways.starts_with('!') ? 1 : 0;
    size_t next = std::string::npos;
    while (begin < ways.size()) {
      const size_t mark = ways.find('>', begin);
      const size_t end = ways.find(',', mark);
      if (ways.substr(begin, mark - begin).find(c) != std::string::npos)
        next = static_cast<size_t>(std::atoi(ways.substr(mark + 1, end - mark - 1).c_str()));
      begin = end + 1;
    }
    if (next == std::string::npos) return false;
    at = next;
  }
  return states.at(at).starts_with('!');
}

/// "-1.25" of -1250 thousandths, with as many of its decimals.
std::string text_of(int64_t thousandths, int places) {
  const int64_t size = std::abs(thousandths);
  std::string out = fmt::format("{}{}", thousandths < 0 ? "-" : "", size / 1000);
  if (places > 0)
    out += "." + fmt::format("{:03}", size % 1000).substr(0, static_cast<size_t>(places));
  return out;
}

struct Case {
  double factor;
  std::optional<double> least;
  std::optional<double> most;
  bool are_in = true;
};

TEST(NumberAutomaton, takes_the_multiples_within_the_bounds_and_no_other_number) {
  const std::vector<Case> cases = {
      {0.01, {}, {}},         {0.01, 0.0, {}},        {0.01, 0.0, 9.99},
      {0.1, {}, {}},          {0.1, -0.25, 1.05},     {0.5, {}, {}},
      {0.5, 0.5, 3.0, false}, {0.25, -1.0, 12.5},     {0.25, {}, -0.25, false},
      {2.5, 2.0, {}},         {0.3, {}, {}},          {0.3, -3.0, 3.0},
      {7, 2.0, {}},           {10, {}, 100.0, false}, {11, -50.0, 12.0},
      {1.5, 1.49, 1.51},      {0.125, {}, {}},        {0.001, -0.002, 1.001},
      {1, 0.5, 9.5},          {6.75, {}, {}},
  };
  for (const Case& one : cases) {
    NumberBounds bounds = between(one.least, one.most);
    bounds.is_least_in = bounds.is_most_in = one.are_in;
    const auto automaton = number_automaton(decimal(one.factor), bounds);
    ASSERT_TRUE(automaton) << one.factor;
    ASSERT_FALSE(automaton->empty()) << one.factor;
    const auto units = [](double number) {
      return static_cast<int64_t>(number * 1000 + (number < 0 ? -0.5 : 0.5));
    };
    const int64_t factor = units(one.factor);
    int factor_places = 3;
    for (int64_t unit = factor; factor_places > 0 && unit % 10 == 0; unit /= 10) --factor_places;
    for (int64_t number = -13'000; number <= 13'000; ++number) {
      for (int places = 0; places <= 3; ++places) {
        const int64_t shown = places == 0 ? 1000 : places == 1 ? 100 : places == 2 ? 10 : 1;
        if (number % shown != 0) continue;  // the text is of another number
        const auto is_above = [&](double bound) {
          return one.are_in ? number >= units(bound) : number > units(bound);
        };
        const auto is_below = [&](double bound) {
          return one.are_in ? number <= units(bound) : number < units(bound);
        };
        const bool is_wanted = number % factor == 0 && places <= factor_places &&
                               (!one.least || is_above(*one.least)) &&
                               (!one.most || is_below(*one.most));
        const std::string text = text_of(number, places);
        EXPECT_EQ(accepts(*automaton, text), is_wanted)
            << one.factor << " takes " << text << ": " << *automaton;
      }
    }
    for (const char* text : {"", "-", ".5", "00", "01", "1.", "-0", "-0.0", "1e1", "0x1", "+1"})
      EXPECT_FALSE(accepts(*automaton, text)) << one.factor << " takes " << text;
  }
}

TEST(NumberAutomaton, is_empty_where_no_multiple_is_within_the_bounds) {
  EXPECT_EQ(number_automaton(decimal(0.5), between(0.1, 0.4)), "");
  EXPECT_EQ(number_automaton(decimal(10), between(1, 9)), "");
  EXPECT_EQ(number_automaton(decimal(0.1), between(2, 1)), "");
}

TEST(NumberAutomaton, has_fractions_of_as_many_digits_as_every_double_holds) {
  const auto automaton = number_automaton(decimal(0.01), NumberBounds()).value();
  EXPECT_TRUE(accepts(automaton, "1234567890123.45"));
  EXPECT_FALSE(accepts(automaton, "12345678901234.56"));
  const auto whole = number_automaton(decimal(5), between(-5, {})).value();
  EXPECT_TRUE(accepts(whole, "123456789012345678901234567890"));
  EXPECT_FALSE(accepts(whole, "123456789012345678901234567891"));
}

TEST(NumberAutomaton, gives_up_where_it_would_be_too_large) {
  EXPECT_FALSE(number_automaton(decimal(0.00012347), NumberBounds()));
  EXPECT_FALSE(number_automaton(decimal(1e-12), NumberBounds()));
  EXPECT_FALSE(number_automaton(decimal(123'457), between(0, {})));
}

TEST(Decimal, is_the_number_that_was_written) {
  EXPECT_EQ(decimal(0.01).digits, 1);
  EXPECT_EQ(decimal(0.01).exponent, -2);
  EXPECT_EQ(decimal(-1500).digits, -15);
  EXPECT_EQ(decimal(-1500).exponent, 2);
  EXPECT_EQ(decimal(1e-7).exponent, -7);
  EXPECT_TRUE(is_multiple(decimal(0.3), decimal(0.1)).value());
  EXPECT_TRUE(is_multiple(decimal(19.99), decimal(0.01)).value());
  EXPECT_FALSE(is_multiple(decimal(19.995), decimal(0.01)).value());
  EXPECT_EQ(to_json(value_of(common_multiple(decimal(0.4), decimal(0.6)).value())).value(), "1.2");
  EXPECT_EQ(to_json(value_of(common_multiple(decimal(2.5), decimal(1)).value())).value(), "5");
  EXPECT_EQ(scaled(decimal(-0.25), 1, false), -3);
  EXPECT_EQ(scaled(decimal(-0.25), 1, true), -2);
  EXPECT_EQ(scaled(decimal(99'999'999'999.99), 2, false), 9'999'999'999'999);
}

}  // namespace
}  // namespace squish
