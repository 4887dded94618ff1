//! The layers, from the lowest: defaults, file, environment, flags; then the files and variables that
//! the configuration names; then the checks across keys.

use std::path::{Path, PathBuf};

use super::{
    Config, Environment, PROVIDER_KINDS, Provider, check,
    problem::{Origin, Problem, Problems},
    section::{Reading, Setting},
    tokens,
    tree::{self, Node, Table, Value},
};
use crate::domain::secret::Secret;

/// What every variable of the configuration begins with.
const PREFIX: &str = "RUNWIRE__";

/// A flag of the command line that sets a key.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag, for errors: `--listen`.
    pub flag: &'static str,
    /// The key, dotted.
    pub key: &'static str,
    /// The value, as it would stand in a variable.
    pub value: String,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file; `None`: no file.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// Flags, the strongest.
    pub flags: Vec<Flag>,
}

/// A provider whose variables are read here; those of the other vendors are read with their tables.
struct BuiltIn {
    name: &'static str,
    key_variable: Option<&'static str>,
    url_variable: Option<&'static str>,
}

const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "openai",
        key_variable: Some("OPENAI_API_KEY"),
        url_variable: Some("OPENAI_BASE_URL"),
    },
    BuiltIn {
        name: "ollama",
        key_variable: None,
        url_variable: Some("OLLAMA_API_URL"),
    },
    BuiltIn {
        name: "lmstudio",
        key_variable: None,
        url_variable: Some("LMSTUDIO_API_URL"),
    },
    BuiltIn {
        name: "script",
        key_variable: None,
        url_variable: None,
    },
];

impl Config {
    /// Reads and checks all layers.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(layers: &Layers) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut root = layers
            .file
            .as_deref()
            .map(|path| read_file(path, &mut problems))
            .unwrap_or_default();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        put_variables(&mut root, &layers.environment);
        for flag in &layers.flags {
            let path: Vec<&str> = flag.key.split('.').collect();
            tree::put(&mut root, &path, text(Origin::Flag(flag.flag), &flag.value));
        }

        let mut reading = Reading::default();
        let whole = Node {
            origin: None,
            value: Value::Table(root),
        };
        let mut config = Self::read(whole, &mut reading).unwrap_or_default();
        let base = layers.file.as_deref().and_then(Path::parent);
        config.resolve(
            base.unwrap_or(Path::new("")),
            &layers.environment,
            &mut reading,
        );
        check::check(&config, &mut reading);
        if reading.problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems(reading.problems))
        }
    }

    /// Fills what the environment and other files hold. Paths are relative to the configuration's file.
    fn resolve(&mut self, base: &Path, environment: &Environment, reading: &mut Reading) {
        for (name, provider) in &mut self.providers {
            provider.is_named = says_something(name, provider);
        }
        for name in PROVIDER_KINDS {
            self.providers.entry((*name).to_owned()).or_default();
        }
        for (name, provider) in &mut self.providers {
            resolve_provider(name, provider, base, environment, reading);
        }
        for (name, server) in &mut self.mcp.servers {
            // A name without a slash is looked for on the path.
            let is_path = |command: &Path| command.components().count() > 1;
            if let Some(command) = server.command.as_mut().filter(|command| is_path(command)) {
                *command = base.join(&*command);
            }
            if let Some(directory) = &mut server.working_dir {
                *directory = base.join(&*directory);
            }
            server.resolve(name, environment, reading);
        }
        let tls = &mut self.server.tls;
        for path in [&mut tls.cert, &mut tls.key, &mut tls.client_ca]
            .into_iter()
            .flatten()
        {
            *path = base.join(&*path);
        }
        if let Some(path) = &mut self.auth.tokens_file {
            *path = base.join(&*path);
            match tokens::read(path) {
                Ok(tokens) => self.auth.tokens = tokens,
                Err(problems) => reading.problems.extend(problems.0),
            }
        }
        for (name, grant) in &self.auth.principals {
            if let Ok(principal) = grant.principal(name) {
                self.auth.certificates.insert(name.clone(), principal);
            }
        }
        match &mut self.store.data_dir {
            Some(path) => *path = base.join(&*path),
            unset => *unset = default_data_dir(environment),
        }
    }
}

