//! Forbids a system call to this process, as container runtimes do.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// From now on the call fails with this error, on every thread.
pub(crate) fn forbid(call: libc::c_long, errno: i32) {
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let rules = [(call, Vec::new())].into();
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with filters");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    seccompiler::apply_filter_all_threads(&program).expect("a filter can be installed");
}
