//! What Windows tells of the machine.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::path::PathBuf;

use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::System::JobObjects as job;
use windows_sys::Win32::System::ProcessStatus::{
    GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS,
};
use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION};

use super::windows::{check, this_process};
use crate::machine::{Limit, MemoryLimit};

/// Memory of the machine, and what may be committed.
pub(super) fn memory_status() -> io::Result<MEMORYSTATUSEX> {
    let mut status = MEMORYSTATUSEX { dwLength: size_u32::<MEMORYSTATUSEX>(), ..Default::default() };
    // SAFETY: the call fills in the structure, whose size it was told.
    check(unsafe { GlobalMemoryStatusEx(&raw mut status) })?;
    Ok(status)
}

/// Bytes of memory that are free, or hold what can be read again.
pub(crate) fn available_memory() -> io::Result<u64> {
    Ok(memory_status()?.ullAvailPhys)
}

/// The limits that are set on the memory of this process: what may be committed, and the job's.
pub(crate) fn memory_limits() -> Vec<MemoryLimit> {
    let mut limits = Vec::new();
    if let Ok(status) = memory_status() {
        limits.push(MemoryLimit {
            limit: Limit::Commit,
            limit_bytes: status.ullTotalPageFile,
            used_bytes: Some(status.ullTotalPageFile.saturating_sub(status.ullAvailPageFile)),
            reclaimable_bytes: 0,
        });
    }
    if let Ok(found) = job_limits() {
        let flags = found.BasicLimitInformation.LimitFlags;
        if flags & job::JOB_OBJECT_LIMIT_PROCESS_MEMORY != 0 {
            limits.push(MemoryLimit {
                limit: Limit::JobProcess,
                limit_bytes: found.ProcessMemoryLimit as u64,
                used_bytes: committed(this_process()).ok(),
                reclaimable_bytes: 0,
            });
        }
        if flags & job::JOB_OBJECT_LIMIT_JOB_MEMORY != 0 {
            limits.push(MemoryLimit {
                limit: Limit::Job,
                limit_bytes: found.JobMemoryLimit as u64,
                // The most that was ever in use is told, and more than that is not in use now.
                used_bytes: committed_by_job().or(Some(found.PeakJobMemoryUsed as u64)),
                reclaimable_bytes: 0,
            });
        }
    }
    limits
}

/// The limits of the job of this process; an error if there is no job.
fn job_limits() -> io::Result<job::JOBOBJECT_EXTENDED_LIMIT_INFORMATION> {
    let mut found = job::JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    // SAFETY: no handle means the job of this process; the structure has the announced size.
    check(unsafe {
        job::QueryInformationJobObject(
            std::ptr::null_mut(),
            job::JobObjectExtendedLimitInformation,
            (&raw mut found).cast(),
            size_u32::<job::JOBOBJECT_EXTENDED_LIMIT_INFORMATION>(),
            std::ptr::null_mut(),
        )
    })?;
    Ok(found)
}

/// How many processes of a job are counted one by one.
const MOST: usize = 256;

/// The list of a job's processes, with room for [`MOST`].
#[repr(C)]
struct ProcessList {
    assigned: u32,
    listed: u32,
    ids: [usize; MOST],
}

/// Bytes that the processes of our job have committed; `None` if one of them cannot be asked.
fn committed_by_job() -> Option<u64> {
    let mut list = ProcessList { assigned: 0, listed: 0, ids: [0; MOST] };
    // SAFETY: as above; the structure is JOBOBJECT_BASIC_PROCESS_ID_LIST with a longer list.
    check(unsafe {
        job::QueryInformationJobObject(
            std::ptr::null_mut(),
            job::JobObjectBasicProcessIdList,
            (&raw mut list).cast(),
            size_u32::<ProcessList>(),
            std::ptr::null_mut(),
        )
    })
    .ok()?;
    let ids = list.ids.get(..list.listed as usize)?;
    if list.assigned != list.listed {
        return None;
    }
    let mut sum = 0u64;
    for id in ids {
        let id = u32::try_from(*id).ok()?;
        // SAFETY: no pointers.
        let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, id) };
        if process.is_null() {
            return None;
        }
        let bytes = committed(process);
        // SAFETY: the handle was opened above and is not used any more.
        unsafe { CloseHandle(process) };
        sum = sum.saturating_add(bytes.ok()?);
    }
    Some(sum)
}

/// Bytes that a process has committed.
fn committed(process: windows_sys::Win32::Foundation::HANDLE) -> io::Result<u64> {
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    let size = size_u32::<PROCESS_MEMORY_COUNTERS>();
    // SAFETY: the call fills in the structure, whose size it is told.
    check(unsafe { GetProcessMemoryInfo(process, &raw mut counters, size) })?;
    Ok(counters.PagefileUsage as u64)
}

/// The size of a structure as the calls take it.
#[expect(clippy::cast_possible_truncation, reason = "structures are small")]
pub(super) const fn size_u32<T>() -> u32 {
    size_of::<T>() as u32
}

/// A path of these bytes, which come from a text of another system.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
