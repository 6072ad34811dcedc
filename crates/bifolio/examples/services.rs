//! Eight services of one host share a large data set: all read and write it, one joins late, some are
//! killed in the middle of their work, and nobody else notices more than a word of warning.
//!
//! `cargo run --release -p bifolio --example services`
//!
//! The data set is a table of accounts in one region. Every service moves money between accounts, one
//! shelf of them at a time, under the shelf's own lock; the sum never changes. What a killed service
//! left half done, the next one at that shelf undoes from the note that is in the shelf itself. The
//! memory is there once, whoever maps it: each service says what its share of it is.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bifolio::map::Create;
use bifolio::share::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
use bifolio::share::{Life, Lock, Mutex, MutexGuard, Region, Shared};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Accounts of a shelf.
const ACCOUNTS: usize = 1000;
/// Shelves: 16 MB of them.
const SHELVES: usize = 2000;
/// Shelves that have names of their own; the others are plain bytes that are read.
const BUSY: usize = 32;
/// What every account begins with.
const BEGIN: i64 = 100;
const SERVICES: usize = 8;

/// A shelf: its accounts, and what is being done to them.
#[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared)]
#[zerocopy(crate = "bifolio::share::zerocopy")]
#[shared(crate = "bifolio::share")]
#[repr(C)]
struct Shelf {
    /// The transfer under way: from, to, amount, and the balances before. Amount 0: none.
    from: u32,
    to: u32,
    amount: i64,
    before: [i64; 2],
    accounts: [i64; ACCOUNTS],
}

impl Shelf {
    fn new() -> Self {
        Self { from: 0, to: 0, amount: 0, before: [0; 2], accounts: [BEGIN; ACCOUNTS] }
    }

    fn sum(&self) -> i64 {
        self.accounts.iter().sum()
    }
}

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match &words[..] {
        [path] => serve(path.as_ref()),
        _ => supervise(),
    }
}

/// Starts the services, kills some, lets one join late, and looks at what they leave.
fn supervise() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("accounts");
    let region =
        Region::options().create(Create::New).capacity(1 << 30).label("supervisor").open(&path)?;
    for number in 0..BUSY {
        drop(shelf(&region, number)?);
    }
    // The rest of the data set, which is read by all.
    let history = vec![1_u8; SHELVES * ACCOUNTS * 8];
    region.append(&history)?;
    println!("the data set: {} MB in one region", region.used()? >> 20);

    let mut services = Vec::new();
    for _ in 1..SERVICES {
        services.push(start(&path)?);
    }
    wait_for(&region, SERVICES)?;
    println!("{} services work on it", SERVICES - 1);
    std::thread::sleep(Duration::from_millis(200));
    services.push(start(&path)?);
    wait_for(&region, SERVICES + 1)?;
    println!("one more has joined");
    if let Some((share, whole)) = memory(services.iter().map(Child::id)) {
        println!(
            "mapped: {} MB by all of them together; in memory: {} MB",
            whole >> 20,
            share >> 20
        );
    }
    for mut victim in services.drain(..3) {
        std::thread::sleep(Duration::from_millis(20));
        victim.kill()?;
        victim.wait()?;
    }
    println!("three were killed, whatever they were doing");
    let mut repaired = 0;
    for number in 0..BUSY {
        let shelf = shelf(&region, number)?;
        let guard = match shelf.lock_within(Duration::from_secs(10))? {
            Lock::Sound(guard) => guard,
            Lock::Unsound(mut left) => {
                repaired += 1;
                let undone = undo(left.get()?);
                left.set(&undone)?;
                left.repaired()?
            }
        };
        assert_eq!(guard.get()?.sum(), BEGIN * ACCOUNTS as i64, "shelf {number}");
    }
    println!("every shelf has its sum; {repaired} were repaired here, others by the services");
    let alive = region.members()?.iter().filter(|member| member.life == Life::Alive).count();
    println!("{} services go on", alive - 1);
    for mut service in services {
        service.kill()?;
        service.wait()?;
    }
    Ok(())
}

