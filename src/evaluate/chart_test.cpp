#include "evaluate/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"

namespace squish {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<ChartPoint> formats() {
  return {{"int4", 900e6, 0.01}, {"int8", 1.6e9, 0.0004}, {"sq2", 450e6, 0.21}};
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Chart, has_a_labelled_point_for_each_format) {
  const std::string svg = chart_svg(formats(), "a <model> & more");
  EXPECT_THAT(svg, StartsWith("<svg "));
  EXPECT_EQ(count_of(svg, "<circle"), 3U);
  EXPECT_THAT(svg, HasSubstr(">int4</text>"));
  EXPECT_THAT(svg, HasSubstr("a &lt;model&gt; &amp; more"));
  EXPECT_EQ(count_of(svg, "<text"), count_of(svg, "</text>"));
  EXPECT_THAT(svg, HasSubstr(">0.01</text>")) << "a tick of the axis";
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(Chart, labels_of_near_points_do_not_cover_each_other) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 4; ++i) points.push_back({"format", 1e9 + i * 1e6, 0.01});
  const std::string svg = chart_svg(points, "");
  std::vector<std::string> places;
  for (size_t at = svg.find("</circle><text "); at != std::string::npos;
       at = svg.find("</circle><text ", at + 1)) {
    places.push_back(svg.substr(at, svg.find('>', at + 10) - at));
  }
  ASSERT_EQ(places.size(), 4U);
  std::ranges::sort(places);
  EXPECT_EQ(std::ranges::adjacent_find(places), places.end());
}

TEST(Chart, in_characters_puts_the_smaller_to_the_left_and_the_worse_to_the_top) {
  const std::string text = chart_text(formats(), 40, 10);
  const std::vector<std::string_view> lines = split(text, '\n');
  const auto place = [&](char mark) {
    for (size_t row = 1; row <= 10; ++row) {
      const size_t column = lines[row].find(mark, 10);
      if (column != std::string_view::npos) return std::pair(row, column);
    }
    return std::pair(size_t{0}, size_t{0});
  };
  const auto [sq2_row, sq2_column] = place('a');
  const auto [int4_row, int4_column] = place('b');
  const auto [int8_row, int8_column] = place('c');
  EXPECT_LT(0U, sq2_row);
  EXPECT_LT(sq2_row, int4_row);
  EXPECT_LT(int4_row, int8_row);
  EXPECT_LT(sq2_column, int4_column);
  EXPECT_LT(int4_column, int8_column);
  EXPECT_THAT(text, HasSubstr("  a  sq2  450 MB  KL 0.21000\n"));
}

TEST(Chart, takes_what_cannot_be_drawn) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<ChartPoint> odd = {{"same", 0, 0}, {"inf", 5, kInfinity}, {"nan", 5, NAN}};
  for (const auto& points : {std::vector<ChartPoint>(), odd, std::vector{odd[0]}}) {
    EXPECT_THAT(chart_svg(points, "t"), Not(HasSubstr("nan'")));
    EXPECT_THAT(chart_svg(points, "t"), Not(HasSubstr("inf'")));
    EXPECT_FALSE(chart_text(points, 1, 1).empty());
  }
}

}  // namespace
}  // namespace squish
