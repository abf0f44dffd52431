//! What happens before the run is started is kept in memory: it becomes the first block, or nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use traincheck_schema::record::{Argument, Collective, Event, State};

/// How many records are kept. Those beyond are counted.
pub const MOST_RECORDS: usize = 16_384;

/// Records from before the start.
pub struct Early {
    /// Events, in the order in which they came.
    pub events: Vec<Event>,
    /// States, likewise.
    pub states: Vec<State>,
    /// Arguments and results, likewise.
    pub arguments: Vec<Argument>,
    /// What became of collectives, likewise.
    pub collectives: Vec<Collective>,
    /// How many more there were.
    pub lost: u64,
}

impl Early {
    const EMPTY: Early = Early {
        events: Vec::new(),
        states: Vec::new(),
        arguments: Vec::new(),
        collectives: Vec::new(),
        lost: 0,
    };

    fn has_room(&mut self) -> bool {
        let kept = self.events.len() + self.states.len() + self.arguments.len() + self.collectives.len();
        let room = kept < MOST_RECORDS;
        self.lost += u64::from(!room);
        room
    }

    /// Keeps an event of the thread with this number.
    pub fn keep_event(&mut self, event: &Event, thread: u16) {
        if self.has_room() {
            self.events.push(Event { thread, ..*event });
        }
    }

    /// Keeps a state of the thread with this number.
    pub fn keep_state(&mut self, state: &State, thread: u16) {
        if self.has_room() {
            self.states.push(State { thread, ..*state });
        }
    }

    /// Keeps an argument of the thread with this number.
    pub fn keep_argument(&mut self, argument: &Argument, thread: u16) {
        if self.has_room() {
            self.arguments.push(Argument { thread, ..*argument });
        }
    }

    /// Keeps what became of a collective in the thread with this number.
    pub fn keep_collective(&mut self, collective: &Collective, thread: u16) {
        if self.has_room() {
            self.collectives.push(Collective { thread, ..*collective });
        }
    }

    /// Everything, leaving nothing.
    pub fn take(&mut self) -> Early {
        std::mem::replace(self, Early::EMPTY)
    }
}

static EARLY: Mutex<Early> = Mutex::new(Early::EMPTY);

/// The records from before the start. The start happens under this lock: who holds it and sees that it has not
/// happened may keep a record.
pub fn lock() -> MutexGuard<'static, Early> {
    EARLY.lock().unwrap_or_else(PoisonError::into_inner)
}
