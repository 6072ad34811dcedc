//! Sequences of operations on a view against the same on a vector of bytes.

use bifolio_map::{CopyOnWrite, ReadWrite, Section, View, Writable, le};

/// Bytes of the section; small, so that ends and overlaps are met often.
const SIZE: usize = 10_000;

/// Each operation takes six bytes: what, two places, a value.
pub fn view_model(bytes: &[u8]) {
    let section = Section::anonymous(SIZE as u64).expect("a little memory");
    if bytes.first().is_some_and(|b| b % 2 == 0) {
        run(&section.view::<ReadWrite>().expect("a view"), bytes);
    } else {
        run(&section.view::<CopyOnWrite>().expect("a view"), bytes);
        let whole = section.view::<ReadWrite>().expect("a view").read_vec(..).expect("bytes");
        assert!(whole.iter().all(|&byte| byte == 0), "a private write reached the section");
    }
}

fn run<M: Writable>(view: &View<M>, bytes: &[u8]) {
    let mut model = vec![0u8; SIZE];
    for step in bytes.chunks_exact(6) {
        let [what, a, b, c, d, value] = step else { unreachable!("chunks of six") };
        let place = usize::from(u16::from_le_bytes([*a, *b]));
        let other = usize::from(u16::from_le_bytes([*c, *d]));
        apply(view, &mut model, what % 8, place, other, *value);
    }
    assert_eq!(view.read_vec(..).expect("all bytes"), model);
    assert_eq!(view.len(), SIZE as u64);
}

fn apply<M: Writable>(view: &View<M>, model: &mut [u8], what: u8, at: usize, to: usize, value: u8) {
    let offset = at as u64;
    match what {
        0 => {
            let data = vec![value; to % 600];
            let place = model.get_mut(at..at + data.len());
            assert_eq!(view.write_at(offset, &data).is_ok(), place.is_some());
            if let Some(place) = place {
                place.copy_from_slice(&data);
            }
        }
        1 => {
            let place = model.get_mut(at..to);
            assert_eq!(view.fill(offset..to as u64, value).is_ok(), place.is_some());
            if let Some(place) = place {
                place.fill(value);
            }
        }
        2 => {
            let size = usize::from(value) * 40;
            let fits = at + size <= SIZE && to + size <= SIZE;
            let done = view.copy_within(offset..offset + size as u64, to as u64);
            assert_eq!(done.is_ok(), fits);
            if fits {
                model.copy_within(at..at + size, to);
            }
        }
        3 => {
            let word = model.get(at..at + 4).map(|w| u32::from_le_bytes(w.try_into().unwrap()));
            assert_eq!(view.get::<le::U32>(offset).ok().map(le::U32::get), word);
        }
        4 => {
            let place = model.get_mut(at..at + 8);
            let word = le::U64::new(u64::from(value) * 0x0101_0101_0101_0101);
            assert_eq!(view.put(offset, &word).is_ok(), place.is_some());
            if let Some(place) = place {
                place.fill(value);
            }
        }
        5 => {
            let word = view.atomic_u32(offset).and_then(|word| word.fetch_add(u32::from(value)));
            let place = model.get_mut(at..at + 4).filter(|_| at.is_multiple_of(4));
            assert_eq!(word.is_ok(), place.is_some());
            if let Some(place) = place {
                let old = u32::from_ne_bytes((&*place).try_into().unwrap());
                place.copy_from_slice(&old.wrapping_add(u32::from(value)).to_ne_bytes());
            }
        }
        6 => {
            let part = view.sub(offset..to as u64).and_then(|part| part.read_vec(..));
            assert_eq!(part.ok().as_deref(), model.get(at..to));
        }
        _ => {
            let bytes = vec![value; to % 100];
            let order = model.get(at..at + bytes.len()).map(|mine| mine.cmp(&bytes));
            assert_eq!(view.compare(offset, &bytes).ok(), order);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_hold() {
        crate::tests::hold("view_model", super::view_model);
    }
}
