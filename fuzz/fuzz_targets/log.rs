#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| patina_storage::fuzzing::log(data));
