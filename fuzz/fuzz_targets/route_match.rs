#![no_main]

use kiln_fuzz::gateway::{Place, place};
use kiln_fuzz::model::clean_path;
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// `text` as a caller writes it who leaves nothing to chance.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// As [`encoded`], but for the slashes.
fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

fn is_a_name(app: &str) {
    assert!(!app.is_empty() && !app.contains('\0'));
}

/// Says where `path` leads, after checking all that can be said of it.
fn checked(path: &str) -> Place {
    let found = place(path);
    match &found {
        Place::Route { app, path: cleaned } => {
            assert!(path.starts_with("/r/"));
            is_a_name(app);
            assert!(cleaned.starts_with('/') && !cleaned.contains('\0'));
            assert_eq!(&clean_path(cleaned), cleaned);
            assert!(!cleaned.split('/').any(|part| part == "." || part == ".."));
            // A path in its one spelling is matched as itself.
            let again = format!("/r/{}{}", encoded(app), encoded_path(cleaned));
            assert_eq!(place(&again), found);
        }
        Place::Trigger { app, source } => {
            assert!(path.starts_with("/t/"));
            is_a_name(app);
            assert!(source.starts_with('/') && !source.contains('\0'));
            let again = format!("/t/{}{}", encoded(app), encoded_path(source));
            assert_eq!(place(&again), found);
        }
        Place::Invoke { id } => {
            assert!(!id.is_empty() && !id.contains('/'));
            assert_eq!(path, format!("/invoke/{id}"));
        }
        Place::Control => {}
    }
    found
}

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    checked(&text);
    // As it comes off a connection.
    if let Ok(uri) = http::Uri::try_from(input) {
        checked(uri.path());
    }
    // Whatever a caller writes behind the name of an app stays with that app: no dots, slashes or
    // encodings lead from there to the control plane, or to another app.
    let plain = !text.contains(['%', '\0']);
    for (prefix, at) in [("/r/app", "/r/app/"), ("/t/app", "/t/app/")] {
        let found = checked(&format!("{at}{text}"));
        match &found {
            Place::Route { app, .. } => assert_eq!((app.as_str(), prefix), ("app", "/r/app")),
            Place::Trigger { app, .. } => assert_eq!((app.as_str(), prefix), ("app", "/t/app")),
            Place::Control => assert!(!plain, "{text:?} leads out of {prefix}"),
            Place::Invoke { .. } => panic!("{text:?} leads out of {prefix}"),
        }
    }
    // The control plane's own paths are nobody else's.
    for root in ["/v1/", "/v2/", "/health/", "/version/"] {
        assert_eq!(checked(&format!("{root}{text}")), Place::Control);
    }
});
