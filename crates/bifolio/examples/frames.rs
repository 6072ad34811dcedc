//! A camera and those who look: every picture goes to every viewer, written in place, and nobody waits
//! for the slow one, which is told how much it has missed. The camera is killed in the middle of a
//! picture; another one takes over, and no viewer ever sees half of one.
//!
//! `cargo run --release -p bifolio --example frames`

#![forbid(unsafe_code)]

use std::error::Error;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use bifolio::map::Create;
use bifolio::share::{Channel, ErrorKind, Region};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A picture: 640 by 480 points of a byte, behind its number.
const POINTS: u32 = 640 * 480;
const PICTURE: u32 = 8 + POINTS;
/// Pictures that the channel holds.
const SLOTS: u32 = 16;
const VIEWERS: [(&str, Duration); 3] = [
    ("prompt", Duration::ZERO),
    ("steady", Duration::from_millis(1)),
    ("slow", Duration::from_millis(40)),
];
/// How long the camera takes for a picture.
const EXPOSURE: Duration = Duration::from_millis(2);

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match &words[..] {
        [role, path] if role == "camera" => record(path.as_ref()),
        [role, path] => view(role, path.as_ref()),
        _ => supervise(),
    }
}

/// The channel of all of them.
fn pictures(region: &Region) -> bifolio::share::Result<Channel> {
    region.broadcast("pictures", SLOTS, PICTURE)
}

/// Starts viewers and a camera, kills it, starts another one, and ends it all.
fn supervise() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("frames");
    let region = Region::options().create(Create::New).capacity(16 << 20).open(&path)?;
    let pictures = pictures(&region)?;
    println!("{SLOTS} pictures of {} KiB in one region", PICTURE >> 10);

    let start = |role: &OsStr| -> Result<Child> {
        let program = std::env::current_exe()?;
        Ok(Command::new(program).arg(role).arg(&path).spawn()?)
    };
    let viewers =
        VIEWERS.iter().map(|(name, _)| start(name.as_ref())).collect::<Result<Vec<_>>>()?;
    // Whoever joins later would see later pictures only.
    while region.members()?.len() < 1 + VIEWERS.len() {
        thread::sleep(Duration::from_millis(1));
    }
    for second in 1..=2 {
        let mut camera = start("camera".as_ref())?;
        thread::sleep(Duration::from_millis(800));
        camera.kill()?;
        camera.wait()?;
        println!("camera {second} was killed");
    }
    // A message of no picture is the end.
    pictures.send(b"end")?;
    for mut viewer in viewers {
        if !viewer.wait()?.success() {
            return Err("a viewer failed".into());
        }
    }
    println!("{} deaths were noticed", region.notice_deaths()?);
    Ok(())
}

/// Takes pictures until it is killed. Each is of one brightness, so that half of another one shows.
fn record(path: &Path) -> Result<()> {
    let region = Region::open(path)?;
    let pictures = pictures(&region)?;
    for number in 0_u64.. {
        let mut picture = pictures.loan(PICTURE as usize)?;
        picture.put(0, &number)?;
        // Row by row, as a camera would.
        let row = [number.to_ne_bytes()[0]; 640];
        for line in 0..480 {
            picture.write_at(8 + line * 640, &row)?;
        }
        picture.send()?;
        thread::sleep(EXPOSURE);
    }
    Ok(())
}

/// Looks at pictures until the end, and tells how many there were.
fn view(name: &OsStr, path: &Path) -> Result<()> {
    let name = name.to_str().ok_or("a viewer has a name")?;
    let pause = VIEWERS.iter().find(|(other, _)| *other == name).ok_or("no such viewer")?.1;
    let region = Region::open(path)?;
    let mut receiver = pictures(&region)?.receiver()?;
    let (mut seen, mut lost) = (0_u64, 0);
    loop {
        match receiver.receive() {
            Ok(picture) if picture.len() == PICTURE as usize => {
                let bytes = picture.to_vec()?;
                let (number, points) = bytes.split_at(8);
                if points.iter().any(|point| *point != number[0]) {
                    return Err("half of another picture".into());
                }
                seen += 1;
            }
            Ok(_) => break,
            Err(error) => match error.kind() {
                ErrorKind::Lost(many) => lost += many,
                _ => return Err(error.into()),
            },
        }
        thread::sleep(pause);
    }
    println!("{name}: {seen} pictures, {lost} missed");
    Ok(())
}
