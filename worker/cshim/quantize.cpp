// Codes and scales of weights, as bitsandbytes makes them.
#include "quantized.h"

#include "guarded.h"
#include "region.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

namespace {

// Block sizes of bitsandbytes' own checkpoints.
constexpr int64_t kBlock = 64;
constexpr int64_t kNestedBlock = 256;
constexpr float kTiny = 1e-38F;

// The positive values of the signed 8-bit map but for 1: seven decades, each with twice the steps of the
// one below. A table, because torch spaces points otherwise on processors with wider vectors.
constexpr std::array<float, 127> kMagnitudes = {
    5.50000038e-7F, 3.25000019e-6F, 7.7499999e-6F, 2.12499981e-5F, 4.37499984e-5F, 6.62500024e-5F,
    8.87499991e-5F, 0.000156250011F, 0.000268750038F, 0.000381250022F, 0.000493750034F,
    0.000606250076F, 0.00071875006F, 0.000831249985F, 0.000943750085F, 0.00128124992F,
    0.00184375001F, 0.00240624999F, 0.00296874996F, 0.00353124971F, 0.00409374991F, 0.00465624966F,
    0.00521875033F, 0.00578125007F, 0.00634374982F, 0.00690625003F, 0.00746874977F, 0.00803124998F,
    0.00859375019F, 0.00915624946F, 0.00971874967F, 0.0114062503F, 0.0142187504F, 0.0170312505F,
    0.0198437516F, 0.0226562507F, 0.0254687499F, 0.028281251F, 0.0310937501F, 0.0339062512F,
    0.0367187522F, 0.0395312496F, 0.0423437469F, 0.0451562516F, 0.047968749F, 0.05078125F,
    0.053593751F, 0.0564062484F, 0.0592187531F, 0.0620312504F, 0.0648437515F, 0.0676562563F,
    0.0704687461F, 0.0732812509F, 0.0760937482F, 0.078906253F, 0.0817187577F, 0.0845312476F,
    0.0873437524F, 0.0901562497F, 0.0929687545F, 0.0957812592F, 0.0985937491F, 0.107031256F,
    0.12109375F, 0.135156244F, 0.149218753F, 0.163281247F, 0.177343756F, 0.19140625F, 0.205468744F,
    0.219531253F, 0.233593747F, 0.247656241F, 0.26171875F, 0.275781274F, 0.289843738F,
    0.303906262F, 0.317968726F, 0.33203125F, 0.346093744F, 0.360156238F, 0.374218762F,
    0.388281226F, 0.40234375F, 0.416406244F, 0.430468738F, 0.444531262F, 0.458593726F, 0.47265625F,
    0.486718714F, 0.500781238F, 0.514843702F, 0.528906226F, 0.54296875F, 0.557031274F,
    0.571093798F, 0.585156262F, 0.599218726F, 0.61328125F, 0.627343774F, 0.641406298F,
    0.655468762F, 0.669531226F, 0.68359375F, 0.697656274F, 0.711718798F, 0.725781262F,
    0.739843726F, 0.75390625F, 0.767968774F, 0.782031238F, 0.796093762F, 0.810156226F, 0.82421875F,
    0.838281274F, 0.852343738F, 0.866406262F, 0.880468726F, 0.89453125F, 0.908593774F,
    0.922656238F, 0.936718762F, 0.950781226F, 0.96484375F, 0.978906274F, 0.992968738F,
};

const std::array<float, 256>& dynamic_map() {
  static const auto table = [] {
    std::array<float, 256> made{};
    for (size_t i = 0; i < kMagnitudes.size(); ++i) {
      made[126 - i] = -kMagnitudes[i];
      made[128 + i] = kMagnitudes[i];
    }
    made[255] = 1.0F;
    return made;
  }();
  return table;
}

// The nearest of the 256 codes for each of 65,536 values between -1 and 1, equally far apart.
const std::vector<uint8_t>& nearest() {
  static const auto table = [] {
    constexpr int64_t size = 65536;
    const auto& map = dynamic_map();
    std::vector<uint8_t> made(size);
    size_t code = 0;
    for (int64_t at = 0; at < size; ++at) {
      const float value = -1.0F + (2.0F * static_cast<float>(at)) / static_cast<float>(size - 1);
      while (code < 255 && 0.5F * (map[code] + map[code + 1]) < value) ++code;
      made[static_cast<size_t>(at)] = static_cast<uint8_t>(code);
    }
    return made;
  }();
  return table;
}

// The largest magnitude of some values; infinite as soon as one of them is not a finite number.
WIDE float largest(const float* values, int64_t count) {
  float most = 0.0F;
  int32_t strange = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(values[i]);
    strange |= !(magnitude <= std::numeric_limits<float>::max());
    most = magnitude > most ? magnitude : most;
  }
  return strange != 0 ? std::numeric_limits<float>::infinity() : most;
}

