//! The same request is the same bytes, whatever it was made of, and keeps the order it was given in:
//! vendors cache prompts by their bytes.

use std::sync::Arc;

use proptest::prelude::*;

use super::all;
use crate::{
    domain::{
        completion::Request,
        json::JsonText,
        message::{Message, Role},
        model::Options,
        tool::ToolSpec,
    },
    provider::protocol::Call,
    run::{port::Answer, sample},
};

/// Tools in this order, each with a schema whose keys stand in the order of `keys`.
fn tools(order: &[usize], keys: &[usize]) -> Vec<Arc<ToolSpec>> {
    let properties: Vec<String> = keys
        .iter()
        .map(|key| format!(r#""key_{key}": {{"type":"string","description":"{key}"}}"#))
        .collect();
    let schema = format!(
        r#"{{"type":"object","properties":{{{}}},"required":["key_0"]}}"#,
        properties.join(", ")
    );
    let tool = |number: &usize| ToolSpec {
        description: format!("Does {number}."),
        ..sample::tool(&format!("tool_{number}"), &schema)
    };
    order.iter().map(tool).map(Arc::new).collect()
}

/// A request whose options for vendors are put in one by one, in this order.
fn request(order: &[usize], keys: &[usize], vendors: &[usize]) -> Request {
    const VENDORS: [&str; 5] = ["openai", "anthropic", "gemini", "cohere", "ollama"];
    let mut options = Options {
        temperature: Some(0.5),
        ..Options::default()
    };
    for vendor in vendors {
        let extra = JsonText::parse_object(&format!(r#"{{"z":1,"extra":{{"b":{vendor},"a":2}}}}"#));
        let name = VENDORS[*vendor].to_owned();
        options.provider_options.insert(name, extra.unwrap());
    }
    Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from(tools(order, keys)),
        options: Arc::new(options),
    }
}

fn shuffled(count: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..count).collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_request_is_the_same_bytes_in_the_order_it_was_given(
        order in shuffled(6),
        keys in shuffled(5),
        vendors in shuffled(5),
    ) {
        for family in all() {
            let body = |vendors: &[usize]| {
                let request = request(&order, &keys, vendors);
                let call = Call { model: &family.model, request: &request, answer: Answer::Streamed };
                String::from_utf8(family.protocol().encode(call).unwrap().body).unwrap()
            };
            let first = body(&vendors);
            prop_assert_eq!(&first, &body(&[0, 1, 2, 3, 4]), "{}", &family.name);

            let places: Vec<_> = order
                .iter()
                .map(|tool| first.find(&format!(r#""name":"tool_{tool}""#)))
                .collect();
            prop_assert!(places.iter().all(Option::is_some), "{}", &family.name);
            prop_assert!(places.is_sorted(), "{}: the tools' order", &family.name);
            let schema = tools(&[0], &keys)[0].input_schema.as_str().to_owned();
            let keys_stand = keys.iter().map(|key| first.find(&format!(r#""key_{key}":"#)));
            let keys_stand: Vec<_> = keys_stand.collect();
            prop_assert!(keys_stand.is_sorted(), "{}: the order of keys", &family.name);
            prop_assert!(first.contains(&schema), "{}: the schema as it came", &family.name);
        }
    }
}
