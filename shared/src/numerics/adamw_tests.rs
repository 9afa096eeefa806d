//! Against numbers printed by torch, and against itself with other numbers of threads.

use super::*;
use crate::ids::Step;
use crate::numerics::grad_norm;
use crate::numerics::parallel::in_pools;

/// The same hash as the script that made the golden numbers; exact in f32.
fn value(i: u64, bits: i32) -> f32 {
    let mut z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 40) as f64 - f64::from(1 << 23)) as f32 * 2f32.powi(-bits)
}

fn update(grad_norm: f64, max_grad_norm: f64, learning_rate: f64, adamw: AdamW) -> Update<'static> {
    Update {
        grad_norm,
        max_grad_norm,
        learning_rate,
        adamw,
        groups: &[],
    }
}

fn integers(values: impl Iterator<Item = f32>) -> Vec<i64> {
    let values: Vec<f32> = values.collect();
    let mut out = vec![0; values.len()];
    assert!(!crate::numerics::quantize_into(&values, 1, &mut out).0);
    out
}

// 50 steps of torch 2.11.0: clip_grad_norm_(1.0) then AdamW(lr = 1e-3 * (51 - s) / 50,
// weight_decay = 0.1), gradients of `value(1000 s + i, 23 + s % 4)`; bits of f32.
const PARAMS: [u32; 12] = [
    3187107537, 1036540897, 3165760207, 3187107221, 1038788174, 3185026615, 3175069804, 3181258424,
    1031947637, 3178223006, 1038138850, 3166109185,
];
const FIRST: [u32; 12] = [
    3176211359, 3129526842, 1034695275, 3157161792, 3182610278, 1012214752, 1030413233, 3160334868,
    1028401834, 1023573638, 1000796685, 1029034854,
];
const SECOND: [u32; 12] = [
    990734286, 991693021, 987120440, 991571678, 992306102, 990286111, 989376892, 993053793,
    989788879, 991013837, 990690118, 993260753,
];

fn assert_close(ours: &[f32], theirs: &[u32], ulps: i64, what: &str) {
    for (i, (ours, &theirs)) in ours.iter().zip(theirs).enumerate() {
        let distance = (i64::from(ours.to_bits()) - i64::from(theirs)).abs();
        assert!(
            distance <= ulps,
            "{what} {i}: {ours} is {distance} ulp away"
        );
    }
}

#[test]
fn fifty_steps_equal_torch_within_a_few_last_bits() {
    let mut state = AdapterState::new((0..12).map(|i| value(i, 26)).collect());
    let adamw = AdamW {
        weight_decay: 0.1,
        ..AdamW::default()
    };
    let mut norms = Vec::new();
    for s in 1..=50u64 {
        let total = integers((0..12).map(|i| value(1000 * s + i, 23 + (s % 4) as i32)));
        let norm = grad_norm(&total);
        norms.push(norm);
        let mut next = AdapterState::default();
        let rate = 1e-3 * (51 - s) as f64 / 50.0;
        apply(&state, &mut next, &total, &update(norm, 1.0, rate, adamw));
        state = next;
    }
    assert_eq!((state.step, state.optimizer_steps), (Step(50), 50));
    for (ours, theirs) in norms
        .iter()
        .zip([0.9293472, 0.51217341, 0.26573920, 2.5139961])
    {
        assert!((ours - theirs).abs() < 1e-6, "{norms:?}");
    }
    assert_close(&state.v, &SECOND, 2, "second moment");
    // First moments cancel: they are compared on the scale of the largest.
    for (ours, theirs) in state.m.iter().zip(FIRST.map(f32::from_bits)) {
        assert!((ours - theirs).abs() < 1e-8, "first moment {ours} {theirs}");
    }
    assert_close(&state.params, &PARAMS, 2, "parameter");
}

