//! Streams of a small engine that are cut anywhere. Its tokens are bytes and a few longer pieces,
//! so that a cut falls inside characters and white space as well.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const PIECES: [&str; 6] = [" the", "\n\n", "  ", " word", "🦀", " a"];
const PROMPT: [u32; 3] = [900, 901, 902];

fn bytes_of(ids: &[u32]) -> Vec<u8> {
    let piece = |id: &u32| match id.checked_sub(256) {
        Some(place) => PIECES[place as usize].as_bytes().to_vec(),
        None => vec![u8::try_from(*id).unwrap()],
    };
    ids.iter().flat_map(piece).collect()
}

/// As `/detokenize` answers.
fn detokenize(ids: &[u32]) -> String {
    String::from_utf8_lossy(&bytes_of(ids)).into_owned()
}

/// The longest piece first.
fn tokenize(text: &str) -> Vec<u32> {
    let (mut ids, mut rest) = (Vec::new(), text.as_bytes());
    while let Some(first) = rest.first() {
        let pieces =
            PIECES.iter().enumerate().filter(|(_, piece)| rest.starts_with(piece.as_bytes()));
        let longest = pieces.max_by_key(|(_, piece)| piece.len());
        let (id, length) = longest.map_or((u32::from(*first), 1), |(place, piece)| {
            (256 + u32::try_from(place).unwrap(), piece.len())
        });
        ids.push(id);
        rest = &rest[length..];
    }
    ids
}

/// The text of whole characters.
fn whole(ids: &[u32]) -> String {
    let bytes = bytes_of(ids);
    match std::str::from_utf8(&bytes) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8(bytes[..error.valid_up_to()].to_vec()).unwrap(),
    }
}

/// The events of a replica that generates `answer` behind its first `behind` tokens.
fn events(kind: Kind, id: &str, prompt: &[u32], answer: &[u32], behind: usize) -> Vec<String> {
    let usage =
        |completion: usize| json!({"prompt_tokens": prompt.len(), "completion_tokens": completion});
    let chunk = |choice: Value, completion: usize| json!({"id": id, "created": behind, "model": "m", "choices": [choice], "usage": usage(completion)});
    let mut events = Vec::new();
    if kind == Kind::Chat {
        let mut role = chunk(json!({"index": 0, "delta": {"role": "assistant", "content": ""}}), 0);
        role["prompt_token_ids"] = json!(prompt);
        events.push(role.to_string());
    }
    for place in behind..answer.len() {
        let text = whole(&answer[..=place])[whole(&answer[..place]).len()..].to_owned();
        let finish = (place + 1 == answer.len()).then_some("stop");
        let mut choice = json!({"index": 0, "finish_reason": finish, "token_ids": [answer[place]]});
        match kind {
            Kind::Chat => choice["delta"] = json!({"content": text}),
            Kind::Text => choice["text"] = text.into(),
        }
        if kind == Kind::Text && place == behind {
            choice["prompt_token_ids"] = json!(prompt);
        }
        events.push(chunk(choice, place + 1 - behind).to_string());
    }
    events
        .push(json!({"id": id, "choices": [], "usage": usage(answer.len() - behind)}).to_string());
    events.push("[DONE]".into());
    events
}

fn splice(kind: Kind, more: &Value) -> Splice {
    let mut body = match kind {
        Kind::Chat => json!({"messages": [{"role": "user", "content": "hi"}]}),
        Kind::Text => json!({"prompt": "hi", "max_tokens": 900}),
    };
    body["stream"] = true.into();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Splice::new(Request::arm(kind, body.to_string().as_bytes()).unwrap())
}

fn with_usage() -> Value {
    json!({"stream_options": {"include_usage": true}})
}

/// Asks for what is missing, as the proxy does.
fn resume(splice: &mut Splice, by: Kind) -> Result<Asked, Inexact> {
    let window = splice.needs_window().then_some(1000);
    for kept in (1..=splice.tokens().len()).rev() {
        let text = detokenize(&splice.tokens()[..kept]);
        if let Some(asked) = splice.behind(&text, kept, by, window)? {
            return Ok(asked);
        }
    }
    Ok(splice.anew())
}

