//! To whom each message of a child's goes.
//!
//! All it says comes on one channel. An answer belongs to the request with its id, progress to the one
//! with its token, a subscription's events to the one that opened it; those are the ids we gave out.
//! What says nothing of the kind goes on only where everybody who could hear it is the same caller.

use std::sync::{Arc, PoisonError};

use crate::upstream::stdio::channel::{Audience, Calls, Channel, Destination, Written};
use crate::upstream::stdio::envelope::{Envelope, EnvelopeError, Kind};
use crate::upstream::stdio::events::STANDALONE;
use crate::upstream::stdio::ids::Call;
use crate::upstream::stdio::outbox::Outbox;

impl Channel {
    /// Hands on a message of the child's.
    pub(super) fn deliver(&self, text: &str) -> Result<(), EnvelopeError> {
        let envelope = Envelope::read(text)?;
        match envelope.kind() {
            Kind::Response { id, .. } => self.answered(&envelope, id),
            Kind::Notification { method } => self.told(&envelope, method),
            Kind::Request { id, method } => self.asked(&envelope, id, method),
        }
        Ok(())
    }

    /// An answer is too long: whoever waits for it is told, if one can tell who that is.
    pub(super) fn give_up(&self, head: &[u8], tail: &[u8]) {
        let mut calls = self.calls();
        let number = number_at_end(tail)
            .or_else(|| number_at_start(head))
            .or_else(|| calls.in_flight.only());
        let call = number.and_then(|number| calls.in_flight.forget(number));
        drop(calls);
        if let Some(Destination::Client { outbox, stream, .. }) = call.map(|call| call.to) {
            outbox.break_stream(stream);
        }
    }

