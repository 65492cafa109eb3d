//! Rust source with everything blanked out that is not code.

/// `text` with comments, strings and character literals turned into spaces, so that names in them
/// are not taken for uses. Lines and byte positions stay.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let after = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !continues_name(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            b'\'' => char_end(text, at).unwrap_or(at),
            _ => at,
        };
        for byte in &mut code[at..after] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = after.max(at + 1);
    }
    String::from_utf8(code).expect("whole comments and literals were blanked")
}

/// The part of `code` before its unit tests.
pub fn without_unit_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod ")
        .map_or(code, |at| &code[..at])
}

/// Where `name` stands in `code` as a whole name: neither preceded nor, if it ends like a name,
/// followed by a letter, digit or underscore.
pub fn uses<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let before = code[..at].chars().next_back();
            let after = code[at + name.len()..].chars().next();
            let begins_inside = before.is_some_and(in_name);
            let ends_inside = name.ends_with(in_name) && after.is_some_and(in_name);
            !begins_inside && !ends_inside
        })
}

/// The line of a byte position, counted from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Whether the byte before `at` makes it the inside of a name; the prefixes of byte and C strings
/// (`br"`, `cr"`) are not names.
fn continues_name(bytes: &[u8], at: usize) -> bool {
    let in_name = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
    match at {
        0 => false,
        _ if matches!(bytes[at - 1], b'b' | b'c') => at >= 2 && in_name(at - 2),
        _ => in_name(at - 1),
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(bytes.len(), |length| at + length)
}

fn block_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(bytes.len())
}

fn string_end(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"` or `r#"…"#` beginning at `at`; `None` if it is a name.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|&&byte| byte == b'#')
        .count();
    let quote = at + 1 + hashes;
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let inside = &bytes[quote + 1..];
    let length = inside
        .windows(close.len())
        .position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| quote + 1 + length + close.len()))
}

/// The end of a character literal beginning at `at`; `None` if it is a lifetime.
fn char_end(text: &str, at: usize) -> Option<usize> {
    let inside = &text[at + 1..];
    let mut chars = inside.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        // The escaped character may be the quote itself.
        let (escaped_at, escaped) = chars.next()?;
        let from = escaped_at + escaped.len_utf8();
        return inside[from..]
            .find('\'')
            .map(|length| at + 1 + from + length + 1);
    }
    let (second_at, second) = chars.next()?;
    (second == '\'').then_some(at + 1 + second_at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_is_not() {
        for (text, code) in [
            ("a // dbg!()\nb", "a          \nb"),
            ("a /* x /* y */ z\n */ b", "a               \n    b"),
            (r#"f("todo!() \" x") + 1"#, "f(              ) + 1"),
            ("r#\"a \" b\"# c", "           c"),
            ("br\"x\" r#type bar\"y\"", "b     r#type bar   "),
            ("'a' + '\\'' + b'\\n' + '\"'", "    +      + b     +    "),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("'ü' ü \"ü\" 'static", "     ü      'static"),
        ] {
            let blanked = code_only(text);
            assert_eq!(blanked.len(), text.len(), "{text}");
            assert_eq!(blanked.trim_end(), code.trim_end(), "{text}");
        }
    }

    #[test]
    fn unfinished_literals_reach_to_the_end() {
        for text in ["\"abc", "r##\"abc\"#", "/* abc", "'", "'\\", "r", "\"\\"] {
            assert_eq!(code_only(text).len(), text.len());
        }
    }

    #[test]
    fn names_are_matched_whole() {
        let code = "unsafe_code unsafe { MyInstant::now() } Instant::now() Instant::nowhere";
        assert_eq!(uses(code, "unsafe").count(), 1);
        assert_eq!(uses(code, "Instant::now").count(), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }

    #[test]
    fn unit_tests_are_cut_off() {
        assert_eq!(
            without_unit_tests("a\n#[cfg(test)]\nmod tests { b }"),
            "a\n"
        );
        assert_eq!(
            without_unit_tests("a #[cfg(test)] fn x() {}"),
            "a #[cfg(test)] fn x() {}"
        );
    }
}
