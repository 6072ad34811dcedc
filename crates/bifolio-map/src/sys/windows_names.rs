//! Named sections on Windows, where the kernel has names that go with their last handle.
//!
//! A section in memory is three objects of the kernel, in the directory of the scope:
//!
//! ```text
//! NAME                   section   the bytes, from the first on, for everybody who knows the name
//! .bifolio-state.NAME    section   what is known of them: length, capacity, identity, "ready"
//! .bifolio-turn.NAME     mutex     held while something is created, woken or removed
//! ```
//! The kernel closes the handles of a process that dies, so there is nothing to sweep. The *state*
//! is made first and its word "ready" is stored last. An opener that finds it and not the word
//! waits for the mutex: then the creator has finished, or is dead and the objects go with its
//! handles. A new state cannot be made while anybody has an old one open, so an opener that has the
//! state has the bytes of the same creation.
//!
//! | state found | bytes found | that is |
//! |---|---|---|
//! | ready | yes | a section |
//! | no | yes | another program's section |
//! | not ready, or no bytes | | coming or going: look again |
//!
//! What is to stay without a handle needs a file: a *persistent* section is a file in a directory
//! of the scope, and a persistent name of a file is a file `.NAME.file` that holds its path. While
//! somebody has it open, the state of such a name holds the path and `NAME` is the section of
//! the file, so that other programs find it by its name too. (So it cannot be cut: Windows keeps
//! mapped files from that.)

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::io::OwnedHandle;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use windows_sys::Win32::Security::Authorization::SE_KERNEL_OBJECT;

use super::windows_objects::{
    Objects, Rights, Turn, create_file, create_section, name_file, open_section, size_of_section,
};
use super::windows_pagefile::{PageFile, words_view};
use super::windows_section::Backing;
use super::windows_words::Words;
use super::{Ground, Named, Object, Protection, Wanted};
use crate::Space;
use crate::names::{Lifetime, Scope};
use crate::section::{Access, Create};

mod list;
mod trust;

use trust::{AT_THE_WORD, check_owner, open_entry};

pub(crate) use list::list_named;

/// How long others are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

const STATE: &str = ".bifolio-state.";
const TURN: &str = ".bifolio-turn.";

/// How the name of a file begins and ends that holds a path.
const POINTER: (&str, &str) = (".", ".file");

/// The state of a name that stands for a file begins with this word; then come the length of its
/// path in bytes, the lifetime, and from [`PATH`] on the path in the system's 16-bit units.
const FILE_MAGIC: u64 = u64::from_ne_bytes(*b"bifoliof");
const PATH_SIZE: usize = 8;
const STAYS: usize = 16;
const PATH: usize = 64;
/// A path has at most 32,767 units.
const PATH_SIZE_MAX: usize = 64 << 10;
const FILE_STATE: usize = PATH + PATH_SIZE_MAX;

/// Where the names of a scope are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    objects: Objects,
    /// What the names of objects begin with, which sets those of one directory apart.
    set: String,
    /// Where files are.
    dir: PathBuf,
}

/// The place of a scope.
pub(crate) fn place(scope: &Scope) -> io::Result<Place> {
    let below = |variable: &str| {
        let base = std::env::var_os(variable).map_or_else(super::temporary_dir, PathBuf::from);
        base.join("Bifolio").join("names")
    };
    Ok(match scope {
        Scope::Session => {
            Place { objects: Objects::Local, set: String::new(), dir: below("LOCALAPPDATA") }
        }
        Scope::Machine => {
            Place { objects: Objects::Global, set: String::new(), dir: below("ProgramData") }
        }
        Scope::Directory(dir) => {
            let dir = std::path::absolute(dir)?;
            // No `Name` begins with a dot, so none of the session's is one of these.
            let set = format!(".bifolio-{:016x}.", digest(&dir));
            Place { objects: Objects::Local, set, dir }
        }
    })
}

