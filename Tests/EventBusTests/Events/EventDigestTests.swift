import Testing

@testable import EventBus

@Suite("Digests of events", .timeLimit(.minutes(1)))
struct EventDigestTests {
    private func id(_ build: (inout EventDigest) -> Void) -> EventID {
        var digest = EventDigest()
        build(&digest)
        return digest.id()
    }

    @Test("The order of headers does not matter, and every difference does")
    func headers() {
        let headers: HeaderTable = [
            "a": 1, "b": "1", "c": true, "d": [1, "2", nil], "e": ["x": 1.5, "y": .bytes([1])],
            "f": .timestamp(seconds: 1),
        ]
        let first = id { $0.append(headers) }
        for _ in 0..<20 {
            // A table of another capacity has another order.
            var copy = HeaderTable(minimumCapacity: Int.random(in: 0...200))
            for (name, value) in headers.shuffled() { copy[name] = value }
            #expect(id { $0.append(copy) } == first)
        }
        let values: [HeaderValue] = [
            nil, 1, 1.0, true, "1", .bytes([0x31]), .timestamp(seconds: 1), [1], ["1": 1], "", [], .table([:]),
        ]
        let ids = values.map { value in id { $0.append(["a": value]) } }
        #expect(Set(ids).count == values.count)
    }

    @Test("Two lists of parts never have the same digest")
    func parts() {
        let ids = [
            id { $0.append("ab") },
            id {
                $0.append("a"); $0.append("b")
            },
            id {
                $0.append(""); $0.append("ab")
            },
            id { $0.append(optional: nil) },
            id { $0.append(optional: "") },
            id {
                $0.append([UInt8]("ab".utf8)); $0.append(0)
            },
        ]
        #expect(Set(ids).count == ids.count)
    }
}
