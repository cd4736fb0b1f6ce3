#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sansip_fuzz::tls_records(bytes));
