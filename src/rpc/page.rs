//! Pages of lists: bounded in entries and in bytes.

use prost::Message;

use super::convert::At;
use crate::domain::fault::Fault;

const DEFAULT_SIZE: usize = 50;
const MOST: usize = 500;

/// How much a page may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Entries.
    pub(super) size: usize,
    /// Their weight on the wire.
    pub(super) bytes: usize,
}

/// How many entries a page may have.
pub(super) fn size(wanted: i32) -> Result<usize, Fault> {
    match usize::try_from(wanted) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MOST)),
        Err(_negative) => Err(At::root("page_size").invalid("is negative")),
    }
}

/// A token that this server did not give out.
pub(super) fn bad_token() -> Fault {
    At::root("page_token").invalid("is not one that this server gave out")
}

/// Fills a page with entries until it is full; says of the last one, if more follow, what continues
/// after it. The first entry is taken whatever it weighs.
pub(super) fn fill<T, E: Message>(
    entries: impl IntoIterator<Item = T>,
    room: Room,
    encode: impl Fn(&T) -> E,
    token: impl Fn(&T) -> String,
) -> (Vec<E>, String) {
    let (mut page, mut bytes, mut last) = (Vec::new(), 0_usize, None);
    for entry in entries {
        let encoded = encode(&entry);
        bytes = bytes.saturating_add(encoded.encoded_len());
        if page.len() == room.size || (bytes > room.bytes && !page.is_empty()) {
            let next = last.as_ref().map(token).unwrap_or_default();
            return (page, next);
        }
        page.push(encoded);
        last = Some(entry);
    }
    (page, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1;

    fn text_of(bytes: usize) -> v1::Reasoning {
        v1::Reasoning {
            text: "x".repeat(bytes),
        }
    }

    #[test]
    fn a_page_ends_with_its_size_or_its_weight() {
        let fill = |sizes: &[usize], size| {
            let room = Room {
                size,
                bytes: 1 << 20,
            };
            let (page, next) = fill(
                sizes.iter().copied(),
                room,
                |n| text_of(*n),
                ToString::to_string,
            );
            (page.len(), next)
        };
        assert_eq!(fill(&[1, 2, 3], 3), (3, String::new()));
        assert_eq!(fill(&[1, 2, 3], 2), (2, "2".to_owned()));
        assert_eq!(fill(&[700_000, 700_001], 9), (1, "700000".to_owned()));
        assert_eq!(fill(&[9_000_000, 1], 9), (1, "9000000".to_owned()));
        assert_eq!(fill(&[], 9), (0, String::new()));
    }

    #[test]
    fn a_size_is_defaulted_bounded_and_never_negative() {
        assert_eq!(size(0).unwrap(), 50);
        assert_eq!(size(7).unwrap(), 7);
        assert_eq!(size(10_000).unwrap(), 500);
        assert!(size(-1).is_err());
    }
}
