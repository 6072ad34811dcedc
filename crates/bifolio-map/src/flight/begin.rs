//! Where batches come from: a section, or a view of one.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::carrier::{Carrier, Failure};
use super::plan::{BatchPlan, Engine};
use super::queue::{Place, Queue};
use super::threads::{Source, Threads};
use super::{Batch, Hands};
use crate::error::{Error, ErrorKind, Result};
use crate::section::{Section, SectionKind};
use crate::sys;
use crate::view::explain::Doing;
use crate::view::{Mode, Read, View, ViewMode};

const DOING: &str = "begin a batch of reads of";

/// What ranges may lie in.
#[derive(Debug)]
pub(super) struct Limit {
    section: Option<Section>,
    /// Bytes of a view; of a section they are asked for.
    len: Option<u64>,
}

impl Limit {
    /// Anything goes.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { section: None, len: None }
    }

    /// The range, if it lies inside and a buffer can hold it.
    pub(super) fn check(&self, range: Range<u64>) -> Result<Range<u64>> {
        let tell = |error: Error| match &self.section {
            Some(section) => section.fail(error),
            None => error.at_path("<storage in memory>"),
        };
        let range = match (self.len, &self.section) {
            (Some(len), _) => crate::range::resolve(range.clone(), len).ok_or_else(|| {
                tell(Error::new(ErrorKind::OutOfBounds, DOING)).because(format!(
                    "asked for {}..{} of a view of {len} bytes",
                    range.start, range.end
                ))
            })?,
            (None, Some(section)) => section.resolve(range, DOING)?,
            (None, None) => range,
        };
        let size = range.end - range.start;
        if usize::try_from(size).is_ok_and(|size| isize::try_from(size).is_ok()) {
            return Ok(range);
        }
        Err(tell(Error::new(ErrorKind::OutOfMemory, DOING).at_offset(range.start))
            .because(format!("{size} bytes are more than a buffer can hold")))
    }
}

/// Reads by calls on the handle.
struct ByCall {
    section: Section,
    /// Where calls would move the cursor of the section's own handle.
    own: Option<sys::Object>,
    /// More of those, as many as threads were inside a call at once: the system carries out the
    /// calls on one handle one after the other.
    spare: Mutex<Vec<sys::Object>>,
}

impl ByCall {
    /// A handle that nobody else reads by, if there must be such and the system has one to give.
    fn take(&self) -> Option<sys::Object> {
        self.own.as_ref()?;
        let spare = self.spare().pop();
        spare.or_else(|| sys::own_reader(self.section.object()).ok().flatten())
    }

    fn spare(&self) -> MutexGuard<'_, Vec<sys::Object>> {
        // A list of handles is whole at any time.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for ByCall {
    fn read(&self, offset: u64, bytes: &mut Vec<u8>, size: usize) -> Result<usize, Failure> {
        let taken = self.take();
        let shared = self.own.as_ref().unwrap_or(self.section.object());
        let start = bytes.len();
        bytes.resize(start + size, 0);
        let outcome = sys::read_at(taken.as_ref().unwrap_or(shared), offset, &mut bytes[start..]);
        if let Some(taken) = taken {
            self.spare().push(taken);
        }
        bytes.truncate(start + *outcome.as_ref().unwrap_or(&0));
        outcome.map_err(Failure::System)
    }
}

/// Copies from a map, whose faults are what waits.
struct ByMap<M: Mode>(View<M>);

impl<M: Mode> Source for ByMap<M> {
    fn read(&self, offset: u64, bytes: &mut Vec<u8>, size: usize) -> Result<usize, Failure> {
        self.0
            .span
            .read_onto(offset, size, bytes)
            .map(|()| size)
            .map_err(|stop| Failure::View(self.0.explain(stop, Doing::Load, offset, size)))
    }
}

/// Reads on the handle of a section by the engine that the plan asks for, or the best one.
fn carrier_of(section: &Section, plan: &BatchPlan) -> Result<(Engine, Box<dyn Carrier>)> {
    if let Some(engine) = plan.engine.filter(|&engine| engine != Engine::Threads) {
        return match sys::start_engine(engine, section.object(), plan.depth) {
            Ok(carrier) => Ok((engine, carrier)),
            Err(error) => Err(section.fail(engine.refused(error))),
        };
    }
    if plan.engine.is_none() {
        for engine in [Engine::IoUring, Engine::Overlapped] {
            // Whatever keeps it from being used, threads do.
            if let Ok(carrier) = sys::start_engine(engine, section.object(), plan.depth) {
                return Ok((engine, carrier));
            }
        }
    }
    let source: Box<dyn Source> = match sys::own_reader(section.object()) {
        Ok(own) => Box::new(ByCall { section: section.clone(), own, spare: Mutex::default() }),
        // A map needs no cursor.
        Err(_) => Box::new(ByMap(section.view::<Read>()?)),
    };
    Ok((Engine::Threads, Box::new(Threads::new(source, plan.depth))))
}

