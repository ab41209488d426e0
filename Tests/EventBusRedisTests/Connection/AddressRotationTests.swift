import ConnectionThread
import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct AddressRotationTests {
    private func addresses(_ count: Int) -> [SocketAddress] {
        (0..<count).map { .unix(path: "/\($0)") }
    }

    private let start = MonotonicTime(nanoseconds: 0)

    private func time(_ milliseconds: Int) -> MonotonicTime { start.advanced(by: .milliseconds(milliseconds)) }

    /// Returns the tried addresses if each uses up its time.
    private func attempt(_ line: inout AddressRotation, _ addresses: [SocketAddress]) -> [String] {
        line.begin(addresses, until: time(900))
        var (tried, now) = ([String](), start)
        while let (address, until) = line.next(at: now) {
            tried.append("\(address)")
            now = until
        }
        #expect(now == time(900), "all of the time is used")
        return tried
    }

    @Test func `each address gets its share of what is left of the time`() {
        var line = AddressRotation()
        line.begin(addresses(3), until: time(900))
        // The first is refused immediately, and the second after its time.
        let deadlines = [0, 100, 500, 600].map { line.next(at: time($0))?.until }
        #expect(deadlines == [time(300), time(500), time(900), nil])
    }

    @Test func `an address is not tried when the time is over`() {
        var line = AddressRotation()
        line.begin(addresses(2), until: time(10))
        let next = line.next(at: time(10))
        #expect(next == nil)
    }

    @Test func `the next attempt begins with the address that worked`() {
        var line = AddressRotation()
        line.begin(addresses(3), until: time(900))
        _ = line.next(at: start)
        _ = line.next(at: start)
        line.noteSuccess()
        #expect(attempt(&line, addresses(3)) == ["/1", "/2", "/0"])
    }

    @Test func `the next attempt begins behind the address at which this one ended`() {
        var line = AddressRotation()
        line.begin(addresses(3), until: time(900))
        _ = line.next(at: start)
        #expect(attempt(&line, addresses(3)) == ["/1", "/2", "/0"])
        // A removed address is not used as a start.
        #expect(attempt(&line, Array(addresses(5)[3...])) == ["/3", "/4"])
    }
}

extension AddressRotationTests {
    @Test func `an empty list has nothing to try`() {
        var line = AddressRotation()
        line.begin([], until: time(10))
        let next = line.next(at: start)
        #expect(next == nil)
    }
}
