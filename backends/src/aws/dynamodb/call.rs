use diogenes_core::ports::StoreError;

use super::fault::{Fault, Kind};

/// What a table must be.
pub(super) const SHAPE: &str = "the string keys `pk` and `sk`, an index named `index` on the \
     strings `ipk` and `isk` with all attributes, and the TTL attribute `ttl`";

pub(super) fn missing_table(table: &str) -> String {
    format!(
        "table `{table}` does not exist in this account and region; create it with `make deploy`, \
         or correct `DIOGENES_TABLE` or `AWS_REGION`"
    )
}

/// What a call does to what, for the text of its failure.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) table: String,
    /// The IAM actions that it needs.
    pub(super) actions: Vec<&'static str>,
    /// The partitions of the table that it touches; none for calls about the whole table.
    pub(super) partitions: Vec<String>,
    /// Whether it may have changed something.
    pub(super) writes: bool,
}

impl Call {
    fn denied(&self, message: &str) -> String {
        let place = match self.partitions.as_slice() {
            [] => String::new(),
            partitions => format!(" on partition {}", quoted(partitions)),
        };
        format!(
            "AWS does not allow {}{place} of table `{}` ({message}); add it to the policy of this \
             role",
            quoted(&self.actions),
            self.table
        )
    }
}

fn quoted(names: &[impl AsRef<str>]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    names.join(", ")
}

impl Fault {
    /// The port's error for this fault of `call`, whose earlier attempts were perhaps `in_doubt`.
    pub(super) fn into_store_error(self, call: &Call, in_doubt: bool) -> StoreError {
        let table = &call.table;
        let unknown = call.writes && (in_doubt || self.kind == Kind::Lost);
        let reason = match &self.kind {
            Kind::Condition(_) | Kind::Cancelled(_) => {
                format!(
                    "table `{table}` refused a write that was repeated; read before trying again"
                )
            }
            Kind::Busy => format!(
                "table `{table}` is throttled or busy with other transactions; try again in a \
                 moment"
            ),
            Kind::NotSent => format!(
                "nobody listens where table `{table}` should be; check `AWS_REGION`, \
                 `AWS_ENDPOINT_URL` and the network"
            ),
            Kind::Lost if call.writes => {
                format!("table `{table}` did not answer a write; read before trying again")
            }
            Kind::Lost => format!("table `{table}` did not answer; try again in a moment"),
            Kind::NoCredentials => format!(
                "the call to table `{table}` could not be signed; give this program AWS \
                 credentials and a region"
            ),
            Kind::Denied => call.denied(&self.message),
            Kind::NoTable => missing_table(table),
            Kind::Foreign => format!(
                "table `{table}` is not one of Diogenes ({}); it needs {SHAPE}; create one with \
                 `make deploy`, or correct `DIOGENES_TABLE`",
                self.message
            ),
            Kind::Invalid | Kind::Refused => {
                format!("table `{table}` refused the call: {}", self.message)
            }
        };
        let invalid = self.kind == Kind::Invalid;
        let foreign = self.kind == Kind::Foreign;
        let source = Some(self.source);
        if unknown {
            StoreError::Unknown { reason, source }
        } else if foreign {
            StoreError::Corrupt { reason, source }
        } else if invalid {
            StoreError::Invalid { reason }
        } else {
            StoreError::Unavailable { reason, source }
        }
    }
}
