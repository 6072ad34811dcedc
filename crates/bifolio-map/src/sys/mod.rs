//! The operating system: a short list of plain functions, the same list on every platform.
//!
//! Public types live in the rest of the crate and call these; nothing here knows a section, a view
//! or an error of ours. Errors are `io::Error` as the system gave them. OS names appear here and
//! nowhere else. `linux.rs` and `macos.rs` hold what differs between the two Unix systems,
//! `unix.rs` what they share.

cfg_select! {
    target_os = "linux" => {
        mod linux;
        mod linux_calls;
        mod linux_filesystem;
        mod linux_advice;
        mod linux_machine;
        mod linux_resident;
        mod linux_names;
        mod linux_process;
        mod linux_mappers;
        mod linux_residency;
        mod linux_space;
        mod forks;
        mod lock_unix;
        mod names_unix;
        #[cfg(test)]
        mod shared_dir;
        mod unix;
        use linux_names as names_here;
        pub(crate) use linux::*;
        pub(crate) use linux_calls::*;
        pub(crate) use linux_filesystem::*;
        pub(crate) use linux_advice::*;
        pub(crate) use forks::{Descent, descent, is_current};
        pub(crate) use linux_machine::*;
        pub(crate) use linux_process::*;
        pub(crate) use linux_resident::*;
        cfg_select! {
            // The architectures that the library has bindings for.
            all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)) => {
                mod linux_uring;
                pub(crate) use linux_uring::*;
            }
            _ => {
                mod no_engine;
                pub(crate) use no_engine::*;
            }
        }
        pub(crate) use linux_mappers::mappers;
        use linux_residency::name_in_maps;
        pub(crate) use linux_residency::*;
        pub(crate) use linux_space::*;
        pub(crate) use lock_unix::*;
        pub(crate) use names_unix::*;
        pub(crate) use unix::*;
    }
    target_vendor = "apple" => {
        mod forks;
        mod lock_unix;
        mod macos;
        mod macos_machine;
        mod macos_process;
        mod macos_resident;
        mod no_engine;
        mod macos_names;
        mod names_unix;
        mod macos_residency;
        mod macos_space;
        mod shared_dir;
        mod unix;
        use macos_names as names_here;
        pub(crate) use lock_unix::*;
        pub(crate) use macos::*;
        pub(crate) use forks::{Descent, descent, is_current};
        pub(crate) use macos_machine::*;
        pub(crate) use macos_process::*;
        pub(crate) use macos_resident::*;
        pub(crate) use no_engine::*;
        pub(crate) use names_unix::*;
        pub(crate) use macos_residency::*;
        pub(crate) use macos_space::*;
        pub(crate) use unix::*;
    }
    windows => {
        mod windows;
        mod windows_facts;
        mod windows_file;
        mod windows_filesystem;
        mod windows_lock;
        mod windows_machine;
        mod windows_map;
        mod windows_names;
        mod windows_objects;
        mod windows_overlapped;
        mod windows_pagefile;
        mod windows_process;
        mod windows_reserve;
        mod windows_resident;
        mod windows_residency;
        mod windows_section;
        mod windows_words;
        mod windows_space;
        pub(crate) use windows::*;
        pub(crate) use windows_facts::*;
        pub(crate) use windows_file::*;
        pub(crate) use windows_filesystem::*;
        pub(crate) use windows_lock::*;
        pub(crate) use windows_machine::*;
        pub(crate) use windows_map::*;
        pub(crate) use windows_names::*;
        pub(crate) use windows_overlapped::*;
        pub(crate) use windows_process::*;
        pub(crate) use windows_reserve::*;
        pub(crate) use windows_resident::*;
        pub(crate) use windows_residency::*;
        pub(crate) use windows_space::*;
    }
}

use std::path::{Path, PathBuf};

use crate::Space;
use crate::names::{EntryKind, InUse, Lifetime};
use crate::section::Access;

