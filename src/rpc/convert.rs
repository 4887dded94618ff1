//! Between the wire and the domain. What comes in is checked here, once, and every fault names the
//! field by its path; inside nothing is checked again.

pub(super) mod call;
pub(super) mod completion;
pub(super) mod event;
pub(super) mod fault;
pub(super) mod generation;
pub(super) mod input;
pub(super) mod message;
pub(super) mod model;
mod policy;
pub(super) mod run;
pub(super) mod thread;

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    domain::{
        fault::{Fault, Reason},
        json::{InvalidJson, JsonText},
        model::ModelRef,
        run::Limits,
        time::Timestamp,
    },
    run::port::{McpServers, Models},
};

/// Checks that a JSON text is a JSON Schema; the fault says what is wrong with it.
pub type SchemaCheck = Arc<dyn Fn(&JsonText) -> Result<(), Fault> + Send + Sync>;

/// What the conversion of requests needs to know of the server.
#[derive(Clone)]
pub struct Intake {
    /// Resolves models' names.
    pub models: Arc<dyn Models>,
    /// Fills the limits that a run leaves open, and bounds those that it sets.
    pub limits: Limits,
    /// Checks schemas.
    pub schema: SchemaCheck,
    /// Knows the MCP servers.
    pub mcp: Arc<dyn McpServers>,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where in a request a value stands. Costs nothing until something is wrong there.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Field(&'static str),
    Index(usize),
    Key(&'a str),
}

// === impl Intake ===

impl Intake {
    fn model(&self, name: &str, at: &At<'_>) -> Result<ModelRef, Fault> {
        if name.is_empty() {
            return Err(at.invalid("is required"));
        }
        self.models.resolve(name).map_err(|fault| at.blame(fault))
    }

    fn models(&self, names: &[String], at: &At<'_>) -> Result<Vec<ModelRef>, Fault> {
        const MOST: usize = 8;
        at.at_most(names.len(), MOST)?;
        names
            .iter()
            .enumerate()
            .map(|(index, name)| self.model(name, &at.index(index)))
            .collect()
    }

    /// A required JSON Schema.
    fn schema(&self, text: &str, at: &At<'_>) -> Result<JsonText, Fault> {
        let schema = at.object(text)?;
        (self.schema)(&schema).map_err(|fault| at.blame(fault))?;
        Ok(schema)
    }

    /// A JSON Schema, unless the text is empty.
    fn optional_schema(&self, text: &str, at: &At<'_>) -> Result<Option<JsonText>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        self.schema(text, at).map(Some)
    }
}

// === impl At ===

impl At<'_> {
    /// A field of the request itself.
    pub(super) const fn root(name: &'static str) -> Self {
        Self {
            parent: None,
            step: Step::Field(name),
        }
    }

    const fn field<'b>(&'b self, name: &'static str) -> At<'b> {
        At {
            parent: Some(self),
            step: Step::Field(name),
        }
    }

    const fn index<'b>(&'b self, index: usize) -> At<'b> {
        At {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    const fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    /// The value is wrong.
    pub(super) fn invalid(&self, description: impl Into<String>) -> Fault {
        Fault::invalid(self.to_string(), description)
    }

    fn fault(&self, reason: Reason, description: impl Into<String>) -> Fault {
        Fault::field(reason, self.to_string(), description)
    }

    /// A fault that was found elsewhere lies here.
    fn blame(&self, fault: Fault) -> Fault {
        // What the fault says of a field of its own is said of this one, which is where it stands.
        let own = fault.violations.into_iter().next();
        let what = own.map_or(fault.message, |violation| violation.description.into());
        let mut blamed = self.fault(fault.reason, what);
        blamed.metadata = fault.metadata;
        blamed
    }

    /// The value must be there.
    fn required<T>(&self, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| self.invalid("is required"))
    }

    fn at_most(&self, len: usize, most: usize) -> Result<(), Fault> {
        if len > most {
            return Err(self.invalid(format!("has {len} entries, at most {most} are taken")));
        }
        Ok(())
    }

