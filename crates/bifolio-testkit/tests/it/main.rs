//! The kit against a toy protocol, real processes and real file systems.
#![forbid(unsafe_code)]

mod crashes;
mod faults;
mod toy;
