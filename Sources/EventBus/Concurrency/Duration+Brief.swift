extension Duration {
    /// The duration for people, in the largest fitting unit and with at most three digits, such as `9 ms`, `1.5 s` or
    /// `2.25 min`.
    package var brief: String {
        let nanoseconds = Double(inNanoseconds)
        let units: [(name: String, length: Double)] = [
            ("d", 86_400e9), ("h", 3_600e9), ("min", 60e9), ("s", 1e9), ("ms", 1e6), ("µs", 1e3),
        ]
        guard let unit = units.first(where: { nanoseconds.magnitude >= $0.length }) else {
            return "\(inNanoseconds) ns"
        }
        let value = nanoseconds / unit.length
        let scale: Double = value.magnitude < 10 ? 100 : value.magnitude < 100 ? 10 : 1
        let rounded = (value * scale).rounded() / scale
        return rounded == rounded.rounded() ? "\(Int64(rounded)) \(unit.name)" : "\(rounded) \(unit.name)"
    }
}
