/// The dialects that subjects are asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `OpenAI`'s Chat Completions, which the upstream speaks.
    Chat,
    /// Anthropic's Messages, which the upstream does not speak: a gateway translates them.
    Messages,
}

/// What a subject is asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) dialect: Dialect,
    pub(crate) path: String,
    pub(crate) model: String,
    /// All but `content-type` and what frames the body.
    pub(crate) headers: Vec<(String, String)>,
    /// Members of the body beside the usual ones, in JSON, each followed by a comma.
    pub(crate) members: String,
    /// Messages before the usual one, in JSON, each followed by a comma.
    pub(crate) preface: String,
}

impl Request {
    /// A chat completion with a key, as most subjects are asked.
    pub(crate) fn chat(model: &str, key: &str) -> Self {
        Self {
            dialect: Dialect::Chat,
            path: "/v1/chat/completions".into(),
            model: model.into(),
            headers: vec![("authorization".into(), format!("Bearer {key}"))],
            members: String::new(),
            preface: String::new(),
        }
    }

    /// The same by Anthropic's Messages.
    pub(crate) fn messages(model: &str, key: &str) -> Self {
        Self {
            dialect: Dialect::Messages,
            path: "/v1/messages".into(),
            headers: vec![
                ("x-api-key".into(), key.into()),
                ("anthropic-version".into(), "2023-06-01".into()),
            ],
            ..Self::chat(model, key)
        }
    }

    /// The body of a request for an answer of `tokens` tokens, in both dialects.
    pub(crate) fn body(&self, tokens: usize, streamed: bool) -> String {
        let Self { model, members, preface, .. } = self;
        let stream = if streamed { r#""stream":true,"# } else { "" };
        format!(
            r#"{{"model":"{model}",{stream}{members}"max_tokens":{tokens},"messages":[{preface}{{"role":"user","content":"Hello!"}}]}}"#
        )
    }

    /// Its headers one after the other, each written by `line`.
    pub(crate) fn header_lines(&self, line: impl Fn(&str, &str) -> String) -> String {
        let lines: Vec<String> =
            self.headers.iter().map(|(name, value)| line(name, value)).collect();
        lines.concat()
    }

    /// What the last event of a stream contains, and nothing before it.
    pub(crate) fn last_event(&self) -> &'static [u8] {
        match self.dialect {
            Dialect::Chat => b"data: [DONE]",
            Dialect::Messages => b"event: message_stop",
        }
    }

    /// What is once in each event that carries text.
    pub(crate) fn text_event(&self) -> &'static [u8] {
        match self.dialect {
            Dialect::Chat => b"data: {",
            Dialect::Messages => b"event: content_block_delta",
        }
    }
}
