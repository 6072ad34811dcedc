//! Which system this is, and which of its calls this process may make.

use super::{Ability, Fact};
use crate::sys;

/// What the system says of itself; from [`kernel`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Kernel {
    /// Name and release: `Linux 6.12.9`.
    pub release: Fact<String>,
    /// The container that this process runs in, if there are signs of one.
    pub container: Fact<Option<String>>,
    /// Whether system calls are filtered (seccomp): `off`, `strict`, `filter`.
    pub call_filter: Fact<String>,
    /// Calls, each tried in a way that changes nothing.
    pub calls: Vec<Ability>,
}

impl Kernel {
    /// The call of this name, if it was tried.
    #[must_use]
    pub fn call(&self, name: &str) -> Option<&Ability> {
        self.calls.iter().find(|call| call.name == name)
    }
}

/// What the system says of itself. Never fails: each fact says by itself whether it is known.
#[must_use]
pub fn kernel() -> Kernel {
    sys::kernel_facts()
}
