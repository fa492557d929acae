//! Lists in pages.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Which part of a list was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    top: usize,
    skip: usize,
    /// Whether the page size stands in the request, and so in the link to the next page.
    sized: bool,
}

impl Page {
    pub(crate) fn asked(query: &HashMap<String, String>, default_size: usize) -> Self {
        let number = |name: &str| {
            query
                .get(name)
                .and_then(|value| value.parse::<usize>().ok())
        };
        let top = number("$top").filter(|top| (1..=999).contains(top));
        Self {
            top: top.unwrap_or(default_size),
            skip: number("$skiptoken").unwrap_or_default(),
            sized: top.is_some(),
        }
    }

    /// The part of `all`, with a link to the next one if there is more.
    pub(crate) fn of(self, all: &[Value], context: &str, url: &str) -> Value {
        let shown: Vec<&Value> = all.iter().skip(self.skip).take(self.top).collect();
        let end = self.skip.saturating_add(shown.len());
        let mut body = json!({"@odata.context": context, "value": shown});
        if end < all.len()
            && let Some(members) = body.as_object_mut()
        {
            let size = if self.sized {
                format!("$top={}&", self.top)
            } else {
                String::new()
            };
            let next = format!("{url}?{size}$skiptoken={end}");
            members.insert("@odata.nextLink".to_owned(), Value::from(next));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all: Vec<Value> = (0..5).map(Value::from).collect();
        let query = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect()
        };
        let first = Page::asked(&query(&[("$top", "3")]), 100).of(&all, "c", "u");
        assert_eq!(first["value"], json!([0, 1, 2]));
        assert_eq!(first["@odata.nextLink"], "u?$top=3&$skiptoken=3");
        let last =
            Page::asked(&query(&[("$top", "3"), ("$skiptoken", "3")]), 100).of(&all, "c", "u");
        assert_eq!(last["value"], json!([3, 4]));
        assert_eq!(last.get("@odata.nextLink"), None);
    }
}
