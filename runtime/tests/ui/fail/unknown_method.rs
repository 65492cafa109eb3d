struct Echo;

#[maser::actor]
impl Echo {
    fn new() -> Self {
        Echo
    }
    fn echo(&self) {}
    #[maser(skip)]
    fn skipped(&self) {}
}

fn main() {
    let echo = Echo::remote();
    echo.ecko().remote();
    echo.skipped().remote();
}
