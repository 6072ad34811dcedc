//! The format as its page describes it. The structs themselves are compared in the crate; here is
//! what a region looks like on disk.

use crate::support::{create, place};

#[test]
fn a_new_region_lies_as_the_page_says() {
    let page = include_str!("../../FORMAT.md");
    let (_dir, path) = place();
    let region = create(&path);
    drop(region.mutex("n", 0x1122_3344_5566_7788_u64).unwrap());
    drop(region);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(&bytes[..8], b"BIFOREG\0");
    assert!(page.contains("`BIFOREG` and a zero"));
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((word(8), word(12), long(16)), (1, 128, 64 << 20));
    let directory = usize::try_from(long(40)).unwrap();
    assert_eq!(directory, 4096 + 128 * 128);
    // The first participant joined and left: generation 1.
    assert_eq!(word(4096), 1 << 2 | 2);
    // The first name is a mutex.
    assert_eq!((word(directory), word(directory + 4)), (1, 1));
    assert_eq!(bytes[directory + 48], b'n');
    let offset = usize::try_from(long(directory + 8)).unwrap();
    assert_eq!((offset % 64, long(directory + 16)), (0, 24));
    assert_eq!((word(offset), word(offset + 4), word(offset + 8)), (0, 0, 0));
    assert_eq!(long(offset + 16), 0x1122_3344_5566_7788);
    let described = usize::try_from(long(directory + 32)).unwrap();
    assert_eq!(&bytes[offset + 24..offset + 24 + described], b"u64\t8\t8\n\tu64\t0\n");
}