/// What a new named section is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) access: Access,
    pub(crate) len: u64,
    #[cfg_attr(unix, expect(dead_code, reason = "files can grow as far as the system allows"))]
    pub(crate) capacity: u64,
    pub(crate) space: Space,
    pub(crate) permissions: u32,
    pub(crate) lifetime: Lifetime,
    /// The file that gets the name, instead of memory.
    pub(crate) file: Option<&'a Path>,
}

/// A named section that was opened or created.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) object: Object,
    /// To be dropped after the object.
    pub(crate) hold: Hold,
    /// Set if the name stands for a file elsewhere.
    pub(crate) file: Option<PathBuf>,
}

/// What a named section stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ground {
    /// Bytes that are left, and that there are.
    pub(crate) free: u64,
    pub(crate) size: u64,
    pub(crate) stuff: Stuff,
}

/// What bytes of a file system are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux keeps files in memory"))]
pub(crate) enum Stuff {
    Memory,
    Device,
}

/// One name of a list.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) len: Option<u64>,
    pub(crate) lifetime: Lifetime,
    pub(crate) in_use: InUse,
    pub(crate) owner: String,
    pub(crate) kind: EntryKind,
}

/// Writes all bytes by calls, or fails.
pub(crate) fn write_all_at(object: &Object, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write_at(object, offset + done as u64, &bytes[done..])? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            size => done += size,
        }
    }
    Ok(())
}

/// How memory is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    Read,
    ReadWrite,
    CopyOnWrite,
}

/// What an open handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(windows, allow(dead_code, reason = "Windows calls sockets pipes, and disks files"))]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Pipe,
    Socket,
    BlockDevice,
    CharDevice,
    Other,
}

/// What one look at an open file tells.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) kind: FileKind,
    pub(crate) len: u64,
    /// Bytes on the device.
    pub(crate) allocated: u64,
    pub(crate) identity: Identity,
    pub(crate) links: u64,
    pub(crate) modified: Option<std::time::SystemTime>,
    /// As far as the system says so.
    pub(crate) compressed: bool,
}

/// What tells one file from every other one on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// 0 if the system does not say.
    pub(crate) volume: u64,
    pub(crate) file: u128,
}

impl PartialEq for Identity {
    /// A volume that is not known (Wine forgets that of a file that was renamed) is no difference.
    fn eq(&self, other: &Self) -> bool {
        let volumes = self.volume == other.volume || self.volume == 0 || other.volume == 0;
        self.file == other.file && volumes
    }
}

/// What a read that does not wait found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has such a read"))]
pub(crate) enum AtOnce {
    /// So many bytes were in memory and were read.
    Read(usize),
    /// The first byte is on the device only.
    WouldWait,
    /// There is no such read for this file.
    Unknown,
}

/// How a file lock is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockKind {
    Shared,
    Exclusive,
}

/// What became of waiting for a word to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Woken,
    Changed,
    TimedOut,
    Fault,
}

/// Where an open file has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameNow {
    At(std::path::PathBuf),
    /// It has none any more.
    #[cfg_attr(windows, allow(dead_code, reason = "Windows keeps the names of open files"))]
    Gone,
    /// The system does not say.
    Unknown,
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &std::path::Path) -> std::io::Result<()> {
    sync_directory_handle(&open_directory(path)?)
}

/// What became of asking the system for space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "no system gives all of these answers")]
pub(crate) enum Allocated {
    /// Every byte has it.
    All,
    /// Only bytes past the end have it: holes before it are as they were.
    PastTheEnd,
    /// The file system has no such call.
    Nothing,
}

/// Growth that ended before the length that was asked for.
#[derive(Debug)]
pub(crate) struct Short {
    /// The length that the file was left at, if it was changed.
    pub(crate) reached: Option<u64>,
    pub(crate) error: std::io::Error,
}

impl From<std::io::Error> for Short {
    fn from(error: std::io::Error) -> Self {
        Self { reached: None, error }
    }
}
