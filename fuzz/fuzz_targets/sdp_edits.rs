#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sansip_fuzz::sdp_edits(bytes));
