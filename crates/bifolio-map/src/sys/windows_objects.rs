//! Objects of the Windows kernel that have names: sections, mutexes, whose they are, and the
//! directory in which they are.
#![expect(unsafe_code, reason = "system calls on handles, names and security descriptors")]

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::time::Duration;

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{NtOpenDirectoryObject, NtQueryDirectoryObject};
use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE, LocalFree, UNICODE_STRING};
use windows_sys::Win32::Security as security;
use windows_sys::Win32::Security::Authorization as text;
use windows_sys::Win32::Storage::FileSystem as files;
use windows_sys::Win32::System::Memory as memory;
use windows_sys::Win32::System::RemoteDesktop::ProcessIdToSessionId;
use windows_sys::Win32::System::Threading as threading;

use super::Protection;
use super::windows::{check, error_of, halves, this_process, wide};
use super::windows_section::{Backing, page_word, region_at, map_view, unmap_view};
use crate::section::Access;

fn wide_name(name: &str) -> Vec<u16> {
    name.encode_utf16().chain([0]).collect()
}

/// Takes over a handle that a call made; none is the last error.
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call made the handle, and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Who may do what with a new object: the owner and the system everything; others what the last
/// three bits of a Unix mode say.
pub(super) struct Rights {
    descriptor: NonNull<c_void>,
}

impl Drop for Rights {
    fn drop(&mut self) {
        // SAFETY: the descriptor is the system's allocation for us, and nothing uses it any more.
        unsafe { LocalFree(self.descriptor.as_ptr()) };
    }
}

impl Rights {
    pub(super) fn of(permissions: u32) -> io::Result<Self> {
        let user = sid_of_this_user()?;
        let everybody = match permissions & 0o6 {
            0 => "",
            0o4 => "(A;;GR;;;WD)",
            0o2 => "(A;;GW;;;WD)",
            _ => "(A;;GRGW;;;WD)",
        };
        let owner = owner_to_be(&user);
        Self::from_text(&format!("O:{owner}D:P(A;;GA;;;{user})(A;;GA;;;SY){everybody}"))
    }

    /// Those of a directory of names. That of the machine lets everybody look; services may add to
    /// it as administrators may, since both have the privilege to make names of the machine. To
    /// remove something is up to who owns it, and to administrators.
    pub(super) fn of_directory(objects: Objects) -> io::Result<Self> {
        let user = sid_of_this_user()?;
        let others = match objects {
            Objects::Local => String::new(),
            Objects::Global => {
                let look = files::FILE_GENERIC_READ | files::FILE_GENERIC_EXECUTE;
                let add = look | files::FILE_ADD_FILE;
                format!("(A;;{add:#x};;;SU)(A;;{look:#x};;;WD)")
            }
        };
        let owner = owner_to_be(&user);
        Self::from_text(&format!("O:{owner}D:P(A;;FA;;;{user})(A;;FA;;;SY)(A;;FA;;;BA){others}"))
    }

    fn from_text(text_form: &str) -> io::Result<Self> {
        let words = wide_name(text_form);
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends with a zero; the call allocates the descriptor.
        check(unsafe {
            text::ConvertStringSecurityDescriptorToSecurityDescriptorW(
                words.as_ptr(),
                text::SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        })?;
        NonNull::new(descriptor)
            .map(|descriptor| Self { descriptor })
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn attributes(&self) -> security::SECURITY_ATTRIBUTES {
        security::SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<security::SECURITY_ATTRIBUTES>()).unwrap_or(0),
            lpSecurityDescriptor: self.descriptor.as_ptr(),
            bInheritHandle: 0,
        }
    }
}

/// An identifier as text, such as `S-1-5-21-…`.
fn sid_text(sid: security::PSID) -> io::Result<String> {
    let mut found = ptr::null_mut();
    // SAFETY: the caller has the identifier from the system; the call allocates the text.
    check(unsafe { text::ConvertSidToStringSidW(sid, &raw mut found) })?;
    let mut units = Vec::new();
    loop {
        // SAFETY: the text ends with a zero, at which this stops.
        let at = unsafe { found.add(units.len()) };
        // SAFETY: as above.
        match unsafe { at.read() } {
            0 => break,
            unit => units.push(unit),
        }
    }
    // SAFETY: the system's allocation for us; its content was copied.
    unsafe { LocalFree(found.cast()) };
    Ok(String::from_utf16_lossy(&units))
}

