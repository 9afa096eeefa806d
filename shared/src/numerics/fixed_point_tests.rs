//! Against exact integer arithmetic, and the laws the design rests on.

use proptest::prelude::*;

use super::*;
use crate::numerics::parallel::in_pools;

/// `round_half_even(value * 2^scale)` from the bits of the f32, in integers only.
fn exact(value: f32, scale: i32) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    let bits = value.to_bits();
    let field = ((bits >> 23) & 0xff) as i32;
    let fraction = i128::from(bits & 0x7f_ffff);
    let (mantissa, exponent) = if field == 0 {
        (fraction, -149)
    } else {
        (fraction | 1 << 23, field - 150)
    };
    let shift = exponent + scale;
    let size = if shift >= 0 {
        if shift > 90 {
            return Some(i128::MAX);
        }
        mantissa << shift
    } else if shift < -60 {
        0
    } else {
        let down = -shift;
        let floor = mantissa >> down;
        let rest = mantissa - (floor << down);
        let half = 1i128 << (down - 1);
        floor + i128::from(rest > half || (rest == half && floor & 1 == 1))
    };
    Some(if value.is_sign_negative() {
        -size
    } else {
        size
    })
}

fn expected(value: f32, parts: u32) -> Option<i64> {
    let q = exact(value, 44)?;
    let fits = q
        .unsigned_abs()
        .checked_mul(u128::from(parts))
        .is_some_and(|p| p < 1 << 63);
    fits.then(|| i64::try_from(q).unwrap())
}

fn any_float() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        (-200i32..=200, -60i32..30).prop_map(|(m, e)| m as f32 * 2f32.powi(e)),
        -300.0f32..300.0,
    ]
}

#[test]
fn halves_go_to_the_even_neighbour() {
    let unit = 2f32.powi(-45);
    let values = [1.0, 3.0, 5.0, -1.0, -3.0, -5.0, 0.0, -0.0, 2.0].map(|m: f32| m * unit);
    let mut out = [9i64; 9];
    assert_eq!(quantize_into(&values, 1, &mut out), Overflow(false));
    assert_eq!(out, [0, 2, 2, 0, -2, -2, 0, 0, 1]);
}

#[test]
fn what_does_not_fit_becomes_zero_and_raises_the_flag() {
    for bad in [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        524_288.0,
        -524_288.0,
        f32::MAX,
    ] {
        let mut out = [7i64; 3];
        assert_eq!(
            quantize_into(&[1.0, bad, -1.0], 1, &mut out),
            Overflow(true),
            "{bad}"
        );
        assert_eq!(out, [1 << 44, 0, -(1 << 44)]);
    }
    let mut out = [0i64];
    assert_eq!(quantize_into(&[524_287.97], 1, &mut out), Overflow(false));
    // Shared by 8 micro-batches the bound is 2^16, by 8192 it is 2^6.
    assert_eq!(quantize_into(&[65_536.0], 8, &mut out), Overflow(true));
    assert_eq!(quantize_into(&[65_535.99], 8, &mut out), Overflow(false));
    assert_eq!(quantize_into(&[64.0], 8192, &mut out), Overflow(true));
    assert_eq!(quantize_into(&[63.99], 8192, &mut out), Overflow(false));
}

#[test]
fn the_largest_parts_that_pass_do_not_wrap_together() {
    for parts in [1u32, 3, 8, 4096, 4097] {
        let mut value = (2f64.powi(19) / f64::from(parts)) as f32;
        let mut out = [0i64];
        while quantize_into(&[value], parts, &mut out).0 {
            value = value.next_down();
        }
        assert!(
            i128::from(out[0]) * i128::from(parts) <= i128::from(i64::MAX),
            "{parts}"
        );
        assert!(
            quantize_into(&[value.next_up()], parts, &mut out).0,
            "{parts}"
        );
    }
}

