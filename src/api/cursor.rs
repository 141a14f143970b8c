//! Cursors of lists: the last key of a page in base64, URL alphabet, unpadded (RFC 4648 §5).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The cursor of the page that ends with `key`.
pub(super) fn encode(key: &str) -> String {
    let mut text = String::with_capacity(key.len().div_ceil(3) * 4);
    for chunk in key.as_bytes().chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for n in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * n)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

/// The key that `cursor` was made from; `None` if it was not made by [`encode`].
pub(super) fn decode(cursor: &str) -> Option<String> {
    let mut key = Vec::with_capacity(cursor.len() / 4 * 3 + 2);
    for chunk in cursor.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for (n, symbol) in chunk.iter().enumerate() {
            let index = ALPHABET.iter().position(|s| s == symbol)?;
            bits |= u32::try_from(index).ok()? << (18 - 6 * n);
        }
        let whole = (chunk.len() * 6) / 8;
        if whole == 0 {
            return None;
        }
        key.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    let key = String::from_utf8(key).ok()?;
    (!key.chars().any(char::is_control)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_unpadded_base64_of_its_key() {
        for (key, cursor) in [
            ("", ""),
            ("a", "YQ"),
            ("ab", "YWI"),
            ("abc", "YWJj"),
            ("/hello", "L2hlbGxv"),
            ("ü?>~", "w7w_Pn4"),
        ] {
            assert_eq!(encode(key), cursor);
            assert_eq!(decode(cursor).as_deref(), Some(key), "{cursor}");
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for cursor in ["Y", "YQ==", "Y Q", "_w", "AA", "YWJjY"] {
            assert_eq!(decode(cursor), None, "{cursor}");
        }
    }
}