    /// Any JSON value.
    fn json(&self, text: &str) -> Result<JsonText, Fault> {
        JsonText::parse(text).map_err(|error| self.bad_json(&error))
    }

    /// A JSON object.
    fn object(&self, text: &str) -> Result<JsonText, Fault> {
        if text.is_empty() {
            return Err(self.invalid("is required"));
        }
        JsonText::parse_object(text).map_err(|error| self.bad_json(&error))
    }

    fn bad_json(&self, error: &InvalidJson) -> Fault {
        self.fault(Reason::JsonInvalid, error.to_string())
    }

    /// A duration that is not negative.
    fn duration(&self, value: prost_types::Duration) -> Result<Duration, Fault> {
        Duration::try_from(value).map_err(|_negative| self.invalid("is not a positive duration"))
    }

    fn optional_duration(
        &self,
        value: Option<prost_types::Duration>,
    ) -> Result<Option<Duration>, Fault> {
        value.map(|v| self.duration(v)).transpose()
    }

    /// A moment after 1970.
    fn timestamp(&self, value: prost_types::Timestamp) -> Result<Timestamp, Fault> {
        let seconds = u64::try_from(value.seconds);
        let nanos = u64::try_from(value.nanos)
            .ok()
            .filter(|n| *n < 1_000_000_000);
        let (Ok(seconds), Some(nanos)) = (seconds, nanos) else {
            return Err(self.invalid("is not a moment after 1970"));
        };
        let millis = seconds
            .saturating_mul(1000)
            .saturating_add(nanos / 1_000_000);
        Ok(Timestamp::from_millis(millis))
    }

    /// A number that is positive.
    fn positive<N, P>(&self, value: N) -> Result<P, Fault>
    where
        P: TryFrom<N> + PartialEq + From<u8>,
    {
        P::try_from(value)
            .ok()
            .filter(|number| *number != P::from(0))
            .ok_or_else(|| self.invalid("is not a positive number"))
    }

    /// A sequence number: not negative.
    pub(super) fn sequence(&self, value: i64) -> Result<u64, Fault> {
        u64::try_from(value).map_err(|_negative| self.invalid("is negative"))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Field(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Field(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            // Keys are the caller's: quoted, and bounded.
            Step::Key(key) => write!(f, "[{:?}]", key.chars().take(64).collect::<String>()),
        }
    }
}

/// A moment on the wire.
fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let millis = time.as_millis();
    prost_types::Timestamp {
        seconds: i64::try_from(millis / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(millis % 1000 * 1_000_000).unwrap_or_default(),
    }
}

/// A duration on the wire.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// A count on the wire.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A small count on the wire.
fn small_count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_request() {
        let at = At::root("spec");
        let (agent, key) = (at.field("agent"), "a\nkey");
        let tools = agent.field("tools");
        assert_eq!(
            tools.index(3).field("timeout").to_string(),
            "spec.agent.tools[3].timeout"
        );
        assert_eq!(
            at.field("labels").key(key).to_string(),
            r#"spec.labels["a\nkey"]"#
        );
    }

    #[test]
    fn what_is_wrong_with_a_field_is_said_once_and_of_the_field_in_the_request() {
        let own = Fault::field(Reason::SchemaInvalid, "schema", "is none").with("tool", "t");
        let fault = At::root("spec").field("tool").blame(own);
        assert_eq!(fault.message, "spec.tool: is none");
        assert_eq!(fault.violations[0].field, "spec.tool");
        assert_eq!(fault.metadata["tool"], "t");
    }

    #[test]
    fn times_are_bounded_at_the_border() {
        let at = At::root("t");
        let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
        assert!(at.duration(seconds(-1)).is_err());
        assert_eq!(at.duration(seconds(2)).unwrap(), Duration::from_secs(2));
        let moment = |seconds, nanos| at.timestamp(prost_types::Timestamp { seconds, nanos });
        assert!(moment(-1, 0).is_err());
        assert!(moment(1, 1_000_000_000).is_err());
        assert_eq!(moment(1, 2_000_000).unwrap().as_millis(), 1002);
        assert_eq!(timestamp(Timestamp::from_millis(1002)).nanos, 2_000_000);
    }
}
