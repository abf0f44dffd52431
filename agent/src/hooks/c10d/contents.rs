//! What goes into a collective and what comes out of it: contents, not only sizes.
//!
//! What it reads is looked at before the backend sees it, in the thread that issues it. What it writes is looked at where the backend is
//! done with it: before anybody who waits for its handle or its future goes on (callbacks of futures run before handles end), so that
//! nobody has changed it yet. It is then found by the address that it had,
//! and read by the kernel: the backend keeps its memory, and should it ever not, that shall be no harm.

use super::tensors::Tensors;
use crate::base::memory::{self, Spare};
use crate::libtorch::proven;
use crate::libtorch::view::{Dtype, TensorView};
use crate::sink::cost::{self, Timer};
use crate::state::fingerprint::fingerprint_if_readable;
use crate::state::{position, sum};
use crate::training::budget;
use traincheck_schema::record::{Collective, CollectiveKind, collective};

/// What moves more bytes is looked at in sampled iterations only.
const SMALL: usize = 1 << 20;
/// What moves more is not looked at.
const LARGE: usize = 64 << 20;

/// Of several tensors together.
#[derive(Default)]
struct Contents {
    count: usize,
    hash: [u64; 2],
    squares: f64,
    /// `None`: they have none.
    sum: Option<f64>,
}

/// Where a collective writes.
pub struct Written(Vec<Place>);

struct Place {
    dtype: Dtype,
    /// The address.
    data: usize,
    elements: usize,
}

/// Looks at what a collective that is about to begin reads, if it is its turn: puts that into the record. Gives what is to be looked
/// at when it has ended.
///
/// # Safety
/// The tensors live.
pub unsafe fn begin(read: &Tensors, written: &Tensors, record: &mut Collective) -> Option<Written> {
    if !budget::looks_now() {
        return None;
    }
    // SAFETY: the caller's word.
    let (read, written) = unsafe { (views(read)?, views(written)?) };
    let bytes = read.iter().chain(&written).map(bytes_of).fold(0, usize::saturating_add);
    if bytes > LARGE || (bytes > SMALL && !position::is_sampled()) {
        return None;
    }
    let timer = Timer::begin();
    Contents::of(&read).into_iter().for_each(|contents| contents.put(record));
    timer.end(&cost::LOOKS);
    let place = |view: &TensorView<'_>| {
        let data = view.data() as usize;
        view.is_contiguous().then(|| Place { dtype: view.dtype(), data, elements: view.elements() })
    };
    let is_read_later = is_there_at_its_end(record.op) && !written.is_empty();
    is_read_later.then(|| written.iter().map(place).collect::<Option<_>>()).flatten().map(Written)
}

/// Looks at what a collective that has just ended has written: puts that into the record.
pub fn end(written: &Written, record: &mut Collective) {
    let timer = Timer::begin();
    let mut all = Contents::default();
    let are_read = written.0.iter().all(|place| {
        let bytes = place.elements * place.dtype.size();
        if bytes == 0 {
            return all.add_all_of(place, std::ptr::NonNull::<u64>::dangling().as_ptr().cast());
        }
        let Some(mut copied) = Spare::of(bytes) else { return false };
        memory::copy(place.data, &mut copied) && all.add_all_of(place, copied.as_ptr())
    });
    if are_read {
        all.put(record);
    }
    timer.end(&cost::LOOKS);
}

/// Views of all of them; `None` where one cannot be read.
///
/// # Safety
/// They live.
unsafe fn views(tensors: &Tensors) -> Option<Vec<TensorView<'static>>> {
    let reader = proven::tensors().filter(|_| tensors.are_all_there())?;
    // SAFETY: the caller's word; nothing changes a tensor while it is given to a collective.
    tensors.each.iter().map(|tensor| unsafe { reader.view(*tensor) }.ok()).collect()
}

fn bytes_of(view: &TensorView<'_>) -> usize {
    view.elements() * view.dtype().size()
}

