//! How long a vendor asks to wait, as its headers say.
//!
//! Sources: RFC 9110, section 10.2.3 (`retry-after`); OpenAI's guide "Rate limits" and learn.microsoft.com,
//! "Manage Azure OpenAI quota" (`retry-after-ms`, `x-ratelimit-…`), which Cerebras, Groq and Together follow;
//! Anthropic's guide "Rate limits" (`anthropic-ratelimit-…`); OpenRouter's guide "Limits" (moments in
//! milliseconds).
//!
//! - `retry-after-ms` and `retry-after` come first: they are about this very request.
//! - Without them a rejection for its rate waits until the last of those limits is reset of which nothing
//!   remains. A limit of which something remains says nothing of when the request would fit into it.
//! - Moments count from the response's own `date`, so that clocks need not agree.

use std::time::Duration;

use http::{
    HeaderMap,
    header::{DATE, RETRY_AFTER},
};

use super::date;
use crate::domain::fault::Reason;

/// The longest wait that is believed; more is a provider's mistake.
const MAX: Duration = Duration::from_secs(24 * 3600);
/// A number above is a moment in seconds since 1970, not a wait in seconds.
const FIRST_MOMENT: f64 = 1e9;
/// A number above is one in milliseconds.
const FIRST_MOMENT_MILLIS: f64 = 1e12;

/// The wait that a rejection asks for.
pub(crate) fn asked(reason: Reason, headers: &HeaderMap) -> Option<Duration> {
    let limited = reason == Reason::ProviderRateLimited;
    retry_after(headers).or_else(|| until_reset(headers).filter(|_| limited))
}

/// `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    if let Some(millis) = text(headers, "retry-after-ms").and_then(|text| text.parse::<f64>().ok())
    {
        return seconds(millis / 1000.0);
    }
    let wait = text(headers, RETRY_AFTER.as_str())?;
    match wait.parse() {
        Ok(value) => seconds(value),
        Err(_) => until(date::parse(wait)?, headers),
    }
}

/// Until the last of the limits is reset of which nothing remains.
fn until_reset(headers: &HeaderMap) -> Option<Duration> {
    let waits = headers.iter().filter_map(|(name, value)| {
        let remaining = remaining_of(name.as_str())?;
        let is_used_up = text(headers, &remaining)?.parse::<f64>().ok()? == 0.0;
        is_used_up.then(|| parse_reset(value.to_str().ok()?.trim(), headers))?
    });
    waits.filter(|wait| !wait.is_zero()).max()
}

/// The header that says what remains of the limit whose reset this header tells.
fn remaining_of(name: &str) -> Option<String> {
    if let Some(limit) = name.strip_prefix("x-ratelimit-reset") {
        return Some(format!("x-ratelimit-remaining{limit}"));
    }
    let limit = name.strip_prefix("anthropic-ratelimit-")?;
    let limit = limit.strip_suffix("-reset")?;
    Some(format!("anthropic-ratelimit-{limit}-remaining"))
}

/// A wait: `6m0s`, `12ms`, `7.5` in seconds; or a moment: `2026-11-23T06:00:00Z`, or seconds or
/// milliseconds since 1970.
fn parse_reset(text: &str, headers: &HeaderMap) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(millis) if millis > FIRST_MOMENT_MILLIS => until((millis / 1000.0) as u64, headers),
        Ok(moment) if moment > FIRST_MOMENT => until(moment as u64, headers),
        Ok(wait) => seconds(wait),
        Err(_) if text.contains('T') => until(date::parse_rfc3339(text)?, headers),
        Err(_) => parse_units(text),
    }
}

/// Numbers with units, such as `1h2m3.5s`.
fn parse_units(mut text: &str) -> Option<Duration> {
    let mut total = 0.0;
    while !text.is_empty() {
        let number = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, rest) = text.split_at(number);
        let unit = rest.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, rest) = rest.split_at(unit.unwrap_or(rest.len()));
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        text = rest;
    }
    seconds(total)
}

fn until(moment: u64, headers: &HeaderMap) -> Option<Duration> {
    let now = date::parse(text(headers, DATE.as_str())?)?;
    Some(Duration::from_secs(moment.saturating_sub(now)).min(MAX))
}

fn seconds(value: f64) -> Option<Duration> {
    (value.is_finite() && value >= 0.0)
        .then(|| Duration::from_secs_f64(value.min(MAX.as_secs_f64())))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const NOW: (&str, &str) = ("date", "Mon, 23 Nov 2026 06:00:00 GMT");

    fn wait(reason: Reason, headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let header = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        asked(reason, &headers.iter().map(header).collect())
    }

    /// The wait of a rejection for its rate, in milliseconds.
    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], millis: Option<u64>) {
        let found = wait(Reason::ProviderRateLimited, headers);
        assert_eq!(found, millis.map(Duration::from_millis), "{headers:?}");
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        check(&[], None);
        check(&[("retry-after", "2")], Some(2000));
        check(&[("retry-after", "0.5")], Some(500));
        check(
            &[("retry-after", "9"), ("retry-after-ms", "1500")],
            Some(1500),
        );
        check(
            &[("retry-after", "Mon, 23 Nov 2026 06:00:07 GMT"), NOW],
            Some(7000),
        );
        check(
            &[("retry-after", "Mon, 23 Nov 2026 05:59:59 GMT"), NOW],
            Some(0),
        );
    }

    #[test]
    fn a_wait_that_makes_no_sense_is_none_or_cut() {
        for nonsense in ["-1", "NaN", "inf", "soon", "Mon, 23 Nov 2026 06:00:07 GMT"] {
            check(&[("retry-after", nonsense)], None);
        }
        check(&[("retry-after", "1e300")], Some(86_400_000));
    }

    #[test]
    fn the_end_of_a_limit_is_read_in_the_form_of_each_vendor() {
        for (reset, millis) in [
            ("1s", Some(1000)),
            ("6m0s", Some(360_000)),
            ("12ms", Some(12)),
            ("2m59.5s", Some(179_500)),
            ("1h2m3s", Some(3_723_000)),
            ("7.25", Some(7250)),
            ("1795413605", Some(5000)),
            ("1795413605000", Some(5000)),
            ("2026-11-23T06:00:30Z", Some(30_000)),
            ("0", None),
            ("5 parsecs", None),
            ("s", None),
            ("never", None),
        ] {
            let headers = [
                ("x-ratelimit-reset-requests", reset),
                ("x-ratelimit-remaining-requests", "0"),
                NOW,
            ];
            check(&headers, millis);
        }
    }

    #[test]
    fn the_last_limit_of_which_nothing_remains_counts() {
        check(
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "2s"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "6s"),
                ("x-ratelimit-remaining-requests-day", "900"),
                ("x-ratelimit-reset-requests-day", "33011.4"),
            ],
            Some(6000),
        );
        check(
            &[
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2026-11-23T06:00:02Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                (
                    "anthropic-ratelimit-input-tokens-reset",
                    "2026-11-23T06:00:20Z",
                ),
                NOW,
            ],
            Some(20_000),
        );
        check(
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "3")],
            Some(3000),
        );
    }

    #[test]
    fn limits_that_say_nothing_are_left_alone() {
        check(
            &[
                ("x-ratelimit-remaining-tokens", "-1"),
                ("x-ratelimit-reset-tokens", "60"),
                ("x-ratelimit-reset-requests", "60"),
            ],
            None,
        );
        let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "3")];
        assert_eq!(wait(Reason::ProviderUnavailable, &used_up), None);
        check(
            &[
                ("retry-after", "1"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "3"),
            ],
            Some(1000),
        );
    }
}
