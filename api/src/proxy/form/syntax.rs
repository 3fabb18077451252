//! The headers of a part.

/// What the headers of a part say of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition<'a> {
    pub(super) name: &'a str,
    pub(super) is_file: bool,
    /// Whether it is plain text, as far as it says, in a coding in which a model's name reads as in
    /// UTF-8.
    pub(super) is_text: bool,
}

impl<'a> Disposition<'a> {
    /// Reads the headers of a part, without the blank line behind them.
    ///
    /// # Errors
    /// What is wrong with them. Contents are not repeated, as the name of a file is the caller's.
    pub(super) fn read(head: &'a [u8]) -> Result<Self, &'static str> {
        const UNNAMED: &str =
            "a part of the form has no name; add `Content-Disposition: form-data; name=\"…\"`";
        let head = std::str::from_utf8(head).map_err(|_| "the headers of a part are not UTF-8")?;
        let (mut disposition, mut is_text) = (None, true);
        for line in head.split("\r\n").filter(|_| !head.is_empty()) {
            let field = line.split_once(':').filter(|(name, _)| is_token(name));
            // A value that is folded onto the next line is obsolete (RFC 9112 §5.2), and readers differ.
            let (name, value) = field.ok_or("a header of a part is not `Name: value`")?;
            if value.contains(['\r', '\n', '\0']) {
                return Err("a header of a part has a line break or a zero byte in it");
            }
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" if disposition.is_some() => {
                    return Err("a part has two `Content-Disposition` headers");
                }
                "content-disposition" => disposition = Some(value),
                "content-type" => is_text = is_plain(value),
                "content-transfer-encoding" if !is_as_it_is(value) => {
                    return Err(
                        "a part has a `Content-Transfer-Encoding`; send its bytes as they are",
                    );
                }
                _ => {}
            }
        }
        let disposition = disposition.ok_or(UNNAMED)?;
        let kind = disposition.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("form-data") {
            return Err("the `Content-Disposition` of a part is not `form-data`");
        }
        let all = parameters(disposition)
            .ok_or("the `Content-Disposition` of a part cannot be read; write quotes in the name of a file as `%22`")?;
        // Some look for `name=` wherever it stands, so it has to be first and alone.
        let Some(((first, name), others)) = all.split_first() else { return Err(UNNAMED) };
        if !first.eq_ignore_ascii_case("name") {
            return Err(
                "a part must begin with its name: `Content-Disposition: form-data; name=\"…\"`",
            );
        }
        let mut is_file = false;
        for (other, _) in others {
            match other.to_ascii_lowercase().as_str() {
                "filename" | "filename*" => is_file = true,
                "name" | "name*" => return Err("a part has two names"),
                _ => {}
            }
        }
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
        if name.is_empty() {
            return Err(UNNAMED);
        }
        // `_charset_` would change how the others are read.
        if !name.bytes().all(is_of_name) || *name == "_charset_" {
            return Err("the name of a part may have A–Z a–z 0–9 _ - . [ ] in it");
        }
        Ok(Self { name, is_file, is_text })
    }
}

/// The parameters behind the first word of a header's value; none if they cannot be read in one way
/// only.
pub(super) fn parameters(value: &str) -> Option<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    let Some((_, mut rest)) = value.split_once(';') else { return Some(found) };
    loop {
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_start_matches(' ');
        if !is_token(name) {
            return None;
        }
        let behind = if let Some(quoted) = behind.strip_prefix('"') {
            let end = end_of_quoted(quoted)?;
            found.push((name, quoted.get(..end)?));
            quoted.get(end + 1..)?.trim_start_matches(' ')
        } else {
            let end = behind.find(';').unwrap_or(behind.len());
            let (text, behind) = behind.split_at(end);
            let text = text.trim_end_matches(' ');
            if text.is_empty() || text.contains(['"', '\\', ' ', '\t']) {
                return None;
            }
            found.push((name, text));
            behind
        };
        match behind.strip_prefix(';') {
            Some(more) if !more.trim().is_empty() => rest = more,
            Some(_) => return Some(found),
            None if behind.is_empty() => return Some(found),
            None => return None,
        }
    }
}

/// Where a quoted text ends. To some `\"` is a quote in it and to others its end, so it is not
/// allowed.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at),
            b'\\' if bytes.next()?.1 == b'"' => return None,
            _ => {}
        }
    }
    None
}

fn is_token(name: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_token)
}

fn is_plain(value: &str) -> bool {
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/plain")
        && parameters(value).is_some_and(|parameters| {
            parameters.iter().all(|(name, value)| {
                let is_known = |known: &&str| value.eq_ignore_ascii_case(known);
                name.eq_ignore_ascii_case("charset")
                    && ["utf-8", "us-ascii", "iso-8859-1"].iter().any(is_known)
            })
        })
}

fn is_as_it_is(value: &str) -> bool {
    ["binary", "8bit", "7bit"].iter().any(|known| value.trim().eq_ignore_ascii_case(known))
}
