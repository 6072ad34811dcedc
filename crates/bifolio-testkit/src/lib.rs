//! Crashes, faults, full disks and power cuts, for tests.
#![forbid(unsafe_code)]
