//! Statistics of the mask, and that it is the same everywhere.

use super::*;

const P: f64 = 0.1;

fn mask(seed: u64, step: u64, position: u32, site: u32, length: usize, features: usize) -> Vec<u8> {
    let mut out = vec![9; length * features];
    dropout_mask(seed, step, position, site, length, features, P, &mut out);
    assert!(out.iter().all(|&k| k <= 1));
    out
}

fn dropped(mask: &[u8]) -> f64 {
    mask.iter().filter(|&&k| k == 0).count() as f64 / mask.len() as f64
}

/// Standard deviations between the observed share and the expected one.
fn deviations(share: f64, expected: f64, n: usize) -> f64 {
    (share - expected).abs() / (expected * (1.0 - expected) / n as f64).sqrt()
}

#[test]
fn the_share_dropped_is_p() {
    for p in [0.0, 0.01, 0.1, 0.5, 0.9, 1.0] {
        let n = 400 * 1000;
        let mut out = vec![0; n];
        dropout_mask(42, 3, 1, 5, 400, 1000, p, &mut out);
        if p == 0.0 || p == 1.0 {
            assert_eq!(dropped(&out), p);
        } else {
            assert!(
                deviations(dropped(&out), p, n) < 4.5,
                "{p} {}",
                dropped(&out)
            );
        }
    }
}

#[test]
fn every_row_and_every_column_has_its_share() {
    let (length, features) = (512, 512);
    let out = mask(7, 1, 0, 0, length, features);
    for i in 0..512 {
        let column: Vec<u8> = (0..length).map(|t| out[t * features + i]).collect();
        assert!(
            deviations(dropped(&out[i * features..][..features]), P, features) < 5.5,
            "row {i}"
        );
        assert!(deviations(dropped(&column), P, length) < 5.5, "column {i}");
    }
}

#[test]
fn masks_of_other_keys_are_independent() {
    let base = mask(42, 3, 1, 5, 256, 512);
    let n = base.len();
    let others = [
        ("seed", mask(43, 3, 1, 5, 256, 512)),
        ("seed's high half", mask(42 + (1 << 32), 3, 1, 5, 256, 512)),
        ("step", mask(42, 4, 1, 5, 256, 512)),
        ("step's high half", mask(42, 3 + (1 << 32), 1, 5, 256, 512)),
        ("position", mask(42, 3, 2, 5, 256, 512)),
        ("site", mask(42, 3, 1, 6, 256, 512)),
        ("position and site exchanged", mask(42, 3, 5, 1, 256, 512)),
        (
            "next token",
            [&base[512..], &mask(1, 1, 1, 1, 1, 512)].concat(),
        ),
        ("next feature", [&base[1..], &[1]].concat()),
    ];
    for (what, other) in others {
        let both = base
            .iter()
            .zip(&other)
            .filter(|(a, b)| **a == 0 && **b == 0)
            .count();
        assert!(
            deviations(both as f64 / n as f64, P * P, n) < 5.0,
            "{what}: {both} of {n}"
        );
    }
}

#[test]
fn padding_changes_no_row() {
    let short = mask(42, 3, 1, 5, 7, 96);
    let long = mask(42, 3, 1, 5, 33, 96);
    assert_eq!(short, long[..short.len()]);
}

#[test]
fn wide_registers_and_narrow_ones_give_the_same_bytes() {
    let (mut wide, mut narrow) = (vec![0; 1003], vec![0; 1003]);
    fill_row(0x1234_5678, 0x9abc_def0, 0x4000_0000, &mut wide);
    fill(0x1234_5678, 0x9abc_def0, 0x4000_0000, &mut narrow);
    assert_eq!(wide, narrow);
}

#[test]
fn the_threshold_is_rounded_once() {
    assert_eq!(dropout_threshold(0.1), 429_496_730);
    assert_eq!(dropout_threshold(0.5), 1 << 31);
    assert_eq!(dropout_threshold(f64::MIN_POSITIVE), 0);
    assert_eq!(dropout_threshold(1.0), 1 << 32);
}

#[test]
fn the_mask_is_fixed_for_ever() {
    // Computed with int64 tensors by the formula in the header.
    let out = mask((1 << 40) + 42, (1 << 33) + 7, 3, 11, 64, 100);
    let sum = out.iter().fold(0u64, |c, &k| {
        c.wrapping_mul(1_000_003).wrapping_add(u64::from(k))
    });
    assert_eq!(sum, 9_047_335_869_319_105_355);
}
