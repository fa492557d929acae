//! Whatever a client or a child writes, a message is read or refused, and replacing its id leaves all else as it was.
#![no_main]

use crate::envelope::{Envelope, Kind, messages};
use libfuzzer_sys::fuzz_target;

// The gateway with all it needs would be built for this one file.
#[expect(dead_code, reason = "what the target does not ask for")]
#[path = "../../crates/entrada-gateway/src/upstream/stdio/envelope.rs"]
mod envelope;

fuzz_target!(|text: &str| {
    for message in messages(text).unwrap_or_default() {
        let Ok(envelope) = Envelope::read(message) else {
            continue;
        };
        let line = envelope.with(&[]);
        assert!(!line.contains(['\n', '\r']), "two lines of one message");
        assert_eq!(line.len(), message.len());
        let (Kind::Request { id, .. } | Kind::Response { id, .. }) = *envelope.kind() else {
            continue;
        };
        let ours = envelope.with(&[(id, "18446744073709551615")]);
        let read = Envelope::read(&ours).expect("still a message");
        let (Kind::Request { id: written, .. } | Kind::Response { id: written, .. }) = *read.kind()
        else {
            panic!("another kind of message");
        };
        assert_eq!(written, "18446744073709551615");
        // An id holds no line's end that would have become a space.
        assert_eq!(read.with(&[(written, id)]), line);
    }
});
