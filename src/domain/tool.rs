//! Tools: what the model sees of them, and where they run.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{id::HostId, json::JsonText, run::Agent};

/// A tool's name: 1 to 64 of `a-z A-Z 0-9 _ . -`; dots separate namespaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolName(Arc<str>);

impl ToolName {
    /// Takes a name; `None` when it is not one.
    pub fn parse(name: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        ((1..=64).contains(&name.len()) && name.bytes().all(plain)).then(|| Self(Arc::from(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A definition that the model can see. Two definitions with one name and one version are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: ToolName,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments, in the author's key order.
    pub input_schema: JsonText,
    /// JSON Schema of the structured result.
    pub output_schema: Option<JsonText>,
    /// Chosen by its author; empty when there is none.
    pub version: String,
    /// What the author says of its effects.
    pub annotations: Annotations,
    /// Asks the provider to cache the prompt up to and including this definition, where it can.
    pub cache_breakpoint: bool,
}

/// What an author says of a tool's effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// Calling twice with one call id has the effect of calling once.
    pub idempotent: bool,
    /// May destroy things.
    pub destructive: bool,
}

impl Annotations {
    /// Whether a call may be delivered again after its host was lost.
    pub const fn may_redeliver(self) -> bool {
        self.read_only || self.idempotent
    }
}

/// A tool of an agent: where it runs, and how long it may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolBinding {
    /// Where it runs.
    pub target: ToolTarget,
    /// Time for one execution, from acceptance. `None`: the server's default.
    pub timeout: Option<Duration>,
    /// Time to wait for a host to accept. `None`: the server's default; zero: fail at once.
    pub accept_timeout: Option<Duration>,
    /// Longest silence between progress reports. `None`: no limit.
    pub progress_timeout: Option<Duration>,
}

/// Where a bound tool runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToolTarget {
    /// On the run's own stream; the definition travels with the run.
    Attached(Arc<ToolSpec>),
    /// On a host that has registered it.
    Hosted(HostedTool),
    /// The tools of an MCP server that the operator has configured.
    Mcp(McpTools),
    /// As a run of its own, within the tree of the run that calls it.
    Subagent(Arc<Subagent>),
}

impl ToolTarget {
    /// The name that the model sees; `None` when there are several, which their server tells.
    pub fn name(&self) -> Option<&ToolName> {
        match self {
            Self::Attached(spec) => Some(&spec.name),
            Self::Hosted(hosted) => Some(&hosted.name),
            Self::Subagent(subagent) => Some(&subagent.tool.name),
            Self::Mcp(_) => None,
        }
    }
}

/// A reference to the tools of an MCP server.
///
/// What it says of the operator's configuration is as it was when the run was created: the names that a
/// model has seen stay as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct McpTools {
    /// The server's name in the configuration.
    pub server: Arc<str>,
    /// Only these, by the server's own names; empty: all.
    pub tools: Vec<String>,
    /// What stands before the name of each for the model.
    pub prefix: String,
    /// The operator's prefix: permission to use a tool is given under the name that it makes.
    pub scope: String,
    /// Patterns of the names, with the operator's prefix, that the run's creator may use.
    pub usable: Vec<String>,
}

/// An agent that another one calls as a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subagent {
    /// How the caller's model sees it. The arguments are what the agent is asked.
    pub tool: Arc<ToolSpec>,
    /// The agent.
    pub agent: Agent,
}

impl ToolName {
    /// Most characters of what stands before the names of a server's tools.
    pub const MOST_PREFIX: usize = 32;

    /// Whether this may stand before the names of a server's tools.
    pub fn is_prefix(text: &str) -> bool {
        text.is_empty() || (text.len() <= Self::MOST_PREFIX && Self::parse(text).is_some())
    }

    /// The name of a server's tool behind a prefix; `None` when the prefix is none. A server may call its
    /// tools what it likes: what does not fit becomes underscores, and ends in a digest of the server's own
    /// name, so that two tools never become one. The same tool always has the same name.
    pub fn behind(prefix: &str, own: &str) -> Option<Self> {
        if !Self::is_prefix(prefix) {
            return None;
        }
        if let Some(name) = Self::parse(&format!("{prefix}{own}")).filter(|_| !own.is_empty()) {
            return Some(name);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let tail = format!("_{:08x}", digest(own));
        let room = 64_usize.saturating_sub(prefix.len() + tail.len());
        let head = own.chars().take(room);
        let head: String = head.map(|c| if fits(c) { c } else { '_' }).collect();
        Self::parse(&format!("{prefix}{head}{tail}"))
    }
}

/// FNV-1a: the same on every machine and in every version.
fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, own: &str, expected: Option<&str>) {
        let name = ToolName::behind(prefix, own);
        assert_eq!(name.as_ref().map(ToolName::as_str), expected);
    }

    #[test]
    fn a_servers_tool_has_its_own_name_behind_the_prefix() {
        check("", "echo", Some("echo"));
        check("files.", "read_file", Some("files.read_file"));
        check("two words", "echo", None);
        check(&"x".repeat(33), "echo", None);
    }

    #[test]
    fn what_does_not_fit_is_replaced_and_never_makes_two_tools_one() {
        check("a.", "read file", Some("a.read_file_93f6e711"));
        check("a.", "read/file", Some("a.read_file_e53a8158"));
        check("", "", Some("_811c9dc5"));
        let long = "y".repeat(128);
        let name = ToolName::behind("x.", &long).unwrap();
        assert_eq!(name.as_str().len(), 64);
        assert_ne!(ToolName::behind("x.", &long[1..]), Some(name));
    }
}

/// A reference to a registered tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostedTool {
    /// The registered name.
    pub name: ToolName,
    /// Only this version.
    pub version: Option<String>,
    /// Only this host.
    pub host_id: Option<HostId>,
    /// Only hosts with all these labels.
    pub host_labels: BTreeMap<String, String>,
    /// Which host takes the next call.
    pub affinity: Affinity,
}

/// Which host takes the next call of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Affinity {
    /// The one with the most room.
    #[default]
    Any,
    /// The one that took the run's first call, while it lives.
    Run,
}
