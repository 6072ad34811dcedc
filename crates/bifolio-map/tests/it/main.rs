//! What bifolio-map promises, one property a test.
mod faults;
