//! Any text as a command of a shell, and as a policy: no panic, and within the time.

#![no_main]

use std::sync::LazyLock;

use askd::guard::{Policy, STACK};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static DEFAULT: LazyLock<Policy> = LazyLock::new(|| Policy::parse(Policy::default_text()).unwrap());

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if *first == 0 {
        let _ = Policy::parse(text);
    } else {
        let judge = || DEFAULT.judge("Bash", &json!({"command": text}));
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, judge);
            thread.unwrap().join().unwrap();
        });
    }
});
