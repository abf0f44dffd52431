//! Memory whose layout is only supposed: reads that are refused where nothing is mapped.

use std::ops::Range;

/// What is mapped and readable in this process, as of when it was looked at.
pub struct Mapped(Vec<Range<usize>>);

impl Mapped {
    /// Asks the kernel.
    pub fn now() -> Mapped {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Mapped(maps.lines().filter_map(readable).collect())
    }

    /// The value at `address`, if it is aligned and whole in readable memory.
    ///
    /// # Safety
    /// What was mapped is still mapped, and any bits make a `Value`.
    pub unsafe fn read<Value: Copy>(&self, address: usize) -> Option<Value> {
        let end = address.checked_add(size_of::<Value>())?;
        let whole = self.0.iter().any(|range| range.start <= address && end <= range.end);
        let aligned = address.is_multiple_of(align_of::<Value>());
        // SAFETY: the address is aligned and its memory is mapped for reading; the caller guarantees the rest.
        (whole && aligned).then(|| unsafe { (address as *const Value).read() })
    }
}

/// The range of a line of `/proc/self/maps`, if it is readable.
fn readable(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    fields.next()?.starts_with('r').then_some(range)
}