// The NF4 code of each value between -1 and 1: how many of the 15 midpoints between neighbours of the code book lie
// below it.
WIDE void nf4_codes(const float* values, int64_t count, int32_t* codes) {
  for (int64_t i = 0; i < count; ++i) codes[i] = 0;
  for (size_t code = 0; code + 1 < kNf4.size(); ++code) {
    const float bound = (kNf4[code] + kNf4[code + 1]) / 2.0F;
    for (int64_t i = 0; i < count; ++i) codes[i] += bound < values[i] ? 1 : 0;
  }
}

// Values times a factor, held between -1 and 1.
WIDE void normalize(float* values, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) {
    const float value = values[i] * factor;
    values[i] = value < -1.0F ? -1.0F : (value > 1.0F ? 1.0F : value);
  }
}

struct Nested {
  at::Tensor codes;
  at::Tensor scales;
  float offset;
};

// The scales of NF4's blocks in eight bits: less their mean, divided by the largest magnitude of 256 of them, rounded
// to the nearest of 256 codes.
Nested nest(const at::Tensor& absmax) {
  // torch's own mean, as its one thread computes it.
  const auto offset = absmax.mean().item<float>();
  const auto centred = absmax.sub(offset);
  const auto count = centred.size(0);
  const auto blocks = (count + kNestedBlock - 1) / kNestedBlock;
  Nested nested{at::zeros({count}, at::kByte), at::empty({blocks}, at::kFloat), offset};
  const auto* values = centred.const_data_ptr<float>();
  auto* codes = nested.codes.data_ptr<uint8_t>();
  auto* scales = nested.scales.data_ptr<float>();
  const auto& table = nearest();
  for (int64_t block = 0; block < blocks; ++block) {
    const auto start = block * kNestedBlock;
    const auto end = std::min(start + kNestedBlock, count);
    scales[block] = largest(values + start, end - start);
    if (scales[block] == 0.0F) continue;
    const float factor = 1.0F / scales[block];
    for (int64_t i = start; i < end; ++i) {
      const float value = std::min(std::max(values[i] * factor, -1.0F), 1.0F);
      codes[i] = table[static_cast<uint16_t>((value + 1.0F) * 0.5F * 65535.0F + 0.5F)];
    }
  }
  return nested;
}

// Writes the codes of one block of NF4 and returns its scale: the largest magnitude as it is stored.
template <typename Value>
float quantize_block(const Value* from, int64_t length, bool whole, uint8_t* packed) {
  std::array<float, kBlock> values{};
  std::array<int32_t, kBlock> codes;
  for (int64_t i = 0; i < length; ++i) values[i] = static_cast<float>(from[i]);
  float scale = largest(values.data(), length);
  if (whole) {
    normalize(values.data(), length, 1.0F / std::max(scale, kTiny));
  } else {
    // The last block of a weight whose elements do not fill it is divided, and never of scale 0.
    scale = std::max(scale, kTiny);
    for (int64_t i = 0; i < length; ++i) values[i] = values[i] / scale;
  }
  nf4_codes(values.data(), kBlock, codes.data());
  for (int64_t i = 0; i < (length + 1) / 2; ++i) {
    packed[i] = static_cast<uint8_t>((codes[2 * i] << 4) | codes[2 * i + 1]);
  }
  return scale;
}

}  // namespace

