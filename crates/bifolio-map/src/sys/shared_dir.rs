//! Whether a directory may be the one in which everybody's names are. It lies in a directory where
//! all may make one, so what is there need not be ours.

/// All may add, and remove what is theirs.
pub(super) const SHARED_MODE: u32 = 0o1777;

/// What there is, a link itself and not what it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) is_dir: bool,
    pub(super) owner: u32,
    pub(super) mode: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// It is this user's, who has yet to let others in.
    Unfinished,
    /// What is wrong, to follow the directory's path.
    Wrong(String),
}

/// Judges what is there, for `user`. The owner of a directory can rename and remove all that is in
/// it, sticky or not, so that has to be somebody whom the user trusts: root, or the user.
pub(super) fn judge(seen: &Seen, user: u32) -> Verdict {
    let (owner, mode) = (seen.owner, seen.mode & 0o7777);
    if !seen.is_dir {
        return Verdict::Wrong("must be a directory, and is a file or a link: remove it".into());
    }
    if owner != 0 && owner != user {
        return Verdict::Wrong(format!(
            "must be a directory of root or of user {user}, and is of user {owner}, who could \
             remove or replace what is in it; let root remove it and make it with mode 1777"
        ));
    }
    match mode == SHARED_MODE {
        true => Verdict::Right,
        false if owner == user => Verdict::Unfinished,
        false => Verdict::Wrong(format!(
            "must have mode {SHARED_MODE:o}, so that all may add to it and none may remove what is \
             another's; it has mode {mode:o}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u32 = 501;

    fn of(is_dir: bool, owner: u32, mode: u32) -> Verdict {
        judge(&Seen { is_dir, owner, mode }, USER)
    }

    #[test]
    fn a_shared_directory_is_sticky_and_of_root_or_of_this_user() {
        // The mode comes with the kind of the file, as `lstat` gives it.
        assert_eq!(of(true, 0, 0o041_777), Verdict::Right);
        assert_eq!(of(true, USER, 0o041_777), Verdict::Right);
        assert_eq!(of(true, USER, 0o041_755), Verdict::Unfinished, "as the umask leaves it");
        assert_eq!(of(true, USER, 0o040_777), Verdict::Unfinished);
    }

    #[test]
    fn what_somebody_else_could_change_is_refused_with_the_reason() {
        for (is_dir, owner, mode, why) in [
            (true, 502, 0o041_777, "of user 502"),
            (true, 0, 0o040_777, "mode 777"),
            (true, 0, 0o041_755, "mode 1755"),
            (false, USER, 0o120_777, "a link"),
            (false, 0, 0o100_644, "a file"),
        ] {
            match of(is_dir, owner, mode) {
                Verdict::Wrong(text) => assert!(text.contains(why), "{text:?} lacks {why:?}"),
                other => panic!("{owner} {mode:o}: {other:?}"),
            }
        }
    }
}
