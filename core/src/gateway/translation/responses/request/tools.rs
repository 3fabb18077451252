//! The tools of a request. Chat Completions has functions alone, in one list, so the others are
//! expressed by them. An answer has the calls as the caller knows the tools, by means of
//! [`ToolSet::callees`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::UNKNOWN;
use crate::gateway::translation::fields::{Node, Object, Untranslatable};
use crate::gateway::translation::request::{Tool, ToolChoice};

/// The schema of the arguments of a custom tool, [`CustomInput`].
const CUSTOM_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The input of the tool, as plain text."}},"required":["input"],"additionalProperties":false}"#;

/// What stands between a namespace and a name, as in the names that clients give to tools of MCP
/// servers where there are no namespaces.
const SEPARATOR: &str = "__";

/// The arguments of a custom tool.
#[derive(Deserialize, Serialize)]
pub(in super::super) struct CustomInput<'a> {
    #[serde(borrow)]
    pub(in super::super) input: Cow<'a, str>,
}

#[derive(Default)]
pub(in super::super) struct ToolSet<'a> {
    pub(super) tools: Vec<Tool<'a>>,
    /// The tools that are called otherwise than a function of their name.
    pub(in super::super) callees: Vec<Callee>,
}

/// A tool as the caller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Callee {
    /// The name of its function at the target.
    pub(in super::super) chat_name: String,
    pub(in super::super) name: String,
    pub(in super::super) namespace: Option<String>,
    pub(in super::super) is_custom: bool,
}

/// The name of a tool at a target of Chat Completions.
pub(super) fn chat_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        None => name.to_owned(),
        Some(space) if space.ends_with(SEPARATOR) => format!("{space}{name}"),
        Some(space) => format!("{space}{SEPARATOR}{name}"),
    }
}

pub(in super::super) fn read_tools<'a>(node: &Node<'_, 'a>) -> Result<ToolSet<'a>, Untranslatable> {
    let mut set = ToolSet::default();
    for tool in node.list()? {
        let mut fields = tool.object()?;
        if fields.require("type")?.string()? == "namespace" {
            set.add_namespace(&mut fields)?;
        } else {
            set.add(&tool, None)?;
        }
    }
    Ok(set)
}

pub(super) fn read_choice(node: &Node<'_, '_>) -> Result<ToolChoice, Untranslatable> {
    let expected = "must be `auto`, `none`, `required`, a function or a custom tool";
    if node.is_string() {
        return match node.string()?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Any),
            _ => Err(node.refuse(expected)),
        };
    }
    let mut fields = node.object()?;
    match fields.require("type")?.string()?.as_str() {
        "function" | "custom" => {}
        _ => return Err(node.refuse(expected)),
    }
    let name = fields.require("name")?.string()?;
    fields.finish(UNKNOWN)?;
    Ok(ToolChoice::Named(name))
}

impl<'a> ToolSet<'a> {
    fn add_namespace(&mut self, fields: &mut Object<'_, 'a>) -> Result<(), Untranslatable> {
        let name = fields.require("name")?.string()?;
        let description = fields.string("description")?;
        let first = self.tools.len();
        let tools = fields.require("tools")?;
        for tool in tools.list()? {
            self.add(&tool, Some(&name))?;
        }
        // What is said of all of them stands once: it can be long.
        if let (Some(description), Some(tool)) = (description, self.tools.get_mut(first)) {
            let own = tool.description.take().unwrap_or_default();
            tool.description = Some(format!("Tools of `{name}`: {description}\n\n{own}"));
        }
        fields.finish(UNKNOWN)
    }

    fn add(&mut self, node: &Node<'_, 'a>, namespace: Option<&str>) -> Result<(), Untranslatable> {
        let mut fields = node.object()?;
        let kind = fields.require("type")?.string()?;
        let is_custom = kind == "custom";
        if !is_custom && kind != "function" {
            let switch = match kind.as_str() {
                "web_search" => " (Codex: `web_search = \"disabled\"`)",
                _ => "",
            };
            return Err(node.refuse(format!(
                "is OpenAI's own tool `{kind}`, which this model does not have; \
                 switch it off in the client{switch}"
            )));
        }
        let name = fields.require("name")?.string()?;
        let chat_name = chat_name(namespace, &name);
        if self.tools.iter().any(|tool| tool.name == chat_name) {
            return Err(node.refuse(format!("is a second tool with the name `{chat_name}`")));
        }
        let description = fields.string("description")?;
        let tool = if is_custom {
            let format = fields.take("format").map_or(Ok(None), |format| read_format(&format))?;
            let texts: Vec<String> = description.into_iter().chain(format).collect();
            let schema: &'static RawValue = serde_json::from_str(CUSTOM_SCHEMA)
                .map_err(|error| node.refuse(format!("cannot be described: {error}")))?;
            Tool {
                name: chat_name.clone(),
                description: (!texts.is_empty()).then(|| texts.join("\n\n")),
                schema: Some(schema),
                strict: None,
            }
        } else {
            Tool {
                name: chat_name.clone(),
                description,
                schema: fields.take("parameters").map(|node| node.raw_object()).transpose()?,
                strict: fields.boolean("strict")?,
            }
        };
        fields.leave_out_if(&[
            ("defer_loading", &["false"]),
            ("allowed_callers", &["[]", r#"["direct"]"#]),
        ]);
        fields.finish(UNKNOWN)?;
        self.tools.push(tool);
        if is_custom || namespace.is_some() {
            let namespace = namespace.map(ToOwned::to_owned);
            self.callees.push(Callee { chat_name, name, namespace, is_custom });
        }
        Ok(())
    }
}

/// What a model has to know of the format of its input; none for free text.
fn read_format(node: &Node<'_, '_>) -> Result<Option<String>, Untranslatable> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?;
    let text = match kind.string()?.as_str() {
        "text" => None,
        "grammar" => {
            let syntax = fields.require("syntax")?;
            let syntax = match syntax.string()?.as_str() {
                "lark" => "Lark grammar",
                "regex" => "regular expression",
                _ => return Err(syntax.refuse("must be `lark` or `regex`")),
            };
            let definition = fields.require("definition")?.string()?;
            Some(format!("All of `input` must match this {syntax}:\n\n{definition}"))
        }
        _ => return Err(kind.refuse("must be `text` or `grammar`")),
    };
    fields.finish(UNKNOWN)?;
    Ok(text)
}
