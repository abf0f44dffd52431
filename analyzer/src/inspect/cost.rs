//! What the agent says its own work cost, and what it left out for that.

use serde::Serialize;
use traincheck_analyzer::words::plural;
use traincheck_schema::record::{Event, EventKind, pause};

/// What was left out, to keep to a budget or because it could not be followed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LeftOut {
    /// How often the recording paused to keep the budget.
    pub pauses: u64,
    /// How often it paused because calls were nested too deep, or a stack was nearly used up.
    pub gaps: u64,
    /// Iterations that were not recorded in the pauses that ended.
    pub iterations_unseen: u64,
    /// Variables were observed in one of so many iterations, at the most; 0: in all.
    pub looks_in_one_of: u64,
}

impl LeftOut {
    /// Counts an event.
    pub fn event(&mut self, kind: EventKind, event: &Event) {
        match kind {
            EventKind::Paused if event.value == pause::BUDGET => self.pauses += 1,
            EventKind::Paused => self.gaps += 1,
            EventKind::Resumed => self.iterations_unseen += event.value,
            EventKind::LooksSpaced => self.looks_in_one_of = self.looks_in_one_of.max(event.value),
            _ => {}
        }
    }

    /// In words; `None`: nothing was.
    pub fn text(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.looks_in_one_of > 1 {
            parts
                .push(format!("variables were observed in one of up to {} iterations", self.looks_in_one_of));
        }
        if self.pauses > 0 {
            let iterations = plural(self.iterations_unseen, "iteration");
            let pauses = plural(self.pauses, "pause");
            parts.push(format!("{pauses} to keep the budget ({iterations} not recorded)"));
        }
        if self.gaps > 0 {
            let pauses = plural(self.gaps, "pause");
            parts.push(format!("{pauses} because calls were nested too deep or a stack was nearly used up"));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// One item of the account.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// What.
    pub item: String,
    /// How much: nanoseconds for a kind of hook, else a count.
    pub value: u64,
}

/// The account in words: what each kind of hook cost, and the sum as a share of the time without it.
pub fn text(account: &[Cost]) -> String {
    let value = |item: &str| account.iter().find(|cost| cost.item == item).map(|cost| cost.value);
    let ms = |ns: u64| format!("{:.1} ms", ns as f64 / 1e6);
    let kinds = ["calls_ns", "frames_ns", "looks_ns", "ops_ns", "writer_cpu_ns"];
    let known: Vec<(&str, u64)> = kinds.iter().filter_map(|kind| Some((*kind, value(kind)?))).collect();
    let sum = known.iter().map(|(_, ns)| ns).sum::<u64>();
    let parts: Vec<String> = known
        .iter()
        .map(|(kind, ns)| format!("{} {}", kind.trim_end_matches("_ns").trim_end_matches("_cpu"), ms(*ns)))
        .collect();
    let share = value("armed_ns").filter(|armed| *armed > sum).map(|armed| {
        format!(" ({:.2} % of the time since torch was imported)", sum as f64 / (armed - sum) as f64 * 100.0)
    });
    format!("{}{}: {}", ms(sum), share.unwrap_or_default(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_pause_says_why_it_was() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.text(), None);
        let mut happened = |kind, value| left_out.event(kind, &Event { value, ..Event::EMPTY });
        happened(EventKind::LooksSpaced, 8);
        happened(EventKind::Paused, pause::BUDGET);
        happened(EventKind::Resumed, 12);
        happened(EventKind::Paused, pause::NESTED);
        happened(EventKind::Paused, pause::STACK);
        assert_eq!(
            left_out.text().unwrap(),
            "variables were observed in one of up to 8 iterations; \
             1 pause to keep the budget (12 iterations not recorded); \
             2 pauses because calls were nested too deep or a stack was nearly used up"
        );
    }

    #[test]
    fn the_sum_is_a_share_of_the_time_without_it() {
        let account = [
            ("calls_ns", 10_000_000),
            ("looks_ns", 8_000_000),
            ("writer_cpu_ns", 2_000_000),
            ("armed_ns", 1_020_000_000),
        ]
        .map(|(item, value)| Cost { item: item.to_owned(), value });
        assert_eq!(
            text(&account),
            "20.0 ms (2.00 % of the time since torch was imported): calls 10.0 ms, looks 8.0 ms, writer 2.0 ms"
        );
    }
}