/// The prompt that an engine makes of what it is asked, with a template that strips white space.
fn prompt_of(asked: &Asked) -> Vec<u32> {
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    if asked.kind == Kind::Text && body["prompt"].is_array() {
        return serde_json::from_value(body["prompt"].clone()).unwrap();
    }
    let said = body["messages"][1]["content"].as_str().unwrap_or_default();
    PROMPT.into_iter().chain(tokenize(said.trim_end())).collect()
}

/// What the caller makes of a stream; one id, one role, one end.
fn read(kind: Kind, out: &[u8]) -> (String, Option<Value>) {
    let text = std::str::from_utf8(out).unwrap();
    let (mut said, mut usage, mut ends, mut roles) = (String::new(), None, 0, 0);
    let (body, rest) = text.split_once("data: [DONE]\n\n").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(rest, "");
    for event in body.split_terminator("\n\n") {
        let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event["id"], "first", "{event}");
        assert!(!event.to_string().contains("token_ids"), "{event}");
        let Some(choice) = event["choices"].get(0) else {
            assert!(usage.replace(event["usage"].clone()).is_none() && ends == 1);
            continue;
        };
        assert!(event.get("usage").is_none(), "{event}");
        let piece = if kind == Kind::Chat { &choice["delta"]["content"] } else { &choice["text"] };
        said.push_str(piece.as_str().unwrap());
        roles += usize::from(choice["delta"].get("role").is_some());
        ends += usize::from(!choice["finish_reason"].is_null());
    }
    assert_eq!((ends, roles), (1, usize::from(kind == Kind::Chat)), "{text}");
    (said, usage)
}

/// Cuts a stream after so many events, and its continuations too; continues as long as that is
/// exact. What the caller has in the end.
fn run(kind: Kind, by: Kind, answer: &[u32], cuts: &[usize]) -> Result<Vec<u8>, Inexact> {
    let mut splice = splice(kind, &with_usage());
    let mut out = Vec::new();
    let (mut prompt, mut endpoint, mut behind) = (PROMPT.to_vec(), kind, 0);
    for leg in 0.. {
        let id = if out.is_empty() { "first" } else { "another" };
        let events = events(endpoint, id, &prompt, answer, behind);
        let cut = cuts.get(leg).map_or(events.len(), |cut| cut % (events.len() + 1));
        for event in &events[..cut] {
            let before = out.len();
            if let Err(error) = splice.push(event, &mut out) {
                assert_eq!(out.len(), before, "nothing is passed on");
                return Err(error);
            }
        }
        if cut == events.len() {
            break;
        }
        match splice.cut() {
            Cut::Complete => {
                splice.complete(&mut out);
                break;
            }
            Cut::Anew => {
                let asked = splice.anew();
                (prompt, endpoint, behind) = (PROMPT.to_vec(), asked.kind, 0);
            }
            Cut::Behind => {
                let asked = resume(&mut splice, by)?;
                (prompt, endpoint) = (prompt_of(&asked), asked.kind);
                behind = splice.tokens().len();
            }
            Cut::Lost(lost) => panic!("{lost:?}"),
        }
    }
    assert_eq!(splice.used(), Some((3, answer.len() as u64, 0)));
    Ok(out)
}

fn check(kind: Kind, by: Kind, answer: &[u32], cuts: &[usize]) -> Result<(), Inexact> {
    let out = run(kind, by, answer, cuts)?;
    let (text, usage) = read(kind, &out);
    assert_eq!(text, whole(answer), "{answer:?} cut at {cuts:?}");
    let usage = usage.unwrap();
    assert_eq!(usage["prompt_tokens"], 3, "{usage}");
    assert_eq!(usage["completion_tokens"], answer.len(), "{usage}");
    Ok(())
}

fn answer() -> Vec<u32> {
    let mut answer = tokenize("It is the word.  🦀");
    // A crab byte by byte, and white space.
    answer.extend("é🦀\n\n the\t end".bytes().map(u32::from));
    answer
}