pub(super) const SYSTEM: &str = "S-1-5-18";
pub(super) const ADMINISTRATORS: &str = "S-1-5-32-544";

/// Whether `owner` is somebody whom `user` believes. Nobody believes one that is not known.
pub(super) fn is_believed(owner: &str, user: &str) -> bool {
    !owner.is_empty() && [user, SYSTEM, ADMINISTRATORS].contains(&owner)
}

/// This user's identifier, as text.
pub(super) fn sid_of_this_user() -> io::Result<String> {
    sid_in_token(security::TokenUser)
}

/// Who is to own what this process makes: as the system has it, so administrators as a group where
/// that is its way, unless others would not believe that.
fn owner_to_be(user: &str) -> String {
    let usual = sid_in_token(security::TokenOwner).unwrap_or_default();
    if is_believed(&usual, user) { usual } else { user.to_owned() }
}

fn sid_in_token(what: security::TOKEN_INFORMATION_CLASS) -> io::Result<String> {
    let mut token = ptr::null_mut();
    // SAFETY: the handle of this process is a constant.
    check(unsafe {
        threading::OpenProcessToken(this_process(), security::TOKEN_QUERY, &raw mut token)
    })?;
    let token = owned(token)?;
    // Words, so that the structure and the identifier behind it are aligned.
    let mut found = [0u64; 32];
    let mut size = u32::try_from(size_of_val(&found)).unwrap_or(0);
    // SAFETY: the pointer is to as many bytes as are given.
    check(unsafe {
        security::GetTokenInformation(
            token.as_raw_handle(),
            what,
            found.as_mut_ptr().cast(),
            size,
            &raw mut size,
        )
    })?;
    // SAFETY: the call filled the structure in. That of a user and that of an owner begin with the
    // address of the identifier, which lies behind it in `found`.
    let sid = unsafe { found.as_ptr().cast::<security::PSID>().read() };
    sid_text(sid)
}

