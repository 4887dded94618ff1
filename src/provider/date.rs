//! Dates, as HTTP and AWS write them.

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7, the one form that may be sent) as
/// seconds since the Unix epoch. `None` for anything else, and for years before it.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let mut words = text.split_ascii_whitespace();
    let _weekday = words.next()?.strip_suffix(',')?;
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.splitn(3, ':');
    let mut next = |limit: u64| -> Option<u64> {
        let value = clock.next()?.parse().ok()?;
        (value < limit).then_some(value)
    };
    // A leap second is written as 60.
    let (hour, minute, second) = (next(24)?, next(60)?, next(61)?);
    if words.next() != Some("GMT") {
        return None;
    }
    Some(days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Reads `1994-11-06T08:49:37Z` (RFC 3339, in universal time) as seconds since the Unix epoch, without
/// their fraction. `None` for anything else, and for years before it.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    let (date, clock) = text.trim().strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = text.split(by).map(|word| word.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let [hour, minute, second] = numbers(clock, ':')?;
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let month = usize::try_from(month - 1).ok()?;
    Some(days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Writes seconds since the Unix epoch as `19941106T084937Z`.
pub(crate) fn stamp(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // 400 years have 146,097 days: an estimate that is at most one year off.
    let days = days + days_before_year(1970);
    let estimate = days * 400 / 146_097 + 1;
    let year = if days_before_year(estimate + 1) <= days {
        estimate + 1
    } else if days_before_year(estimate) > days {
        estimate - 1
    } else {
        estimate
    };
    let of_year = days - days_before_year(year);
    let before = |month: &usize| days_before(*month, year) <= of_year;
    let month = (0..12).rev().find(before).unwrap_or(0);
    let (month, day) = (month + 1, of_year - days_before(month, year) + 1);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Days since the Unix epoch; months count from zero.
fn days(year: u64, month: usize, day: u64) -> Option<u64> {
    let known = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    known.then(|| {
        days_before_year(year) - days_before_year(1970) + days_before(month, year) + day - 1
    })
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from the first of January of the year 1 to that of this year.
const fn days_before_year(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

fn days_before(month: usize, year: u64) -> u64 {
    const DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap_day = u64::from(month > 1 && is_leap(year));
    DAYS.iter().take(month).sum::<u64>() + leap_day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_seconds_since_the_epoch() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Mon, 23 Nov 2026 03:20:00 GMT", 1_795_404_000),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn dates_of_aws_are_read_and_written() {
        for (text, stamped) in [
            ("1970-01-01T00:00:00Z", "19700101T000000Z"),
            ("1994-11-06T08:49:37Z", "19941106T084937Z"),
            ("1999-12-31T23:59:59Z", "19991231T235959Z"),
            ("2000-02-29T12:00:00Z", "20000229T120000Z"),
            ("2000-12-31T00:00:00Z", "20001231T000000Z"),
            ("2026-11-23T03:20:00.123Z", "20261123T032000Z"),
            ("2100-03-01T00:00:00Z", "21000301T000000Z"),
        ] {
            assert_eq!(stamp(parse_rfc3339(text).unwrap()), stamped);
        }
        assert_eq!(parse_rfc3339("1994-11-06T08:49:37Z"), Some(784_111_777));
        for text in [
            "",
            "2026-11-23",
            "2026-13-23T03:20:00Z",
            "2026-11-23T24:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in [
            "",
            "120",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999 08:49:37 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
