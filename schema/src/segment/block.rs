//! Events, states, arguments and collectives as columns.

use super::column::{PayloadError, at_most, each, each_sum, put, put_deltas, unzigzag, zigzag};
use super::types::{DropReason, Dropped, RingPosition};
use crate::record::{Argument, Collective, Event, State, ValueKind, collective};
use crate::trace_capnp::{arguments, block_end, collectives, events, states};

/// No frame has more rows than this; a longer block is written as several frames.
pub const MAX_ROWS: usize = 16_384;

/// More losses or positions are not in a block: one of each kind for all rings there can be.
pub(super) const MAX_RINGS: usize = 4 << 16;

const U8: u64 = u8::MAX as u64;
const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;
const U64: u64 = u64::MAX;

/// What a block says besides its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockEnd {
    /// The next frame belongs to the same block; the other two are empty.
    pub more: bool,
    /// Records missing since the block before.
    pub dropped: Vec<Dropped>,
    /// How far the rings have been written.
    pub positions: Vec<RingPosition>,
}

fn put_end(mut builder: block_end::Builder<'_>, end: &BlockEnd) {
    builder.set_more(end.more);
    let mut list = builder.reborrow().init_dropped(end.dropped.len() as u32);
    for (i, dropped) in (0..).zip(&end.dropped) {
        let mut one = list.reborrow().get(i);
        one.set_ring(dropped.ring);
        one.set_reason(dropped.reason as u8);
        one.set_count(dropped.count);
    }
    let mut list = builder.init_positions(end.positions.len() as u32);
    for (i, position) in (0..).zip(&end.positions) {
        let mut one = list.reborrow().get(i);
        one.set_ring(position.ring);
        one.set_position(position.position);
    }
}

fn read_end(reader: block_end::Reader<'_>) -> Result<BlockEnd, PayloadError> {
    let (dropped, positions) = (reader.get_dropped()?, reader.get_positions()?);
    at_most(dropped.len(), MAX_RINGS)?;
    at_most(positions.len(), MAX_RINGS)?;
    let dropped = dropped.iter().map(|one| Dropped {
        ring: one.get_ring(),
        count: one.get_count(),
        reason: DropReason::of(one.get_reason()),
    });
    let positions =
        positions.iter().map(|one| RingPosition { ring: one.get_ring(), position: one.get_position() });
    Ok(BlockEnd { more: reader.get_more(), dropped: dropped.collect(), positions: positions.collect() })
}

fn rows(count: u32) -> Result<usize, PayloadError> {
    at_most(count, MAX_ROWS)?;
    Ok(count as usize)
}

/// An id relative to a greater one, so that it is small; 0 stays apart.
fn relative(to: u64, number: u64) -> u64 {
    if number == 0 { 0 } else { zigzag(to.wrapping_sub(number)).wrapping_add(1) }
}

fn absolute(to: u64, relative: u64) -> u64 {
    if relative == 0 { 0 } else { to.wrapping_sub(unzigzag(relative.wrapping_sub(1))) }
}

pub(super) fn put_events(mut to: events::Builder<'_>, events: &[Event], end: &BlockEnd) {
    let rows = events.iter();
    to.set_rows(events.len() as u32);
    put_end(to.reborrow().init_end(), end);
    put(to.reborrow().init_kind(), rows.clone().map(|e| e.kind.into()));
    put(to.reborrow().init_stage(), rows.clone().map(|e| e.stage.into()));
    put(to.reborrow().init_flags(), rows.clone().map(|e| e.flags.into()));
    put(to.reborrow().init_thread(), rows.clone().map(|e| e.thread.into()));
    put_deltas(to.reborrow().init_time(), rows.clone().map(|e| e.time));
    put_deltas(to.reborrow().init_iteration(), rows.clone().map(|e| e.iteration.into()));
    put_deltas(to.reborrow().init_step(), rows.clone().map(|e| e.step.into()));
    put_deltas(to.reborrow().init_call(), rows.clone().map(|e| e.call));
    put(to.reborrow().init_parent(), rows.clone().map(|e| relative(e.call, e.parent)));
    put(to.reborrow().init_name(), rows.clone().map(|e| e.name.into()));
    put(to.reborrow().init_site(), rows.clone().map(|e| e.site.into()));
    put(to.reborrow().init_object(), rows.clone().map(|e| e.object.into()));
    put(to.reborrow().init_value(), rows.clone().map(|e| e.value));
    put(to.init_context(), rows.map(|e| e.context.into()));
}

