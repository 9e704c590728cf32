#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| drop(syncline_conformance::scenario::parse("a/b", Path::new("b.scn"), text)));
