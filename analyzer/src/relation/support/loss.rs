//! Losses that PyTorch has: functions of `torch.nn.functional` and modules of `torch.nn`.

use crate::relation::numbers::Numbers;
use crate::scene::Frame;

/// Whether the call computes one.
pub fn is_loss(frame: &Frame, numbers: &Numbers) -> bool {
    let function = numbers.calls.get(frame.target.plain).function.as_str();
    match function.strip_prefix("torch.nn.functional.") {
        Some(name) => name.ends_with("_loss") || name.contains("cross_entropy") || name == "kl_div",
        None => function.starts_with("torch.nn.modules.loss."),
    }
}
