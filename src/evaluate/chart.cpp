#include "evaluate/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish {
namespace {

constexpr double kKlMin = 1e-6;

/// One logarithmic axis over [low, high], with a little room at both ends.
class Axis {
 public:
  Axis(double low, double high) {
    const double room = std::max(0.02, 0.06 * (std::log(high) - std::log(low)));
    low_ = std::log(low) - room;
    high_ = std::log(high) + room;
  }
  /// 0 at the low end, 1 at the high one.
  [[nodiscard]] double place(double value) const {
    return (std::log(value) - low_) / (high_ - low_);
  }
  /// Round numbers inside: 1, 2 and 5 times powers of ten, or powers alone when those are many.
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> out;
    const bool is_wide = high_ - low_ > std::log(1000.0);
    for (int power = -8; power <= 14; ++power) {
      for (const double step : {1.0, 2.0, 5.0}) {
        const double value = step * std::pow(10.0, power);
        if ((is_wide && step > 1) || std::log(value) < low_ || std::log(value) > high_) continue;
        out.push_back(value);
      }
    }
    return out;
  }

 private:
  double low_ = 0;
  double high_ = 1;
};

struct Field {
  std::vector<ChartPoint> points;  // by size
  Axis x;
  Axis y;
};

Field make_field(std::span<const ChartPoint> given) {
  std::vector<ChartPoint> points(given.begin(), given.end());
  for (ChartPoint& point : points) {
    point.kl = std::isfinite(point.kl) ? std::max(point.kl, kKlMin) : kKlMin;
    point.bytes = std::max(point.bytes, 1.0);
  }
  std::ranges::stable_sort(points, {}, &ChartPoint::bytes);
  double lowest = points.empty() ? 1e-3 : points[0].kl;
  double highest = lowest;
  for (const ChartPoint& point : points) {
    lowest = std::min(lowest, point.kl);
    highest = std::max(highest, point.kl);
  }
  const double smallest = points.empty() ? 1e6 : points.front().bytes;
  const double largest = points.empty() ? 1e6 : points.back().bytes;
  return {std::move(points), Axis(smallest, largest), Axis(lowest, highest)};
}

std::string escape_xml(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20) out += c;
    }
  }
  return out;
}

struct Box {
  double left = 0;
  double top = 0;
  double right = 0;
  double bottom = 0;
  [[nodiscard]] bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

constexpr double kWidth = 760;
constexpr double kHeight = 480;
constexpr double kLeft = 76;
constexpr double kRight = 24;
constexpr double kTop = 44;
constexpr double kBottom = 56;
constexpr double kCharWidth = 6.8;  // of 12 pixel text, on average
constexpr double kLineHeight = 15;

double x_of(const Field& field, double bytes) {
  return kLeft + field.x.place(bytes) * (kWidth - kLeft - kRight);
}
double y_of(const Field& field, double kl) {
  return kHeight - kBottom - field.y.place(kl) * (kHeight - kTop - kBottom);
}

/// Where the labels go: right of the point, else left, else ever further up and down.
std::vector<Box> place_labels(const Field& field) {
  std::vector<Box> taken;
  for (const ChartPoint& point : field.points) {
    const double x = x_of(field, point.bytes);
    const double y = y_of(field, point.kl);
    taken.push_back({x - 4, y - 4, x + 4, y + 4});
  }
  std::vector<Box> labels;
  for (const ChartPoint& point : field.points) {
    const double x = x_of(field, point.bytes);
    const double y = y_of(field, point.kl);
    const double width = kCharWidth * static_cast<double>(point.label.size());
    Box best;
    for (int step = 0; step < 24; ++step) {
      const bool is_left = step % 2 == 1;
      const int level = (step / 2 + 1) / 2;
      const double shift = kLineHeight * level * ((step / 2) % 2 == 1 ? -1 : 1);
      const double left = is_left ? x - 8 - width : x + 8;
      const Box box = {left, y + shift - 7, left + width, y + shift + 7};
      const bool is_inside = box.left > kLeft && box.right < kWidth - 2 && box.top > kTop - 8 &&
                             box.bottom < kHeight - kBottom;
      if (step == 0) best = box;
      if (!is_inside || std::ranges::any_of(taken, [&](const Box& b) { return b.meets(box); }))
        continue;
      best = box;
      break;
    }
    taken.push_back(best);
    labels.push_back(best);
  }
  return labels;
}

std::string axes_svg(const Field& field) {
  std::string out;
  for (const double tick : field.x.ticks()) {
    const double x = x_of(field, tick);
    out += fmt::format(
        "<line class='grid' x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}'/>"
        "<text x='{0:.1f}' y='{3}' text-anchor='middle'>{4}</text>\n",
        x, kTop, kHeight - kBottom, kHeight - kBottom + 18,
        human_bytes(static_cast<uint64_t>(std::llround(tick))));
  }
  for (const double tick : field.y.ticks()) {
    const double y = y_of(field, tick);
    out += fmt::format(
        "<line class='grid' x1='{1}' x2='{2}' y1='{0:.1f}' y2='{0:.1f}'/>"
        "<text x='{3}' y='{4:.1f}' text-anchor='end'>{5:g}</text>\n",
        y, kLeft, kWidth - kRight, kLeft - 8, y + 4, tick);
  }
  out += fmt::format(
      "<text x='{}' y='{}' text-anchor='middle'>size</text>\n"
      "<text x='16' y='{}' text-anchor='middle' transform='rotate(-90 16 {})'>"
      "KL divergence, nats a token</text>\n",
      (kLeft + kWidth - kRight) / 2, kHeight - 14, (kTop + kHeight - kBottom) / 2,
      (kTop + kHeight - kBottom) / 2);
  return out;
}

}  // namespace

