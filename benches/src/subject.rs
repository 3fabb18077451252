/// What is measured: a URL and the processes behind it.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) key: Option<String>,
    pub(crate) pids: Vec<u32>,
}
