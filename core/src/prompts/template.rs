//! The template language: Jinja, without anything that reads another template, and with bounds on
//! what a template may use.

use std::collections::BTreeSet;

use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::{Map, Value};

/// What rendering one message may use: about one for an instruction and one for 64 bytes of data, and
/// so tens of milliseconds and 16 MB at most.
const FUEL: u64 = 250_000;
/// How deep calls within a template may nest.
const DEEPEST: usize = 50;

/// What a template did not do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateError {
    /// The line, from 1.
    pub(super) line: Option<usize>,
    pub(super) problem: String,
}

impl TemplateError {
    /// One sentence.
    pub(super) fn text(&self) -> String {
        match self.line {
            Some(line) => format!("line {line}: {}", self.problem),
            None => self.problem.clone(),
        }
    }
}

/// The engine. Rendered text is plain: nothing in it is escaped for HTML.
pub(super) struct Engine(Environment<'static>);

impl Engine {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(call);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEEPEST);
        // It shows how the engine represents things, and nobody needs that in a prompt.
        environment.remove_global("debug");
        Self(environment)
    }

    /// The variables that a template names and does not set itself.
    pub(super) fn names(&self, template: &str) -> Result<BTreeSet<String>, TemplateError> {
        let parsed = self.0.template_from_str(template).map_err(|error| explain(&error))?;
        let globals: BTreeSet<_> = self.0.globals().map(|(name, _)| name.to_owned()).collect();
        let names = parsed.undeclared_variables(false).into_iter();
        Ok(names.filter(|name| !globals.contains(name)).collect())
    }

    /// The text of a template with these values.
    pub(super) fn render(
        &self,
        template: &str,
        values: &Map<String, Value>,
    ) -> Result<String, TemplateError> {
        let values = minijinja::Value::from(minijinja::value::Serde(values));
        self.0.render_str(template, values).map_err(|error| explain(&error))
    }
}

/// The methods of Python's values, but for the one whose widths nothing bounds: `'{:>9999999999}'` would
/// take all memory before anybody has counted it.
fn call(
    state: &mut State<'_, '_>,
    value: &minijinja::Value,
    method: &str,
    arguments: &[minijinja::Value],
) -> Result<minijinja::Value, Error> {
    if method == "format" {
        let problem = "there is no `.format()` here; use `~`, or the filter `format`";
        return Err(Error::new(ErrorKind::UnknownMethod, problem));
    }
    unknown_method_callback(state, value, method, arguments)
}

/// The line that `name` first stands in as a word of its own within a tag, from 1.
pub(super) fn line_of(template: &str, name: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut lines = 1;
    for (index, piece) in template.split("{{").flat_map(|part| part.split("{%")).enumerate() {
        // What stands before the first tag is text, and so is what follows the end of one.
        let end = piece.find("}}").into_iter().chain(piece.find("%}")).min();
        let inside = if index == 0 { "" } else { piece.get(..end.unwrap_or(piece.len()))? };
        let has_name = |line: &str| line.split(|c| !is_word(c)).any(|word| word == name);
        if let Some(line) = inside.split('\n').position(has_name) {
            return Some(lines + line);
        }
        lines += piece.matches('\n').count();
    }
    None
}

fn explain(error: &Error) -> TemplateError {
    let detail = error.detail().unwrap_or_default();
    let kind = error.kind();
    let problem = match kind {
        ErrorKind::OutOfFuel => {
            "the template does too much or makes too long a text; take a loop out, or send less"
                .into()
        }
        ErrorKind::SyntaxError if detail.starts_with("unknown statement") => {
            format!("{detail}; templates cannot include or import others")
        }
        ErrorKind::UndefinedError if detail.is_empty() => {
            "a value is undefined; give it, or test it with `is defined`".into()
        }
        ErrorKind::UndefinedError => {
            format!("{detail}; give it, or test it with `is defined`")
        }
        _ if detail.is_empty() => kind.to_string(),
        _ => format!("{kind}: {detail}"),
    };
    TemplateError { line: error.line(), problem }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str, values: Value) -> Result<String, TemplateError> {
        let Value::Object(values) = values else { unreachable!() };
        Engine::new().render(template, &values)
    }

    #[test]
    fn values_are_never_read_as_templates() {
        let text = "{{ 7 * 7 }} {% for x in y %} {{ secret }}";
        let rendered = render("a {{ text }} b", json!({"text": text, "secret": "s"})).unwrap();
        assert_eq!(rendered, format!("a {text} b"));
    }

    #[test]
    fn text_is_not_escaped() {
        assert_eq!(render("{{ x }}", json!({"x": "<a> & \"b\""})).unwrap(), "<a> & \"b\"");
    }

    #[test]
    fn what_is_missing_is_told_with_its_line() {
        let error = render("a\nb {{ user.name }}", json!({"user": {}})).unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.problem.contains("user.name"), "{error:?}");
        let error = render("{{ nobody }}", json!({})).unwrap_err();
        assert!(error.problem.contains("nobody"), "{error:?}");
        assert_eq!(render("{{ x is defined }}", json!({})).unwrap(), "False");
        assert_eq!(render("{{ x | default('d') }}", json!({})).unwrap(), "d");
    }

    #[test]
    fn a_template_that_does_not_parse_names_its_line() {
        for template in
            ["ok\n{{ a", "ok\n{% if %}", "ok\n{% include 'x' %}", "ok\n{% import 'x' as y %}"]
        {
            assert_eq!(Engine::new().names(template).unwrap_err().line, Some(2), "{template}");
        }
    }

    /// Each would take all memory or run for hours.
    #[test]
    fn a_template_that_explodes_is_stopped() {
        let long = "x".repeat(1 << 20);
        for template in [
            "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
            "{{ 'x' * 10000000000 }}",
            "{% set ns = namespace(s='xx') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
            "{{ long.replace('x', long) }}",
            "{{ long | replace('x', long) }}",
            "{{ long.join(long | list) }}",
            "{{ '{:>9999999999}'.format('x') }}",
            "{{ '%9999999999s' % 'x' }}",
            "{{ '%9999999999s' | format('x') }}",
            "{{ 'x' | indent(9999999999) }}",
            "{{ range(9999999999) | list }}",
            "{{ 'x' | center(9999999999) }}",
        ] {
            let began = std::time::Instant::now();
            assert!(render(template, json!({"long": long})).is_err(), "{template}");
            assert!(began.elapsed().as_secs() < 20, "{template}");
        }
    }

    #[test]
    fn names_are_those_that_a_template_does_not_set() {
        let template = "{% for x in xs %}{{ x.a }}{{ loop.index }}{% endfor %}{% set y = z %}{{ y }}{{ range(3) }}";
        let names = Engine::new().names(template).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["xs", "z"]);
        assert_eq!(line_of("a xs\nb {{ xs_a }}\n{{\nxs.a }}", "xs"), Some(4));
        assert_eq!(line_of("xs {% if a %} xs {{ b }} xs", "xs"), None);
    }

    /// What people have written for Python's Jinja means the same here.
    #[test]
    fn templates_of_others_say_what_python_makes_of_them() {
        #[derive(serde::Deserialize)]
        struct Case {
            task: String,
            template: String,
            values: Value,
            expected: String,
        }
        let cases: Vec<Case> = serde_json::from_str(include_str!("testdata/lm_eval.json")).unwrap();
        assert_eq!(cases.len(), 20);
        for Case { task, template, values, expected } in cases {
            assert_eq!(render(&template, values), Ok(expected), "{task}");
        }
    }
}