/// Whether what it writes is there where its handle ends. What scatters reductions is made of others by the backend, and comes from
/// them only when somebody waits; so do some that are coalesced.
fn is_there_at_its_end(op: u8) -> bool {
    matches!(
        CollectiveKind::try_from(op),
        Ok(CollectiveKind::AllReduce
            | CollectiveKind::Broadcast
            | CollectiveKind::Reduce
            | CollectiveKind::AllGather
            | CollectiveKind::AllGatherIntoTensor
            | CollectiveKind::AllToAllSingle
            | CollectiveKind::Gather
            | CollectiveKind::Scatter
            | CollectiveKind::Recv
            | CollectiveKind::RecvAnySource)
    )
}

impl Contents {
    /// `None`: there are no tensors, or one cannot be read.
    fn of(views: &[TensorView<'_>]) -> Option<Contents> {
        let mut all = Contents::default();
        let are_read = views.iter().all(|view| all.add(view));
        (are_read && all.count > 0).then_some(all)
    }

    /// Adds what was copied of `place` to `data`. False: it cannot be read.
    fn add_all_of(&mut self, place: &Place, data: *const u8) -> bool {
        // Of a tensor in memory that can be addressed.
        let sizes = [place.elements as i64];
        // SAFETY: the caller has copied as many elements there, and keeps them meanwhile.
        unsafe { TensorView::new(place.dtype, data, &sizes, &[1]) }.is_some_and(|view| self.add(&view))
    }

    fn add(&mut self, view: &TensorView<'_>) -> bool {
        let Some(found) = fingerprint_if_readable(view) else { return false };
        let sum = sum::of(view);
        let hash = [found.hash_low, found.hash_high];
        if self.count == 0 {
            (self.hash, self.sum) = (hash, sum);
        } else {
            // Of hashes in another order another one.
            for (so_far, next) in self.hash.iter_mut().zip(hash) {
                *so_far = so_far.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ next;
            }
            self.sum = self.sum.zip(sum).map(|(so_far, next)| so_far + next);
        }
        self.count += 1;
        self.squares += f64::from(found.l2).powi(2);
        true
    }

    fn put(&self, record: &mut Collective) {
        record.flags |= collective::CONTENTS;
        [record.hash_low, record.hash_high] = self.hash;
        record.l2 = (self.squares.sqrt() as f32).min(f32::MAX);
        if let Some(sum) = self.sum {
            record.flags |= collective::SUM;
            record.sum = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(places: &[&[f32]]) -> Collective {
        let place = |values: &&[f32]| Place {
            dtype: Dtype::F32,
            data: values.as_ptr() as usize,
            elements: values.len(),
        };
        let mut record = Collective::EMPTY;
        end(&Written(places.iter().map(place).collect()), &mut record);
        record
    }

    #[test]
    fn several_tensors_have_one_sum_and_a_hash_that_depends_on_their_order() {
        let (one, other, none) = ([3.0, 4.0], [12.0], []);
        let both = found(&[&one, &other]);
        assert!(both.has(collective::CONTENTS | collective::SUM));
        assert_eq!((both.sum, both.l2), (19.0, 13.0));
        assert_ne!(both.hash_low, found(&[&other, &one]).hash_low);
        assert_eq!(found(&[&one]).sum, 7.0);
        assert!(found(&[&none]).has(collective::CONTENTS));
        let not_finite = found(&[&one, &[f32::NAN]]);
        assert!(not_finite.has(collective::CONTENTS) && !not_finite.has(collective::SUM));
    }

    #[test]
    fn memory_that_has_gone_is_not_read() {
        let spare = Spare::of(1 << 16).expect("memory");
        let data = spare.as_ptr() as usize;
        // As if it had gone: nothing else comes to its place meanwhile.
        // SAFETY: the mapping is this test's, which reads it no more.
        assert_eq!(unsafe { libc::mprotect(data as *mut libc::c_void, spare.len(), libc::PROT_NONE) }, 0);
        let mut record = Collective::EMPTY;
        end(&Written(vec![Place { dtype: Dtype::F32, data, elements: 1 << 14 }]), &mut record);
        assert_eq!(record, Collective::EMPTY);
    }
}
