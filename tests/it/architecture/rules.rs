//! The dependency rules, as data. Their numbers are those of the invariants in ARCHITECTURE.md.

use super::{File, files_under, no_complaints, paths::Named, paths::paths, read};

/// Rule 1: which modules a module may use beside itself. What is not named here may use nothing.
const ARROWS: [(&str, &[&str]); 14] = [
    ("domain", &[]),
    ("run", &["domain"]),
    ("provider", &["domain", "run"]),
    ("toolhost", &["domain", "run"]),
    ("mcp", &["domain", "run"]),
    ("store", &["domain", "run"]),
    ("pb", &[]),
    // The hub's sessions are what the tool streams are made of: a port between the two would have one
    // implementation and one caller.
    ("rpc", &["domain", "run", "toolhost", "pb"]),
    ("client", &["pb"]),
    ("cli", &["client", "pb", "config", "app"]),
    (
        "config",
        &["domain", "run", "provider", "toolhost", "rpc", "telemetry"],
    ),
    ("telemetry", &["config"]),
    ("shutdown", &["rpc", "toolhost", "run"]),
    (
        "app",
        &[
            "domain",
            "run",
            "provider",
            "toolhost",
            "mcp",
            "store",
            "rpc",
            "config",
            "telemetry",
            "shutdown",
        ],
    ),
];

/// Names that are forbidden in some places.
struct Rule {
    /// Its number among the invariants of ARCHITECTURE.md.
    number: u8,
    /// Where it holds: paths that begin with one of these.
    within: &'static [&'static str],
    /// Where it does not hold.
    except: &'static [&'static str],
    /// Paths that may not be named there.
    forbidden: &'static [&'static str],
}

const RULES: [Rule; 7] = [
    Rule {
        number: 2,
        within: &["src/domain"],
        except: &[],
        forbidden: &[
            "std::fs",
            "std::net",
            "std::io",
            "std::env",
            "std::thread",
            "std::sync::mpsc",
            "std::time::Instant",
            "std::time::SystemTime",
            "async",
            "await",
        ],
    },
    Rule {
        number: 3,
        within: &["src/run/machine"],
        except: &[],
        forbidden: &[
            "async",
            "await",
            "tokio",
            "tokio_util",
            "futures_util",
            "std::time::Instant",
            "std::time::SystemTime",
            "uuid::Uuid",
        ],
    },
    Rule {
        number: 4,
        within: &["src/"],
        except: &["src/rpc", "src/pb", "src/client"],
        forbidden: &[
            "tonic",
            "tonic_prost",
            "tonic_health",
            "tonic_reflection",
            "tonic_types",
            "prost",
        ],
    },
    // The well-known types among the contract's messages.
    Rule {
        number: 4,
        within: &["src/"],
        except: &["src/rpc", "src/pb", "src/client", "src/cli"],
        forbidden: &["prost_types"],
    },
    Rule {
        number: 5,
        within: &["src/"],
        except: &["src/provider", "src/mcp"],
        forbidden: &["reqwest"],
    },
    // Its SDK moves weekly, and writes what is said into the log.
    Rule {
        number: 5,
        within: &["src/"],
        except: &["src/mcp"],
        forbidden: &["rmcp"],
    },
    Rule {
        number: 6,
        within: &["src/"],
        // A switch of a test harness is no setting of the program.
        except: &["src/config", "src/provider/golden.rs"],
        forbidden: &[
            "std::env::var",
            "std::env::var_os",
            "std::env::vars",
            "std::env::vars_os",
        ],
    },
];

/// Rule 2, the other half: of all dependencies, `domain` may use these.
const OF_THE_DOMAIN: [&str; 7] = [
    "serde",
    "serde_json",
    "bytes",
    "thiserror",
    "uuid",
    "base64",
    "memchr",
];

