import EventBus
import Testing

@testable import EventBusInMemory

extension CoordinationTests {
    @Suite("The cache's table")
    struct CacheTableTests {
        private func at(_ seconds: Int) -> AnyClock.Instant { .init(offset: .seconds(seconds)) }

        private func entry(_ key: String, until end: Int = 100, tags: Set<String> = []) -> CacheTable.Entry {
            CacheTable.Entry(
                key: key,
                value: key,
                freshUntil: at(end),
                keepUntil: at(end),
                computing: .zero,
                tags: tags
            )
        }

        @Test("It never stores more than its capacity")
        func capacity() {
            var table = CacheTable(capacity: 10)
            for number in 0..<1_000 { table.insert(entry("\(number)"), now: at(0)) }
            #expect(table.count == 10)
            #expect(table.entry(for: "999", now: at(0))?.key == "999")
        }

        @Test("Recently read entries are spared when room is needed")
        func spared() {
            var table = CacheTable(capacity: 4)
            for key in ["a", "b", "c", "d"] { table.insert(entry(key), now: at(0)) }
            for number in 0..<100 {
                #expect(table.entry(for: "b", now: at(0)) != nil)
                table.insert(entry("\(number)"), now: at(0))
            }
            #expect(table.entry(for: "a", now: at(0)) == nil)
        }

        @Test("Expired entries make room first, even if they were read")
        func expired() {
            var table = CacheTable(capacity: 2)
            table.insert(entry("a", until: 5), now: at(0))
            table.insert(entry("b"), now: at(0))
            _ = table.entry(for: "a", now: at(1))
            table.insert(entry("c"), now: at(6))
            #expect(table.entry(for: "b", now: at(6)) != nil)
            #expect(table.entry(for: "a", now: at(6)) == nil)
        }

        @Test("It finds room although everything was read")
        func allRead() {
            var table = CacheTable(capacity: 3)
            for key in ["a", "b", "c"] {
                table.insert(entry(key), now: at(0))
                _ = table.entry(for: key, now: at(0))
            }
            table.insert(entry("d"), now: at(0))
            #expect(table.count == 3)
            #expect(table.entry(for: "d", now: at(0)) != nil)
        }

        @Test("An entry is removed when its time is over")
        func gone() {
            var table = CacheTable(capacity: 3)
            table.insert(entry("a", until: 5), now: at(0))
            #expect(table.entry(for: "a", now: at(4)) != nil)
            #expect(table.entry(for: "a", now: at(5)) == nil)
            #expect(table.count == 0)
        }

        @Test("A tag finds the entries that have it now, even after others took their slots")
        func tags() {
            var table = CacheTable(capacity: 3)
            table.insert(entry("a", tags: ["x", "y"]), now: at(0))
            table.insert(entry("b", tags: ["x"]), now: at(0))
            table.insert(entry("b", tags: ["y"]), now: at(0))
            table.remove("a")
            table.insert(entry("c"), now: at(0))
            table.removeAll(tag: "x")
            #expect(table.count == 2)
            table.removeAll(tag: "y")
            #expect(table.entry(for: "c", now: at(0)) != nil)
            #expect(table.count == 1)
        }
    }
}
