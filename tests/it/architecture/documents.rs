//! What the documents promise: each reason has its page, each invariant its test.

use runwire::domain::fault::{Code, Reason};

use super::{files_under, no_complaints, read, top};

/// The values of `ErrorReason` in the contract, in order, without the prefix and the zero value.
fn reasons_of_the_contract() -> Vec<String> {
    let proto = read("proto/runwire/v1/error_reason.proto");
    let values = proto.lines().filter_map(|line| {
        let (name, number) = line
            .trim()
            .strip_prefix("ERROR_REASON_")?
            .split_once(" = ")?;
        Some((
            name.to_owned(),
            number.trim_end_matches(';').parse::<usize>().unwrap(),
        ))
    });
    let values: Vec<_> = values.filter(|(_, number)| *number > 0).collect();
    for (index, (name, number)) in values.iter().enumerate() {
        assert_eq!(*number, index + 1, "the number of {name}");
    }
    values.into_iter().map(|(name, _)| name).collect()
}

/// A code as the pages spell it.
fn spelled(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[test]
fn the_contract_lists_the_reasons_in_the_order_of_the_server() {
    let server: Vec<String> = Reason::ALL.iter().map(|r| r.name().to_owned()).collect();
    assert_eq!(reasons_of_the_contract(), server);
}

#[test]
fn every_reason_has_a_page_with_its_code_and_every_page_a_reason() {
    let pages = files_under("docs/errors");
    let mut complaints = Vec::new();
    for reason in Reason::ALL {
        let path = format!("docs/errors/{reason}.md");
        let Some(page) = pages.iter().find(|page| page.path == path) else {
            complaints.push(format!("{path} is missing"));
            continue;
        };
        let code = spelled(reason.code());
        if !page.text.starts_with(&format!("# {reason}\n\n`{code}`")) {
            complaints.push(format!(
                "{path} must begin with its name and the code {code}"
            ));
        }
        for heading in ["\n## Cause\n", "\n## What to do\n", "\n## Metadata\n"] {
            if !page.text.contains(heading) {
                complaints.push(format!(
                    "{path} has no section{}",
                    heading.replace('\n', " ")
                ));
            }
        }
    }
    for page in &pages {
        let name = page
            .path
            .trim_start_matches("docs/errors/")
            .trim_end_matches(".md");
        if name != "README" && !Reason::ALL.iter().any(|reason| reason.name() == name) {
            complaints.push(format!("{} belongs to no reason", page.path));
        }
    }
    no_complaints(&complaints);
}

/// The keys that a page lists under "Metadata", or that a source file gives to a fault.
fn quoted<'a>(text: &'a str, before: &'a str, after: char) -> impl Iterator<Item = &'a str> {
    let rest = text.split(before).skip(1);
    rest.filter_map(move |rest| rest.split_once(after).map(|(key, _)| key))
}

#[test]
fn every_metadata_key_of_a_fault_is_on_a_page_and_in_the_contract() {
    let pages = files_under("docs/errors");
    let listed: Vec<&str> = pages
        .iter()
        .filter_map(|page| page.text.split_once("\n## Metadata\n"))
        .flat_map(|(_, section)| quoted(section, "- `", '`'))
        .collect();
    let contract = read("proto/runwire/v1/error_reason.proto");
    let promised: Vec<&str> = quoted(&contract, "// Metadata: ", '.')
        .flat_map(|keys| keys.split(", "))
        .collect();
    let mut complaints = Vec::new();
    for source in files_under("src") {
        let program = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for key in quoted(program, ".with(\"", '"') {
            if !listed.contains(&key) || !promised.contains(&key) {
                complaints.push(format!("{}: {key} is not documented", source.path));
            }
        }
    }
    no_complaints(&complaints);
}

/// What the Markdown file links to within the project, as paths from the project's folder.
fn links(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let targets =
        quoted(text, "](", ')').map(|target| target.split('#').next().unwrap_or_default());
    let inner = targets.filter(|target| !target.is_empty() && !target.contains("://"));
    inner
        .map(|target| {
            let mut steps: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
            for step in target.split('/') {
                match step {
                    ".." => drop(steps.pop()),
                    "." => {}
                    step => steps.push(step),
                }
            }
            steps.join("/")
        })
        .collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut complaints = Vec::new();
    for file in files_under("") {
        if file.path.ends_with(".md") {
            let links = links(&file.path, &file.text).into_iter();
            let dead = links.filter(|target| !top().join(target).exists());
            complaints.extend(dead.map(|target| format!("{}: there is no {target}", file.path)));
        }
    }
    no_complaints(&complaints);
}

#[test]
fn links_are_read_from_the_folder_of_their_file() {
    let text = "[a](b.md) [c](../d.md#e) [f](https://example.com) [g](#h)";
    assert_eq!(links("docs/x.md", text), ["docs/b.md", "d.md"]);
}

/// The items of the section "Invariants": their numbers and the tests that they name, which stand
/// in backticks behind "Held by".
fn invariants(document: &str) -> Vec<(usize, Vec<String>)> {
    let section = document
        .split("\n## Invariants\n")
        .nth(1)
        .unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut items: Vec<(usize, String)> = Vec::new();
    for line in section.lines() {
        let number = line.split_once(". ").and_then(|(n, _)| n.parse().ok());
        match (number, items.last_mut()) {
            (Some(number), _) => items.push((number, line.to_owned())),
            (None, Some((_, text))) => *text = format!("{text} {}", line.trim()),
            (None, None) => {}
        }
    }
    let tests = |text: &str| {
        let held = text.split_once("Held by ").map_or("", |(_, tests)| tests);
        let quoted = held.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    items
        .iter()
        .map(|(number, text)| (*number, tests(text)))
        .collect()
}

#[test]
fn every_invariant_is_held_by_a_test_that_exists() {
    let sources: Vec<_> = ["src", "tests", "clients"]
        .iter()
        .flat_map(|f| files_under(f))
        .collect();
    let exists = |test: &str| {
        let (rust, python) = (format!("fn {test}("), format!("def {test}("));
        sources
            .iter()
            .any(|file| file.text.contains(&rust) || file.text.contains(&python))
    };
    let invariants = invariants(&read("ARCHITECTURE.md"));
    assert!(
        invariants.len() >= 30,
        "only {} invariants were found",
        invariants.len()
    );
    let mut complaints = Vec::new();
    for (index, (number, tests)) in invariants.iter().enumerate() {
        if *number != index + 1 {
            complaints.push(format!("invariant {number} stands at place {}", index + 1));
        }
        if tests.is_empty() {
            complaints.push(format!("invariant {number} names no test"));
        }
        let missing = tests.iter().filter(|test| !exists(test));
        complaints.extend(missing.map(|t| format!("invariant {number}: there is no test {t}")));
    }
    no_complaints(&complaints);
}

#[test]
fn the_invariants_are_read_with_their_tests() {
    let text =
        "\n## Invariants\n\n1. One.\n   Held by `a` and\n   `b`.\n2. Two.\n\n## Next\n3. No.";
    let expected = [(1, vec!["a".to_owned(), "b".to_owned()]), (2, vec![])];
    assert_eq!(invariants(text), expected);
}