pub(super) fn read_events(from: events::Reader<'_>) -> Result<(Vec<Event>, BlockEnd), PayloadError> {
    let n = rows(from.get_rows())?;
    let mut events = vec![Event::EMPTY; n];
    each(from.get_kind()?, events.iter_mut(), U8, |row, v| row.kind = v as u8)?;
    each(from.get_stage()?, events.iter_mut(), U8, |row, v| row.stage = v as u8)?;
    each(from.get_flags()?, events.iter_mut(), U16, |row, v| row.flags = v as u16)?;
    each(from.get_thread()?, events.iter_mut(), U16, |row, v| row.thread = v as u16)?;
    each_sum(from.get_time()?, events.iter_mut(), U64, |row, v| row.time = v)?;
    each_sum(from.get_iteration()?, events.iter_mut(), U32, |row, v| row.iteration = v as u32)?;
    each_sum(from.get_step()?, events.iter_mut(), U32, |row, v| row.step = v as u32)?;
    each_sum(from.get_call()?, events.iter_mut(), U64, |row, v| row.call = v)?;
    each(from.get_parent()?, events.iter_mut(), U64, |row, v| row.parent = absolute(row.call, v))?;
    each(from.get_name()?, events.iter_mut(), U32, |row, v| row.name = v as u32)?;
    each(from.get_site()?, events.iter_mut(), U32, |row, v| row.site = v as u32)?;
    each(from.get_object()?, events.iter_mut(), U32, |row, v| row.object = v as u32)?;
    each(from.get_value()?, events.iter_mut(), U64, |row, v| row.value = v)?;
    each(from.get_context()?, events.iter_mut(), U32, |row, v| row.context = v as u32)?;
    Ok((events, read_end(from.get_end()?)?))
}

/// Which rows have a place in the columns of one kind of value.
fn has_int(state: &State) -> bool {
    state.value_kind == ValueKind::Bool as u8 || state.value_kind == ValueKind::Int as u8
}

fn has_float(state: &State) -> bool {
    state.value_kind == ValueKind::Float as u8
}

fn has_text(state: &State) -> bool {
    state.value_kind == ValueKind::Text as u8
}

fn has_tensor(state: &State) -> bool {
    state.value_kind == ValueKind::Tensor as u8
}

pub(super) fn put_states(mut to: states::Builder<'_>, states: &[State], end: &BlockEnd) {
    let rows = states.iter();
    to.set_rows(states.len() as u32);
    put_end(to.reborrow().init_end(), end);
    put(to.reborrow().init_stage(), rows.clone().map(|s| s.stage.into()));
    put(to.reborrow().init_attribute(), rows.clone().map(|s| s.attribute.into()));
    put(to.reborrow().init_value_kind(), rows.clone().map(|s| s.value_kind.into()));
    put(to.reborrow().init_thread(), rows.clone().map(|s| s.thread.into()));
    put_deltas(to.reborrow().init_time(), rows.clone().map(|s| s.time));
    put_deltas(to.reborrow().init_iteration(), rows.clone().map(|s| s.iteration.into()));
    put_deltas(to.reborrow().init_step(), rows.clone().map(|s| s.step.into()));
    put_deltas(to.reborrow().init_call(), rows.clone().map(|s| s.call));
    put(to.reborrow().init_since(), rows.clone().map(|s| relative(s.time, s.since)));
    put(to.reborrow().init_variable(), rows.clone().map(|s| s.variable.into()));
    put(to.reborrow().init_point(), rows.clone().map(|s| s.point.into()));
    put(to.reborrow().init_int(), rows.clone().filter(|s| has_int(s)).map(|s| zigzag(s.int as u64)));
    put(to.reborrow().init_float(), rows.clone().filter(|s| has_float(s)).map(|s| s.float.to_bits()));
    put(to.reborrow().init_text(), rows.clone().filter(|s| has_text(s)).map(|s| s.text.into()));
    let rows = rows.filter(|s| has_tensor(s));
    let mut to = to.init_tensor();
    put(to.reborrow().init_hash_low(), rows.clone().map(|s| s.hash_low));
    put(to.reborrow().init_hash_high(), rows.clone().map(|s| s.hash_high));
    put(to.reborrow().init_nan(), rows.clone().map(|s| s.nan.into()));
    put(to.reborrow().init_inf(), rows.clone().map(|s| s.inf.into()));
    put(to.reborrow().init_zeros(), rows.clone().map(|s| s.zeros));
    put(to.reborrow().init_elements(), rows.clone().map(|s| s.elements));
    put(to.reborrow().init_min(), rows.clone().map(|s| s.min.to_bits().into()));
    put(to.reborrow().init_max(), rows.clone().map(|s| s.max.to_bits().into()));
    put(to.init_l2(), rows.map(|s| s.l2.to_bits().into()));
}

