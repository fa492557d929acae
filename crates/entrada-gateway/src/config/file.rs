//! The configuration file: TOML, flat, with no key we do not know.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::problem::Problem;
use crate::config::source::{Given, Origin, belongs_in_file};
use crate::config::spelling::nearest;
use crate::config::table::Setting;

/// The values in a file, by the name of their setting.
type Values = BTreeMap<&'static str, Given>;

/// Reads the file at `path`: what it sets, and which settings are wrong.
///
/// # Errors
///
/// Why the file as such cannot be read.
pub(super) fn read(path: &Path) -> Result<(Values, Vec<Problem>), Vec<Problem>> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text),
        Err(error) => {
            let what = format!("{name}: the file cannot be read: {error}");
            Err(vec![Problem::new(what)])
        }
    }
}

/// Reads `text`, the content of the file called `name`.
fn parse(name: &str, text: &str) -> Result<(Values, Vec<Problem>), Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let at = |start: usize| format!("{name}:{}", line(text, start));
    if !errors.is_empty() {
        let broken = errors.iter().map(|error| {
            let place = at(error.span().map_or(0, |span| span.start));
            Problem::new(format!("{place}: {}", error.message()))
        });
        return Err(broken.collect());
    }
    let mut values = Values::new();
    let mut problems = Vec::new();
    for (key, value) in table.get_ref() {
        match entry(key, value, at(key.span().start)) {
            Ok((name, given)) => drop(values.insert(name, given)),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((values, problems))
}

fn entry(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    place: String,
) -> Result<(&'static str, Given), Problem> {
    let key = key.get_ref().as_ref();
    let setting = Setting::named(key).ok_or_else(|| Problem::unknown(key, &place, nearest(key)))?;
    if !belongs_in_file(setting) {
        return Err(Problem::misplaced(setting, &place));
    }
    let origin = Origin::File(place);
    let value = text_of(value.get_ref()).ok_or_else(|| {
        let what = "write a string, a number, true or false, or a list of strings";
        Problem::wrong(setting, &origin, what)
    })?;
    Ok((setting.name, Given { value, origin }))
}

/// A value the way a flag would spell it.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return Some(number.as_str().to_owned());
    }
    if let Some(switch) = value.as_bool() {
        return Some(switch.to_string());
    }
    let words = value.as_array()?.iter();
    let words: Option<Vec<&str>> = words.map(|word| word.get_ref().as_str()).collect();
    Some(words?.join(" "))
}

fn line(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or(text);
    before.matches('\n').count() + 1
}
