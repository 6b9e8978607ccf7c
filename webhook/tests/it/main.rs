//! The server as its callers meet it: real sockets, real TLS, each bound of the specification exactly.

// `cfg(test)` holds anyway; it lets clippy know that helpers may unwrap as tests may.
#[cfg(test)]
mod authority;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod verdicts;
