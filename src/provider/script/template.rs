//! Texts with `{user}`, `{result}`, `{place}`, `{param}`, `{step}` and `{i}` in them.

use super::choose::Scene;

/// Where to look for the weather when nobody says.
const DEFAULT_PLACE: &str = "Paris";

/// Fills a text in. Braces around anything else stay as they are.
pub(super) fn text(template: &str, scene: &Scene<'_>, i: usize) -> String {
    fill(template, scene, i, &mut |value, out| out.push_str(value))
}

/// Fills the text of JSON in: values are escaped as they must be within a string.
pub(super) fn json(template: &str, scene: &Scene<'_>, i: usize) -> String {
    fill(template, scene, i, &mut |value, out| {
        let quoted = serde_json::to_string(value).unwrap_or_default();
        out.push_str(quoted.trim_matches('"'));
    })
}

fn fill(
    template: &str,
    scene: &Scene<'_>,
    i: usize,
    push: &mut dyn FnMut(&str, &mut String),
) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let name = after.split_once('}').map(|(name, _)| name);
        match name.and_then(|name| value(name, scene, i)) {
            Some((name, value)) => {
                push(&value, &mut out);
                rest = after.get(name.len() + 1..).unwrap_or_default();
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn value<'n>(name: &'n str, scene: &Scene<'_>, i: usize) -> Option<(&'n str, String)> {
    let value = match name {
        "user" => scene.user.clone(),
        "result" => scene.result.clone(),
        "place" => place(&scene.user),
        "param" => scene.parameter.to_owned(),
        "step" => scene.step.to_string(),
        "i" => i.to_string(),
        _ => return None,
    };
    Some((name, value))
}

/// The place a text speaks of: the capitalised words behind `in`, `for`, `at` or `of`, else the last
/// capitalised word that begins no sentence, else Paris.
pub(super) fn place(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let bare = |word: &str| {
        let trimmed = word.trim_matches(|c: char| !c.is_alphanumeric());
        trimmed.strip_suffix("'s").unwrap_or(trimmed).to_owned()
    };
    let is_name = |word: &str| bare(word).chars().next().is_some_and(char::is_uppercase);
    let ends = |word: &str| word.ends_with([',', '.', '?', '!', ';', ':']);
    let behind = words.windows(2).position(|pair| {
        matches!(pair, [before, name]
            if ["in", "for", "at", "of"].contains(&&*before.to_lowercase()) && is_name(name))
    });
    if let Some(at) = behind {
        let mut name = Vec::new();
        let rest = words.get(at + 1..).unwrap_or_default();
        for word in rest.iter().take_while(|word| is_name(word)) {
            name.push(bare(word));
            if ends(word) {
                break;
            }
        }
        return name.join(" ");
    }
    let inner = words.windows(2).rev().find_map(|pair| match pair {
        [before, name] if is_name(name) && !before.ends_with(['.', '?', '!']) => Some(bare(name)),
        _ => None,
    });
    inner
        .filter(|name| name != "I")
        .unwrap_or_else(|| DEFAULT_PLACE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_is_found_in_the_prompt() {
        for (text, expected) in [
            ("What is the weather in Berlin?", "Berlin"),
            ("Weather for New York, please", "New York"),
            ("How warm is Oslo's harbour?", "Oslo"),
            ("what now?", "Paris"),
            ("Hello", "Paris"),
            ("", "Paris"),
            ("In Rome, is it hot?", "Rome"),
        ] {
            assert_eq!(place(text), expected, "{text}");
        }
    }
}