/// Whose an object is, as text; empty if it is not for this user to know.
pub(super) fn owner_of(handle: &impl AsRawHandle, kind: text::SE_OBJECT_TYPE) -> String {
    let (mut owner, mut descriptor) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the handle is open; the call allocates the descriptor, into which `owner` points.
    let code = unsafe {
        text::GetSecurityInfo(
            handle.as_raw_handle(),
            kind,
            security::OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if code != codes::ERROR_SUCCESS || owner.is_null() {
        return String::new();
    }
    let owner = sid_text(owner).unwrap_or_default();
    // SAFETY: the system's allocation for us; its content was copied.
    unsafe { LocalFree(descriptor) };
    owner
}

/// Makes a section under a name that nothing has. `ERROR_ALREADY_EXISTS` is `AlreadyExists`, and so
/// is an object of another kind.
pub(super) fn create_section(
    name: &str,
    size: u64,
    backing: Backing,
    rights: &Rights,
) -> io::Result<OwnedHandle> {
    let backing = match backing {
        Backing::Committed => memory::SEC_COMMIT,
        Backing::Reserved => memory::SEC_RESERVE,
    };
    let words = memory::PAGE_READWRITE | backing;
    named_section(INVALID_HANDLE_VALUE, words, size, name, rights)
}

/// Makes the section of a file under a name that nothing has.
pub(super) fn name_file(
    file: &File,
    protection: Protection,
    name: &str,
    rights: &Rights,
) -> io::Result<OwnedHandle> {
    named_section(file.as_raw_handle(), page_word(protection), 0, name, rights)
}

fn named_section(
    file: HANDLE,
    words: u32,
    size: u64,
    name: &str,
    rights: &Rights,
) -> io::Result<OwnedHandle> {
    let (attributes, name, (high, low)) = (rights.attributes(), wide_name(name), halves(size));
    // SAFETY: the attributes and the name outlive the call; the file is open, or the page file's.
    let handle = unsafe {
        memory::CreateFileMappingW(file, &raw const attributes, words, high, low, name.as_ptr())
    };
    let error = io::Error::last_os_error();
    let section = owned(handle).map_err(|error| match error.raw_os_error() {
        Some(code) if code.cast_unsigned() == codes::ERROR_INVALID_HANDLE => taken(),
        _ => error,
    })?;
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(codes::ERROR_ALREADY_EXISTS) => Err(taken()),
        _ => Ok(section),
    }
}

fn taken() -> io::Error {
    io::ErrorKind::AlreadyExists.into()
}

/// Opens the section of a name. One that is there and belongs to somebody else is refused by the
/// system.
pub(super) fn open_section(name: &str, access: Access) -> io::Result<OwnedHandle> {
    let wanted = match access {
        Access::Read => memory::FILE_MAP_READ,
        Access::ReadWrite => memory::FILE_MAP_READ | memory::FILE_MAP_WRITE,
    };
    let name = wide_name(name);
    let open = |wanted| {
        // SAFETY: the name ends with a zero.
        owned(unsafe { memory::OpenFileMappingW(wanted, 0, name.as_ptr()) })
    };
    // The right to see whose it is, where that is to be had.
    open(wanted | files::READ_CONTROL).or_else(|_| open(wanted)).map_err(|error| {
        match error.raw_os_error().map(i32::cast_unsigned) {
            // The name of an event or a mutex.
            Some(codes::ERROR_INVALID_HANDLE) => error_of(codes::ERROR_BAD_EXE_FORMAT),
            _ => error,
        }
    })
}

/// Bytes of a section that can be mapped: whole pages.
pub(super) fn size_of_section(section: &OwnedHandle) -> io::Result<u64> {
    let base = map_view(section, Protection::Read, 0, 0, None)?;
    let (start, mut end) = (base.addr().get(), base.addr().get());
    // One region for each run of pages in the same state: with memory, or reserved only.
    while let Some(region) = region_at(end) {
        if region.AllocationBase.addr() != start || region.RegionSize == 0 {
            break;
        }
        end = region.BaseAddress.addr() + region.RegionSize;
    }
    // SAFETY: nobody else knows the view.
    unsafe { unmap_view(base) };
    Ok((end - start) as u64)
}

/// A mutex with a name, owned by this thread until it is dropped.
pub(super) struct Turn(OwnedHandle);

impl Turn {
    /// Waits for it. If its last owner died with it, that is no matter here: what he left undone
    /// is looked at by its own words.
    pub(super) fn wait(name: &str, rights: &Rights, patience: Duration) -> io::Result<Self> {
        let (attributes, name) = (rights.attributes(), wide_name(name));
        // SAFETY: the attributes and the name outlive the call.
        let mutex =
            owned(unsafe { threading::CreateMutexW(&raw const attributes, 0, name.as_ptr()) })?;
        let ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX - 1);
        // SAFETY: the handle is open.
        match unsafe { threading::WaitForSingleObject(mutex.as_raw_handle(), ms) } {
            codes::WAIT_OBJECT_0 | codes::WAIT_ABANDONED => Ok(Self(mutex)),
            codes::WAIT_TIMEOUT => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process that creates or removes the name does not go on",
            )),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this thread owns it.
        unsafe { threading::ReleaseMutex(self.0.as_raw_handle()) };
    }
}

/// Creates a file that only those may use whom the rights let.
pub(super) fn create_file(path: &Path, rights: &Rights) -> io::Result<File> {
    let (attributes, path) = (rights.attributes(), wide(path)?);
    let share = files::FILE_SHARE_READ | files::FILE_SHARE_WRITE | files::FILE_SHARE_DELETE;
    // SAFETY: the attributes and the path outlive the call.
    let handle = unsafe {
        files::CreateFileW(
            path.as_ptr(),
            codes::GENERIC_READ | codes::GENERIC_WRITE,
            share,
            &raw const attributes,
            files::CREATE_NEW,
            files::FILE_ATTRIBUTE_NORMAL,
            ptr::null_mut(),
        )
    };
    owned(handle).map(File::from)
}

