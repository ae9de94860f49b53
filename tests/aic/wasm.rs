//! The decoder of the web page computes what the native one does.

use std::path::Path;
use std::process::Command;

use auralink::aic::container::{Part, Reader};
use auralink::aic::engine::load;
use auralink::aic::weights::Weights;

use crate::file::{aic, sound, wav};
use crate::needs::skip;

/// The same packets sound equal to this, in dB, on any machine.
const APART_DB_MAX: f32 = -60.0;

#[test]
fn the_decoder_of_the_page_equals_the_native_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("web/voice.wasm");
    if !program.is_file() {
        return skip("needs `make wasm`");
    }
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("in.wav"), wav(&sound().repeat(8))).expect("writes");
    aic(&["encode", "--frames", "4", "in.wav", "coded.aic"], folder.path());
    let output = Command::new("node")
        .arg(root.join("tests/clients/voice.mjs"))
        .arg(program)
        .arg(root.join("models/aic-audio/aic-a2.safetensors"))
        .args([at("coded.aic"), at("out.f32")])
        .output()
        .expect("node is installed: run `make setup`");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    eprintln!("  {}", String::from_utf8_lossy(&output.stdout).trim());
    let bytes = std::fs::read(at("out.f32")).expect("written");
    let found: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();

    let (model, _) = load(&Weights::BuiltIn).expect("weights in the program");
    let (mut state, mut wanted) = (model.decoder_state(), Vec::new());
    let file = std::fs::File::open(at("coded.aic")).expect("written");
    for part in Reader::new(file).expect("a file") {
        if let Part::Block(block) = part.expect("readable") {
            wanted.extend(model.decode(&block, &mut state));
        }
    }
    assert_eq!(found.len(), wanted.len());
    let power = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
    let off = power(&mut found.iter().zip(&wanted).map(|(a, b)| a - b));
    let apart_db = 10.0 * (off / power(&mut wanted.iter().copied())).log10();
    eprintln!("  {apart_db:.1} dB apart");
    assert!(apart_db < APART_DB_MAX, "{apart_db} dB");
}
