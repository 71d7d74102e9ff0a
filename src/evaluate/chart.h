#pragma once
// What is lost against what it weighs: the formats of one model as points, both axes logarithmic.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace squish {

struct ChartPoint {
  std::string label;
  double bytes = 0;  // above 0
  double kl = 0;     // nats; below 1e-6 counts as 1e-6
};

/// A drawing of its own, 760 x 480 pixels, that reads on light and dark pages. Points are numbered
/// by nothing: each has its label beside it, moved where it would cover another.
std::string chart_svg(std::span<const ChartPoint> points, std::string_view title);

/// The same in characters: points are letters, and a line each says what they are, smallest first.
/// `columns` and `rows` are those of the field, at least 20 and 5.
std::string chart_text(std::span<const ChartPoint> points, int columns, int rows);

}  // namespace squish
