//! Programs that know nothing of this library share sections with it, both ways.

use std::path::{Path, PathBuf};
use std::process::Command;

use bifolio_map::names::{self, Scope};
use bifolio_map::{Access, Read, ReadWrite};
use bifolio_testkit::skip::Skip;

use crate::names::{creating, gone, listed, name};
use crate::support::{directory, pattern};

/// `read NAME` prints 13 bytes from the start and writes `hello` at 100; `make NAME` makes a section
/// of 5000 bytes that says where it is from.
const C: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int make = !strcmp(argv[1], "make");
    int fd = shm_open(argv[2], O_RDWR | (make ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0 || (make && ftruncate(fd, 5000) < 0)) return 1;
    struct stat found;
    if (fstat(fd, &found) < 0) return 2;
    char *bytes = mmap(0, found.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) return 3;
    if (make) return !strcpy(bytes, "made elsewhere");
    memcpy(bytes + 100, "hello", 5);
    return fwrite(bytes, 1, 13, stdout) != 13;
}
"#;

/// The same. What attaches must not remove: before 3.13 the module's tracker does, so it is told not
/// to track.
const PYTHON: &str = r#"
import sys
from multiprocessing import resource_tracker, shared_memory
make, name = sys.argv[1] == "make", sys.argv[2].lstrip("/")
try:
    shared = shared_memory.SharedMemory(name=name, create=make, size=5000, track=False)
except TypeError:
    shared = shared_memory.SharedMemory(name=name, create=make, size=5000)
    resource_tracker.unregister(shared._name, "shared_memory")
if make:
    shared.buf[:14] = b"made elsewhere"
else:
    shared.buf[100:105] = b"hello"
    sys.stdout.write(bytes(shared.buf[:13]).decode("latin-1"))
shared.close()
"#;

/// Shares with a program both ways. It is called as `COMMAND... read|make /NAME`.
fn share_with(command: &[&std::ffi::OsStr], who: &str) {
    let run = |verb: &str, text: &str| {
        let output = Command::new(command[0]).args(&command[1..]).args([verb, text]).output();
        let output = output.expect("it was there");
        assert!(output.status.success(), "{verb}: {output:?}");
        output.stdout
    };
    let scope = Scope::Machine;
    // Theirs sees ours, and leaves the name alone.
    let text = format!("bifolio-test-{who}-{}", std::process::id());
    let section = creating(&scope, 5000).named(&name(&text)).unwrap();
    let system = names::system_name(&name(&text), &scope).unwrap();
    let called = format!("/{}", Path::new(&system).file_name().unwrap().to_str().unwrap());
    let view = section.view::<ReadWrite>().unwrap();
    let message: Vec<u8> = pattern(0, 13).iter().map(|byte| byte & 0x7f).collect();
    view.write_at(0, &message).unwrap();
    assert_eq!(run("read", &called), message, "the bytes begin at offset 0");
    assert_eq!(view.read_vec(100..105).unwrap(), b"hello");
    assert!(listed(&scope).contains(&text));
    drop((view, section));
    gone(&scope, &text);
    // Ours sees theirs.
    run("make", &called);
    let foreign = names::open_foreign(&name(&text), &scope, Access::Read).unwrap();
    assert!((5000..=8192).contains(&foreign.mapped_len()), "{}", foreign.mapped_len());
    assert_eq!(foreign.trimmed_len().unwrap(), 14);
    let theirs = foreign.into_section(5000).unwrap();
    assert_eq!(theirs.view::<Read>().unwrap().read_vec(..14).unwrap(), b"made elsewhere");
    drop(theirs);
    assert!(listed(&scope).contains(&text), "what others made stays");
    names::unlink(&name(&text), &scope).unwrap();
    gone(&scope, &text);
}

#[test]
fn a_c_program_shares_a_section_with_us_both_ways() {
    let dir = directory();
    let (source, program) = (dir.path().join("peer.c"), dir.path().join("peer"));
    std::fs::write(&source, C).unwrap();
    let compile = Command::new("cc").arg("-o").arg(&program).arg(&source).arg("-lrt").output();
    match compile {
        Err(_) => Skip::because("needs cc (package gcc)").count(),
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            share_with(&[program.as_os_str()], "c");
        }
    }
}

#[test]
fn a_python_program_shares_a_section_with_us_both_ways() {
    let dir = directory();
    let script: PathBuf = dir.path().join("peer.py");
    std::fs::write(&script, PYTHON).unwrap();
    let probe = ["-c", "import multiprocessing.shared_memory"];
    match Command::new("python3").args(probe).status() {
        Ok(status) if status.success() => {
            share_with(&["python3".as_ref(), script.as_os_str()], "python");
        }
        _ => Skip::because("needs python3 with multiprocessing (package python3)").count(),
    }
}
