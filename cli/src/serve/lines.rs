//! Where things stand in a configuration file.

/// The line of a place in a text.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

/// The line of a field of the table that begins on line `table`, or of the field's own table; that
/// line where it is absent.
pub(crate) fn line_of_field(text: &str, table: usize, field: &str) -> usize {
    let behind = || text.lines().enumerate().skip(table);
    let is_key = |line: &str| {
        let rest = line.trim_start().strip_prefix(field);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let key =
        behind().take_while(|(_, line)| !line.starts_with('[')).find(|(_, line)| is_key(line));
    let own_table = || {
        let header = text.lines().nth(table.checked_sub(1)?)?;
        let name = format!("{}.{field}", name_in(header));
        behind().find(|(_, line)| line.starts_with('[') && name_in(line) == name)
    };
    key.or_else(own_table).map_or(table, |(at, _)| at + 1)
}

/// The name in the header of a table.
fn name_in(header: &str) -> &str {
    header.trim().trim_start_matches('[').trim_end_matches(']')
}
