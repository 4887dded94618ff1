//! Which paths a Rust file names: enough of a parser to see `use crate::{rpc::pb, run}` as two paths.

/// A path that a file names, with `super` and `self` resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The line, from 1.
    pub(super) line: usize,
    /// The path, such as `crate::rpc::pb` or `tokio::sync::mpsc`. A single word stands for itself.
    pub(super) path: String,
}

impl Named {
    /// Whether the path is `prefix` or lies under it.
    pub(super) fn is_under(&self, prefix: &str) -> bool {
        let rest = self.path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

/// Every path that the code of `module` (such as `["rpc", "convert"]`) names.
pub(super) fn paths(module: &[String], code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        found: Vec::new(),
    };
    let mut here = module.to_vec();
    // The braces that are open: whether each one is that of an inline module.
    let mut braces: Vec<bool> = Vec::new();
    while let Some((_, token)) = reader.tokens.get(reader.at) {
        match token {
            Token::Word(word) if word == "mod" => {
                if let Some((_, Token::Word(name))) = reader.tokens.get(reader.at + 1)
                    && reader.is_mark(reader.at + 2, '{')
                {
                    here.push(name.clone());
                    braces.push(true);
                    reader.at += 3;
                } else {
                    reader.at += 1;
                }
            }
            Token::Word(_) => reader.path(&here, ""),
            Token::Mark(mark) => {
                match mark {
                    '{' => braces.push(false),
                    '}' => {
                        let closes_a_module = braces.pop() == Some(true);
                        if closes_a_module {
                            here.pop();
                        }
                    }
                    _ => {}
                }
                reader.at += 1;
            }
            Token::Colons => reader.at += 1,
        }
    }
    reader.found
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Colons,
    Mark(char),
}

struct Reader<'a> {
    tokens: &'a [(usize, Token)],
    at: usize,
    found: Vec<Named>,
}

impl Reader<'_> {
    fn is_mark(&self, at: usize, mark: char) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|(_, t)| *t == Token::Mark(mark))
    }

    /// Reads one path, or a group of them, behind `prefix`.
    fn path(&mut self, here: &[String], prefix: &str) {
        let mut path = prefix.to_owned();
        let mut line = 0;
        while let Some((at, Token::Word(word))) = self.tokens.get(self.at) {
            line = *at;
            join(&mut path, word);
            self.at += 1;
            if !matches!(self.tokens.get(self.at), Some((_, Token::Colons))) {
                break;
            }
            self.at += 1;
            if self.is_mark(self.at, '{') {
                self.at += 1;
                while self.at < self.tokens.len() && !self.is_mark(self.at, '}') {
                    match self.tokens.get(self.at) {
                        Some((_, Token::Word(_))) => self.path(here, &path),
                        _ => self.at += 1,
                    }
                }
                self.at += 1;
                return;
            }
        }
        let path = resolve(here, &path);
        self.found.push(Named { line, path });
    }
}

fn join(path: &mut String, word: &str) {
    if !path.is_empty() {
        path.push_str("::");
    }
    path.push_str(word);
}

/// Turns `super::x` and `self::x` into paths from `crate`.
fn resolve(here: &[String], path: &str) -> String {
    let mut module = here.to_vec();
    let mut rest: Vec<&str> = path.split("::").collect();
    let relative = matches!(rest.first(), Some(&"super" | &"self"));
    while let Some(&("super" | "self")) = rest.first() {
        if rest.remove(0) == "super" {
            module.pop();
        }
    }
    if !relative {
        return path.to_owned();
    }
    let mut resolved = "crate".to_owned();
    for word in module.iter().map(String::as_str).chain(rest) {
        join(&mut resolved, word);
    }
    resolved
}

/// Words, double colons and other marks; comments, strings and characters are left out.
fn tokens(code: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = code.chars().collect();
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let begin = at;
        let end = skipped(&chars, at);
        if end > at {
            at = end;
        } else if of_a_word(get(at)) {
            while of_a_word(get(at)) {
                at += 1;
            }
            found.push((line, Token::Word(chars[begin..at].iter().collect())));
        } else if get(at) == ':' && get(at + 1) == ':' {
            found.push((line, Token::Colons));
            at += 2;
        } else {
            if !get(at).is_whitespace() {
                found.push((line, Token::Mark(get(at))));
            }
            at += 1;
        }
        line += chars[begin..at].iter().filter(|c| **c == '\n').count();
    }
    found
}

/// Where the comment, string or character that begins at `at` ends; `at` itself when none begins.
fn skipped(chars: &[char], at: usize) -> usize {
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let until = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..chars.len())
            .find(|i| chars[*i..].starts_with(&end))
            .map_or(chars.len(), |i| i + end.len())
    };
    match (get(at), get(at + 1)) {
        ('/', '/') => (at..chars.len())
            .find(|i| get(*i) == '\n')
            .unwrap_or(chars.len()),
        ('/', '*') => until(at + 2, "*/"),
        ('r', '"' | '#') if at == 0 || !get(at - 1).is_alphanumeric() => {
            let hashes = (at + 1..).take_while(|i| get(*i) == '#').count();
            if get(at + 1 + hashes) == '"' {
                until(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes)))
            } else {
                at
            }
        }
        ('"', _) => {
            let mut end = at + 1;
            while end < chars.len() && get(end) != '"' {
                end += if get(end) == '\\' { 2 } else { 1 };
            }
            end + 1
        }
        // A lifetime has no closing quote after one character.
        ('\'', '\\') => until(at + 3, "'"),
        ('\'', _) if get(at + 2) == '\'' => at + 3,
        _ => at,
    }
    .min(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(code: &str) -> Vec<String> {
        let module = ["rpc".to_owned(), "run".to_owned()];
        let paths = paths(&module, code);
        paths.into_iter().map(|named| named.path).collect()
    }

    #[test]
    fn groups_are_taken_apart_and_relative_paths_resolved() {
        let found =
            named("use crate::{\n  domain::{id::RunId, run},\n  store,\n};\nuse super::pb;");
        for path in [
            "crate::domain::id::RunId",
            "crate::domain::run",
            "crate::store",
            "crate::rpc::pb",
        ] {
            assert!(found.iter().any(|f| f == path), "{path} in {found:?}");
        }
    }

    #[test]
    fn an_inline_module_is_one_level_deeper() {
        let found = named("mod tests { use super::super::x; } use super::y;");
        assert!(found.contains(&"crate::rpc::x".to_owned()), "{found:?}");
        assert!(found.contains(&"crate::rpc::y".to_owned()), "{found:?}");
    }

    #[test]
    fn comments_strings_and_characters_name_nothing() {
        let found = named(
            "// tonic::a\n/* tonic::b */ \"tonic::c\\\" tonic::d\" r#\"tonic::e\"# '\"' tonic::f",
        );
        assert_eq!(found, ["tonic::f"]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let found = paths(&[], "/* a\nb */\n\"x\ny\"\ntonic::f");
        assert_eq!(found.first().map(|named| named.line), Some(5));
    }
}
