//! Named sections on Windows: what the kernel's names do, rights, and programs that make and open
//! file mappings themselves, as C and C# do.
#![expect(unsafe_code, reason = "makes and opens sections as other programs do")]

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::time::Duration;

use bifolio_map::names::{self, EntryKind, InUse, Lifetime, Scope};
use bifolio_map::{Access, Create, ErrorKind, Read, ReadWrite, Section};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::{Random, budget, this_test};
use windows_sys::Win32::Foundation::{INVALID_HANDLE_VALUE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
    SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, SECURITY_ATTRIBUTES};
use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile,
    OpenFileMappingW, PAGE_READWRITE, UnmapViewOfFile,
};
use windows_sys::Win32::System::Threading::{CreateMutexW, INFINITE, WaitForSingleObject};

use crate::names::{
    DIRECTORY, all_gone, creating, gone, listed, name, names_of_its_own, names_of_the_parent,
    writing,
};
use crate::support::{refused, says};

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A file mapping that another program might make or open.
pub(crate) struct Foreign(OwnedHandle);

impl Foreign {
    fn make(name: &str, size: u32) -> Self {
        Self::make_with(name, size, ptr::null()).unwrap()
    }

    /// Makes one with the owner and rights that a descriptor's text says.
    pub(crate) fn make_as(name: &str, size: u32, text: &str) -> std::io::Result<Self> {
        let (words, mut descriptor) = (wide(text), ptr::null_mut());
        // SAFETY: the text ends with a zero; the call allocates the descriptor.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                words.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        assert_ne!(done, 0, "{}", std::io::Error::last_os_error());
        let attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor,
            bInheritHandle: 0,
        };
        let made = Self::make_with(name, size, &raw const attributes);
        // SAFETY: the system's allocation for us; nothing uses it any more.
        unsafe { LocalFree(descriptor) };
        made
    }

    fn make_with(
        name: &str,
        size: u32,
        attributes: *const SECURITY_ATTRIBUTES,
    ) -> std::io::Result<Self> {
        let (name, page_file) = (wide(name), INVALID_HANDLE_VALUE);
        // SAFETY: the name and the attributes outlive the call.
        let handle = unsafe {
            CreateFileMappingW(page_file, attributes, PAGE_READWRITE, 0, size, name.as_ptr())
        };
        if handle.is_null() {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the call made the handle, and nobody else has it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    pub(crate) fn open(name: &str) -> std::io::Result<Self> {
        let name = wide(name);
        let wanted = FILE_MAP_READ | FILE_MAP_WRITE | READ_CONTROL;
        // SAFETY: the name outlives the call.
        let handle = unsafe { OpenFileMappingW(wanted, 0, name.as_ptr()) };
        if handle.is_null() {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the call made the handle, and nobody else has it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// Swaps the first bytes for others.
    pub(crate) fn swap<const N: usize>(&self, bytes: [u8; N]) -> [u8; N] {
        let rights = FILE_MAP_READ | FILE_MAP_WRITE;
        // SAFETY: the handle is open; the system picks the place.
        let view = unsafe { MapViewOfFile(self.0.as_raw_handle(), rights, 0, 0, 0) };
        assert!(!view.Value.is_null(), "{}", std::io::Error::last_os_error());
        let place = view.Value.cast::<[u8; N]>();
        // SAFETY: mapped, longer than a few bytes, and no reference to it exists.
        let before = unsafe { place.read_volatile() };
        // SAFETY: as above.
        unsafe { place.write_volatile(bytes) };
        let view = MEMORY_MAPPED_VIEW_ADDRESS { Value: view.Value };
        // SAFETY: nothing uses the view any more.
        unsafe { UnmapViewOfFile(view) };
        before
    }

    /// Who may do what, in the system's words.
    pub(crate) fn rights(&self) -> String {
        let (mut descriptor, mut text) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the handle is open; the call allocates the descriptor.
        let code = unsafe {
            GetSecurityInfo(
                self.0.as_raw_handle(),
                SE_KERNEL_OBJECT,
                DACL_SECURITY_INFORMATION,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut descriptor,
            )
        };
        assert_eq!(code, 0);
        let mut size = 0;
        // SAFETY: the descriptor is the system's; the call allocates the text.
        let done = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor,
                SDDL_REVISION_1,
                DACL_SECURITY_INFORMATION,
                &raw mut text,
                &raw mut size,
            )
        };
        assert_ne!(done, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the call wrote so many units there.
        let units = unsafe { std::slice::from_raw_parts(text, size as usize) };
        let words = String::from_utf16_lossy(units);
        // SAFETY: the system's allocation for us; its content was copied.
        unsafe { LocalFree(text.cast()) };
        // SAFETY: as above.
        unsafe { LocalFree(descriptor) };
        words.trim_end_matches('\0').to_owned()
    }
}

/// A name of this process, in the session's set.
pub(crate) fn own_name(what: &str) -> String {
    format!("bifolio test {what} {}", std::process::id())
}

#[test]
fn a_program_that_opens_file_mappings_finds_our_bytes_at_their_start() {
    let text = own_name("ours");
    let section = Section::create_named(&name(&text), 5000).unwrap();
    section.view::<ReadWrite>().unwrap().write_at(0, b"from us").unwrap();
    let system = names::system_name(&name(&text), &Scope::Session).unwrap();
    assert_eq!(system.to_str().unwrap(), format!(r"Local\{text}"));
    // The name alone is enough: programs of a session say it without the prefix.
    for called in [text.as_str(), system.to_str().unwrap()] {
        let theirs = Foreign::open(called).unwrap();
        assert_eq!(theirs.swap(*b"to you!"), *b"from us");
        section.view::<ReadWrite>().unwrap().write_at(0, b"from us").unwrap();
    }
    drop(section);
    gone(&Scope::Session, &text);
    assert!(Foreign::open(&text).is_err());
}

#[test]
fn a_section_of_another_program_is_foreign_and_in_the_way() {
    let text = own_name("theirs");
    let theirs = Foreign::make(&text, 5000);
    theirs.swap(*b"from them");
    let error = refused(Section::open_named(&name(&text)), ErrorKind::NotFound);
    says(&error, &["another program has a section of this name", "names::open_foreign"]);
    let error = refused(Section::create_named(&name(&text), 13), ErrorKind::AlreadyExists);
    says(&error, &["another program has a section of this name"]);
    let list = names::list(&Scope::Session).unwrap();
    let entry = list.iter().find(|entry| entry.name() == text).unwrap();
    assert_eq!((entry.kind(), entry.len()), (&EntryKind::Foreign, Some(8192)));
    let open = || names::open_foreign(&name(&text), &Scope::Session, Access::ReadWrite).unwrap();
    assert_eq!(open().mapped_len(), 8192, "whole pages are all that the system tells");
    assert_eq!(open().trimmed_len().unwrap(), 9);
    let section = open().into_section(5000).unwrap();
    assert_eq!(section.len().unwrap(), 5000);
    section.view::<ReadWrite>().unwrap().write_at(0, b"our words").unwrap();
    assert_eq!(theirs.swap(*b"them once"), *b"our words");
    drop(theirs);
    // It lives on by our handle, as the system's names do.
    assert_eq!(section.view::<Read>().unwrap().read_vec(..9).unwrap(), b"them once");
    drop(section);
    let missing = names::open_foreign(&name(&text), &Scope::Session, Access::Read);
    refused(missing, ErrorKind::NotFound);
}

/// The dot keeps what is internal apart from what may be a name.
#[test]
fn names_of_the_session_that_look_like_internal_ones_are_names_as_others() {
    let (_dir, scope) = names_of_its_own();
    let inner = creating(&scope, 13).named(&name("x")).unwrap();
    inner.view::<ReadWrite>().unwrap().write_at(0, b"the directory").unwrap();
    let system = names::system_name(&name("x"), &scope).unwrap();
    let object = system.to_str().unwrap().strip_prefix(r"Local\").unwrap();
    refused(names::Name::new(object), ErrorKind::InvalidInput);
    // The nearest that may be a name, which once was the same object, and one that was not listed.
    let near = object.trim_start_matches('.').to_owned();
    assert!(near.starts_with("bifolio-") && near.ends_with(".x"), "{near}");
    for text in [near, format!("bifolio-{}", std::process::id())] {
        let section = Section::create_named(&name(&text), 7).unwrap();
        assert!(listed(&Scope::Session).contains(&text));
        assert_eq!(section.view::<Read>().unwrap().read_vec(..).unwrap(), [0; 7]);
        drop(section);
        gone(&Scope::Session, &text);
        let theirs = Foreign::make(&text, 5000);
        assert!(listed(&Scope::Session).contains(&text), "of another program");
        drop(theirs);
    }
    assert_eq!(listed(&scope), ["x"]);
    let internal = listed(&Scope::Session);
    assert!(!internal.iter().any(|text| text.starts_with(".bifolio-")), "{internal:?}");
}

#[test]
fn a_new_section_is_its_owners_alone_unless_others_are_let_in() {
    for (permissions, expected) in [(0o600, ""), (0o644, "GR"), (0o666, "GRGW")] {
        let text = own_name(&format!("rights {permissions:o}"));
        let options = creating(&Scope::Session, 13).permissions(permissions);
        let _section = options.named(&name(&text)).unwrap();
        for object in [text.clone(), format!(".bifolio-state.{text}")] {
            let rights = Foreign::open(&object).unwrap().rights();
            assert!(rights.starts_with("D:P"), "nothing is inherited: {rights}");
            assert!(rights.contains(";;;SY)"), "{rights}");
            // Everybody is `WD`. The system writes general rights as they are for sections, or so.
            assert_eq!(
                rights.contains(";;;WD)"),
                !expected.is_empty(),
                "{permissions:o}: {rights}"
            );
        }
    }
}

#[test]
fn a_name_that_somebody_has_cannot_be_taken_away() {
    let (_dir, scope) = names_of_its_own();
    for lifetime in [Lifetime::LastHandle, Lifetime::Persistent] {
        let section = creating(&scope, 13).lifetime(lifetime).named(&name("held")).unwrap();
        let error = refused(names::unlink(&name("held"), &scope), ErrorKind::Busy);
        says(&error, &["held", "Windows takes no name away"]);
        drop(section);
    }
    names::unlink(&name("held"), &scope).unwrap();
    all_gone(&scope);
}

#[test]
fn a_persistent_section_is_found_by_its_objects_while_somebody_has_it() {
    let (_dir, scope) = names_of_its_own();
    let options = creating(&scope, 5000).lifetime(Lifetime::Persistent);
    drop(options.named(&name("sleeps")).unwrap());
    let system = names::system_name(&name("sleeps"), &scope).unwrap();
    assert!(Foreign::open(system.to_str().unwrap()).is_err());
    let section = writing(&scope).named(&name("sleeps")).unwrap();
    section.view::<ReadWrite>().unwrap().write_at(0, b"awake").unwrap();
    let theirs = Foreign::open(system.to_str().unwrap()).unwrap();
    assert_eq!(theirs.swap(*b"swapd"), *b"awake");
    drop(theirs);
    assert_eq!(section.view::<Read>().unwrap().read_vec(..5).unwrap(), b"swapd");
    drop(section);
    assert_eq!(names::list(&scope).unwrap()[0].in_use(), InUse::No);
    names::unlink(&name("sleeps"), &scope).unwrap();
}

#[test]
fn a_creator_that_died_in_its_turn_is_in_nobodys_way() {
    let text = own_name("abandoned");
    // The thread ends while it owns the mutex of the name: the system calls that abandoned.
    let mutex = std::thread::spawn({
        let words = wide(&format!(r"Local\.bifolio-turn.{text}"));
        move || {
            // SAFETY: the name outlives the call; no attributes.
            let mutex = unsafe { CreateMutexW(ptr::null(), 0, words.as_ptr()) };
            assert!(!mutex.is_null());
            // SAFETY: the handle is open.
            unsafe { WaitForSingleObject(mutex, INFINITE) };
            // SAFETY: the call made the handle, and nobody else has it.
            unsafe { OwnedHandle::from_raw_handle(mutex) }
        }
    })
    .join()
    .unwrap();
    // A state that its creator had made and not filled in.
    let half_made = Foreign::make(&format!(r"Local\.bifolio-state.{text}"), 8192);
    let closing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(half_made);
    });
    let section = Section::create_named(&name(&text), 13).unwrap();
    closing.join().unwrap();
    assert_eq!(Section::open_named(&name(&text)).unwrap().len().unwrap(), 13);
    drop((section, mutex));
    gone(&Scope::Session, &text);
}

/// Kills children that create and close names all the time; each kill is somewhere in that.
#[test]
fn a_name_whose_holders_are_all_killed_is_gone_and_free() {
    if child::role().is_some() {
        let scope = names_of_the_parent();
        loop {
            let options = writing(&scope).create(Create::IfMissing).len(100_000);
            drop(options.named(&name("held")).unwrap().view::<ReadWrite>().unwrap());
        }
    }
    let (dir, scope) = names_of_its_own();
    let mut random = Random::new();
    for _ in 0..budget(10) {
        let rerun = Rerun::of(this_test!(), "holder").with_variable(DIRECTORY, dir.path());
        rerun.kill_after(Duration::from_millis(random.u64(200..400))).unwrap();
        gone(&scope, "held");
        let section = creating(&scope, 13).named(&name("held")).unwrap();
        assert_eq!(section.view::<Read>().unwrap().read_vec(..).unwrap(), [0; 13]);
        assert_eq!(listed(&scope), ["held"]);
        drop(section);
        all_gone(&scope);
    }
}
