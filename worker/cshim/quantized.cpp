#include "quantized.h"

#include "guarded.h"
#include "kernels.h"
#include "product.h"
#include "region.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace {

// Bytes of codes that a device makes dense at a time: some 50 MB of temporaries.
constexpr int64_t kDeviceChunk = 4 << 20;
constexpr float kEighth = 0.007874015718698502F;

// Both values of a byte of codes, the high half's first: 256 pairs.
const float* pairs() {
  static const auto table = [] {
    std::array<float, 512> made{};
    for (size_t byte = 0; byte < 256; ++byte) {
      made[2 * byte] = kNf4[byte >> 4];
      made[2 * byte + 1] = kNf4[byte & 15];
    }
    return made;
  }();
  return table.data();
}

// The values of some bytes of codes within one block: table[code] * scale.
WIDE void unpack(const uint8_t* packed, int64_t bytes, float scale, const float* table,
                 float* values) {
  for (int64_t i = 0; i < bytes; ++i) {
    values[2 * i] = table[2 * packed[i]] * scale;
    values[2 * i + 1] = table[2 * packed[i] + 1] * scale;
  }
}

WIDE void scale_row(const int8_t* codes, int64_t count, float scale, float* values) {
  for (int64_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(codes[i]) * scale * kEighth;
  }
}

// The scale of a block in f32: its largest magnitude, as bitsandbytes stored it.
float scale_of(const FrozenWeight& weight, int64_t block) {
  if (weight.scales.scalar_type() == at::kFloat) return weight.scales.const_data_ptr<float>()[block];
  const auto code = weight.scales.const_data_ptr<uint8_t>()[block];
  const auto* nested = weight.nested_scales.const_data_ptr<float>();
  const auto value = weight.nested_map.const_data_ptr<float>()[code];
  return value * nested[block / weight.nested_block] + weight.offset;
}

void nf4_on_cpu(const FrozenWeight& weight, const at::Tensor& output) {
  const auto count = weight.rows * weight.columns;
  const auto blocks = (count + weight.block - 1) / weight.block;
  const auto* packed = weight.values.const_data_ptr<uint8_t>();
  const auto* table = pairs();
  with_type(output, [&](auto* into) {
    in_blocks(blocks, rows_in_block(weight.block), [&](int64_t from, int64_t to) {
      std::array<float, 4096> values;
      for (int64_t block = from; block < to; ++block) {
        const auto start = block * weight.block;
        const auto length = std::min(weight.block, count - start);
        const auto scale = scale_of(weight, block);
        unpack(packed + start / 2, (length + 1) / 2, scale, table, values.data());
        narrow(values.data(), length, into + start);
      }
    });
  });
}

// The table on a device, each pair one element of eight bytes, copied there once: a copy waits for all that the device
// has to do. Never freed, for the device may be gone first.
at::Tensor pairs_on(c10::Device device) {
  static std::mutex alone;
  static auto* tables = new std::unordered_map<c10::Device, at::Tensor>();
  const std::lock_guard<std::mutex> lock(alone);
  auto& table = (*tables)[device];
  if (!table.defined()) {
    auto made = at::empty({512}, at::kFloat);
    std::copy(pairs(), pairs() + 512, made.data_ptr<float>());
    table = made.to(device).view(at::kLong);
  }
  return table;
}

// NF4 values by libtorch's operators, few of them: each is multiplied in f32 and rounded once, as on the CPU.
void nf4_by_operators(const FrozenWeight& weight, const at::Tensor& output) {
  const auto table = pairs_on(weight.values.device());
  auto scales = weight.scales;
  if (scales.scalar_type() != at::kFloat) {
    const auto blocks = scales.size(0);
    auto wide = weight.nested_map.index_select(0, scales.to(at::kInt));
    auto nested = weight.nested_scales.repeat_interleave(weight.nested_block).narrow(0, 0, blocks);
    scales = wide.mul_(nested).add_(weight.offset);
  }
  auto flat = output.view(-1);
  const auto count = flat.size(0);
  const auto whole = count / weight.block * weight.block;
  const auto step = kDeviceChunk * 2 / weight.block * weight.block;
  auto values = [&](int64_t from, int64_t length) {
    auto bytes = weight.values.narrow(0, from / 2, (length + 1) / 2).to(at::kInt);
    return table.index_select(0, bytes).view(at::kFloat).narrow(0, 0, length);
  };
  for (int64_t from = 0; from < whole; from += step) {
    const auto length = std::min(step, whole - from);
    auto into = flat.narrow(0, from, length).view({-1, weight.block});
    at::mul_out(into, values(from, length).view({-1, weight.block}),
                scales.narrow(0, from / weight.block, length / weight.block).unsqueeze(1));
  }
  if (whole < count) {
    auto into = flat.narrow(0, whole, count - whole);
    at::mul_out(into, values(whole, count - whole), scales.narrow(0, whole / weight.block, 1));
  }
}

