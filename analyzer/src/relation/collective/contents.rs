//! What goes into collectives and messages and what comes out of them, side by side over ranks.
//!
//! What backends promise is compared with what they do: that all get the same, that a sum is the sum of what went in, that what
//! arrives is what was sent. It is broken by memory or links that corrupt, and by programs that write to a tensor while it is
//! under way. And what is reduced should be different on every rank: what is already the same on all of them was reduced before, and is a
//! multiple of what it should be behind that.
//!
//! That a collective has to change what a tensor is over ranks (partial, replicated) is borrowed from spmd_types, which has users say
//! it; here it is learned from contents.

use std::collections::BTreeMap;
use std::rc::Rc;

use traincheck_schema::record::{Collective, CollectiveEvent, CollectiveKind, ReduceKind, collective};

use super::claim::{Outcome, Subject};
use super::row::{MOST_OPEN, Row};
use super::total::{adds_up, is_sum};
use crate::relation::sink::Window;
use crate::relation::together::{Joint, Rank, departing};
use crate::scene::came::Came;
use crate::situation::NOTHING;

/// What has fewer elements may be the same on all ranks by chance, as counts are.
const FEWEST: u64 = 16;

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
        given_by_all(row, ranks, joint);
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
            if is_known(&[&sent.record, &got.record]) && sent.record.elements_in == got.record.elements_out {
                let is_same = hash(&sent.record) == hash(&got.record);
                let subject = Subject::Contents { kind: CollectiveKind::Recv.word().into() };
                let window = Told { asked, at: *at, departing: &[*at], differ: true };
                window.tell(subject, &[(Outcome::WhatWasSent, Some(is_same))], ranks, joint);
            }
            self.messages.remove(&key);
        }
        if self.messages.len() > MOST_OPEN {
            self.messages.pop_first();
        }
    }
}

/// All ranks have entered it: whether what they put in is worth being reduced.
fn given_by_all(row: &Row, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
    let records: Vec<&Collective> = row.values().map(|came| &came.record).collect();
    let (Some((&at, first)), Some(one)) = (row.first_key_value(), records.first()) else { return };
    let is_worth = |record: &&Collective| {
        let reduces = ReduceKind::try_from(record.reduce)
            .is_ok_and(|how| !matches!(how, ReduceKind::None | ReduceKind::Unknown));
        reduces && record.has(collective::SUM) && record.elements_in >= FEWEST && record.l2 > 0.0
    };
    let Some(call) = first.stack.last().filter(|_| records.iter().all(is_worth)) else { return };
    let kind = CollectiveKind::try_from(one.op).unwrap_or_default();
    let function = joint.numbers.calls.get(call.target.plain).function.clone();
    let subject = Subject::GoesIn { kind: kind.word().into(), function };
    let differ = records.iter().any(|record| hash(record) != hash(one));
    let is_added_up = records.iter().all(|record| is_sum(record));
    let told = Told { asked: first, at, departing: &[], differ: false };
    // The largest of what is the same is the same.
    let outcomes =
        [(Outcome::DiffersByRank, is_added_up.then_some(differ)), (Outcome::IsAddedUp, Some(is_added_up))];
    told.tell(subject, &outcomes, ranks, joint);
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
        let apart = (all_get_the_same && got.iter().all(|record| is_known(&[record])))
            .then(|| departing(&got, |one, other| hash(one) == hash(other)));
        let from_root = root.filter(|_| kind == CollectiveKind::Broadcast).and_then(|root| {
            is_known(&[&given[root], &got[root]]).then(|| hash(&given[root]) == hash(&got[root]))
        });
        let sum = adds_up(kind, &given, &got, root, size);
        if apart.is_none() && from_root.is_none() && sum.is_none() {
            return;
        }
        let is_same = apart.as_ref().map(Option::is_none);
        let apart = apart.flatten();
        let departing: Vec<usize> = apart.iter().flatten().map(|&at| places[at]).collect();
        let at = departing.first().copied().unwrap_or(places[0]);
        let told = Told { asked: &self.given[&at], at, departing: &departing, differ: apart.is_some() };
        let outcomes = [
            (Outcome::AllGetTheSame, is_same),
            (Outcome::WhatWasSent, from_root),
            (Outcome::SumOfWhatGoesIn, sum),
        ];
        told.tell(Subject::Contents { kind: kind.word().into() }, &outcomes, ranks, joint);
    }
}

fn hash(record: &Collective) -> (u64, u64) {
    (record.hash_low, record.hash_high)
}

/// Whether the contents of all of them were looked at.
fn is_known(records: &[&Collective]) -> bool {
    records.iter().all(|record| record.has(collective::CONTENTS))
}

/// A window over ranks.
struct Told<'a> {
    /// Where the rank at the place `at` has issued it.
    asked: &'a Rc<Came>,
    at: usize,
    departing: &'a [usize],
    /// What is wrong if it is wrong is that ranks differ.
    differ: bool,
}

impl Told<'_> {
    /// Each outcome holds, or does not, or cannot be told.
    fn tell(
        &self,
        subject: Subject,
        outcomes: &[(Outcome, Option<bool>)],
        ranks: &[Rank<'_>],
        joint: &mut Joint<'_>,
    ) {
        let Some((call, around)) = self.asked.stack.split_last() else { return };
        let subject = joint.numbers.subject(subject);
        let (mut held, mut inconclusive) = (Vec::new(), Vec::new());
        for (outcome, holds) in outcomes {
            let outcome = joint.numbers.outcome(*outcome);
            match holds {
                Some(true) => held.push(outcome),
                Some(false) => {}
                None => inconclusive.push(outcome),
            }
        }
        let mut window = Window::new(subject, NOTHING, call, 0);
        window.around = Some(around);
        window.now = (self.asked.record.iteration, self.asked.record.step);
        (window.held, window.inconclusive) = (&held, &inconclusive);
        joint.window_of(&window, ranks, self.at, self.departing, self.differ);
    }
}