/// FNV-1a of a path as Windows compares paths, near enough: the same in every process.
fn digest(dir: &Path) -> u64 {
    let text = dir.to_string_lossy().to_lowercase();
    text.trim_end_matches(['\\', '/']).bytes().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Place {
    /// What messages call it.
    pub(crate) fn label(&self) -> PathBuf {
        if self.set.is_empty() { PathBuf::from(self.prefix()) } else { self.dir.clone() }
    }

    /// What messages and other programs call a section in it.
    pub(crate) fn label_of(&self, name: &str) -> PathBuf {
        PathBuf::from(self.object("", name))
    }

    fn prefix(&self) -> &'static str {
        match self.objects {
            Objects::Local => r"Local\",
            Objects::Global => r"Global\",
        }
    }

    fn object(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}{}{name}", self.prefix(), self.set)
    }

    /// The file of a persistent section.
    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The file that holds the path of a persistent name.
    fn pointer(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{}{name}{}", POINTER.0, POINTER.1))
    }

    /// Waits for this thread's turn to create, wake or remove.
    fn turn(&self, name: &str, permissions: u32) -> io::Result<Turn> {
        // Who may open a section may wake it, and needs the mutex for that.
        let rights = Rights::of(if permissions & 0o6 == 0 { 0o600 } else { 0o666 })?;
        Turn::wait(&self.object(TURN, name), &rights, PATIENCE).map_err(|e| self.explain(e))
    }

    /// Says what is missing where the system only says "denied".
    fn explain(&self, error: io::Error) -> io::Error {
        if self.objects == Objects::Local || error.kind() != io::ErrorKind::PermissionDenied {
            return error;
        }
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{error}; a name of the whole machine can be created by who has the privilege \
                 SeCreateGlobalPrivilege (\"Create global objects\"): services and administrators; \
                 run as one, have it granted, or use Scope::Session"
            ),
        )
    }
}

/// What keeps the name of a file alive. (Of memory, the object itself does.)
#[derive(Debug)]
pub(crate) struct Hold {
    _state: Option<Words>,
    _section: Option<OwnedHandle>,
}

impl Hold {
    const NOTHING: Self = Self { _state: None, _section: None };

    /// The object is about to be closed. The kernel does the rest.
    #[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "Unix has to ask")]
    pub(crate) fn let_go(&mut self, _object: &Object) {}

    /// Somebody may duplicate the object's handle. The kernel counts.
    #[expect(clippy::unused_self, reason = "Unix has to know")]
    pub(crate) fn lend(&self) {}
}

/// What a name stands for at this moment.
enum Seen {
    Nothing,
    /// Being made, or on its way out.
    Changing,
    Memory { state: Words, section: OwnedHandle },
    File { state: Words, path: PathBuf, lifetime: Lifetime },
}

fn missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn look(place: &Place, name: &str, access: Access) -> io::Result<Seen> {
    let open = |access| open_section(&place.object(STATE, name), access);
    let (state, denied) = match open(access) {
        Err(error) if missing(&error) => return Ok(Seen::Nothing),
        // That of a name for a file need not be writable.
        Err(error) if is_denied(&error) && access == Access::ReadWrite => match open(Access::Read) {
            Ok(state) => (state, Some(error)),
            Err(_) => return Err(error),
        },
        result => (result?, None),
    };
    let protection = match access {
        Access::ReadWrite if denied.is_none() => Protection::ReadWrite,
        _ => Protection::Read,
    };
    let state = Words::in_section(state, words_view(), protection)?;
    if state.load(0)? == FILE_MAGIC {
        return look_at_file(place, name, state);
    }
    if !PageFile::is_ready(&state)? {
        return Ok(Seen::Changing);
    }
    if let Some(error) = denied {
        return Err(error);
    }
    match open_section(&place.object("", name), access) {
        Err(error) if missing(&error) => Ok(Seen::Changing),
        result => Ok(Seen::Memory { state, section: result? }),
    }
}