pub(super) fn read_states(from: states::Reader<'_>) -> Result<(Vec<State>, BlockEnd), PayloadError> {
    let n = rows(from.get_rows())?;
    let mut states = vec![State::EMPTY; n];
    each(from.get_stage()?, states.iter_mut(), U8, |row, v| row.stage = v as u8)?;
    each(from.get_attribute()?, states.iter_mut(), U8, |row, v| row.attribute = v as u8)?;
    each(from.get_value_kind()?, states.iter_mut(), U8, |row, v| row.value_kind = v as u8)?;
    each(from.get_thread()?, states.iter_mut(), U16, |row, v| row.thread = v as u16)?;
    each_sum(from.get_time()?, states.iter_mut(), U64, |row, v| row.time = v)?;
    each_sum(from.get_iteration()?, states.iter_mut(), U32, |row, v| row.iteration = v as u32)?;
    each_sum(from.get_step()?, states.iter_mut(), U32, |row, v| row.step = v as u32)?;
    each_sum(from.get_call()?, states.iter_mut(), U64, |row, v| row.call = v)?;
    each(from.get_since()?, states.iter_mut(), U64, |row, v| row.since = absolute(row.time, v))?;
    each(from.get_variable()?, states.iter_mut(), U32, |row, v| row.variable = v as u32)?;
    each(from.get_point()?, states.iter_mut(), U32, |row, v| row.point = v as u32)?;

    let (mut ints, mut floats, mut texts, mut tensors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (row, state) in states.iter().enumerate() {
        if has_tensor(state) {
            tensors.push(row);
        } else if has_int(state) {
            ints.push(row);
        } else if has_float(state) {
            floats.push(row);
        } else if has_text(state) {
            texts.push(row);
        }
    }
    each(from.get_int()?, ints.iter(), U64, |&i, v| states[i].int = unzigzag(v) as i64)?;
    each(from.get_float()?, floats.iter(), U64, |&i, v| states[i].float = f64::from_bits(v))?;
    each(from.get_text()?, texts.iter(), U32, |&i, v| states[i].text = v as u32)?;
    let tensor = from.get_tensor()?;
    each(tensor.get_hash_low()?, tensors.iter(), U64, |&i, v| states[i].hash_low = v)?;
    each(tensor.get_hash_high()?, tensors.iter(), U64, |&i, v| states[i].hash_high = v)?;
    each(tensor.get_nan()?, tensors.iter(), U32, |&i, v| states[i].nan = v as u32)?;
    each(tensor.get_inf()?, tensors.iter(), U32, |&i, v| states[i].inf = v as u32)?;
    each(tensor.get_zeros()?, tensors.iter(), U64, |&i, v| states[i].zeros = v)?;
    each(tensor.get_elements()?, tensors.iter(), U64, |&i, v| states[i].elements = v)?;
    each(tensor.get_min()?, tensors.iter(), U32, |&i, v| states[i].min = f32::from_bits(v as u32))?;
    each(tensor.get_max()?, tensors.iter(), U32, |&i, v| states[i].max = f32::from_bits(v as u32))?;
    each(tensor.get_l2()?, tensors.iter(), U32, |&i, v| states[i].l2 = f32::from_bits(v as u32))?;
    Ok((states, read_end(from.get_end()?)?))
}

pub(super) fn put_arguments(mut to: arguments::Builder<'_>, arguments: &[Argument], end: &BlockEnd) {
    let rows = arguments.iter();
    to.set_rows(arguments.len() as u32);
    put_end(to.reborrow().init_end(), end);
    put(to.reborrow().init_direction(), rows.clone().map(|a| a.direction.into()));
    put(to.reborrow().init_value_kind(), rows.clone().map(|a| a.value_kind.into()));
    put(to.reborrow().init_thread(), rows.clone().map(|a| a.thread.into()));
    put_deltas(to.reborrow().init_time(), rows.clone().map(|a| a.time));
    put_deltas(to.reborrow().init_call(), rows.clone().map(|a| a.call));
    put_deltas(to.reborrow().init_iteration(), rows.clone().map(|a| a.iteration.into()));
    put(to.reborrow().init_function(), rows.clone().map(|a| a.function.into()));
    put(to.reborrow().init_name(), rows.clone().map(|a| a.name.into()));
    put(to.reborrow().init_text(), rows.clone().map(|a| a.text.into()));
    put(to.reborrow().init_value(), rows.clone().map(|a| a.value));
    put(to.reborrow().init_object(), rows.clone().map(|a| a.object.into()));
    put(to.reborrow().init_storage(), rows.clone().map(|a| a.storage.into()));
    put(to.reborrow().init_flags(), rows.clone().map(|a| a.flags.into()));
    put(to.init_largest(), rows.map(|a| a.largest.to_bits().into()));
}

pub(super) fn read_arguments(from: arguments::Reader<'_>) -> Result<(Vec<Argument>, BlockEnd), PayloadError> {
    let n = rows(from.get_rows())?;
    let mut arguments = vec![Argument::EMPTY; n];
    each(from.get_direction()?, arguments.iter_mut(), U8, |row, v| row.direction = v as u8)?;
    each(from.get_value_kind()?, arguments.iter_mut(), U8, |row, v| row.value_kind = v as u8)?;
    each(from.get_thread()?, arguments.iter_mut(), U16, |row, v| row.thread = v as u16)?;
    each_sum(from.get_time()?, arguments.iter_mut(), U64, |row, v| row.time = v)?;
    each_sum(from.get_call()?, arguments.iter_mut(), U64, |row, v| row.call = v)?;
    each_sum(from.get_iteration()?, arguments.iter_mut(), U32, |row, v| row.iteration = v as u32)?;
    each(from.get_function()?, arguments.iter_mut(), U32, |row, v| row.function = v as u32)?;
    each(from.get_name()?, arguments.iter_mut(), U32, |row, v| row.name = v as u32)?;
    each(from.get_text()?, arguments.iter_mut(), U32, |row, v| row.text = v as u32)?;
    each(from.get_value()?, arguments.iter_mut(), U64, |row, v| row.value = v)?;
    each(from.get_object()?, arguments.iter_mut(), U32, |row, v| row.object = v as u32)?;
    each(from.get_storage()?, arguments.iter_mut(), U32, |row, v| row.storage = v as u32)?;
    each(from.get_flags()?, arguments.iter_mut(), U16, |row, v| row.flags = v as u16)?;
    each(from.get_largest()?, arguments.iter_mut(), U32, |row, v| row.largest = f32::from_bits(v as u32))?;
    Ok((arguments, read_end(from.get_end()?)?))
}

pub(super) fn put_collectives(mut to: collectives::Builder<'_>, collectives: &[Collective], end: &BlockEnd) {
    let rows = collectives.iter();
    let signed = |number: i32| zigzag(i64::from(number) as u64);
    to.set_rows(collectives.len() as u32);
    put_end(to.reborrow().init_end(), end);
    put(to.reborrow().init_event(), rows.clone().map(|c| c.event.into()));
    put(to.reborrow().init_stage(), rows.clone().map(|c| c.stage.into()));
    put(to.reborrow().init_op(), rows.clone().map(|c| c.op.into()));
    put(to.reborrow().init_thread(), rows.clone().map(|c| c.thread.into()));
    put_deltas(to.reborrow().init_time(), rows.clone().map(|c| c.time));
    put_deltas(to.reborrow().init_call(), rows.clone().map(|c| c.call));
    put_deltas(to.reborrow().init_number(), rows.clone().map(|c| c.number));
    put_deltas(to.reborrow().init_iteration(), rows.clone().map(|c| c.iteration.into()));
    put_deltas(to.reborrow().init_step(), rows.clone().map(|c| c.step.into()));
    put(to.reborrow().init_group(), rows.clone().map(|c| c.group.into()));
    put_deltas(to.reborrow().init_sequence(), rows.clone().map(|c| c.sequence.into()));
    put(to.reborrow().init_elements_in(), rows.clone().map(|c| c.elements_in));
    put(to.reborrow().init_elements_out(), rows.clone().map(|c| c.elements_out));
    put(to.reborrow().init_peer(), rows.clone().map(|c| signed(c.peer)));
    put(to.reborrow().init_tag(), rows.clone().map(|c| signed(c.tag)));
    put(to.reborrow().init_tensors(), rows.clone().map(|c| c.tensors.into()));
    put(to.reborrow().init_flags(), rows.clone().map(|c| c.flags.into()));
    put(to.reborrow().init_reduce(), rows.clone().map(|c| c.reduce.into()));
    put(to.reborrow().init_element_type(), rows.clone().map(|c| c.element_type.into()));
    put(to.reborrow().init_message(), rows.clone().map(|c| c.message.into()));
    let rows = rows.filter(|c| c.has(collective::CONTENTS));
    put(to.reborrow().init_hash_low(), rows.clone().map(|c| c.hash_low));
    put(to.reborrow().init_hash_high(), rows.clone().map(|c| c.hash_high));
    put(to.reborrow().init_sum(), rows.clone().map(|c| c.sum.to_bits()));
    put(to.init_l2(), rows.map(|c| c.l2.to_bits().into()));
}

pub(super) fn read_collectives(
    from: collectives::Reader<'_>,
) -> Result<(Vec<Collective>, BlockEnd), PayloadError> {
    let n = rows(from.get_rows())?;
    let mut collectives = vec![Collective::EMPTY; n];
    // Of 32 bits, zigzag-encoded, as many.
    let signed = |number: u64| unzigzag(number) as i32;
    each(from.get_event()?, collectives.iter_mut(), U8, |row, v| row.event = v as u8)?;
    each(from.get_stage()?, collectives.iter_mut(), U8, |row, v| row.stage = v as u8)?;
    each(from.get_op()?, collectives.iter_mut(), U8, |row, v| row.op = v as u8)?;
    each(from.get_thread()?, collectives.iter_mut(), U16, |row, v| row.thread = v as u16)?;
    each_sum(from.get_time()?, collectives.iter_mut(), U64, |row, v| row.time = v)?;
    each_sum(from.get_call()?, collectives.iter_mut(), U64, |row, v| row.call = v)?;
    each_sum(from.get_number()?, collectives.iter_mut(), U64, |row, v| row.number = v)?;
    each_sum(from.get_iteration()?, collectives.iter_mut(), U32, |row, v| row.iteration = v as u32)?;
    each_sum(from.get_step()?, collectives.iter_mut(), U32, |row, v| row.step = v as u32)?;
    each(from.get_group()?, collectives.iter_mut(), U32, |row, v| row.group = v as u32)?;
    each_sum(from.get_sequence()?, collectives.iter_mut(), U32, |row, v| row.sequence = v as u32)?;
    each(from.get_elements_in()?, collectives.iter_mut(), U64, |row, v| row.elements_in = v)?;
    each(from.get_elements_out()?, collectives.iter_mut(), U64, |row, v| row.elements_out = v)?;
    each(from.get_peer()?, collectives.iter_mut(), U32, |row, v| row.peer = signed(v))?;
    each(from.get_tag()?, collectives.iter_mut(), U32, |row, v| row.tag = signed(v))?;
    each(from.get_tensors()?, collectives.iter_mut(), U32, |row, v| row.tensors = v as u32)?;
    each(from.get_flags()?, collectives.iter_mut(), U16, |row, v| row.flags = v as u16)?;
    each(from.get_reduce()?, collectives.iter_mut(), U8, |row, v| row.reduce = v as u8)?;
    each(from.get_element_type()?, collectives.iter_mut(), U8, |row, v| row.element_type = v as u8)?;
    each(from.get_message()?, collectives.iter_mut(), U32, |row, v| row.message = v as u32)?;
    let with_contents: Vec<usize> =
        (0..n).filter(|&row| collectives[row].has(collective::CONTENTS)).collect();
    let with_contents = with_contents.iter();
    each(from.get_hash_low()?, with_contents.clone(), U64, |&i, v| collectives[i].hash_low = v)?;
    each(from.get_hash_high()?, with_contents.clone(), U64, |&i, v| collectives[i].hash_high = v)?;
    each(from.get_sum()?, with_contents.clone(), U64, |&i, v| collectives[i].sum = f64::from_bits(v))?;
    each(from.get_l2()?, with_contents, U32, |&i, v| collectives[i].l2 = f32::from_bits(v as u32))?;
    Ok((collectives, read_end(from.get_end()?)?))
}
