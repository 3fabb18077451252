//! Where instances write their logs, and reading them back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use diogenes_core::fleet::{ClaimId, MAX_LOG_LINES, Phase};
use diogenes_core::name::ModelName;
use diogenes_core::ports::LogChunk;

use super::record::{names_a_file, private_dir};
use crate::engine::output::{Lines, kept};

/// How many logs of a model are kept.
const KEPT: usize = 5;
/// The most that is read for the last lines: enough for every one at its full length.
const TAIL: u64 = 128 * 1024;
/// The most that one look at a growing log reads.
const STEP: u64 = 1024 * 1024;

/// The logs, one directory per model and one file per claim.
#[derive(Clone, Debug)]
pub(super) struct Logs(PathBuf);

impl Logs {
    /// The logs below `data_dir`.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("logs");
        private_dir(&path)?;
        Ok(Self(path))
    }

    /// Where an instance of `model` logs.
    pub(super) fn path_of(&self, model: &ModelName, claim: &ClaimId) -> PathBuf {
        self.0.join(directory(model)).join(format!("{claim}.log"))
    }

    /// Opens the log of an instance for its output.
    pub(super) fn create(&self, model: &ModelName, claim: &ClaimId) -> io::Result<File> {
        private_dir(&self.0.join(directory(model)))?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path_of(model, claim))
    }

    /// The logs of `model`, the one begun last first.
    pub(super) fn of(&self, model: &ModelName) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.0.join(directory(model))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut logs = Vec::new();
        for entry in entries {
            let path = entry?.path();
            // One that is removed meanwhile is none.
            if let Some(began) = path.metadata().ok().and_then(|found| began(&found)) {
                logs.push((began, path));
            }
        }
        logs.sort_by(|one, other| other.cmp(one));
        Ok(logs.into_iter().map(|(_, path)| path).collect())
    }

    /// The log of a claim, whatever its model.
    pub(super) fn find(&self, claim: &ClaimId) -> io::Result<Option<PathBuf>> {
        if !names_a_file(claim) {
            return Ok(None);
        }
        for model in fs::read_dir(&self.0)? {
            let path = model?.path().join(format!("{claim}.log"));
            if path.is_file() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Removes all but the newest logs of `model`; those of `live` claims stay.
    pub(super) fn prune(&self, model: &ModelName, live: &[ClaimId]) -> io::Result<()> {
        for path in self.of(model)?.into_iter().skip(KEPT) {
            if !claim_of(&path).is_some_and(|claim| live.contains(&claim)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The end of the newest log of `model`.
    pub(super) fn read_end(&self, model: &ModelName, max: u64) -> io::Result<Option<LogChunk>> {
        let Some(path) = self.of(model)?.into_iter().next() else {
            return Ok(None);
        };
        let Some(claim) = claim_of(&path) else {
            return Ok(None);
        };
        let length = path.metadata()?.len();
        let start = length.saturating_sub(max);
        let mut chunk = read(&path, claim, start, max)?;
        let is_line = start == 0 || bytes(&path, start - 1, 1)? == b"\n";
        if !is_line
            && let Some((_, whole_lines)) = chunk.text.split_once('\n')
            && !whole_lines.is_empty()
        {
            chunk.text = whole_lines.to_owned();
        }
        Ok(Some(chunk))
    }

    /// What follows `offset` in the log of `claim`; a log that is shorter was begun anew.
    pub(super) fn read_from(
        &self,
        claim: &ClaimId,
        offset: u64,
        max: u64,
    ) -> io::Result<Option<LogChunk>> {
        let Some(path) = self.find(claim)? else {
            return Ok(None);
        };
        let start = if path.metadata()?.len() < offset { 0 } else { offset };
        read(&path, claim.clone(), start, max).map(Some)
    }

    /// The last lines of an instance's log, as a beat carries them.
    pub(super) fn tail(&self, model: &ModelName, claim: &ClaimId) -> Vec<String> {
        let path = self.path_of(model, claim);
        let text = path
            .metadata()
            .and_then(|found| read(&path, claim.clone(), found.len().saturating_sub(TAIL), TAIL))
            .map(|chunk| chunk.text)
            .unwrap_or_default();
        let mut lines: Vec<String> =
            text.split(['\n', '\r']).rev().filter_map(kept).take(MAX_LOG_LINES).collect();
        lines.reverse();
        lines
    }
}

/// Reads a growing log for the phases that it announces.
#[derive(Debug)]
pub(super) struct PhaseReader {
    path: PathBuf,
    offset: u64,
    lines: Lines,
}

impl PhaseReader {
    /// Reads the log at `path` from its start.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, lines: Lines::default() }
    }

    /// The port that the server has last said it listens on.
    pub(super) fn listens_on(&self) -> Option<u16> {
        self.lines.listens_on()
    }

    /// The furthest phase that the lines since the last look announce.
    pub(super) fn advance(&mut self) -> io::Result<Option<Phase>> {
        let fresh = bytes(&self.path, self.offset, STEP)?;
        self.offset += fresh.len() as u64;
        Ok(self.lines.push(&fresh, |_| {}))
    }
}

/// The directory of a model. A name has neither `~` nor `=`, so that no two share one; it
/// begins with a letter or a digit, so that none is `..`.
fn directory(model: &ModelName) -> String {
    model.as_str().replace('/', "~").replace(':', "=")
}

/// The claim whose log is at `path`.
fn claim_of(path: &Path) -> Option<ClaimId> {
    let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
    Some(ClaimId::new(name))
}

/// When a log was begun; its last change where the file system does not tell.
fn began(found: &fs::Metadata) -> Option<SystemTime> {
    found.created().or_else(|_| found.modified()).ok()
}

fn bytes(path: &Path, start: u64, max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read(path: &Path, claim: ClaimId, start: u64, max: u64) -> io::Result<LogChunk> {
    let mut bytes = bytes(path, start, max)?;
    let whole = bytes.len() - unfinished(&bytes);
    // A character that does not fit at all is passed over rather than waited for.
    if whole > 0 || (bytes.len() as u64) < max {
        bytes.truncate(whole);
    }
    Ok(LogChunk {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        next_offset: start + bytes.len() as u64,
        claim,
    })
}

/// How many bytes at the end begin a character that is cut.
fn unfinished(bytes: &[u8]) -> usize {
    bytes
        .utf8_chunks()
        .last()
        .map(|chunk| chunk.invalid())
        .filter(|cut| std::str::from_utf8(cut).is_err_and(|error| error.error_len().is_none()))
        .map_or(0, <[u8]>::len)
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
