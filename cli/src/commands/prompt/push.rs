use std::path::{Path, PathBuf};

use diogenes_api::control::{PushPrompt, PushedPrompt, PutLabel};
use diogenes_core::prompts::{Label, PromptSlug};
use diogenes_core::tenancy::ProjectId;
use reqwest::Method;

use super::{path, shown};
use crate::client::{Client, decode};
use crate::commands::fields::{Fields, Origin};
use crate::commands::options::in_project;
use crate::commands::output;
use crate::exit::{Failure, Kind};

/// Push a version of a prompt from a file; the first one creates it.
///
/// What the newest version says already makes no new one. Prints what is different from the version
/// before it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt push summarizer.yaml
  diogenes prompt push summarizer.yaml -m 'shorter answers' --label staging
  diogenes prompt show summarizer:v1 -o yaml | diogenes prompt push - --slug summarizer

See `diogenes prompt --help` for what stands in a file.")]
pub(super) struct PushArgs {
    /// File with the prompt, in YAML, JSON or TOML; `-` reads standard input
    file: PathBuf,
    /// The prompt's slug [default: `slug` in the file, else the file's name]
    #[arg(long, value_name = "SLUG")]
    slug: Option<PromptSlug>,
    /// What is new in this version
    #[arg(short = 'm', long, value_name = "TEXT")]
    change_description: Option<String>,
    /// Let this label stand at the version
    #[arg(long, value_name = "LABEL")]
    label: Option<Label>,
    /// Push nothing if the newest version is another one; 0 if the prompt must be new
    #[arg(long, value_name = "NUMBER")]
    after: Option<u32>,
    /// The project of the prompt [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

pub(super) async fn run(
    client: &Client,
    args: PushArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let (slug, mut body) = read(&args.file, args.slug)?;
    if let Some(text) = args.change_description {
        body.change_description = text;
    }
    body.after = args.after.or(body.after);
    let query = in_project(args.project.as_ref());
    let versions = path(slug.as_str(), &["versions"]);
    let pushed = client.post_to(&versions, &query, &body).await?;
    let told: PushedPrompt = decode(pushed.clone())?;
    if let Some(label) = &args.label {
        let version = format!("v{}", told.version.version);
        let body = PutLabel { version, from: None, reason: String::new() };
        let path = path(slug.as_str(), &["labels", label.as_str()]);
        client.call_at(Method::PUT, &path, &query, Some(&body)).await?;
    }
    output::result(format, &pushed, || {
        let next = if told.prompt.labels.contains_key(Label::DEFAULT) || args.label.is_some() {
            None
        } else {
            Some(format!(
                "requests reach it as `{slug}:latest`; for `{slug}` run `diogenes prompt label {slug} {} v{}`",
                Label::DEFAULT,
                told.version.version
            ))
        };
        let text = shown::pushed(&told);
        if let Some(next) = next {
            output::note(&next);
        }
        Ok(text)
    })
}

/// What a file says. Fields that only a version of the server has are left out, so that what `show`
/// prints can be pushed again.
fn read(file: &Path, slug: Option<PromptSlug>) -> Result<(PromptSlug, PushPrompt), Failure> {
    let mut fields = Fields::read(file).map_err(|failure| {
        if format!("{:#}", failure.error).contains("expected string scalar") {
            let text = format!("{:#}\nput a text that begins with `{{{{` in quotes", failure.error);
            return Kind::Config.because(text);
        }
        failure
    })?;
    let named = fields.take("slug");
    if fields.has("created_at") {
        for field in ["version", "labels", "created_at", "created_by", "change_description"] {
            fields.take(field);
        }
    }
    let origin = Origin::File(file.display().to_string());
    let body = fields.into_spec(&origin, |_: &PushPrompt| Ok::<_, String>(()))?;
    let of_file = || file.file_stem().and_then(|stem| stem.to_str()).map(Into::into);
    let slug = match (slug, named) {
        (Some(slug), _) => slug,
        (None, Some(named)) => parsed(named.as_str().unwrap_or_default())?,
        (None, None) => {
            let stem: Option<String> = of_file().filter(|stem| stem != "-");
            let stem = stem.ok_or_else(|| {
                Kind::Config.because("the prompt has no slug; add `slug: …` or use --slug")
            })?;
            parsed(&stem)?
        }
    };
    Ok((slug, body))
}

fn parsed(text: &str) -> Result<PromptSlug, Failure> {
    text.parse().map_err(|error| Kind::Config.because(format!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    #[test]
    fn the_slug_is_given_or_in_the_file_or_its_name() {
        let text = "messages:\n  - role: user\n    content: \"{{ x }}\"\nvariables: [{name: x}]\n";
        let (_folder, file) = written("greeting.yaml", text);
        assert_eq!(read(&file, None).unwrap().0.as_str(), "greeting");
        let given = Some("other".parse().unwrap());
        assert_eq!(read(&file, given).unwrap().0.as_str(), "other");
        let (_folder, file) = written("greeting.yaml", &format!("slug: hello\n{text}"));
        let (slug, body) = read(&file, None).unwrap();
        assert_eq!((slug.as_str(), body.messages[0].content.as_str()), ("hello", "{{ x }}"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        for (text, part) in [
            ("messages: [", "is not valid YAML"),
            ("messages: [{role: boss, content: x}]", "`messages[0].role`: "),
            ("messages: []\nmesages: []", "did you mean `messages`?"),
            ("slug: a/b\nmessages: []", "without slashes"),
            ("variables: []", "missing field `messages`"),
        ] {
            let (_folder, file) = written("p.yaml", text);
            let error = read(&file, None).unwrap_err().error.to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_show_prints_can_be_pushed_again() {
        let text = r#"{"slug": "a", "version": 3, "labels": [], "created_at": "2026-01-01T00:00:00Z",
            "created_by": "x", "change_description": "old", "model": null, "tools": [],
            "messages": [], "variables": [], "default_config": {}}"#;
        let (_folder, file) = written("p.json", text);
        let (slug, body) = read(&file, None).unwrap();
        assert_eq!((slug.as_str(), body.change_description.as_str()), ("a", ""));
    }
}