impl Batch {
    fn begin(
        carrier: (Engine, Box<dyn Carrier>),
        place: Place,
        limit: Limit,
        plan: &BatchPlan,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<Self> {
        let wanted: Vec<(usize, Range<u64>)> = ranges
            .into_iter()
            .enumerate()
            .map(|(index, range)| Ok((index, limit.check(range)?)))
            .collect::<Result<_>>()?;
        let (engine, carrier) = carrier;
        let (asked, depth) = (wanted.len(), plan.depth);
        let mut queue = Box::new(Queue::new(carrier, place, plan.clone()));
        queue.ask(wanted);
        let (hands, home) = (Some(Hands::Ours(queue)), std::process::id());
        Ok(Self { hands, engine, depth, limit, asked, handed_out: 0, home })
    }
}

impl Section {
    /// Reads many ranges at once, by calls on the handle: no view is needed, so a 32-bit process
    /// reads files of any size. The bytes come as [`Completion`](super::Completion)s in the order
    /// of arrival.
    ///
    /// # Errors
    /// `OutOfBounds` if a range lies outside, and then nothing is read. What a range meets on its
    /// way is in its completion.
    pub fn read_batch(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> Result<Batch> {
        self.read_batch_by(&BatchPlan::new(), ranges)
    }

    /// As [`read_batch`](Self::read_batch), saying how.
    ///
    /// # Errors
    /// As `read_batch`; for an engine that was asked for and cannot be had, as
    /// [`Engine::check`]; `InvalidInput` for a depth that is not possible.
    pub fn read_batch_by(
        &self,
        plan: &BatchPlan,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<Batch> {
        plan.check().map_err(|error| self.fail(error))?;
        // Memory of the page file can be read through a map only; a handle for direct access reads
        // whole blocks, into buffers that lie as the device wants them.
        if sys::file_of(self.object()).is_none() || sys::is_direct(self.object()) {
            return self.view::<Read>()?.read_batch_by(plan, ranges);
        }
        let place = Place { section: Some(self.clone()), origin: 0, offset: 0 };
        // The length of a file is asked for once; a device without one has no bounds.
        let len = match self.kind() {
            SectionKind::Device => None,
            _ => Some(self.len()?),
        };
        let limit = Limit { section: Some(self.clone()), len };
        let mut batch = Batch::begin(carrier_of(self, plan)?, place, limit, plan, ranges)?;
        // Files grow: what is pushed later is compared with the length that they have then.
        batch.limit.len = None;
        Ok(batch)
    }
}

impl<M: Mode> View<M> {
    /// Reads many ranges at once: what [`read_at`](Self::read_at) gives for each, as
    /// [`Completion`](super::Completion)s in the order of arrival. Cold pages here and there come
    /// many times faster than one by one, because the device brings them side by side.
    ///
    /// Where calls and maps are known to show the same bytes, files are read by calls; then bytes
    /// that were cut off are always `UnexpectedEof`. Everything else (copy-on-write views,
    /// devices, memory, other file systems) is copied from the map by threads.
    ///
    /// # Errors
    /// `OutOfBounds` if a range lies outside, and then nothing is read. What a range meets on its
    /// way is in its completion.
    #[doc(alias = "io_uring")]
    pub fn read_batch(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> Result<Batch> {
        self.read_batch_by(&BatchPlan::new(), ranges)
    }

    /// As [`read_batch`](Self::read_batch), saying how.
    ///
    /// # Errors
    /// As `read_batch`; for an engine that was asked for and cannot be had, as [`Engine::check`],
    /// and `NotSupported` for any but threads where the map has to be copied from; `InvalidInput`
    /// for a depth that is not possible.
    pub fn read_batch_by(
        &self,
        plan: &BatchPlan,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<Batch> {
        plan.check().map_err(|error| self.fail(error))?;
        let limit = Limit { section: self.section().cloned(), len: Some(self.len()) };
        // A call shows the file, and a copy-on-write view its own pages.
        if let Some(section) = self.section()
            && M::MODE != ViewMode::CopyOnWrite
            && section.calls_meet_maps()
        {
            let carrier = carrier_of(section, plan)?;
            let (origin, section) = (self.offset(), Some(section.clone()));
            let place = Place { section, origin, offset: origin };
            return Batch::begin(carrier, place, limit, plan, ranges);
        }
        if let Some(engine) = plan.engine
            && engine != Engine::Threads
        {
            return Err(self
                .fail(Error::new(ErrorKind::NotSupported, DOING))
                .because(format!("{engine} was asked for, and only threads copy from this map")));
        }
        let source = Box::new(ByMap(self.clone()));
        let carrier = (Engine::Threads, Box::new(Threads::new(source, plan.depth)) as Box<_>);
        let place = Place { section: self.section().cloned(), origin: 0, offset: self.offset() };
        Batch::begin(carrier, place, limit, plan, ranges)
    }
}
