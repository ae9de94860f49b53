//! Tests of two engines in one denoiser, the second of which is a stand-in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::tests::{FULL, OFF};
use super::*;

/// A network that lets everything through, after its delay.
#[derive(Default)]
struct Fake {
    held: VecDeque<Frame>,
    work_ms: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
    breaks: bool,
}

impl Enhancer for Fake {
    fn clean(&mut self, frame: &Frame, cleaned: &mut Frame) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(self.work_ms.load(Ordering::Relaxed)));
        self.held.push_back(*frame);
        *cleaned = [if self.breaks { f32::NAN } else { 0.0 }; FRAME_SAMPLES];
        if self.held.len() > ENHANCER_DELAY_FRAMES {
            *cleaned = self.held.pop_front().expect("just seen");
        }
    }

    fn set_post_filter(&mut self, _on: bool) {}
}

/// A tone, which RNNoise takes for noise.
fn tone(samples: usize) -> Vec<f32> {
    let turn = std::f32::consts::TAU * 220.0 / RATE_HZ as f32;
    (0..samples).map(|n| 0.25 * (turn * n as f32).sin()).collect()
}

fn step(samples: &[f32]) -> f32 {
    samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max)
}

fn seconds(count: usize) -> usize {
    count * RATE_HZ as usize
}

#[test]
fn every_sample_keeps_its_place_through_the_second_network() {
    let mut denoiser = Denoiser::new(2, FULL);
    denoiser.attach_enhancers(vec![Box::<Fake>::default(), Box::<Fake>::default()], true);
    assert_eq!((denoiser.latency(), denoiser.engine()), (Duration::from_millis(40), "dfn3"));
    let input = tone(seconds(1));
    let mut output = Vec::new();
    for part in input.chunks(1_234) {
        denoiser.push(part, &mut output);
        assert!(denoiser.held() < 1_920, "{} samples are held", denoiser.held());
    }
    denoiser.drain(&mut output);
    assert_eq!(output.len(), input.len());
    // The mix with the original passes as much as the network.
    assert!(output.iter().zip(&input).all(|(out, sample)| (out - sample).abs() < 1e-4));
}

#[test]
fn networks_come_and_go_without_a_click_and_without_loss() {
    let input = tone(seconds(4));
    let mut denoiser = Denoiser::new(1, FULL);
    let (mut output, mut heard) = (Vec::new(), Vec::new());
    for (second, part) in input.chunks(seconds(1)).enumerate() {
        match second {
            1 => denoiser.attach_enhancers(vec![Box::<Fake>::default()], true),
            3 => denoiser.release_enhancers(),
            _ => {}
        }
        denoiser.push(part, &mut output);
        heard.push((denoiser.engine(), denoiser.latency().as_millis()));
    }
    assert_eq!(heard, [("rnnoise", 20), ("dfn3", 40), ("dfn3", 40), ("rnnoise", 20)]);
    denoiser.drain(&mut output);
    assert_eq!(output.len(), input.len());
    assert!(step(&output) < step(&input) * 1.5, "{} against {}", step(&output), step(&input));
    let changed = |second: usize| {
        // The last samples of a second come out with the engine of the next one.
        let range = seconds(second) + 24_000..seconds(second + 1) - 1_920;
        let pairs = output[range.clone()].iter().zip(&input[range]);
        pairs.map(|(out, sample)| (out - sample).abs()).fold(0.0, f32::max)
    };
    let of_each = [changed(0), changed(2), changed(3)];
    assert!(of_each[0] > 1e-3 && of_each[1] < 1e-3 && of_each[2] > 1e-3, "{of_each:?}");
}

#[test]
fn rnnoise_takes_over_from_a_late_network_until_it_has_rested() {
    let work_ms = Arc::new(AtomicU64::new(60));
    let late = Fake { work_ms: Arc::clone(&work_ms), ..Fake::default() };
    let mut denoiser = Denoiser::new(1, FULL);
    denoiser.attach_enhancers(vec![Box::new(late)], true);
    let mut output = Vec::new();
    denoiser.push(&tone(seconds(1)), &mut output);
    assert_eq!((denoiser.engine(), denoiser.fallbacks()), ("rnnoise", 1));
    assert!(denoiser.real_time_factor().is_some_and(|factor| factor > 1.0));
    assert_eq!(denoiser.latency(), Duration::from_millis(40), "it is expected back");
    work_ms.store(0, Ordering::Relaxed);
    denoiser.push(&tone(seconds(9)), &mut output);
    assert_eq!(denoiser.engine(), "rnnoise");
    denoiser.push(&tone(seconds(1)), &mut output);
    assert_eq!((denoiser.engine(), denoiser.fallbacks()), ("dfn3", 1));
    denoiser.drain(&mut output);
    assert_eq!(output.len(), seconds(11));
}

#[test]
fn a_network_that_nobody_hears_does_not_run() {
    let calls = Arc::<AtomicU64>::default();
    let idle = Fake { calls: Arc::clone(&calls), ..Fake::default() };
    let mut denoiser = Denoiser::new(1, OFF);
    denoiser.attach_enhancers(vec![Box::new(idle)], true);
    let input = tone(seconds(1));
    let mut output = Vec::new();
    denoiser.push(&input, &mut output);
    // It fades out before it stops.
    assert!(calls.load(Ordering::Relaxed) < 10, "{calls:?} calls");
    denoiser.set_strength(FULL);
    denoiser.push(&input, &mut output);
    assert_eq!(denoiser.engine(), "dfn3");
    let before = calls.load(Ordering::Relaxed);
    assert!(before >= 90, "{before} calls");
    denoiser.set_strength(OFF);
    denoiser.push(&input, &mut output);
    assert!(calls.load(Ordering::Relaxed) - before < 10);
    assert_eq!(denoiser.latency(), Duration::from_millis(40), "the same, on or off");
}

#[test]
fn a_broken_network_is_given_up() {
    let mut denoiser = Denoiser::new(1, FULL);
    denoiser.attach_enhancers(vec![Box::new(Fake { breaks: true, ..Fake::default() })], true);
    let mut output = Vec::new();
    denoiser.push(&tone(seconds(1)), &mut output);
    assert!(output.iter().all(|x| x.is_finite()));
    assert_eq!((denoiser.has_enhancers(), denoiser.fallbacks()), (false, 1));
}