extern "C" {

char* shim_nf4_quantize(tensor weight, int nested, int* finite, tensor* packed, tensor* scales,
                        tensor* nested_scales, float* offset) {
  return guarded([&] {
    const auto& values = in(weight);
    TORCH_CHECK(values.is_cpu() && values.is_contiguous(), "a weight is quantized on the CPU");
    const auto count = values.numel();
    const auto blocks = (count + kBlock - 1) / kBlock;
    auto codes = at::empty({(count + 1) / 2}, at::kByte);
    auto absmax = at::empty({blocks}, at::kFloat);
    auto* bytes = codes.data_ptr<uint8_t>();
    auto* largest_of = absmax.data_ptr<float>();
    std::atomic<bool> good{true};
    with_type(values, [&](auto* from) {
      in_blocks(blocks, rows_in_block(kBlock), [&](int64_t first, int64_t last) {
        for (int64_t block = first; block < last; ++block) {
          const auto start = block * kBlock;
          const auto length = std::min(kBlock, count - start);
          const float scale =
              quantize_block(from + start, length, length == kBlock, bytes + start / 2);
          largest_of[block] = scale;
          if (std::isinf(scale)) good = false;
        }
      });
    });
    *finite = good ? 1 : 0;
    *nested_scales = nullptr;
    *offset = 0.0F;
    if (nested != 0 && good) {
      auto made = nest(absmax);
      absmax = made.codes;
      *nested_scales = out(made.scales);
      *offset = made.offset;
    }
    *packed = out(codes);
    *scales = out(absmax);
  });
}

char* shim_int8_quantize(tensor weight, int* finite, tensor* codes, tensor* scales) {
  return guarded([&] {
    const auto& values = in(weight);
    TORCH_CHECK(values.is_cpu() && values.is_contiguous(), "a weight is quantized on the CPU");
    const auto rows = values.size(0);
    const auto columns = values.size(1);
    auto made = at::empty({rows, columns}, at::kChar);
    auto absmax = at::empty({rows}, at::kFloat);
    auto* bytes = made.data_ptr<int8_t>();
    auto* largest_of = absmax.data_ptr<float>();
    std::atomic<bool> good{true};
    with_type(values, [&](auto* from) {
      in_blocks(rows, rows_in_block(columns), [&](int64_t first, int64_t last) {
        std::vector<float> row_of(static_cast<size_t>(columns));
        for (int64_t row = first; row < last; ++row) {
          // bitsandbytes takes weights in float16.
          for (int64_t i = 0; i < columns; ++i) {
            const auto half = static_cast<at::Half>(static_cast<float>(from[row * columns + i]));
            row_of[static_cast<size_t>(i)] = static_cast<float>(half);
          }
          const float scale = largest(row_of.data(), columns);
          largest_of[row] = scale;
          if (std::isinf(scale)) good = false;
          const float factor = scale == 0.0F ? 0.0F : 1.0F / scale * 127.0F;
          for (int64_t i = 0; i < columns; ++i) {
            const float value = std::nearbyint(row_of[static_cast<size_t>(i)] * factor);
            bytes[row * columns + i] = static_cast<int8_t>(value);
          }
        }
      });
    });
    *finite = good ? 1 : 0;
    *codes = out(made);
    *scales = out(absmax);
  });
}

char* shim_nested_map(tensor* map) {
  return guarded([&] {
    const auto& table = dynamic_map();
    auto made = at::empty({256}, at::kFloat);
    std::copy(table.begin(), table.end(), made.data_ptr<float>());
    *map = out(made);
  });
}
}
