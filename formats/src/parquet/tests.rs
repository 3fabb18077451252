use std::io::Cursor;

use diogenes_core::datasets::{DatasetSchema, Example, ExampleContent, ExampleId};
use parquet::data_type::ByteArray;
use serde_json::json;

use super::*;
use crate::export::ExampleWriter;
use crate::format::Format;
use crate::rows::open;

fn file(count: u64) -> Vec<u8> {
    let mut schema = DatasetSchema::default();
    schema.widen(&ExampleContent { input: json!({"n": 1}), ..ExampleContent::default() });
    let mut writer = ExampleWriter::new(Format::Parquet, Vec::new(), &schema).unwrap();
    for number in 1..=count {
        let input = json!({"n": number});
        let content = ExampleContent { input, ..ExampleContent::default() };
        writer.write(&Example { id: ExampleId::numbered(number), content }).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: Vec<u8>) -> Result<u64, String> {
    let source = Box::new(Cursor::new(bytes));
    let told = |error: FormatError| error.to_string();
    let mut rows = open(source, Format::Parquet, None, None).map_err(told)?.rows;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(told)? {
        row.map_err(|bad| bad.to_string())?;
        count += 1;
    }
    Ok(count)
}

#[test]
fn rows_are_read_over_all_groups() {
    assert_eq!(read(file(0)), Ok(0));
    assert_eq!(read(file(120_000)), Ok(120_000));
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let whole = file(1_000);
    for length in (0..whole.len()).step_by(97) {
        let error = read(whole[..length].to_vec()).unwrap_err();
        assert!(error.contains("not a whole Parquet file"), "{length}: {error}");
    }
    let middle = [&whole[..whole.len() / 2], &whole[whole.len() / 2 + 50..]].concat();
    assert!(read(middle).is_err(), "a piece is missing in the middle");
}

#[test]
fn a_file_with_wrong_bytes_is_told_or_read_and_nothing_crashes() {
    let whole = file(500);
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x41;
        if let Ok(count) = read(damaged) {
            assert_eq!(count, 500, "{place}");
        }
    }
}

#[test]
fn a_page_that_would_unpack_to_everything_is_refused() {
    let mut bomb = file(1_000);
    // The first page begins behind the magic bytes: its kind, then what it unpacks to.
    let size = &mut bomb[4 + 2..];
    assert_eq!(size[0], 0x15);
    let old = size.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let claimed: [u8; 5] = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    let place = 4 + 3;
    bomb.splice(place..place + old, claimed);
    let error = read(bomb).unwrap_err();
    assert!(error.contains("there may be 67108864 in one"), "{error}");
}

/// A file that is read a byte at a time.
struct Dripping(Cursor<Vec<u8>>);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}

impl io::Seek for Dripping {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Source for Dripping {
    fn size(&self) -> u64 {
        self.0.size()
    }
}

#[test]
fn a_read_may_bring_less_than_was_wanted() {
    let source = Box::new(Dripping(Cursor::new(file(300))));
    let mut rows = open(source, Format::Parquet, None, None).unwrap().rows;
    for _ in 0..300 {
        rows.next().unwrap().unwrap().unwrap();
    }
    assert!(rows.next().unwrap().is_none());
}

#[test]
fn an_integer_that_does_not_fit_is_told() {
    let mut schema = DatasetSchema::default();
    let content =
        |number: Value| ExampleContent { input: json!({"n": number}), ..ExampleContent::default() };
    schema.widen(&content(json!(1)));
    let write = |number: Value| {
        let mut writer = ExampleWriter::new(Format::Parquet, Vec::new(), &schema).unwrap();
        writer.write(&Example { id: ExampleId::numbered(1), content: content(number) })
    };
    for fits in [json!(i64::MIN), json!(3.0), json!(null)] {
        assert!(write(fits.clone()).is_ok(), "{fits}");
    }
    for unfit in [json!(u64::MAX), json!(0.5), json!(1e300)] {
        let error = write(unfit.clone()).unwrap_err().to_string();
        assert!(error.contains("`input.n`") && error.contains("cannot hold"), "{error}");
    }
}

#[test]
fn sizes_are_read_as_thrift_has_them() {
    assert_eq!(unpacked_size(&[0x15, 0x00, 0x15, 0x02, 0x15]), Some(1));
    assert_eq!(unpacked_size(&[0x15, 0x04, 0x15, 0x80, 0x02]), Some(128));
    assert_eq!(unpacked_size(&[0x15, 0x00, 0x15, 0x01]), Some(u64::MAX));
    for bad in [&[][..], &[0x15], &[0x05, 0x02, 0x00], &[0x15, 0x00, 0x25, 0x02]] {
        assert_eq!(unpacked_size(bad), None);
    }
}

#[test]
fn numbers_that_json_does_not_have_are_told() {
    assert!(value(Field::Double(f64::NAN)).unwrap_err().contains("NaN"));
    assert_eq!(value(Field::Float(0.1)), Ok(json!(0.1)));
    assert_eq!(value(Field::Bytes(ByteArray::from("text"))), Ok(json!("text")));
    assert!(value(Field::Bytes(vec![0xff].into())).unwrap_err().contains("binary"));
}
