//! Whether the workers of a loader draw the same random numbers.
//!
//! A worker is a forked child, in which the agent does nothing. Its memory began as a copy of this process's, so its
//! streams lie where they lie here, and the kernel lets a process read what its child has there. All streams are Mersenne
//! twisters: 624 words, which are twisted into the next 624 when all of them were used. Workers are not equally far on
//! when they are looked at: they draw from the same stream if the words of one become those of the other by twisting.
//! What is read while it is being twisted is like nothing else.

use super::{NAMES, twisters};
use crate::base::gil::Gil;
use crate::base::memory::copy_of_child;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names;
use crate::state::known::{Key, Name, When, with};
use crate::state::objects;
use crate::state::point::Point;
use crate::state::value::Value;
use std::ffi::CStr;
use traincheck_schema::record::{Event, VariableKind};

const WORDS: usize = 624;
/// So far apart two workers may be, in rounds of 624 numbers.
const ROUNDS: usize = 512;
/// Looks at the workers of one loader, each of which may take a millisecond.
const MOST_LOOKS: u32 = 16;
/// Loaders whose workers are looked at.
const MOST_LOADERS: usize = 16;

/// Where a stream lies in this process, and in what was forked from it.
#[derive(Clone, Copy, Debug)]
pub struct Twister {
    /// Address of the words.
    pub words: usize,
    /// Address of four bytes that change with every number that is drawn.
    pub position: usize,
}

/// What is read of one.
#[derive(Clone, Copy, PartialEq)]
struct State {
    words: [u32; WORDS],
    position: u32,
}

/// Of the first two workers.
type Pair = [State; 2];

/// What was found of one loader's workers.
struct Looks {
    loader: u32,
    count: u32,
    /// The two processes of the last look, and what was read of each stream.
    last: Option<([i64; 2], [Option<Pair>; 3])>,
}

static LOOKS: Gil<Vec<Looks>> = Gil::new(Vec::new());

/// Looks at the streams of the first two workers of the iterator that gives the batch with this number in the call `next`, at
/// the second, fourth, eighth batch of a pass and so on: says of each that both have drawn from since the look before which
/// worker's stream it is that the second draws from.
///
/// # Safety
/// A live object; the GIL is held and no exception is set, the thread's calls are marked busy.
pub unsafe fn compare(python: &Python, next: &Event, iterator: Object, number: i64) {
    if number < 1 || !(number + 1).cast_unsigned().is_power_of_two() {
        return;
    }
    // SAFETY: the caller's word; no Python code runs.
    unsafe {
        let Some(processes) = forked_workers(python, iterator) else { return };
        let due = LOOKS.with(|all| {
            let known = all.iter().position(|looks| looks.loader == next.object);
            if known.is_none() && all.len() < MOST_LOADERS {
                all.push(Looks { loader: next.object, count: 0, last: None });
            }
            let looks = match known {
                Some(at) => &mut all[at],
                None => all.last_mut().filter(|looks| looks.loader == next.object)?,
            };
            looks.count = looks.count.saturating_add(1);
            (looks.count <= MOST_LOOKS).then(|| looks.last.take())
        });
        let Some(last) = due else { return };
        let last = last.filter(|(of, _)| *of == processes).map(|(_, pairs)| pairs).unwrap_or_default();
        let now = twisters(python).map(|twister| twister.and_then(|twister| pair(twister, processes)));
        let point = Point::now(next);
        for ((stream, before), now) in NAMES.into_iter().zip(last).zip(&now) {
            let (Some(before), Some(now)) = (before, now) else { continue };
            // What is not drawn from may as well be the same.
            if before[0] == now[0] || before[1] == now[1] {
                continue;
            }
            let of = Value::Int(i64::from(!is_same_stream(&now[0].words, &now[1].words)));
            let text = || format!("{}.worker[1].{stream}", objects::name(next.object));
            let name = Name { kind: VariableKind::Worker, owner: next.object, text: &text };
            let key = Key::of(VariableKind::Worker, next.object).named(stream);
            with(|known| known.value(&point, key, &name, of, When::Always));
        }
        LOOKS.with(|all| {
            if let Some(looks) = all.iter_mut().find(|looks| looks.loader == next.object) {
                looks.last = Some((processes, now));
            }
        });
    }
}

