//! What is known of an instance, on disk before it runs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use diogenes_core::Timestamp;
use diogenes_core::fleet::{ClaimId, LaunchToken};
use diogenes_core::name::ModelName;
use diogenes_core::ports::Exit;
use diogenes_core::secret::Secret;
use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// One instance. Written before its spawn, so that no child is ever unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    /// The claim that it serves; names the file.
    pub(super) claim: ClaimId,
    pub(super) model: ModelName,
    /// The launch that it came from.
    pub(super) token: LaunchToken,
    /// Where it listens.
    pub(super) host: IpAddr,
    /// Where it listens.
    pub(super) port: u16,
    /// What answers 200 once it is ready.
    pub(super) health_path: String,
    /// The key that it asks of its callers.
    pub(super) upstream_key: Secret,
    /// When it was launched.
    pub(super) launched_at: Timestamp,
    /// Which process it is; none before the spawn is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Identity>,
    /// How its leader ended, as soon as that is known; its group may live on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exit: Option<Exit>,
    /// When the last of its group had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_at: Option<Timestamp>,
}

/// Whether a claim's text may name a file. The fleet's are 32 hexadecimal digits.
pub(super) fn names_a_file(claim: &ClaimId) -> bool {
    let text = claim.as_str();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}

/// Makes a directory that only its owner may enter, and those above it.
pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The directory of the run records.
#[derive(Debug)]
pub(super) struct RunDir(PathBuf);

impl RunDir {
    /// The one below `data_dir`, made when it is missing.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("run");
        private_dir(&path)?;
        Ok(Self(path))
    }

    /// Every record. A damaged one is set aside: its process is found by its tags.
    pub(super) fn read_all(&self) -> io::Result<Vec<RunRecord>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.is_dir() {
                tracing::warn!(
                    path = %path.display(),
                    "{} is a directory and not a run record; it is skipped", path.display()
                );
                continue;
            }
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {}
                Some("tmp") => {
                    // Left by a write that was cut short; what it was to replace still stands.
                    fs::remove_file(&path)?;
                    continue;
                }
                _ => continue,
            }
            match serde_json::from_slice::<RunRecord>(&fs::read(&path)?) {
                Ok(record) if names_a_file(&record.claim) => records.push(record),
                Ok(_) => set_aside(&path, "its claim is not a file name")?,
                Err(error) => set_aside(&path, &error.to_string())?,
            }
        }
        Ok(records)
    }

    /// Puts a record in place of the one before it, whole or not at all, and on disk.
    pub(super) fn write(&self, record: &RunRecord) -> io::Result<()> {
        let path = self.path_of(&record.claim);
        let fresh = path.with_extension("tmp");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes a record; one that is not there is as good.
    pub(super) fn remove(&self, claim: &ClaimId) -> io::Result<()> {
        match fs::remove_file(self.path_of(claim)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn path_of(&self, claim: &ClaimId) -> PathBuf {
        self.0.join(format!("{claim}.json"))
    }
}

fn set_aside(path: &Path, why: &str) -> io::Result<()> {
    tracing::warn!(
        path = %path.display(),
        "the run record {} cannot be read and is set aside: {why}", path.display()
    );
    fs::rename(path, path.with_extension("damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_leaves_the_directory_names_no_file() {
        for text in ["", "..", "../x", "a/b", "a.b", "a\0"] {
            assert!(!names_a_file(&ClaimId::new(text)), "{text:?}");
        }
        assert!(names_a_file(&ClaimId::new("0123456789abcdef0123456789abcdef")));
    }

    #[test]
    fn a_directory_among_the_records_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path()).unwrap();
        for name in ["a.json", "b.tmp", "c"] {
            fs::create_dir(dir.path().join("run").join(name)).unwrap();
        }
        assert_eq!(run.read_all().unwrap(), []);
        assert_eq!(fs::read_dir(dir.path().join("run")).unwrap().count(), 3);
    }

    #[test]
    fn a_damaged_record_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path()).unwrap();
        fs::write(dir.path().join("run/a.json"), "{").unwrap();
        fs::write(dir.path().join("run/b.tmp"), "{").unwrap();
        assert_eq!(run.read_all().unwrap(), []);
        let names: Vec<_> = fs::read_dir(dir.path().join("run"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["a.damaged"]);
    }
}