#[test]
fn a_stream_that_is_cut_after_any_event_reads_as_if_it_had_not_been() {
    let answer = answer();
    for cut in 0..answer.len() + 4 {
        for (kind, by) in [(Kind::Chat, Kind::Text), (Kind::Text, Kind::Text)] {
            assert_eq!(check(kind, by, &answer, &[cut]), Ok(()), "{kind:?} {cut}");
        }
        // By its text it is exact, or nothing comes of it.
        let by_text = check(Kind::Chat, Kind::Chat, &answer, &[cut]);
        assert!(matches!(by_text, Ok(()) | Err(Inexact::Prompt)), "{cut}: {by_text:?}");
    }
}

#[test]
fn a_stream_that_is_cut_inside_its_first_character_begins_anew() {
    let answer: Vec<u32> = "🦀 é".bytes().map(u32::from).collect();
    for cut in 0..answer.len() + 4 {
        for (kind, by) in
            [(Kind::Chat, Kind::Chat), (Kind::Chat, Kind::Text), (Kind::Text, Kind::Text)]
        {
            let checked = check(kind, by, &answer, &[cut]);
            let is_stripped = by == Kind::Chat && checked == Err(Inexact::Prompt);
            assert!(checked == Ok(()) || is_stripped, "{kind:?} {by:?} {cut}: {checked:?}");
        }
    }
}

#[test]
fn where_every_byte_is_a_token_a_half_character_spoils_those_before_it() {
    let mut splice = begun("🎉", &json!({}));
    let half = json!({"delta": {"content": ""}, "token_ids": [0xf0, 0x9f]});
    splice.push(&chunk(&half), &mut Vec::new()).unwrap();
    for kept in [6, 5] {
        let spoiled = "\u{fffd}".repeat(kept);
        assert_eq!(splice.behind(&spoiled, kept, Kind::Chat, None), Ok(None));
    }
    let asked = splice.behind("🎉", 4, Kind::Chat, None).unwrap().unwrap();
    assert!(asked.body.contains("🎉") && splice.tokens().len() == 4);
}

#[test]
fn by_its_tokens_an_answer_without_a_limit_gets_what_the_engine_has_left() {
    let mut splice = begun("xy", &json!({}));
    assert!(splice.needs_window());
    for window in [None, Some(5), Some(4)] {
        assert_eq!(splice.behind("xy", 2, Kind::Text, window), Err(Inexact::Limit));
    }
    let asked = splice.behind("xy", 2, Kind::Text, Some(12)).unwrap().unwrap();
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["max_tokens"], 7, "12 less 3 of the prompt and 2 of the answer");
    assert!(!begun("xy", &json!({"max_tokens": 9})).needs_window());
}