#[test]
fn threads_change_no_bit() {
    let n = 1_100_003u64;
    let mut state = AdapterState::new((0..n).map(|i| value(i, 26)).collect());
    state.m = (0..n).map(|i| value(i + 1, 28)).collect();
    state.v = (0..n).map(|i| value(i + 2, 30).abs()).collect();
    let total = integers((0..n).map(|i| value(i + 3, 24)));
    let rule = update(3.0, 1.0, 1e-3, AdamW::default());
    // Short enough for one share each.
    let pieces = (0..n as usize).step_by(500_000).map(|from| {
        let part = from..(from + 500_000).min(n as usize);
        let mut piece = AdapterState::new(state.params[part.clone()].to_vec());
        piece.m = state.m[part.clone()].to_vec();
        piece.v = state.v[part.clone()].to_vec();
        let mut next = AdapterState::default();
        apply(&piece, &mut next, &total[part], &rule);
        next
    });
    let pieces: Vec<AdapterState> = pieces.collect();
    let join = |of: fn(&AdapterState) -> &Vec<f32>| {
        let values: Vec<u32> = pieces.iter().flat_map(of).map(|x| x.to_bits()).collect();
        values
    };
    let plain = [join(|s| &s.params), join(|s| &s.m), join(|s| &s.v)];
    for found in in_pools(|| {
        let mut next = AdapterState::default();
        apply(&state, &mut next, &total, &rule);
        [next.params, next.m, next.v]
    }) {
        assert!(
            found.map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>()) == plain
        );
    }
}

#[test]
fn clipping_is_off_at_zero_and_inactive_below_the_bound() {
    let state = AdapterState::new(vec![0.5; 4]);
    let total = integers([0.1f32, -0.2, 0.3, 0.0].into_iter());
    let run = |max_grad_norm| {
        let mut next = AdapterState::default();
        let adamw = AdamW {
            eps: 1e-2,
            ..AdamW::default()
        };
        let rule = update(grad_norm(&total), max_grad_norm, 1e-2, adamw);
        apply(&state, &mut next, &total, &rule);
        next
    };
    assert_eq!(run(0.0), run(10.0));
    assert_ne!(run(0.0), run(0.1));
    assert!((run(0.1).m[2] - 0.1 * 0.3 * 0.1 / 0.374_165_74).abs() < 1e-7);
}

#[test]
fn an_element_without_gradient_only_decays() {
    let state = AdapterState::new(vec![2.0]);
    let mut next = AdapterState::default();
    let adamw = AdamW {
        weight_decay: 0.5,
        ..AdamW::default()
    };
    apply(&state, &mut next, &[0], &update(0.0, 1.0, 0.25, adamw));
    assert_eq!(next.params, [1.75]);
}

#[test]
fn powers_are_those_of_repeated_multiplication() {
    assert_eq!(power(0.5, 10), 1.0 / 1024.0);
    assert_eq!(power(0.9, 0), 1.0);
    let plain = (0..750).fold(1.0, |p, _| p * 0.999);
    assert!((power(0.999, 750) - plain).abs() < 1e-13);
}

#[test]
fn a_group_learns_at_its_own_rate_and_decay_whoever_shares_the_work() {
    let n = 1_200_000usize;
    let start = AdapterState::new((0..n as u64).map(|i| value(i, 24)).collect());
    let total = integers((0..n as u64).map(|i| value(7 * i + 1, 25)));
    let norm = grad_norm(&total);
    let decaying = AdamW {
        weight_decay: 0.1,
        ..AdamW::default()
    };
    let alone = |rate: f64, adamw: AdamW| {
        let mut next = AdapterState::default();
        apply(&start, &mut next, &total, &update(norm, 1.0, rate, adamw));
        next
    };
    let (plain, fast) = (alone(1e-3, decaying), alone(16e-3, AdamW::default()));
    let group = |end, lr_factor, decays| ParamGroup {
        end,
        lr_factor,
        decays,
    };
    // One is a single element, one goes over several shares.
    let groups = [
        group(700, 1.0, true),
        group(701, 16.0, false),
        group(900_000, 1.0, true),
        group(n, 16.0, false),
    ];
    let rule = Update {
        groups: &groups,
        ..update(norm, 1.0, 1e-3, decaying)
    };
    for next in in_pools(|| {
        let mut next = AdapterState::default();
        apply(&start, &mut next, &total, &rule);
        next
    }) {
        assert!(next.params[..700] == plain.params[..700]);
        assert_eq!(next.params[700], fast.params[700]);
        assert_ne!(next.params[700], plain.params[700]);
        assert!(next.params[701..900_000] == plain.params[701..900_000]);
        assert!(next.params[900_000..] == fast.params[900_000..]);
        assert!((&next.m, &next.v) == (&plain.m, &plain.v));
    }
}
