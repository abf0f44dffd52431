//! Records of several rings, merged in the order of their times.
//!
//! Each ring is read in the order in which it was filled, so that a block ends at one position in each ring:
//! everything before it is written, nothing behind it is.

use traincheck_schema::record::{
    ARGUMENT_SIZE, Argument, COLLECTIVE_SIZE, Collective, EVENT_SIZE, Event, STATE_SIZE, State,
};
use traincheck_schema::ring::{Ring, RingError, RingRecord};
use traincheck_schema::segment::RingPosition;

/// Records of one ring that are not yet in a block.
pub struct Records {
    ring: u16,
    /// Where in the ring the next record is.
    position: u64,
    capacity: u64,
    events: std::vec::IntoIter<Event>,
    states: std::vec::IntoIter<State>,
    arguments: std::vec::IntoIter<Argument>,
    collectives: std::vec::IntoIter<Collective>,
    /// Which kind comes when.
    order: std::vec::IntoIter<Kind>,
    taken: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Event,
    State,
    Argument,
    Collective,
}

impl Records {
    /// Copies the records from position `from` to `to` of `ring`.
    pub fn read(ring: &Ring, from: u64, to: u64) -> Result<Records, RingError> {
        let mut events = Vec::with_capacity(usize::try_from(to - from).unwrap_or(0) / EVENT_SIZE);
        let mut states = Vec::new();
        let mut arguments = Vec::new();
        let mut collectives = Vec::new();
        let mut order = Vec::with_capacity(events.capacity());
        ring.read(from, to, |record| match record {
            RingRecord::Event(event) => {
                events.push(event);
                order.push(Kind::Event);
            }
            RingRecord::State(state) => {
                states.push(state);
                order.push(Kind::State);
            }
            RingRecord::Argument(argument) => {
                arguments.push(argument);
                order.push(Kind::Argument);
            }
            RingRecord::Collective(collective) => {
                collectives.push(collective);
                order.push(Kind::Collective);
            }
            // These are in a ring of their own.
            RingRecord::Dict(_) => {}
        })?;
        Ok(Records {
            ring: ring.info().index,
            position: from,
            capacity: ring.capacity() as u64,
            events: events.into_iter(),
            states: states.into_iter(),
            arguments: arguments.into_iter(),
            collectives: collectives.into_iter(),
            order: order.into_iter(),
            taken: false,
        })
    }

    /// The kind and time of the next record.
    fn front(&self) -> Option<(Kind, u64)> {
        let kind = *self.order.as_slice().first()?;
        let time = match kind {
            Kind::Event => self.events.as_slice().first()?.time,
            Kind::State => self.states.as_slice().first()?.time,
            Kind::Argument => self.arguments.as_slice().first()?.time,
            Kind::Collective => self.collectives.as_slice().first()?.time,
        };
        Some((kind, time))
    }

    /// Counts a record of `size` bytes as taken. A record that does not fit before the end of the ring is at its
    /// beginning.
    fn advance(&mut self, size: usize) {
        let size = size as u64;
        let room = self.capacity - self.position % self.capacity;
        let skipped = if room < size { room } else { 0 };
        self.position += skipped + size;
        self.order.next();
        self.taken = true;
    }
}

/// One block.
#[derive(Default)]
pub struct Block {
    /// Its events, those of each ring in the order of the ring.
    pub events: Vec<Event>,
    /// Its states, likewise.
    pub states: Vec<State>,
    /// Its arguments, likewise.
    pub arguments: Vec<Argument>,
    /// What became of collectives, likewise.
    pub collectives: Vec<Collective>,
    /// Up to where the rings are in this block and those before, for the rings that have a part in this one.
    pub positions: Vec<RingPosition>,
}

impl Block {
    /// How many records it has of the kind of which it has most.
    fn longest(&self) -> usize {
        let lengths = [self.events.len(), self.states.len(), self.arguments.len(), self.collectives.len()];
        lengths.into_iter().fold(0, usize::max)
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.longest() == 0
    }
}

/// The records of several rings.
pub struct Merge(Vec<Records>);

impl Merge {
    /// Those of `rings`.
    pub fn new(rings: Vec<Records>) -> Merge {
        Merge(rings)
    }