/// The processes of the first two workers, if they were forked from this one.
unsafe fn forked_workers(python: &Python, iterator: Object) -> Option<[i64; 2]> {
    // SAFETY: `compare`'s contract. Attributes are read where they lie; what they hold lives as long as the iterator.
    unsafe {
        let workers = python.instance_attribute(iterator, c"_workers");
        if workers.is_null() || !python.is_list(workers) || (python.list_size)(workers) < 2 {
            return None;
        }
        let process = |index: isize| {
            let attribute = |object: Object, name: &CStr| {
                let found = python.instance_attribute(object, name);
                (!found.is_null()).then_some(found)
            };
            let started = attribute((python.list_get)(workers, index), c"_popen")?;
            if names::type_name(python, python.type_of(started)) != "multiprocessing.popen_fork.Popen" {
                return None;
            }
            match Value::of(python, attribute(started, c"pid")?) {
                Some(Value::Int(process)) if process > 0 => Some(process),
                _ => None,
            }
        };
        Some([process(0)?, process(1)?])
    }
}

fn pair(twister: Twister, processes: [i64; 2]) -> Option<Pair> {
    Some([state(twister, processes[0])?, state(twister, processes[1])?])
}

fn state(twister: Twister, process: i64) -> Option<State> {
    let process = libc::pid_t::try_from(process).ok()?;
    let mut bytes = [0; 4 * WORDS];
    let mut position = [0; 4];
    let is_read = copy_of_child(process, twister.words, &mut bytes)
        && copy_of_child(process, twister.position, &mut position);
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    (is_read && words != [0; WORDS]).then_some(State { words, position: u32::from_ne_bytes(position) })
}

/// Whether two twisters are the same but for how far on they are.
fn is_same_stream(one: &[u32; WORDS], other: &[u32; WORDS]) -> bool {
    let (mut from_one, mut from_other) = (*one, *other);
    for _ in 0..=ROUNDS {
        if from_one == *other || from_other == *one {
            return true;
        }
        twist(&mut from_one);
        twist(&mut from_other);
    }
    false
}

/// The next round, as every MT19937 has it.
fn twist(words: &mut [u32; WORDS]) {
    const MIDDLE: usize = 397;
    for index in 0..WORDS {
        let next = (index + 1) % WORDS;
        let mixed = words[index] & 0x8000_0000 | words[next] & 0x7fff_ffff;
        let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
        words[index] = words[(index + MIDDLE) % WORDS] ^ (mixed >> 1) ^ odd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As MT19937 is seeded with a number.
    fn seeded(seed: u32) -> [u32; WORDS] {
        let mut words = [seed; WORDS];
        for index in 1..WORDS {
            let before = words[index - 1];
            let mixed = before ^ (before >> 30);
            words[index] = mixed.wrapping_mul(1_812_433_253).wrapping_add(index as u32);
        }
        words
    }

    fn after(seed: u32, rounds: usize) -> [u32; WORDS] {
        let mut words = seeded(seed);
        (0..rounds).for_each(|_| twist(&mut words));
        words
    }

    #[test]
    fn a_twist_is_that_of_the_mersenne_twister() {
        // The first numbers that `random.Random` and `std::mt19937` give for the seed 5489.
        let tempered = |mut word: u32| {
            word ^= word >> 11;
            word ^= word << 7 & 0x9d2c_5680;
            word ^= word << 15 & 0xefc6_0000;
            word ^ word >> 18
        };
        let words = after(5489, 1);
        assert_eq!([words[0], words[1]].map(tempered), [3_499_211_612, 581_869_302]);
    }

    #[test]
    fn a_stream_is_the_same_however_far_on_it_is() {
        assert!(is_same_stream(&after(1, 0), &after(1, 0)));
        assert!(is_same_stream(&after(1, 3), &after(1, 40)));
        assert!(is_same_stream(&after(1, 40), &after(1, 0)));
        assert!(!is_same_stream(&after(1, 3), &after(2, 3)));
        assert!(!is_same_stream(&after(1, 0), &after(1, ROUNDS + 2)));
    }
}