#[test]
fn losses_are_summed_exactly_and_bad_ones_are_told() {
    assert_eq!(quantize_losses(&[]), (0, false));
    assert_eq!(quantize_losses(&[1.0, 0.5, 2.0]), ((7 << 40) >> 1, false));
    assert_eq!(quantize_losses(&[1.0, f32::NAN]), (1 << 40, true));
    assert_eq!(quantize_losses(&[8_000_000.0, 8_000_000.0]), (0, true));
    assert_eq!(loss_value((7 << 40) >> 1, 3), 3.5 / 3.0);
    assert!(loss_value(0, 0).is_nan());
    assert_eq!(add_losses(i64::MAX, 1), None);
    assert_eq!(add_losses(2, 3), Some(5));
}

#[test]
fn the_way_back_is_exact_for_what_an_f32_holds() {
    for value in [1.0f32, -0.3, 1.0e-4, 77.25] {
        let mut out = [0];
        assert!(!quantize_into(&[value], 1, &mut out).0);
        assert!((dequantize(out[0]) - f64::from(value)).abs() <= 2f64.powi(-45));
    }
    assert_eq!(dequantize(1 << 44), 1.0);
}

proptest! {
    #[test]
    fn every_element_equals_exact_integer_arithmetic(
        values in prop::collection::vec(any_float(), 1..40),
        parts in prop_oneof![1u32..20, 4000u32..5000],
    ) {
        let mut out = vec![1i64; values.len()];
        let flag = quantize_into(&values, parts, &mut out);
        let exact: Vec<Option<i64>> = values.iter().map(|&v| expected(v, parts)).collect();
        prop_assert_eq!(flag.0, exact.contains(&None));
        prop_assert_eq!(out, exact.iter().map(|q| q.unwrap_or(0)).collect::<Vec<_>>());
    }

    #[test]
    fn losses_equal_exact_integer_arithmetic(values in prop::collection::vec(0f32..400.0, 0..60)) {
        let sum: i128 = values.iter().map(|&v| exact(v, 40).unwrap()).sum();
        prop_assert_eq!(quantize_losses(&values), (i64::try_from(sum).unwrap(), false));
    }

    #[test]
    fn any_split_in_any_order_gives_the_same_total(
        gradients in prop::collection::vec(prop::collection::vec(-100f32..100.0, 5), 1..12),
        owners in prop::collection::vec(0usize..4, 12),
        order in any::<prop::sample::Index>(),
    ) {
        let parts = gradients.len() as u32;
        let integers: Vec<Vec<i64>> = gradients.iter().map(|g| {
            let mut q = vec![0; g.len()];
            assert!(!quantize_into(g, parts, &mut q).0);
            q
        }).collect();
        let mut straight = vec![0; 5];
        integers.iter().for_each(|q| accumulate(&mut straight, q));
        // Each worker sums what it owns, from another starting point; then workers are summed.
        let mut workers = vec![vec![0i64; 5]; 4];
        let start = order.index(integers.len());
        for k in 0..integers.len() {
            let i = (start + k) % integers.len();
            accumulate(&mut workers[owners[i]], &integers[i]);
        }
        let mut total = vec![0; 5];
        workers.iter().rev().for_each(|w| accumulate(&mut total, w));
        prop_assert_eq!(total, straight);
    }
}

#[test]
fn threads_change_no_integer_and_hide_no_overflow() {
    let mut gradient: Vec<f32> = (0..1_100_003u32)
        .map(|i| (i.wrapping_mul(0x9e37_79b9) as f32 - 2e9) * 1e-8)
        .collect();
    let quantized = |gradient: &[f32]| {
        in_pools(|| {
            let mut integers = vec![7; gradient.len()];
            let overflow = quantize_into(gradient, 3, &mut integers);
            accumulate(&mut integers, &vec![5; gradient.len()]);
            (overflow.0, integers)
        })
    };
    let right = |gradient: &[f32], found: &[i64]| {
        let plain = gradient.iter().map(|value| {
            let scaled = (f64::from(*value) * GRADIENT_SCALE).round_ties_even();
            5 + if scaled.is_finite() { scaled as i64 } else { 0 }
        });
        plain.zip(found).all(|(plain, found)| plain == *found)
    };
    for (overflow, integers) in quantized(&gradient) {
        assert!(!overflow && right(&gradient, &integers));
    }
    gradient[1_000_000] = f32::NAN;
    for (overflow, integers) in quantized(&gradient) {
        assert!(overflow && right(&gradient, &integers));
    }
}
