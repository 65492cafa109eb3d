struct Echo;

#[maser::actor]
impl Echo {
    fn new(count: u64) -> Self {
        let _ = count;
        Echo
    }
    fn echo(&self, text: String) -> String {
        text
    }
}

#[maser::task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    add::remote(1);
    let echo = Echo::remote();
    echo.echo().remote();
}