fn look_at_file(place: &Place, name: &str, state: Words) -> io::Result<Seen> {
    // The same object: its name lives as long as `state`.
    let whole = open_section(&place.object(STATE, name), Access::Read)?;
    let believed = check_owner(&whole, SE_KERNEL_OBJECT, AT_THE_WORD);
    let whole = Words::in_section(whole, FILE_STATE, Protection::Read)?;
    let size = usize::try_from(whole.load(PATH_SIZE)?).unwrap_or(usize::MAX);
    let bytes = whole.read(PATH, size.min(PATH_SIZE_MAX))?;
    if let Err(error) = believed {
        // Another user woke what would be found without his word.
        let same = place.asleep(name).is_ok_and(|path| path == Some(path_of_bytes(&bytes)));
        if !same {
            return Err(error);
        }
    }
    let lifetime =
        if whole.load(STAYS)? == 0 { Lifetime::LastHandle } else { Lifetime::Persistent };
    Ok(Seen::File { state, path: path_of_bytes(&bytes), lifetime })
}

fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    let units: Vec<u16> =
        bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    PathBuf::from(OsString::from_wide(&units))
}

fn bytes_of_path(path: &Path) -> Vec<u8> {
    path.as_os_str().encode_wide().flat_map(u16::to_le_bytes).collect()
}

/// Opens the section of a name.
pub(crate) fn open_named(place: &Place, name: &str, access: Access) -> io::Result<Named> {
    let since = Instant::now();
    loop {
        let seen = match look(place, name, access) {
            // Objects of another user's, who woke it or says that he did, are not in the way of
            // whom the file lets in.
            Err(error) if is_denied(&error) => match place.asleep(name) {
                Ok(Some(path)) => return open_file(place, name, None, path, access),
                _ => return Err(error),
            },
            result => result?,
        };
        match seen {
            Seen::Memory { state, section } => return memory(state, section),
            Seen::File { state, path, .. } => {
                return open_file(place, name, Some(state), path, access);
            }
            Seen::Nothing => {
                if place.asleep(name)?.is_none() {
                    return Err(nothing(place, name));
                }
                return wake(place, name, access);
            }
            // Who makes it has the mutex until it is made, or dead.
            Seen::Changing => drop(place.turn(name, 0o600)?),
        }
        pause(since)?;
    }
}

fn memory(state: Words, section: OwnedHandle) -> io::Result<Named> {
    let object = Object::PageFile(PageFile::adopt_named(section, state)?);
    Ok(Named { object, hold: Hold::NOTHING, file: None })
}

/// The error for a name that is nobody's of ours.
fn nothing(place: &Place, name: &str) -> io::Error {
    match open_section(&place.object("", name), Access::Read) {
        Ok(_) => another_programs(io::ErrorKind::NotFound),
        Err(_) => io::ErrorKind::NotFound.into(),
    }
}

fn another_programs(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "another program has a section of this name; see names::open_foreign")
}

fn pause(since: Instant) -> io::Result<()> {
    if since.elapsed() > PATIENCE {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "a process that has a part of the section open does not go on",
        ));
    }
    std::thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// Opens the file that a name stands for. That of a persistent section is no link to another.
fn open_target(place: &Place, name: &str, path: &Path, access: Access) -> io::Result<File> {
    if path == place.file(name) {
        return open_entry(path, access);
    }
    super::open(path, access, Create::Never, 0).map_err(|error| {
        io::Error::new(error.kind(), format!("the file {}: {error}", path.display()))
    })
}

/// Opens a file that has a name. Its section is named too, by whoever has it open.
fn open_file(
    place: &Place,
    name: &str,
    state: Option<Words>,
    path: PathBuf,
    access: Access,
) -> io::Result<Named> {
    let file = open_target(place, name, &path, access)?;
    let section = open_section(&place.object("", name), Access::Read).ok();
    // A persistent section has no path but its name.
    let path = (path != place.file(name)).then_some(path);
    let hold = Hold { _state: state, _section: section };
    Ok(Named { object: Object::File(file), hold, file: path })
}

