//! Streams end exactly at the logical end, keep their own positions, and behave as `io::Cursor`.

use std::io::{BufRead, Cursor, ErrorKind, Read as _, Seek, SeekFrom, Write};

use bifolio_map::{CopyOnWrite, Read, ReadWrite, Section, View};
use bifolio_testkit::{Random, budget};

use crate::support::{file_of, page, pattern};

const ARTICLE: &[u8] = b"111\r\n222\r\n333";

#[test]
fn the_articles_file_reads_as_thirteen_bytes_and_three_lines() {
    let (_dir, path) = file_of(ARTICLE);
    let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
    let mut bytes = Vec::new();
    assert_eq!(view.stream().read_to_end(&mut bytes).unwrap(), 13);
    assert_eq!(bytes, ARTICLE);
    let lines: Vec<String> = view.stream().lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["111", "222", "333"]);
    let mut text = String::from("kept ");
    view.stream().read_to_string(&mut text).unwrap();
    assert_eq!(text, "kept 111\r\n222\r\n333");
    let mut stream = view.stream();
    let mut large = [0xee; 4096];
    assert_eq!(stream.read(&mut large).unwrap(), 13, "never 4096");
    assert_eq!(large[13], 0xee);
    assert_eq!(stream.read(&mut large).unwrap(), 0);
    assert_eq!(std::io::copy(&mut view.stream(), &mut std::io::sink()).unwrap(), 13);
}

#[test]
fn a_stream_can_stand_beyond_the_end_and_finds_nothing_there() {
    let (_dir, path) = file_of(ARTICLE);
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let mut stream = view.stream();
    assert_eq!(stream.seek(SeekFrom::End(100)).unwrap(), 113);
    assert_eq!(stream.position(), 113);
    assert_eq!(stream.read(&mut [0; 5]).unwrap(), 0);
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert!(stream.fill_buf().unwrap().is_empty());
    assert_eq!(stream.write(b"x").unwrap(), 0);
    assert_eq!(stream.position(), 113, "reading nothing does not move");
    assert_eq!(stream.seek(SeekFrom::Current(-103)).unwrap(), 10);
    assert_eq!(stream.read_until(b'x', &mut Vec::new()).unwrap(), 3);
    let error = stream.seek(SeekFrom::Current(-14)).unwrap_err();
    assert_eq!((error.kind(), stream.position()), (ErrorKind::InvalidInput, 13));
    stream.seek(SeekFrom::Start(u64::MAX)).unwrap();
    assert_eq!(stream.seek(SeekFrom::Current(1)).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(stream.read(&mut [0; 5]).unwrap(), 0);
    assert_eq!(std::fs::read(&path).unwrap(), ARTICLE);
}

#[test]
fn writing_ends_at_the_end_with_write_zero_and_never_lengthens_the_file() {
    let (_dir, path) = file_of(ARTICLE);
    let section = Section::open_rw(&path).unwrap();
    let mut stream = section.view::<ReadWrite>().unwrap().stream();
    stream.seek(SeekFrom::Start(10)).unwrap();
    assert_eq!(stream.write(b"4444").unwrap(), 3);
    assert_eq!(stream.write(b"4").unwrap(), 0);
    let error = stream.write_all(b"4").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WriteZero);
    assert_eq!(stream.write(b"").unwrap(), 0);
    stream.flush().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"111\r\n222\r\n444");
}

#[test]
fn streams_over_one_view_have_positions_of_their_own() {
    let (_dir, path) = file_of(ARTICLE);
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let mut streams = [view.stream(), view.stream(), view.stream()];
    for (index, stream) in streams.iter_mut().enumerate() {
        stream.seek(SeekFrom::Start(5 * index as u64)).unwrap();
    }
    let mut lines: Vec<String> = Vec::new();
    for stream in &mut streams {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        lines.push(line);
    }
    assert_eq!(lines, ["111\r\n", "222\r\n", "333"]);
    drop(view);
    std::thread::scope(|scope| {
        for (index, stream) in streams.iter_mut().enumerate() {
            scope.spawn(move || {
                stream.seek(SeekFrom::Start(5 * index as u64)).unwrap();
                stream.write_all(&[b'a'; 3]).unwrap();
            });
        }
    });
    assert_eq!(std::fs::read(&path).unwrap(), b"aaa\r\naaa\r\naaa", "streams keep the view");
}

#[test]
fn what_is_written_is_read_back_although_it_was_buffered_before() {
    let (_dir, path) = file_of(ARTICLE);
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let mut stream = view.stream();
    assert_eq!(stream.fill_buf().unwrap(), ARTICLE);
    stream.consume(5);
    stream.write_all(b"ab").unwrap();
    assert_eq!(stream.fill_buf().unwrap(), b"2\r\n333");
    stream.seek(SeekFrom::Start(5)).unwrap();
    assert_eq!(stream.fill_buf().unwrap(), b"ab2\r\n333");
    stream.consume(100);
    assert_eq!(stream.position(), 13, "no more is consumed than was there");
}

