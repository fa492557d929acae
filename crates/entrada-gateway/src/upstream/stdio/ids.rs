//! Which request of whom an answer is to, where many ask one child.
//!
//! The child sees numbers of ours in place of request ids and progress tokens, so that no two callers
//! use the same, and no caller can name another's. On the way back each becomes again what its
//! caller wrote, byte for byte.

use std::collections::{BTreeMap, VecDeque};

/// The requests that the child has not answered yet, each with where its answer goes.
#[derive(Debug)]
pub struct InFlight<T> {
    last: u64,
    calls: BTreeMap<u64, Call<T>>,
    /// Tokens of requests that were answered: a task goes on after its call.
    ended: VecDeque<(u64, String)>,
}

/// A request under way.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call<T> {
    /// Its `id`, as the caller wrote it.
    pub id: String,
    /// Its progress token, as the caller wrote it.
    pub progress_token: Option<String>,
    /// Where its answer goes.
    pub to: T,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self {
            last: 0,
            calls: BTreeMap::new(),
            ended: VecDeque::new(),
        }
    }
}

impl<T> InFlight<T> {
    /// A number for a request; none where too many are under way.
    pub fn begin(&mut self, id: &str, progress_token: Option<&str>, to: T) -> Option<u64> {
        if self.calls.len() >= MOST_IN_FLIGHT {
            return None;
        }
        self.last += 1;
        let call = Call {
            id: id.to_owned(),
            progress_token: progress_token.map(str::to_owned),
            to,
        };
        self.calls.insert(self.last, call);
        Some(self.last)
    }

    /// The request that `written` is the number of, which ends with this.
    pub fn end(&mut self, written: &str) -> Option<Call<T>> {
        let number = number(written)?;
        let call = self.calls.remove(&number)?;
        if let Some(token) = &call.progress_token {
            if self.ended.len() >= MOST_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back((number, token.clone()));
        }
        Some(call)
    }

    /// The request that `written` is the number of, and goes on.
    pub fn get(&self, written: &str) -> Option<&Call<T>> {
        self.calls.get(&number(written)?)
    }

    /// The token that `written` stood for, of a request that was answered.
    pub fn ended_token(&self, written: &str) -> Option<&str> {
        let number = number(written)?;
        let found = self.ended.iter().find(|(ended, _)| *ended == number);
        found.map(|(_, token)| &**token)
    }

    /// The number of the caller's request with this `id`; `is_callers` knows theirs.
    pub fn number_of(&self, id: &str, is_callers: impl Fn(&T) -> bool) -> Option<u64> {
        let mut calls = self.calls.iter();
        let found = calls.find(|(_, call)| call.id == id && is_callers(&call.to));
        found.map(|(number, _)| *number)
    }

    /// Forgets the request, whose answer nobody wants any more.
    pub fn forget(&mut self, number: u64) -> Option<Call<T>> {
        self.calls.remove(&number)
    }

    /// The numbers of those that `is_theirs` knows.
    pub fn numbers_of(&self, is_theirs: impl Fn(&T) -> bool) -> Vec<u64> {
        let theirs = self.calls.iter().filter(|(_, call)| is_theirs(&call.to));
        theirs.map(|(number, _)| *number).collect()
    }

    /// The number of the request under way, if there is one alone.
    pub fn only(&self) -> Option<u64> {
        let (number, _) = self.calls.first_key_value()?;
        (self.calls.len() == 1).then_some(*number)
    }

    /// All that are under way, the oldest first.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = &Call<T>> {
        self.calls.values()
    }

    /// All that are under way, as nobody answers them any more.
    pub fn into_calls(self) -> impl Iterator<Item = Call<T>> {
        self.calls.into_values()
    }
}

/// A number of ours, however the child writes it.
fn number(written: &str) -> Option<u64> {
    let whole = written.strip_suffix(".0").unwrap_or(written);
    let plain = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| whole.parse().ok()).flatten()
}

/// How many requests one child may have to answer.
pub const MOST_IN_FLIGHT: usize = 1024;

/// How many tokens are known after the answer.
const MOST_ENDED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_was_written() {
        let mut calls = InFlight::default();
        let ids = ["1", "1.0", "-7", "1e3", "\"1\"", "\"a\\u0062\"", "1"];
        let numbers: Vec<_> = ids
            .iter()
            .map(|id| calls.begin(id, None, *id).unwrap())
            .collect();
        for (number, id) in numbers.iter().zip(ids).rev() {
            let call = calls.end(&number.to_string()).unwrap();
            assert_eq!((&*call.id, call.to), (id, id));
        }
        assert_eq!(calls.calls().count(), 0);
    }

    #[test]
    fn a_number_is_known_however_the_child_writes_it() {
        for (written, known) in [
            ("1", true),
            ("1.0", true),
            ("01", true),
            ("\"1\"", false),
            ("-1", false),
            ("1.5", false),
            ("", false),
            (".0", false),
            ("null", false),
            ("99999999999999999999999", false),
            ("2", false),
        ] {
            let mut calls = InFlight::default();
            calls.begin("7", None, ()).unwrap();
            assert_eq!(calls.end(written).is_some(), known, "{written}");
        }
    }

    #[test]
    fn one_answer_ends_a_request() {
        let mut calls = InFlight::default();
        calls.begin("7", Some("\"t\""), ()).unwrap();
        assert!(calls.ended_token("1").is_none());
        assert!(calls.end("1").is_some());
        assert!(calls.end("1").is_none());
        assert!(calls.get("1").is_none());
        assert_eq!(calls.ended_token("1"), Some("\"t\""));
    }

    #[test]
    fn a_caller_names_requests_of_its_own_alone() {
        let mut calls = InFlight::default();
        calls.begin("1", None, "alice").unwrap();
        let bobs = calls.begin("1", None, "bob");
        assert_eq!(calls.number_of("1", |to| *to == "bob"), bobs);
        assert_eq!(calls.number_of("1", |to| *to == "carol"), None);
        assert_eq!(calls.number_of("2", |to| *to == "bob"), None);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut calls = InFlight::default();
        for _ in 0..MOST_IN_FLIGHT {
            assert!(calls.begin("1", Some("1"), ()).is_some());
        }
        assert_eq!(calls.begin("1", None, ()), None);
        for number in 1..=MOST_IN_FLIGHT {
            assert!(calls.end(&number.to_string()).is_some());
        }
        assert!(calls.ended_token("1").is_none());
        assert!(calls.ended_token("1024").is_some());
        assert!(calls.begin("1", None, ()).is_some());
    }
}
