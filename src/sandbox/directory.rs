//! What the API lists besides conversations: organizations, teams, shared labels and users, a page at a time.
//!
//! As Missive documents it: `limit` (50 unless said, 200 at most) and `offset`, and `organization` narrows teams and labels. There
//! is one directory, the same for every token; users belong to every organization. Limits: what one control request can hold.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::Refusal;

/// Items on one page, unless the caller says.
const PAGE_ITEMS: usize = 50;

/// Items on one page at most.
const PAGE_ITEMS_MAX: usize = 200;

/// All there is to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Directory {
    pub organizations: Vec<Organization>,
    pub teams: Vec<Team>,
    pub shared_labels: Vec<SharedLabel>,
    pub users: Vec<User>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    pub id: String,
    pub name: String,
    pub organization: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedLabel {
    pub id: String,
    pub name: String,
    /// Like `Customers/VIP`; its name, if it isn't below another one.
    #[serde(default)]
    pub name_with_parent_names: Option<String>,
    pub organization: String,
    #[serde(default)]
    pub color: Option<String>,
    /// The id of the one that it is below.
    #[serde(default)]
    pub parent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub id: String,
    pub name: String,
    pub email: String,
}

/// The lists there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Organizations,
    Teams,
    SharedLabels,
    Users,
}

/// Which part of which list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub list: List,
    pub limit: usize,
    pub offset: usize,
    pub organization: Option<String>,
}

impl Asked {
    /// What the query of a request says.
    pub fn read(list: List, query: &str) -> Result<Self, Refusal> {
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str, default: usize| match value(key) {
            Some(text) => text.parse().map_err(|_| Refusal::WrongPage),
            None => Ok(default),
        };
        let (limit, offset) = (number("limit", PAGE_ITEMS)?, number("offset", 0)?);
        if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Err(Refusal::WrongPage);
        }
        Ok(Self { list, limit, offset, organization: value("organization").map(str::to_ascii_lowercase) })
    }
}

impl Directory {
    /// The page as it is answered.
    pub fn page(&self, asked: &Asked) -> Value {
        match asked.list {
            List::Organizations => json!({"organizations": part(&self.organizations, asked, |_| None)}),
            List::Teams => json!({"teams": part(&self.teams, asked, |team| Some(&team.organization))}),
            List::SharedLabels => {
                let labels: Vec<SharedLabel> = self.shared_labels.iter().map(SharedLabel::whole).collect();
                json!({"shared_labels": part(&labels, asked, |label| Some(&label.organization))})
            }
            List::Users => json!({"users": part(&self.users, asked, |_| None)}),
        }
    }
}

impl SharedLabel {
    fn whole(&self) -> Self {
        let path = self.name_with_parent_names.clone().unwrap_or_else(|| self.name.clone());
        Self { name_with_parent_names: Some(path), ..self.clone() }
    }
}

impl Default for Directory {
    fn default() -> Self {
        let id = "00000000-0000-4000-8000-000000000001".to_owned();
        Self {
            organizations: vec![Organization { id, name: "Sandbox".to_owned() }],
            teams: Vec::new(),
            shared_labels: Vec::new(),
            users: Vec::new(),
        }
    }
}

fn part<T: Serialize>(items: &[T], asked: &Asked, organization: impl Fn(&T) -> Option<&String>) -> Vec<Value> {
    let wanted = |item: &&T| match (&asked.organization, organization(item)) {
        (Some(wanted), Some(its)) => wanted.eq_ignore_ascii_case(its),
        (Some(_), None) | (None, _) => true,
    };
    let shown = items.iter().filter(wanted).skip(asked.offset).take(asked.limit);
    shown.map(|item| serde_json::to_value(item).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let team = |number: usize| Team {
            id: format!("t{number}"),
            name: format!("Team {number}"),
            organization: if number.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
        };
        let label = SharedLabel {
            id: "l".to_owned(),
            name: "VIP".to_owned(),
            name_with_parent_names: None,
            organization: "even".to_owned(),
            color: None,
            parent: None,
        };
        Directory { teams: (0..250).map(team).collect(), shared_labels: vec![label], ..Directory::default() }
    }

    fn ids(query: &str) -> Result<Vec<String>, Refusal> {
        let page = directory().page(&Asked::read(List::Teams, query)?);
        let teams = page["teams"].as_array().expect("a list");
        Ok(teams.iter().map(|team| team["id"].as_str().expect("an id").to_owned()).collect())
    }

    #[test]
    fn a_list_comes_in_pages() {
        let rows = [
            ("", Ok((50, "t0")), "fifty unless it says"),
            ("limit=200", Ok((200, "t0")), "as many as there may be"),
            ("limit=200&offset=200", Ok((50, "t200")), "the rest"),
            ("organization=ODD&limit=2", Ok((2, "t1")), "of one organization"),
            ("limit=201", Err(Refusal::WrongPage), "too many"),
            ("limit=0", Err(Refusal::WrongPage), "none"),
            ("offset=-1", Err(Refusal::WrongPage), "before the first"),
        ];
        for (query, expected, sentence) in rows {
            let found = ids(query).map(|ids| (ids.len(), ids[0].clone()));
            assert_eq!(found, expected.map(|(count, first)| (count, first.to_owned())), "{sentence}");
        }
        assert_eq!(ids("offset=250"), Ok(Vec::new()), "nothing behind the last");
    }

    #[test]
    fn a_label_has_its_path_and_a_sandbox_its_organization() {
        let asked = |list| Asked::read(list, "").expect("a page");
        let labels = directory().page(&asked(List::SharedLabels));
        assert_eq!(labels["shared_labels"][0]["name_with_parent_names"], "VIP");
        assert_eq!(Directory::default().page(&asked(List::Organizations))["organizations"][0]["name"], "Sandbox");
        assert_eq!(Directory::default().page(&asked(List::Users)), json!({"users": []}));
    }
}
