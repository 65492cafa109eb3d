#[maser::task]
async fn fetch() -> u64 {
    1
}

struct Echo;

#[maser::actor]
impl Echo {
    async fn new() -> Self {
        Echo
    }
    #[maser(stream)]
    async fn items(&self) -> Vec<u64> {
        Vec::new()
    }
}

fn main() {}
