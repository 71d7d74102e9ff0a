// Speed of each matmul kernel: bytes of weights a second for decode, multiply-adds a second for
// prompts.
//   bench_kernels [ISA] [THREADS] [OUT] [IN] [PROMPT_ROWS] [TYPES, such as t2,q4_1]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "kernels/backend.h"
#include "kernels/testing/random_tensor.h"
#include "kernels/testing/random_trellis.h"

namespace {

using namespace squish;

double median_seconds(int repeats, const auto& function) {
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<size_t>(repeats) / 2];
}

/// What plain reading of 512 MB reaches on `threads` threads.
double read_bandwidth(ThreadPool& pool) {
  const size_t count = size_t{64} << 20;
  std::vector<uint64_t> memory(count, 1);
  std::vector<uint64_t> sums(static_cast<size_t>(pool.thread_count()) * 8);
  const double seconds = median_seconds(5, [&] {
    pool.parallel_for(count, 1 << 16, [&](size_t begin, size_t end, int thread) {
      uint64_t sum = 0;
      for (size_t i = begin; i < end; ++i) sum += memory[i];
      sums[static_cast<size_t>(thread) * 8] += sum;
    });
  });
  return static_cast<double>(count) * 8 / seconds / 1e9;
}

TensorView rows_of(const TensorView& view, size_t rows) {
  TensorView out = view;
  out.shape.dims[0] = std::min<size_t>(out.shape.dims[0], rows);
  return out;
}

/// One line of the table. A type without rows has a second, smaller matrix for prompts.
void measure(Backend& backend, DType dtype, size_t out_length, size_t in_length, size_t prompt) {
  constexpr size_t kPromptOut = 8960;
  std::unique_ptr<testing::RandomTrellis> trellis[2];
  std::unique_ptr<testing::RandomMatrix> matrix;
  TensorView views[2];
  if (is_trellis(dtype)) {
    for (size_t i = 0; i < 2; ++i) {
      trellis[i] = std::make_unique<testing::RandomTrellis>(
          dtype, i == 0 ? out_length : std::min(out_length, kPromptOut), in_length, 1);
      views[i] = trellis[i]->view();
    }
  } else {
    matrix = std::make_unique<testing::RandomMatrix>(dtype, out_length, in_length, 1);
    views[0] = matrix->view();
    views[1] = rows_of(matrix->view(), kPromptOut);
  }
  const std::vector<float> x = testing::random_floats(std::max<size_t>(prompt, 8) * in_length, 2);
  std::vector<float> out(std::max(prompt * views[1].row_count(), 8 * out_length));
  double seconds[6] = {};
  int column = 0;
  for (const size_t rows : {size_t{1}, size_t{2}, size_t{4}, size_t{6}, size_t{8}, prompt}) {
    const bool is_prompt = column == 5;
    const TensorView& view = views[is_prompt ? 1 : 0];
    const MatmulTarget target = {
        view, nullptr, {out.data(), rows, view.row_count(), view.row_count()}, false};
    seconds[column++] = median_seconds(7, [&] {
      backend.matmul({x.data(), rows, in_length, in_length}, std::span(&target, 1),
                     is_prompt ? rows : 0);
    });
  }
  const auto rate = [&](int i) { return static_cast<double>(views[0].bytes()) / seconds[i] / 1e9; };
  const auto weights = static_cast<double>(views[0].shape.elements());
  const auto prompt_work = static_cast<double>(prompt * views[1].shape.elements());
  fmt::print("{:8} {:9.4f} {:9.1f} {:9.1f} {:9.1f} {:9.1f} {:9.1f} | {:9.0f}\n",
             type_info(dtype).name, seconds[0] * 1e9 / weights, rate(0), rate(1), rate(2), rate(3),
             rate(4), prompt_work / seconds[5] / 1e9);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string isa = argc > 1 ? argv[1] : "";
  const int threads = argc > 2 ? std::atoi(argv[2]) : usable_cpu_count();
  const size_t out_length = argc > 3 ? static_cast<size_t>(std::atol(argv[3])) : 8960 * 16;
  const size_t in_length = argc > 4 ? static_cast<size_t>(std::atol(argv[4])) : 1536;
  const size_t prompt = argc > 5 ? static_cast<size_t>(std::atol(argv[5])) : 512;
  const std::string only = argc > 6 ? argv[6] : "";
  ThreadPool pool(threads);
  auto made = make_cpu_backend(pool, isa);
  if (!made) {
    fmt::print(stderr, "{}\n", made.error().message);
    return 1;
  }
  Backend& backend = **made;
  fmt::print("{} [{} x {}], memory read {:.1f} GB/s\n", backend.description(), out_length,
             in_length, read_bandwidth(pool));
  fmt::print("{:8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} | {:>9}\n", "type", "1 row", "1 row",
             "2 rows", "4 rows", "6 rows", "8 rows", "prompt");
  fmt::print("{:8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} | {:>9}\n", "", "ns/weight", "GB/s", "GB/s",
             "GB/s", "GB/s", "GB/s", "GMAC/s");
  for (const DType dtype :
       {DType::t2, DType::t3, DType::t4, DType::q4_1, DType::i3, DType::q4_k, DType::q6_k,
        DType::q5_k, DType::q4_0, DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k,
        DType::iq4_nl, DType::iq4_xs, DType::bf16, DType::f16, DType::f32}) {
    if (!only.empty() && only.find(type_info(dtype).name) == std::string::npos) continue;
    measure(backend, dtype, out_length, in_length, prompt);
  }
  return 0;
}
