#![no_main]

libfuzzer_sys::fuzz_target!(|line: &str| drop(syncline_conformance::vectors::parse("v", "frame", line)));
