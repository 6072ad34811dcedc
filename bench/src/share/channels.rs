//! Messages from one thread to another, each end with its own opening of whatever lies between.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use bifolio_share::{Channel, Receiver, Region, Waiting};

use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender};

use crate::Result;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Outcome, Work};
use crate::report::Report;
use crate::suite::Scale;

const OURS: &str = "bifolio queue";
const SOCKET: &str = "Unix socket";
const IPC_CHANNEL: &str = "ipc-channel";

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    report.outcome(&one_way(scale, 64)?)?;
    report.outcome(&one_way(scale, 8 << 10)?)?;
    report.outcome(&loaned(scale)?)?;
    report.outcome(&throughput(scale)?)
}

pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    for (what, outcome) in
        [("of 64 bytes", one_way(scale, 64)?), ("of 8 KiB by loan", loaned(scale)?)]
    {
        report.outcome_aside(&outcome)?;
        #[cfg(not(feature = "iceoryx2"))]
        let _ = what;
        #[cfg(feature = "iceoryx2")]
        report.goal(Goal {
            figure: format!("time of a message {what} one way / iceoryx2"),
            ratio: 1.0 / outcome.speed(&[OURS], &[iceoryx::NAME]),
            bound: Bound::AtMost(0.6),
        })?;
    }
    let outcome = throughput(scale)?;
    report.outcome_aside(&outcome)?;
    report.goal(Goal {
        figure: "throughput of messages of 1 MiB / Unix socket".into(),
        ratio: outcome.speed(&[OURS], &[SOCKET]),
        bound: Bound::AtLeast(3.0),
    })
}

/// One end of a connection.
trait End: Send {
    fn send(&mut self, message: &[u8]) -> Result<()>;
    /// A message of just this length.
    fn receive(&mut self, message: &mut [u8]) -> Result<()>;
}

/// An end whose messages can be written and read in place.
trait LoanEnd: End {
    /// Sends a message of so many bytes, of which the first ones are written.
    fn send_loan(&mut self, len: usize, head: &[u8; 8]) -> Result<()>;
    /// The first bytes of a message.
    fn receive_head(&mut self) -> Result<[u8; 8]>;
}

/// Messages of 8 KiB of which 8 bytes are written and read: what is left when nothing is copied.
fn loaned(scale: Scale) -> Result<Outcome> {
    const SIZE: usize = 8 << 10;
    let count: u64 = scale.pick(5_000, 20_000);
    let name = "a message of 8 KiB by loan, one way";
    let mut bench =
        Bench::new(name, Work::Operations(2 * count), OURS).expect(count * (count - 1) / 2);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let (mut one, mut other) = Ours::pair(&dir.path().join("region"), SIZE, Waiting::Spin)?;
    bench = bench.with(OURS, "Spin", move || by_loan(count, SIZE, &mut one, &mut other));
    #[cfg(feature = "iceoryx2")]
    {
        let (mut one, mut other) = iceoryx::pair(SIZE, "loaned")?;
        bench = bench.with(iceoryx::NAME, "publish-subscribe, asking all the time", move || {
            by_loan(count, SIZE, &mut one, &mut other)
        });
    }
    bench.measure(scale.pick(5, 11))
}

