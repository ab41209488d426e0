import EventBus
import EventBusInMemory
import Glibc

/// Publishes and handles ten million events and prints the resident memory after each million, which has to stay
/// constant.
@main
struct BusSoak {
    struct Tick: Event {
        static let topic: Topic = "soak.tick"
        var number: Int
    }

    static func main() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(to: Tick.self, group: "soak") { _, _ in }
        try await bus.withRunning {
            for million in 1...10 {
                let start = ContinuousClock.now
                for _ in 0..<1000 {
                    let results = try await bus.publish(contentsOf: (0..<1000).map { Tick(number: $0) })
                    for result in results { _ = try result.get() }
                    // Without a limit, because a cancelled sleep keeps its memory until it would have ended.
                    try await broker.settled(within: nil)
                }
                let nanoseconds = start.duration(to: .now) / 1_000_000
                print("\(million) million events, \(try residentKiB()) KiB resident, \(nanoseconds) an event")
            }
        }
    }

    private static func residentKiB() throws -> Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, 256, file) != nil else { return 0 }
        let pages = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self).split(separator: " ")[1]
        return (Int(pages) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) / 1024
    }
}
