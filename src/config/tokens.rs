//! The tokens file: who holds which bearer token. It holds hashes, so reading it gives nobody a token.
//!
//! ```toml
//! [[token]]
//! name = "billing"
//! tenant = "acme"
//! scopes = ["runs.write", "runs.read", "tools.use"]
//! use_tools = ["billing.*"]
//! sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! ```

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::{
    Grant,
    problem::{Problem, Problems},
    section::{Reading, Setting as _, section},
    tree::{self, Node, Value},
};
use crate::domain::{
    principal::{Principal, Scope, Tenant},
    secret::Secret,
};

/// The largest tokens file that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A bearer token's hash, and who holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// Who holds it.
    pub principal: Principal,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

section! {
    /// An entry of the file.
    Entry {
        /// The principal's name: kept in runs, told to tool hosts.
        name: String = String::new(),
        /// Whose data it works on.
        tenant: String = "default".to_owned(),
        /// What it may do.
        scopes: Vec<String> = Vec::new(),
        /// Tool names that it may host.
        host_tools: Vec<String> = Vec::new(),
        /// Tool names that it may bind to runs.
        use_tools: Vec<String> = Vec::new(),
        /// SHA-256 of the token, 64 hexadecimal digits.
        sha256: String = String::new(),
    }
}

/// Reads a tokens file.
pub(super) fn read(path: &Path) -> Result<Vec<Token>, Problems> {
    let whole = |message: String| {
        Problems(vec![Problem {
            origin: None,
            key: "auth.tokens_file".to_owned(),
            message,
        }])
    };
    let cannot = |error: std::io::Error| whole(format!("cannot read {}: {error}", path.display()));
    if std::fs::metadata(path).map_err(cannot)?.len() > MAX_FILE_BYTES {
        return Err(whole(format!("{} is larger than 16 MiB", path.display())));
    }
    parse(path, &std::fs::read_to_string(path).map_err(cannot)?)
}

/// Parses the text of a tokens file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Token>, Problems> {
    let mut problems = Vec::new();
    let mut table = tree::parse(path, text, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let mut reading = Reading::default();
    let entries = table.remove("token");
    reading.finish(table, &["token"]);
    let mut tokens = Vec::new();
    let mut seen = BTreeMap::new();
    for (index, node) in entries
        .map(items)
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let origin = node.origin.clone();
        let Some(entry) = reading.below::<Entry>(&format!("token[{index}]"), node) else {
            continue;
        };
        match entry.token() {
            Ok(token) => {
                if let Some(first) = seen.insert(token.sha256, index) {
                    reading.report(
                        origin,
                        format!("token[{index}] is the same token as token[{first}]"),
                    );
                }
                tokens.push(token);
            }
            Err(messages) => {
                for (key, message) in messages {
                    reading.problems.push(Problem {
                        origin: origin.clone(),
                        key: format!("token[{index}].{key}"),
                        message,
                    });
                }
            }
        }
    }
    if reading.problems.is_empty() {
        Ok(tokens)
    } else {
        Err(Problems(reading.problems))
    }
}

fn items(node: Node) -> Vec<Node> {
    match node.value {
        Value::Array(items) => items,
        Value::Table(_)
        | Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Date(_)
        | Value::Text(_) => vec![node],
    }
}

/// What is wrong, by key.
type Wrong = Vec<(&'static str, String)>;

impl Entry {
    fn token(self) -> Result<Token, Wrong> {
        let sha256 = parse_hash(&self.sha256);
        let grant = Grant {
            tenant: self.tenant,
            scopes: self.scopes,
            host_tools: self.host_tools,
            use_tools: self.use_tools,
        };
        match (grant.principal(&self.name), sha256) {
            (Ok(principal), Some(sha256)) => Ok(Token { sha256, principal }),
            (principal, sha256) => {
                let mut wrong = principal.err().unwrap_or_default();
                if sha256.is_none() {
                    // Not shown: somebody may have put the token itself here.
                    wrong.push((
                        "sha256",
                        "is 64 hexadecimal digits (value not shown)".to_owned(),
                    ));
                }
                Err(wrong)
            }
        }
    }
}

impl Grant {
    /// The principal of that name.
    ///
    /// # Errors
    /// What is wrong, by key.
    pub(super) fn principal(&self, name: &str) -> Result<Principal, Wrong> {
        let mut wrong = Wrong::new();
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            wrong.push((
                "name",
                "is 1 to 128 characters without control characters".to_owned(),
            ));
        }
        let tenant = Tenant::parse(&self.tenant);
        if tenant.is_none() {
            wrong.push((
                "tenant",
                format!("{:?} is not 1 to 63 of a-z 0-9 - _", self.tenant),
            ));
        }
        let mut scopes = Vec::new();
        for scope in &self.scopes {
            match Scope::parse(scope) {
                Some(scope) => scopes.push(scope),
                None => wrong.push((
                    "scopes",
                    format!("{scope:?} is not one of {}", scope_names()),
                )),
            }
        }
        match tenant {
            Some(tenant) if wrong.is_empty() => Ok(Principal {
                tenant,
                name: Arc::from(name),
                scopes,
                host_tools: self.host_tools.clone(),
                use_tools: self.use_tools.clone(),
            }),
            Some(_) | None => Err(wrong),
        }
    }
}

fn scope_names() -> String {
    Scope::ALL.map(Scope::name).join(", ")
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = str::from_utf8(digits).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(hash)
}

/// Makes a token of 256 random bits, and the entry that belongs in the tokens file.
///
/// # Errors
/// A name, tenant or scope that is none.
pub fn new_token(name: &str, grant: &Grant) -> Result<(Secret, String), Problems> {
    grant.principal(name).map_err(|wrong| {
        let problem = |(key, message): (&str, String)| Problem {
            origin: None,
            key: key.to_owned(),
            message,
        };
        Problems(wrong.into_iter().map(problem).collect())
    })?;
    let mut random = [0; 32];
    let source = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    if source.fill(&mut random).is_err() {
        return Err(Problems(vec![Problem {
            origin: None,
            key: String::new(),
            message: "the system has no random bytes".to_owned(),
        }]));
    }
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let token = format!("rw_{}", engine.encode(random));
    let entry = Entry {
        name: name.to_owned(),
        tenant: grant.tenant.clone(),
        scopes: grant.scopes.clone(),
        host_tools: grant.host_tools.clone(),
        use_tools: grant.use_tools.clone(),
        sha256: hash_of(&token)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    };
    let entry = super::show::table("token", entry.show());
    Ok((Secret::new(&token), entry))
}

/// What the tokens file holds of a token.
pub fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
