use std::fs;
use std::io::Write as _;

use super::*;

fn logs() -> (tempfile::TempDir, Logs) {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    (dir, logs)
}

fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

#[test]
fn a_model_name_stays_below_the_directory_of_the_logs() {
    let (dir, logs) = logs();
    for name in ["a..b", "Qwen/Qwen3-8B", "llama3.1:8b", "a..", "a/..."] {
        let path = logs.path_of(&model(name), &ClaimId::new("c"));
        let below = path.strip_prefix(dir.path().join("logs")).unwrap();
        assert_eq!(below.components().count(), 2, "{below:?}");
        assert!(!below.starts_with(".."), "{below:?}");
    }
    assert_ne!(directory(&model("a/b")), directory(&model("a:b")));
}

#[test]
fn the_newest_logs_and_those_in_use_are_kept() {
    let (_dir, logs) = logs();
    let name = model("m");
    let claims: Vec<ClaimId> = (0..8).map(|n| ClaimId::new(format!("c{n}"))).collect();
    for claim in &claims {
        logs.create(&name, claim).unwrap();
        // Until the clock of the file system has moved on, so that the order is the files' own.
        let began = began(&logs.path_of(&name, claim).metadata().unwrap()).unwrap();
        while fs::write(logs.0.join("clock"), "").is_ok() {
            let now = logs.0.join("clock").metadata().unwrap().modified().unwrap();
            if now > began {
                break;
            }
        }
    }
    logs.prune(&name, &claims[..1]).unwrap();
    let left: Vec<_> = logs
        .of(&name)
        .unwrap()
        .iter()
        .filter_map(|path| claim_of(path))
        .map(|claim| claim.to_string())
        .collect();
    assert_eq!(left, ["c7", "c6", "c5", "c4", "c3", "c0"]);
}

#[test]
fn a_growing_log_is_followed_to_its_last_whole_character() {
    let (_dir, logs) = logs();
    let (name, claim) = (model("m"), ClaimId::new("c"));
    let mut file = logs.create(&name, &claim).unwrap();
    file.write_all("one\nzwö".as_bytes()).unwrap();
    let first = logs.read_from(&claim, 0, 7).unwrap().unwrap();
    assert_eq!((first.text.as_str(), first.next_offset), ("one\nzw", 6));
    let second = logs.read_from(&claim, first.next_offset, 7).unwrap().unwrap();
    assert_eq!((second.text.as_str(), second.next_offset), ("ö", 8));
    let last = logs.read_from(&claim, second.next_offset, 7).unwrap().unwrap();
    assert_eq!((last.text.as_str(), last.next_offset), ("", 8));
    assert_eq!(logs.read_end(&name, 5).unwrap().unwrap().text, "zwö", "a cut line is left out");
    assert_eq!(
        logs.read_from(&ClaimId::new("../c"), 0, 9).unwrap(),
        None,
        "a claim that is not a file name has no log"
    );
}

#[test]
fn the_tail_has_the_last_lines_each_cut() {
    let (_dir, logs) = logs();
    let (name, claim) = (model("m"), ClaimId::new("c"));
    let mut file = logs.create(&name, &claim).unwrap();
    for line in 0..50 {
        writeln!(file, "line {line}\r\n").unwrap();
    }
    write!(file, "{}", "x".repeat(600)).unwrap();
    let tail = logs.tail(&name, &claim);
    assert_eq!(tail.len(), MAX_LOG_LINES);
    assert_eq!(tail[0], "line 11");
    assert_eq!(tail[39].len(), crate::engine::output::KEPT);
}

#[test]
fn a_phase_is_read_once_its_line_is_whole() {
    let (_dir, logs) = logs();
    let (name, claim) = (model("m"), ClaimId::new("c"));
    let mut file = logs.create(&name, &claim).unwrap();
    let mut reader = PhaseReader::new(logs.path_of(&name, &claim));
    assert_eq!(reader.advance().unwrap(), None);
    write!(file, "x\nStarting to load").unwrap();
    assert_eq!(reader.advance().unwrap(), None);
    write!(file, " model\rmore").unwrap();
    assert_eq!(reader.advance().unwrap(), Some(Phase::Weights));
    assert_eq!(reader.advance().unwrap(), None);
}
