//! What goes into collectives and messages and what comes out of them, side by side over ranks.
//!
//! What backends promise is compared with what they do: that all get the same, that a sum is the sum of what went in, that what
//! arrives is what was sent. It is broken by memory or links that corrupt, and by programs that write to a tensor while it is
//! under way.

use std::collections::BTreeMap;
use std::rc::Rc;

use traincheck_schema::record::{Collective, CollectiveEvent, CollectiveKind};

use super::claim::{Outcome, Subject};
use super::row::{MOST_OPEN, Row, Told, hash, is_known};
use super::total::adds_up;
use crate::relation::together::{Joint, Rank, departing};
use crate::scene::came::Came;

/// See the module.
#[derive(Default)]
pub(super) struct Contents {
    /// By name of the group.
    groups: BTreeMap<String, Group>,
}

#[derive(Default)]
struct Group {
    /// By place in the order of the group.
    collectives: BTreeMap<u32, Collectively>,
    messages: BTreeMap<Message, Ends>,
}

/// A collective.
#[derive(Default)]
struct Collectively {
    /// Who has entered it, where all have.
    given: Row,
    got: Row,
}

/// Which message it is: from which rank in the group to which, with which tag, and as the how many-eth of these.
type Message = (i32, i32, i32, u32);

/// The two ends of a message.
#[derive(Default)]
struct Ends {
    sent: Option<Rc<Came>>,
    /// Where it is asked for, at which place.
    asked: Option<(usize, Rc<Came>)>,
    got: Option<Rc<Came>>,
}

impl Contents {
    /// Hears of what became of a collective or message of the rank at the place `at`. That one is entered it hears of when all ranks have
    /// ([`Contents::entered`]).
    pub(super) fn came(&mut self, came: &Rc<Came>, at: usize, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let record = &came.record;
        let Ok(event) = CollectiveEvent::try_from(record.event) else { return };
        let Some(entry) = ranks[at].source.entry(record.group) else { return };
        if matches!(event, CollectiveEvent::Waited | CollectiveEvent::FutureTaken) || entry.line < 2 {
            return;
        }
        let group = self.group(&entry.text);
        if CollectiveKind::try_from(record.op).is_ok_and(CollectiveKind::is_point_to_point) {
            group.message(event, came, (at, entry.owner as i32), ranks, joint);
        } else if event != CollectiveEvent::Issued {
            // Of several ends the last counts, and of what has several nothing is looked at.
            group.open(record.sequence).got.insert(at, came.clone());
            group.settle(record.sequence, entry.line as usize, ranks, joint);
        }
    }

    /// Hears of a collective of the group `name` that all of its ranks have entered.
    pub(super) fn entered(&mut self, name: &str, row: &Row, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let Some(sequence) = row.values().next().map(|came| came.record.sequence) else { return };
        let group = self.group(name);
        group.open(sequence).given = row.clone();
        group.settle(sequence, row.len(), ranks, joint);
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }
}

impl Group {
    fn open(&mut self, sequence: u32) -> &mut Collectively {
        if self.collectives.len() > MOST_OPEN {
            self.collectives.pop_first();
        }
        self.collectives.entry(sequence).or_default()
    }

    /// Compares the collective if all `size` ranks have entered and ended it.
    fn settle(&mut self, sequence: u32, size: usize, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let is_over = |one: &Collectively| one.given.len() == size && one.got.len() == size;
        if self.collectives.get(&sequence).is_some_and(is_over)
            && let Some(one) = self.collectives.remove(&sequence)
        {
            one.ended(size, ranks, joint);
        }
    }

    fn message(
        &mut self,
        event: CollectiveEvent,
        came: &Rc<Came>,
        (at, own): (usize, i32),
        ranks: &[Rank<'_>],
        joint: &mut Joint<'_>,
    ) {
        let Collective { op, peer, tag, message, .. } = came.record;
        let is_sent = op == CollectiveKind::Send as u8;
        // When it has left says nothing of what arrives, and may be known after that.
        if message == 0 || is_sent && event == CollectiveEvent::Completed {
            return;
        }
        let key = if is_sent { (own, peer, tag, message) } else { (peer, own, tag, message) };
        let ends = self.messages.entry(key).or_default();
        match event {
            CollectiveEvent::Issued if is_sent => ends.sent = Some(came.clone()),
            CollectiveEvent::Issued => ends.asked = Some((at, came.clone())),
            CollectiveEvent::Completed => ends.got = Some(came.clone()),
            _ => {
                self.messages.remove(&key);
                return;
            }
        }
        if let Ends { sent: Some(sent), asked: Some((at, asked)), got: Some(got) } = ends {
            if is_known(&sent.record)
                && is_known(&got.record)
                && sent.record.elements_in == got.record.elements_out
            {
                let is_same = hash(&sent.record) == hash(&got.record);
                let subject = Subject::Sent { kind: CollectiveKind::Recv.word().into() };
                let window = Told { asked, at: *at, departing: &[*at], differ: true };
                window.tell((subject, Outcome::WhatWasSent), is_same, ranks, joint);
            }
            self.messages.remove(&key);
        }
        if self.messages.len() > MOST_OPEN {
            self.messages.pop_first();
        }
    }
}

impl Collectively {
    /// It has ended on all ranks: whether all have what they should.
    fn ended(&self, size: usize, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let records = |of: &Row| -> Vec<Collective> { of.values().map(|came| came.record).collect() };
        let (given, got) = (records(&self.given), records(&self.got));
        let places: Vec<usize> = self.given.keys().copied().collect();
        let root = self.given.iter().position(|(at, came)| {
            let entry = ranks[*at].source.entry(came.record.group);
            entry.is_some_and(|entry| i32::try_from(entry.owner) == Ok(given[0].peer))
        });
        let kind = CollectiveKind::try_from(given[0].op).unwrap_or_default();
        if given.iter().any(|record| record.op != given[0].op) {
            return;
        }
        let all_get_the_same = matches!(
            kind,
            CollectiveKind::AllReduce
                | CollectiveKind::Broadcast
                | CollectiveKind::AllGather
                | CollectiveKind::AllGatherIntoTensor
        );
        let sum = adds_up(kind, &given, &got, root, size);
        let apart = departing(&got, |one, other| hash(one) == hash(other)).filter(|_| all_get_the_same);
        let departing: Vec<usize> = apart.iter().flatten().map(|&at| places[at]).collect();
        let at = departing.first().copied().unwrap_or(places[0]);
        let told = Told { asked: &self.given[&at], at, departing: &departing, differ: apart.is_some() };
        let kind_of = || kind.word().to_owned();
        if all_get_the_same && got.iter().all(is_known) {
            let claim = (Subject::Contents { kind: kind_of() }, Outcome::AllGetTheSame);
            told.tell(claim, apart.is_none(), ranks, joint);
        }
        if let Some(root) = root.filter(|_| kind == CollectiveKind::Broadcast)
            && is_known(&given[root])
            && is_known(&got[root])
        {
            let is_same = hash(&given[root]) == hash(&got[root]);
            told.tell((Subject::Sent { kind: kind_of() }, Outcome::WhatWasSent), is_same, ranks, joint);
        }
        if let Some(adds_up) = sum {
            let claim = (Subject::Total { kind: kind_of() }, Outcome::SumOfWhatGoesIn);
            told.tell(claim, adds_up, ranks, joint);
        }
    }
}
