//! Fuzz tests with malicious addresses.

use super::target::Target;
use crate::fuzz;

#[test]
fn fuzz_srt_address() {
    fuzz::run("srt-address", |bytes| {
        if let Ok(target) = String::from_utf8_lossy(bytes).parse::<Target>() {
            assert!(!target.to_string().is_empty());
        }
    });
}
