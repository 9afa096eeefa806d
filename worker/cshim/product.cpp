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

// OpenMP's parallel region, of the very library that libtorch uses: only inside one of its regions
// does the math library know that it must not share the work once more.
using Region = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

Region region() {
  static const auto found = reinterpret_cast<Region>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return found;
}

struct Cut {
  at::Tensor& output;
  const at::Tensor& left;
  const at::Tensor& right;
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
    part.addmm_(rows, columns, keep, scale);
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
  const auto block = std::max<int64_t>(1, std::min(kBlock, (length + 1) / 2));
  Cut cut{output, left, right, keep, scale, side, length, block};
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
