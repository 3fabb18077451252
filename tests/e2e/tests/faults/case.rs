use std::fmt;

use diogenes_e2e::Script;

/// How the request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// Not streamed, to a replica that is ready.
    Plain,
    /// Streamed, from a replica that is ready.
    Stream,
    /// Streamed, and the model was asleep when it came.
    Held,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Stream => "stream",
            Self::Held => "held",
        })
    }
}

/// What the caller must get.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Exactly this body, with status 200. Of a stream, the text without our comments.
    Whole(Vec<u8>),
    /// This, and anything after it that is not an error: what follows the end does not matter.
    WholeAtLeast(&'static str),
    /// The replica's own error, as it is.
    Passed(u16, &'static str),
    /// Our error object: a status (of a held stream, an event) and one of these codes.
    Refused(u16, &'static [&'static str]),
    /// A stream that begins so and ends in an error event with one of these codes.
    Broken(&'static str, &'static [&'static str]),
}

/// One misbehaviour in one mode.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) script: Script,
    pub(crate) outcome: Outcome,
    /// What the replica does with the request before, which wakes it.
    pub(crate) before: Option<Script>,
    pub(crate) path: &'static str,
    /// The size of the request's body.
    pub(crate) request_bytes: usize,
    /// Timeouts for an answer that stalls, instead of those which never pass.
    pub(crate) impatient: bool,
    /// Prompt and completion tokens that it must count.
    pub(crate) tokens: Option<(u64, u64)>,
    /// What an error's message must name.
    pub(crate) names: &'static str,
}

impl Cell {
    pub(crate) fn new(script: Script, outcome: Outcome) -> Self {
        Self {
            script,
            outcome,
            before: None,
            path: "/v1/chat/completions",
            request_bytes: 0,
            impatient: false,
            tokens: None,
            names: "",
        }
    }

    /// A cell whose replica sends these bytes and leaves the connection open.
    pub(crate) fn sends(bytes: impl AsRef<[u8]>, outcome: Outcome) -> Self {
        Self::new(Script::new().send(bytes), outcome)
    }

    /// The same, and it closes the connection.
    pub(crate) fn closes(bytes: impl AsRef<[u8]>, outcome: Outcome) -> Self {
        Self::new(Script::new().send(bytes).close(), outcome)
    }

    /// Whether such an answer is counted as broken; `None` where nobody relies on it.
    pub(crate) fn counts(&self) -> Option<bool> {
        let codes = match &self.outcome {
            Outcome::Whole(_) | Outcome::WholeAtLeast(_) | Outcome::Passed(..) => {
                return Some(false);
            }
            Outcome::Refused(_, codes) | Outcome::Broken(_, codes) => codes,
        };
        let counted = |code: &&&str| !matches!(**code, "upstream_denied" | "upstream_refused");
        match codes.iter().filter(counted).count() {
            0 => Some(false),
            count if count == codes.len() => Some(true),
            _ => None,
        }
    }
}

/// One misbehaviour: a row of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    cells: [Option<Cell>; 3],
}

impl Row {
    /// A row whose stream is the same for a caller that is held.
    pub(crate) fn new(name: &'static str, plain: Cell, stream: Cell) -> Self {
        Self { name, cells: [Some(plain), Some(stream.clone()), Some(stream)] }
    }

    /// A row that only concerns streams.
    pub(crate) fn of_streams(name: &'static str, stream: Cell) -> Self {
        Self { name, cells: [None, Some(stream.clone()), Some(stream)] }
    }

    /// A row that only concerns plain answers.
    pub(crate) fn of_plain(name: &'static str, plain: Cell) -> Self {
        Self { name, cells: [Some(plain), None, None] }
    }

    /// A row whose replica does the same to everybody.
    pub(crate) fn alike(name: &'static str, cell: Cell) -> Self {
        Self::new(name, cell.clone(), cell)
    }

    /// Another expectation for a held stream.
    #[must_use]
    pub(crate) fn held(mut self, outcome: Outcome) -> Self {
        if let [_, _, Some(held)] = &mut self.cells {
            held.outcome = outcome;
        }
        self
    }

    /// Nothing that can happen to a held stream.
    #[must_use]
    pub(crate) fn never_held(mut self) -> Self {
        self.cells[2] = None;
        self
    }

    /// Changes every cell.
    #[must_use]
    pub(crate) fn with(mut self, change: impl Fn(&mut Cell)) -> Self {
        self.cells.iter_mut().flatten().for_each(change);
        self
    }

    pub(crate) fn cell(&self, mode: Mode) -> Option<&Cell> {
        self.cells[mode as usize].as_ref()
    }
}
