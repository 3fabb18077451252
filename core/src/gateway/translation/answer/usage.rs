/// Tokens as far as they are known. Unknown is never 0: a stream that tells no usage is not free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Usage {
    /// Of the prompt, without those read from a cache or written to it.
    pub(in super::super) input: Option<u64>,
    pub(in super::super) cache_read: Option<u64>,
    pub(in super::super) cache_write: Option<u64>,
    pub(in super::super) output: Option<u64>,
    /// How many of the output were thinking.
    pub(in super::super) thinking: Option<u64>,
}

impl Usage {
    /// Of the prompt, the cached ones included.
    pub(in super::super) fn prompt(&self) -> Option<u64> {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        self.input.map(|input| input.saturating_add(cached))
    }

    /// Takes over what newer, cumulative figures tell.
    pub(in super::super) fn update(&mut self, newer: Self) {
        self.input = newer.input.or(self.input);
        self.cache_read = newer.cache_read.or(self.cache_read);
        self.cache_write = newer.cache_write.or(self.cache_write);
        self.output = newer.output.or(self.output);
        self.thinking = newer.thinking.or(self.thinking);
    }
}
