extension Duration {
    /// The duration in seconds, with millisecond precision.
    public var seconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds * 1_000 + attoseconds / 1_000_000_000_000_000) / 1_000
    }
}
