#[maser::task]
fn add(a: i64, #[cfg(target_os = "linux")] b: i64) -> i64 {
    a + b
}

fn main() {}
