//! The command `maser perf`, as a user runs it: in one process, between two, and where it cannot.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use maser_tests::alone;
use serde_json::Value;

const TESTS: &str = "send-lat,send-bw,put-lat,put-bw,get-lat,get-bw,atomic-lat,atomic-bw";

fn perf(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maser"))
        .arg("perf")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails with exit code `code` and a message that says all of `words`.
#[track_caller]
fn fails(output: &Output, code: i32, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

/// The rows of a run that ended well.
#[track_caller]
fn rows(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    report["rows"].as_array().expect("rows").clone()
}

/// A server that ends with the test.
struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_maser"))
            .args(["perf", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let address = line
            .trim_end()
            .strip_prefix("listening on ")
            .expect("where it listens");
        Self {
            address: address.to_owned(),
            child,
            output,
        }
    }

    /// What it says until it ends by itself.
    fn ends(mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("a pipe");
        let mut errors = self.child.stderr.take().expect("a pipe");
        errors.read_to_string(&mut rest).expect("a pipe");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended if the test waited for it.
        let _outcome = self.child.kill();
        let _outcome = self.child.wait();
    }
}

/// A file of this test, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let name = format!("maser-cli-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may have been moved by the test.
        let _outcome = std::fs::remove_file(&self.0);
    }
}

/// Every row has the figures of work that was done.
#[track_caller]
fn are_measured(rows: &[Value], iterations: u64) {
    for row in rows {
        assert_eq!(row["iterations"], iterations, "{row}");
        let figure = |name: &str| row["latency"][name].as_f64().expect("a figure");
        let order = ["min_ns", "p50_ns", "p99_ns", "p999_ns", "max_ns"].map(figure);
        assert!(order[0] > 0.0 && order.is_sorted(), "{row}");
        let rate = row["requests_per_second"].as_f64().expect("a figure");
        assert!(rate > 0.0, "{row}");
    }
}

#[test]
fn every_test_is_measured_in_one_process() {
    alone(|| {
        for transport in ["loopback", "sm", "tcp"] {
            let output = perf(&[
                "--local",
                "--transport",
                transport,
                "--test",
                TESTS,
                "--size",
                "8",
                "--iters",
                "200",
                "--json",
            ]);
            let rows = rows(&output);
            assert_eq!(rows.len(), 8);
            are_measured(&rows, 200);
        }
    });
}

#[test]
fn devices_are_measured_where_they_are_and_their_lack_is_told_where_not() {
    alone(|| {
        // What is said where the library or the device is missing.
        let cases: [(&[&str], &[&str]); 2] = [
            (&["ucx", "--tls", "tcp,self"], &["libucp", "libucx0"]),
            (&["rdma"], &["no RDMA"]),
        ];
        for (transport, words) in cases {
            let mut arguments = vec!["--local", "--transport"];
            arguments.extend(transport);
            arguments.extend(["--test", TESTS, "--size", "8", "--iters", "100", "--json"]);
            let output = perf(&arguments);
            if output.status.success() {
                let rows = rows(&output);
                assert_eq!(rows.len(), 8);
                are_measured(&rows, 100);
            } else {
                println!("skipped: {}", text(&output.stderr).trim());
                fails(&output, 1, words);
            }
        }
    });
}

#[test]
fn ends_that_sleep_are_measured_as_well() {
    alone(|| {
        let output = perf(&[
            "--local", "--wait", "sleep", "--test", TESTS, "--size", "8", "--iters", "100",
            "--json",
        ]);
        are_measured(&rows(&output), 100);
    });
}

#[test]
fn both_directions_at_once_are_measured() {
    alone(|| {
        let output = perf(&[
            "--local",
            "--bidirectional",
            "--test",
            "send-bw,put-bw,get-bw",
            "--size",
            "64,100000",
            "--iters",
            "300",
            "--depth",
            "16",
            "--json",
        ]);
        let rows = rows(&output);
        assert_eq!(rows.len(), 6);
        are_measured(&rows, 300);
    });
}

#[test]
fn a_server_serves_one_client_after_the_other_and_every_size() {
    alone(|| {
        let server = Server::start(&[]);
        for _ in 0..2 {
            let output = perf(&[
                &server.address,
                "--all",
                "--test",
                "send-lat,put-lat",
                "--iters",
                "10",
                "--json",
            ]);
            let rows = rows(&output);
            assert_eq!(rows.len(), 36);
            are_measured(&rows, 10);
            let sizes: Vec<u64> = rows[..18]
                .iter()
                .map(|row| row["bytes"].as_u64().expect("a size"))
                .collect();
            let wanted: Vec<u64> = (3..=20).map(|shift| 1 << shift).collect();
            assert_eq!(sizes, wanted);
        }
    });
}

#[test]
fn a_duration_is_kept_and_a_table_is_printed() {
    alone(|| {
        let server = Server::start(&["--once"]);
        let output = perf(&[
            &server.address,
            "--duration",
            "0.05",
            "--test",
            "send-lat,send-bw",
            "--size",
            "64",
        ]);
        let table = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 6, "{table}");
        assert!(lines[0].starts_with("send-lat over tcp"), "{table}");
        assert!(lines[3].starts_with("send-bw over tcp"), "{table}");
        for line in [lines[2], lines[5]] {
            let columns: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(columns.len(), 9, "{line}");
            assert_eq!(columns[0], "64");
        }
        assert_eq!(server.ends(), "");
    });
}

