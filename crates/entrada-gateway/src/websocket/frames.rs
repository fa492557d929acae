//! Where frames end (RFC 6455 §5.2). Of each, the header is looked at, and nothing else.

/// How far a connection is in its frames.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Frames {
    at: At,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum At {
    /// Between two frames.
    #[default]
    End,
    /// Before the byte that has the length, or says how long that is.
    Length,
    /// In a length of so many bytes more, before a masking key of that length.
    Extended { more: u8, length: u64, key: u64 },
    /// In the masking key and what it masks, of which there is so much more: at least a byte.
    Content(u64),
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub(super) fn is_at_end(self) -> bool {
        self.at == At::End
    }

    /// Whether a Close frame has begun: no other may follow it (RFC 6455 §5.5.1).
    pub(super) const fn has_closed(self) -> bool {
        self.closed
    }

    /// Goes on by `bytes`.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(rest) = self.step(bytes) {
            bytes = rest;
        }
    }

    /// How many of `bytes` are of the frame that has begun.
    pub(super) fn unfinished(mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !self.is_at_end() {
            match self.step(rest) {
                Some(after) => rest = after,
                None => break,
            }
        }
        bytes.len() - rest.len()
    }

    /// Goes on to the next part of a frame; what comes after it, unless nothing comes.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (&byte, rest) = bytes.split_first()?;
        let (at, rest) = match self.at {
            At::End => {
                self.closed |= byte & OPCODE == CLOSE;
                (At::Length, rest)
            }
            At::Length => (At::after(byte), rest),
            At::Extended { more, length, key } => {
                let length = length << 8 | u64::from(byte);
                (At::extended(more - 1, length, key), rest)
            }
            At::Content(left) => {
                let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let rest = bytes.get(here..).unwrap_or_default();
                (At::content(left - here as u64), rest)
            }
        };
        self.at = at;
        Some(rest)
    }
}

impl At {
    /// After the byte that says whether there is a masking key, and how long the rest is.
    fn after(byte: u8) -> Self {
        let key = if byte & MASKED == 0 { 0 } else { KEY_LENGTH };
        match byte & !MASKED {
            126 => Self::extended(2, 0, key),
            127 => Self::extended(8, 0, key),
            length => Self::content(u64::from(length) + key),
        }
    }

    const fn extended(more: u8, length: u64, key: u64) -> Self {
        match more {
            0 => Self::content(length.saturating_add(key)),
            more => Self::Extended { more, length, key },
        }
    }

    const fn content(left: u64) -> Self {
        match left {
            0 => Self::End,
            left => Self::Content(left),
        }
    }
}

/// Where the first byte says what a frame is, and what that is for a Close frame.
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x8;
/// Where the second byte says whether there is a masking key, and how long one is.
const MASKED: u8 = 0x80;
const KEY_LENGTH: u64 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame with an opcode, as long as that, its length written in one of three ways where it fits.
    fn frame((opcode, length, way, masked): (u8, usize, u8, bool)) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length @ ..126), _) if way == 0 => frame.push(mask | length),
            (_, Ok(length)) if way < 2 => {
                frame.push(mask | 0x7e);
                frame.extend(length.to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // What is carried looks like the beginning of something else.
        frame.resize(frame.len() + if masked { 4 } else { 0 } + length, 0x88);
        frame
    }

    fn any_frame() -> impl Strategy<Value = (u8, usize, u8, bool)> {
        let length = prop_oneof![0..130_usize, 65_530..65_550_usize];
        (0..16_u8, length, 0..3_u8, any::<bool>())
    }

    proptest! {
        #[test]
        fn however_frames_are_split_they_end_where_they_do(
            frames in prop::collection::vec(any_frame(), 1..6),
            splits in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let (mut bytes, mut ends) = (vec![], vec![0]);
            for parts in &frames {
                bytes.extend(frame(*parts));
                ends.push(bytes.len());
            }
            let mut at: Vec<_> = splits.iter().map(|split| split.index(bytes.len())).collect();
            at.extend(ends.iter().flat_map(|end| [end.saturating_sub(1), *end, end + 1, end + 2]));
            at.retain(|at| *at <= bytes.len());
            at.sort_unstable();
            let (mut passed, mut from) = (Frames::default(), 0);
            for to in at {
                passed.pass(&bytes[from..to]);
                from = to;
                prop_assert_eq!(passed.is_at_end(), ends.contains(&to), "{}", to);
                let end = ends.iter().find(|end| **end >= to).unwrap();
                prop_assert_eq!(passed.unfinished(&bytes[to..]), end - to, "{}", to);
                let begun = ends.iter().filter(|begin| **begin < to).zip(&frames);
                let closed = begun.into_iter().any(|(_, (opcode, ..))| *opcode == CLOSE);
                prop_assert_eq!(passed.has_closed(), closed, "{}", to);
            }
        }

        #[test]
        fn whatever_comes_it_matters_not_how_it_is_split(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            split in any::<prop::sample::Index>(),
        ) {
            let (first, second) = bytes.split_at(split.index(bytes.len() + 1));
            let [mut whole, mut parts] = [Frames::default(); 2];
            whole.pass(&bytes);
            parts.pass(first);
            prop_assert!(parts.unfinished(second) <= second.len());
            parts.pass(second);
            prop_assert_eq!(whole, parts);
        }
    }

    #[test]
    fn a_frame_of_any_length_is_followed() {
        let mut frames = Frames::default();
        frames.pass(&[0x82, 0xff]);
        frames.pass(&[0xff; 8]);
        frames.pass(&[0x88; 100]);
        assert!(!frames.is_at_end() && !frames.has_closed());
        assert_eq!(frames.unfinished(&[0x88; 100]), 100);
    }
}