#[test]
fn a_seek_shows_what_others_wrote_meanwhile() {
    let view: View<ReadWrite> = Section::anonymous(100).unwrap().view().unwrap();
    view.write_at(0, b"old and older").unwrap();
    let seeks = [SeekFrom::Start(4), SeekFrom::Current(0), SeekFrom::End(4 - 100)];
    for (number, seek) in seeks.into_iter().enumerate() {
        let mut stream = view.stream();
        assert_eq!(stream.fill_buf().unwrap().len(), 100);
        stream.consume(4);
        view.put(4, &(number as u8)).unwrap();
        let mut byte = [9];
        assert_eq!(stream.seek(seek).unwrap(), 4);
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [number as u8], "{seek:?}");
    }
}

#[test]
fn a_stream_over_a_copy_on_write_view_leaves_the_file_alone() {
    let (_dir, path) = file_of(ARTICLE);
    let view: View<CopyOnWrite> = Section::open(&path).unwrap().view().unwrap();
    view.stream().write_all(b"private").unwrap();
    assert_eq!(view.read_vec(..7).unwrap(), b"private");
    assert_eq!(std::fs::read(&path).unwrap(), ARTICLE);
}

#[test]
fn an_empty_view_is_an_empty_stream() {
    let view: View<ReadWrite> = Section::anonymous(0).unwrap().view().unwrap();
    let mut stream = view.stream();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(stream.lines().count(), 0);
    assert_eq!(view.stream().write(b"x").unwrap(), 0);
}

/// One random operation on both; their results and positions must agree.
fn step(
    random: &mut Random,
    stream: &mut bifolio_map::view::Stream<ReadWrite>,
    model: &mut Cursor<&mut [u8]>,
) {
    let len = model.get_ref().len();
    let size = match random.u32(0..4) {
        0 => random.usize(0..20),
        1 => random.usize(0..5000),
        2 => random.usize(0..40_000),
        _ => 16 * 1024 + random.usize(0..3),
    };
    match random.u32(0..7) {
        0 => {
            let (mut ours, mut theirs) = (vec![1; size], vec![1; size]);
            // A stream may read less than asked for, but not nothing before the end.
            let count = stream.read(&mut ours).unwrap();
            model.read_exact(&mut theirs[..count]).unwrap();
            assert_eq!(ours, theirs);
            assert!(count > 0 || size == 0 || stream.position() >= len as u64);
        }
        1 => {
            let bytes = random.bytes(size);
            assert_eq!(stream.write(&bytes).unwrap(), model.write(&bytes).unwrap());
        }
        2 => {
            let to = SeekFrom::Start(random.u64(0..len as u64 + 50));
            assert_eq!(stream.seek(to).unwrap(), model.seek(to).unwrap());
        }
        3 => {
            let by = random.i64(-30_000..30_000);
            let to = if by % 2 == 0 { SeekFrom::Current(by) } else { SeekFrom::End(by) };
            let (ours, theirs) = (stream.seek(to), model.seek(to));
            assert_eq!(ours.map_err(|e| e.kind()), theirs.map_err(|e| e.kind()));
        }
        4 => {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let delimiter = random.u8(..);
            stream.read_until(delimiter, &mut ours).unwrap();
            model.read_until(delimiter, &mut theirs).unwrap();
            assert_eq!(ours, theirs);
        }
        5 => {
            let ours = stream.fill_buf().unwrap().to_vec();
            let theirs = model.fill_buf().unwrap();
            assert!(theirs.starts_with(&ours) && ours.is_empty() == theirs.is_empty());
            let amount = random.usize(0..=ours.len());
            stream.consume(amount);
            model.consume(amount);
        }
        _ => {
            let mut ours = vec![0; size];
            if model.position() + size as u64 <= len as u64 {
                let mut theirs = vec![0; size];
                stream.read_exact(&mut ours).unwrap();
                model.read_exact(&mut theirs).unwrap();
                assert_eq!(ours, theirs);
            }
        }
    }
    assert_eq!(stream.position(), model.position());
}

#[test]
fn a_stream_does_what_a_cursor_over_the_same_bytes_does() {
    for _ in 0..budget(20) {
        let mut random = Random::new();
        let size = random.usize(0..100_000);
        let mut bytes = pattern(7, size).to_vec();
        let offset = random.u64(0..2 * page());
        let section = Section::anonymous(offset + size as u64 + 100).unwrap();
        let view = section.view_of::<ReadWrite>(offset..offset + size as u64).unwrap();
        view.write_at(0, &bytes).unwrap();
        let mut stream = view.stream();
        let mut model = Cursor::new(&mut bytes[..]);
        for _ in 0..300 {
            step(&mut random, &mut stream, &mut model);
        }
        assert!(view.read_vec(..).unwrap() == bytes);
        let around = section.view::<Read>().unwrap();
        assert!(around.read_vec(..offset).unwrap().iter().all(|&byte| byte == 0));
        assert_eq!(around.read_vec(offset + size as u64..).unwrap(), [0; 100]);
    }
}
