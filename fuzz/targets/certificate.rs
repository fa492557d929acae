//! A certificate file is read or refused, whatever is in it, and a password too many changes nothing.
#![no_main]

use entrada::entra::credential::{CertificateError, CertificateFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = CertificateFile::new("app.pfx");
    let with_password = file.clone().password("hush").read_bytes(bytes);
    if file.read_bytes(bytes).is_ok() {
        // Wrong is one where the right one is empty.
        let wrong = Err(CertificateError::WrongPassword);
        assert!(with_password.is_ok() || with_password == wrong);
    }
});
