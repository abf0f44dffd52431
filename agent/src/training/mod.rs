//! What calls mean: which functions are recorded ([`functions`]), what follows from a call by its role ([`roles`]),
//! where iterations, steps and stages begin ([`iterations`]), which calls a thread is in ([`calls`]), and how the cost
//! of it all is kept within bounds ([`budget`]).

pub mod budget;
pub mod calls;
pub mod capture;
pub mod functions;
pub mod iterations;
mod machine;
pub mod observation;
pub mod roles;