/// `$XDG_DATA_HOME/runwire`, else `~/.local/share/runwire`.
fn default_data_dir(environment: &Environment) -> Option<PathBuf> {
    let data_home = environment.get("XDG_DATA_HOME").map(PathBuf::from);
    // The XDG specification: a path that is not absolute is to be ignored.
    let data_home = data_home.filter(|path| path.is_absolute());
    let home = || {
        environment
            .get("HOME")
            .map(|home| Path::new(home).join(".local/share"))
    };
    data_home.or_else(home).map(|data| data.join("runwire"))
}

/// Whether a provider's section is more than the defaults: all of them stand in what `config show` prints.
fn says_something(name: &str, provider: &Provider) -> bool {
    let bare = Provider {
        kind: provider.kind.clone(),
        ..Provider::default()
    };
    let is_another = provider.kind.as_deref().is_some_and(|kind| kind != name);
    is_another || format!("{:?}", bare.show()) != format!("{:?}", provider.show())
}

fn resolve_provider(
    name: &str,
    provider: &mut Provider,
    base: &Path,
    environment: &Environment,
    reading: &mut Reading,
) {
    if let Some(built_in) = BUILT_IN.iter().find(|built_in| built_in.name == name) {
        if provider.base_url.is_none() {
            let url = built_in
                .url_variable
                .and_then(|variable| environment.get(variable));
            provider.base_url = url.map(str::to_owned);
        }
        if provider.api_key_env.is_none() && provider.api_key_file.is_none() {
            provider.api_key_env = built_in.key_variable.map(str::to_owned);
        }
    }
    if provider.kind.is_none() {
        provider.kind = Some(name.to_owned());
    }
    if let Some(script) = &mut provider.script {
        *script = base.join(&*script);
    }
    if let Some(file) = &mut provider.api_key_file {
        *file = base.join(&*file);
        match std::fs::read_to_string(&*file) {
            Ok(key) if key.trim().is_empty() => reading.report_at(
                &format!("providers.{name}.api_key_file"),
                format!("{} holds no key", file.display()),
            ),
            Ok(key) => provider.api_key = Some(Secret::new(&key)),
            Err(error) => reading.report_at(
                &format!("providers.{name}.api_key_file"),
                format!("cannot read {}: {error}", file.display()),
            ),
        }
    } else if let Some(variable) = &provider.api_key_env {
        provider.api_key = environment.get(variable).map(Secret::new);
    }
    provider.api_key.take_if(|key| key.is_empty());
    for (header, variable) in &provider.headers_env {
        match environment.get(variable).map(Secret::new) {
            Some(value) => drop(provider.secret_headers.insert(header.clone(), value)),
            None => provider.missing_variable = Some(variable.clone()),
        }
    }
    if let Some(variable) = &provider.proxy_env {
        provider.secret_proxy = environment.get(variable).map(Secret::new);
        if provider.secret_proxy.is_none() {
            provider.missing_variable = Some(variable.clone());
        }
    }
}

fn read_file(path: &Path, problems: &mut Vec<Problem>) -> Table {
    match std::fs::read_to_string(path) {
        Ok(text) => tree::parse(path, &text, problems),
        Err(error) => {
            problems.push(Problem {
                origin: None,
                key: String::new(),
                message: format!("cannot read {}: {error}", path.display()),
            });
            Table::new()
        }
    }
}

/// `RUNWIRE__SERVER__LISTEN` is `server.listen`: two underscores part the keys, letters become small.
fn put_variables(root: &mut Table, environment: &Environment) {
    for (name, value) in environment.beginning_with(PREFIX) {
        let key = name
            .strip_prefix(PREFIX)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let path: Vec<&str> = key.split("__").collect();
        tree::put(root, &path, text(Origin::Variable(name.to_owned()), value));
    }
}

fn text(origin: Origin, value: &str) -> Node {
    Node {
        origin: Some(origin),
        value: Value::Text(value.to_owned()),
    }
}
