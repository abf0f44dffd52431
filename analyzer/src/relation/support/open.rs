//! What is heard of in calls that are open.

/// The open calls of all threads, with what was heard of in each.
///
/// Only the innermost call hears of something at once. The one around it hears of all that when the innermost closes, so
/// that hearing of something costs the same however deep calls are nested.
#[derive(Debug)]
pub struct OpenCalls<T>(Vec<OpenCall<T>>);

#[derive(Debug)]
struct OpenCall<T> {
    call: u64,
    thread: u16,
    heard: T,
}

impl<T> Default for OpenCalls<T> {
    fn default() -> Self {
        OpenCalls(Vec::new())
    }
}

impl<T> OpenCalls<T> {
    /// A call is entered, or goes on with what it had heard of before.
    pub fn open(&mut self, call: u64, thread: u16, heard: T) {
        self.0.push(OpenCall { call, thread, heard });
    }

    /// What the innermost call of a thread has heard of.
    pub fn innermost(&mut self, thread: u16) -> Option<&mut T> {
        self.0.iter_mut().rev().find(|open| open.thread == thread).map(|open| &mut open.heard)
    }

    /// A call is left, or suspended. `tell` tells the one around it what it has heard of.
    pub fn close(&mut self, call: u64, tell: impl FnOnce(&mut T, &T)) -> Option<T> {
        let at = self.0.iter().rposition(|open| open.call == call)?;
        let OpenCall { thread, heard, .. } = self.0.remove(at);
        if let Some(outer) = self.0[..at].iter_mut().rev().find(|outer| outer.thread == thread) {
            tell(&mut outer.heard, &heard);
        }
        Some(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_hears_of_what_those_in_it_have_heard_of_once_they_close() {
        let mut open = OpenCalls::default();
        let tell = |outer: &mut Vec<u32>, inner: &Vec<u32>| outer.extend(inner);
        open.open(1, 0, vec![]);
        open.open(2, 7, vec![]);
        open.open(3, 0, vec![]);
        open.innermost(0).unwrap().push(10);
        open.innermost(7).unwrap().push(20);
        assert_eq!(open.innermost(5), None);
        assert_eq!(open.close(3, tell), Some(vec![10]));
        assert_eq!(open.close(3, tell), None);
        open.innermost(0).unwrap().push(11);
        assert_eq!(open.close(1, tell), Some(vec![10, 11]));
        assert_eq!(open.close(2, tell), Some(vec![20]), "another thread's");
    }
}
