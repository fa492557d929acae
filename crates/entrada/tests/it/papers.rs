//! What docs/TROUBLESHOOTING.md says is what is there.

use entrada::entra::error::advice_on;
use entrada::oauth::redirect_pattern::RedirectPattern;

const PAPER: &str = include_str!("../../../../docs/TROUBLESHOOTING.md");

/// The rows of the table under `heading`, in cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAPER.split_once(heading).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect());
    // The first says what the columns are.
    cells.skip(1).collect()
}

#[test]
fn each_number_of_entras_has_advice() {
    let unknown = advice_on(1);
    let mut numbers = PAPER.split("AADSTS").skip(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_digit());
        rest.split_at(end.unwrap_or(rest.len())).0
    });
    assert!(numbers.clone().count() > 10);
    let stranger = numbers.find(|number| advice_on(number.parse().unwrap()) == unknown);
    assert_eq!(stranger, None);
}

#[test]
fn each_page_of_ours_is_one() {
    let seen = include_str!("errors.snap");
    let written = concat!(
        include_str!("../../src/authorization_server/authorize/refusal.rs"),
        include_str!("../../src/authorization_server/limits.rs"),
    );
    let rows = rows("## A page of ours");
    assert!(rows.len() > 5);
    for row in rows {
        let title = row.first().unwrap();
        let is_seen = seen.contains(&format!(": {title}\n"));
        let is_written = written.contains(&format!("title: \"{title}\""));
        assert!(is_seen || is_written, "{title}");
    }
}

#[test]
fn each_redirect_uri_can_be_listed() {
    let rows = rows("## What clients come back to");
    assert!(rows.len() > 5);
    for row in rows {
        let uris = row.last().unwrap().split('`').skip(1).step_by(2);
        for uri in uris {
            assert!(RedirectPattern::parse(uri).is_ok(), "{uri}");
        }
    }
}
