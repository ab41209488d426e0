/// How long many things of one kind took.
public struct Latencies: Sendable {
    private var milliseconds: [Double] = []

    /// No measurements yet.
    public init() {}

    /// How many were measured.
    public var count: Int { milliseconds.count }

    /// Notes that one took so long.
    public mutating func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        milliseconds.append(Double(seconds) * 1_000 + Double(attoseconds) / 1e15)
    }

    /// The milliseconds that this part of them, from 0 to 1, did not exceed; 0 where none were measured.
    public func quantile(_ part: Double) -> Double {
        guard !milliseconds.isEmpty else { return 0 }
        let sorted = milliseconds.sorted()
        let index = Int((part * Double(sorted.count)).rounded(.up)) - 1
        return (sorted[min(max(index, 0), sorted.count - 1)] * 1_000).rounded() / 1_000
    }

    /// The most milliseconds that one took.
    public var maximum: Double { quantile(1) }
}
