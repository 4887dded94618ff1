//! Numbers with units: durations and sizes.

use std::time::Duration;

/// A size in bytes, written `"256KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// So many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The bytes, for what is counted in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Splits `30s` into its number and its unit.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text.strip_suffix(unit)?;
    Some((number.parse().ok()?, unit))
}

/// A whole number and a unit of `ms`, `s`, `m`, `h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    // At most a century, so that no sum of durations overflows.
    let most = 100 * 365 * 24 * 3_600_000;
    number
        .checked_mul(millis)
        .filter(|millis| *millis <= most)
        .map(Duration::from_millis)
}

pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit))
        .map_or_else(
            || format!("{millis}ms"),
            |(unit, name)| format!("{}{name}", millis / unit),
        )
}

/// A whole number and a unit of `B`, `KiB`, `MiB`, `GiB`.
pub(super) fn parse_size(text: &str) -> Option<Size> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes).map(Size)
}

pub(super) fn show_size(size: Size) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| size.0 > 0 && size.0.is_multiple_of(1 << shift))
        .map_or_else(
            || format!("{}B", size.0),
            |(shift, name)| format!("{}{name}", size.0 >> shift),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_of_one_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("90s", 90_000),
            ("2h", 7_200_000),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(text), Some(duration), "{text}");
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "999999999h",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_of_one_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("256KiB", 262_144),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Some(Size(bytes)), "{text}");
            assert_eq!(show_size(Size(bytes)), text);
        }
        for bad in [
            "",
            "5",
            "KiB",
            "1KB",
            "1 KiB",
            "1.5MiB",
            "99999999999999GiB",
        ] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
