#include "product.h"

#include "kernels.h"
#include "region.h"

#include <ATen/cpu/Utils.h>
#include <dlfcn.h>

#include <algorithm>

namespace {

// The longer side of a result is cut into pieces of this length, at least into two.
constexpr int64_t kBlock = 256;
// Elements that are widened to f32 at a time, and the fewest rows or columns of a piece.
constexpr int64_t kWidened = 4 << 20;
constexpr int64_t kNarrowest = 16;

// MKL's product of bf16 with sums in f32, and what CBLAS calls the order of matrices.
using Native = void (*)(int order, int left, int right, int rows, int columns, int inner, float scale, const void* a,
                        int step_a, const void* b, int step_b, float keep, float* output, int step_output);
constexpr int kByRows = 101;
constexpr int kAsItIs = 111;
constexpr int kTransposed = 112;

Native native() {
  static const auto found = reinterpret_cast<Native>(dlsym(RTLD_DEFAULT, "cblas_gemm_bf16bf16f32"));
  return found;
}

bool has(const char* name) {
  const auto all = at::cpu::get_cpu_capabilities();
  const auto found = all.find(name);
  return found != all.end() && found->second.isBool() && found->second.toBool();
}

// Processors without instructions for halves multiply them a hundred times slower than f32, so halves
// are widened, a piece at a time, multiplied in f32 and rounded once: what such instructions give too.
// They are used where the processor has them for bf16 (libtorch has none for fp16 that are faster).
enum class Way { Plain, Native, Widened };

Way way_of(at::ScalarType type) {
  if (type == at::kBFloat16 && native() != nullptr && *bf16_instructions() != '\0') return Way::Native;
  return type == at::kBFloat16 || type == at::kHalf ? Way::Widened : Way::Plain;
}

// A matrix as the math library takes one: its rows or its columns lie without gaps in them.
struct Matrix {
  at::Tensor values;
  bool by_columns;

  explicit Matrix(const at::Tensor& given)
      : values(fits(given, 0) || fits(given, 1) ? given : given.contiguous()), by_columns(!fits(values, 0)) {}

  // Whether rows (0) or columns (1) lie one behind the other; expanded ones lie on each other.
  static bool fits(const at::Tensor& given, int64_t along) {
    const bool apart = given.size(along) <= 1 || given.stride(along) >= given.size(1 - along);
    return apart && (given.stride(1 - along) == 1 || given.size(1 - along) <= 1);
  }

  int order() const { return by_columns ? kTransposed : kAsItIs; }
  const void* data() const { return values.const_data_ptr(); }

  // From one row or column to the next. That of a single one says nothing, and MKL wants it long enough.
  int step() const {
    const int64_t along = by_columns ? 1 : 0;
    return static_cast<int>(std::max(values.stride(along), values.size(1 - along)));
  }
};

struct Cut {
  at::Tensor& output;
  // The side that is not cut is widened already.
  const at::Tensor left;
  const at::Tensor right;
  double keep;
  double scale;
  Way way;
  int64_t side;

  void piece(int64_t from, int64_t count) const {
    auto part = output.narrow(side, from, count);
    const auto& rows = side == 0 ? left.narrow(0, from, count) : left;
    const auto& columns = side == 1 ? right.narrow(1, from, count) : right;
    if (way == Way::Plain) {
      part.addmm_(rows, columns, keep, scale);
      return;
    }
    auto sum = way == Way::Native ? by_instructions(Matrix(rows), Matrix(columns))
                                  : at::mm(rows.to(at::kFloat), columns.to(at::kFloat));
    if (scale != 1.0) sum.mul_(scale);
    if (keep != 0.0) sum.add_(part.to(at::kFloat), keep);
    part.copy_(sum);
  }

  // bf16, summed in f32. oneDNN, which libtorch would ask, takes and gives back memory at each call, and threads wait
  // for each other there.
  static at::Tensor by_instructions(const Matrix& left, const Matrix& right) {
    const auto rows = left.values.size(0);
    const auto inner = left.values.size(1);
    const auto columns = right.values.size(1);
    auto sum = at::empty({rows, columns}, left.values.options().dtype(at::kFloat));
    native()(kByRows, left.order(), right.order(), static_cast<int>(rows), static_cast<int>(columns),
             static_cast<int>(inner), 1.0F, left.data(), left.step(), right.data(), right.step(), 0.0F,
             sum.data_ptr<float>(), static_cast<int>(columns));
    return sum;
  }
};

void run(at::Tensor& output, const at::Tensor& left, const at::Tensor& right, double keep,
         double scale) {
  const auto rows = output.size(0);
  const auto columns = output.size(1);
  const int64_t side = columns >= rows ? 1 : 0;
  const auto length = std::max(rows, columns);
  const auto way = way_of(output.scalar_type());
  const bool wide = way == Way::Widened;
  auto block = std::max<int64_t>(1, std::min(kBlock, (length + 1) / 2));
  // A widened piece of a long side, such as a vocabulary, stays small.
  if (wide) block = std::min(block, std::max(kNarrowest, kWidened / std::max<int64_t>(1, left.size(1))));
  Cut cut{output,
          wide && side == 1 ? as_type(left, at::kFloat) : left,
          wide && side == 0 ? as_type(right, at::kFloat) : right,
          keep, scale, way, side};
  in_blocks(length, block, [&](int64_t from, int64_t to) { cut.piece(from, to - from); });
}

}  // namespace

const char* bf16_instructions() {
  static const char* found = has("amx_bf16") && at::cpu::init_amx() ? "amx_bf16"
                             : has("avx512_bf16")                  ? "avx512_bf16"
                                                                   : "";
  return found;
}

namespace {

// Whether rows are worth sharing: more than a block.
bool shared(const at::Tensor& value) {
  return has_kernels(value) && value.dim() == 2 && value.size(0) > rows_in_block(value.size(1));
}

void each_rows(const at::Tensor& value, const std::function<void(int64_t, int64_t)>& body) {
  in_blocks(value.size(0), rows_in_block(value.size(1)),
            [&](int64_t from, int64_t to) { body(from, to - from); });
}

}  // namespace

at::Tensor as_type(const at::Tensor& value, at::ScalarType type) {
  if (value.scalar_type() == type || !shared(value)) return value.to(type);
  auto made = at::empty(value.sizes(), value.options().dtype(type));
  each_rows(value, [&](int64_t from, int64_t count) {
    made.narrow(0, from, count).copy_(value.narrow(0, from, count));
  });
  return made;
}

at::Tensor dropped(const at::Tensor& value, const at::Tensor& keep, double scale) {
  if (!shared(value)) return at::mul(value, keep).mul_(scale);
  auto made = at::empty(value.sizes(), value.options());
  each_rows(value, [&](int64_t from, int64_t count) {
    auto part = made.narrow(0, from, count);
    at::mul_out(part, value.narrow(0, from, count), keep.narrow(0, from, count)).mul_(scale);
  });
  return made;
}

at::Tensor product(const at::Tensor& left, const at::Tensor& right) {
  if (!has_kernels(left)) return at::mm(left, right);
  auto output = at::empty({left.size(0), right.size(1)}, left.options());
  run(output, left, right, 0.0, 1.0);
  return output;
}

void add_product(at::Tensor& output, const at::Tensor& left, const at::Tensor& right,
                 double scale) {
  if (has_kernels(output)) {
    run(output, left, right, 1.0, scale);
  } else {
    output.addmm_(left, right, 1.0, scale);
  }
}
