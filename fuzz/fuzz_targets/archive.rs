//! Any bytes as an archive: no panic, within the time, and what is taken can be written and read again.

#![no_main]

use askd::config::archive::{Format, read};
use askd::config::limits::Limits;
use askd::config::scope::Scope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let format = if first & 1 == 0 { Format::Tar } else { Format::Zip };
    let scope = if first & 2 == 0 { Scope::User } else { Scope::Workspace("shop".into()) };
    let _ = read(format, &scope, bytes, &Limits::new(64 << 20));
});
