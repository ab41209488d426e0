/// The result of an audit.
package struct SoakReport: Codable, Sendable {
    /// The recovery times of one kind of fault, in milliseconds.
    package struct Recovery: Codable, Sendable {
        /// The kind.
        package var kind: String
        /// The number of faults.
        package var count: Int
        /// The 50th and 99th percentile, and the longest time.
        package var p50: Int
        package var p99: Int
        package var max: Int
    }

    /// The resources of a worker's last process.
    package struct Resources: Codable, Sendable {
        /// The worker.
        package var worker: String
        /// The observed time in seconds.
        package var seconds: Int
        /// The resident memory at the end.
        package var kilobytes: Int
        /// The slope of the memory, in kilobytes per hour, or `nil` if the time is too short for one.
        package var kilobytesPerHour: Int?
        /// The descriptors at the beginning and at the end.
        package var descriptors: [Int]
        /// The threads at the beginning and at the end.
        package var threads: [Int]
    }

    /// A count that must be zero.
    package struct Violation: Codable, Sendable {
        /// The name of the count.
        package var name: String
        /// The count.
        package var count: Int
        /// Some of the cases.
        package var examples: [String]
    }

    /// The seed.
    package var seed: UInt64
    /// The commit of the library.
    package var commit = ""
    /// The time from the first entry to the last, in seconds.
    package var seconds = 0
    /// The number of faults.
    package var faults = 0
    /// All counts in order.
    package var counts: [Count] = []
    /// The recovery times.
    package var recoveries: [Recovery] = []
    /// The resources.
    package var resources: [Resources] = []
    /// The counts that should be zero and are not.
    package var violations: [Violation] = []

    /// A count.
    package struct Count: Codable, Sendable {
        /// Its name.
        package var name: String
        /// Its value.
        package var value: Int
    }
}

extension SoakReport {
    /// The report as text.
    package var table: String {
        var lines: [String] = []
        func row(_ name: String, _ values: [String]) {
            lines.append(Self.pad(name, 58) + values.map { Self.padStart($0, 10) }.joined())
        }
        lines.append(String(repeating: "-", count: 68))
        row("seed", ["\(seed)"])
        row("seconds", ["\(seconds)"])
        row("faults", ["\(faults)"])
        for count in counts { row(count.name, ["\(count.value)"]) }
        lines.append("")
        row("time to recover, ms", ["faults", "p50", "p99", "max"])
        for recovery in recoveries {
            row("  " + recovery.kind, [recovery.count, recovery.p50, recovery.p99, recovery.max].map(String.init))
        }
        lines.append("")
        row("last process of", ["seconds", "KB", "KB/h", "files", "threads"])
        for worker in resources {
            row(
                "  " + worker.worker,
                [
                    "\(worker.seconds)", "\(worker.kilobytes)", worker.kilobytesPerHour.map(String.init) ?? "-",
                    worker.descriptors.map(String.init).joined(separator: ">"),
                    worker.threads.map(String.init).joined(separator: ">"),
                ]
            )
        }
        lines.append(String(repeating: "-", count: 68))
        for violation in violations {
            lines.append("VIOLATION: \(violation.name): \(violation.count)")
            for example in violation.examples { lines.append("    \(example)") }
        }
        if violations.isEmpty { lines.append("No violation.") }
        return lines.joined(separator: "\n")
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func padStart(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(1, width - text.count)) + text
    }
}