void int8_on_cpu(const FrozenWeight& weight, const at::Tensor& output) {
  const auto* codes = weight.values.const_data_ptr<int8_t>();
  const auto* scales = weight.scales.const_data_ptr<float>();
  const auto columns = weight.columns;
  with_type(output, [&](auto* into) {
    in_blocks(weight.rows, rows_in_block(columns), [&](int64_t from, int64_t to) {
      std::vector<float> values(static_cast<size_t>(columns));
      for (int64_t row = from; row < to; ++row) {
        scale_row(codes + row * columns, columns, scales[row], values.data());
        narrow(values.data(), columns, into + row * columns);
      }
    });
  });
}

void int8_by_operators(const FrozenWeight& weight, const at::Tensor& output) {
  const auto step = std::max<int64_t>(1, kDeviceChunk * 2 / weight.columns);
  for (int64_t from = 0; from < weight.rows; from += step) {
    const auto length = std::min(step, weight.rows - from);
    auto into = output.narrow(0, from, length);
    auto rows = at::mul(weight.values.narrow(0, from, length), weight.scales.narrow(0, from, length).unsqueeze(1));
    at::mul_out(into, rows, at::scalar_tensor(kEighth));
  }
}

// The type that values are rounded to first.
at::ScalarType first_type(const FrozenWeight& weight) {
  return weight.rounded == at::kFloat ? weight.compute : weight.rounded;
}

}  // namespace

at::Tensor FrozenWeight::dense() const {
  if (form == Form::Dense) return values;
  if (!has_kernels(values)) return by_operators();
  at::AutoDispatchBelowADInplaceOrView no_gradients;
  auto output = at::empty({rows, columns}, values.options().dtype(first_type(*this)));
  form == Form::Nf4 ? nf4_on_cpu(*this, output) : int8_on_cpu(*this, output);
  return as_type(output, compute);
}

at::Tensor FrozenWeight::by_operators() const {
  if (form == Form::Dense) return values;
  at::AutoDispatchBelowADInplaceOrView no_gradients;
  auto output = at::empty({rows, columns}, values.options().dtype(first_type(*this)));
  form == Form::Nf4 ? nf4_by_operators(*this, output) : int8_by_operators(*this, output);
  return output.to(compute);
}

namespace {

FrozenWeight* held(const void* weight) {
  return static_cast<const FrozenPointer*>(weight)->get();
}

void* hold(FrozenPointer weight) { return new FrozenPointer(std::move(weight)); }

}  // namespace

extern "C" {

char* shim_frozen_dense(tensor weight, void** made) {
  return guarded([&] {
    auto frozen = c10::make_intrusive<FrozenWeight>();
    frozen->values = in(weight);
    frozen->rows = frozen->values.size(0);
    frozen->columns = frozen->values.size(1);
    frozen->compute = frozen->values.scalar_type();
    *made = hold(std::move(frozen));
  });
}

char* shim_frozen_nf4(const nf4_parts* parts, void** made) {
  return guarded([&] {
    auto frozen = c10::make_intrusive<FrozenWeight>();
    frozen->form = FrozenWeight::Form::Nf4;
    frozen->rows = parts->rows;
    frozen->columns = parts->columns;
    frozen->values = in(parts->packed);
    frozen->scales = in(parts->scales);
    frozen->block = parts->block;
    TORCH_CHECK(frozen->block % 2 == 0 && frozen->block <= 4096, "a block of ", frozen->block);
    if (parts->nested_scales != nullptr) {
      frozen->nested_scales = in(parts->nested_scales);
      frozen->nested_map = in(parts->nested_map);
      frozen->nested_block = parts->nested_block;
      frozen->offset = parts->offset;
    }
    frozen->rounded = static_cast<at::ScalarType>(parts->rounded);
    frozen->compute = static_cast<at::ScalarType>(parts->compute);
    *made = hold(std::move(frozen));
  });
}

char* shim_frozen_int8(tensor codes, tensor scales, int compute, void** made) {
  return guarded([&] {
    auto frozen = c10::make_intrusive<FrozenWeight>();
    frozen->form = FrozenWeight::Form::Int8;
    frozen->values = in(codes);
    frozen->rows = frozen->values.size(0);
    frozen->columns = frozen->values.size(1);
    frozen->scales = in(scales);
    frozen->compute = static_cast<at::ScalarType>(compute);
    *made = hold(std::move(frozen));
  });
}

char* shim_frozen_value(const void* weight, tensor* value) {
  return guarded([&] { *value = out(held(weight)->dense()); });
}

char* shim_frozen_by_operators(const void* weight, tensor* value) {
  return guarded([&] { *value = out(held(weight)->by_operators()); });
}

void shim_frozen_free(void* weight) { delete static_cast<FrozenPointer*>(weight); }
}
