use std::io;

/// The accounts of the machine, in the format of passwd(5).
const ACCOUNTS: &str = "/etc/passwd";

/// Another account of the machine, with fewer rights than the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// Looks an account up by its name.
    pub(super) fn named(name: &str) -> io::Result<Self> {
        let accounts = std::fs::read_to_string(ACCOUNTS)?;
        find(&accounts, name).ok_or_else(|| {
            let problem = format!("the user `{name}` of `--engine-user` does not exist");
            io::Error::new(io::ErrorKind::NotFound, problem)
        })
    }
}

fn find(accounts: &str, name: &str) -> Option<User> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        // The password's place.
        fields.next()?;
        let (uid, gid) = (fields.next()?, fields.next()?);
        Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\nengine2:x:7:7::/:\nengine:x:990:991::/:\nbad";
        assert_eq!(find(accounts, "engine"), Some(User { uid: 990, gid: 991 }));
        for name in ["eng", "bad", "nobody", ""] {
            assert_eq!(find(accounts, name), None, "{name}");
        }
    }
}
