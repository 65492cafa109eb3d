//! What is left of a process that is killed, and a real disk that is full.

use super::*;

/// This test again, in a process that [`part`] tells what to play.
fn again(test: &str, play: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("MASER_TEST_PART", play)
        .stdin(Stdio::null());
    command
}

#[test]
fn a_killed_process_leaves_nothing_in_the_directory() {
    if let Some(directory) = part() {
        let io: Arc<dyn FileIo> = Arc::new(UringFileIo::new());
        let file = SpillFile::create(Path::new(&directory), io).expect("a spill file");
        let _ticket = file.write(&object(4 * MIB, 1)).expect("room");
        println!("\nwritten");
        loop {
            std::thread::park();
        }
    }
    let folder = Folder::new();
    let test = "processes::a_killed_process_leaves_nothing_in_the_directory";
    let mut child = again(test, folder.0.to_str().expect("text"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let is_written = lines.any(|line| line.expect("text") == "written");
    child.kill().expect("alive");
    child.wait().expect("it ends");
    assert!(is_written);
    assert_eq!(folder.names(), 0);
}

#[test]
fn a_real_disk_of_4_mib_is_full_with_figures_and_without_a_signal() {
    if let Some(directory) = part() {
        for io in [
            Arc::new(UringFileIo::new()) as Arc<dyn FileIo>,
            Arc::new(PlainFileIo),
        ] {
            let file = SpillFile::create(Path::new(&directory), io).expect("a spill file");
            assert!(file.is_in_memory());
            let held = file.write(&object(3 * MIB, 1)).expect("room");
            match file.write(&object(3 * MIB, 2)).expect_err("3 of 1 MiB") {
                SpillError::DiskFull { asked, free, .. } => {
                    assert_eq!(asked, 3 * MIB as u64);
                    assert!(free <= MIB as u64, "{free}");
                }
                other => panic!("{other}"),
            }
            file.discard(held).expect("an object");
            file.write(&object(3 * MIB, 2)).expect("the room is back");
        }
        println!("\nfull");
        return;
    }
    let folder = Folder::new();
    let test = "processes::a_real_disk_of_4_mib_is_full_with_figures_and_without_a_signal";
    let inner = again(test, folder.0.to_str().expect("text"));
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=4m tmpfs \"$0\" || exit 99; exec \"$@\"")
        .arg(&folder.0)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("MASER_TEST_PART", &folder.0)
        .stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) if output.status.code() == Some(99) || output.status.code() == Some(1) => {
            println!(
                "skipped: no tmpfs of our own: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            return;
        }
        Ok(output) => output,
        Err(error) => {
            println!("skipped: no unshare: {error}");
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("\nfull\n"),
        "{text}"
    );
}
