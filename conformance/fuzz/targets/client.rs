#![no_main]

libfuzzer_sys::fuzz_target!(|story: &[u8]| {
    syncline::sim::hostile::client(story);
});