fn start(path: &Path) -> Result<Child> {
    Ok(Command::new(std::env::current_exe()?).arg(path).spawn()?)
}

/// The shelf of this number, made by whoever asks first.
fn shelf(region: &Region, number: usize) -> Result<Mutex<Shelf>> {
    Ok(region.mutex(&format!("shelf {number}"), Shelf::new())?)
}

fn wait_for(region: &Region, count: usize) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while region.members()?.iter().filter(|member| member.life == Life::Alive).count() < count {
        if Instant::now() > end {
            return Err("a service does not join".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A service: moves money until it is killed.
fn serve(path: &Path) -> Result<()> {
    let region = Region::options().label("service").open(path)?;
    let shelves: Vec<_> = (0..BUSY).map(|number| shelf(&region, number)).collect::<Result<_>>()?;
    // All of the data set is read once, so all of it is in this process's tables.
    let mut piece = vec![0; 1 << 20];
    for at in (region.start()..region.used()? - (1 << 20)).step_by(1 << 20) {
        region.read_at(at, &mut piece)?;
    }
    let mut number = u64::from(std::process::id());
    loop {
        // A plain generator of numbers: Knuth's multiplier.
        number =
            number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = |below: usize, shift: u32| usize::try_from((number >> shift) % below as u64);
        let (from, to) = (draw(ACCOUNTS, 20)?, draw(ACCOUNTS, 40)?);
        let mut guard = match shelves[draw(BUSY, 8)?].lock()? {
            Lock::Sound(guard) => guard,
            Lock::Unsound(mut left) => {
                let undone = undo(left.get()?);
                left.set(&undone)?;
                left.repaired()?
            }
        };
        transfer(&mut guard, from, to)?;
    }
}

/// Notes what is to be done, does it in two stores, and crosses the note out.
fn transfer(guard: &mut MutexGuard<'_, Shelf>, from: usize, to: usize) -> Result<()> {
    if from == to {
        return Ok(());
    }
    let mut shelf = guard.get()?;
    shelf.from = u32::try_from(from)?;
    shelf.to = u32::try_from(to)?;
    shelf.amount = 7;
    shelf.before = [shelf.accounts[from], shelf.accounts[to]];
    guard.set(&shelf)?;
    shelf.accounts[from] -= shelf.amount;
    guard.set(&shelf)?;
    shelf.accounts[to] += shelf.amount;
    guard.set(&shelf)?;
    shelf.amount = 0;
    Ok(guard.set(&shelf)?)
}

/// The shelf as it was before the transfer that its owner did not live to end. A store of the note
/// itself may be there in part: then no account has changed yet, and the sum says so.
fn undo(mut shelf: Shelf) -> Shelf {
    if shelf.amount != 0 && shelf.sum() != BEGIN * ACCOUNTS as i64 {
        shelf.accounts[shelf.from as usize % ACCOUNTS] = shelf.before[0];
        shelf.accounts[shelf.to as usize % ACCOUNTS] = shelf.before[1];
    }
    shelf.amount = 0;
    shelf
}

/// What the processes have of the region in memory, each page divided by those who map it, and the sum
/// of what each has; where the system tells.
fn memory(processes: impl Iterator<Item = u32>) -> Option<(u64, u64)> {
    let (mut share, mut whole) = (0, 0);
    for process in processes {
        let text = std::fs::read_to_string(format!("/proc/{process}/smaps")).ok()?;
        let mut ours = false;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match (words.next(), words.next()) {
                (Some("Pss:"), Some(kb)) if ours => share += kb.parse::<u64>().ok()? << 10,
                (Some("Rss:"), Some(kb)) if ours => whole += kb.parse::<u64>().ok()? << 10,
                (Some(range), _) if range.contains('-') => ours = line.ends_with("/accounts"),
                _ => {}
            }
        }
    }
    Some((share, whole))
}
