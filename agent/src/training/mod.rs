//! What calls mean: which functions are recorded ([`functions`]), what is looked at when ([`points`], a table, which
//! [`observation`] runs), what follows from a call by its role ([`roles`]), where iterations, steps and stages begin
//! ([`iterations`]), what is known of a call that is open ([`call`]), of which its arguments are recorded
//! ([`samples`]), which of them a thread is in ([`calls`]), and how the cost of it all is kept within bounds ([`budget`]). What it asks of the hooks, which are above it, is [`capture`].

pub mod budget;
pub mod call;
pub mod calls;
pub mod capture;
pub mod functions;
pub mod gaps;
pub mod iterations;
mod machine;
pub mod observation;
pub mod points;
pub mod roles;
pub mod samples;
