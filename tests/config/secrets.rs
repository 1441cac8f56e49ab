//! Where secrets may come from, and what is said of files that are no good as one.

use super::*;

fn load(token_file: &str, environment: &Environment) -> Result<Loaded, LoadError> {
    Config::parse(&with_token_file(token_file), Path::new("missived.toml"), environment)
}

#[test]
fn relative_paths_and_credentials_are_in_systemds_folder() {
    let secrets = Secrets::new(&[("token", "hidden")]);
    for name in ["token", "credential:token"] {
        let config = load(name, &secrets.environment()).expect(name).config;
        assert!(matches!(&config.lanes[0].token, TokenSource::File(path) if *path == secrets.path("token")), "{name}");
    }
}

#[test]
fn a_file_that_everyone_can_read_is_a_warning() {
    let secrets = Secrets::new(&[("token", "hidden")]);
    fs::set_permissions(secrets.path("token"), fs::Permissions::from_mode(0o644)).expect("its mode");
    let loaded = load("token", &secrets.environment()).expect("it still works");
    let [warning] = &loaded.warnings[..] else { panic!("one warning: {:?}", loaded.warnings) };
    assert!(warning.to_string().starts_with("missived.toml:4: missive.token_file: everyone on this machine can read"));
}

#[test]
fn what_is_no_good_as_a_secret_file_says_why_and_not_what_is_in_it() {
    let long = "x".repeat(4097);
    let secrets = Secrets::new(&[("empty", ""), ("blank", " \n"), ("long", &long), ("odd", "hid den")]);
    let folder = secrets.0.path().display();
    let rows = [
        ("a file that isn't there", "/no/such/file", "found \"/no/such/file\" (no such file)"),
        ("a folder", "/", "found \"/\" (not a regular file)"),
        ("a device", "/dev/null", "found \"/dev/null\" (not a regular file)"),
        ("an empty file", "empty", "found <redacted> (empty)"),
        ("a blank file", "credential:blank", "found \"credential:blank\" (empty)"),
        ("a file over 4 KiB", "credential:long", "(too large); wanted a file of at most 4096 bytes"),
        ("a file that holds no token", "odd", "/odd\" (holding <redacted>); wanted a Missive API token"),
        ("a way out of the folder", "credential:../odd", "(not a path from here); wanted an absolute path"),
        ("the token itself where its file belongs", "missive_pat-hid", "found <redacted> (no such file)"),
    ];
    for (sentence, path, expected) in rows {
        let error = load(path, &secrets.environment()).expect_err(sentence);
        let text = error.to_string();
        assert!(text.starts_with("missived.toml:4: missive.token_file: found "), "{sentence}: {text}");
        assert!(text.contains(expected), "{sentence}: {text} (in {folder})");
        assert!(!text.contains("missive_pat") && !text.contains("hid den"), "{sentence}: {text}");
    }
}

#[test]
fn a_credential_without_systemd_says_so() {
    let error = load("credential:token", &Environment::default()).expect_err("there is no folder");
    assert!(error.to_string().contains("(CREDENTIALS_DIRECTORY is not set)"), "{error}");
}
