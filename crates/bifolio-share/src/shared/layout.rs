//! What a type looks like in memory: compared by its hash, and field by field where that differs.

use std::fmt::Write as _;

/// The layout of a type.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    name: &'static str,
    size: usize,
    align: usize,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Number,
    Fields(&'static [Field]),
    Array(&'static Layout, usize),
    Variants(&'static [Variant]),
}

/// A field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    name: &'static str,
    offset: usize,
    layout: &'static Layout,
}

/// A variant of an enumeration without fields.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    name: &'static str,
    value: i128,
}

impl Field {
    /// A field of this name, at this offset in bytes.
    #[must_use]
    pub const fn new(name: &'static str, offset: usize, layout: &'static Layout) -> Self {
        Self { name, offset, layout }
    }
}

impl Variant {
    /// A variant of this name and discriminant.
    #[must_use]
    pub const fn new(name: &'static str, value: i128) -> Self {
        Self { name, value }
    }
}

impl Layout {
    /// A number, or whatever else has no parts.
    #[must_use]
    pub const fn number(name: &'static str, size: usize, align: usize) -> Self {
        Self { name, size, align, shape: Shape::Number }
    }

    /// A structure. Its alignment is that of its fields at least, also where the compiler is content with
    /// less: with 4 bytes for a `u64` on i686.
    #[must_use]
    pub const fn structure(
        name: &'static str,
        size: usize,
        mut align: usize,
        fields: &'static [Field],
    ) -> Self {
        let mut number = 0;
        while number < fields.len() {
            if fields[number].layout.align > align {
                align = fields[number].layout.align;
            }
            number += 1;
        }
        Self { name, size, align, shape: Shape::Fields(fields) }
    }

    /// An enumeration without fields.
    #[must_use]
    pub const fn enumeration(
        name: &'static str,
        size: usize,
        align: usize,
        variants: &'static [Variant],
    ) -> Self {
        Self { name, size, align, shape: Shape::Variants(variants) }
    }

    /// So many of the same.
    #[must_use]
    pub const fn array(element: &'static Layout, len: usize) -> Self {
        let (size, align) = (element.size * len, element.align);
        Self { name: "array", size, align, shape: Shape::Array(element, len) }
    }

    /// The name that its author gave it; of an array, `array`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// What its address is a multiple of, in bytes, on machines of 64 bits: the same for all that share
    /// it, so that those of 32 bits are among them.
    #[must_use]
    pub const fn align(&self) -> usize {
        self.align
    }

    /// The layout in words: what is stored beside a value, for who opens it as something else.
    ///
    /// The first line has name, size and alignment. Each further one is a part: its path, its type
    /// and its offset in bytes. Tabs separate them.
    ///
    /// ```
    /// use bifolio_share::Shared;
    /// assert_eq!(<[u16; 3]>::SHARED_LAYOUT.describe(), "[u16; 3]\t6\t2\n\t[u16; 3]\t0\n");
    /// ```
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = format!("{}\t{}\t{}\n", self.type_name(), self.size, self.align);
        self.describe_parts("", 0, &mut out);
        out
    }

    /// FNV-1a (64 bits) of the [description](Self::describe): two layouts of one hash are the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.describe().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    fn type_name(&self) -> String {
        match self.shape {
            Shape::Array(element, len) => format!("[{}; {len}]", element.type_name()),
            _ => self.name.to_owned(),
        }
    }

    fn describe_parts(&self, path: &str, offset: usize, out: &mut String) {
        let mut part = |what: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{path}\t{what}\t{offset}");
        };
        match self.shape {
            Shape::Number => part(self.name),
            Shape::Array(element, _) => {
                part(&self.type_name());
                if !matches!(element.shape, Shape::Number) {
                    element.describe_parts(&format!("{path}[]"), offset, out);
                }
            }
            Shape::Variants(variants) => {
                let mut words = format!("{} of {} bytes:", self.name, self.size);
                for Variant { name, value } in variants {
                    let _ = write!(words, " {name}={value}");
                }
                part(&words);
            }
            Shape::Fields(fields) => {
                for field in fields {
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{}", field.name);
                    field.layout.describe_parts(&path, offset + field.offset, out);
                }
            }
        }
    }

    /// What differs between this layout and a stored description, in a sentence that calls this one
    /// "here"; `None` if nothing does. The description may be any text.
    ///
    /// ```
    /// use bifolio_share::Shared;
    /// let stored = u32::SHARED_LAYOUT.describe();
    /// let told = u64::SHARED_LAYOUT.difference(&stored).unwrap();
    /// assert_eq!(told, "it is a `u64` here and was made as a `u32`");
    /// ```
    #[must_use]
    pub fn difference(&self, stored: &str) -> Option<String> {
        let mine = self.describe();
        if mine == stored {
            return None;
        }
        let (here, there) = (Told::of(&mine), Told::of(stored));
        if here.name != there.name {
            let (here, there) = (here.name, there.name);
            return Some(format!("it is a `{here}` here and was made as a `{there}`"));
        }
        for (path, what, offset) in &here.parts {
            let Some((_, other, at)) = there.parts.iter().find(|(name, ..)| name == path) else {
                return Some(format!("field `{path}` is not in what is stored"));
            };
            if what != other {
                return Some(format!("field `{path}` is `{what}` here and `{other}` there"));
            }
            if offset != at {
                return Some(format!("field `{path}` is at offset {offset} here and {at} there"));
            }
        }
        let unknown =
            there.parts.iter().find(|(path, ..)| !here.parts.iter().any(|(name, ..)| name == path));
        Some(match unknown {
            Some((path, ..)) => format!("what is stored has a field `{path}`, which is not here"),
            None => format!("size and alignment are {} here and {} there", here.size, there.size),
        })
    }
}