/// As [`there_and_back`], in place.
fn by_loan(
    count: u64,
    size: usize,
    one: &mut impl LoanEnd,
    other: &mut impl LoanEnd,
) -> Result<u64> {
    std::thread::scope(|threads| {
        let echo = threads.spawn(move || -> std::result::Result<(), String> {
            for _ in 0..count {
                let head = other.receive_head().map_err(|error| error.to_string())?;
                other.send_loan(size, &head).map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        let mut sum = 0;
        for number in 0..count {
            one.send_loan(size, &number.to_ne_bytes())?;
            sum += u64::from_ne_bytes(one.receive_head()?);
        }
        echo.join().map_err(|_| "a thread panicked")??;
        Ok(sum)
    })
}

/// Half of the time there and back, both ends waiting in their fastest way.
fn one_way(scale: Scale, size: usize) -> Result<Outcome> {
    let count: u64 = scale.pick(5_000, 20_000);
    let name = format!("a message of {size} bytes, one way");
    let mut bench =
        Bench::new(name, Work::Operations(2 * count), SOCKET).expect(count * (count - 1) / 2);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let path = dir.path().join("region");
    for (name, waiting) in
        [(OURS, Waiting::Spin), ("bifolio queue, sleeping", Waiting::SpinThenSleep)]
    {
        let (mut one, mut other) = Ours::pair(&path, size, waiting)?;
        bench = bench.with(name, format!("{waiting:?}"), move || {
            there_and_back(count, size, &mut one, &mut other)
        });
    }
    #[cfg(feature = "iceoryx2")]
    {
        let (mut one, mut other) = iceoryx::pair(size, "copied")?;
        bench = bench.with(iceoryx::NAME, "publish-subscribe, asking all the time", move || {
            there_and_back(count, size, &mut one, &mut other)
        });
    }
    let (mut one, mut other) = Pipes::pair()?;
    bench = bench.with("pipe", "", move || there_and_back(count, size, &mut one, &mut other));
    let (mut one, mut other) = UnixStream::pair()?;
    bench = bench.with(SOCKET, "", move || there_and_back(count, size, &mut one, &mut other));
    let (mut one, mut other) = IpcChannels::pair()?;
    bench = bench
        .with(IPC_CHANNEL, "of bytes", move || there_and_back(count, size, &mut one, &mut other));
    bench.measure(scale.pick(5, 11))
}

/// Sends numbers and has them sent back; their sum.
fn there_and_back(
    count: u64,
    size: usize,
    one: &mut impl End,
    other: &mut impl End,
) -> Result<u64> {
    std::thread::scope(|threads| {
        let echo = threads.spawn(move || -> std::result::Result<(), String> {
            let mut message = vec![0; size];
            for _ in 0..count {
                other.receive(&mut message).map_err(|error| error.to_string())?;
                other.send(&message).map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        let mut message = vec![0; size];
        let mut sum = 0;
        for number in 0..count {
            message[..8].copy_from_slice(&number.to_ne_bytes());
            one.send(&message)?;
            one.receive(&mut message)?;
            sum += u64::from_ne_bytes(message[..8].try_into()?);
        }
        echo.join().map_err(|_| "a thread panicked")??;
        Ok(sum)
    })
}

/// Messages of a mebibyte, copied in and copied out.
fn throughput(scale: Scale) -> Result<Outcome> {
    const SIZE: usize = 1 << 20;
    let count: u64 = scale.pick(200, 2_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let (mut ours, mut our_other) =
        Ours::pair(&dir.path().join("region"), SIZE, Waiting::SpinThenSleep)?;
    let (mut pipe, mut other_pipe) = Pipes::pair()?;
    let (mut socket, mut other_socket) = UnixStream::pair()?;
    let (mut channel, mut other_channel) = IpcChannels::pair()?;
    Bench::new("messages of 1 MiB", Work::Bytes(count * SIZE as u64), SOCKET)
        .expect(count * (count - 1) / 2)
        .with(OURS, "copied in and out", move || pour(count, SIZE, &mut ours, &mut our_other))
        .with("pipe", "", move || pour(count, SIZE, &mut pipe, &mut other_pipe))
        .with(SOCKET, "", move || pour(count, SIZE, &mut socket, &mut other_socket))
        .with(IPC_CHANNEL, "of bytes", move || pour(count, SIZE, &mut channel, &mut other_channel))
        .measure(scale.pick(5, 11))
}

/// Sends numbers one way; the sum of what arrives.
fn pour(count: u64, size: usize, from: &mut impl End, to: &mut impl End) -> Result<u64> {
    std::thread::scope(|threads| {
        let sender = threads.spawn(move || -> std::result::Result<(), String> {
            let mut message = vec![1; size];
            for number in 0..count {
                message[..8].copy_from_slice(&number.to_ne_bytes());
                from.send(&message).map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        let mut message = vec![0; size];
        let mut sum = 0;
        for _ in 0..count {
            to.receive(&mut message)?;
            sum += u64::from_ne_bytes(message[..8].try_into()?);
        }
        sender.join().map_err(|_| "a thread panicked")??;
        Ok(sum)
    })
}

/// A queue for each direction.
struct Ours {
    out: Channel,
    into: Receiver,
}

impl Ours {
    fn pair(path: &std::path::Path, size: usize, waiting: Waiting) -> Result<(Self, Self)> {
        let make = || {
            Region::options().capacity(64 << 20).create(bifolio_map::Create::IfMissing).open(path)
        };
        let end = |out: &str, into: &str| -> Result<Self> {
            let region = make()?;
            let queue = |name: &str| -> Result<Channel> {
                let name = format!("{name} {waiting:?}");
                Ok(region.queue(&name, 8, size.try_into()?)?.waiting(waiting))
            };
            Ok(Self { out: queue(out)?, into: queue(into)?.receiver()? })
        };
        Ok((end("there", "back")?, end("back", "there")?))
    }
}

impl End for Ours {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.out.send(message)?)
    }

    fn receive(&mut self, message: &mut [u8]) -> Result<()> {
        Ok(self.into.receive()?.read_at(0, message)?)
    }
}

impl LoanEnd for Ours {
    fn send_loan(&mut self, len: usize, head: &[u8; 8]) -> Result<()> {
        let mut loan = self.out.loan(len)?;
        loan.write_at(0, head)?;
        Ok(loan.send()?)
    }

    fn receive_head(&mut self) -> Result<[u8; 8]> {
        let mut head = [0; 8];
        self.into.receive()?.read_at(0, &mut head)?;
        Ok(head)
    }
}

impl End for UnixStream {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.write_all(message)?)
    }

    fn receive(&mut self, message: &mut [u8]) -> Result<()> {
        Ok(self.read_exact(message)?)
    }
}

/// A pipe for each direction.
struct Pipes {
    out: std::io::PipeWriter,
    into: std::io::PipeReader,
}

impl Pipes {
    fn pair() -> Result<(Self, Self)> {
        let (there, from_one) = std::io::pipe()?;
        let (back, from_other) = std::io::pipe()?;
        Ok((Self { out: from_one, into: back }, Self { out: from_other, into: there }))
    }
}

impl End for Pipes {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.out.write_all(message)?)
    }

    fn receive(&mut self, message: &mut [u8]) -> Result<()> {
        Ok(self.into.read_exact(message)?)
    }
}

/// A rival's channel for each direction: bytes as they are, nothing is serialized.
struct IpcChannels {
    out: IpcBytesSender,
    into: IpcBytesReceiver,
}

impl IpcChannels {
    fn pair() -> Result<(Self, Self)> {
        let (from_one, there) = ipc::bytes_channel()?;
        let (from_other, back) = ipc::bytes_channel()?;
        Ok((Self { out: from_one, into: back }, Self { out: from_other, into: there }))
    }
}

impl End for IpcChannels {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.out.send(message)?)
    }

    fn receive(&mut self, message: &mut [u8]) -> Result<()> {
        let received = self.into.recv()?;
        if received.len() != message.len() {
            return Err(format!("a message of {} bytes", received.len()).into());
        }
        message.copy_from_slice(&received);
        Ok(())
    }
}

/// A rival that needs libclang to be built, so only with the feature of its name.
#[cfg(feature = "iceoryx2")]
mod iceoryx {
    use iceoryx2::port::publisher::Publisher;
    use iceoryx2::port::subscriber::Subscriber;
    use iceoryx2::prelude::*;

    use super::{End, LoanEnd};
    use crate::{Result, door};

    pub(super) const NAME: &str = "iceoryx2";

    pub(super) struct Theirs {
        out: Publisher<ipc_threadsafe::Service, [u8], ()>,
        into: Subscriber<ipc_threadsafe::Service, [u8], ()>,
    }

    pub(super) fn pair(size: usize, what: &str) -> Result<(Theirs, Theirs)> {
        let end = |out: &str, into: &str| -> Result<Theirs> {
            let node = NodeBuilder::new().create::<ipc_threadsafe::Service>()?;
            let service = |name: &str| -> Result<_> {
                let name = format!("bifolio-bench/{}/{size}/{what}/{name}", std::process::id());
                let name = name.as_str().try_into()?;
                Ok(node.service_builder(&name).publish_subscribe::<[u8]>().open_or_create()?)
            };
            let out = service(out)?.publisher_builder().initial_max_slice_len(size).create()?;
            Ok(Theirs { out, into: service(into)?.subscriber_builder().create()? })
        };
        Ok((end("there", "back")?, end("back", "there")?))
    }

    impl LoanEnd for Theirs {
        fn send_loan(&mut self, len: usize, head: &[u8; 8]) -> Result<()> {
            let mut sample = self.out.loan_slice_uninit(len)?;
            for (place, byte) in sample.payload_mut().iter_mut().zip(head) {
                place.write(*byte);
            }
            door::filled_iceoryx2(sample).send()?;
            Ok(())
        }

        fn receive_head(&mut self) -> Result<[u8; 8]> {
            loop {
                if let Some(sample) = self.into.receive()? {
                    return Ok(sample.payload()[..8].try_into()?);
                }
                std::hint::spin_loop();
            }
        }
    }

    impl End for Theirs {
        fn send(&mut self, message: &[u8]) -> Result<()> {
            let sample = self.out.loan_slice_uninit(message.len())?;
            sample.write_from_slice(message).send()?;
            Ok(())
        }

        fn receive(&mut self, message: &mut [u8]) -> Result<()> {
            loop {
                if let Some(sample) = self.into.receive()? {
                    message.copy_from_slice(sample.payload());
                    return Ok(());
                }
                std::hint::spin_loop();
            }
        }
    }
}
