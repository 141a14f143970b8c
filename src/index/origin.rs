/// Digits of the hash that ends the name of a program that `fn` has built.
const HASH_DIGITS: usize = 16;

/// What stays of an image's name from one version to the next: the repository without tag and
/// digest, or the path of a program without the hash of its content.
pub fn origin(image: &str) -> &str {
    if image.contains("://") {
        return match image.rsplit_once('-') {
            Some((name, hash)) if is_hash(hash) => name,
            _ => image,
        };
    }
    let name = image.split('@').next().unwrap_or(image);
    // A colon before the last slash is the registry's port.
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_an_image_have_one_origin() {
        for (image, expected) in [
            ("shop", "shop"),
            ("shop:0.0.1", "shop"),
            ("r.example.com:5000/o/shop", "r.example.com:5000/o/shop"),
            ("r.example.com:5000/o/shop:1", "r.example.com:5000/o/shop"),
            ("o/shop@sha256:1f3a", "o/shop"),
            ("o/shop:1@sha256:1f3a", "o/shop"),
            (
                "file:///d/bin/my-shop-7692c3ad3540bb80",
                "file:///d/bin/my-shop",
            ),
            ("file:///d/bin/my-shop", "file:///d/bin/my-shop"),
        ] {
            assert_eq!(origin(image), expected, "{image}");
        }
    }
}
