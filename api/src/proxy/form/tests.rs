use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use proptest::prelude::*;

use super::*;
use crate::proxy::dialect::Dialect;
use crate::proxy::peek::Peek;

const BOUNDARY: &str = "Xb0undary";

fn typed(kind: &str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())])
}

fn form_headers() -> HeaderMap {
    typed(&format!("multipart/form-data; boundary={BOUNDARY}"))
}

/// A part with a name, the rest of its headers, and a value.
fn part(name: &str, more: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("Content-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
    [head.as_bytes(), value].concat()
}

fn body_of(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--{BOUNDARY}\r\n").as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn file() -> Vec<u8> {
    part("file", "; filename=\"a.wav\"\r\nContent-Type: audio/wav", b"RIFF\r\n\r\n--\0\xff")
}

fn read(parts: &[Vec<u8>]) -> Result<Form, ApiError> {
    Form::read(&form_headers(), &body_of(parts))
}

#[test]
fn the_model_is_found_before_and_behind_the_file_and_replaced() {
    let model = part("model", "", b"whisper");
    let others = [part("stream", "", b"true"), part("response_format", "", b"text")];
    for place in 0..=3 {
        let mut parts = vec![file(), others[0].clone(), others[1].clone()];
        parts.insert(place, model.clone());
        let body = Bytes::from(body_of(&parts));
        let peek = Peek::of(Dialect::Transcriptions, &form_headers(), &body).unwrap();
        assert_eq!((peek.model.as_str(), peek.stream, peek.wants_text()), ("whisper", true, true));
        assert_eq!(peek.text_bytes(&body), 7 + 4 + 4);
        assert_eq!(peek.with_model(&body, "whisper"), body);
        parts[place] = part("model", "", b"openai/whisper-large-v3");
        assert_eq!(peek.with_model(&body, "openai/whisper-large-v3"), body_of(&parts));
    }
}

#[test]
fn a_length_of_the_part_goes_with_its_value() {
    let model =
        part("model", "\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 1", b"m");
    let body = Bytes::from(body_of(&[model, file()]));
    let peek = Peek::of(Dialect::ImageEdits, &form_headers(), &body).unwrap();
    assert_eq!(peek.with_model(&body, "long"), body_of(&[part("model", "", b"long"), file()]));
    // Nothing in a name gets out of its part.
    let spliced = peek.with_model(&body, &format!("a\r\n--{BOUNDARY}--\r\n"));
    assert_eq!(
        spliced,
        body_of(&[part("model", "", format!("a--{BOUNDARY}--").as_bytes()), file()])
    );
}

#[test]
fn a_bad_form_names_what_is_wrong() {
    let model = || part("model", "", b"m");
    let raw = |head: &str| [head.as_bytes(), b"\r\n\r\nvalue"].concat();
    let field = |name: &str, value: &[u8]| vec![model(), part(name, "", value), file()];
    let long = format!("; filename=\"{}\"", "x".repeat(MAX_PART_HEAD));
    for (parts, param, says) in [
        (vec![], Some("model"), "names no model"),
        (vec![file()], Some("model"), "names no model"),
        (vec![part("model", "", b""), file()], Some("model"), "names no model"),
        (vec![model(), file(), model()], Some("model"), "twice"),
        (vec![part("model", "", b"\xff"), file()], Some("model"), "UTF-8"),
        (vec![part("model", "", &[b'm'; 129]), file()], Some("model"), "longer than 128"),
        (vec![part("model", "; filename=\"m\"", b"m")], Some("model"), "not a file"),
        (
            vec![part("model", "\r\nContent-Type: text/plain; charset=utf-16", b"m")],
            Some("model"),
            "a text",
        ),
        (field("stream", b"yes"), Some("stream"), "`true` or `false`"),
        (field("stream", b""), Some("stream"), "`true` or `false`"),
        (
            [field("stream", b"true"), vec![part("stream", "", b"true")]].concat(),
            Some("stream"),
            "twice",
        ),
        (
            [field("response_format", b"text"), vec![part("response_format", "", b"json")]]
                .concat(),
            Some("response_format"),
            "twice",
        ),
        (vec![model(); 10_000], Some("model"), "twice"),
        ([vec![model()], vec![part("x", "", b""); 10_000]].concat(), None, "more than 256 parts"),
        (vec![model(), part("file", &long, b"x")], None, "longer than 4096"),
        (vec![model(), raw("Content-Type: audio/wav")], None, "no name"),
        (vec![model(), b"\r\nvalue".to_vec()], None, "no name"),
        (vec![model(), part("", "", b"x")], None, "no name"),
        (vec![model(), raw("Content-Disposition: form-data")], None, "no name"),
        (
            vec![model(), raw("Content-Disposition: attachment; name=\"x\"")],
            None,
            "not `form-data`",
        ),
        (
            vec![model(), raw("Content-Disposition: form-data; filename=\"name\"; name=\"x\"")],
            None,
            "begin with its name",
        ),
        (vec![model(), part("x", "; name=\"model\"", b"other")], None, "two names"),
        (vec![model(), part("x", "; name*=utf-8''model", b"other")], None, "two names"),
        (
            vec![model(), part("x", "\r\nContent-Disposition: form-data; name=\"model\"", b"")],
            None,
            "two `Content-Disposition`",
        ),
        (vec![model(), part("x", "; filename=\"a\\\"; name=\\\"model\"", b"")], None, "`%22`"),
        (vec![model(), part("mod%65l", "", b"other")], None, "may have A–Z"),
        (vec![model(), part("_charset_", "", b"utf-16")], None, "may have A–Z"),
        (vec![model(), part("x", "\r\n name=\"model\"", b"")], None, "`Name: value`"),
        (vec![model(), part("x", "\nX: y", b"")], None, "line break"),
        (
            vec![model(), part("x", "\r\nContent-Transfer-Encoding: base64", b"")],
            None,
            "as they are",
        ),
        (
            vec![model(), part("file", "; filename=\"\u{e9}\"", b"a\n--Xb0undary\r\n")],
            None,
            "a line of its own",
        ),
        (vec![model(), part("file", "", b"--Xb0undary")], None, "a line of its own"),
        (
            vec![model(), part("file", "", b"\r\n--Xb0undaryX")],
            None,
            "not followed by a line break",
        ),
        (vec![model(), part("file", "", b"\r\n--Xb0undary--")], None, "behind the last boundary"),
    ] {
        let refused = read(&parts).expect_err(says);
        assert!(refused.message.contains(says), "{says}: {}", refused.message);
        assert_eq!((refused.status().as_u16(), refused.param.as_deref()), (400, param), "{says}");
    }
}

#[test]
fn a_bad_content_type_or_boundary_is_named() {
    let body = body_of(&[part("model", "", b"m"), file()]);
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a b",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a; boundary=a",
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary=Xb0undary; charset=utf-16",
        &format!("multipart/form-data; boundary={}", "x".repeat(71)),
        "multipart/mixed; boundary=Xb0undary",
        "application/json",
        "application/x-www-form-urlencoded",
    ] {
        let refused = Form::read(&typed(kind), &body).expect_err(kind);
        let told = (refused.kind, refused.param.as_deref());
        assert_eq!(told, (ErrorKind::InvalidRequest, Some("content-type")), "{kind}");
    }
    assert!(Form::read(&HeaderMap::new(), &body).is_err());
    let mut twice = form_headers();
    twice.append(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=x"));
    assert!(Form::read(&twice, &body).is_err());
    for kind in [
        "Multipart/Form-Data;boundary=\"Xb0undary\"",
        "multipart/form-data; charset=UTF-8; Boundary=Xb0undary;",
    ] {
        assert!(Form::read(&typed(kind), &body).is_ok(), "{kind}");
    }
    // A form where JSON is wanted.
    let refused = Peek::of(Dialect::ImageGenerations, &form_headers(), &body).unwrap_err();
    assert!(refused.message.contains("takes JSON"), "{}", refused.message);
    let stream = br#"{"model":"m","stream":true}"#;
    let refused = Peek::of(Dialect::ImageGenerations, &HeaderMap::new(), stream).unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("stream"));
}

