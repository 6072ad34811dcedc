//! Where the system has nothing that carries out reads without a thread for each.

use std::io;

use super::Object;
use crate::flight::Engine;
use crate::flight::carrier::Carrier;

/// Whether an engine can be used.
pub(crate) fn check_engine(_engine: Engine) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Begins reads of an object by an engine.
pub(crate) fn start_engine(
    _engine: Engine,
    _object: &Object,
    _depth: usize,
) -> io::Result<Box<dyn Carrier>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A handle for reading by calls where those move the cursor: here they do not.
pub(crate) fn own_reader(_object: &Object) -> io::Result<Option<Object>> {
    Ok(None)
}