/// Opens a persistent name that nobody has open.
fn wake(place: &Place, name: &str, access: Access) -> io::Result<Named> {
    let _turn = place.turn(name, 0o600)?;
    // Somebody else may have been first, or have removed it.
    if let Seen::File { state, path, .. } = look(place, name, access)? {
        return open_file(place, name, Some(state), path, access);
    }
    let path = place.asleep(name)?.ok_or(io::ErrorKind::NotFound)?;
    // Without the right to make these objects it is a section all the same.
    let awake = announce(place, name, &path, access, Lifetime::Persistent, 0o600);
    let mut named = open_file(place, name, None, path, access)?;
    if let Ok(hold) = awake {
        named.hold = hold;
    }
    Ok(named)
}

/// Who may do what with what leads to a file: to let others change it would be to let them lead
/// this user anywhere.
fn pointing(permissions: u32) -> io::Result<Rights> {
    Rights::of(permissions & !0o2)
}

/// Makes the objects of a name that stands for a file, in this thread's turn.
fn announce(
    place: &Place,
    name: &str,
    path: &Path,
    access: Access,
    lifetime: Lifetime,
    permissions: u32,
) -> io::Result<Hold> {
    let bytes = bytes_of_path(path);
    let state = create_section(
        &place.object(STATE, name),
        FILE_STATE as u64,
        Backing::Committed,
        &pointing(permissions)?,
    )?;
    let state = Words::in_section(state, FILE_STATE, Protection::ReadWrite)?;
    let protection = match access {
        Access::Read => Protection::Read,
        Access::ReadWrite => Protection::ReadWrite,
    };
    let file = open_target(place, name, path, access)?;
    let rights = Rights::of(permissions)?;
    let section = match name_file(&file, protection, &place.object("", name), &rights) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(another_programs(error.kind()));
        }
        // A file without bytes has no section.
        result => result.ok(),
    };
    state.write(PATH, &bytes)?;
    state.store(PATH_SIZE, bytes.len() as u64)?;
    state.store(STAYS, u64::from(lifetime == Lifetime::Persistent))?;
    // Last: until then it is being made.
    state.store(0, FILE_MAGIC)?;
    Ok(Hold { _state: Some(state), _section: section })
}

/// Whether a name is taken.
pub(crate) fn is_taken(place: &Place, name: &str) -> io::Result<bool> {
    Ok(!matches!(look(place, name, Access::Read)?, Seen::Nothing | Seen::Changing)
        || place.is_asleep(name))
}

/// How much room there is: the system commits what it promises, and refuses what it cannot.
pub(crate) fn ground_of_place(_place: &Place) -> Option<Ground> {
    None
}

/// How much room there is to grow: as above.
pub(crate) fn ground_of(_object: &Object) -> Option<Ground> {
    None
}

/// Makes a section that appears under its name complete or not at all.
pub(crate) fn create_named(place: &Place, name: &str, wanted: &Wanted<'_>) -> io::Result<Named> {
    let since = Instant::now();
    loop {
        let turn = place.turn(name, wanted.permissions)?;
        match look(place, name, Access::Read)? {
            Seen::Memory { .. } | Seen::File { .. } => return Err(taken()),
            Seen::Nothing => {
                if place.is_asleep(name) {
                    return Err(taken());
                }
                match create(place, name, wanted) {
                    // An opener has the state of an earlier one for another moment.
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result.map_err(|error| place.explain(error)),
                }
            }
            Seen::Changing => {}
        }
        drop(turn);
        pause(since)?;
    }
}

fn taken() -> io::Error {
    io::ErrorKind::AlreadyExists.into()
}