std::string chart_svg(std::span<const ChartPoint> points, std::string_view title) {
  const Field field = make_field(points);
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {0} {1}' width='{0}' height='{1}' "
      "font-family='sans-serif' font-size='12'>\n"
      "<style>text{{fill:#333}}.grid{{stroke:#ddd}}.page{{fill:#fff}}.point{{fill:#c2410c}}"
      "@media(prefers-color-scheme:dark){{text{{fill:#ddd}}.grid{{stroke:#444}}"
      ".page{{fill:#111}}.point{{fill:#fb923c}}}}</style>\n"
      "<rect class='page' width='{0}' height='{1}'/>\n"
      "<text x='{2}' y='26' font-size='15'>{3}</text>\n",
      kWidth, kHeight, kLeft, escape_xml(title));
  out += axes_svg(field);
  const std::vector<Box> labels = place_labels(field);
  for (size_t i = 0; i < field.points.size(); ++i) {
    const ChartPoint& point = field.points[i];
    out += fmt::format(
        "<circle class='point' cx='{:.1f}' cy='{:.1f}' r='4'><title>{}: {}, KL {:.5f}</title>"
        "</circle><text x='{:.1f}' y='{:.1f}'>{}</text>\n",
        x_of(field, point.bytes), y_of(field, point.kl), escape_xml(point.label),
        human_bytes(static_cast<uint64_t>(point.bytes)), point.kl, labels[i].left,
        labels[i].bottom - 3, escape_xml(point.label));
  }
  return out + "</svg>\n";
}

std::string chart_text(std::span<const ChartPoint> points, int columns, int rows) {
  columns = std::max(columns, 20);
  rows = std::max(rows, 5);
  const Field field = make_field(points);
  std::vector<std::string> lines(static_cast<size_t>(rows),
                                 std::string(static_cast<size_t>(columns), ' '));
  constexpr std::string_view kMarks = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const auto mark_of = [&](size_t i) { return kMarks[i % kMarks.size()]; };
  const auto cell = [](double place, int count) {
    const int index = static_cast<int>(std::lround(place * (count - 1)));
    return static_cast<size_t>(std::clamp(index, 0, count - 1));
  };
  for (size_t i = 0; i < field.points.size(); ++i) {
    const ChartPoint& point = field.points[i];
    char& at = lines[static_cast<size_t>(rows) - 1 - cell(field.y.place(point.kl), rows)]
                    [cell(field.x.place(point.bytes), columns)];
    at = at == ' ' ? mark_of(i) : '*';  // several in one place
  }
  std::vector<std::string> scale(static_cast<size_t>(rows));
  for (const double tick : field.y.ticks()) {
    scale[static_cast<size_t>(rows) - 1 - cell(field.y.place(tick), rows)] =
        fmt::format("{:g}", tick);
  }
  std::string out = "KL, nats\n";
  for (size_t i = 0; i < lines.size(); ++i)
    out += fmt::format("{:>8} │{}\n", scale[i],
                       lines[i].substr(0, lines[i].find_last_not_of(' ') + 1));
  std::string under(static_cast<size_t>(columns) + 12, ' ');
  for (const double tick : field.x.ticks()) {
    const std::string text = human_bytes(static_cast<uint64_t>(std::llround(tick)));
    const size_t at = 10 + cell(field.x.place(tick), columns);
    const size_t begin = at - std::min(at, text.size() / 2);
    // Leave out what would touch its neighbour.
    const size_t from = begin == 0 ? 0 : begin - 1;
    if (begin + text.size() > under.size() ||
        under.substr(from, text.size() + 2).find_first_not_of(' ') != std::string::npos)
      continue;
    under.replace(begin, text.size(), text);
  }
  std::string axis;
  for (int i = 0; i < columns; ++i) axis += "─";
  out += fmt::format("{:>8} └{}\n{}\n", "", axis, under.substr(0, under.find_last_not_of(' ') + 1));
  for (size_t i = 0; i < field.points.size(); ++i) {
    const ChartPoint& point = field.points[i];
    out += fmt::format("  {}  {}  {}  KL {:.5f}\n", mark_of(i), point.label,
                       human_bytes(static_cast<uint64_t>(point.bytes)), point.kl);
  }
  return out;
}

}  // namespace squish
