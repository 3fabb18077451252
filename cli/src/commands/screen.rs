use super::{controls, output};
use crate::exit::Failure;

/// Draws one frame over the last.
#[derive(Default)]
pub(super) struct Screen {
    height: usize,
}

impl Screen {
    pub(super) fn draw(&mut self, frame: &str) -> Result<(), Failure> {
        if !output::is_terminal() {
            return output::line(&format!("{frame}\n"));
        }
        let (rows, columns) = console::Term::stdout().size();
        let lines = fit(&controls::escaped(frame), rows.into(), columns.into());
        let back = match self.height {
            0 => String::new(),
            height => format!("\r\x1b[{height}A"),
        };
        self.height = lines.len();
        // Down to the end of the screen is cleared last, so that nothing flickers.
        let text = lines.join("\x1b[K\n");
        output::drawn(&format!("{back}{text}\x1b[K\n\x1b[J"))
    }
}

/// What of a frame fits on the screen: a wrapped line would spoil the way back.
fn fit(frame: &str, rows: usize, columns: usize) -> Vec<String> {
    frame
        .lines()
        .take(rows.saturating_sub(1).max(1))
        .map(|line| console::truncate_str(line, columns, "…").into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_wraps_or_scrolls() {
        assert_eq!(fit("abcdef\ng\nh\ni", 3, 4), ["abc…", "g"]);
        assert_eq!(fit("a", 0, 10), ["a"]);
    }
}
