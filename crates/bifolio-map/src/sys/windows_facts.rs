//! What Windows tells of the machine and of this process.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CStr;
use std::io;

use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, LUID};
use windows_sys::Win32::Security::{
    GetTokenInformation, LUID_AND_ATTRIBUTES, LookupPrivilegeValueW, TOKEN_QUERY, TokenPrivileges,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Memory::GetLargePageMinimum;
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;
use windows_sys::Win32::System::Threading::{GetProcessWorkingSetSize, OpenProcessToken};
use windows_sys::core::w;

use super::windows::{check, this_process};
use super::{memory_status, size_u32};
use crate::machine::{Fact, Held, HugePool, Kernel, Limits, Memory, Overcommit, SharedMemory};

pub(crate) const PAGE_SIZE_SOURCE: &str = "GetSystemInfo";

pub(crate) fn memory_facts() -> Memory {
    let source = "GlobalMemoryStatusEx";
    // SAFETY: no arguments.
    let large = unsafe { GetLargePageMinimum() } as u64;
    // Zero: the processor has none.
    let pool = (large != 0).then_some(HugePool { page_size: large, count: None, free: None });
    let mut facts = Memory {
        huge_pages: Fact::known(pool.into_iter().collect(), "GetLargePageMinimum"),
        overcommit: Fact::known(Overcommit::Never, "Windows commits only what it has"),
        ..Memory::default()
    };
    match memory_status() {
        Ok(status) => {
            let swap = status.ullTotalPageFile.saturating_sub(status.ullTotalPhys);
            facts.total_bytes = Fact::known(status.ullTotalPhys, source);
            facts.swap_bytes = Fact::known(swap, source);
            facts.commit_left_bytes = Fact::known(status.ullAvailPageFile, source);
        }
        Err(error) => {
            facts.total_bytes = Fact::unknown(&error, source);
            facts.swap_bytes = Fact::unknown(&error, source);
            facts.commit_left_bytes = Fact::unknown(&error, source);
        }
    }
    facts
}

pub(crate) fn limit_facts() -> Limits {
    let (mut least, mut most) = (0, 0);
    // SAFETY: the pointers are to two numbers.
    let asked = check(unsafe {
        GetProcessWorkingSetSize(this_process(), &raw mut least, &raw mut most)
    });
    let source = "GetProcessWorkingSetSize";
    let privileges = "GetTokenInformation";
    let held = |name| match holds(name) {
        Ok(held) => Fact::known(held, privileges),
        Err(error) => Fact::unknown(error, privileges),
    };
    Limits {
        working_set_bytes: match asked {
            Ok(()) => Fact::known((least as u64, most as u64), source),
            Err(error) => Fact::unknown(error, source),
        },
        global_names: held(w!("SeCreateGlobalPrivilege")),
        large_pages: held(w!("SeLockMemoryPrivilege")),
        ..Limits::default()
    }
}

/// A token of this process that is closed again.
struct Token(HANDLE);

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: the handle is open and ours.
        unsafe { CloseHandle(self.0) };
    }
}

/// How many privileges a token may list; Windows knows some 36.
const MOST: usize = 128;

/// The list of a token's privileges, with room for [`MOST`].
#[repr(C)]
struct Privileges {
    count: u32,
    listed: [LUID_AND_ATTRIBUTES; MOST],
}

/// Whether this process holds a privilege, enabled or not.
fn holds(name: windows_sys::core::PCWSTR) -> io::Result<Held> {
    let mut wanted = LUID::default();
    // SAFETY: the name ends with a zero, the answer has its place.
    check(unsafe { LookupPrivilegeValueW(std::ptr::null(), name, &raw mut wanted) })?;
    let mut token = std::ptr::null_mut();
    // SAFETY: the answer has its place.
    check(unsafe { OpenProcessToken(this_process(), TOKEN_QUERY, &raw mut token) })?;
    let token = Token(token);
    let mut found = Privileges { count: 0, listed: [LUID_AND_ATTRIBUTES::default(); MOST] };
    let mut size = 0;
    // SAFETY: the structure is TOKEN_PRIVILEGES with a longer list, of the announced size.
    check(unsafe {
        GetTokenInformation(
            token.0,
            TokenPrivileges,
            (&raw mut found).cast(),
            size_u32::<Privileges>(),
            &raw mut size,
        )
    })?;
    let listed = found.listed.iter().take(found.count as usize);
    let same = |luid: &LUID| (luid.LowPart, luid.HighPart) == (wanted.LowPart, wanted.HighPart);
    let held = listed.into_iter().any(|entry| same(&{ entry.Luid }));
    Ok(if held { Held::Yes } else { Held::No })
}

/// Named memory lives in the object directories of the system, not in a file system.
pub(crate) fn shared_memory_facts() -> SharedMemory {
    SharedMemory::default()
}

pub(crate) fn kernel_facts() -> Kernel {
    let mut version =
        OSVERSIONINFOW { dwOSVersionInfoSize: size_u32::<OSVERSIONINFOW>(), ..Default::default() };
    // SAFETY: the call fills in the structure, whose size it was told. It always succeeds, and
    // unlike GetVersionEx it tells the truth to programs without a manifest.
    unsafe { RtlGetVersion(&raw mut version) };
    let OSVERSIONINFOW { dwMajorVersion: major, dwMinorVersion: minor, dwBuildNumber: build, .. } =
        version;
    let release = format!("Windows {major}.{minor}.{build}");
    Kernel {
        release: Fact::known(release, "RtlGetVersion"),
        container: Fact::known(wine(), "wine_get_version"),
        ..Kernel::default()
    }
}

/// Wine says who it is by a function that Windows does not have.
fn wine() -> Option<String> {
    // SAFETY: the name ends with a zero; every process has this library.
    let library = unsafe { GetModuleHandleW(w!("ntdll.dll")) };
    // SAFETY: the library stays, and the name ends with a zero.
    let function = unsafe { GetProcAddress(library, c"wine_get_version".as_ptr().cast()) }?;
    // SAFETY: Wine declares it so: `const char *CDECL wine_get_version(void)`.
    let function = unsafe {
        std::mem::transmute::<
            unsafe extern "system" fn() -> isize,
            unsafe extern "C" fn() -> *const std::ffi::c_char,
        >(function)
    };
    // SAFETY: it takes nothing and returns a text of its own that stays.
    let version = unsafe { function() };
    if version.is_null() {
        return Some("Wine".to_owned());
    }
    // SAFETY: the text ends with a zero.
    let version = unsafe { CStr::from_ptr(version) };
    Some(format!("Wine {}", version.to_string_lossy()))
}
