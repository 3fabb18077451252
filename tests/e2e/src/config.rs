use std::fmt::Write;

use crate::programs::{mock_vllm, scripted_upstream};

/// A `diogenes.toml`.
#[derive(Clone, Debug, Default)]
pub struct Config {
    head: String,
    models: Vec<Model>,
    tail: String,
}

/// A model of it.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    command: Vec<String>,
    fields: String,
}

impl Config {
    /// A configuration with these models.
    pub fn with(models: impl IntoIterator<Item = Model>) -> Self {
        Self { head: String::new(), models: models.into_iter().collect(), ..Self::default() }
    }

    /// Adds a line before the models.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        writeln!(self.head, "{line}").unwrap();
        self
    }

    /// Adds text behind the models.
    #[must_use]
    pub fn tables(mut self, text: &str) -> Self {
        self.tail.push_str(text);
        self
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = self.head.clone();
        for model in &self.models {
            let command = serde_json::to_string(&model.command).unwrap();
            writeln!(text, "[models.{:?}]\ncommand = {command}\n{}", model.name, model.fields)
                .unwrap();
        }
        text.push_str(&self.tail);
        text
    }
}

impl Model {
    /// A model whose server is `mock-vllm` with these flags.
    pub fn mock(name: &str, flags: &[&str]) -> Self {
        let program = mock_vllm().display().to_string();
        let fixed = ["--host", "{host}", "--port", "{port}", "--served-model-name", name];
        let command = std::iter::once(program)
            .chain(fixed.iter().chain(flags).map(|flag| (*flag).to_owned()))
            .collect();
        Self { name: name.into(), command, fields: String::new() }
    }

    /// A model with another command.
    pub fn command(name: &str, command: &[&str]) -> Self {
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        Self { name: name.into(), command, fields: String::new() }
    }

    /// A model whose server answers every request with these bytes, and then closes the
    /// connection; with `keep` it leaves it open.
    pub fn scripted(name: &str, answer: &str, keep: bool) -> Self {
        let program = scripted_upstream().display().to_string();
        let script = serde_json::to_string(answer).unwrap();
        let keep = if keep { ", KEEP = \"1\"" } else { "" };
        Self::command(name, &[&program])
            .line(&format!("env = {{ PORT = \"{{port}}\", SCRIPT = {script}{keep} }}"))
    }

    /// A model whose server does with each request what that tells it in a [`crate::Script`]. It
    /// waits for a file in `folder` with the model's name before it starts, and writes to `seen`
    /// there which requests it has seen.
    pub fn scripted_by_requests(name: &str, folder: &std::path::Path) -> Self {
        let program = scripted_upstream().display().to_string();
        let path = |file| serde_json::to_string(&folder.join(file).display().to_string()).unwrap();
        let (seen, gate) = (path("seen"), path(name));
        Self::command(name, &[&program])
            .line(&format!("env = {{ PORT = \"{{port}}\", SEEN = {seen}, GATE = {gate} }}"))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the control plane takes for it.
    pub fn spec(&self) -> serde_json::Value {
        let fields: toml::Table = self.fields.parse().unwrap();
        let mut spec = serde_json::to_value(fields).unwrap();
        spec["command"] = self.command.clone().into();
        spec
    }

    /// Adds a line to the model's table.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        writeln!(self.fields, "{line}").unwrap();
        self
    }
}