#[test]
fn what_is_protected_needs_the_same_secret_at_both_ends() {
    alone(|| {
        let digits = "00112233445566778899aabbccddeeff".repeat(2) + "\n";
        let right = Scratch::new("right", digits.as_bytes());
        let wrong = Scratch::new("wrong", &[7; 32]);
        let server = Server::start(&["--once", "--secret-file", right.path()]);
        let asks = |secret: &str| {
            perf(&[
                &server.address,
                "--integrity",
                "aead",
                "--secret-file",
                secret,
                "--test",
                "send-lat,get-bw",
                "--size",
                "1000",
                "--iters",
                "50",
                "--json",
            ])
        };
        fails(&asks(wrong.path()), 1, &["--secret-file", &server.address]);
        are_measured(&rows(&asks(right.path())), 50);
    });
}

#[test]
fn a_server_where_nobody_is_is_told_with_its_address() {
    alone(|| {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("it has one").to_string()
        };
        fails(
            &perf(&[&closed]),
            1,
            &["nobody answers at", &closed, "--listen"],
        );
    });
}

#[test]
fn a_peer_that_is_something_else_is_told_after_the_limit() {
    alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one").to_string();
        let thread = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            let mut all = Vec::new();
            // Until the client gives up.
            let _outcome = socket.read_to_end(&mut all);
        });
        let output = perf(&[&address, "--timeout", "0.2"]);
        thread.join().expect("it ends");
        fails(&output, 1, &[&address, "nobody answer"]);
    });
}

#[test]
fn a_second_client_is_told_that_the_first_one_is_served() {
    alone(|| {
        let server = Server::start(&[]);
        let mut first = Command::new(env!("CARGO_BIN_EXE_maser"))
            .args(["perf", &server.address, "--test", "send-lat,send-lat"])
            .args(["--duration", "100"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        // The heading comes with the first row; the server's answers are what is waited for here.
        let refused = loop {
            let output = perf(&[&server.address, "--iters", "1"]);
            if !output.status.success() {
                break output;
            }
        };
        fails(&refused, 1, &["another client is being served"]);
        first.kill().expect("it is there");
        first.wait().expect("it ends");
        // It is free again when it has heard of that.
        while !perf(&[&server.address, "--iters", "1"]).status.success() {}
    });
}

#[test]
fn strangers_do_not_disturb_a_server() {
    alone(|| {
        use std::io::Write;
        let server = Server::start(&[]);
        let place = server.address.strip_prefix("tcp:").expect("tcp");
        let strangers: Vec<TcpStream> = [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b""]
            .into_iter()
            .map(|words| {
                let mut socket = TcpStream::connect(place).expect("it listens");
                socket.write_all(words).expect("room");
                socket
            })
            .collect();
        let output = perf(&[&server.address, "--iters", "20", "--json"]);
        are_measured(&rows(&output), 20);
        drop(strangers);
    });
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_what_is_wrong() {
    let short = Scratch::new("short", b"secret");
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--local", "--listen"]),
        (&["--local", "--listen"], &["cannot be used with"]),
        (
            &["--local", "--transport", "pigeon"],
            &["pigeon", "loopback, sm, tcp"],
        ),
        (&["--local", "--test", "send"], &["send-lat", "atomic-bw"]),
        (&["--local", "--size", "big"], &["`big` is no size"]),
        (&["--local", "--duration", "0"], &["seconds"]),
        (
            &["--local", "--iters", "5", "--duration", "1"],
            &["cannot be used with"],
        ),
        (
            &["--local", "--size", "9", "--test", "atomic-lat"],
            &["words are 8 bytes"],
        ),
        (&["--local", "--bidirectional"], &["ends in -bw"]),
        (&["--local", "--iters", "0"], &["--iterations"]),
        (&["--local", "--size", "8EiB"], &["is no size"]),
        (&["--local", "--size", "2GiB"], &["smaller --size"]),
        (&["--local", "--integrity", "mac"], &["--secret-file"]),
        (
            &["--local", "--secret-file", "/nonexistent"],
            &["cannot read the secret of /nonexistent"],
        ),
        (
            &["--local", "--secret-file", short.path()],
            &["6 bytes", "64 hexadecimal digits"],
        ),
        (&["--listen", "0.0.0.0:0"], &["secret"]),
        (&["--listen", "--transport", "loopback"], &["--local"]),
        (
            &["tcp:10.0.0.1:1", "--transport", "ucx"],
            &["--transport ucx"],
        ),
        (&["tcp:10.0.0.1:99999"], &["is no address"]),
    ];
    for (arguments, words) in cases {
        fails(&perf(arguments), 2, words);
    }
    fails(&perf(&["--local", "--cpu", "4000"]), 1, &["CPU 4000"]);
}
