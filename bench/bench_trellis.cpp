// Microseconds a weight of the trellis encoder: bench_trellis [cpu|cuda] [ROWS] [COLUMNS] [THREADS]
// [RUNS]. Random weights and feedback from random inputs; the median of the runs (5) of each code,
// all of a matrix: rotations and sums on the processor, copies, search, feedback.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/hash.h"
#include "base/strings.h"
#include "compress/trellis_feedback.h"

namespace {

using namespace squish;
using Clock = std::chrono::steady_clock;

std::vector<float> random_floats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

int run(const std::string& name, size_t rows, size_t columns, int threads, size_t runs) {
  ThreadPool pool(threads);
  const auto device = compress::make_trellis_device(name);
  if (!device) {
    std::fputs((device.error().message + "\n").c_str(), stderr);
    return error_row(device.error().code).exit_code;
  }
  const std::vector<float> w = random_floats(rows * columns, 1);
  const std::vector<float> x = random_floats(2 * columns * columns, 2);
  compress::Hessian hessian = compress::Hessian::create(columns).value();
  hessian.add_rows({x.data(), 2 * columns, columns, columns}, pool);
  const compress::InputFrame frame =
      compress::InputFrame::create(std::move(hessian), 5, {}, pool).value();
  fmt::print("{}, {} threads, {} x {}\n", (*device)->description(), threads, rows, columns);
  for (const DType dtype : {DType::t2, DType::t3, DType::t4}) {
    std::vector<double> seconds;
    uint64_t hash = 0;
    for (size_t i = 0; i < runs; ++i) {
      const auto begin = Clock::now();
      const auto result = compress::encode_trellis(w, rows, frame, {dtype, 3}, **device, pool);
      seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
      if (!result) {
        std::fputs((result.error().message + "\n").c_str(), stderr);
        return error_row(result.error().code).exit_code;
      }
      hash = hash64(result->payload);
    }
    std::sort(seconds.begin(), seconds.end());
    const double weights = static_cast<double>(rows * columns);
    fmt::print("{}  {:.5f} us a weight (median of {}; {:.5f} to {:.5f})  {:016x}\n",
               type_info(dtype).name, seconds[runs / 2] / weights * 1e6, runs,
               seconds.front() / weights * 1e6, seconds.back() / weights * 1e6, hash);
    std::fflush(stdout);
  }
  return 0;
}

size_t number(int argc, char** argv, int index, int64_t fallback) {
  const auto given = argc > index ? parse_int(argv[index]) : fallback;
  return given && *given > 0 ? static_cast<size_t>(*given) : static_cast<size_t>(fallback);
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc > 1 ? argv[1] : "cpu", number(argc, argv, 2, 1024), number(argc, argv, 3, 1024),
             static_cast<int>(number(argc, argv, 4, usable_cpu_count())), number(argc, argv, 5, 5));
}
