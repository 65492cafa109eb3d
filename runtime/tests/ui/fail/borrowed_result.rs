struct Names(Vec<String>);

#[maser::actor]
impl Names {
    fn new() -> Self {
        Names(Vec::new())
    }
    fn first(&self) -> Option<&String> {
        self.0.first()
    }
    fn all(&self) -> &[String] {
        &self.0
    }
}

#[maser::task]
fn greeting() -> &'static str {
    "hello"
}

fn main() {}
