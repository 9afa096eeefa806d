#include "product.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

namespace {

// The longer side of a result is cut into pieces of this length, at least into two.
constexpr int64_t kBlock = 256;
// Elements that are widened to f32 at a time, and the fewest rows or columns of a piece.
constexpr int64_t kWidened = 4 << 20;
constexpr int64_t kNarrowest = 16;

// OpenMP's parallel region, of the very library that libtorch uses: only inside one of its regions
// does the math library know that it must not share the work once more.
using Region = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

Region region() {
  static const auto found = reinterpret_cast<Region>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return found;
}

// Processors without instructions for halves multiply them a hundred times slower than f32, so halves
// are widened, a piece at a time, multiplied in f32 and rounded once: what such instructions give too.
bool widened(const at::Tensor& output) {
  return output.scalar_type() == at::kBFloat16 || output.scalar_type() == at::kHalf;
}

struct Cut {
  at::Tensor& output;
  // The side that is not cut is widened already.
  const at::Tensor left;
  const at::Tensor right;
  double keep;
  double scale;
  int64_t side;
  int64_t length;
  int64_t block;
  std::atomic<int64_t> next{0};
  std::mutex mutex{};
  std::exception_ptr error{};

  void piece(int64_t from) {
    const auto count = std::min(block, length - from);
    auto part = output.narrow(side, from, count);
    const auto& rows = side == 0 ? left.narrow(0, from, count) : left;
    const auto& columns = side == 1 ? right.narrow(1, from, count) : right;
    if (!widened(output)) {
      part.addmm_(rows, columns, keep, scale);
      return;
    }
    auto sum = at::mm(rows.to(at::kFloat), columns.to(at::kFloat));
    if (scale != 1.0) sum.mul_(scale);
    if (keep != 0.0) sum.add_(part.to(at::kFloat), keep);
    part.copy_(sum);
  }

  // What every thread of the region does.
  void work() noexcept {
    at::AutoDispatchBelowADInplaceOrView no_gradients;
    for (int64_t from = next.fetch_add(block); from < length; from = next.fetch_add(block)) {
      try {
        piece(from);
      } catch (...) {
        std::lock_guard<std::mutex> guard(mutex);
        error = std::current_exception();
      }
    }
  }
};

void run(at::Tensor& output, const at::Tensor& left, const at::Tensor& right, double keep,
         double scale) {
  const auto rows = output.size(0);
  const auto columns = output.size(1);
  const int64_t side = columns >= rows ? 1 : 0;
  const auto length = std::max(rows, columns);
  const bool wide = widened(output);
  auto block = std::max<int64_t>(1, std::min(kBlock, (length + 1) / 2));
  // A widened piece of a long side, such as a vocabulary, stays small.
  if (wide) block = std::min(block, std::max(kNarrowest, kWidened / std::max<int64_t>(1, left.size(1))));
  Cut cut{output,
          wide && side == 1 ? left.to(at::kFloat) : left,
          wide && side == 0 ? right.to(at::kFloat) : right,
          keep, scale, side, length, block};
  const auto pieces = (length + block - 1) / block;
  const auto threads = std::min<int64_t>(at::get_num_threads(), pieces);
  if (threads > 1 && !at::in_parallel_region()) {
    TORCH_CHECK(region() != nullptr, "libtorch's OpenMP has no GOMP_parallel");
    auto body = [](void* data) { static_cast<Cut*>(data)->work(); };
    region()(body, &cut, static_cast<unsigned>(threads), 0);
  } else {
    cut.work();
  }
  if (cut.error) std::rethrow_exception(cut.error);
}

}  // namespace

at::Tensor product(const at::Tensor& left, const at::Tensor& right) {
  if (!left.is_cpu()) return at::mm(left, right);
  auto output = at::empty({left.size(0), right.size(1)}, left.options());
  run(output, left, right, 0.0, 1.0);
  return output;
}

void add_product(at::Tensor& output, const at::Tensor& left, const at::Tensor& right,
                 double scale) {
  if (output.is_cpu()) {
    run(output, left, right, 1.0, scale);
  } else {
    output.addmm_(left, right, 1.0, scale);
  }
}
