//! PEM (RFC 7468 §3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One section of a file: what its label says, and its bytes.
pub(super) struct Section<'a> {
    pub(super) label: &'a str,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// The sections of a file, and nothing of what stands around them; `None` if one is broken.
pub(super) fn sections(text: &str) -> Option<Vec<Section<'_>>> {
    let mut sections = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
        else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
        loop {
            match lines.next()? {
                line if line == end => break,
                line => base64.push_str(line),
            }
        }
        let der = Zeroizing::new(STANDARD.decode(base64.as_bytes()).ok()?);
        sections.push(Section { label, der });
    }
    Some(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_between_other_words() {
        let text = "Bag Attributes\n-----BEGIN A B-----\r\nAQI\n=\n-----END A B-----\nx\n\
                    -----BEGIN C-----\n-----END C-----";
        let found = sections(text).unwrap();
        let found: Vec<_> = found.iter().map(|s| (s.label, s.der.to_vec())).collect();
        assert_eq!(found, [("A B", vec![1, 2]), ("C", vec![])]);
        assert!(sections("").unwrap().is_empty());
    }

    #[test]
    fn broken_sections_are_no_file() {
        for text in [
            "-----BEGIN A-----\nAQID",
            "-----BEGIN A-----\nAQID\n-----END B-----",
            "-----BEGIN A-----\n!!!!\n-----END A-----",
            // The headers of a key that OpenSSL encrypted the old way.
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END A-----",
        ] {
            assert!(sections(text).is_none(), "{text}");
        }
    }
}
