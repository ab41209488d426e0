/// A collection of durations of one kind of operation.
public struct Latencies: Sendable {
    private var milliseconds: [Double] = []

    /// Creates an empty collection.
    public init() {}

    /// The number of measurements.
    public var count: Int { milliseconds.count }

    /// Adds a measurement.
    public mutating func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        milliseconds.append(Double(seconds) * 1_000 + Double(attoseconds) / 1e15)
    }

    /// Returns the quantile `part`, from 0 to 1, in milliseconds, or 0 without measurements.
    public func quantile(_ part: Double) -> Double {
        guard !milliseconds.isEmpty else { return 0 }
        let sorted = milliseconds.sorted()
        let index = Int((part * Double(sorted.count)).rounded(.up)) - 1
        return (sorted[min(max(index, 0), sorted.count - 1)] * 1_000).rounded() / 1_000
    }

    /// The longest duration in milliseconds.
    public var maximum: Double { quantile(1) }
}
