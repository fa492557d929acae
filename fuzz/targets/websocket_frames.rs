//! However the bytes of a WebSocket come, its frames end where a reader of the whole finds that they do.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (split, bytes) = input;
    let (first, second) = bytes.split_at(usize::from(split).min(bytes.len()));
    let end = frame_around(bytes, first.len());
    websocket::check(first, second, end);
});

/// The end of the frame that has begun before `at`, or `at` where none has; `None` if it lies beyond.
fn frame_around(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = 0;
    while end < at {
        end = end.checked_add(frame_length(bytes.get(end..)?)?)?;
    }
    (end <= bytes.len()).then_some(end)
}

/// How long the frame is that begins there (RFC 6455 §5.2), where its header is whole.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let second = *bytes.get(1)?;
    let (header, length) = match second & 0x7f {
        126 => (
            4,
            u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
        ),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        length => (2, u64::from(length)),
    };
    let key = if second & 0x80 == 0 { 0 } else { 4 };
    usize::try_from(length).ok()?.checked_add(header + key)
}

// Of the gateway this file alone, so that the rest of it need not be built.
#[path = "../../crates/entrada-gateway/src/websocket"]
mod websocket {
    #[expect(dead_code, reason = "the gateway uses all of it")]
    mod frames;

    /// Holds what is followed in two parts against where the frame under way ends.
    pub(super) fn check(first: &[u8], second: &[u8], end: Option<usize>) {
        let mut followed = frames::Frames::default();
        followed.pass(first);
        let expected = end.map(|end| end - first.len());
        assert_eq!(followed.is_at_end(), expected == Some(0));
        assert_eq!(
            followed.unfinished(second),
            expected.unwrap_or(second.len())
        );
    }
}
