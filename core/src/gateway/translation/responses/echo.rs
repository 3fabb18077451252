use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::request::tools::{Callee, read_tools};
use crate::gateway::translation::fields::{Node, Object, Path, Untranslatable};
use crate::gateway::translation::request::body_of;

/// What an answer repeats of its request, and how the caller knows its tools.
///
/// It holds the settings, the instructions and the tools, not the conversation.
#[derive(Debug)]
pub struct ResponsesEcho {
    pub(super) model: String,
    pub(super) instructions: Option<Box<RawValue>>,
    pub(super) max_output_tokens: Option<Box<RawValue>>,
    pub(super) metadata: Option<Box<RawValue>>,
    pub(super) parallel_tool_calls: bool,
    pub(super) prompt_cache_key: Option<Box<RawValue>>,
    pub(super) effort: Option<Box<RawValue>>,
    pub(super) safety_identifier: Option<Box<RawValue>>,
    pub(super) temperature: Option<Box<RawValue>>,
    pub(super) text_format: Option<Box<RawValue>>,
    pub(super) text_verbosity: Option<Box<RawValue>>,
    pub(super) tool_choice: Option<Box<RawValue>>,
    pub(super) tools: Option<Box<RawValue>>,
    pub(super) top_p: Option<Box<RawValue>>,
    pub(super) user: Option<Box<RawValue>>,
    callees: Vec<Callee>,
}

impl ResponsesEcho {
    /// Reads the body of a request for a response, as the caller sent it.
    ///
    /// # Errors
    /// A field that is missing or malformed. A body that
    /// [`responses_to_chat`](super::responses_to_chat) takes has none.
    pub fn read(body: &[u8]) -> Result<Self, Untranslatable> {
        let body = body_of(body)?;
        let mut fields = body.object()?;
        let tools = fields.take("tools");
        let text = fields.take("text");
        let mut text = text.as_ref().map(Node::object).transpose()?;
        let reasoning = fields.take("reasoning");
        let mut reasoning = reasoning.as_ref().map(Node::object).transpose()?;
        Ok(Self {
            model: fields.require("model")?.string()?,
            instructions: copy(&mut fields, "instructions"),
            max_output_tokens: copy(&mut fields, "max_output_tokens"),
            metadata: copy(&mut fields, "metadata"),
            parallel_tool_calls: fields.boolean("parallel_tool_calls")?.unwrap_or(true),
            prompt_cache_key: copy(&mut fields, "prompt_cache_key"),
            effort: reasoning.as_mut().and_then(|reasoning| copy(reasoning, "effort")),
            safety_identifier: copy(&mut fields, "safety_identifier"),
            temperature: copy(&mut fields, "temperature"),
            text_format: text.as_mut().and_then(|text| copy(text, "format")),
            text_verbosity: text.as_mut().and_then(|text| copy(text, "verbosity")),
            tool_choice: copy(&mut fields, "tool_choice"),
            tools: tools.as_ref().map(echo_tools).transpose()?,
            top_p: copy(&mut fields, "top_p"),
            user: copy(&mut fields, "user"),
            callees: tools
                .as_ref()
                .map_or(Ok(Vec::new()), |node| read_tools(node).map(|tools| tools.callees))?,
        })
    }

    /// The tool whose function has this name at the target; none if it is a function of that name.
    pub(super) fn callee(&self, chat_name: &str) -> Option<&Callee> {
        self.callees.iter().find(|callee| callee.chat_name == chat_name)
    }
}

fn copy<'p>(fields: &mut Object<'p, '_>, name: &'p str) -> Option<Box<RawValue>> {
    fields.take(name).map(|node| node.raw.to_owned())
}

fn echo_tools(node: &Node<'_, '_>) -> Result<Box<RawValue>, Untranslatable> {
    let tools: Vec<EchoedTool<'_>> =
        node.list()?.map(|tool| EchoedTool::read(&tool)).collect::<Result<_, _>>()?;
    to_raw_value(&tools).map_err(|error| node.refuse(format!("cannot be written: {error}")))
}

#[derive(Serialize)]
#[serde(untagged)]
enum EchoedTool<'a> {
    /// With all the fields that the API has in answers.
    Function {
        r#type: &'static str,
        name: &'a RawValue,
        description: Option<&'a RawValue>,
        parameters: Option<&'a RawValue>,
        strict: Option<&'a RawValue>,
    },
    AsGiven(&'a RawValue),
}

impl<'a> EchoedTool<'a> {
    fn read(node: &Node<'_, 'a>) -> Result<Self, Untranslatable> {
        let mut fields = node.object()?;
        if fields.string("type")?.as_deref() != Some("function") {
            return Ok(Self::AsGiven(node.raw));
        }
        let mut raw = |name| fields.take(name).map(|node| node.raw);
        let name = raw("name");
        Ok(Self::Function {
            r#type: "function",
            name: name.ok_or_else(|| Path::Field(&node.path, "name").refuse("is required"))?,
            description: raw("description"),
            parameters: raw("parameters"),
            strict: raw("strict"),
        })
    }
}

/// A value as the request has it, or the API's default.
pub(super) struct OrDefault<'a, D>(pub(super) Option<&'a RawValue>, pub(super) D);

impl<D: Serialize> Serialize for OrDefault<'_, D> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self(Some(given), _) => given.serialize(to),
            Self(None, default) => default.serialize(to),
        }
    }
}
