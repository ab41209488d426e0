extension Duration {
    /// The duration in seconds, to the millisecond.
    public var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds * 1_000 + attoseconds / 1_000_000_000_000_000) / 1_000
    }
}
