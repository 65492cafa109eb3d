#[maser::main]
async fn main() -> maser::Result<()> {
    Ok(())
}