/// Creates, in this thread's turn, what is not there.
fn create(place: &Place, name: &str, wanted: &Wanted<'_>) -> io::Result<Named> {
    let (path, made) = match (wanted.file, wanted.lifetime) {
        (None, Lifetime::LastHandle) => return create_memory(place, name, wanted),
        (None, Lifetime::Persistent) => {
            place.make_dir()?;
            let path = place.file(name);
            create_complete(&path, &Rights::of(wanted.permissions)?, |file| size_file(file, wanted))?;
            (path.clone(), Some(path))
        }
        (Some(path), lifetime) => {
            let path = std::path::absolute(path)?;
            let open = super::open(&path, wanted.access, Create::Never, 0).map_err(|error| {
                io::Error::new(error.kind(), format!("the file {}: {error}", path.display()))
            });
            drop(open?);
            let pointer = place.pointer(name);
            if lifetime == Lifetime::Persistent {
                place.make_dir()?;
                let bytes = bytes_of_path(&path);
                create_complete(&pointer, &pointing(wanted.permissions)?, |mut file| {
                    io::Write::write_all(&mut file, &bytes)
                })?;
            }
            (path, (lifetime == Lifetime::Persistent).then_some(pointer))
        }
    };
    let announced = announce(place, name, &path, wanted.access, wanted.lifetime, wanted.permissions)
        .and_then(|hold| open_file(place, name, None, path, wanted.access).map(|n| (n, hold)));
    match announced {
        Ok((named, hold)) => Ok(Named { hold, ..named }),
        Err(error) => {
            if let Some(made) = made {
                let _ = std::fs::remove_file(made);
            }
            Err(error)
        }
    }
}

fn create_memory(
    place: &Place,
    name: &str,
    wanted: &Wanted<'_>,
) -> io::Result<Named> {
    let rights = &Rights::of(wanted.permissions)?;
    let size = words_view() as u64;
    let state = create_section(&place.object(STATE, name), size, Backing::Committed, rights);
    let state = state.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::ErrorKind::Interrupted.into(),
        _ => error,
    })?;
    let state = Words::in_section(state, words_view(), Protection::ReadWrite)?;
    let (size, backing) = PageFile::shape(wanted.len, wanted.capacity)?;
    let section = create_section(&place.object("", name), size, backing, rights);
    let section = section.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => another_programs(error.kind()),
        _ => error,
    })?;
    let memory = PageFile::start_named(section, state, wanted.len, wanted.capacity)?;
    Ok(Named { object: Object::PageFile(memory), hold: Hold::NOTHING, file: None })
}

fn size_file(file: &File, wanted: &Wanted<'_>) -> io::Result<()> {
    let object = Object::File(file.try_clone()?);
    if wanted.space == Space::Allocate && wanted.len > 0 {
        super::allocate_new(&object, wanted.len)?;
    }
    super::truncate(&object, wanted.len)
}

/// Creates a file complete, with these rights. It is this thread's turn, so its name aside is too.
fn create_complete(
    path: &Path,
    rights: &Rights,
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.new"));
    // What a creator left who was killed in his turn.
    match std::fs::remove_file(&aside) {
        Err(error) if !missing(&error) => return Err(error),
        _ => {}
    }
    let file = create_file(&aside, rights)?;
    let outcome = prepare(&file);
    drop(file);
    let outcome = outcome.and_then(|()| super::rename_new(&aside, path));
    if outcome.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    outcome
}

/// Takes a name away, if nobody has it.
pub(crate) fn unlink_named(place: &Place, name: &str) -> io::Result<()> {
    let _turn = place.turn(name, 0o600)?;
    match look(place, name, Access::Read)? {
        Seen::Nothing => {}
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "somebody has it, and Windows takes no name away meanwhile",
            ));
        }
    }
    for path in [place.file(name), place.pointer(name)] {
        match std::fs::remove_file(path) {
            Err(error) if missing(&error) => {}
            result => return result,
        }
    }
    Err(nothing(place, name))
}

/// Opens what another program made.
pub(crate) fn open_foreign(
    place: &Place,
    name: &str,
    access: Access,
) -> io::Result<(Object, u64)> {
    let section = open_section(&place.object("", name), access)?;
    let size = size_of_section(&section)?;
    Ok((Object::PageFile(PageFile::foreign(section, size)), size))
}