    fn answered<'a>(&self, envelope: &Envelope<'a>, id: &'a str) {
        let call = self.calls().in_flight.end(id);
        let Some(Call { id: theirs, to, .. }) = call else {
            tracing::debug!("an answer to no request was dropped");
            return;
        };
        let message = envelope.with(&[(id, &theirs)]);
        match to {
            Destination::Client { outbox, stream, .. } => outbox.append(stream, message, true),
            // Whoever asked may be gone.
            Destination::Us(answer) => drop(answer.send(message)),
        }
    }

    fn told(&self, envelope: &Envelope<'_>, method: &str) {
        let params = envelope.params();
        match (method, params.progress_token, params.request_id) {
            ("notifications/progress", Some(token), _) => self.progressed(envelope, token),
            ("notifications/cancelled", _, Some(id)) if self.subscription_ended(id) => {}
            _ => match params.subscription_id {
                Some(id) => self.subscribed(envelope, id),
                None => self.told_at_large(envelope, method),
            },
        }
    }

    fn progressed<'a>(&self, envelope: &Envelope<'a>, token: &'a str) {
        let calls = self.calls();
        if let Some(call) = calls.in_flight.get(token)
            && let Some(theirs) = &call.progress_token
        {
            hand(call, envelope.with(&[(token, theirs)]));
            return;
        }
        // A task goes on after its call was answered.
        if let (Some(theirs), Audience::Session(outbox)) =
            (calls.in_flight.ended_token(token), &*self.audience)
        {
            outbox.append(STANDALONE, envelope.with(&[(token, theirs)]), false);
        }
    }

    fn subscribed<'a>(&self, envelope: &Envelope<'a>, id: &'a str) {
        let calls = self.calls();
        if let Some(call) = calls.in_flight.get(id) {
            hand(call, envelope.with(&[(id, &call.id)]));
        }
    }

    /// The child ends a subscription: so does its stream (MCP 2026-07-28, *Subscriptions*).
    fn subscription_ended(&self, id: &str) -> bool {
        let call = {
            let mut calls = self.calls();
            let listens = calls
                .in_flight
                .get(id)
                .is_some_and(|call| matches!(call.to, Destination::Client { listens: true, .. }));
            listens.then(|| calls.in_flight.end(id)).flatten()
        };
        let Some(Destination::Client { outbox, stream, .. }) = call.map(|call| call.to) else {
            return false;
        };
        outbox.answer_withdrawn(stream);
        true
    }

    fn told_at_large(&self, envelope: &Envelope<'_>, method: &str) {
        match &*self.audience {
            Audience::Session(outbox) => {
                let of_a_request = method == "notifications/message";
                let stream = self.stream_of(outbox, of_a_request);
                outbox.append(stream, envelope.with(&[]), false);
            }
            Audience::Sessions(all) => {
                if let Some(message) = of_concern_to_all(method) {
                    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    for outbox in all.values().filter_map(std::sync::Weak::upgrade) {
                        outbox.append(STANDALONE, message.clone(), false);
                    }
                }
            }
            Audience::Caller => {
                let calls = self.calls();
                if let Some(call) = only_working(&calls) {
                    hand(call, envelope.with(&[]));
                }
            }
            Audience::Callers => {}
        }
    }

    fn asked<'a>(&self, envelope: &Envelope<'a>, id: &'a str, method: &str) {
        if let Audience::Session(outbox) = &*self.audience {
            let stream = self.stream_of(outbox, true);
            outbox.append(stream, envelope.with(&[]), false);
            return;
        }
        // Whom it would ask is not known: it was told that nobody can be asked.
        let answer = if method == "ping" {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}")
        } else {
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\
                 \"message\":\"nobody can be asked here\"}}}}"
            )
        };
        // A child that does not read need not be answered.
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            let _ = self.lines.send(Written {
                line: answer,
                _room: Some(room),
            });
        }
    }

    /// The stream for what does not say where it belongs: that of the request it most likely came
    /// from, or the standalone one.
    fn stream_of(&self, outbox: &Arc<Outbox>, of_a_request: bool) -> u64 {
        let calls = self.calls();
        let mut open = calls.in_flight.calls().filter_map(|call| match &call.to {
            Destination::Client { stream, .. } => Some(*stream),
            Destination::Us(_) => None,
        });
        match (open.next(), open.next_back()) {
            (Some(only), None) if of_a_request => only,
            (Some(_), Some(newest)) if of_a_request && !outbox.is_listened_to() => newest,
            _ => STANDALONE,
        }
    }
}

fn hand(call: &Call<Destination>, message: String) {
    if let Destination::Client { outbox, stream, .. } = &call.to {
        outbox.append(*stream, message, false);
    }
}

/// The only request that is being worked on, if there is one.
fn only_working(calls: &Calls) -> Option<&Call<Destination>> {
    let working =
        |call: &&Call<Destination>| matches!(call.to, Destination::Client { listens: false, .. });
    let mut working = calls.in_flight.calls().filter(working);
    working.next().filter(|_| working.next().is_none())
}

/// What all sessions of a shared child are told, in words of ours: the child's own may hold what came
/// of another caller.
fn of_concern_to_all(method: &str) -> Option<String> {
    let concerns_all = matches!(
        method,
        "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed"
    );
    concerns_all.then(|| format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"}}"))
}

/// Our number in a message that ends with its id, as some servers write it.
fn number_at_end(tail: &[u8]) -> Option<u64> {
    let tail = std::str::from_utf8(tail.trim_ascii_end().strip_suffix(b"}")?);
    let (_, number) = tail.ok()?.rsplit_once("\"id\":")?;
    number.trim().parse().ok()
}

/// Our number in a message that begins with its id, as others write it.
fn number_at_start(head: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(head);
    let compact: String = text.chars().filter(|letter| *letter != ' ').collect();
    let rest = compact
        .strip_prefix("{\"jsonrpc\":\"2.0\",\"id\":")
        .or_else(|| compact.strip_prefix("{\"id\":"))?;
    rest.split_once(',')?.0.parse().ok()
}

#[cfg(test)]
mod tests;
