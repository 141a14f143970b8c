//! Functions as child processes: the default where no engine is reachable, and the fast loop of
//! development. It isolates nothing: a function can do whatever the gateway's user can.
//!
//! An image is `file:///absolute/path` of a program.

mod launcher;

pub use launcher::ProcessLauncher;
