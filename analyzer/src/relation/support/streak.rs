//! Windows in a row in which the same thing was wrong. Once or twice it may be chance.

/// How many in a row are no accident.
pub const PERSISTENT: u32 = 3;

/// What was wrong so far without a break.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streak {
    length: u32,
    began: (u32, u32),
}

impl Streak {
    /// One more window, which goes on with it or ends it. `now`: its iteration and step.
    pub fn add(&mut self, wrong: bool, now: (u32, u32)) {
        if !wrong {
            *self = Streak::default();
            return;
        }
        if self.length == 0 {
            self.began = now;
        }
        self.length = self.length.saturating_add(1);
    }

    /// Whether it is too short to count.
    pub fn is_accident(self) -> bool {
        self.length < PERSISTENT
    }

    /// Iteration and step in which it began; `None`: nothing is wrong.
    pub fn began(self) -> Option<(u32, u32)> {
        (self.length > 0).then_some(self.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_a_row_are_no_accident() {
        let mut streak = Streak::default();
        for iteration in 1..=2 {
            streak.add(true, (iteration, 0));
        }
        assert!(streak.is_accident());
        streak.add(true, (3, 0));
        assert!(!streak.is_accident());
        assert_eq!(streak.began(), Some((1, 0)));
        streak.add(false, (4, 0));
        assert_eq!(streak.began(), None);
        streak.add(true, (5, 2));
        assert!(streak.is_accident());
        assert_eq!(streak.began(), Some((5, 2)));
    }
}
