//! What calls were given and gave back, as text.

use traincheck_schema::record::{Argument, ArgumentKind, Direction, EventKind, tensor};

use crate::ProcessTrace;

impl ProcessTrace {
    /// What each call of a function was given and gave back, in order: `batch['x']=tensor [8, 3] float32 cpu`.
    pub fn arguments_of(&self, function: &str) -> Vec<Vec<String>> {
        self.of_kind(EventKind::Enter)
            .filter(|event| self.name(event.name) == function)
            .map(|event| self.arguments_of_call(event.call))
            .collect()
    }

    /// What a call was given and gave back, as above.
    pub fn arguments_of_call(&self, call: u64) -> Vec<String> {
        let of_call = self.arguments.iter().filter(|argument| argument.call == call);
        of_call.map(|argument| format!("{}={}", self.name(argument.name), self.shown(argument))).collect()
    }

    fn shown(&self, argument: &Argument) -> String {
        let text = self.name(argument.text);
        let kind = ArgumentKind::try_from(argument.value_kind).expect("a kind that is known");
        if argument.direction == Direction::Exception as u8 {
            return format!("raised {text}");
        }
        match kind {
            ArgumentKind::None => "None".to_owned(),
            ArgumentKind::Bool => (argument.value != 0).to_string(),
            ArgumentKind::Int => (argument.value as i64).to_string(),
            ArgumentKind::Float => format!("{:?}", f64::from_bits(argument.value)),
            ArgumentKind::Text => format!("{text:?} of {}", argument.value),
            ArgumentKind::Tensor => {
                let words = [
                    (tensor::REQUIRES_GRAD, " requires_grad"),
                    (tensor::LEAF, " leaf"),
                    (tensor::NON_CONTIGUOUS, " not contiguous"),
                ];
                let words = words.map(|(bit, word)| if argument.flags & bit != 0 { word } else { "" });
                format!("tensor {text}{}", words.concat())
            }
            ArgumentKind::Object if argument.object != 0 => format!("{text} {}", self.name(argument.object)),
            ArgumentKind::Object => text.to_owned(),
            ArgumentKind::Container => format!("{text} of {}", argument.value),
            ArgumentKind::Truncated => format!("{} more", argument.value),
            ArgumentKind::Redacted => "redacted".to_owned(),
            ArgumentKind::BigInt => format!("big {}", argument.value),
        }
    }
}
