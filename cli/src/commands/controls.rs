//! Control characters in text that others wrote: a model, a replica, a server.
//!
//! A terminal obeys them. They could move its cursor, hide lines, set its title or answer in the
//! user's name, so that none but line ends and tabs gets there.

use std::fmt::Write as _;

/// `text` with its control characters written out, such as `\u001b`.
pub(super) fn escaped(text: &str) -> String {
    without(text, write_out)
}

/// `text` without its control characters.
pub(super) fn stripped(text: &str) -> String {
    without(text, |_, _| {})
}

/// [`escaped`], but for the colours and styles that logs have: `ESC [ 1;36 m`.
pub(super) fn escaped_but_colours(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut has_colour = false;
    for (index, piece) in text.split('\x1b').enumerate() {
        match colour_of(piece) {
            _ if index == 0 => shown.push_str(&escaped(piece)),
            Some((colour, rest)) => {
                has_colour = !matches!(colour, "" | "0" | "0;0");
                let _ = write!(shown, "\x1b[{colour}m{}", escaped(rest));
            }
            None => {
                write_out('\x1b', &mut shown);
                shown.push_str(&escaped(piece));
            }
        }
    }
    if has_colour {
        // What is printed next is not the log's.
        shown.push_str("\x1b[0m");
    }
    shown
}

/// The parameters of a sequence that only sets colours or styles, and what follows it.
fn colour_of(behind_escape: &str) -> Option<(&str, &str)> {
    let (parameters, rest) = behind_escape.strip_prefix('[')?.split_once('m')?;
    let is_plain = parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';');
    is_plain.then_some((parameters, rest))
}

fn write_out(control: char, shown: &mut String) {
    // As JSON writes it, so that JSON stays what it is.
    let _ = write!(shown, "\\u{:04x}", u32::from(control));
}

/// A carriage return becomes a line end: what stands before it is not overwritten.
fn without(text: &str, mut instead: impl FnMut(char, &mut String)) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' => shown.push('\n'),
            '\n' | '\t' => shown.push(next),
            control if control.is_control() => instead(control, &mut shown),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_ends_and_tabs_are_left_of_control_characters() {
        for (text, escapes, strips) in [
            ("a\tb\nc é 日", "a\tb\nc é 日", "a\tb\nc é 日"),
            ("\x1b]0;title\x07x", "\\u001b]0;title\\u0007x", "]0;titlex"),
            ("\u{9b}2Jx\x7f\0", "\\u009b2Jx\\u007f\\u0000", "2Jx"),
            ("a\r\nb\rc", "a\nb\nc", "a\nb\nc"),
        ] {
            assert_eq!(escaped(text), escapes);
            assert_eq!(stripped(text), strips);
        }
    }

    #[test]
    fn a_log_keeps_its_colours_and_they_end_with_it() {
        for (text, shown) in [
            ("\x1b[1;36m(core)\x1b[0;0m up\n", "\x1b[1;36m(core)\x1b[0;0m up\n"),
            ("a \x1b[31mred", "a \x1b[31mred\x1b[0m"),
            ("\x1b[2J\x1b[31m\x1b[m", "\\u001b[2J\x1b[31m\x1b[m"),
            ("\x1b[?25lm\x1b", "\\u001b[?25lm\\u001b"),
            ("\x1b[31mx\x07\u{9b}", "\x1b[31mx\\u0007\\u009b\x1b[0m"),
        ] {
            assert_eq!(escaped_but_colours(text), shown);
        }
    }
}
