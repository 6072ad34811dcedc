//! A forked child, which shares the open file descriptions of its parent.
#![expect(unsafe_code, reason = "no safe crate forks")]

/// Forks a process that does nothing for half a minute, out of the reach of its parent's end.
pub(crate) fn forked_sleeper() -> i32 {
    // SAFETY: the child makes system calls only.
    let pid = unsafe { libc::fork() };
    if pid > 0 {
        // Not by rustix, whose `Pid` cannot be 0: so the child's session is called until it has its
        // own, if the leader of ours lives outside this PID namespace (a container without init).
        // SAFETY: no pointers.
        while unsafe { libc::getsid(pid) } != pid {
            std::thread::yield_now();
        }
    }
    if pid == 0 {
        for standard in 0..3 {
            // SAFETY: closes what the parent's parent listens to; nothing here uses it again.
            unsafe { libc::close(standard) };
        }
        // SAFETY: leaves the group that is killed with the parent; no pointers.
        unsafe { libc::setsid() };
        // SAFETY: no pointers.
        unsafe { libc::sleep(30) };
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(0) };
    }
    assert!(pid > 0);
    pid
}

/// Forks; the child does `body` and ends with what it says, without any destructor of the parent.
/// Gives the child's exit code, or `None` if a signal ended it.
pub(crate) fn in_forked_child(body: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: this process has no other thread that holds a lock which the child needs: the callers
    // are alone in theirs.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code = body();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a number of ours.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {}
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}