/// Creates a directory that only those may use whom the rights let.
pub(super) fn create_directory(path: &Path, rights: &Rights) -> io::Result<()> {
    let (attributes, path) = (rights.attributes(), wide(path)?);
    // SAFETY: the attributes and the path outlive the call.
    check(unsafe { files::CreateDirectoryW(path.as_ptr(), &raw const attributes) })
}

/// Which directory of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objects {
    Local,
    Global,
}

/// The names of all sections in a directory of objects.
///
/// The system gives them one by one, by their numbers, which shift while others go. So it is asked
/// again until an answer brings nothing new, three times at least: what was there all the time is
/// then missed only by a chance that repeats itself.
pub(super) fn section_names(objects: Objects) -> io::Result<BTreeSet<String>> {
    let directory = open_directory(objects)?;
    let mut names = BTreeSet::new();
    for pass in 0..16 {
        let known = names.len();
        names.extend(section_names_once(&directory)?);
        if pass >= 2 && names.len() == known {
            break;
        }
    }
    Ok(names)
}

fn section_names_once(directory: &OwnedHandle) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let (mut context, mut first) = (0, true);
    // Words, so that the structures are aligned; a name has at most 32,767 units.
    let mut found = vec![0u64; 16 << 10];
    loop {
        let size = u32::try_from(size_of_val(&*found)).unwrap_or(0);
        // SAFETY: the pointer is to as many bytes as are given.
        let status = unsafe {
            NtQueryDirectoryObject(
                directory.as_raw_handle(),
                found.as_mut_ptr().cast(),
                size,
                true,
                first,
                &raw mut context,
                ptr::null_mut(),
            )
        };
        match status {
            codes::STATUS_SUCCESS => {}
            codes::STATUS_NO_MORE_ENTRIES => return Ok(names),
            status => return Err(error_of_status(status)),
        }
        first = false;
        // SAFETY: the call wrote two strings (the name and the kind), whose texts lie behind them.
        let [name, kind] = unsafe { found.as_ptr().cast::<[UNICODE_STRING; 2]>().read() };
        if units(&kind) == "Section" {
            names.push(units(&name));
        }
    }
}

/// The text of a string that the system has just written into memory of ours.
fn units(string: &UNICODE_STRING) -> String {
    if string.Buffer.is_null() {
        return String::new();
    }
    let count = usize::from(string.Length) / size_of::<u16>();
    // SAFETY: the system wrote so many bytes there, and nothing changes them.
    let units = unsafe { std::slice::from_raw_parts(string.Buffer, count) };
    String::from_utf16_lossy(units)
}

fn open_directory(objects: Objects) -> io::Result<OwnedHandle> {
    const QUERY: u32 = 1;
    let mut session = 0;
    // SAFETY: the pointer is to a number.
    check(unsafe { ProcessIdToSessionId(std::process::id(), &raw mut session) })?;
    let path = match (objects, session) {
        (Objects::Global, _) | (Objects::Local, 0) => r"\BaseNamedObjects".to_owned(),
        (Objects::Local, session) => format!(r"\Sessions\{session}\BaseNamedObjects"),
    };
    let mut name = wide_name(&path);
    let size = u16::try_from((name.len() - 1) * size_of::<u16>()).unwrap_or(0);
    let name = UNICODE_STRING { Length: size, MaximumLength: size, Buffer: name.as_mut_ptr() };
    let attributes = OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).unwrap_or(0),
        ObjectName: &raw const name,
        ..Default::default()
    };
    let mut directory = ptr::null_mut();
    // SAFETY: the structures outlive the call.
    let status =
        unsafe { NtOpenDirectoryObject(&raw mut directory, QUERY, &raw const attributes) };
    if status < 0 {
        return Err(error_of_status(status));
    }
    owned(directory)
}

fn error_of_status(status: i32) -> io::Error {
    // SAFETY: any status may be translated.
    error_of(unsafe { codes::RtlNtStatusToDosError(status) })
}
