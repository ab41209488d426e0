import AllocationCounter
import EventBus
import FoundationEssentials

/// A comparison of `JSONEventCodec` with Foundation's coders, which encode and decode values of five shapes in turn:
///
///     JSONThroughput [ROUNDS]
///
/// It prints the medians of the rounds, and the allocations of one call. Values are encoded to and decoded from arrays
/// of bytes, as a transport needs them.
@main
struct JSONThroughput {
    private static let codec = JSONEventCodec()
    private static let encoder: JSONEncoder = {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return encoder
    }()
    private static let decoder = JSONDecoder()

    /// The nanoseconds and allocations of one call.
    private struct Cost {
        var times: [Double] = []
        var allocations: UInt = 0

        var median: Double { times.sorted()[times.count / 2] }

        mutating func measure(_ calls: Int, _ body: () throws -> Void) rethrows {
            let before = allocation_count()
            try body()
            allocations = allocation_count() - before
            let duration = try ContinuousClock().measure {
                for _ in 0..<calls { try body() }
            }
            times.append(duration / .nanoseconds(calls))
        }
    }

    static func main() throws {
        let rounds = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 11
        print("| shape | bytes | | JSONEventCodec ns | Foundation ns | ratio | allocations | Foundation's |")
        print("|:--|--:|:--|--:|--:|--:|--:|--:|")
        try run("small and flat", Ping(), rounds)
        try run("an order with 3 lines", Order(lines: 3), rounds)
        try run("an order with 100 lines", Order(lines: 100), rounds)
        try run("long strings with escapes", Texts(), rounds)
        try run("numbers", Numbers(), rounds)
    }

    private static func run<Value: Codable>(_ shape: String, _ value: Value, _ rounds: Int) throws {
        let bytes = try codec.encode(value)
        let calls = max(20, 2_000_000 / (bytes.count + 100))
        var costs = [Cost](repeating: Cost(), count: 4)
        for _ in 0..<rounds {
            try costs[0].measure(calls) { _ = try codec.encode(value) }
            try costs[1].measure(calls) { _ = [UInt8](try encoder.encode(value)) }
            try costs[2].measure(calls) { _ = try codec.decode(Value.self, from: bytes) }
            try costs[3].measure(calls) { _ = try decoder.decode(Value.self, from: Data(bytes)) }
        }
        for (name, own, other) in [("encode", costs[0], costs[1]), ("decode", costs[2], costs[3])] {
            let ratio = (other.median / own.median * 100).rounded() / 100
            let times = "\(Int(own.median)) | \(Int(other.median))"
            print(
                "| \(shape) | \(bytes.count) | \(name) | \(times) | \(ratio) | \(own.allocations) | \(other.allocations) |"
            )
        }
    }
}
