//! Who calls, and whose data it is.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Whose data: the wall that nothing is found across. 1 to 63 of `a-z 0-9 - _`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of a server without authentication.
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    /// Takes a name from the configuration; `None` when it is not one.
    pub fn parse(name: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        ((1..=63).contains(&name.len()) && name.bytes().all(plain)).then(|| Self(Arc::from(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Make completions and list models.
    Completions,
    /// Create and cancel runs.
    RunsWrite,
    /// Read and watch runs.
    RunsRead,
    /// Answer what runs wait for.
    RunsAnswer,
    /// Delete threads with their runs.
    ThreadsDelete,
    /// Host tools; which names, [`Principal::may_host`] says.
    ToolsHost,
    /// Bind hosted tools to runs and list them; which names, [`Principal::may_use`] says.
    ToolsUse,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 7] = [
        Self::Completions,
        Self::RunsWrite,
        Self::RunsRead,
        Self::RunsAnswer,
        Self::ThreadsDelete,
        Self::ToolsHost,
        Self::ToolsUse,
    ];

    /// The name in the token file and in error messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::RunsWrite => "runs.write",
            Self::RunsRead => "runs.read",
            Self::RunsAnswer => "runs.answer",
            Self::ThreadsDelete => "threads.delete",
            Self::ToolsHost => "tools.host",
            Self::ToolsUse => "tools.use",
        }
    }

    /// The scope of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// Who calls, as the server has authenticated it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Whose data it works on.
    pub tenant: Tenant,
    /// Its name within the tenant: kept in runs, told to tool hosts.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Patterns of tool names that it may host (`*` is any run of characters).
    pub host_tools: Vec<String>,
    /// Patterns of tool names that it may bind to runs.
    pub use_tools: Vec<String>,
}

impl Principal {
    /// The one principal of a server without authentication: it may do everything in the tenant
    /// `default`.
    pub fn anonymous() -> Self {
        Self {
            tenant: Tenant::default_tenant(),
            name: Arc::from("anonymous"),
            scopes: Scope::ALL.to_vec(),
            host_tools: vec!["*".to_owned()],
            use_tools: vec!["*".to_owned()],
        }
    }

    /// Whether it holds the scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may host a tool of this name.
    pub fn may_host(&self, tool: &str) -> bool {
        self.has(Scope::ToolsHost) && self.host_tools.iter().any(|p| matches_glob(p, tool))
    }

    /// Whether it may bind a hosted tool of this name.
    pub fn may_use(&self, tool: &str) -> bool {
        self.has(Scope::ToolsUse) && self.use_tools.iter().any(|p| matches_glob(p, tool))
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters. Linear in
/// `pattern × text` at worst, without recursion: patterns and names come from other parties.
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pattern.rsplit('*').next().filter(|_| pattern.contains('*')) else {
        return rest.is_empty();
    };
    let Some(mut middle) = rest.strip_suffix(last) else {
        return false;
    };
    let mut inner: Vec<&str> = pieces.collect();
    inner.pop();
    for piece in inner {
        let Some(at) = middle.find(piece) else {
            return false;
        };
        middle = middle.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a.b", true),
            ("acme.*", "acme.billing", true),
            ("acme.*", "acme", false),
            ("*.read", "files.read", true),
            ("*.read", "files.reads", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "a_c_b_c", true),
            ("ab*b", "ab", false),
            ("*weather*", "get_weather_now", true),
            ("*weather*", "get_time", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches_glob(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
