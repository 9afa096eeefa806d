#pragma once

#include <array>

// The code book of NF4: the values of the sixteen codes, as bitsandbytes rounds them. With z(p) the quantile of the
// standard normal distribution, and all divided by z(0.9677083): z(p) for eight p in equal steps from 0.9677083 down to
// 0.5, the last left out; 0; and -z(p) for seven such p. So weights that are normally distributed meet each code about
// equally often.
inline constexpr std::array<float, 16> kNf4 = {
    -1.0F,
    -0.6961928009986877F,
    -0.5250730514526367F,
    -0.39491748809814453F,
    -0.28444138169288635F,
    -0.18477343022823334F,
    -0.09105003625154495F,
    0.0F,
    0.07958029955625534F,
    0.16093020141124725F,
    0.24611230194568634F,
    0.33791524171829224F,
    0.44070982933044434F,
    0.5626170039176941F,
    0.7229568362236023F,
    1.0F,
};
