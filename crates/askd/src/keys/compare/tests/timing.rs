//! Does the time of a comparison tell how nearly a secret is right, or whether there is such a key?
//!
//! Batches of each kind take turns, so that whatever slows the machine down slows all of them down. Of some batches the
//! fastest counts: it was not interrupted. What is left is compared by Welch's test. A true leak shows every time, a busy
//! machine now and then: so a difference must be seen in most of several attempts to count. That it would be seen at all is
//! shown with a comparison that stops at the first wrong byte.

use std::hint::black_box;
use std::time::Instant;

use super::*;

/// Comparisons in one batch: the clock must not matter.
const BATCH: usize = 200;
/// Of so many batches the fastest counts.
const OF: usize = 12;
/// Samples of each kind.
const SAMPLES: usize = 40;
const ATTEMPTS: usize = 6;
/// In so many attempts a difference must be seen.
const SEEN: usize = 4;

/// Beyond this, two means are not the same by chance; statisticians call 4.5 proof.
const T: f64 = 10.0;
/// Less than this part of the whole is no leak but the layout of the memory. Of a comparison of two hashes it is a
/// nanosecond or two.
const PART: f64 = 0.05;

type Compare = fn(&Secrets, &Hash) -> bool;

/// As one would write it who does not think of time.
fn naive(secrets: &Secrets, shown: &Hash) -> bool {
    secrets.0.iter().any(|slot| {
        for (one, other) in slot.hash.iter().zip(shown) {
            if black_box(one) != black_box(other) {
                return false;
            }
        }
        bool::from(slot.counts)
    })
}

/// What somebody may show who has no key, and what it is compared with.
fn kinds() -> Vec<(&'static str, Secrets, Hash)> {
    let right: Hash = std::array::from_fn(|place| u8::try_from(place * 7 % 251).unwrap());
    let wrong_at = |place: usize| {
        let mut wrong = right;
        wrong[place] ^= 0x40;
        wrong
    };
    let of = |kept: &[SecretRow]| Secrets::of(kept, 5);
    let known = || of(&[secret(&right, None), secret(&right, Some(9))]);
    vec![
        ("the first byte is wrong", known(), wrong_at(0)),
        ("the last byte is wrong", known(), wrong_at(31)),
        ("there is no such key", of(&[]), wrong_at(31)),
        ("one secret, which is wrong", of(&[secret(&right, None)]), wrong_at(16)),
        ("it was replaced", of(&[secret(&right, Some(1)), secret(&[9; 32], None)]), right),
    ]
}

/// Nanoseconds of a batch, by kind.
fn measure(compare: Compare, kinds: &[(&'static str, Secrets, Hash)]) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::with_capacity(SAMPLES); kinds.len()];
    for round in 0..SAMPLES {
        let mut fastest = vec![f64::INFINITY; kinds.len()];
        for turn in 0..OF * kinds.len() {
            // Not always in the same order.
            let kind = (turn + round) % kinds.len();
            let (_, secrets, shown) = &kinds[kind];
            let begin = Instant::now();
            for _ in 0..BATCH {
                assert!(!black_box(compare(black_box(secrets), black_box(shown))));
            }
            fastest[kind] = fastest[kind].min(begin.elapsed().as_secs_f64() * 1e9);
        }
        for (samples, fastest) in samples.iter_mut().zip(fastest) {
            samples.push(fastest);
        }
    }
    samples
}

/// Mean and variance, without the slowest quarter: even the fastest of some batches may have been interrupted.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn moments(samples: &[f64]) -> (f64, f64, f64) {
    let mut samples = samples.to_vec();
    samples.sort_by(f64::total_cmp);
    samples.truncate(samples.len() * 3 / 4);
    let number = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / number;
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (number - 1.0);
    (mean, variance, number)
}

/// Welch's t, and the difference as a part of the whole.
fn difference(one: &[f64], other: &[f64]) -> (f64, f64) {
    let ((mean, variance, number), (mean_2, variance_2, number_2)) = (moments(one), moments(other));
    let error = (variance / number + variance_2 / number_2).sqrt().max(f64::MIN_POSITIVE);
    ((mean - mean_2).abs() / error, (mean - mean_2).abs() / mean.min(mean_2))
}

/// The kinds that can be told apart in most attempts.
fn told_apart(compare: Compare) -> Vec<(&'static str, &'static str)> {
    let kinds = kinds();
    let pairs = (0..kinds.len()).flat_map(|one| (0..one).map(move |other| (other, one)));
    let mut seen: Vec<_> = pairs.map(|pair| (pair, 0)).collect();
    for left in (0..ATTEMPTS).rev() {
        let samples = measure(compare, &kinds);
        for ((one, other), times) in &mut seen {
            let (t, part) = difference(&samples[*one], &samples[*other]);
            *times += usize::from(t > T && part > PART);
        }
        // What cannot be seen often enough any more is none.
        seen.retain(|(_, times)| times + left >= SEEN);
        if seen.iter().all(|(_, times)| *times >= SEEN) {
            break;
        }
    }
    seen.into_iter().map(|((one, other), _)| (kinds[one].0, kinds[other].0)).collect()
}

#[test]
fn the_time_of_a_comparison_tells_nothing_of_the_secret() {
    let leaks = told_apart(naive);
    let first_and_last = ("the first byte is wrong", "the last byte is wrong");
    assert!(leaks.contains(&first_and_last), "this test would not see a leak: {leaks:?}");
    assert_eq!(told_apart(Secrets::have), []);
}
