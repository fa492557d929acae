//! Lists of what a server has, without what a caller may not call.
//!
//! Nothing is written anew: what is left out is cut out of the bytes, and all else stays as it was,
//! what nobody has heard of among it.

mod answer;
mod events;

use std::ops::Range;

use serde_json::value::RawValue;

use crate::message::{Item, ItemKind, MessageError, elements, is_too_deep, members};

pub(super) use answer::{View, filtered};

/// Why an answer cannot be filtered.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// It cannot be read, or in two ways.
    #[error("the answer cannot be read")]
    Unreadable(#[from] MessageError),
    /// It is no JSON in UTF-8.
    #[error("the answer is no JSON")]
    NotJson,
    /// A list is none, or something in it has no name.
    #[error("the answer lists something without a name")]
    Nameless,
    /// It is larger than what is held at once.
    #[error("the answer is too large to filter")]
    TooLarge,
    /// It is neither JSON nor a stream of events, or is compressed.
    #[error("the answer is of no kind that can be filtered")]
    Kind,
    /// The server broke off.
    #[error("the answer broke off")]
    Broken(#[source] axum::Error),
}

/// What replaces the bytes at a place.
type Edit = (Range<usize>, String);

/// The messages in `text` without what `shows` does not want; nothing where all stays.
pub(super) fn edited(
    text: &str,
    shows: &dyn Fn(&Item) -> bool,
) -> Result<Option<String>, ListError> {
    if is_too_deep(text) {
        return Err(MessageError::TooDeep.into());
    }
    let whole: &RawValue = serde_json::from_str(text).map_err(|_| ListError::NotJson)?;
    let mut edits = Vec::new();
    let editor = Editor { text, shows };
    if whole.get().starts_with('[') {
        for message in elements(whole, usize::MAX)?.unwrap_or_default() {
            editor.message(message, &mut edits)?;
        }
    } else {
        editor.message(whole, &mut edits)?;
    }
    if edits.is_empty() {
        return Ok(None);
    }
    edits.sort_by_key(|(place, _)| place.start);
    let mut new = String::with_capacity(text.len());
    let mut copied = 0;
    for (place, replacement) in edits {
        new.push_str(text.get(copied..place.start).ok_or(ListError::NotJson)?);
        new.push_str(&replacement);
        copied = place.end;
    }
    new.push_str(text.get(copied..).ok_or(ListError::NotJson)?);
    Ok(Some(new))
}

struct Editor<'a> {
    text: &'a str,
    shows: &'a dyn Fn(&Item) -> bool,
}

impl Editor<'_> {
    fn message(&self, raw: &RawValue, edits: &mut Vec<Edit>) -> Result<(), ListError> {
        let Some([Some(result)]) = members(raw, ["result"])? else {
            return Ok(());
        };
        let known = [
            "tools",
            "prompts",
            "resources",
            "resourceTemplates",
            "ttlMs",
            "cacheScope",
        ];
        let Some(found) = members(result, known)? else {
            return Ok(());
        };
        let [tools, prompts, resources, templates, ttl, cache_scope] = found;
        let lists = [
            (tools, ItemKind::Tool, "name"),
            (prompts, ItemKind::Prompt, "name"),
            (resources, ItemKind::Resource, "uri"),
            (templates, ItemKind::Resource, "uriTemplate"),
        ];
        let mut is_list = false;
        for (list, kind, key) in lists {
            if let Some(list) = list {
                is_list = true;
                edits.extend(self.list(list, kind, key)?);
            }
        }
        if is_list {
            edits.extend(self.keep_private(result, ttl, cache_scope));
        }
        Ok(())
    }

    /// What is left of a list, if that is less.
    fn list(
        &self,
        list: &RawValue,
        kind: ItemKind,
        key: &'static str,
    ) -> Result<Option<Edit>, ListError> {
        if !list.get().starts_with('[') {
            return Err(ListError::Nameless);
        }
        let all = elements(list, usize::MAX)?.unwrap_or_default();
        let mut left = Vec::new();
        for entry in &all {
            let Some([Some(name)]) = members(entry, [key])? else {
                return Err(ListError::Nameless);
            };
            let name: String = serde_json::from_str(name.get()).map_err(|_| ListError::Nameless)?;
            if (self.shows)(&Item::new(kind, name)) {
                left.push(entry.get());
            }
        }
        let is_less = left.len() < all.len();
        Ok(is_less.then(|| (self.place(list), format!("[{}]", left.join(",")))))
    }

    /// What is made for one caller is for nobody else (MCP, *Caching*).
    fn keep_private(
        &self,
        result: &RawValue,
        ttl: Option<&RawValue>,
        cache_scope: Option<&RawValue>,
    ) -> Option<Edit> {
        const PRIVATE: &str = "\"private\"";
        match (cache_scope, ttl) {
            (Some(scope), _) if scope.get() == PRIVATE => None,
            (Some(scope), _) => Some((self.place(scope), PRIVATE.to_owned())),
            (None, Some(_)) => {
                // Before the brace that ends the object.
                let end = self.place(result).end.saturating_sub(1);
                Some((end..end, format!(",\"cacheScope\":{PRIVATE}")))
            }
            (None, None) => None,
        }
    }

    /// Where `part` lies in the text it was read from.
    fn place(&self, part: &RawValue) -> Range<usize> {
        let start = part.get().as_ptr().addr() - self.text.as_ptr().addr();
        start..start + part.get().len()
    }
}

#[cfg(test)]
mod tests;
