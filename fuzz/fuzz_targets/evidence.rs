#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| soulchain_fuzz::run("evidence", data));