/// What a file does against the rules.
fn complaints(file: &File, dependencies: &[String]) -> Vec<String> {
    let module = module_of(&file.path);
    let named = paths(&module, &file.text);
    let own = module.first().map(String::as_str);
    // Tests may stand on a neighbour: a watch is tested over the store that exists.
    let is_test = module.iter().any(|word| word == "tests");
    let mut found = Vec::new();
    let mut complain = |named: &Named, number: u8| {
        let (path, line) = (&file.path, named.line);
        found.push(format!(
            "{path}:{line} uses {}; rule {number} of ARCHITECTURE.md",
            named.path
        ));
    };
    for name in &named {
        if !is_test && !may_use(own, name) {
            complain(name, 1);
        }
        if own == Some("domain")
            && dependencies.iter().any(|d| name.is_under(d))
            && !OF_THE_DOMAIN.iter().any(|allowed| name.is_under(allowed))
        {
            complain(name, 2);
        }
        for rule in &RULES {
            let begins = |prefixes: &[&str]| prefixes.iter().any(|p| file.path.starts_with(p));
            if begins(rule.within)
                && !begins(rule.except)
                && rule.forbidden.iter().any(|prefix| name.is_under(prefix))
            {
                complain(name, rule.number);
            }
        }
    }
    found
}

/// Whether the arrow from a module to a path is one of [`ARROWS`].
fn may_use(own: Option<&str>, named: &Named) -> bool {
    let Some(target) = ARROWS
        .iter()
        .map(|(module, _)| *module)
        .find(|module| named.is_under(&format!("crate::{module}")))
    else {
        return true;
    };
    // main.rs and lib.rs stand above all modules.
    let Some(own) = own else { return true };
    let allowed = ARROWS.iter().find(|(module, _)| *module == own);
    own == target || allowed.is_some_and(|(_, allowed)| allowed.contains(&target))
}

/// `src/rpc/convert.rs` is the module `rpc::convert`; `src/lib.rs` and `src/main.rs` are the root.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let words = inner.split('/').map(str::to_owned);
    words
        .filter(|word| word != "lib" && word != "main")
        .collect()
}

/// The crates that Cargo.toml names, as Rust spells them.
fn dependencies() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let section = manifest.split("[dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once('='));
    let names = names.filter(|(name, _)| !name.starts_with('#'));
    names
        .map(|(name, _)| name.trim().replace('-', "_"))
        .collect()
}

#[test]
fn modules_use_only_what_the_rules_allow() {
    let dependencies = dependencies();
    assert!(
        dependencies.contains(&"tonic_health".to_owned()),
        "{dependencies:?}"
    );
    let files = files_under("src");
    let found: Vec<String> = files
        .iter()
        .flat_map(|f| complaints(f, &dependencies))
        .collect();
    no_complaints(&found);
}

#[test]
fn every_module_has_its_arrows() {
    let files = files_under("src");
    let tops = files
        .iter()
        .filter_map(|file| module_of(&file.path).into_iter().next());
    let missing: Vec<String> = tops
        .filter(|top| !ARROWS.iter().any(|(module, _)| module == top))
        .map(|top| format!("{top}: not in ARROWS"))
        .collect();
    no_complaints(&missing);
}

#[test]
fn a_planted_violation_is_found() {
    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let (path, text) = (path.to_owned(), text.to_owned());
        assert_eq!(complaints(&File { path, text }, &dependencies()), expected);
    }
    check(
        "src/run/driver.rs",
        "//! Doc.\n\nuse crate::{domain::id, rpc::pb};\nuse tonic::Status;",
        &[
            "src/run/driver.rs:3 uses crate::rpc::pb; rule 1 of ARCHITECTURE.md",
            "src/run/driver.rs:4 uses tonic::Status; rule 4 of ARCHITECTURE.md",
        ],
    );
    check(
        "src/domain/id.rs",
        "fn now() { tracing::info!(); std::time::SystemTime::now(); }",
        &[
            "src/domain/id.rs:1 uses tracing::info; rule 2 of ARCHITECTURE.md",
            "src/domain/id.rs:1 uses std::time::SystemTime::now; rule 2 of ARCHITECTURE.md",
        ],
    );
    check(
        "src/run/machine/turn.rs",
        "async fn step() {}",
        &["src/run/machine/turn.rs:1 uses async; rule 3 of ARCHITECTURE.md"],
    );
    check(
        "src/toolhost/hub.rs",
        "use super::super::store::Memory;",
        &["src/toolhost/hub.rs:1 uses crate::store::Memory; rule 1 of ARCHITECTURE.md"],
    );
    check(
        "src/rpc/run.rs",
        "use crate::{pb::v1, run::Runs, toolhost::Hub};",
        &[],
    );
}