/// A description, taken apart.
struct Told<'a> {
    name: &'a str,
    size: &'a str,
    parts: Vec<(&'a str, &'a str, &'a str)>,
}

/// More parts than this are not compared: a stored description may be anything.
const MOST_PARTS: usize = 4096;

impl<'a> Told<'a> {
    fn of(text: &'a str) -> Self {
        let mut lines = text.lines();
        let (name, size) = lines.next().unwrap_or_default().split_once('\t').unwrap_or(("?", "?"));
        let parts = lines
            .take(MOST_PARTS)
            .filter_map(|line| {
                let (path, rest) = line.split_once('\t')?;
                let (what, offset) = rest.rsplit_once('\t')?;
                Some((path, what, offset))
            })
            .collect();
        Self { name, size, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shared;

    static POINT: Layout = Layout::structure(
        "Point",
        16,
        8,
        &[Field::new("x", 0, &f64::SHARED_LAYOUT), Field::new("y", 8, &f64::SHARED_LAYOUT)],
    );
    static LINE: Layout = Layout::structure(
        "Line",
        40,
        8,
        &[
            Field::new("ends", 0, &Layout::array(&POINT, 2)),
            Field::new(
                "kind",
                32,
                &Layout::enumeration("Kind", 1, 1, &[Variant::new("Dashed", 3)]),
            ),
        ],
    );

    #[test]
    fn a_description_names_all_parts_down_to_the_numbers() {
        assert_eq!(
            LINE.describe(),
            "Line\t40\t8\nends\t[Point; 2]\t0\nends[].x\tf64\t0\nends[].y\tf64\t8\n\
             kind\tKind of 1 bytes: Dashed=3\t32\n"
        );
    }

    #[test]
    fn the_hash_of_a_known_layout_never_changes() {
        assert_eq!(u8::SHARED_LAYOUT.hash(), 0xa9ce_42cb_28b9_a5fd);
        assert_eq!(LINE.hash(), 0xc27d_43d2_9e57_8bb2);
    }

    #[test]
    fn the_first_thing_that_differs_is_named() {
        let told = |stored: &str| LINE.difference(stored).expect("a difference");
        let stored = LINE.describe();
        assert_eq!(LINE.difference(&stored), None);
        assert_eq!(
            told(&stored.replace("ends[].y\tf64", "ends[].y\tf32")),
            "field `ends[].y` is `f64` here and `f32` there"
        );
        assert_eq!(
            told(&stored.replace("\t32\n", "\t36\n")),
            "field `kind` is at offset 32 here and 36 there"
        );
        assert_eq!(
            told(&stored.replace("kind\t", "sort\t")),
            "field `kind` is not in what is stored"
        );
        assert_eq!(
            told(&format!("{stored}more\tu8\t39\n")),
            "what is stored has a field `more`, which is not here"
        );
        assert_eq!(
            told(&stored.replace("Line\t40\t8", "Line\t48\t8")),
            "size and alignment are 40\t8 here and 48\t8 there"
        );
    }

    #[test]
    fn any_text_is_compared() {
        for text in ["", "\t", "Line", "Line\n\n\n", "Line\t40\t8\nx\ny\tz\n", "\u{0}\u{ff}"] {
            assert!(LINE.difference(text).is_some(), "{text:?}");
        }
        let _ = LINE.difference(&"Line\t40\t8\n".repeat(100_000));
    }
}
