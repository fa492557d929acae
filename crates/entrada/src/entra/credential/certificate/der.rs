//! Just enough DER (X.690 §8.1) to read certificates and PFX files.

/// What is left of a run of elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(&'a [u8]);

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]`, of something else.
pub(super) const EXPLICIT_0: u8 = 0xa0;
/// `[0]`, in place of a primitive tag.
pub(super) const IMPLICIT_0: u8 = 0x80;

impl<'a> Der<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left, as it stands.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The next element, whatever it is: its tag and its content.
    ///
    /// Lengths that are left open, as BER has them, and tags of several bytes are refused: nothing
    /// we read has them.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let digits = usize::from(first & 0x7f);
        let (length, rest) = match first {
            0..=0x7f => (digits, rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(digits)?;
                let length = digits.iter().fold(0, |length: usize, digit| {
                    (length << 8) | usize::from(*digit)
                });
                (length, rest)
            }
            0x80 | 0x85.. => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut after = *self;
        let (found, content) = after.any()?;
        (found == tag).then(|| {
            *self = after;
            content
        })
    }

    /// The elements in the next one, which must have this tag.
    pub(super) fn open(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    /// The elements of the next sequence.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.open(SEQUENCE)
    }

    /// A number that is small, and not negative.
    pub(super) fn number(&mut self) -> Option<u32> {
        let digits = self.take(INTEGER)?;
        let fits = digits.first().is_some_and(|first| *first < 0x80) && digits.len() <= 4;
        fits.then(|| {
            digits
                .iter()
                .fold(0, |number, digit| (number << 8) | u32::from(*digit))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_taken_one_after_the_other() {
        let mut der = Der::new(&[0x30, 0x03, 0x02, 0x01, 0x05, 0x04, 0x81, 0x01, 0xff]);
        assert_eq!(der.take(OCTET_STRING), None);
        assert_eq!(der.sequence().unwrap().number(), Some(5));
        assert_eq!(der.take(OCTET_STRING), Some(&[0xff][..]));
        assert!(der.is_empty());
    }

    #[test]
    fn what_is_cut_short_or_open_is_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x02, 0x00],
            &[0x30, 0x80, 0x00, 0x00],
            &[0x30, 0x82, 0x01],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x1f, 0x01, 0x00],
        ] {
            assert_eq!(Der::new(bytes).any(), None, "{bytes:?}");
        }
        assert_eq!(Der::new(&[0x02, 0x01, 0xff]).number(), None);
    }
}