    /// The earliest records, at most `limit` of each kind.
    pub fn next_block(&mut self, limit: usize) -> Block {
        let mut block = Block::default();
        while block.longest() < limit {
            let fronts =
                self.0.iter_mut().filter_map(|records| records.front().map(|front| (front, records)));
            let Some(((kind, _), records)) = fronts.min_by_key(|((_, time), _)| *time) else { break };
            match kind {
                Kind::Event => {
                    block.events.extend(records.events.next());
                    records.advance(EVENT_SIZE);
                }
                Kind::State => {
                    block.states.extend(records.states.next());
                    records.advance(STATE_SIZE);
                }
                Kind::Argument => {
                    block.arguments.extend(records.arguments.next());
                    records.advance(ARGUMENT_SIZE);
                }
                Kind::Collective => {
                    block.collectives.extend(records.collectives.next());
                    records.advance(COLLECTIVE_SIZE);
                }
            }
        }
        for records in &mut self.0 {
            if std::mem::take(&mut records.taken) {
                block.positions.push(RingPosition { ring: records.ring, position: records.position });
            }
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use traincheck_schema::record::{Attribute, EventKind};
    use traincheck_schema::ring::{HEADER_SIZE, RingInfo};

    fn event(time: u64) -> Event {
        Event { kind: EventKind::Enter as u8, time, ..Event::EMPTY }
    }

    fn argument(time: u64) -> Argument {
        Argument { time, ..Argument::EMPTY }
    }

    fn state(time: u64) -> State {
        State { attribute: Attribute::Data as u8, time, ..State::EMPTY }
    }

    fn collective(time: u64) -> Collective {
        Collective { time, ..Collective::EMPTY }
    }

    /// A ring in plain memory; the memory is leaked.
    fn ring(index: u16, grains: usize) -> Ring {
        let memory: &'static mut [[u64; 512]] = vec![[0; 512]; 1 + grains.div_ceil(64)].leak();
        let info = RingInfo { pid: 1, index, thread: 1, dictionary: false, made_wall_ns: 0 };
        // SAFETY: the memory is zeroed, aligned to 8 bytes at least, long enough and never freed.
        unsafe { Ring::format(memory.as_mut_ptr().cast(), HEADER_SIZE + grains * EVENT_SIZE, &info) }
    }

    proptest! {
        /// Whatever is pushed comes out once, in the order of time, and the positions are those of the ring.
        #[test]
        fn blocks_end_where_the_rings_say(
            rounds in prop::collection::vec((prop::collection::vec((0..3_usize, 0..4_u8), 0..30), 1..9_usize), 1..20)
        ) {
            let rings = [ring(0, 33), ring(1, 65), ring(2, 128)];
            let mut written = [0; 3];
            let mut time = 0;
            for (pushes, limit) in rounds {
                let mut expected = Vec::new();
                for (which, kind) in pushes {
                    time += 1;
                    let fits = match kind {
                        0 => rings[which].push_event(&event(time)),
                        1 => rings[which].push_state(&state(time)),
                        2 => rings[which].push_argument(&argument(time)),
                        _ => rings[which].push_collective(&collective(time)),
                    };
                    if fits {
                        expected.push((time, which as u16, kind));
                    }
                }
                let heads: Vec<u64> = rings.iter().map(Ring::head).collect();
                let all = (0..3).map(|i| Records::read(&rings[i], written[i], heads[i]).unwrap()).collect();
                let mut merge = Merge::new(all);
                let mut found = Vec::new();
                loop {
                    let block = merge.next_block(limit);
                    if block.is_empty() {
                        break;
                    }
                    prop_assert!(block.longest() <= limit);
                    let mut here: Vec<_> = block.events.iter().map(|event| (event.time, event.thread, 0)).collect();
                    here.extend(block.states.iter().map(|state| (state.time, state.thread, 1)));
                    here.extend(block.arguments.iter().map(|argument| (argument.time, argument.thread, 2)));
                    here.extend(block.collectives.iter().map(|collective| (collective.time, collective.thread, 3)));
                    here.sort_unstable();
                    found.extend(here);
                    for position in block.positions {
                        let ring = &rings[usize::from(position.ring)];
                        // Reading from there on works: it is a boundary of records.
                        ring.read(position.position, ring.head(), |_| {}).unwrap();
                        ring.release(position.position);
                        written[usize::from(position.ring)] = position.position;
                    }
                }
                prop_assert_eq!(found, expected);
                for i in 0..3 {
                    prop_assert_eq!(written[i], heads[i]);
                }
            }
        }
    }
}