#[test]
fn an_answer_that_the_engine_gives_up_is_cut() {
    for reason in ["abort", "error"] {
        let (mut splice, mut out) = (begun("x", &json!({})), Vec::new());
        let last = json!({"index": 0, "delta": {"content": "y"}, "token_ids": [121], "finish_reason": reason});
        assert_eq!(splice.push(&chunk(&last), &mut out), Ok(Took::Broken));
        let passed = String::from_utf8(out).unwrap();
        assert!(passed.contains(r#""content":"y""#) && !passed.contains(reason), "{passed}");
        assert_eq!((splice.cut(), splice.tokens().len()), (Cut::Behind, 2));
        let words = String::from_utf8(splice.last_words().unwrap()).unwrap();
        assert!(words.contains(reason) && words.ends_with("data: [DONE]\n\n"), "{words}");
    }
}

#[test]
fn a_text_that_its_template_leaves_alone_is_continued_by_its_text() {
    let answer = tokenize("It is the word.🦀 the word");
    let mut exact = 0;
    for cut in 0..answer.len() + 4 {
        exact += usize::from(check(Kind::Chat, Kind::Chat, &answer, &[cut]).is_ok());
    }
    // But not behind the two spaces.
    assert_eq!(exact, answer.len() + 4 - 1);
}

proptest! {
    #[test]
    fn any_answer_may_be_cut_again_and_again(
        ids in prop::collection::vec(prop_oneof![0_u32..128, 256_u32..262, Just(0xf0), Just(0x9f)], 1..24),
        tail in "[ -~é🦀]{0,6}",
        cuts in prop::collection::vec(0_usize..64, 0..4),
        kind in prop_oneof![Just(Kind::Chat), Just(Kind::Text)],
        by in prop_oneof![Just(Kind::Chat), Just(Kind::Text)],
    ) {
        // Bytes that make no character are never delivered.
        let mut answer: Vec<u32> = ids.into_iter().filter(|id| !(128..256).contains(id)).collect();
        answer.extend(tail.bytes().map(u32::from));
        prop_assume!(!answer.is_empty());
        let checked = check(kind, by, &answer, &cuts);
        let may_be = if by == Kind::Chat { Err(Inexact::Prompt) } else { Ok(()) };
        prop_assert!(checked == Ok(()) || checked == may_be, "{checked:?}");
    }
}

fn chunk(choice: &Value) -> String {
    json!({"id": "first", "choices": [choice]}).to_string()
}

/// A stream that has begun with this much text.
fn begun(text: &str, more: &Value) -> Splice {
    let mut splice = splice(Kind::Chat, more);
    for event in &events(Kind::Chat, "first", &PROMPT, &tokenize(&format!("{text}#")), 0)
        [..=tokenize(text).len()]
    {
        assert_eq!(splice.push(event, &mut Vec::new()), Ok(Took::Going));
    }
    splice
}

#[test]
fn what_cannot_be_continued_is_not() {
    let content = json!({"content": "a"});
    for (choice, lost) in [
        (json!({"delta": {"reasoning": "hm"}, "token_ids": [1]}), Lost::Reasoning),
        (json!({"delta": {"reasoning_content": "hm"}, "token_ids": [1]}), Lost::Reasoning),
        (json!({"delta": {"tool_calls": [{"index": 0}]}, "token_ids": [1]}), Lost::ToolCalls),
        (json!({"delta": {"refusal": "no"}, "token_ids": [1]}), Lost::Unknown),
        (json!({"delta": content}), Lost::NoIds),
        (json!({"delta": content, "token_ids": null}), Lost::NoIds),
        (json!({"index": 1, "delta": content, "token_ids": [1]}), Lost::Unknown),
    ] {
        let mut splice = begun("x", &json!({}));
        let mut out = Vec::new();
        assert_eq!(splice.push(&chunk(&choice), &mut out), Ok(Took::Going), "{choice}");
        assert_eq!(splice.cut(), Cut::Lost(lost), "{choice}");
        let passed = String::from_utf8(out).unwrap();
        assert!(passed.starts_with("data: {") && !passed.contains("token_ids"), "{passed}");
        // And the rest passes, whatever it is.
        let mut out = Vec::new();
        assert_eq!(splice.push("[DONE]", &mut out), Ok(Took::Ended));
        assert_eq!(out, b"data: [DONE]\n\n");
    }
    let mut splice = begun("x", &json!({}));
    let uneven = json!({
        "id": "first", "usage": {"prompt_tokens": 3, "completion_tokens": 3},
        "choices": [{"delta": content, "token_ids": [97]}],
    });
    splice.push(&uneven.to_string(), &mut Vec::new()).unwrap();
    assert_eq!(splice.cut(), Cut::Lost(Lost::Uneven));
    let mut splice = self::splice(Kind::Chat, &json!({}));
    splice.push(&chunk(&json!({"delta": {"role": "assistant"}})), &mut Vec::new()).unwrap();
    assert_eq!(splice.cut(), Cut::Lost(Lost::NoIds), "nobody knows the prompt");
}

#[test]
fn an_engine_that_fails_or_ends_without_a_reason_is_a_cut() {
    let failure = r#"{"error":{"message":"EngineDeadError","code":500}}"#;
    for (event, words) in [
        (failure, format!("data: {failure}\n\ndata: [DONE]\n\n")),
        ("[DONE]", "data: [DONE]\n\n".to_owned()),
    ] {
        let (mut splice, mut out) = (begun("x", &json!({})), Vec::new());
        assert_eq!(splice.push(event, &mut out), Ok(Took::Broken));
        assert_eq!((splice.cut(), out.len()), (Cut::Behind, 0));
        assert_eq!(splice.last_words(), Some(words.into_bytes()));
    }
    // What the request is to blame for is its caller's.
    let (mut splice, mut out) = (begun("x", &json!({})), Vec::new());
    let blame = r#"{"error":{"message":"too long","code":400}}"#;
    assert_eq!(splice.push(blame, &mut out), Ok(Took::Going));
    assert_eq!(out, format!("data: {blame}\n\n").into_bytes());
    assert_eq!(splice.cut(), Cut::Lost(Lost::Unknown));
}

#[test]
fn what_comes_behind_the_end_is_dropped_and_what_is_missing_there_added() {
    let mut splice = begun("x", &with_usage());
    let mut out = Vec::new();
    let last =
        json!({"index": 0, "delta": {"content": "y"}, "token_ids": [121], "finish_reason": "stop"});
    splice.push(&chunk(&last), &mut out).unwrap();
    let length = out.len();
    splice
        .push(&chunk(&json!({"delta": {"content": "more"}, "token_ids": [1]})), &mut out)
        .unwrap();
    splice.push(&chunk(&last), &mut out).unwrap();
    splice.push("what?", &mut out).unwrap();
    assert_eq!((out.len(), splice.cut()), (length, Cut::Complete));
    splice.complete(&mut out);
    let end = String::from_utf8(out.split_off(length)).unwrap();
    assert!(end.contains(r#""completion_tokens":2"#) || end.contains(r#""completion_tokens":1"#));
    assert!(end.ends_with("data: [DONE]\n\n") && end.matches("data:").count() == 2, "{end}");
}

#[test]
fn a_second_role_is_left_out() {
    let mut splice = begun("x", &json!({}));
    let mut out = Vec::new();
    let again = json!({"delta": {"role": "assistant", "content": "y"}, "token_ids": [121]});
    splice.push(&chunk(&again), &mut out).unwrap();
    let passed = String::from_utf8(out).unwrap();
    assert!(passed.contains(r#""delta":{"content":"y"}"#), "{passed}");
}

#[test]
fn an_answer_at_its_limit_ends_without_another_replica() {
    let mut splice = begun("xy", &json!({"max_tokens": 2}));
    assert_eq!(splice.cut(), Cut::Complete);
    let mut out = Vec::new();
    splice.complete(&mut out);
    let end = String::from_utf8(out).unwrap();
    assert!(end.contains(r#""finish_reason":"length""#) && end.ends_with("data: [DONE]\n\n"));
}

#[test]
fn tokens_that_read_otherwise_are_not_continued() {
    let mut splice = begun("xy", &json!({}));
    assert_eq!(splice.behind("xz", 2, Kind::Chat, None), Err(Inexact::Text));
    assert_eq!(splice.behind("x", 2, Kind::Chat, None), Err(Inexact::Text));
    let asked = splice.behind("xy", 2, Kind::Chat, None).unwrap().unwrap();
    assert_eq!(asked.kind, Kind::Chat);
    // A replica that thinks, has no ids of its prompt, or another prompt, does not continue it.
    for (delta, prompt, why) in [
        (json!({"content": "a"}), json!(null), Inexact::Prompt),
        (json!({"content": "a"}), json!([900, 901, 902, 120]), Inexact::Prompt),
        (json!({"content": "a"}), json!([900, 901, 902, 120, 121, 1]), Inexact::Prompt),
        (json!({"reasoning": "a"}), json!([900, 901, 902, 120, 121]), Inexact::Foreign),
    ] {
        let mut splice = begun("xy", &json!({}));
        splice.behind("xy", 2, Kind::Chat, None).unwrap();
        let event =
            json!({"prompt_token_ids": prompt, "choices": [{"delta": delta, "token_ids": [97]}]});
        let mut out = Vec::new();
        assert_eq!(splice.push(&event.to_string(), &mut out), Err(why), "{event}");
        assert_eq!(out.len(), 0);
    }
}

#[test]
fn continuous_usage_is_of_the_whole_for_who_asks_for_it() {
    let asks = json!({"stream_options": {"include_usage": true, "continuous_usage_stats": true}});
    let mut splice = begun("xy", &asks);
    let asked = splice.behind("xy", 2, Kind::Chat, None).unwrap().unwrap();
    let prompt = prompt_of(&asked);
    let mut out = Vec::new();
    for event in events(Kind::Chat, "another", &prompt, &tokenize("xyz"), 2) {
        splice.push(&event, &mut out).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches(r#""completion_tokens":3"#).count(), 2, "{text}");
    assert_eq!(text.matches(r#""prompt_tokens":3"#).count(), 2, "{text}");
}
