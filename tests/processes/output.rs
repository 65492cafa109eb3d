//! What worker processes print, where it is asked to go to files.

use maser::{Actor, Config, Isolation, Mode};
use std::os::unix::fs::PermissionsExt;

struct Talker;

#[maser::actor]
impl Talker {
    fn new() -> Self {
        Talker
    }

    fn say(&self, text: String) {
        println!("{text}");
        eprintln!("aside: {text}");
    }

    fn dies(&self) {
        eprintln!("last words");
        std::process::abort();
    }
}

fn talker() -> Actor<Talker> {
    Talker::options().isolation(Isolation::Process).remote()
}

#[test]
fn each_process_has_files_of_its_own_and_its_crash_names_them() {
    let base = std::env::temp_dir().join(format!("maser-output-{}", std::process::id()));
    std::fs::create_dir(&base).unwrap();
    let config = Config::new()
        .num_cpus(1)
        .mode(Mode::Silent)
        .redirect_output(true)
        .session_dir(&base);
    let directory = crate::run(config, |maser| {
        let (one, other) = (talker(), talker());
        one.say().remote("one").get().unwrap();
        other.say().remote("other").get().unwrap();
        let error = other.dies().remote().get().unwrap_err().to_string();
        let directory = maser.output_dir().unwrap().expect("it is asked for");
        assert!(error.contains(directory.to_str().unwrap()), "{error}");
        directory
    })
    .unwrap();
    assert_eq!(directory.parent(), Some(base.as_path()));
    let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut texts: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    texts.sort();
    assert_eq!(texts.len(), 4);
    assert_eq!(texts[0], "aside: one\n");
    assert!(
        texts[1].starts_with("aside: other\nlast words\n"),
        "{}",
        texts[1]
    );
    assert_eq!(texts[2..], ["one\n", "other\n"]);
    std::fs::remove_dir_all(&base).unwrap();
}
