//! The files under `config/examples`: each works as it stands, without a warning, and is one of the uses that Missive names.

use super::*;

const USES: [&str; 5] = ["chat-widget", "crm", "internal-ticketing", "iot-and-monitoring", "proprietary-platform"];

fn example(use_: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(use_).with_extension("toml");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn there_is_one_for_each_use_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> =
        entries.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, USES);
}

#[test]
fn each_works_as_it_stands() {
    let names = ["missive-token", "hubspot-client-secret", "ingest-token"];
    let hooks = ["chat", "helpdesk", "ops", "platform", "sales"].map(|channel| format!("{channel}-hook"));
    let files: Vec<_> = names.into_iter().chain(hooks.iter().map(|name| &**name)).map(|name| (name, name)).collect();
    let secrets = Secrets::new(&files);
    for use_ in USES {
        let folder = secrets.0.path().to_str().expect("a plain path");
        let loaded = parse(&example(use_).replace("/etc/missived/secrets", folder))
            .unwrap_or_else(|error| panic!("{use_}: {error}"));
        assert!(loaded.warnings.is_empty(), "{use_}: {:?}", loaded.warnings);
        assert!(loaded.config.hook.is_some(), "{use_}: people can answer");
    }
}
