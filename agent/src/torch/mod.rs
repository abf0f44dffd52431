//! libtorch as the agent sees it: found in the process at run time, nothing linked, every layout proven first.

pub mod view;
