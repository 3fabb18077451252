use diogenes_core::datasets::DeclaredSchema;
use serde_json::json;

use super::*;

fn mapping(pairs: &[&str]) -> Result<Mapping, MappingError> {
    pairs.iter().map(ToString::to_string).collect::<Vec<_>>().try_into()
}

fn texts(
    pairs: &[&str],
    columns: &[&str],
    cells: &[&str],
    schema: &DatasetSchema,
) -> Result<Value, String> {
    let columns: Vec<_> = columns.iter().map(ToString::to_string).collect();
    let mapper = Mapper::new(&mapping(pairs).unwrap(), Some(&columns), schema);
    let mapper = mapper.map_err(|error| error.to_string())?;
    let (text, mut ends) = (cells.concat(), Vec::new());
    for cell in cells {
        ends.push(ends.last().copied().unwrap_or_default() + cell.len());
    }
    let row = Row { line: 2, cells: Cells::Texts { text: &text, ends: &ends } };
    mapper.example(row).map(|example| json!(example)).map_err(|bad| bad.to_string())
}

#[test]
fn columns_go_where_they_are_mapped() {
    let schema = DatasetSchema::default();
    let columns = ["question", "answer", "topic", "labels", "other"];
    let pairs = ["input=question", "expected=answer", "metadata.topic=topic", "tags=labels"];
    let example = texts(&pairs, &columns, &["q", "a", "t", "x, y", "z"], &schema).unwrap();
    let expected = json!({
        "input": "q", "expected": "a", "metadata": {"topic": "t"}, "tags": ["x", "y"],
    });
    assert_eq!(example, expected);
    let pairs = ["input.q=question", "input.t=topic", "expected=answer"];
    let example = texts(&pairs, &columns, &["q", "", "t", "", ""], &schema).unwrap();
    assert_eq!(example, json!({"input": {"q": "q", "t": "t"}}), "an empty field is no answer");
    let error = texts(&["input=q"], &columns, &[""; 5], &schema).unwrap_err();
    assert!(error.contains("there is no column `q`; the columns are `question`"), "{error}");
}

#[test]
fn a_column_may_go_to_several_places() {
    let row = |cells| Row { line: 1, cells };
    let pairs = mapping(&["input=q", "metadata.question=q", "expected=q.a"]).unwrap();
    let schema = DatasetSchema::default();
    let mapper = Mapper::new(&pairs, None, &schema).unwrap();
    let object = json!({"q": {"a": 1}}).as_object().unwrap().clone();
    let example = mapper.example(row(Cells::Object(object))).unwrap();
    let wanted = json!({"input": {"a": 1}, "metadata": {"question": {"a": 1}}, "expected": 1});
    assert_eq!(json!(example), wanted);
    let pairs = mapping(&["input=q", "expected=q"]).unwrap();
    let mapper = Mapper::new(&pairs, Some(&["q".to_owned()]), &schema).unwrap();
    let example = mapper.example(row(Cells::Values(vec![json!(1)]))).unwrap();
    assert_eq!(json!(example), json!({"input": 1, "expected": 1}));
}

#[test]
fn expected_fields_that_nobody_filled_in_are_no_answer() {
    let schema = DatasetSchema::default();
    let pairs = ["input=q", "expected.a=a", "expected.b=b"];
    let columns = ["q", "a", "b"];
    let example = |cells: &[&str]| texts(&pairs, &columns, cells, &schema).unwrap();
    assert_eq!(example(&["q", "", ""]), json!({"input": "q"}));
    let wanted = json!({"input": "q", "expected": {"a": "", "b": "x"}});
    assert_eq!(example(&["q", "", "x"]), wanted);
}

#[test]
fn columns_are_what_they_are_called() {
    let schema = DatasetSchema::default();
    let example = texts(&[], &["id", "input", "split"], &["7", "q", "test"], &schema).unwrap();
    assert_eq!(example, json!({"input": "q", "split": "test"}));
    let error = texts(&[], &["question"], &["q"], &schema).unwrap_err();
    assert!(error.contains("--map input=COLUMN"), "{error}");
}

#[test]
fn the_schema_says_what_a_field_is_read_as() {
    let input = json!({"type": "object", "properties": {
        "n": {"type": "integer"}, "list": {"type": ["array", "null"]}, "text": {"type": "string"},
    }});
    let schema = DatasetSchema::Declared(DeclaredSchema { input: Some(input), expected: None });
    let pairs = ["input.n=a", "input.list=b", "input.text=c"];
    let example = texts(&pairs, &["a", "b", "c"], &["1", "[2]", "3"], &schema).unwrap();
    assert_eq!(example, json!({"input": {"n": 1, "list": [2], "text": "3"}}));
    let example = texts(&pairs, &["a", "b", "c"], &["1", "", ""], &schema).unwrap();
    assert_eq!(example, json!({"input": {"n": 1, "text": ""}}));
    let error = texts(&pairs, &["a", "b", "c"], &["NaN", "", ""], &schema).unwrap_err();
    assert_eq!(error, "line 2, column `a`: `NaN` is not of the type integer");
}

#[test]
fn rows_of_objects_are_looked_into() {
    let schema = DatasetSchema::default();
    let row = |value: Value| {
        let Value::Object(fields) = value else { unreachable!() };
        Row { line: 3, cells: Cells::Object(fields) }
    };
    let mapper = Mapper::new(&mapping(&["input=a.b", "tags=t"]).unwrap(), None, &schema);
    let mapper = mapper.unwrap().with_file("x.jsonl");
    let example = mapper.example(row(json!({"a": {"b": 1}, "t": ["u"]}))).unwrap();
    assert_eq!(json!(example), json!({"input": 1, "tags": ["u"], "source": "x.jsonl:3"}));
    let bad = mapper.example(row(json!({"a": 2}))).unwrap_err();
    assert_eq!(bad.to_string(), "line 3, column `a.b`: is null, and an example needs an input");
    let bad = mapper.example(row(json!({"a": {"b": 1}, "t": [1]}))).unwrap_err();
    assert_eq!(bad.to_string(), "line 3, column `t`: must be a list of texts");
    let mapper = Mapper::new(&Mapping::default(), None, &schema).unwrap();
    let whole = json!({"id": "ex_1", "input": {"q": 1}, "expected": null, "metadata": {"m": 1}});
    let example = mapper.example(row(whole)).unwrap();
    assert_eq!(json!(example), json!({"input": {"q": 1}, "metadata": {"m": 1}}));
    let bad = mapper.example(row(json!({"q": 1}))).unwrap_err();
    assert!(bad.to_string().contains("has no `input`"), "{bad}");
}

#[test]
fn mappings_that_make_no_sense_are_refused() {
    for (pairs, reason) in [
        (vec!["input"], "does not map a column"),
        (vec!["input="], "does not map a column"),
        (vec!["output=a"], "nothing in an example is called `output`"),
        (vec!["input.=a"], "nothing in an example is called `input.`"),
        (vec!["input=a", "input.b=b"], "two columns are mapped to `input.b`"),
        (vec!["expected=a"], "no column is mapped to `input`"),
    ] {
        let error = mapping(&pairs).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let pairs = vec!["input.q=a=b".to_owned(), "tags=c".to_owned()];
    let mapping = Mapping::try_from(pairs.clone()).unwrap();
    assert_eq!(Vec::<String>::from(mapping), pairs);
}