#[test]
fn every_cut_of_a_form_is_refused() {
    let body = body_of(&[file(), part("model", "", b"m")]);
    // The last line break need not be there.
    for at in 0..body.len() - 2 {
        let read = Form::read(&form_headers(), &body[..at]);
        assert_eq!(read.expect_err("cut").status().as_u16(), 400, "cut at {at}");
    }
    assert!(Form::read(&form_headers(), &body[..body.len() - 2]).is_ok());
    assert!(Form::read(&form_headers(), &body[..body.len() - 1]).is_err());
}

/// Names and values of a form, as `multer` reads it in these pieces.
fn by_multer(body: &[u8], piece: usize) -> Vec<(String, Option<String>, Vec<u8>)> {
    let pieces: Vec<_> = body
        .chunks(piece)
        .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
        .collect();
    let mut form = multer::Multipart::new(stream::iter(pieces), BOUNDARY);
    let all = async move {
        let mut all = Vec::new();
        while let Some(field) = form.next_field().await.unwrap() {
            let name = field.name().unwrap().to_owned();
            let file = field.file_name().map(str::to_owned);
            all.push((name, file, field.bytes().await.unwrap().to_vec()));
        }
        all
    };
    all.now_or_never().expect("all of it is there")
}

/// What a file may hold, with things in it that look like boundaries.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::sample::select(vec![
            &b"\r\n"[..],
            b"\n",
            b"\r",
            b"--",
            b"\r\n--",
            b"Xb0undary",
            b"\r\n--Xb0unda",
            b"--Xb0undary--\r\n",
            b"Content-Disposition: form-data; name=\"model\"\r\n\r\nother",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_spliced_form_is_the_same_to_another_parser_but_for_the_model(
        contents in prop::collection::vec(content(), 0..4),
        place in any::<prop::sample::Index>(),
        piece in 1_usize..64,
        (model, other) in ("[a-z0-9/._-]{1,40}", "[A-Z][a-z0-9/._:-]{0,40}"),
    ) {
        let mut parts: Vec<_> = contents
            .iter()
            .map(|content| part("file[]", "; filename=\"model\"\r\nContent-Type: x/y", content))
            .collect();
        parts.insert(place.index(parts.len() + 1), part("model", "", model.as_bytes()));
        let body = Bytes::from(body_of(&parts));
        let read = Peek::of(Dialect::Transcriptions, &form_headers(), &body);
        let mark = format!("\n--{BOUNDARY}");
        // What is a boundary to some parsers must not be in a part.
        let looks_like_one = |content: &Vec<u8>| {
            let line = [b"\n", content.as_slice()].concat();
            memmem::find(&line, mark.as_bytes()).is_some()
        };
        if contents.iter().any(looks_like_one) {
            prop_assert!(read.is_err());
            return Ok(());
        }
        let peek = read.unwrap();
        prop_assert_eq!(&peek.model, &model);
        let spliced = peek.with_model(&body, &other);
        let mut expected = by_multer(&body, piece);
        prop_assert_eq!(expected.len(), parts.len());
        for (name, _, value) in &mut expected {
            if name == "model" {
                prop_assert_eq!(value.as_slice(), model.as_bytes());
                *value = other.clone().into_bytes();
            }
        }
        prop_assert_eq!(by_multer(&spliced, piece), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), head in content()) {
        for start in [&b""[..], b"--Xb0undary\r\n", b"--Xb0undary\r\nContent-Disposition: form-data; name=\"a\""] {
            let _ = Form::read(&form_headers(), &[start, &head, &body].concat());
        }
    }
}
