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

/// Every block of TOML in the pages, each with the page that it stands on.
fn blocks() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("the folder").map(|entry| entry.expect("an entry").path());
    let pages = docs.chain([root.join("README.md")]).filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    pages
        .flat_map(|page| {
            let text = fs::read_to_string(&page).expect("a page");
            let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
            blocks.map(|block| (page.clone(), block.to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

fn laid_over(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => laid_over(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

#[test]
fn what_the_pages_show_works_over_the_least_config() {
    let blocks = blocks();
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    for (page, block) in blocks {
        let secrets = Secrets::new(&[]);
        let names = block.split("/etc/missived/secrets/").skip(1).filter_map(|rest| rest.split('"').next());
        for name in names {
            fs::write(secrets.path(name), name).expect("a scratch file");
            fs::set_permissions(secrets.path(name), fs::Permissions::from_mode(0o600)).expect("its mode");
        }
        let mut whole: toml::Table = LEAST.parse().expect("TOML");
        let shown: toml::Table = block.parse().unwrap_or_else(|error| panic!("{}: {error}\n{block}", page.display()));
        if shown.get("missive").is_some_and(|missive| missive.get("token_file").is_some()) {
            whole["missive"].as_table_mut().expect("a table").remove("insecure_inline_token");
        }
        let organization = "22222222-3333-4444-8555-666666666666".into();
        whole["channels"]["ops"].as_table_mut().expect("a table").insert("organization".into(), organization);
        laid_over(&mut whole, shown);
        let folder = secrets.0.path().to_str().expect("a plain path");
        let text = toml::to_string(&whole).expect("TOML").replace("/etc/missived/secrets", folder);
        if let Err(error) = parse(&text) {
            panic!("{}: {error}\n\n{block}", page.display());
        }
    }
}
