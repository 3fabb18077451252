//! How fast rows become chunks, on one core. Run it by
//! `cargo test --release -p diogenes-formats --all-features --test throughput -- --ignored --nocapture`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
#![expect(clippy::print_stdout, reason = "it is for people who look")]

use std::io::Cursor;

use diogenes_core::datasets::{
    Checks, Chunk, ChunkBuilder, DatasetSchema, Example, ExampleId, fingerprint,
};
use diogenes_formats::{ExampleWriter, Format, Mapper, Mapping, open};

const ROWS: u64 = 1_000_000;

#[test]
#[ignore = "measures"]
fn a_million_rows() {
    let csv: String = (0..ROWS).fold("question,answer,topic\n".into(), |mut text, number| {
        use std::fmt::Write as _;
        writeln!(
            text,
            "\"What is the capital of country {number}, and since when?\",The city of {number},geography {}",
            number % 17
        )
        .unwrap();
        text
    });
    let pairs = ["input.question=question", "expected=answer", "metadata.topic=topic"];
    let mapping = Mapping::try_from(pairs.map(str::to_owned).to_vec()).unwrap();
    let (schema, examples) = read("csv", csv.into_bytes(), Format::Csv, &mapping);
    for format in [Format::Csv, Format::Jsonl, Format::Parquet] {
        let began = cpu_seconds();
        let mut writer = ExampleWriter::new(format, Vec::new(), &schema).unwrap();
        for example in &examples {
            writer.write(example).unwrap();
        }
        let bytes = writer.finish().unwrap();
        told(&format!("{format} out"), bytes.len(), began);
        if format != Format::Csv {
            read(&format.to_string(), bytes, format, &Mapping::default());
        }
    }
}

fn read(
    what: &str,
    bytes: Vec<u8>,
    format: Format,
    mapping: &Mapping,
) -> (DatasetSchema, Vec<Example>) {
    let (began, length) = (cpu_seconds(), bytes.len());
    let mut rows = open(Box::new(Cursor::new(bytes)), format, None, None).unwrap().rows;
    let mut schema = DatasetSchema::default();
    let checks = Checks::of(&schema).unwrap();
    let mapper = Mapper::new(mapping, rows.columns(), &schema).unwrap().with_file("x.csv");
    let (mut builder, mut count) = (ChunkBuilder::default(), 0);
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut known = std::collections::HashSet::new();
    let mut examples = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let content = mapper.example(row.unwrap()).unwrap();
        checks.check(&content).unwrap();
        assert!(known.insert(fingerprint(&content)));
        count += 1;
        chunks.extend(builder.push(count, &content).unwrap());
        schema.widen(&content);
        examples.push(Example { id: ExampleId::numbered(count), content });
    }
    chunks.extend(builder.take());
    assert_eq!(count, ROWS);
    told(&format!("{what} in, {} chunks", chunks.len()), length, began);
    (schema, examples)
}

/// How long this thread has had a core, so that others on the machine do not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn told(what: &str, bytes: usize, began: f64) {
    let seconds = cpu_seconds() - began;
    let (rate, megabytes) = (ROWS as f64 / seconds, bytes / 1_000_000);
    println!("{what}: {seconds:.2} s, {rate:.0} rows/s, {megabytes} MB");
}
