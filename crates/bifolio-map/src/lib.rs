//! Sections, views, and faults that are errors.
